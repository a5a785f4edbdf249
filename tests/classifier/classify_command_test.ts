import assert from "node:assert/strict";
import { withRounds } from "./made_applications.ts";
import { runDeno, type Said } from "../support/run_deno.ts";

/** Runs a task as a user does, with the task's own permissions. */
function task(args: readonly string[], input = new Uint8Array(0)): Promise<Said> {
  return runDeno(["task", "--quiet", ...args], { input });
}

Deno.test("train, classify and evaluate, as a user runs them", async () => {
  await withRounds(3, 8, async (folder) => {
    const model = `${folder}/apps.model`;
    const train = await task([
      "train",
      "--rounds",
      folder,
      "--without-round",
      "3",
      "--features",
      "seed14",
      "--out",
      model,
      "--json",
    ]);
    assert.equal(train.code, 0, train.err);
    const facts = JSON.parse(train.out);
    assert.equal(facts.applications.video.flows, 16);
    assert.deepEqual(Object.keys(facts.applications), ["video", "weather", "web"]);

    const video = `${folder}/round-3/video.pcap.gz`;
    const named = await task(["classify", "--model", model, video]);
    assert.equal(named.code, 0, named.err);
    const lines = named.out.trim().split("\n");
    assert.equal(lines.length, 8);
    for (const line of lines) {
      assert.match(line, /^\d+\.\d{6} 10\.0\.0\.1 10\.0\.0\.2 \d+ 4433 tcp( \d+){4} video$/);
    }
    const strict = await task(["classify", "--model", model, "--threshold", "1", "--json", video]);
    for (const line of strict.out.trim().split("\n")) {
      const flow = JSON.parse(line);
      assert.equal(flow.application, flow.confidence < 1 ? "unknown" : "video");
      assert.equal(flow.likeliest, "video");
      assert.equal(flow.lengths, undefined);
    }

    const packed = new Blob([await Deno.readFile(video)]).stream()
      .pipeThrough(new DecompressionStream("gzip"));
    const raw = new Uint8Array(await new Response(packed).arrayBuffer());
    const live = await task(["classify", "--model", model, "--live", "-"], raw);
    assert.equal(live.code, 0, live.err);
    assert.equal(live.out, named.out);

    const judged = await task([
      "classify",
      "--evaluate",
      "--model",
      model,
      "--json",
      ...["video", "weather", "web"].map((name) => `${name}=${folder}/round-3/${name}.pcap.gz`),
    ]);
    assert.equal(judged.code, 0, judged.err);
    assert.ok(JSON.parse(judged.out).average.correct > 0.9);
  });
});

Deno.test("rounds are evaluated by one command, with curves and reasons", async () => {
  await withRounds(2, 6, async (folder) => {
    const { code, out, err } = await task([
      "classify",
      "--evaluate",
      "--rounds",
      folder,
      "--test-round",
      "each",
      "--features",
      "seed5",
      "--trees",
      "10",
      "--curve",
      "--explain",
    ]);
    assert.equal(code, 0, err);
    assert.match(out, /round 1, round 2 tested; the rounds tested were not learned from/);
    assert.match(out, /% correct of decided/);
    assert.match(out, /really \\ named/);
    assert.match(out, /threshold/);
    assert.match(out, /flows learned from/);
  });
});

Deno.test("wrong usage gets one line and says what to do", async () => {
  const cases: [string[], number, RegExp][] = [
    [["train", "--out", "/tmp/x.model"], 2, /give LABEL=FILE... or --rounds DIR/],
    [["train", "a=b.pcap", "--out", "/tmp/x.model"], 2, /two applications or more/],
    [["classify", "a.pcap"], 2, /give --model FILE/],
    [["classify", "--model", "/nowhere/x.model", "a.pcap"], 1, /there is no such file: make one/],
    [["classify", "--evaluate"], 2, /give LABEL=FILE... or --rounds DIR/],
    [["classify", "--evaluate", "--rounds", "/nowhere"], 1, /there is no such folder/],
    [["classify", "--evaluate", "--classifier", "magic", "a=b"], 2, /Allowed choices are/],
    [["classify", "--threshold", "2", "--model", "m", "a"], 2, /a number from 0 to 1/],
  ];
  for (const [args, code, message] of cases) {
    const result = await task(args);
    assert.equal(result.code, code, `${args.join(" ")}: ${result.err}`);
    assert.match(result.err, message);
    assert.equal(result.err.trim().split("\n").length, 1, result.err);
  }
});

Deno.test("classify: options that do not go together are refused, none is passed over", async () => {
  const refused = async (args: string[], why: RegExp) => {
    const { code, out, err } = await task(["classify", ...args]);
    assert.deepEqual([code, out], [2, ""]);
    assert.match(err, why);
  };
  const model = ["--model", "none.model"];
  await refused(["c.pcap"], /give --model FILE/);
  await refused([...model, "c.pcap", "--rounds", "d"], /go with --evaluate/);
  await refused(
    [...model, "c.pcap", "--filter", "tcp"],
    /--filter and --program go with --interface/,
  );
  await refused([...model, "c.pcap", "--seconds", "2"], /--seconds goes with/);
  await refused([...model, "c.pcap", "--interface", "lo"], /give CAPTURE/);
});

import assert from "node:assert/strict";
import { main } from "../../cli/main.ts";
import type { EvaluationResult } from "../../report/evaluation_result.ts";
import { withMadeCaptures } from "./made_captures.ts";

Deno.test("evaluate: report, tables and JSON from one command; nothing is done twice, also after it was killed; wrong usage is one line", async () => {
  await withMadeCaptures(async (folder) => {
    const out = `${folder}/results`;
    const args = [
      ...["evaluate", "--quick", "--no-content", "--out", out, "--model", "constant-rate"],
      ...["--real", `https=${folder}/typing`, "--learned", `https=${folder}/browsing`],
    ];
    assert.equal(await main(args), 0);
    const result: EvaluationResult = JSON.parse(await Deno.readTextFile(`${out}/result.json`));
    assert.deepEqual(result.sections.map(({ title }) => title), [
      "The seed's section 3: attacks",
      "The seed's figure 1: bandwidth and overhead",
      "Today's attackers",
      "Fidelity, variable by variable",
      "Playback under loss, jitter and a rate drop",
      "What schedules reveal: demand and adaptive against strict",
    ]);
    const [, , modern] = result.sections;
    // Constant rate is found by every attacker, and the report says that it had to be.
    assert.equal(modern!.facts![0]!.good, true);
    const html = await Deno.readTextFile(`${out}/report.html`);
    assert.ok(html.includes("Canada–UK") && html.includes("simulated"));
    // Who has read the seed is led to headings that are there.
    const guide = [...html.matchAll(/<li><a href="#([^"]+)">[^<]*<\/a>:/g)].map(([, id]) => id!);
    assert.ok(guide.length >= 6);
    for (const id of guide) assert.ok(html.includes(` id="${id}"`), id);
    // The figure stands before its tables.
    assert.ok(html.indexOf('<h3 id="figure-1-') < html.indexOf('<h3 id="100-kb-bulk-transfer-'));
    const files = async () =>
      (await Array.fromAsync(Deno.readDir(`${out}/experiments`))).map(({ name }) => name).sort();
    const before = await files();
    assert.ok(before.length > 15 && before.every((name) => name.endsWith(".json")));
    const times = async () =>
      await Promise.all(
        before.map(async (name) => (await Deno.stat(`${out}/experiments/${name}`)).mtime),
      );
    const written = await times();
    assert.equal(await main(args), 0);
    assert.deepEqual(await files(), before);
    assert.deepEqual(await times(), written);
    // Every figure says whether its cover was recorded; what is recorded is not simulated.
    assert.ok(html.includes("constant-rate, simulated") && !html.includes("recorded:"));
    const recordings = ["--cover", `constant-rate=${folder}/browsing`];
    assert.equal(await main([...args, ...recordings]), 0);
    const again = await Deno.readTextFile(`${out}/report.html`);
    assert.ok(
      again.includes("constant-rate, recorded") && again.includes("Recorded: constant-rate"),
    );
    assert.ok(!again.includes("constant-rate, simulated"));
    assert.equal(await main(args), 0);
    const killed = `${folder}/killed`;
    await killAndResume(
      args.map((arg) => arg === out ? killed : arg).concat("--workers", "1"),
      killed,
      out,
    );
    assert.equal(await main([...args, "--cover", `https=${folder}/typing`]), 2);
    assert.equal(await main(["evaluate", "--real", "x.pcap"]), 2);
  });
});

/** What an evaluation found, without when it was made. */
async function foundIn(out: string): Promise<unknown> {
  const result: EvaluationResult = JSON.parse(await Deno.readTextFile(`${out}/result.json`));
  return { ...result, madeAt: "" };
}

/** Kills an evaluation in the middle and begins it again: it goes on where it was and comes to what `whole` holds. */
async function killAndResume(
  args: readonly string[],
  killed: string,
  whole: string,
): Promise<void> {
  const root = new URL("../../", import.meta.url);

  const experiments = `${killed}/experiments`;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "cli/main.ts", ...args],
    cwd: root,
    stdout: "null",
    stderr: "null",
  }).spawn();
  const kept = async () =>
    (await Array.fromAsync(Deno.readDir(experiments)).catch(() => [])).map(({ name }) => name)
      .filter((name) => name.endsWith(".json")).sort();
  const over = child.status.then(() => true);
  while ((await kept()).length < 5) {
    if (await Promise.race([over, new Promise<false>((done) => setTimeout(done, 20, false))])) {
      break;
    }
  }
  child.kill("SIGKILL");
  await over;
  const before = await kept();
  assert.ok(before.length >= 5);
  assert.ok(!await Deno.stat(`${killed}/result.json`).then(() => true, () => false), "not over");
  await Deno.writeTextFile(`${experiments}/half.json.x.tmp`, "{");
  const times = async () =>
    await Promise.all(
      before.map(async (name) => (await Deno.stat(`${experiments}/${name}`)).mtime),
    );
  const written = await times();
  assert.equal(await main(args), 0);
  assert.deepEqual(await times(), written, "nothing is done twice");
  const names = await Array.fromAsync(Deno.readDir(experiments), ({ name }) => name);
  assert.ok(names.every((name) => !name.endsWith(".tmp")));
  assert.deepEqual(await foundIn(killed), await foundIn(whole));
}

Deno.test("evaluate: bad input is one line that names it, and nothing is written", async () => {
  await withMadeCaptures(async (folder) => {
    await Deno.writeTextFile(
      `${folder}/text.pcap`,
      "not a capture at all, but long enough to be read",
    );
    await Deno.mkdir(`${folder}/empty`);
    const out = `${folder}/out`;
    const real = `https=${folder}/typing`;
    const wrong: readonly (readonly [string, RegExp, ...string[]])[] = [
      ["model", /nobody/, "--model", "nobody", "--real", real],
      [
        "one run",
        /https: one run only/,
        "--model",
        "constant-rate",
        "--real",
        `https=${folder}/constant.pcap`,
      ],
      ["folder", /empty: no capture file/, "--real", `https=${folder}/empty`],
      [
        "missing",
        /nothing\.pcap/,
        "--model",
        "constant-rate",
        "--real",
        `https=${folder}/nothing.pcap`,
        `${folder}/nowhere.pcap`,
      ],
      [
        "capture",
        /text\.pcap/,
        "--model",
        "constant-rate",
        "--real",
        `https=${folder}/text.pcap`,
        `${folder}/text.pcap`,
      ],
      // One file that is missing is named, not counted.
      [
        "cover",
        /nowhere\.pcap: there is no such file/,
        ...["--model", "constant-rate", "--real", real],
        ...["--cover", `constant-rate=${folder}/nowhere.pcap`],
      ],
      ["no transfers", /none\.json: there is no such file/, "--transfers", `${folder}/none.json`],
      ["transfers", /text\.pcap: not JSON/, "--transfers", `${folder}/text.pcap`],
      ["seed", /--seed/, "--seed", "-1"],
      ["workers", /--workers/, "--workers", "0"],
    ];
    for (const [name, words, ...args] of wrong) {
      let text = "";
      const write = Deno.stderr.writeSync;
      Deno.stderr.writeSync = (bytes) => {
        text += new TextDecoder().decode(bytes);
        return bytes.length;
      };
      const code = await main(["evaluate", "--quick", "--no-content", "--out", out, ...args])
        .finally(() => Deno.stderr.writeSync = write);
      assert.ok(code === 1 || code === 2, `${name}: ${code}`);
      assert.match(text, words, name);
      assert.match(text, /^error: [^\n]*\n$/, name);
    }
    assert.ok(!await Deno.stat(`${out}/result.json`).then(() => true, () => false));
  });
});

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import {
  busiestTimeline,
  Destination,
  isLearned,
  samplesForAttacks,
} from "../../evaluation/mod.ts";
import type { LinkConnection } from "../../lab/userspace_link.ts";
import { ROOT, runDeno } from "../support/run_deno.ts";

/** The permissions that the task gives, so that a missing one is noticed here. */
async function taskFlags(task: string): Promise<string[]> {
  const { tasks } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`)) as {
    tasks: Record<string, string>;
  };
  return tasks[task]!.replace(/\$\(.*\)/, Deno.execPath()).split(" ").slice(1, -2);
}

async function demo(args: string[], cwd: string) {
  return await runDeno([...await taskFlags("demo"), `${ROOT}cli/main.ts`, "demo", ...args], {
    cwd,
  });
}

Deno.test("a transfer is timed and compared end to end", async () => {
  const payload = new Uint8Array(randomBytes(50_000));
  await using destination = new Destination(payload);
  for (
    const transfer of [
      await destination.upload(destination.port),
      await destination.download(destination.port),
    ]
  ) {
    assert.equal(transfer.bytes, payload.length);
    assert.equal(transfer.sha256Match, true);
    assert.ok(transfer.duration >= 0);
  }
});

Deno.test("a transfer that is tampered with is noticed", async () => {
  await using destination = new Destination(new Uint8Array(randomBytes(1000)));
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const relayed = (async () => {
    using from = await listener.accept();
    using to = await Deno.connect({ hostname: "127.0.0.1", port: destination.port });
    const bytes = new Uint8Array(await new Response(from.readable).arrayBuffer());
    bytes[500]! ^= 1;
    await to.write(bytes);
    await to.closeWrite();
  })().catch(() => {});
  const { sha256Match } = await destination.upload(listener.addr.port);
  assert.equal(sha256Match, false);
  await relayed;
});

Deno.test("attacks get no run that a shipped model was learned from", () => {
  const captures = [1, 2, 3, 4].map((run) => `samples/ssh/run-${run}.pcap.gz`);
  assert.deepEqual(captures.map(isLearned), [true, true, true, false]);
  assert.deepEqual(samplesForAttacks([{ label: "ssh", captures }]), [
    { label: "ssh", captures: captures.slice(3) },
  ]);
  assert.equal(isLearned("my-own.pcap"), false);
});

Deno.test("the timeline is of the connection that carried most user data", () => {
  const connections = [0, 1].map((index) => ({ index })) as unknown as LinkConnection[];
  const packet = (connection: number, side: 0 | 1, time: number) => ({
    ...{ connection, side, time, flags: 0, offset: 0, length: 100 },
    ...{ sequence: 0, acknowledgement: 0 },
  });
  const timeline = busiestTimeline(
    "https",
    connections,
    [packet(0, 0, 5), packet(1, 1, 7), packet(1, 0, 9)],
    ({ connection, side }) => ({ data: connection.index * (1 + side), control: 3, padding: 4 }),
  );
  assert.deepEqual(timeline, {
    model: "https",
    records: [
      { time: 0, from: "server", data: 2, control: 3, padding: 4 },
      { time: 2, from: "client", data: 1, control: 3, padding: 4 },
    ],
  });
  assert.equal(
    busiestTimeline("https", connections, [packet(0, 0, 5)], () => undefined),
    undefined,
  );
});

Deno.test("demo: two processes, one recording, one JSON object, one report", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(
      `${folder}/fast.json`,
      JSON.stringify({
        schema: "trafficmimic-model",
        version: 1,
        name: "fast",
        kind: "constant-rate",
        protocol: "constant-rate",
        carrier: "tls",
        content: { size: 900, period: 40, exchanges: 5 },
      }),
    );
    const args = ["--model", "./fast.json:3", "--connections", "8", "--bytes", "5000", "--json"];
    const { code, out, err } = await demo([...args, "--out", "report.html"], folder);
    assert.equal(code, 0, err);
    const result = JSON.parse(out);
    assert.equal(result.transfer.sha256Match, true);
    assert.equal(result.models.length, 1);
    const [model] = result.models;
    assert.equal(model.model, "./fast.json");
    assert.equal(model.n, 8);
    assert.ok(model.goodputKbps > 0 && model.overhead > 1);
    for (const share of ["asClaimed", "anomalous", "kmeansFlagged"]) {
      assert.ok(model[share] >= 0 && model[share] <= 1, share);
      const [low, high] = model[`${share}Ci95`];
      assert.ok(low <= model[share] && model[share] <= high, share);
    }
    const report = await Deno.readTextFile(result.report);
    assert.match(report, /^<!doctype html>/i);
    assert.match(report, /fast\.json/);
    const left = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
    assert.deepEqual(left, ["fast.json", "report.html"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("demo: a model that does not exist is one clear line, and no report", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const { code, out, err } = await demo(["--model", "./nothing.json"], folder);
    assert.equal(code, 1);
    assert.equal(out, "");
    assert.match(err, /^error: [^\n]*nothing\.json[^\n]*\n$/);
    assert.deepEqual([...Deno.readDirSync(folder)], []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

import assert from "node:assert/strict";
import fc from "fast-check";
import { constantRateNamed } from "../../evaluation/constant_rates.ts";
import type { EvaluationPlan, PlannedJobs, Results } from "../../evaluation/experiments/plan.ts";
import { bulkTransferSection } from "../../evaluation/experiments/sections/bulk_transfer.ts";
import { iperfClient, playableModel } from "../../evaluation/lab_bulk_transfer.ts";
import { planTransfers } from "../../evaluation/lab_bulk_transfers.ts";
import {
  parseIperf,
  parseTransfers,
  readTransfers,
  type RecordedTransfer,
  type RecordedTransfers,
  sameTransfer,
  TransferFileError,
  writeTransfers,
} from "../../evaluation/recorded_transfers.ts";
import { loadModel } from "../../models/mod.ts";
import { inFolder } from "../support/folder.ts";

const DIGEST = "ab".repeat(32);

function recorded(over: Partial<RecordedTransfer> = {}): RecordedTransfer {
  return {
    model: "https",
    link: "canada-uk",
    from: "client",
    seed: "figure-1/1",
    digest: DIGEST,
    carrier: "tls",
    date: "2026-11-22T20:00:00.000Z",
    load: 1.5,
    kbps: 100,
    seconds: 8,
    payloadBytes: 200_000,
    wireBytes: 220_000,
    ...over,
  };
}

function fileOf(transfers: readonly RecordedTransfer[]): RecordedTransfers {
  return {
    bytes: 100_000,
    warmUp: 20,
    programs: { iperf: "iperf version 2.1.8 (12 August 2022) pthreads" },
    transfers,
  };
}

Deno.test("recorded transfers: what is written is read again; another file is refused in one line that names it", () =>
  inFolder(async (folder) => {
    const path = `${folder}/transfers.json`;
    const { kbps: _, ...unfinished } = recorded({ seed: "figure-1/2", from: "server" });
    const file = fileOf([recorded(), unfinished]);
    await writeTransfers(path, file);
    assert.deepEqual(await readTransfers(path), file);
    await assert.rejects(readTransfers(`${folder}/none`), /none: there is no such file/);
    for (
      const text of [
        "",
        "[]",
        "{}",
        JSON.stringify({ schema: "trafficmimic-transfers", version: 2, ...file }),
        JSON.stringify({
          schema: "trafficmimic-transfers",
          version: 1,
          ...fileOf([{ ...recorded(), kbps: 0 }]),
        }),
      ]
    ) {
      assert.throws(
        () => parseTransfers(text, "a.json"),
        (error) =>
          error instanceof TransferFileError && /^a\.json: not [^\n]+$/.test(error.message),
      );
    }
  }));

Deno.test("recorded transfers: no text crashes the parsers", () => {
  const sound = JSON.stringify({
    schema: "trafficmimic-transfers",
    version: 1,
    ...fileOf([recorded()]),
  });
  fc.assert(fc.property(
    fc.oneof(
      fc.string(),
      fc.json(),
      fc.tuple(fc.nat(sound.length), fc.string({ maxLength: 3 })).map(([at, put]) =>
        sound.slice(0, at) + put + sound.slice(at + put.length)
      ),
    ),
    (text) => {
      try {
        parseTransfers(text, "a.json");
      } catch (error) {
        assert.ok(error instanceof TransferFileError, String(error));
      }
      for (const { bytes, kbps } of parseIperf(text)) assert.ok(bytes > 0 && kbps > 0);
    },
  ));
});

Deno.test("iperf's report is read when its line is whole, and nothing else is", () => {
  const line = "19700101000000,127.0.0.1,5001,127.0.0.1,54808,1,0.0-6.9,100000,116078";
  assert.deepEqual(parseIperf(`${line}\n`), [{ bytes: 100_000, kbps: 116.078 }]);
  assert.deepEqual(parseIperf(line), []);
  assert.deepEqual(parseIperf(`connect failed: Connection refused\n${line}\n`).length, 1);
  assert.deepEqual(parseIperf("1,2,3\n,,,,,,,,\n1,1,1,1,1,1,1,0,0\n"), []);
  assert.deepEqual(iperfClient("client", 5).slice(-5), ["-n", "5", "-y", "C", "-C"]);
  assert.equal(iperfClient("server", 5).at(-1), "-R");
});

Deno.test("transfers are planned seed by seed, each case once", () => {
  const plan = planTransfers({ models: ["a", "b"], links: ["x", "y"], times: 3, seed: "s" });
  assert.equal(plan.length, 2 * 2 * 2 * 3);
  assert.deepEqual([...new Set(plan.slice(0, 8).map(({ seed }) => seed))], ["s/1"]);
  const as = (one: typeof plan[number]) => ({ ...one, digest: DIGEST, carrier: "tls" });
  for (const [i, a] of plan.entries()) {
    for (const [k, b] of plan.entries()) assert.equal(sameTransfer(as(a), as(b)), i === k);
  }
  assert.ok(!sameTransfer(as(plan[0]!), { ...as(plan[0]!), carrier: "ssh" }));
});

Deno.test("constant rate at a rate of its own is played from a model file", () =>
  inFolder(async (folder) => {
    const { carrier, digest, name } = await playableModel("constant-rate:28", folder);
    assert.equal(carrier, "tls");
    assert.equal((await loadModel(name)).description.digest, digest);
    assert.equal(constantRateNamed("constant-rate:28")!.period, 1448 * 8 / 28);
    assert.equal((await playableModel("https", folder)).name, "https");
  }));

const LINKS = ["illinois-california", "canada-uk"] as const;
const WAYS = ["client", "server"] as const;

/** The section for https and both constant rates, all simulated at 50 kbit/s and twice the bytes. */
function sectionOf(recordedTransfers?: RecordedTransfers) {
  const models = ["https", "constant-rate", "constant-rate:28"];
  const cells = models.flatMap((model) =>
    LINKS.flatMap((link) => WAYS.map((from) => ({ model, link, from })))
  );
  const plan = {
    models: [
      { model: "https", claims: "https", digest: DIGEST },
      { model: "constant-rate", claims: "https", digest: DIGEST },
    ],
    ...(recordedTransfers === undefined ? {} : { recordedTransfers }),
  } as unknown as EvaluationPlan;
  const planned = {
    transfers: cells.map((cell, job) => ({ cell, job })),
  } as unknown as PlannedJobs;
  const results = cells.map(() => ({
    kbps: [50],
    overhead: [2],
    unfinished: 0,
  })) as unknown as Results;
  return bulkTransferSection(plan, planned, results);
}

Deno.test("figure 1: without recordings all of it says that it is simulated", () => {
  const { facts, figures, tables } = sectionOf();
  assert.equal(tables.length, 2);
  assert.equal(figures.length, 4);
  for (const { title } of [...tables, ...figures]) assert.match(title, /\(simulated\)/);
  assert.match(facts![0]!.text, /simulated.*faster than constant rate at either rate: none/);
});

Deno.test("figure 1: what was recorded stands first, says who beats constant rate, what did not end and what is of another model", () => {
  const all = ["https", "constant-rate", "constant-rate:28"].flatMap((model) =>
    LINKS.flatMap((link) =>
      WAYS.flatMap((from) =>
        [1, 2, 3].map((k) =>
          recorded({
            ...{ model, link, from, seed: `s/${k}` },
            // Only responses of https are faster than constant rate, and only its requests cost less.
            kbps: model === "https" ? (from === "server" ? 500 + k : 5 + k) : 25,
            payloadBytes: model === "https" ? (from === "client" ? 150_000 : 400_000) : 215_000,
          })
        )
      )
    )
  );
  const { facts, figures, tables, text } = sectionOf(fileOf(all));
  assert.equal(tables.length, 4);
  assert.ok(tables.slice(0, 2).every(({ title }) => /recorded.*: median of 3,/.test(title)));
  assert.ok(tables.slice(2).every(({ title }) => title.includes("simulated")));
  assert.ok(figures.every(({ title }) => title.includes("(recorded)")));
  assert.match(
    facts![0]!.text,
    /Illinois–California \(recorded\): faster than constant rate at either rate: https responses\. Less overhead than constant rate: https requests\./,
  );
  assert.match(text.join(" "), /iperf version 2\.1\.8.* \(in TLS https, constant-rate 1448 B/);
  assert.deepEqual(tables[0]!.rows[0]!.slice(0, 3), [
    "https",
    { text: "7", note: "6–8" },
    { text: "502", note: "501–503" },
  ]);
  // One of three responses is not through in time, and the requests are of an older model.
  const { kbps: _, ...late } = recorded({ ...all[3]!, seconds: 900 });
  const changed = all.map((one, i) =>
    i === 3 ? late : i < 3 ? { ...one, digest: "cd".repeat(32) } : one
  );
  const section = sectionOf(fileOf(changed));
  for (const { title } of section.figures.slice(0, 2)) assert.match(title, /another version/);
  assert.match(section.facts![0]!.text, /^Illinois–California \(recorded, some with another ver/);
  assert.match(section.facts![1]!.text, /^Canada–UK \(recorded\)/);
  const [row] = section.tables[0]!.rows;
  assert.deepEqual(row![0], {
    text: "https",
    note: "recorded with another version of this model",
  });
  assert.match((row![2] as { note: string }).note, /502–503, 1 over 15 min/);
  // Of another size, and in another carrier than the model's own.
  const other = sectionOf({
    ...fileOf(all.map((one) => ({ ...one, carrier: "ssh" }))),
    bytes: 2e6,
  });
  assert.match(other.tables[0]!.title, /^2,?000 KB bulk transfer/);
  assert.match(other.text.join(" "), /\(in ssh around OpenSSH https, constant/);
  assert.doesNotMatch(other.text.join(" "), /own carrier/);
  // Nothing but unfinished ones.
  const none = sectionOf(fileOf([late])).tables[0]!.rows[0]!;
  assert.deepEqual(none.slice(1, 3), [{ text: "–" }, { text: "over 15 min", mark: "bad" }]);
});

import assert from "node:assert/strict";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { encodeTcpPacket, type Endpoint } from "../../capture/encode_tcp.ts";
import { LinkType } from "../../capture/link_type.ts";
import { join, LITTLE } from "./reader_support.ts";
import { ROOT, runDeno } from "../support/run_deno.ts";

const tasks: Record<string, string> = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`)).tasks;

/** Runs a command with the permissions of its task. */
async function run(
  name: "flows" | "features" | "capture",
  args: readonly string[],
  input?: Uint8Array<ArrayBuffer>,
) {
  const [, ...flags] = tasks[name]!.split(" ");
  return await runDeno([...flags, ...args], input === undefined ? {} : { input });
}

/** Two bursts: a talk over IPv4, then one packet over IPv6. */
const CAPTURE = (() => {
  const four = [{ address: "10.0.0.1", port: 40000 }, { address: "10.0.0.2", port: 443 }] as const;
  const six = [{ address: "fd00::1", port: 50000 }, { address: "fd00::2", port: 25 }] as const;
  const frame = (
    [source, destination]: readonly [Endpoint, Endpoint],
    flags: number,
    payload = 0,
  ) => encodeTcpPacket(LinkType.raw, { source, destination, sequence: 1, flags, payload });
  return join(
    LITTLE.pcap(LinkType.raw),
    LITTLE.record(1_500_000_000, 123_456, frame(four, 2)),
    LITTLE.record(1_500_000_000, 223_456, frame([four[1], four[0]], 18)),
    LITTLE.record(1_500_000_000, 323_456, frame(four, 16, 100)),
    LITTLE.record(1_500_000_009, 0, frame(six, 16, 7)),
  );
})();

const LINES = "1500000000.123456 10.0.0.1 10.0.0.2 40000 443 tcp 2 1 180 40\n" +
  "1500000009.000000 fd00::1 fd00::2 50000 25 tcp 1 0 67 0\n";

Deno.test("flows: the seed's lines, JSON, CSV and parquet, from files and standard input", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const file = `${folder}/c.pcap`;
    await Deno.writeFile(file, CAPTURE);
    assert.deepEqual(await run("flows", [file]), { code: 0, out: LINES, err: "" });
    assert.deepEqual(await run("flows", ["-"], CAPTURE), { code: 0, out: LINES, err: "" });

    const json = (await run("flows", [file, "--json", "--packets"])).out.trim().split("\n")
      .map((line) => JSON.parse(line));
    assert.deepEqual(json[0].lengths, [40, -40, 140]);
    assert.deepEqual(json[0].times.map(Math.round), [0, 100, 200]);
    assert.deepEqual([json[1].burst, json[1].bytesSent, json[1].protocol], [1, 67, "tcp"]);

    const csv = (await run("flows", [file, "--csv"])).out.split("\n");
    assert.match(csv[0]!, /^burst,first,last,source_address,/);
    assert.equal(
      csv[2],
      "1,1500000009.000000,1500000009.000000,fd00::1,fd00::2,50000,25,tcp,1,0,67,0,burst",
    );

    const parquet = `${folder}/flows.parquet`;
    const { code, out, err } = await run("flows", [file, "--parquet", parquet]);
    assert.deepEqual([code, out, err], [0, "", ""]);
    const rows = await parquetReadObjects({ file: await asyncBufferFromFile(parquet) });
    assert.equal(rows.length, 2);
    assert.deepEqual(rows[0]!.first, new Date(1_500_000_000_123));
    assert.equal(rows[1]!.source_address, "fd00::1");
    assert.equal(rows[1]!.bytes_sent, 67n);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("flows: wrong usage exits with 2, what cannot be read with 1, in one line", async () => {
  for (
    const args of [
      [],
      ["x.pcap", "--interface", "lo"],
      ["x.pcap", "--filter", "tcp"],
      ["x.pcap", "--live"],
      ["x.pcap", "--json", "--csv"],
      ["x.pcap", "--packets"],
      ["x.pcap", "--local", "nowhere"],
      ["-", "-"],
      ["x.pcap", "--max-flows", "0"],
    ]
  ) {
    const { code, out, err } = await run("flows", args);
    assert.equal(code, 2, args.join(" "));
    assert.equal(out, "");
    assert.match(err, /^error: [^\n]+\n$/);
  }
  const { code, out, err } = await run("flows", ["no-such-file.pcap"]);
  assert.deepEqual([code, out, err], [1, "", "error: no-such-file.pcap: no such file\n"]);
});

Deno.test("flows: a capture cut short gives its flows and an error, and no half table", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const file = `${folder}/cut.pcap`;
    await Deno.writeFile(file, CAPTURE.subarray(0, CAPTURE.length - 1));
    const cut = await run("flows", [file]);
    assert.equal(cut.code, 1);
    assert.equal(cut.out, LINES.split("\n")[0] + "\n");
    assert.match(cut.err, /cut short/);
    assert.equal((await run("flows", [file, "--allow-truncated"])).code, 0);
    assert.equal((await run("flows", [file, "--parquet", `${folder}/t.parquet`])).code, 1);
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["cut.pcap"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("features: a row for each flow with its label and its capture as the group", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${folder}/mail`);
    await Deno.writeFile(`${folder}/a.pcap`, CAPTURE);
    await Deno.writeFile(`${folder}/mail/b.pcap`, CAPTURE);
    const args = [`${folder}/a.pcap`, `mail=${folder}/mail`, "--features", "seed5", "--local"];
    const csv = `${folder}/t.csv`;
    const made = await run("features", [...args, "10.0.0.2", "--json", "--out", csv]);
    assert.equal(made.code, 0, made.err);
    const said = JSON.parse(made.out);
    assert.equal(said.rows, 4);
    assert.deepEqual(said.labels.mail, { captures: 1, flows: 2, leftOut: 0 });
    const [head, ...rows] = (await Deno.readTextFile(csv)).trim().split("\n");
    assert.match(head!, /^label,group,burst,first,transport,.*bytesReceived$/);
    assert.deepEqual(rows.map((row) => row.split(",").slice(0, 3).join()), [
      `,${folder}/a.pcap,0`,
      `,${folder}/a.pcap,1`,
      `mail,${folder}/mail/b.pcap,0`,
      `mail,${folder}/mail/b.pcap,1`,
    ]);
    assert.match(rows[0]!, /,10\.0\.0\.2,443,10\.0\.0\.1,40000,6,1,2,40,180$/);

    const parquet = `${folder}/t.parquet`;
    const whole = await run("features", [`x=${folder}/a.pcap`, "--out", parquet]);
    assert.equal(whole.code, 0, whole.err);
    const table = await parquetReadObjects({ file: await asyncBufferFromFile(parquet) });
    assert.equal(table.length, 2);
    assert.equal(Object.keys(table[0]!).length, 9 + 54);
    assert.equal(table[0]!.label, "x");
    assert.equal(typeof table[0]!.sentLengthMean, "number");

    const wrong = await run("features", [`${folder}/a.pcap`, "--out", `${folder}/t.txt`]);
    assert.equal(wrong.code, 2);
    assert.match(wrong.err, /^error: --out [^\n]+\n$/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

const hasTcpdump = await new Deno.Command("tcpdump", { args: ["--version"] }).output()
  .then(({ success }) => success, () => false);

Deno.test({
  name:
    "privileged: capture writes files with the permissions of its task, in one piece and rotated",
  ignore: Deno.uid() !== 0 || !hasTcpdump,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      const one = await run("capture", [
        ...["--interface", "lo", "--seconds", "0.5", "--filter", "udp port 9"],
        ...["--out", `${folder}/one.pcap`],
      ]);
      assert.deepEqual([one.code, one.err], [0, ""]);
      assert.equal(one.out, `${folder}/one.pcap: 0 packets, 24 bytes, 0 dropped\n`);
      const more = await run("capture", [
        ...["--interface", "lo", "--seconds", "0.5", "--filter", "udp port 9", "--rotate", "1M"],
        ...["--out", `${folder}/more.pcap`, "--json"],
      ]);
      assert.equal(more.code, 0, more.err);
      assert.deepEqual(JSON.parse(more.out).files, [`${folder}/more-00001.pcap`]);
      const there = [...Deno.readDirSync(folder)].map(({ name }) => name);
      assert.deepEqual(there.sort(), ["more-00001.pcap", "one.pcap"]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

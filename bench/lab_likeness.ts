/**
 * How alike the two recordings of one traffic are: tcpdump's on the laboratory's link and the user-space
 * link's. Needs root: `deno run -A bench/lab_likeness.ts [MODEL [SESSIONS [CONNECTIONS]]]`. Plays over the
 * laboratory's link twice: its two recordings are the control, since the machine's own unrest is in both.
 *
 * @module
 */
import { Table } from "../base/table.ts";
import { randomBytes } from "node:crypto";
import { compareCover, pairRecordings, play, playOverLab } from "../evaluation/mod.ts";
import { demand } from "../lab/needs.ts";

const [model = "https", sessions = "4", connections = "60"] = Deno.args;
await demand([]);
const folder = await Deno.makeTempDir();
try {
  const what = {
    model,
    payload: new Uint8Array(randomBytes(100_000)),
    sessions: Number(sessions),
    connections: Number(connections),
    seed: "likeness",
    patience: 100_000,
  };
  const own = async (name: string) => {
    await Deno.mkdir(`${folder}/${name}`);
    return { folder: `${folder}/${name}`, clientLog: `${folder}/${name}/client.jsonl` };
  };
  const overLab = async (name: string) => {
    const { folder, clientLog } = await own(name);
    const { capture, packets, link } = await playOverLab({
      ...what,
      folder,
      out: `${folder}/cover.pcap`,
    });
    // deno-lint-ignore no-console
    console.log(`tcpdump: ${packets.captured} packets, ${packets.dropped} dropped;`, link);
    return { capture, clientLog };
  };
  const first = await overLab("lab");
  const { folder: here, clientLog } = await own("userspace");
  const { capture, linkLateness } = await play({ ...what, folder: here });
  const second = await overLab("control");
  const pairs = await pairRecordings(first, { capture, clientLog });
  const control = compareCover(await pairRecordings(first, second));
  const same = (of: (cover: typeof pairs[number]["both"][number]) => unknown) =>
    pairs.filter(({ both: [a, b] }) => String(of(a)) === String(of(b))).length;
  const table = new Table({
    head: ["feature", "tcpdump", "user-space", "KS", "tcpdump again", "KS"],
  });
  compareCover(pairs).forEach(({ name, medians: [lab, here], ks }, i) => {
    const again = control[i]!;
    table.push([
      name,
      ...[lab.toFixed(1), here.toFixed(1), ks.toFixed(3)],
      ...[again.medians[1].toFixed(1), again.ks.toFixed(3)],
    ]);
  });
  // deno-lint-ignore no-console
  console.log(
    table.toString(),
    `\n${pairs.length} connections in both; the same in both: ` +
      `bytes ${same(({ features }) => features.slice(0, 2))}, ` +
      `segments ${same(({ segments }) => segments)}, messages ${same(({ messages }) => messages)}`,
    `\nuser-space link late: ${linkLateness.mean.toFixed(2)} ms in the mean, ` +
      `${linkLateness.max.toFixed(1)} ms at most; load ${Deno.loadavg().map((x) => x.toFixed(1))}`,
  );
} finally {
  await Deno.remove(folder, { recursive: true });
}

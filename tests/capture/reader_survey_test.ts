import assert from "node:assert/strict";
import { surveyCaptures } from "../../capture/survey.ts";
import { ethernet, join, LITTLE } from "./reader_support.ts";

Deno.test("a survey tells what was read, cut and refused, and compares counts", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const bytes = join(
      LITTLE.pcap(1),
      LITTLE.record(1, 0, ethernet()),
      LITTLE.record(2, 0, ethernet({ sequence: 1005 })),
    );
    await Deno.mkdir(`${folder}/odd`);
    await Deno.writeFile(`${folder}/whole.pcap`, bytes);
    await Deno.writeFile(`${folder}/odd/cut.pcap`, bytes.subarray(0, bytes.length - 1));
    await Deno.writeTextFile(`${folder}/odd/text.pcap`, "no capture");
    await Deno.writeTextFile(
      `${folder}/odd/EXPECTED.tsv`,
      "file\tpackets\ncut.pcap\t2\ntext.pcap\t\n",
    );
    const told: string[] = [];
    const rows = await surveyCaptures(folder, ({ file }) => told.push(file));
    assert.deepEqual(told, ["odd/cut.pcap", "odd/text.pcap", "whole.pcap"]);
    const [cut, text, whole] = rows;
    assert.deepEqual(
      [cut!.verdict, cut!.packets, cut!.tcp, cut!.connections, cut!.expected],
      ["cut", 1, 1, 1, 2],
    );
    assert.match(cut!.message, /^cut short in the middle of a packet, after 1 whole packets/);
    assert.deepEqual([text!.verdict, text!.packets, text!.expected], ["refused", 0, undefined]);
    assert.deepEqual(
      [whole!.verdict, whole!.packets, whole!.tcp, whole!.connections, whole!.message],
      ["read", 2, 2, 1, ""],
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { readFlows } from "../../capture/mod.ts";
import { APPLICATIONS } from "../../lab/apps/applications.ts";
import type { CompactFile } from "../../lab/apps/compact.ts";
import type { AppsProvenance } from "../../lab/apps/record.ts";

const folder = fileURLToPath(new URL("../../samples/apps/", import.meta.url));
const provenance = JSON.parse(await Deno.readTextFile(`${folder}PROVENANCE.json`)) as
  & AppsProvenance
  & { compact: CompactFile[] };

Deno.test("apps: four rounds of five applications ship, as their provenance says", async () => {
  const expected = [1, 2, 3, 4].flatMap((round) =>
    APPLICATIONS.map((name) => `round-${round}/${name}.pcap.gz`)
  ).sort();
  assert.deepEqual(provenance.compact.map(({ file }) => file), expected);
  for (const { file, sha256, packets } of provenance.compact) {
    const bytes = await Deno.readFile(folder + file);
    assert.equal(createHash("sha256").update(bytes).digest("hex"), sha256, file);
    const recording = provenance.recordings.find((each) => each.file === file)!;
    assert.equal(recording.packets.captured, packets, file);
    assert.equal(recording.packets.dropped, 0, file);
    assert.equal(recording.did.failed, undefined, file);
    assert.ok(recording.minutes >= 10, file);
    let flows = 0;
    let own = 0;
    await readFlows(folder + file, {
      onFlow: ({ protocol, sourceAddress }) => {
        if (protocol === 6) flows++;
        if (sourceAddress === recording.client) own++;
      },
    });
    assert.ok(flows >= 200, `${file}: ${flows} flows`);
    assert.ok(own > 0, `${file}: the client is not in it`);
  }
});

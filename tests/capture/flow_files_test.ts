import assert from "node:assert/strict";
import fc from "fast-check";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { PcapFiles } from "../../capture/record.ts";
import { TableFile, TableFileError } from "../../capture/table_file.ts";
import { ethernet, join, LITTLE } from "./reader_support.ts";

const HEADER = LITTLE.pcap(1);
const RECORDS = Array.from(
  { length: 12 },
  (_, i) => LITTLE.record(i, 0, ethernet({ payload: new Uint8Array(i * 9) })),
);

Deno.test("recordings in any cutting: whole packets, in order, within the size", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const bytes = join(HEADER, ...RECORDS);
    let run = 0;
    fc.assert(
      fc.property(
        fc.array(fc.nat(bytes.length), { maxLength: 12 }),
        fc.constantFrom(1, 300, 500, Infinity),
        (cuts, limit) => {
          const path = `${folder}/${run++}.pcap`;
          const files = new PcapFiles(path, limit);
          const places = [0, ...cuts.toSorted((a, b) => a - b), bytes.length];
          for (const [i, to] of places.slice(1).entries()) files.push(bytes.slice(places[i]!, to));
          files.close();
          const contents = files.files.map((file) => Deno.readFileSync(file));
          for (const content of contents) {
            assert.deepEqual(content.subarray(0, 24), HEADER);
            const one = RECORDS.some((record) => record.length === content.length - 24);
            assert.ok(content.length <= limit || one);
          }
          assert.deepEqual(join(HEADER, ...contents.map((all) => all.subarray(24))), bytes);
          assert.equal(files.packets, RECORDS.length);
          assert.equal(files.files[0], limit === Infinity ? path : path.replace(".", "-00001."));
        },
      ),
      { numRuns: 60 },
    );
    assert.ok([...Deno.readDirSync(folder)].every(({ name }) => name.endsWith(".pcap")));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a recording that ends inside a packet keeps the whole ones", async () => {
  const folder = await Deno.makeTempDir();
  const files = new PcapFiles(`${folder}/r`, Infinity);
  files.push(join(HEADER, RECORDS[0]!, RECORDS[1]!.subarray(0, 20)));
  files.close();
  assert.deepEqual(await Deno.readFile(`${folder}/r`), join(HEADER, RECORDS[0]!));
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a table of several row groups, and one that is given up", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const columns = [
      { name: "text", type: "text" },
      { name: "count", type: "integer" },
      { name: "value", type: "number" },
      { name: "time", type: "time" },
    ] as const;
    const path = `${folder}/t.parquet`;
    const rows = 150_000;
    const table = new TableFile(path, "parquet", columns);
    for (let i = 0; i < rows; i++) table.add([`é${i % 100}`, 2 ** 40 + i, i / 3, 1000 + i]);
    table.close();
    const read = await parquetReadObjects({ file: await asyncBufferFromFile(path) });
    assert.equal(read.length, rows);
    for (const i of [0, 65_535, 65_536, rows - 1]) {
      assert.deepEqual(read[i], {
        text: `é${i % 100}`,
        count: BigInt(2 ** 40 + i),
        value: i / 3,
        time: new Date(1000 + i),
      });
    }
    const other = new TableFile(`${folder}/u.csv`, "csv", columns);
    other.add(["a", 1, 2, 3]);
    other.abort();
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["t.parquet"]);
    assert.throws(() => new TableFile(`${folder}/none/u.csv`, "csv", columns), TableFileError);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

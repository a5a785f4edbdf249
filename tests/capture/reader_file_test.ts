import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import {
  CaptureError,
  DamagedCaptureError,
  NotACaptureError,
  TruncatedCaptureError,
  UnreadableCaptureError,
} from "../../capture/capture_error.ts";
import { LinkType } from "../../capture/link_type.ts";
import { readCapture } from "../../capture/read_capture.ts";
import {
  type CaptureRecord,
  encodeCapture,
  writeCaptureFile,
} from "../../capture/write_capture.ts";
import { ethernet, join, LITTLE, type Seen, seen } from "./reader_support.ts";

function stream(bytes: Uint8Array<ArrayBuffer>, chunk = bytes.length) {
  const pieces = [];
  for (let at = 0; at < bytes.length; at += chunk) pieces.push(bytes.slice(at, at + chunk));
  return ReadableStream.from(pieces);
}

/** A capture of `n` packets. */
function capture(n: number): Uint8Array<ArrayBuffer> {
  const packet = LITTLE.record(1700000000, 0, ethernet());
  return join(LITTLE.pcap(1), ...new Array<Uint8Array>(n).fill(packet));
}

function gzipped(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(gzipSync(bytes));
}

async function count(bytes: Uint8Array<ArrayBuffer>, chunk?: number, allowTruncated = false) {
  let packets = 0;
  let error: unknown;
  const source = { name: "made.pcap", stream: stream(bytes, chunk) };
  const summary = await readCapture(source, () => packets++, { allowTruncated })
    .catch((thrown) => {
      error = thrown;
      return undefined;
    });
  return { packets, summary, error };
}

Deno.test("gzip is recognised by its bytes, in chunks of any size", async () => {
  const bytes = gzipped(capture(500));
  for (const chunk of [1, 2, 3, 1000, bytes.length]) {
    const { packets, summary, error } = await count(bytes, chunk);
    assert.equal(error, undefined);
    assert.equal(packets, 500);
    assert.equal(summary!.tcp, 500);
  }
});

Deno.test("gzip of several members is one file", async () => {
  const bytes = capture(500);
  const members = join(gzipped(bytes.subarray(0, 5000)), gzipped(bytes.subarray(5000)));
  assert.equal((await count(members)).packets, 500);
  assert.equal((await count(members, 700)).packets, 500);
});

Deno.test("gzip cut short: the packets before, then one line", async () => {
  const noise = new Uint8Array(60).map((_, i) => i * 37);
  const records = Array.from({ length: 2000 }, (_, i) => {
    noise[i % 60]! += 17 + i;
    return LITTLE.record(i, i * 331 % 1000, noise.slice());
  });
  const bytes = gzipped(join(LITTLE.pcap(1), ...records));
  const { packets, error } = await count(bytes.subarray(0, bytes.length - 30), 999);
  assert.ok(error instanceof TruncatedCaptureError, String(error));
  assert.match(error.message, /^made\.pcap: cut short: the gzip data has no end$/);
  assert.ok(packets > 1900 && packets < 2000, `${packets}`);
  const allowed = await count(bytes.subarray(0, bytes.length - 30), 999, true);
  assert.equal(allowed.error, undefined);
  assert.equal(allowed.summary!.packets, packets);
  assert.notEqual(allowed.summary!.truncatedAt, undefined);
});

Deno.test("gzip damaged: one line", async () => {
  const bytes = gzipped(capture(2000));
  bytes[40]! ^= 0xff;
  bytes[41]! ^= 0xff;
  const { error } = await count(bytes);
  assert.ok(error instanceof DamagedCaptureError, String(error));
  assert.match(error.message, /^made\.pcap: damaged gzip: [^\n]+$/);
  const checksum = gzipped(capture(20));
  checksum[checksum.length - 6]! ^= 1;
  assert.ok((await count(checksum)).error instanceof DamagedCaptureError);
});

Deno.test("gzip of a text is no capture, of a gzip neither", async () => {
  const text = await count(gzipped(new TextEncoder().encode("no capture at all")));
  assert.ok(text.error instanceof NotACaptureError);
  const twice = await count(gzipped(gzipped(capture(1))));
  assert.match(String(twice.error), /compressed with gzip/);
});

Deno.test("a file cut in the middle of a packet: an error, or on request a summary that says so", async () => {
  const bytes = capture(3);
  const cut = bytes.subarray(0, bytes.length - 7);
  const strict = await count(cut);
  assert.ok(strict.error instanceof TruncatedCaptureError);
  assert.equal(strict.packets, 2);
  assert.match(
    strict.error.message,
    /^made\.pcap: cut short in the middle of a packet, after 2 whole packets \(at byte \d+\)$/,
  );
  const allowed = await count(cut, undefined, true);
  assert.equal(allowed.summary!.packets, 2);
  assert.equal(allowed.summary!.truncatedAt, 24 + 2 * (bytes.length - 24) / 3);
  assert.ok((await count(bytes.subarray(0, 20), 5, true)).error instanceof TruncatedCaptureError);
});

Deno.test("files: read, missing, a folder; progress", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/some.pcap.gz`;
    const bytes = gzipped(capture(10));
    await Deno.writeFile(path, bytes);
    const progress: [number, number | undefined][] = [];
    const summary = await readCapture(path, () => {}, {
      onProgress: (done, total) => progress.push([done, total]),
    });
    assert.equal(summary.packets, 10);
    assert.equal(summary.name, path);
    assert.deepEqual(progress, [[bytes.length, bytes.length]]);
    await assert.rejects(readCapture(`${folder}/none`, () => {}), (error) => {
      assert.ok(error instanceof UnreadableCaptureError);
      assert.equal(error.message, `${folder}/none: no such file`);
      return true;
    });
    await assert.rejects(
      readCapture(folder, () => {}),
      /is a folder, not a capture: give the files in it$/,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a stream that fails, and a sink that throws", async () => {
  const failing = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.error(new Error("unplugged")),
  });
  await assert.rejects(
    readCapture({ name: "-", stream: failing }, () => {}),
    (error) => error instanceof CaptureError && error.message.startsWith("standard input: cannot"),
  );
  const mine = new Error("mine");
  await assert.rejects(
    readCapture({ name: "x", stream: stream(capture(2)) }, () => {
      throw mine;
    }),
    (error) => error === mine,
  );
});

async function roundTrip(
  records: readonly CaptureRecord[],
  format: "pcap" | "pcapng",
  resolution: "us" | "ns",
): Promise<Seen[]> {
  const packets: Seen[] = [];
  const encoded = ReadableStream.from(records).pipeThrough(
    encodeCapture({ format, resolution, linkType: LinkType.ethernet, comment: "made" }),
  );
  await readCapture({ name: "made", stream: encoded }, (packet) => packets.push(seen(packet)), {
    comments: true,
  });
  return packets;
}

Deno.test("property: what was written is read", async () => {
  // As precise as a float64 of milliseconds since 1970 is: a quarter of a microsecond.
  const time = fc.double({ min: 0, max: 2e12, noNaN: true });
  const record = fc.record({
    time,
    payload: fc.uint8Array({ maxLength: 40 }),
    extra: fc.nat(1500),
    comment: fc.option(fc.string({ unit: "binary" }), { nil: undefined }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(record, { maxLength: 30 }),
      fc.constantFrom("pcap" as const, "pcapng" as const),
      fc.constantFrom("us" as const, "ns" as const),
      async (made, format, resolution) => {
        const records = made.map(({ time, payload, extra, comment }): CaptureRecord => {
          const data = ethernet({ payload });
          return {
            time,
            data,
            wireLength: data.length + extra,
            ...(comment === undefined ? {} : { comment }),
          };
        });
        const packets = await roundTrip(records, format, resolution);
        assert.equal(packets.length, made.length);
        for (const [i, packet] of packets.entries()) {
          const { time, payload, comment } = made[i]!;
          const unit = resolution === "us" ? 1e-3 : 1e-6;
          assert.ok(Math.abs(packet.time - time) <= unit * 0.501 + time * 2 ** -52);
          assert.equal(packet.payload, payload.join());
          assert.equal(packet.comment, format === "pcapng" ? comment ?? "" : "");
        }
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("times since 1970 in nanoseconds come back exactly", async () => {
  const times = Array.from({ length: 2000 }, (_, i) => 1.7e12 + i * 12345.678901);
  for (const format of ["pcap", "pcapng"] as const) {
    const packets = await roundTrip(
      times.map((time) => ({ time, data: ethernet() })),
      format,
      "ns",
    );
    assert.deepEqual(packets.map(({ time }) => time), times);
  }
});

Deno.test("a comment longer than an option is cut at a character", async () => {
  const [packet] = await roundTrip(
    [{ time: 0, data: ethernet(), comment: "€".repeat(40000) }],
    "pcapng",
    "us",
  );
  assert.equal(packet!.comment, "€".repeat(21845));
});

Deno.test("a capture file is written whole or not at all", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/out.pcapng`;
    const records = function* (n: number) {
      for (let i = 0; i < 3000; i++) {
        if (i === n) throw new Error("no more");
        yield { time: i, data: ethernet() };
      }
    };
    const options = { linkType: LinkType.ethernet };
    await assert.rejects(writeCaptureFile(path, records(2000), options), /no more/);
    assert.deepEqual([...Deno.readDirSync(folder)], []);
    await writeCaptureFile(path, records(Infinity), options);
    assert.equal((await readCapture(path, () => {})).packets, 3000);
    assert.equal([...Deno.readDirSync(folder)].length, 1);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

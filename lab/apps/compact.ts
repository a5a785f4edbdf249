import { gzipSync } from "node:zlib";
import { createHash } from "node:crypto";
import { dirname } from "node:path";
import { UserError, writeFileAtomically } from "../../base/mod.ts";
import {
  type CaptureRecord,
  encodeCapture,
  LinkType,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  readCapture,
} from "../../capture/mod.ts";
import { SCRUBBED_EPOCH } from "../scrub.ts";
import type { AppsProvenance } from "./record.ts";

/** Milliseconds to which times are rounded: packets of a train then differ in little, and compress well. */
export const COMPACT_TICK = 2.048;

const IPV4_HEADER = 20;
const TCP_HEADER = 20;
const UDP_HEADER = 8;

/** What {@linkcode compact} did. */
export interface CompactReport {
  /** Packets written. */
  readonly packets: number;
  /** Packets left out: neither TCP nor UDP over IPv4. */
  readonly leftOut: number;
  /** Bytes of the file. */
  readonly bytes: number;
}

/**
 * Makes a capture small enough to ship: of each packet only what flows and their features are made of stays,
 * addresses, ports, protocol, TCP flags, lengths, and times rounded to {@linkcode COMPACT_TICK}. Sequence numbers,
 * windows, options, checksums and payload go; the first packet is at `SCRUBBED_EPOCH`. Flows have the same packets
 * of the same lengths as before, unless a gap was within a tick of what ends a burst.
 *
 * Reads the whole capture into memory: it is meant for samples.
 */
export async function compact(from: string, to: string): Promise<CompactReport> {
  const records: CaptureRecord[] = [];
  let leftOut = 0;
  let first = NaN;
  await readCapture(from, (packet) => {
    const { protocol } = packet;
    if (packet.version !== 4 || (protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP)) {
      leftOut++;
      return;
    }
    if (Number.isNaN(first)) first = packet.time;
    const header = packet.ipLength - IPV4_HEADER - packet.payloadLength;
    const data = new Uint8Array(
      IPV4_HEADER + (protocol === PROTOCOL_TCP ? TCP_HEADER : UDP_HEADER),
    );
    const view = new DataView(data.buffer);
    data[0] = 0x45;
    view.setUint16(2, packet.ipLength);
    data[8] = 64;
    data[9] = protocol;
    data.set(packet.addresses.subarray(0, 4), 12);
    data.set(packet.addresses.subarray(16, 20), 16);
    view.setUint16(IPV4_HEADER, packet.sourcePort);
    view.setUint16(IPV4_HEADER + 2, packet.destinationPort);
    if (protocol === PROTOCOL_TCP) {
      data[IPV4_HEADER + 12] = (header >> 2) << 4;
      data[IPV4_HEADER + 13] = packet.flags;
    } else {
      view.setUint16(IPV4_HEADER + 4, UDP_HEADER + packet.payloadLength);
    }
    const ticks = Math.round((packet.time - first) / COMPACT_TICK);
    const time = SCRUBBED_EPOCH + ticks * COMPACT_TICK;
    records.push({ time, data, wireLength: packet.ipLength });
  });
  const file = ReadableStream.from(records)
    .pipeThrough(encodeCapture({ format: "pcap", linkType: LinkType.raw }));
  const packed = gzipSync(new Uint8Array(await new Response(file).arrayBuffer()), { level: 9 });
  await writeFileAtomically(to, packed);
  return { packets: records.length, leftOut, bytes: packed.length };
}

/** A folder that is not one of recordings of applications. */
export class NoRecordings extends UserError {}

/** A small capture, and what it was made of. */
export interface CompactFile extends CompactReport {
  /** Relative to the folder of PROVENANCE.json. */
  readonly file: string;
  /** SHA-256 of the small capture. */
  readonly sha256: string;
}

/**
 * Makes each recording in `from`, a folder of `deno task lab apps record`, small and writes it to the same place in
 * `to`; PROVENANCE.json there says how each was recorded (of the original: size and digest), and of its small form.
 */
export async function compactRecordings(from: string, to: string): Promise<CompactFile[]> {
  let provenance: AppsProvenance;
  try {
    provenance = JSON.parse(await Deno.readTextFile(`${from}/PROVENANCE.json`)) as AppsProvenance;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound || error instanceof SyntaxError)) throw error;
    throw new NoRecordings(
      `${from}: there is no PROVENANCE.json of recordings in it: deno task lab apps record makes one`,
    );
  }
  const files: CompactFile[] = [];
  for (const { file } of provenance.recordings) {
    await Deno.mkdir(dirname(`${to}/${file}`), { recursive: true });
    const report = await compact(`${from}/${file}`, `${to}/${file}`);
    const sha256 = createHash("sha256").update(await Deno.readFile(`${to}/${file}`)).digest("hex");
    files.push({ file, sha256, ...report });
  }
  const text = JSON.stringify({ ...provenance, tick: COMPACT_TICK, compact: files }, undefined, 2);
  await writeFileAtomically(`${to}/PROVENANCE.json`, `${text}\n`);
  return files;
}

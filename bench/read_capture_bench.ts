/**
 * Packets a second of the capture reader: pcap and pcapng of headers only, as traces are published.
 *
 * @module
 */
import { CaptureParser } from "../capture/capture_parser.ts";
import { encodeTcpPacket } from "../capture/encode_tcp.ts";
import { LinkType } from "../capture/link_type.ts";
import { TCP_ACK } from "../capture/packet.ts";
import { encodeCapture } from "../capture/write_capture.ts";

const PACKETS = 300_000;

/** A capture in memory: 66 bytes kept of each packet of 1500. */
async function made(format: "pcap" | "pcapng"): Promise<Uint8Array[]> {
  const frame = encodeTcpPacket(LinkType.ethernet, {
    source: { address: "10.0.0.1", port: 40000 },
    destination: { address: "10.0.0.2", port: 443 },
    sequence: 1,
    flags: TCP_ACK,
    payload: 1448,
    timestamps: [1, 2],
  });
  const record = { data: frame.subarray(0, 66), wireLength: frame.length };
  const records = ReadableStream.from((function* () {
    for (let i = 0; i < PACKETS; i++) yield { time: 1.7e12 + i / 10, ...record };
  })());
  const options = { format, linkType: LinkType.ethernet };
  return await Array.fromAsync(records.pipeThrough(encodeCapture(options)));
}

for (const format of ["pcap", "pcapng"] as const) {
  const chunks = await made(format);
  Deno.bench(`${format}: read and decode ${PACKETS} packets`, { group: "capture" }, () => {
    let bytes = 0;
    const parser = new CaptureParser("made", (packet) => bytes += packet.payloadLength);
    for (const chunk of chunks) parser.push(chunk);
    if (parser.finish().tcp !== PACKETS || bytes !== 1448 * PACKETS) throw new Error("misread");
  });
}

import { encodeTcpPacket } from "../../capture/encode_tcp.ts";
import { LinkType } from "../../capture/link_type.ts";
import { TCP_ACK, TCP_FIN, TCP_SYN } from "../../capture/packet.ts";
import { readCapture } from "../../capture/read_capture.ts";
import { writeCaptureFile } from "../../capture/write_capture.ts";

interface Frame {
  time: number;
  data: Uint8Array;
}

/** An SSH packet in the clear: a key exchange message of some size, or NEWKEYS. */
function sshPacket(size: number, type: number): Uint8Array {
  const packet = new Uint8Array(size);
  new DataView(packet.buffer).setUint32(0, size - 4);
  packet[4] = 4;
  packet[5] = type;
  return packet;
}

/** Frames of a connection that says `talk`: payloads of the client, of the server, in turn. */
function frames(
  start: number,
  port: number,
  serverPort: number,
  talk: (Uint8Array | number)[],
): Frame[] {
  const client = { address: "192.0.2.7", port };
  const server = { address: "198.51.100.9", port: serverPort };
  const next = [1, 1];
  const all: Frame[] = [];
  let time = start;
  const send = (side: 0 | 1, flags: number, payload: Uint8Array | number = 0) => {
    const length = typeof payload === "number" ? payload : payload.length;
    const data = encodeTcpPacket(LinkType.ethernet, {
      source: side === 0 ? client : server,
      destination: side === 0 ? server : client,
      sequence: next[side]!,
      acknowledgement: flags === TCP_SYN ? 0 : next[1 - side]!,
      flags,
      payload,
    });
    all.push({ time: time += 20, data });
    next[side]! += length + ((flags & (TCP_SYN | TCP_FIN)) === 0 ? 0 : 1);
  };
  send(0, TCP_SYN);
  send(1, TCP_SYN | TCP_ACK);
  send(0, TCP_ACK);
  for (const [index, payload] of talk.entries()) send(index % 2 === 0 ? 0 : 1, TCP_ACK, payload);
  send(0, TCP_FIN | TCP_ACK);
  send(1, TCP_FIN | TCP_ACK);
  send(0, TCP_ACK);
  return all;
}

/** Writes a capture of `ssh` connections on port 22 and `web` ones on port 80. */
export async function writeMadeCapture(path: string, ssh: number, web: number): Promise<void> {
  const text = new TextEncoder();
  const all: Frame[] = [];
  for (let i = 0; i < ssh; i++) {
    const talk: (Uint8Array | number)[] = [
      text.encode("SSH-2.0-OpenSSH_9.2p1\r\n"),
      text.encode("SSH-2.0-OpenSSH_9.2p1\r\n"),
      sshPacket(1_000, 20),
      sshPacket(1_000, 20),
      sshPacket(16, 21),
      sshPacket(16, 21),
    ];
    for (let exchange = 0; exchange < 3 + i % 3; exchange++) {
      talk.push(36 + 8 * (i % 5), 100 + 8 * i);
    }
    all.push(...frames(1_700_000_000_000 + 5_000 * i, 40_000 + i, 22, talk));
  }
  for (let i = 0; i < web; i++) {
    all.push(...frames(1_700_000_000_000 + 7_000 * i, 50_000 + i, 80, [300, 1_200]));
  }
  all.sort((a, b) => a.time - b.time);
  await writeCaptureFile(path, ReadableStream.from(all), { linkType: LinkType.ethernet });
}

/** Writes the packets from the clients of a capture to one file, those to them to another. */
export async function splitByDirection(path: string, there: string, back: string): Promise<void> {
  const sides: Frame[][] = [[], []];
  await readCapture(path, ({ time, data, sourcePort, payloadStart, payloadCaptured }) => {
    // Ethernet, IPv4 and TCP headers without options stand before the payload.
    const start = payloadStart - 54;
    const frame = data.slice(start, payloadStart + payloadCaptured);
    sides[sourcePort > 1024 ? 0 : 1]!.push({ time, data: frame });
  });
  for (const [index, file] of [there, back].entries()) {
    await writeCaptureFile(file, sides[index]!, { linkType: LinkType.ethernet });
  }
}

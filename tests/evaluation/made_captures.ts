import {
  type CaptureRecord,
  encodeTcpPacket,
  LinkType,
  TCP_ACK,
  TCP_FIN,
  TCP_SYN,
  writeCaptureFile,
} from "../../capture/mod.ts";
import { Draws } from "../../plugins/attacks/draws.ts";

/** What the connections of a made capture carry: payload bytes, positive from the client. */
export type Dialogue = (draws: Draws) => readonly number[];

/** Short requests, large answers. */
export const BROWSING: Dialogue = (draws) => {
  const messages: number[] = [];
  for (let i = 2 + draws.integer(3); i > 0; i--) {
    messages.push(200 + draws.integer(200), -(800 + draws.integer(600)));
  }
  return messages;
};

/** Small messages to and fro. */
export const TYPING: Dialogue = (draws) => {
  const messages: number[] = [];
  for (let i = 12 + draws.integer(12); i > 0; i--) {
    messages.push(36 + draws.integer(8), -(36 + draws.integer(40)));
  }
  return messages;
};

/** The seed's constant rate. */
export const CONSTANT: Dialogue = () => Array.from({ length: 20 }, (_, i) => i % 2 ? -1448 : 1448);

/** The packets of `connections` whole TCP connections, with messages `gap` milliseconds apart. */
export function* madeConnections(
  dialogue: Dialogue,
  connections: number,
  seed: number,
  gap = 40,
): Generator<CaptureRecord> {
  const draws = new Draws(seed);
  let time = 1_700_000_000_000;
  for (let c = 0; c < connections; c++) {
    const ends = [
      { address: "10.0.0.1", port: 40000 + c },
      { address: "10.0.0.2", port: 4433 },
    ] as const;
    const next = [1000, 9000];
    const packet = (side: 0 | 1, flags: number, payload = 0): CaptureRecord => {
      const data = encodeTcpPacket(LinkType.ethernet, {
        source: ends[side],
        destination: ends[side === 0 ? 1 : 0],
        sequence: next[side]!,
        acknowledgement: next[1 - side]!,
        flags,
        payload,
      });
      next[side]! += payload + (flags & (TCP_SYN | TCP_FIN) ? 1 : 0);
      time += 1;
      return { time, data };
    };
    yield packet(0, TCP_SYN);
    yield packet(1, TCP_SYN | TCP_ACK);
    yield packet(0, TCP_ACK);
    for (const size of dialogue(draws)) {
      time += gap * (0.9 + 0.2 * draws.float());
      yield packet(size > 0 ? 0 : 1, TCP_ACK, Math.abs(size));
    }
    yield packet(0, TCP_FIN | TCP_ACK);
    yield packet(1, TCP_FIN | TCP_ACK);
    yield packet(0, TCP_ACK);
    time += 1000;
  }
}

/** Writes a capture of `connections` connections. */
export async function writeMadeCapture(
  path: string,
  dialogue: Dialogue,
  connections: number,
  seed: number,
): Promise<void> {
  await writeCaptureFile(path, madeConnections(dialogue, connections, seed), {
    format: "pcap",
    linkType: LinkType.ethernet,
  });
}

/** A folder with two protocols in three captures each, and one capture of constant rate. */
export async function withMadeCaptures(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [label, dialogue] of [["browsing", BROWSING], ["typing", TYPING]] as const) {
      await Deno.mkdir(`${folder}/${label}`);
      for (let run = 1; run <= 3; run++) {
        await writeMadeCapture(`${folder}/${label}/run-${run}.pcap`, dialogue, 12, run);
      }
    }
    await writeMadeCapture(`${folder}/constant.pcap`, CONSTANT, 30, 9);
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

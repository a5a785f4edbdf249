import type { Connection } from "../../capture/connection.ts";
import type { Message } from "../../capture/message.ts";
import { CLIENT, peerOf, SERVER, type Side } from "../../capture/side.ts";

/** Bytes of IP and TCP headers with timestamps; a SYN announces eight more. */
const HEADER = 52;
const SYN_HEADER = 60;
/** Payload bytes from which a segment tells a link's rate. */
const FULL = 1000;
/** Pairs of such segments from which a rate is believed. */
const LEAST_PAIRS = 20;
/** Round trips below this, in milliseconds, are the machine's on which the recorder ran. */
const OWN_MACHINE = 0.2;
/** Samples of each kind that are kept of a path. */
const MOST_SAMPLES = 4096;

/** What is known of the path between two addresses. */
interface Path {
  /** Round trips from the capture point, as the openings of connections showed them: to the client, to the server. */
  readonly trips: readonly [number[], number[]];
  /** Milliseconds a byte, from one full segment to the next behind it, by sender. */
  readonly paces: readonly [number[], number[]];
  /** What was sent at once, in bytes, and milliseconds from its first segment to the answer, by sender. */
  readonly answers: readonly [Answered[], Answered[]];
}

interface Answered {
  readonly bytes: number;
  readonly time: number;
}

/** Payload bytes of what is sent at once from which its answer tells of the link's rate, and milliseconds it takes. */
const LEAST_SENT = 4000;
const AT_ONCE = 2;
/** Such answers from which the rate is believed. */
const LEAST_ANSWERS = 5;
/** Share of such answers that are quicker than what the link alone takes to be. */
const QUICK_ANSWERS = 0.1;
/** Full segments that every sender may have under way. */
const FIRST_WINDOW = 10;
/** Share of a path's round trips that are shorter than what is taken to be its own. */
const QUICK = 0.02;

/**
 * How irregularly data comes, as a share of how openings do: those meet machines that sleep. An echo over the
 * laboratory's link answered within 0.16 ms of each other (interquartile), where openings took 0.36 ms.
 */
const DATA_JITTER = 0.45;

/** A message, and whether its think time holds the jitter of one round trip. */
export type PathMessage = Message & { readonly jittered?: boolean };

function median(list: readonly number[]): number {
  return list.toSorted((a, b) => a - b)[list.length >> 1]!;
}

function quick(list: readonly number[]): number {
  return list.toSorted((a, b) => a - b)[Math.floor(QUICK * list.length)]!;
}

/**
 * What the network adds to the times in a capture: round trips and how long bytes take on a slow link, of each pair
 * of addresses. The opening of one connection tells its round trip with whatever held those two packets up; the
 * quickest of all openings tell the path's, and how much the others are later its jitter. Segments that left together arrive at the pace of the slowest link.
 *
 * @example
 * ```ts
 * import { PathTimes } from "./path_times.ts";
 * if (new PathTimes().size !== 0) throw new Error("no path is known without connections");
 * ```
 */
export class PathTimes {
  readonly #paths = new Map<string, Path>();

  /** How many pairs of addresses were seen. */
  get size(): number {
    return this.#paths.size;
  }

  /** Takes in what a connection shows of its path. */
  add(connection: Connection): void {
    const key = keyOf(connection);
    let path = this.#paths.get(key);
    if (path === undefined) {
      path = { trips: [[], []], paces: [[], []], answers: [[], []] };
      this.#paths.set(key, path);
    }
    const { rtt, segments } = connection;
    for (const [side, trip] of [[CLIENT, rtt.client], [SERVER, rtt.server]] as const) {
      if (trip !== undefined && path.trips[side].length < MOST_SAMPLES) path.trips[side].push(trip);
    }
    this.#addAnswers(path, connection);
    for (let row = 1; row < segments.length; row++) {
      const side = segments.side[row] as Side;
      const size = segments.size[row]!;
      const paces = path.paces[side];
      if (side !== segments.side[row - 1] || size < FULL || segments.size[row - 1]! < FULL) {
        continue;
      }
      if (paces.length === MOST_SAMPLES) break;
      paces.push(Math.max(0, segments.time[row]! - segments.time[row - 1]!) / (size + HEADER));
    }
  }

  #addAnswers({ answers }: Path, { segments }: Connection): void {
    let bytes = 0;
    let headers = 0;
    let since = 0;
    for (let row = 0; row < segments.length; row++) {
      const side = segments.side[row] as Side;
      const time = segments.time[row]!;
      const before = row === 0 ? side : segments.side[row - 1] as Side;
      if (side !== before) {
        const own = answers[before];
        const all = bytes + headers;
        if (
          bytes >= LEAST_SENT && headers <= FIRST_WINDOW * HEADER && own.length < MOST_SAMPLES &&
          segments.time[row - 1]! - since < AT_ONCE
        ) own.push({ bytes: all, time: time - since });
        bytes = headers = 0;
      }
      if (bytes === 0) since = time;
      bytes += segments.size[row]!;
      headers += HEADER;
    }
  }

  /** Milliseconds a byte on the slow link of `connection`'s path; 0 where there is no telling. */
  #paceOf(connection: Connection, far: Side, trip: number): number {
    const path = this.#paths.get(keyOf(connection));
    if (path === undefined) return 0;
    // What comes from beyond the slow link shows its pace.
    if (path.paces[far].length >= LEAST_PAIRS) return median(path.paces[far]);
    // What leaves the recorder's side has yet to meet the link: its answers tell, the quickest of them.
    const told = path.answers[peerOf(far)].map(({ bytes, time }) => (time - trip) / bytes)
      .sort((a, b) => a - b);
    return told.length < LEAST_ANSWERS
      ? 0
      : Math.max(0, told[Math.floor(QUICK_ANSWERS * told.length)]!);
  }

  /**
   * `connection` with the round trips of its path in place of its own. One that is no more than the time that the
   * recorder's own machine takes counts as none: what an application there takes is what the wire shows.
   */
  settled(connection: Connection): Connection {
    const [client, server] = this.#paths.get(keyOf(connection))?.trips ?? [[], []];
    const trip = (all: readonly number[], own: number | undefined) => {
      const time = all.length === 0 ? own : quick(all);
      return time !== undefined && time < OWN_MACHINE ? 0 : time;
    };
    const { rtt } = connection;
    return {
      ...connection,
      rtt: { client: trip(client, rtt.client), server: trip(server, rtt.server) },
    };
  }

  /** Milliseconds that data takes longer than the round trips of the paths, as their openings tell. */
  jitter(): number[] {
    return [...this.#paths.values()].flatMap(({ trips }) => {
      const [client, server] = trips.map((all) => all.length === 0 ? 0 : median(all));
      const far = trips[server! >= client! ? SERVER : CLIENT];
      if (far.length < LEAST_PAIRS) return [];
      const trip = quick(far);
      const typical = median(far);
      // What is far above the median waited behind other packets, as bytes do on the link that is played on.
      return far.map((one) => DATA_JITTER * Math.max(0, Math.min(one, 2 * typical - trip) - trip));
    });
  }

  /**
   * The messages of a connection that {@linkcode PathTimes.settled} gave, their think times without what the slow
   * link took for the bytes that were waited for and for the answer's first segment. Which side of the capture
   * point that link is on shows in the round trips; it is taken to be as fast in both directions.
   */
  withoutPace(connection: Connection, messages: readonly Message[]): readonly PathMessage[] {
    const { client = 0, server = 0 } = connection.rtt;
    const far: Side = server >= client ? SERVER : CLIENT;
    const pace = this.#paceOf(connection, far, far === SERVER ? server : client);
    const mss = segmentSize(connection);
    const on = (bytes: number) =>
      pace * Math.max(0, bytes + HEADER * Math.ceil(bytes / mss) - SYN_HEADER);
    const before: [Message | undefined, Message | undefined] = [undefined, undefined];
    return messages.map((message) => {
      const { lead, side, size, time } = message;
      const heard = before[peerOf(side)];
      const own = before[side];
      before[side] = message;
      // Tickets may go out right before the first answer: a carrier sends them when it likes.
      const think = own === undefined && heard !== undefined && lead === 0
        ? Math.max(message.think, time - heard.end - (side === CLIENT ? client : server))
        : message.think;
      // What waited for its own side's message before it, waited for no bytes.
      if (heard === undefined || think >= time - (own?.end ?? -Infinity) - 1e-6) return message;
      const span = heard.end - heard.time;
      // Played, a message is sent at once: what its sender took for it in between is waited for, too.
      const whole = lead === 0 && heard.size <= FIRST_WINDOW * mss && time >= heard.end &&
        (own === undefined || own.time < heard.time);
      const slower = whole ? Math.max(0, span - on(heard.size)) : 0;
      if (side !== far) return { ...message, think: think + slower };
      const last = Math.min(heard.size, mss, heard.size % mss || mss);
      const taken = Math.max(on(last), on(heard.size) - span) + on(Math.min(size, mss));
      return { ...message, think: Math.max(0, think + slower - taken), jittered: true };
    });
  }
}

/**
 * What each message was written in, where no records show it: a segment that is not full ends a write. In the order
 * of `messages`; `from` are the bytes of each side's stream before its first message.
 */
export function writesOf(
  { segments }: Connection,
  messages: readonly Message[],
  from: readonly [number, number],
): number[][] {
  const ends: [number[], number[]] = [[], []];
  for (let row = 0; row < segments.length; row++) {
    const side = segments.side[row] as Side;
    // Full ones may go on: what follows in the same write fills the next segment.
    if (segments.size[row]! < FULL) ends[side].push(segments.offset[row]! + segments.size[row]!);
  }
  for (const list of ends) list.sort((a, b) => a - b);
  const at: [number, number] = [from[0], from[1]];
  const next: [number, number] = [0, 0];
  return messages.map(({ side, size }) => {
    const end = at[side] + size;
    const own = ends[side];
    const writes: number[] = [];
    while (next[side] < own.length && own[next[side]]! < end) {
      const stop = own[next[side]++]!;
      if (stop <= at[side]) continue;
      writes.push(stop - at[side]);
      at[side] = stop;
    }
    writes.push(end - at[side]);
    at[side] = end;
    return writes;
  });
}

function keyOf({ clientAddress, serverAddress, serverPort }: Connection): string {
  return `${clientAddress} ${serverAddress} ${serverPort}`;
}

function segmentSize({ segments }: Connection): number {
  let most = 1;
  for (let row = 0; row < segments.length; row++) most = Math.max(most, segments.size[row]!);
  return most;
}

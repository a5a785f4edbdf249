import type { Connection } from "../../capture/connection.ts";
import { exchangesOf, greetingOf } from "../../capture/exchanges.ts";
import type { Message } from "../../capture/message.ts";
import { messagesOf } from "../../capture/messages.ts";
import { CLIENT } from "../../capture/side.ts";
import { roundTime } from "../quantile_table.ts";
import { SeededRandom, substream } from "../random.ts";
import { LEAST_SIZE, patternOf } from "../records.ts";
import type { ObservedConnection, ObservedExchange, ObservedMessage } from "./observation.ts";
import { cleared } from "./jitter.ts";
import { type PathMessage, PathTimes, writesOf } from "./path_times.ts";
import { isOf, type LearnableProtocol } from "./protocols.ts";
import { Timeline } from "./timeline.ts";

/** Why a connection was not learned from. */
export type LeftOut =
  | "another protocol"
  | "not encrypted, or the port of another protocol"
  | "opening not captured"
  | "one direction only"
  | "bytes missing from the capture"
  | "longer than the reader keeps"
  | "end of the handshake unknown"
  | "end not captured"
  | "no exchange after the handshake"
  | "message too small for the protocol"
  | "more exchanges than are kept"
  | "left to chance: enough others";

/** Limits of an {@linkcode Observer}. */
export interface ObserverOptions {
  /** The protocol to observe. */
  readonly protocol: LearnableProtocol;
  /** Label connections by their server's port instead of by their handshake. Default false. */
  readonly byPort?: boolean;
  /** 32 bytes: decides which connections stay where there are too many. */
  readonly seed: Uint8Array;
  /** Most connections kept. Default 4,000. */
  readonly mostConnections?: number;
  /** Most exchanges kept, of all connections together. Default 40,000. */
  readonly mostExchanges?: number;
}

/** What was seen of one capture. */
export interface CaptureCounts {
  /** Connections of any protocol. */
  connections: number;
  /** Connections taken as observations, those dropped by chance later included. */
  used: number;
  /** Of those, connections whose handshake's end was estimated from sizes. */
  estimated: number;
  /** Of those, connections in which the server spoke first. */
  greeted: number;
  /** Least start in milliseconds since the Unix epoch; undefined without connections. */
  first: number | undefined;
  /** Greatest end likewise. */
  last: number | undefined;
}

/** Connections, and segments of theirs, that wait until more is known of their paths. */
const MOST_WAITING = { connections: 500, segments: 1_000_000 } as const;

/**
 * Milliseconds of silence inside what fits a first window that are its sender's own: a link that takes longer for a
 * segment has one packet a time, and nothing to wait for.
 */
const PAUSE = 2.5;
/** Milliseconds of a round trip from which on its absence shows. */
const LEAST_TRIP = 5;
/** Values of the jitter that are kept. */
const MOST_JITTER = 20_000;

/** Bytes of a TLS alert that closes: on a connection that was never used they are all that its client says. */
const CLOSE_ALERT = 24;

/**
 * Whether a connection's client said anything: browsers open some that they then do not use. Cover has none of those,
 * so they count neither for how many start nor when.
 */
function carries({ handshake, missingBytes, segments }: Connection): boolean {
  if (handshake.end === "unknown") return true;
  let bytes = missingBytes[CLIENT];
  for (let i = 0; i < segments.length; i++) {
    if (segments.side[i] === CLIENT) bytes += segments.size[i]!;
  }
  return bytes > handshake.bytes[CLIENT] + CLOSE_ALERT;
}

type MessagesOf = (connection: Connection) => readonly PathMessage[];

interface Waiting {
  readonly connection: Connection;
  readonly messagesOf: MessagesOf;
  readonly number: number;
}

interface Kept {
  readonly priority: number;
  readonly observed: ObservedConnection;
}

/**
 * Turns connections into observations of one protocol, in bounded memory: beyond its limits it keeps an
 * even random sample (each connection draws a priority, the lowest stay). Counts what it leaves out, and
 * why. Addresses serve to find episodes and go no further.
 */
export class Observer {
  readonly #options: Required<ObserverOptions>;
  readonly #random: SeededRandom;
  #paths = new PathTimes();
  readonly #jitter: number[] = [];
  #waiting: Waiting[] = [];
  #waitingSegments = 0;
  /** The number of the connection looked at last. */
  #number = -1;
  readonly #leftOut = new Map<LeftOut, number>();
  /** A heap by priority, highest first. */
  readonly #kept: Kept[] = [];
  #exchanges = 0;
  #limit = Infinity;
  #capture = newCounts();
  /** Starts and ends of the protocol's connections. */
  readonly timeline = new Timeline();
  /** Counts of each capture ended so far. */
  readonly captures: CaptureCounts[] = [];

  /** Starts without observations. */
  constructor(options: ObserverOptions) {
    this.#options = { byPort: false, mostConnections: 4_000, mostExchanges: 40_000, ...options };
    this.#random = new SeededRandom(substream(options.seed, "sample", options.protocol.name));
  }

  /** How many connections were left out for each reason. */
  get leftOut(): ReadonlyMap<LeftOut, number> {
    this.#observeWaiting();
    return this.#leftOut;
  }

  /**
   * Takes one connection; its messages are asked for only where they may be used, and when other connections have
   * told of its path: with the round trips of the path in place of its own.
   */
  add(connection: Connection, messages?: MessagesOf): void {
    const counts = this.#capture;
    counts.connections++;
    this.#number++;
    counts.first = Math.min(counts.first ?? Infinity, connection.startTime);
    counts.last = Math.max(counts.last ?? -Infinity, connection.endTime);
    const unusable = this.#unusable(connection);
    if (unusable !== undefined) {
      this.#leave(unusable);
      return;
    }
    this.#paths.add(connection);
    this.#waiting.push({
      connection,
      messagesOf: messages ?? this.#pausesApart,
      number: this.#number,
    });
    this.#waitingSegments += connection.segments.length;
    const { connections, segments } = MOST_WAITING;
    if (this.#waiting.length >= connections || this.#waitingSegments >= segments) {
      this.#observeWaiting();
    }
  }

  /** A message with a pause of its sender's own in it is played as two, the second after the pause. */
  readonly #pausesApart: MessagesOf = (connection) => {
    const messages = messagesOf(connection, { pauses: "split", pause: PAUSE });
    const writes = connection.records.length > 0
      ? undefined
      : writesOf(connection, messages, connection.handshake.bytes);
    return this.#paths.withoutPace(
      connection,
      writes === undefined
        ? messages
        : messages.map((message, i) => ({ ...message, records: writes[i]! })),
    );
  };

  #observeWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#waitingSegments = 0;
    for (const { connection, messagesOf, number } of waiting) {
      const observed = this.#observe(this.#paths.settled(connection), messagesOf);
      if (typeof observed === "string") {
        this.#leave(observed);
        continue;
      }
      this.#capture.used++;
      if (connection.handshake.end === "estimated") this.#capture.estimated++;
      this.#keep({ ...observed, number });
    }
  }

  #leave(reason: LeftOut): void {
    this.#leftOut.set(reason, (this.#leftOut.get(reason) ?? 0) + 1);
  }

  #unusable(connection: Connection): LeftOut | undefined {
    const { protocol, byPort } = this.#options;
    const { handshake, end } = connection;
    if (!isOf(connection, protocol, byPort)) return "another protocol";
    if (connection.start !== "syn") return "opening not captured";
    if (carries(connection)) {
      const { clientAddress, endTime, startTime } = connection;
      const over = end.time === undefined ? undefined : startTime + end.time;
      const closed = end.by === CLIENT && end.how === "fin" ? over : undefined;
      this.timeline.add(clientAddress, startTime, endTime, { closed, over, number: this.#number });
    }
    if (connection.oneSided) return "one direction only";
    if (handshake.carrier !== "unknown" && !protocol.handshakes.includes(handshake.carrier)) {
      return "not encrypted, or the port of another protocol";
    }
    if (handshake.end === "unknown") return "end of the handshake unknown";
    if (connection.truncatedSegments > 0) return "longer than the reader keeps";
    if (connection.missingBytes[0] > 0 || connection.missingBytes[1] > 0) {
      return "bytes missing from the capture";
    }
    if (
      (end.how !== "fin" && end.how !== "rst") || end.by === undefined || end.time === undefined
    ) {
      return "end not captured";
    }
    return undefined;
  }

  #observe(connection: Connection, messagesOf: MessagesOf): ObservedConnection | LeftOut {
    const { handshake, end } = connection;
    const messages = messagesOf(connection);
    if (messages.some(({ size }) => size < LEAST_SIZE)) return "message too small for the protocol";
    const exchanges = exchangesOf(messages);
    if (exchanges.length === 0) return "no exchange after the handshake";
    if (exchanges.length > this.#options.mostExchanges / 10) return "more exchanges than are kept";
    const observed: ObservedExchange[] = exchanges.map(({ request, responses }) => ({
      request: observedMessage(request),
      responses: responses.map((response) => observedMessage(response)),
    }));
    const greeting = greetingOf(messages);
    if (greeting.length > 0) {
      this.#capture.greeted++;
      observed[0] = afterGreeting(
        greeting,
        exchanges[0]!.request,
        observed[0]!,
        handshake.duration,
      );
    }
    const last = messages.reduce((a, b) => b.end > a.end ? b : a);
    // The peer's bytes needed a round trip between the capture point and the closer.
    const { client, server } = connection.rtt;
    const own = (end.by === CLIENT ? client : server) ?? 0;
    const trip = last.side === end.by ? 0 : own;
    // A FIN is acknowledged by who sent the other: from beyond the path that takes a round trip. A reset is not.
    const reset = end.how === "fin" && own >= LEAST_TRIP &&
      connection.endTime - connection.startTime - end.time! < own / 2;
    return {
      exchanges: observed,
      close: {
        by: end.by === CLIENT ? "client" : "server",
        how: end.how as "fin" | "rst",
        time: roundTime(Math.max(0, end.time! - last.end - trip)),
        ...(reset ? { answer: "rst" as const } : {}),
      },
    };
  }

  #keep(observed: ObservedConnection): void {
    const priority = this.#random.float();
    if (priority >= this.#limit) {
      this.#leave("left to chance: enough others");
      return;
    }
    const { mostConnections, mostExchanges } = this.#options;
    push(this.#kept, { priority, observed });
    this.#exchanges += observed.exchanges.length;
    while (this.#kept.length > mostConnections || this.#exchanges > mostExchanges) {
      const dropped = pop(this.#kept);
      this.#limit = dropped.priority;
      this.#exchanges -= dropped.observed.exchanges.length;
      this.#leave("left to chance: enough others");
    }
  }

  /** A capture has ended. */
  endCapture(): void {
    this.#observeWaiting();
    this.#jitter.push(...this.#paths.jitter().slice(0, MOST_JITTER - this.#jitter.length));
    this.#paths = new PathTimes();
    this.timeline.endCapture(this.#capture.last ?? 0);
    this.captures.push(this.#capture);
    this.#capture = newCounts();
  }

  /** The observations kept, in an even random order. */
  observations(): ObservedConnection[] {
    this.#observeWaiting();
    const kept = [...this.#kept].sort((a, b) => a.priority - b.priority);
    return cleared(kept.map(({ observed }) => observed), this.#jitter);
  }
}

function newCounts(): CaptureCounts {
  return { connections: 0, used: 0, estimated: 0, greeted: 0, first: undefined, last: undefined };
}

function observedMessage({ jittered, size, think, lead, records }: PathMessage): ObservedMessage {
  const whole = records.reduce((sum, record) => sum + record, 0) === size &&
    records.every((record) => record >= LEAST_SIZE);
  return {
    size,
    think: roundTime(think),
    lead,
    records: whole ? patternOf(records) : [],
    ...(jittered ? { jittered } : {}),
  };
}

/**
 * The first exchange where the server spoke before it. A cover server may say nothing before it knows
 * who is there, so the greeting goes out at once when the first request has come, ahead of the answer;
 * the request takes the time that it took after the handshake.
 */
function afterGreeting(
  greeting: readonly Message[],
  request: Message,
  { request: observed, responses }: ObservedExchange,
  handshakeEnd: number,
): ObservedExchange {
  return {
    request: {
      ...observed,
      lead: 0,
      think: roundTime(Math.max(0, request.time - handshakeEnd)),
    },
    responses: [
      ...greeting.map((message) => ({ ...observedMessage(message), lead: 0, think: 0 })),
      ...responses,
    ],
  };
}

function push(heap: Kept[], item: Kept): void {
  let at = heap.push(item) - 1;
  while (at > 0) {
    const parent = (at - 1) >>> 1;
    if (heap[parent]!.priority >= item.priority) break;
    heap[at] = heap[parent]!;
    at = parent;
  }
  heap[at] = item;
}

function pop(heap: Kept[]): Kept {
  const top = heap[0]!;
  const item = heap.pop()!;
  if (heap.length === 0) return top;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && heap[child + 1]!.priority > heap[child]!.priority) child++;
    if (heap[child]!.priority <= item.priority) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = item;
  return top;
}

import { CLIENT, peerOf, SERVER, type Side } from "../capture/side.ts";
import { TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN } from "../capture/packet.ts";
import { EventQueue } from "../base/event_queue.ts";
import type { LinkProfile } from "./link_profile.ts";

/** A packet as a recorder at the client's end of the path sees it. */
export interface PathPacket {
  /** Milliseconds on the path's clock: of sending for the client's packets, of arrival for the others. */
  readonly time: number;
  /** The connection's number. */
  readonly connection: number;
  /** Who sent it. */
  readonly side: Side;
  /** TCP flags. */
  readonly flags: number;
  /** Bytes of the sender's stream before this packet's payload. */
  readonly offset: number;
  /** Payload bytes. */
  readonly length: number;
  /** Sequence numbers of the sender used before it: `offset`, and its SYN and FIN. */
  readonly sequence: number;
  /** Sequence numbers of the peer that it acknowledges, likewise; 0 on the first SYN. */
  readonly acknowledgement: number;
}

/** What a path reports, each at its time, in order of time. */
export interface PathListener {
  /** A packet passed the client's end. */
  onPacket(packet: PathPacket): void;
  /** The connection reached the server: what a server's `accept` would return now. */
  onAccept(connection: number): void;
  /** Bytes `[start, end)` of a side's stream arrived at the other end. */
  onData(connection: number, from: Side, start: number, end: number): void;
  /** A side's stream ended, and all of it has arrived. */
  onEnd(connection: number, from: Side): void;
  /** A side aborted the connection, and the other end heard of it. */
  onReset(connection: number, from: Side): void;
  /** All written bytes of a side have left it: a writer that paused may go on. */
  onSent?(connection: number, side: Side): void;
}

/** Segments that may be under way before the first acknowledgement (RFC 6928). */
const INITIAL_WINDOW = 10;
/** Milliseconds that an acknowledgement may wait for company, as Linux has it. */
const DELAYED_ACK = 40;
/** Segments acknowledged at once at the start of a connection, as Linux has it. */
const QUICK_ACKS = 16;
/** Least retransmission timeout above the round trip: an idle time that shrinks the window. */
const MIN_TIMEOUT = 200;
/** IP and TCP headers with timestamps. */
const HEADER = 52;
/** IP and TCP headers of a packet with SYN, which announces more. */
const SYN_HEADER = 60;
/** Milliseconds between packets that a host sends in one go, as recorders see them. */
const BURST_GAP = 0.008;
/** Milliseconds between packets that are late together. */
const SAME_BURST = 1;
/** Window above which slow start looks for a growing queue (HyStart). */
const HYSTART_LOW_WINDOW = 16;
const HYSTART_SAMPLES = 8;
const HYSTART_ACK_GAP = 2;

/** One direction of the link, shared by all connections: a slow hop that never drops, then a delay. */
class Hop {
  #freeAt = -Infinity;
  #lastDue = -Infinity;
  #lastArrival = -Infinity;
  #late = 0;
  readonly #msPerByte: number;

  constructor(
    rateMbit: number,
    readonly delay: number,
    readonly lateness: (() => number) | undefined,
  ) {
    this.#msPerByte = rateMbit > 0 ? 8 / (rateMbit * 1000) : 0;
  }

  /** When a packet offered at `time` arrives. */
  arrival(time: number, bytes: number): number {
    this.#freeAt = Math.max(time, this.#freeAt) + bytes * this.#msPerByte;
    const due = this.#freeAt + this.delay;
    if (this.lateness === undefined) return due;
    // What holds up a packet holds up those right behind it; late or not, packets keep their order.
    if (due - this.#lastDue > SAME_BURST) this.#late = this.lateness();
    this.#lastDue = due;
    return this.#lastArrival = Math.max(this.#lastArrival, due + this.#late);
  }
}

interface Segment {
  readonly end: number;
  readonly sentAt: number;
}

/** What one end of a connection knows. */
class End {
  established = false;
  /** Reset, or told of a reset: nothing more is sent or taken. */
  dead = false;
  // Sending.
  written = 0;
  sent = 0;
  acked = 0;
  readonly flight: Segment[] = [];
  window = INITIAL_WINDOW;
  threshold = Infinity;
  growth = 0;
  lastSend = -Infinity;
  // How far the window is made use of, noted per window of bytes: those up to `useEnd`.
  limited = false;
  mostInFlight = 0;
  useEnd = 0;
  used = 0;
  usedSince = 0;
  ending = false;
  finSent = false;
  finAcked = false;
  // Round trips, for the window.
  rtt = 0;
  minRtt = Infinity;
  roundEnd = 0;
  roundStart = 0;
  roundMin = Infinity;
  roundSamples = 0;
  lastAck = 0;
  // Receiving.
  received = 0;
  acknowledged = 0;
  finReceived = false;
  quick = QUICK_ACKS;
  interactive = false;
  lastReceive = -Infinity;
  ackTimer = 0;
  ackWaiting = false;
}

/** The part of a packet that its receiver looks at. */
interface Arriving {
  readonly flags: number;
  readonly offset: number;
  readonly length: number;
  /** Stream bytes acknowledged, and whether the FIN is. */
  readonly acked: number;
  readonly finAcked: boolean;
}

/**
 * TCP connections over one path, in a time that its caller tells: turns writes at times into segments
 * at times. It knows sizes only, no bytes and no sockets.
 *
 * The path delays, and forwards at a rate that all connections share; it never drops. The ends do what
 * shapes the timing of TCP on Linux: an initial window of ten segments, slow start by acknowledgements
 * (left when acknowledgements tell of a queue, as HyStart does) and then linear growth, a window that
 * shrinks when idle, no Nagle, acknowledgements at once at first and then of every second segment, with
 * data, or after 40 ms. The window is capped at what path and queue hold, so that a real link would not
 * have dropped either.
 *
 * Call {@linkcode TcpPath.advance} before each input, with the input's time; inputs in the past count as
 * now. Listener calls come out of `advance` and out of inputs.
 *
 * @example
 * ```ts
 * import { TcpPath } from "./tcp_path.ts";
 * const arrivals: string[] = [];
 * const path = new TcpPath({ oneWayDelayMs: 20, rateMbit: 0, queueKB: 256, mss: 1448 }, {
 *   onPacket() {},
 *   onAccept: () => arrivals.push(`accept ${path.now}`),
 *   onData: (_, from, start, end) => arrivals.push(`${from} ${start}-${end} ${Math.floor(path.now)}`),
 *   onEnd() {},
 *   onReset() {},
 * });
 * const connection = path.open();
 * path.write(connection, 0, 2000); // leaves when the SYN-ACK is there
 * path.advance(100);
 * if (arrivals.join() !== "accept 60,0 0-1448 60,0 1448-2000 60") throw new Error(arrivals.join());
 * ```
 */
export class TcpPath {
  readonly #profile: Omit<LinkProfile, "name">;
  readonly #listener: PathListener;
  readonly #queue = new EventQueue<() => void>();
  readonly #hops: readonly [Hop, Hop];
  readonly #maxWindow: number;
  readonly #connections = new Map<number, readonly [End, End]>();
  #opened = 0;
  #now = 0;
  #lastStamp = -Infinity;

  /**
   * `profile` is the same both ways. Time starts at 0, or wherever the first `advance` puts it. `lateness` draws the
   * milliseconds that a packet comes later than the profile says.
   */
  constructor(
    profile: Omit<LinkProfile, "name">,
    listener: PathListener,
    lateness?: () => number,
  ) {
    this.#profile = profile;
    this.#listener = listener;
    this.#hops = [
      new Hop(profile.rateMbit, profile.oneWayDelayMs, lateness),
      new Hop(profile.rateMbit, profile.oneWayDelayMs, lateness),
    ];
    const inFlight = profile.rateMbit * 125 * 2 * profile.oneWayDelayMs + profile.queueKB * 1024;
    this.#maxWindow = profile.rateMbit > 0
      ? Math.max(INITIAL_WINDOW, Math.floor(inFlight / (profile.mss + HEADER)))
      : Infinity;
  }

  /** The path's time in milliseconds. */
  get now(): number {
    return this.#now;
  }

  /** When something happens next by itself; `Infinity` with nothing under way. */
  get next(): number {
    return this.#queue.next;
  }

  /** Connections that are not over. */
  get size(): number {
    return this.#connections.size;
  }

  /** Lets everything happen that is due until `time`. */
  advance(time: number): void {
    while (this.#queue.next <= time) {
      const { time: due, what: run } = this.#queue.take()!;
      this.#now = Math.max(this.#now, due);
      run();
    }
    this.#now = Math.max(this.#now, time);
  }

  /** The client opens a connection now; returns its number, counted from 0. */
  open(): number {
    const id = this.#opened++;
    const ends = [new End(), new End()] as const;
    this.#connections.set(id, ends);
    const sentAt = this.#now;
    this.#transmit(id, CLIENT, TCP_SYN, 0, 0, () => {
      this.#transmit(id, SERVER, TCP_SYN | TCP_ACK, 0, 0, () => {
        const client = ends[CLIENT];
        if (client.dead) return;
        client.established = true;
        client.usedSince = this.#now;
        this.#sampleRtt(client, this.#now - sentAt);
        this.#transmit(id, CLIENT, TCP_ACK, 0, 0, () => this.#accept(id));
        this.#send(id, CLIENT);
      });
    });
    return id;
  }

  /** A side writes `bytes` now; they wait for the handshake and for the window. */
  write(connection: number, side: Side, bytes: number): void {
    const end = this.#connections.get(connection)?.[side];
    if (end === undefined || end.dead || end.ending) return;
    end.written += bytes;
    this.#send(connection, side);
  }

  /** A side ends its stream now: what it wrote still goes out first. */
  end(connection: number, side: Side): void {
    const end = this.#connections.get(connection)?.[side];
    if (end === undefined || end.dead || end.ending) return;
    end.ending = true;
    this.#send(connection, side);
  }

  /** A side aborts now: what it wrote and had not sent is lost. */
  reset(connection: number, side: Side): void {
    const end = this.#connections.get(connection)?.[side];
    if (end === undefined || end.dead) return;
    end.dead = true;
    end.ackWaiting = false;
    this.#transmit(connection, side, TCP_RST | TCP_ACK, end.sent, 0, () => {
      const other = this.#connections.get(connection)?.[peerOf(side)];
      if (other !== undefined && !other.dead) {
        other.dead = true;
        other.ackWaiting = false;
        this.#listener.onReset(connection, side);
      }
      // Packets that are still under way find no connection any more.
      this.#connections.delete(connection);
    });
  }

  /** Bytes that a side wrote and that have not left it. */
  unsent(connection: number, side: Side): number {
    const end = this.#connections.get(connection)?.[side];
    return end === undefined || end.dead ? 0 : end.written - end.sent;
  }

  #accept(id: number): void {
    const ends = this.#connections.get(id);
    if (ends === undefined || ends[SERVER].established || ends[SERVER].dead) return;
    ends[SERVER].established = true;
    ends[SERVER].usedSince = this.#now;
    this.#sampleRtt(ends[SERVER], 2 * this.#profile.oneWayDelayMs);
    this.#listener.onAccept(id);
    this.#send(id, SERVER);
  }

  /** Sends what the window allows, and the FIN behind it. */
  #send(id: number, side: Side): void {
    const end = this.#connections.get(id)![side];
    if (!end.established || end.dead) return;
    const before = end.sent;
    const waiting = before < end.written;
    if (waiting) this.#shrinkWhenIdle(end);
    const mss = this.#profile.mss;
    while (end.sent < end.written && end.flight.length < end.window) {
      const length = Math.min(mss, end.written - end.sent);
      const offset = end.sent;
      end.sent += length;
      end.flight.push({ end: end.sent, sentAt: this.#now });
      end.lastSend = this.#now;
      if (this.#now - end.lastReceive < DELAYED_ACK) end.interactive = true;
      // Linux marks the last segment of each batch that it hands to the interface.
      const last = end.sent === end.written || end.flight.length >= end.window;
      this.#packet(id, side, last ? TCP_ACK | TCP_PSH : TCP_ACK, offset, length);
    }
    if (waiting) {
      const limited = end.flight.length >= end.window;
      if (limited || end.sent > before) this.#noteUse(end, limited);
    }
    if (end.sent < end.written) return;
    if (waiting) this.#listener.onSent?.(id, side);
    if (end.ending && !end.finSent) {
      end.finSent = true;
      this.#packet(id, side, TCP_FIN | TCP_ACK, end.sent, 0);
    }
  }

  /**
   * A window counts as made use of until what was sent meanwhile is acknowledged; only such a window
   * grows. One of which little is used for the time of a retransmission timeout shrinks.
   */
  #noteUse(end: End, limited: boolean): void {
    const inFlight = end.flight.length;
    if (end.acked >= end.useEnd || limited || !end.limited && inFlight > end.mostInFlight) {
      end.limited = limited;
      end.mostInFlight = inFlight;
      end.useEnd = end.sent;
    }
    if (this.#madeUseOf(end)) {
      end.used = 0;
      end.usedSince = this.#now;
      return;
    }
    end.used = Math.max(end.used, inFlight);
    if (this.#now - end.usedSince < end.rtt + MIN_TIMEOUT) return;
    const used = Math.max(end.used, INITIAL_WINDOW);
    if (used < end.window) {
      this.#keepThreshold(end, end.window);
      end.window = end.window + used >> 1;
    }
    end.used = 0;
    end.usedSince = this.#now;
  }

  /** Whether the window is what holds the sender back; in slow start half of it is enough. */
  #madeUseOf(end: End): boolean {
    return end.limited || end.window < end.threshold && end.window < 2 * end.mostInFlight;
  }

  /** Before a window shrinks for want of use: it may come back quickly. */
  #keepThreshold(end: End, window: number): void {
    if (end.threshold < Infinity) end.threshold = Math.max(end.threshold, 0.75 * window);
  }

  /** After a pause longer than the retransmission timeout the window is halved for each of them. */
  #shrinkWhenIdle(end: End): void {
    if (end.flight.length > 0 || end.lastSend === -Infinity) return;
    const timeout = end.rtt + MIN_TIMEOUT;
    const window = end.window;
    for (
      let idle = this.#now - end.lastSend;
      idle > timeout && end.window > INITIAL_WINDOW;
      idle -= timeout
    ) {
      end.window = Math.max(INITIAL_WINDOW, end.window >> 1);
    }
    if (end.window < window) this.#keepThreshold(end, window);
    if (this.#now - end.lastSend > timeout) {
      end.used = 0;
      end.usedSince = this.#now;
    }
  }

  /** Sends a packet of an established connection; it carries the acknowledgement that may be due. */
  #packet(id: number, side: Side, flags: number, offset: number, length: number): void {
    const ends = this.#connections.get(id)!;
    const end = ends[side];
    end.acknowledged = end.received;
    end.ackWaiting = false;
    const arriving = {
      flags,
      offset,
      length,
      acked: end.received,
      finAcked: end.finReceived,
    };
    this.#transmit(id, side, flags, offset, length, () => this.#arrive(id, peerOf(side), arriving));
  }

  /** Puts a packet on the path, shows it to the recorder at the client's end, and calls `arrive`. */
  #transmit(
    id: number,
    side: Side,
    flags: number,
    offset: number,
    length: number,
    arrive: () => void,
  ): void {
    const end = this.#connections.get(id)?.[side];
    if (end === undefined) return; // reset while its handshake was under way
    const syn = (flags & TCP_SYN) !== 0;
    const packet = {
      connection: id,
      side,
      flags,
      offset,
      length,
      sequence: syn ? 0 : 1 + offset + (end.finSent && (flags & TCP_FIN) === 0 ? 1 : 0),
      acknowledgement: (flags & TCP_ACK) === 0 ? 0 : 1 + end.received + (end.finReceived ? 1 : 0),
    };
    const bytes = (syn ? SYN_HEADER : HEADER) + length;
    if (side === CLIENT) this.#show(packet);
    this.#queue.add(this.#hops[side].arrival(this.#now, bytes), () => {
      if (side === SERVER) this.#show(packet);
      arrive();
    });
  }

  #show(packet: Omit<PathPacket, "time">): void {
    // A host cannot send two packets at the same instant.
    const earliest = packet.side === CLIENT ? this.#lastStamp + BURST_GAP : this.#lastStamp;
    this.#lastStamp = Math.max(this.#now, earliest);
    this.#listener.onPacket({ time: this.#lastStamp, ...packet });
  }

  /** A packet gets to `side`. */
  #arrive(id: number, side: Side, packet: Arriving): void {
    const ends = this.#connections.get(id);
    if (ends === undefined) return;
    const end = ends[side];
    if (end.dead) {
      if (packet.length > 0) this.#transmit(id, side, TCP_RST, end.sent, 0, () => {});
      return;
    }
    if (side === SERVER && !end.established) this.#accept(id);
    this.#acknowledged(id, side, packet);
    if (packet.length > 0) {
      end.received = packet.offset + packet.length;
      end.lastReceive = this.#now;
      this.#listener.onData(id, peerOf(side), packet.offset, end.received);
      if (!end.dead && end.acknowledged < end.received) {
        this.#answer(id, side, (packet.flags & TCP_PSH) !== 0);
      }
    }
    if ((packet.flags & TCP_FIN) !== 0 && !end.dead) {
      end.finReceived = true;
      // A kernel acknowledges a FIN at once, whatever it does with data.
      this.#packet(id, side, TCP_ACK, end.sent, 0);
      this.#listener.onEnd(id, peerOf(side));
    }
    // Each end has heard that its FIN arrived, so that nothing is under way that matters.
    if (ends.every(({ finAcked, finReceived }) => finAcked && finReceived)) {
      this.#connections.delete(id);
    }
  }

  /** Decides when the data that came is acknowledged. */
  #answer(id: number, side: Side, pushed: boolean): void {
    const end = this.#connections.get(id)![side];
    const unacknowledged = end.received - end.acknowledged;
    const quick = !end.interactive && (pushed || end.quick > 0);
    if (quick || unacknowledged > this.#profile.mss) {
      if (end.quick > 0) end.quick--;
      this.#packet(id, side, TCP_ACK, end.sent, 0);
      return;
    }
    if (end.ackWaiting) return;
    end.ackWaiting = true;
    const timer = ++end.ackTimer;
    this.#queue.add(this.#now + DELAYED_ACK, () => {
      if (!end.ackWaiting || end.ackTimer !== timer || end.dead) return;
      end.interactive = false;
      this.#packet(id, side, TCP_ACK, end.sent, 0);
    });
  }

  /** Takes in what a packet acknowledges; the window may grow and more go out. */
  #acknowledged(id: number, side: Side, packet: Arriving): void {
    const end = this.#connections.get(id)![side];
    if (packet.finAcked) end.finAcked = true;
    if (packet.acked <= end.acked) return;
    end.acked = packet.acked;
    let count = 0;
    let sentAt = this.#now;
    while (end.flight.length > 0 && end.flight[0]!.end <= packet.acked) {
      sentAt = end.flight.shift()!.sentAt;
      count++;
    }
    const rtt = this.#now - sentAt;
    this.#sampleRtt(end, rtt);
    if (end.window < end.threshold) this.#watchForQueue(end, rtt);
    if (this.#madeUseOf(end)) {
      if (end.window < end.threshold) end.window += count;
      else if ((end.growth += count) >= end.window) {
        end.growth = 0;
        end.window++;
      }
      end.window = Math.min(end.window, this.#maxWindow);
    }
    this.#send(id, side);
  }

  #sampleRtt(end: End, rtt: number): void {
    end.rtt = end.rtt === 0 ? rtt : 0.875 * end.rtt + 0.125 * rtt;
    end.minRtt = Math.min(end.minRtt, rtt);
  }

  /** HyStart: slow start ends when a round's acknowledgements come late, or for half a round trip. */
  #watchForQueue(end: End, rtt: number): void {
    if (end.window < HYSTART_LOW_WINDOW) return;
    if (end.acked > end.roundEnd) {
      end.roundEnd = end.sent;
      end.roundStart = end.lastAck = this.#now;
      end.roundMin = Infinity;
      end.roundSamples = 0;
    }
    const late = Math.min(16, Math.max(4, end.minRtt / 8));
    end.roundMin = Math.min(end.roundMin, rtt);
    const queueGrew = end.roundSamples >= HYSTART_SAMPLES && end.roundMin > end.minRtt + late;
    if (end.roundSamples < HYSTART_SAMPLES) end.roundSamples++;
    // A train of acknowledgements ends with its first gap, until the next round.
    const inTrain = this.#now - end.lastAck <= HYSTART_ACK_GAP;
    if (inTrain) end.lastAck = this.#now;
    const train = inTrain && this.#now - end.roundStart > end.minRtt / 2;
    if (queueGrew || train) end.threshold = end.window;
  }
}

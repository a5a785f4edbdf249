import { formatAddress } from "./address.ts";
import type { Connection, Handshake } from "./connection.ts";
import type { ProtocolRecogniser } from "./handshake_recogniser.ts";
import { HandshakeTracker } from "./handshake_tracker.ts";
import { labelOfPort } from "./label_by_port.ts";
import { type Packet, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "./packet.ts";
import { PROTOCOLS } from "./protocols.ts";
import { type Side, SIDES } from "./side.ts";
import { RecordColumns, SegmentColumns } from "./stream_columns.ts";
import { StreamOrder } from "./stream_order.ts";
import { StreamRanges } from "./stream_ranges.ts";

const PROTOCOL_TCP = 6;

/** After a close, a SYN with the old sequence number within this time is a duplicate, not a new connection. */
const DUPLICATE_SYN = 1000;

/** Options of a {@linkcode TcpAssembler}. Times are milliseconds of capture time. */
export interface TcpAssemblerOptions {
  /** Becomes {@linkcode Connection.capture}. */
  readonly capture: string;
  /** A connection without packets for this long is over (`timeout`). Default one hour. */
  readonly idleTimeout?: number;
  /** How long a closed connection is kept for late packets before it is handed on. Default 60 s. */
  readonly linger?: number;
  /** Connections followed at once; beyond, closed ones and then the longest idle are handed on. Default 65,536. */
  readonly maxConnections?: number;
  /** Segments kept of one connection; further ones are counted as truncated. Default 262,144. */
  readonly maxSegments?: number;
  /** Segments kept of all open connections together; beyond, as for `maxConnections`. Default 4,194,304. */
  readonly maxTotalSegments?: number;
  /** TLS records kept of one connection. Default 262,144. */
  readonly maxRecords?: number;
  /** Bytes of payload held back for reordering in each direction of a connection. Default 262,144. */
  readonly reorderBytes?: number;
  /** Protocols to recognise. Default {@linkcode PROTOCOLS}. */
  readonly protocols?: readonly ProtocolRecogniser[];
}

/** What an assembler did. */
export interface TcpAssemblerSummary {
  /** TCP packets taken. */
  packets: number;
  /** Connections handed on. */
  connections: number;
  /** Of these, connections whose opening was not captured. */
  midstream: number;
  /** Of these, connections with packets of one direction only. */
  oneSided: number;
  /** Connections handed on early because a limit was reached. */
  evicted: number;
  /**
   * Remains without a SYN and without payload (late acknowledgements, resets of unknown connections):
   * not handed on.
   */
  stray: number;
  /** Segments not kept because a connection passed `maxSegments`. */
  truncatedSegments: number;
}

const EMPTY_SEGMENTS = new SegmentColumns();
const EMPTY_RECORDS = new RecordColumns(0);
const NO_HANDSHAKE: Handshake = { carrier: "unknown", end: "unknown", bytes: [0, 0], duration: 0 };

/** Doubly linked list of flows in order of their last packet (or of their closing). */
class FlowList {
  head: Flow | undefined = undefined;
  tail: Flow | undefined = undefined;

  append(flow: Flow): void {
    flow.list = this;
    flow.before = this.tail;
    flow.after = undefined;
    if (this.tail !== undefined) this.tail.after = flow;
    else this.head = flow;
    this.tail = flow;
  }

  remove(flow: Flow): void {
    if (flow.before !== undefined) flow.before.after = flow.after;
    else this.head = flow.after;
    if (flow.after !== undefined) flow.after.before = flow.before;
    else this.tail = flow.before;
    flow.before = flow.after = undefined;
  }
}

/** One direction of a flow. */
class FlowSide {
  readonly ranges = new StreamRanges();
  packets = 0;
  /** Sequence number of its SYN; -1 if none was seen. */
  synSequence = -1;
  /** A second SYN-ACK's idea of offset 0, believed if the client acknowledges it; -1 if none. */
  otherAnchor = -1;
  /** Highest offset of the peer's stream that it has acknowledged. */
  acked = 0;
  /** Offset of its FIN; -1 if none was seen. */
  finOffset = -1;
  reset = false;
  /** Row of a lone byte that may prove to be a zero-window probe; -1 if none. */
  probeRow = -1;
  order: StreamOrder | undefined = undefined;
}

class Flow {
  hash = 0;
  chain: Flow | undefined = undefined;
  list: FlowList | undefined = undefined;
  before: Flow | undefined = undefined;
  after: Flow | undefined = undefined;

  index = 0;
  version: 0 | 4 | 6 = 0;
  /** Client address in bytes 0 to 15, server address in 16 to 31. */
  readonly addresses = new Uint8Array(32);
  clientPort = 0;
  serverPort = 0;

  startTime = 0;
  lastTime = 0;
  endTime = 0;
  /** Time of the latest row. */
  rowTime = 0;
  opened = false;
  closedAt = -1;
  endHow: "fin" | "rst" | undefined = undefined;
  endBy: Side | undefined = undefined;
  endAfter = 0;

  synTime = -1;
  synAckTime = -1;
  serverRtt = -1;
  clientRtt = -1;

  readonly sides: readonly [FlowSide, FlowSide] = [new FlowSide(), new FlowSide()];
  segments: SegmentColumns | undefined = undefined;
  /** Advances of acknowledgement numbers that stand for the segments of a side not captured. */
  silent: SegmentColumns | undefined = undefined;
  records: RecordColumns | undefined = undefined;
  tracker: HandshakeTracker | undefined = undefined;
  truncated = 0;
}

/**
 * Puts TCP connections together from packets in capture order, in bounded memory, by sequence numbers:
 * retransmissions and duplicated packets add nothing, reordered ones fall into place, keep-alives and
 * zero-window probes are not data. Finished connections are handed to a callback: `linger` after their
 * close, after `idleTimeout` of silence, when a limit is reached, or at {@linkcode finish}.
 *
 * The client is who sent the SYN; without one, the side with the port that is not well known
 * ({@linkcode labelOfPort}), else the one with the higher port. A SYN with another sequence number on the
 * same four-tuple starts a new connection.
 *
 * Where only one direction was captured, the other side's segments are estimated from the advances of the
 * acknowledgement numbers (so delayed acknowledgements merge segments, and times are those of the
 * acknowledgements); such connections are marked `oneSided`.
 *
 * Rows never go back in time within a connection: a packet with an earlier time than the row before it
 * takes that row's time.
 *
 * @example
 * ```ts
 * import { TcpAssembler } from "./tcp_assembler.ts";
 * import type { Packet } from "./packet.ts";
 * const packet: Packet = {
 *   index: 0, time: 0, version: 4, protocol: 6, addresses: new Uint8Array(32),
 *   sourcePort: 50000, destinationPort: 443, sequence: 7, acknowledgement: 0, flags: 2,
 *   payloadLength: 0, ipLength: 40, wireLength: 54, data: new Uint8Array(), payloadStart: 0,
 *   payloadCaptured: 0, comment: "",
 * };
 * const ports: number[] = [];
 * const assembler = new TcpAssembler((c) => ports.push(c.serverPort), { capture: "example" });
 * assembler.push(packet);
 * assembler.finish();
 * if (ports.join() !== "443") throw new Error("no connection");
 * ```
 */
export class TcpAssembler {
  readonly #emit: (connection: Connection) => void;
  readonly #capture: string;
  readonly #idleTimeout: number;
  readonly #linger: number;
  readonly #maxConnections: number;
  readonly #maxSegments: number;
  readonly #maxTotalSegments: number;
  readonly #maxRecords: number;
  readonly #reorderBytes: number;
  readonly #protocols: readonly ProtocolRecogniser[];

  readonly #flows = new Map<number, Flow>();
  readonly #open = new FlowList();
  readonly #closed = new FlowList();
  #count = 0;
  #totalSegments = 0;
  #nextIndex = 0;
  readonly #summary: TcpAssemblerSummary = {
    packets: 0,
    connections: 0,
    midstream: 0,
    oneSided: 0,
    evicted: 0,
    stray: 0,
    truncatedSegments: 0,
  };

  /** Hands finished connections to `onConnection`, in the order in which they finish. */
  constructor(onConnection: (connection: Connection) => void, options: TcpAssemblerOptions) {
    this.#emit = onConnection;
    this.#capture = options.capture;
    this.#idleTimeout = options.idleTimeout ?? 3_600_000;
    this.#linger = options.linger ?? 60_000;
    this.#maxConnections = options.maxConnections ?? 65_536;
    this.#maxSegments = options.maxSegments ?? 262_144;
    this.#maxTotalSegments = options.maxTotalSegments ?? 4_194_304;
    this.#maxRecords = options.maxRecords ?? 262_144;
    this.#reorderBytes = options.reorderBytes ?? 262_144;
    this.#protocols = options.protocols ?? PROTOCOLS;
  }

  /** Takes the next packet; all but TCP is ignored. The packet may be reused afterwards. */
  push(packet: Packet): void {
    if (packet.protocol !== PROTOCOL_TCP || packet.version === 0) return;
    this.#summary.packets++;
    const now = packet.time;
    this.#expire(now);

    const hash = hashOf(packet);
    let flow = this.#flows.get(hash);
    while (flow !== undefined && !isOf(flow, packet)) flow = flow.chain;
    let side: Side = 0;
    if (flow !== undefined) {
      side = sideOf(flow, packet);
      if (startsAnew(flow, flow.sides[side], packet)) {
        this.#release(flow, flow.endHow ?? "timeout");
        flow = undefined;
      }
    }
    if (flow === undefined) {
      flow = this.#create(packet, hash);
      side = sideOf(flow, packet);
    }
    this.#take(flow, side, packet);
    if (this.#count > this.#maxConnections || this.#totalSegments > this.#maxTotalSegments) {
      this.#evict();
    }
  }

  /** The capture ends: hands on every connection still open and returns what was done. */
  finish(): TcpAssemblerSummary {
    const rest: Flow[] = [];
    for (const list of [this.#closed, this.#open]) {
      for (let flow = list.head; flow !== undefined; flow = flow.after) rest.push(flow);
    }
    rest.sort((a, b) => a.index - b.index);
    for (const flow of rest) this.#release(flow, flow.endHow ?? "cut");
    return { ...this.#summary };
  }

  #create(packet: Packet, hash: number): Flow {
    const flow = new Flow();
    flow.hash = hash;
    flow.chain = this.#flows.get(hash);
    this.#flows.set(hash, flow);
    flow.index = this.#nextIndex++;
    flow.version = packet.version;
    flow.startTime = flow.lastTime = flow.endTime = packet.time;
    const swap = isFromServer(packet);
    flow.addresses.set(packet.addresses.subarray(0, 16), swap ? 16 : 0);
    flow.addresses.set(packet.addresses.subarray(16, 32), swap ? 0 : 16);
    flow.clientPort = swap ? packet.destinationPort : packet.sourcePort;
    flow.serverPort = swap ? packet.sourcePort : packet.destinationPort;
    this.#open.append(flow);
    this.#count++;
    return flow;
  }

  #take(flow: Flow, side: Side, packet: Packet): void {
    const sender = flow.sides[side];
    const receiver = flow.sides[1 - side as Side];
    const flags = packet.flags;
    const syn = (flags & TCP_SYN) !== 0;
    const after = packet.time - flow.startTime;
    sender.packets++;
    flow.lastTime = packet.time;
    if (packet.time > flow.endTime) flow.endTime = packet.time;

    if (syn) this.#opening(flow, side, packet);
    else if (!sender.ranges.anchored) sender.ranges.anchor(packet.sequence);
    else if (sender.packets === 1 && !flow.opened && sender.ranges.offsetOf(packet.sequence) > 0) {
      // Anchored so far by what the peer acknowledged; what was in flight then is not missing.
      sender.ranges.anchor(packet.sequence);
    }

    let acked = 0;
    if ((flags & TCP_ACK) !== 0) {
      acked = this.#acknowledge(flow, side, packet, after);
      if (side === 0 && !syn && flow.clientRtt < 0 && flow.synAckTime >= 0) {
        flow.clientRtt = Math.max(0, packet.time - flow.synAckTime);
      }
    }

    const length = packet.payloadLength;
    if ((flags & TCP_RST) !== 0) {
      sender.reset = true;
      if (flow.endHow === undefined) this.#ended(flow, "rst", side, after);
      this.#close(flow, packet.time);
      return;
    }
    if (length > 0) this.#data(flow, side, packet, acked, after);
    if ((flags & TCP_FIN) !== 0 && sender.finOffset < 0) {
      const sequence = packet.sequence + (syn ? 1 : 0) + length;
      sender.finOffset = Math.max(0, sender.ranges.offsetOf(sequence >>> 0));
      if (flow.endHow === undefined) this.#ended(flow, "fin", side, after);
    }
    if (flow.closedAt < 0) {
      if (sender.finOffset >= 0 && receiver.finOffset >= 0) this.#close(flow, packet.time);
      else if (flow !== this.#open.tail) {
        this.#open.remove(flow);
        this.#open.append(flow);
      }
    }
  }

  #opening(flow: Flow, side: Side, packet: Packet): void {
    const sender = flow.sides[side];
    const first = (packet.sequence + 1) >>> 0;
    flow.opened = true;
    if (sender.synSequence < 0) {
      sender.synSequence = packet.sequence;
      sender.ranges.anchor(first);
    } else if (sender.synSequence !== packet.sequence && sender.ranges.end === 0) {
      sender.otherAnchor = first;
    }
    if ((packet.flags & TCP_ACK) === 0) {
      if (side === 0) flow.synTime = packet.time;
      return;
    }
    if (side !== 1) return;
    flow.synAckTime = packet.time;
    if (flow.serverRtt < 0 && flow.synTime >= 0) {
      flow.serverRtt = Math.max(0, packet.time - flow.synTime);
    }
  }

  /** Notes what a packet acknowledges; returns it as an offset of the peer's stream. */
  #acknowledge(flow: Flow, side: Side, packet: Packet, after: number): number {
    const sender = flow.sides[side];
    const peer = flow.sides[1 - side as Side];
    const ack = packet.acknowledgement;
    if (!peer.ranges.anchored) {
      // The peer's next byte, as far as is known: where its opening was captured, its first byte.
      peer.ranges.anchor(ack);
      return 0;
    }
    if (peer.otherAnchor >= 0 && peer.ranges.end === 0 && ack === peer.otherAnchor) {
      peer.ranges.anchor(ack);
      peer.otherAnchor = -1;
    }
    let acked = Math.max(0, peer.ranges.offsetOf(ack));
    if (peer.finOffset >= 0 && acked > peer.finOffset) acked = peer.finOffset;
    if (peer.packets === 0 && acked > peer.ranges.end) {
      flow.silent ??= new SegmentColumns();
      const advance = acked - peer.ranges.end;
      if (
        flow.silent.length < this.#maxSegments && peer.ranges.accept(peer.ranges.end, advance) > 0
      ) {
        flow.rowTime = Math.max(flow.rowTime, after);
        flow.silent.push(flow.rowTime, 1 - side, advance, acked - advance, sender.ranges.end);
        this.#totalSegments++;
      }
    }
    if (acked > sender.acked) sender.acked = acked;
    return acked;
  }

  #data(flow: Flow, side: Side, packet: Packet, acked: number, after: number): void {
    const sender = flow.sides[side];
    const peer = flow.sides[1 - side as Side];
    const { ranges } = sender;
    const length = packet.payloadLength;
    const sequence = packet.sequence + ((packet.flags & TCP_SYN) !== 0 ? 1 : 0);
    const offset = ranges.offsetOf(sequence >>> 0);

    if (flow.silent !== undefined && sender.packets === 1) {
      // The side that seemed missing has appeared: its own segments count, not the estimate.
      this.#totalSegments -= flow.silent.length;
      flow.silent = undefined;
    }
    const segments = flow.segments ??= new SegmentColumns();
    const probe = sender.probeRow;
    let probed = -1;
    if (probe >= 0 && length > 1 && offset === segments.offset[probe]! && peer.acked <= offset) {
      // A lone byte that was never accepted and is now sent again with its successors was a probe.
      probed = probe;
    }
    const fresh = ranges.accept(offset, length);
    if (fresh === 0 && probed < 0) return;
    sender.probeRow = -1;
    if (sender.reset) {
      // Whoever goes on sending new data has not reset the connection; somebody else had.
      sender.reset = false;
      this.#reopen(flow);
    }
    const time = flow.rowTime = Math.max(flow.rowTime, after);
    if (probed >= 0) {
      segments.size[probed] = 0;
      this.#row(flow, segments, time, side, length, offset, acked);
    } else {
      for (let i = 0; i < ranges.pieces; i++) {
        const size = ranges.pieceLength[i]!;
        this.#row(flow, segments, time, side, size, ranges.pieceOffset[i]!, acked);
      }
      if (length === 1 && flow.truncated === 0) sender.probeRow = segments.length - 1;
    }
    this.#read(flow, side, packet, offset, peer.acked);
  }

  #row(
    flow: Flow,
    segments: SegmentColumns,
    time: number,
    side: Side,
    size: number,
    offset: number,
    acked: number,
  ): void {
    if (segments.length >= this.#maxSegments) {
      flow.truncated++;
      this.#summary.truncatedSegments++;
      return;
    }
    segments.push(time, side, size, offset, acked);
    this.#totalSegments++;
  }

  /** Shows the payload to the recognisers, in order. */
  #read(flow: Flow, side: Side, packet: Packet, offset: number, peerAcked: number): void {
    let tracker = flow.tracker;
    if (tracker === undefined) {
      flow.records = new RecordColumns(this.#maxRecords);
      tracker = flow.tracker = new HandshakeTracker(this.#protocols, flow.records);
    }
    if (tracker.finished) {
      flow.sides[0].order = flow.sides[1].order = undefined;
      return;
    }
    const sender = flow.sides[side];
    const reader = tracker;
    sender.order ??= new StreamOrder({
      bytes: (buffer, start, end) => reader.bytes(side, buffer, start, end),
      gap: (length) => reader.gap(side, length),
    }, this.#reorderBytes);
    sender.order.segment(
      offset,
      packet.payloadLength,
      packet.data,
      packet.payloadStart,
      packet.payloadCaptured,
      peerAcked,
    );
  }

  #ended(flow: Flow, how: "fin" | "rst", by: Side, after: number): void {
    flow.endHow = how;
    flow.endBy = by;
    flow.endAfter = Math.max(0, after);
  }

  #close(flow: Flow, now: number): void {
    if (flow.closedAt >= 0) return;
    flow.closedAt = now;
    flow.list!.remove(flow);
    this.#closed.append(flow);
  }

  #reopen(flow: Flow): void {
    if (flow.endHow === "rst") {
      flow.endHow = undefined;
      flow.endBy = undefined;
    }
    if (flow.closedAt < 0) return;
    flow.closedAt = -1;
    flow.list!.remove(flow);
    this.#open.append(flow);
  }

  #expire(now: number): void {
    for (;;) {
      const flow = this.#closed.head;
      if (flow === undefined || now - flow.closedAt <= this.#linger) break;
      this.#release(flow, flow.endHow!);
    }
    for (;;) {
      const flow = this.#open.head;
      if (flow === undefined || now - flow.lastTime <= this.#idleTimeout) break;
      this.#release(flow, flow.endHow ?? "timeout");
    }
  }

  #evict(): void {
    while (this.#count > this.#maxConnections || this.#totalSegments > this.#maxTotalSegments) {
      const flow = this.#closed.head ?? this.#open.head;
      if (flow === undefined) return;
      this.#summary.evicted++;
      this.#release(flow, flow.endHow ?? "cut");
    }
  }

  #release(flow: Flow, how: Connection["end"]["how"]): void {
    flow.list!.remove(flow);
    this.#unchain(flow);
    this.#count--;
    this.#totalSegments -= (flow.segments?.length ?? 0) + (flow.silent?.length ?? 0);
    if (!flow.opened && flow.segments === undefined) {
      this.#summary.stray++;
      return;
    }
    const connection = this.#build(flow, how);
    this.#summary.connections++;
    if (connection.start === "midstream") this.#summary.midstream++;
    if (connection.oneSided) this.#summary.oneSided++;
    this.#emit(connection);
  }

  #unchain(flow: Flow): void {
    let other = this.#flows.get(flow.hash);
    if (other === flow) {
      if (flow.chain === undefined) this.#flows.delete(flow.hash);
      else this.#flows.set(flow.hash, flow.chain);
      return;
    }
    while (other!.chain !== flow) other = other!.chain;
    other!.chain = flow.chain;
  }

  #build(flow: Flow, how: Connection["end"]["how"]): Connection {
    const [client, server] = flow.sides;
    const oneSided = client.packets === 0 || server.packets === 0;
    let segments = flow.segments ?? EMPTY_SEGMENTS;
    segments.dropEmpty();
    if (oneSided && flow.silent !== undefined) segments = withSilent(segments, flow);
    for (const side of SIDES) flow.sides[side].order?.finish();

    const missing = (sender: FlowSide, peer: FlowSide): number => {
      // Acknowledged, so sent, though no packet shows it.
      const beyond = Math.max(0, peer.acked - sender.ranges.end);
      // A FIN that was not captured is acknowledged like one byte.
      const unseen = beyond === 1 && how === "fin" && sender.finOffset < 0 ? 0 : beyond;
      return sender.packets === 0 ? 0 : sender.ranges.missing + unseen;
    };
    const missingBytes = [missing(client, server), missing(server, client)] as const;
    const incomplete = oneSided || missingBytes[0] + missingBytes[1] > 0;
    const handshake = flow.tracker?.result(
      {
        segments,
        serverPort: flow.serverPort,
        serverRtt: flow.serverRtt < 0 ? undefined : flow.serverRtt,
      },
      [client.ranges.end, server.ranges.end],
      incomplete,
      flow.opened,
    );
    const byEnd = how === "fin" || how === "rst";
    return {
      capture: this.#capture,
      index: flow.index,
      clientAddress: formatAddress(flow.addresses, 0, flow.version),
      clientPort: flow.clientPort,
      serverAddress: formatAddress(flow.addresses, 16, flow.version),
      serverPort: flow.serverPort,
      startTime: flow.startTime,
      endTime: flow.endTime,
      start: flow.opened ? "syn" : "midstream",
      end: {
        how,
        by: byEnd ? flow.endBy : undefined,
        time: byEnd ? flow.endAfter : undefined,
      },
      oneSided,
      rtt: {
        client: flow.clientRtt < 0 ? undefined : flow.clientRtt,
        server: flow.serverRtt < 0 ? undefined : flow.serverRtt,
      },
      segments,
      records: flow.records ?? EMPTY_RECORDS,
      handshake: handshake ?? NO_HANDSHAKE,
      missingBytes,
      truncatedSegments: flow.truncated,
    };
  }
}

/** The captured side's rows and the other's estimated ones, by time. */
function withSilent(segments: SegmentColumns, flow: Flow): SegmentColumns {
  const silent = flow.silent!;
  if (flow.endHow === "fin" && silent.length > 0) {
    // The other side closed as well, and its FIN was acknowledged like one more byte.
    silent.size[silent.length - 1]!--;
    silent.dropEmpty();
  }
  const both = new SegmentColumns();
  let a = 0;
  let b = 0;
  while (a < segments.length || b < silent.length) {
    const first = b >= silent.length ||
      (a < segments.length && segments.time[a]! < silent.time[b]!);
    const from = first ? segments : silent;
    const row = first ? a++ : b++;
    both.push(
      from.time[row]!,
      from.side[row]!,
      from.size[row]!,
      from.offset[row]!,
      from.acked[row]!,
    );
  }
  return both;
}

/** The same number for both directions of a connection, non-negative and below 2^30. */
function hashOf(packet: Packet): number {
  const { addresses, version } = packet;
  const length = version === 4 ? 4 : 16;
  let source = packet.sourcePort;
  let destination = packet.destinationPort;
  for (let i = 0; i < length; i++) {
    source = Math.imul(source ^ addresses[i]!, 0x01000193);
    destination = Math.imul(destination ^ addresses[16 + i]!, 0x01000193);
  }
  source = Math.imul(source ^ (source >>> 15), 0x2c1b3c6d);
  destination = Math.imul(destination ^ (destination >>> 15), 0x2c1b3c6d);
  const sum = source + destination | 0;
  return (sum ^ (sum >>> 13)) & 0x3fffffff;
}

function sameAddress(
  a: Uint8Array,
  at: number,
  b: Uint8Array,
  bt: number,
  length: number,
): boolean {
  for (let i = 0; i < length; i++) if (a[at + i] !== b[bt + i]) return false;
  return true;
}

function isOf(flow: Flow, packet: Packet): boolean {
  if (flow.version !== packet.version) return false;
  return forward(flow, packet) || backward(flow, packet);
}

function forward(flow: Flow, packet: Packet): boolean {
  const length = flow.version === 4 ? 4 : 16;
  return flow.clientPort === packet.sourcePort && flow.serverPort === packet.destinationPort &&
    sameAddress(flow.addresses, 0, packet.addresses, 0, length) &&
    sameAddress(flow.addresses, 16, packet.addresses, 16, length);
}

function backward(flow: Flow, packet: Packet): boolean {
  const length = flow.version === 4 ? 4 : 16;
  return flow.clientPort === packet.destinationPort && flow.serverPort === packet.sourcePort &&
    sameAddress(flow.addresses, 0, packet.addresses, 16, length) &&
    sameAddress(flow.addresses, 16, packet.addresses, 0, length);
}

function sideOf(flow: Flow, packet: Packet): Side {
  return forward(flow, packet) ? 0 : 1;
}

function isFromServer(packet: Packet): boolean {
  const { flags, sourcePort, destinationPort } = packet;
  if ((flags & TCP_SYN) !== 0) return (flags & TCP_ACK) !== 0;
  const known = labelOfPort(sourcePort) !== undefined;
  if (known !== (labelOfPort(destinationPort) !== undefined)) return known;
  return sourcePort < destinationPort;
}

/** Whether a packet opens a new connection on the four-tuple of `flow`. */
function startsAnew(flow: Flow, sender: FlowSide, packet: Packet): boolean {
  if ((packet.flags & (TCP_SYN | TCP_ACK)) !== TCP_SYN) return false;
  if (sender.synSequence === packet.sequence) {
    return flow.closedAt >= 0 && packet.time - flow.closedAt >= DUPLICATE_SYN;
  }
  // A SYN that the capture shows late belongs to the stream that starts right behind it.
  const ranges = sender.ranges;
  const late = sender.synSequence < 0 && ranges.anchored &&
    ranges.offsetOf((packet.sequence + 1) >>> 0) === 0;
  if (late) return flow.closedAt >= 0 && packet.time - flow.closedAt >= DUPLICATE_SYN;
  // Both ends opening at once is one connection.
  const simultaneous = sender.synSequence < 0 && flow.opened && flow.segments === undefined;
  return !simultaneous || flow.closedAt >= 0;
}

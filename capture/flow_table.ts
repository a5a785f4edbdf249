import { formatAddress } from "./address.ts";
import {
  DEFAULT_BURST_GAP,
  DEFAULT_MAX_FLOWS,
  DEFAULT_MAX_KEPT_PACKETS,
  DEFAULT_MAX_PACKETS,
  type FlowEnd,
  type FlowOptions,
  type FlowRecord,
} from "./flow.ts";
import { type Network, parseNetwork } from "./network.ts";
import { type Packet, PROTOCOL_TCP, PROTOCOL_UDP, TCP_ACK, TCP_SYN } from "./packet.ts";

/** A burst that ended. */
export interface BurstRecord {
  /** Serial number, from 0. */
  readonly burst: number;
  /** Time of its earliest packet, in milliseconds since the Unix epoch. */
  readonly first: number;
  /** Time of its latest packet likewise. */
  readonly last: number;
  /** Its flow records, those of evicted flows included. */
  readonly flows: number;
  /** Its packets. */
  readonly packets: number;
}

/** Receives what a {@linkcode FlowTable} finds. */
export interface FlowSink {
  /** A flow of the burst, in the order of first packets; evicted ones come before the burst's end. */
  onFlow(flow: FlowRecord): void;
  /** The burst ended; its flows were delivered. */
  onBurst?(burst: BurstRecord): void;
}

// A live flow is 64 bytes, one line of the processor's cache: four float64, then eight 32-bit words.
// Its two ends are A and B in an order of their own, so that both directions find the same flow.
const FLOATS = 8;
const FIRST = 0;
const LAST = 1;
const BYTES = 2; // of A, then of B
const WORDS = 16;
const PACKETS = 8; // of A, then of B
const KEY = 10; // address of A, of B; of IPv6 what they were folded to
const PORTS = 12; // A's in the upper half
const META = 13;
const BASE = 14; // first sequence number of A, of B

// META: the protocol in the lower byte.
const SIX = 0x100;
/** The record's source is B. */
const SOURCE_B = 0x200;
/** A SYN has decided who is the source. */
const SYN_SEEN = 0x400;
/** Of A; of B the bit above. */
const BASE_KNOWN = 0x800;
/** No packet finds it any more. */
const DETACHED = 0x2000;
/** What tells flows of equal ends apart. */
const KIND = 0x1ff;

const NONE = new Int32Array(0);

/** Flows that a new table has room for. */
const INITIAL_FLOWS = 1024;
const INITIAL_LOG = 4096;

/**
 * Sorts packets into flows within bursts. Give it every packet of a capture in turn; it takes TCP and UDP
 * and ignores the rest. Allocates nothing per packet, and holds at most `maxFlows` live flows: when one
 * more comes, the quarter that has been idle the longest is delivered as `evicted`.
 *
 * A burst ends when the next packet comes more than `burstGap` after the latest one, or is older than it
 * by more than that (a clock that was set back, files put together); or by {@linkcode FlowTable.endBurst}.
 *
 * @example
 * ```ts
 * import { FlowTable } from "./flow_table.ts";
 * import { encodeTcpPacket } from "./encode_tcp.ts";
 * import { PacketDecoder } from "./decode.ts";
 * import { flowLine } from "./flow.ts";
 * import { LinkType } from "./link_type.ts";
 * const lines: string[] = [];
 * const table = new FlowTable({ onFlow: (flow) => lines.push(flowLine(flow)) });
 * const decoder = new PacketDecoder();
 * const source = { address: "10.0.0.1", port: 40000 };
 * const destination = { address: "10.0.0.2", port: 443 };
 * for (const [time, ends] of [[0, { source, destination }], [20, {
 *   source: destination, destination: source }], [5000, { source, destination }]] as const) {
 *   const bytes = encodeTcpPacket(LinkType.raw, { ...ends, sequence: 1, flags: 16, payload: 60 });
 *   decoder.decode(LinkType.raw, bytes, 0, bytes.length, bytes.length, false);
 *   decoder.packet.time = time;
 *   table.push(decoder.packet);
 * }
 * table.endBurst();
 * if (lines[0] !== "0.000000 10.0.0.1 10.0.0.2 40000 443 tcp 1 1 100 100") throw new Error(lines[0]);
 * if (lines[1] !== "5.000000 10.0.0.1 10.0.0.2 40000 443 tcp 1 0 100 0") throw new Error(lines[1]);
 * ```
 */
export class FlowTable {
  /** Packets of TCP and UDP so far. */
  packets = 0;
  /** Flow records delivered so far. */
  records = 0;
  /** Bursts that have ended. */
  bursts = 0;
  /** Flow records delivered before their burst's end, for want of room. */
  evicted = 0;

  readonly #sink: FlowSink;
  readonly #gap: number;
  readonly #maxBurst: number;
  readonly #maxFlows: number;
  readonly #frames: boolean;
  readonly #splitReused: boolean;
  readonly #local: readonly Network[];
  /** Packets of a flow that are kept: 0 without `packets`. */
  readonly #keep: number;
  readonly #maxLog: number;

  #floats = new Float64Array(INITIAL_FLOWS * FLOATS);
  #words = new Int32Array(this.#floats.buffer);
  #bytes = new Uint8Array(this.#floats.buffer);
  /** 32 bytes a flow, A's address and B's; made with the first packet of IPv6. */
  #six: Int32Array<ArrayBuffer> | undefined;
  #sixBytes = new Uint8Array(0);
  #flows = 0;
  /** The flow of the last packet, or -1. */
  #recent = -1;
  #capacity: number;
  /** Open addressing: a flow's number + 1, or 0. At most half full. */
  #table = new Int32Array(2 * INITIAL_FLOWS);
  #mask = 2 * INITIAL_FLOWS - 1;
  /** Random words for each byte of a key: tabulation hashing, whose chains stay short for any keys. */
  readonly #random: Int32Array;

  // Kept packets of live flows in the order of capture: flow, bytes (negative from B), time.
  #log = 0;
  #logFlow = new Int32Array(0);
  #logBytes = new Int32Array(0);
  #logTime = new Float64Array(0);

  #burstFirst = Infinity;
  #burstLast = NaN;
  #burstStart = NaN;
  #burstPackets = 0;
  #burstRecords = 0;

  // The packet's addresses as words, and whose they are.
  #addresses: Uint8Array | undefined;
  #ends: Int32Array = new Int32Array(8);
  #copied = false;

  /** Throws {@linkcode InvalidNetworkError} where `local` has a text that is no network. */
  constructor(sink: FlowSink, options: FlowOptions = {}) {
    this.#sink = sink;
    this.#gap = options.burstGap ?? DEFAULT_BURST_GAP;
    this.#maxBurst = options.maxBurst ?? Infinity;
    this.#maxFlows = Math.max(1, options.maxFlows ?? DEFAULT_MAX_FLOWS);
    this.#capacity = Math.min(INITIAL_FLOWS, this.#maxFlows);
    this.#frames = options.bytes === "frame";
    this.#splitReused = options.splitReused ?? false;
    this.#local = (options.local ?? []).map(parseNetwork);
    this.#keep = options.packets ? Math.max(0, options.maxPackets ?? DEFAULT_MAX_PACKETS) : 0;
    this.#maxLog = Math.max(1, options.maxKeptPackets ?? DEFAULT_MAX_KEPT_PACKETS);
    this.#random = randomWords((12 + 16) * 256, options.hashSeed ?? 0x5bd1e995);
  }

  /** Flows that are live now. */
  get live(): number {
    return this.#flows;
  }

  /** Counts a packet; what ends by it is delivered first. */
  push(packet: Packet): void {
    const protocol = packet.protocol;
    if (protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP) return;
    const time = packet.time;
    const silence = time - this.#burstLast; // NaN in front of a burst
    if (silence > this.#gap || -silence > this.#gap || time - this.#burstStart > this.#maxBurst) {
      this.endBurst();
    }
    if (this.#burstPackets++ === 0) {
      this.#burstStart = time;
      this.#burstFirst = time;
      this.#burstLast = time;
    } else if (silence > 0) this.#burstLast = time;
    else if (time < this.#burstFirst) this.#burstFirst = time;
    this.packets++;
    if (this.#flows === this.#capacity) this.#roomForFlows();
    if (this.#log === this.#maxLog) this.#roomForPackets();

    if (packet.addresses !== this.#addresses || this.#copied) this.#takeAddresses(packet.addresses);
    const ends = this.#ends;
    const sourcePort = packet.sourcePort;
    const destinationPort = packet.destinationPort;
    const six = packet.version === 6;
    let order = 0;
    for (let i = 0, last = six ? 4 : 1; order === 0 && i < last; i++) {
      order = ends[i]! < ends[4 + i]! ? -1 : ends[i]! > ends[4 + i]! ? 1 : 0;
    }
    const fromB = order === 0 ? sourcePort > destinationPort : order > 0;
    const a = six ? this.#fold(fromB ? 4 : 0) : ends[fromB ? 4 : 0]!;
    const b = six ? this.#fold(fromB ? 0 : 4) : ends[fromB ? 0 : 4]!;
    const ports = fromB ? destinationPort << 16 | sourcePort : sourcePort << 16 | destinationPort;
    const kind = six ? protocol | SIX : protocol;

    const words = this.#words;
    const table = this.#table;
    const mask = this.#mask;
    // Packets come in trains: often it is the flow of the packet before.
    let flow = this.#recent;
    let place = 0;
    if (
      flow < 0 || this.#splitReused || words[flow * WORDS + PORTS] !== ports ||
      words[flow * WORDS + KEY] !== a || words[flow * WORDS + KEY + 1] !== b ||
      (words[flow * WORDS + META]! & KIND) !== kind || six && !this.#sameEnds(flow, fromB)
    ) {
      place = this.#hash(a, b, ports, kind) & mask;
      for (;;) {
        flow = table[place]! - 1;
        if (flow < 0) break;
        const at = flow * WORDS;
        if (
          words[at + PORTS] === ports && words[at + KEY] === a && words[at + KEY + 1] === b &&
          (words[at + META]! & KIND) === kind && (!six || this.#sameEnds(flow, fromB))
        ) break;
        place = place + 1 & mask;
      }
    }
    const side = fromB ? 1 : 0;
    const flags = packet.flags;
    const floats = this.#floats;
    const isNew = flow < 0 || this.#splitReused && (flags & (TCP_SYN | TCP_ACK)) === TCP_SYN &&
        (words[flow * WORDS + META]! & BASE_KNOWN << side) !== 0 &&
        words[flow * WORDS + BASE + side] !== (packet.sequence | 0);
    if (isNew) {
      if (flow >= 0) words[flow * WORDS + META]! |= DETACHED;
      flow = this.#flows++;
      table[place] = flow + 1;
      const at = flow * WORDS;
      words.fill(0, at, at + WORDS);
      words[at + KEY] = a;
      words[at + KEY + 1] = b;
      words[at + PORTS] = ports;
      words[at + META] = fromB ? kind | SOURCE_B : kind;
      floats[flow * FLOATS + FIRST] = time;
      floats[flow * FLOATS + LAST] = time;
      if (six) this.#keepEnds(flow, fromB);
    }

    this.#recent = flow;
    const at = flow * WORDS;
    const real = flow * FLOATS;
    const bytes = this.#frames ? packet.wireLength : packet.ipLength;
    words[at + PACKETS + side]! += 1;
    floats[real + BYTES + side]! += bytes;
    if (time > floats[real + LAST]!) floats[real + LAST] = time;
    else if (time < floats[real + FIRST]!) floats[real + FIRST] = time;
    if (protocol === PROTOCOL_TCP) {
      const meta = words[at + META]!;
      if ((flags & TCP_SYN) !== 0 && (meta & SYN_SEEN) === 0) {
        // A SYN comes from the source, the answer to it from the destination.
        const toItself = order === 0 && sourcePort === destinationPort;
        const sourceB = ((flags & TCP_ACK) === 0) === fromB && !toItself;
        words[at + META] = (sourceB ? meta | SOURCE_B : meta & ~SOURCE_B) | SYN_SEEN;
      }
      if (this.#splitReused && (meta & BASE_KNOWN << side) === 0) {
        words[at + META]! |= BASE_KNOWN << side;
        words[at + BASE + side] = (flags & TCP_SYN) !== 0 ? packet.sequence : packet.sequence - 1;
      }
    }
    if (this.#keep > 0 && words[at + PACKETS]! + words[at + PACKETS + 1]! <= this.#keep) {
      this.#record(flow, fromB ? -bytes : bytes, time);
    }
  }

  /** Ends the burst, if one is going on: its flows are delivered. Call it once more at the end. */
  endBurst(): void {
    if (this.#burstPackets === 0) return;
    this.#deliver(Infinity);
    const burst: BurstRecord = {
      burst: this.bursts++,
      first: this.#burstFirst,
      last: this.#burstLast,
      flows: this.#burstRecords,
      packets: this.#burstPackets,
    };
    this.#burstLast = NaN;
    this.#burstStart = NaN;
    this.#burstPackets = 0;
    this.#burstRecords = 0;
    this.#sink.onBurst?.(burst);
  }

  /** The packet's addresses as words: a view where they are aligned, which a reader's always are. */
  #takeAddresses(addresses: Uint8Array): void {
    this.#copied = addresses.byteOffset % 4 !== 0;
    this.#ends = this.#copied
      ? new Int32Array(addresses.slice(0, 32).buffer)
      : new Int32Array(addresses.buffer, addresses.byteOffset, 8);
    this.#addresses = addresses;
  }

  #hash(a: number, b: number, ports: number, kind: number): number {
    const random = this.#random;
    return kind ^ random[a & 255]! ^ random[256 | a >>> 8 & 255]! ^ random[512 | a >>> 16 & 255]! ^
      random[768 | a >>> 24]! ^ random[1024 | b & 255]! ^ random[1280 | b >>> 8 & 255]! ^
      random[1536 | b >>> 16 & 255]! ^ random[1792 | b >>> 24]! ^ random[2048 | ports & 255]! ^
      random[2304 | ports >>> 8 & 255]! ^ random[2560 | ports >>> 16 & 255]! ^
      random[2816 | ports >>> 24]!;
  }

  /** An IPv6 address folded to 32 bits, likewise. */
  #fold(from: number): number {
    const random = this.#random;
    let folded = 0;
    for (let i = 0; i < 4; i++) {
      const word = this.#ends[from + i]!;
      const at = 3072 + (i << 10);
      folded ^= random[at + (word & 255)]! ^ random[at + 256 + (word >>> 8 & 255)]! ^
        random[at + 512 + (word >>> 16 & 255)]! ^ random[at + 768 + (word >>> 24)]!;
    }
    return folded;
  }

  /** Whether the flow, of IPv6 and of equal folded addresses, has the packet's addresses. */
  #sameEnds(flow: number, fromB: boolean): boolean {
    const six = this.#six!;
    const turned = fromB ? 4 : 0;
    for (let i = 0; i < 8; i++) {
      if (six[flow * 8 + i] !== this.#ends[i ^ turned]) return false;
    }
    return true;
  }

  #keepEnds(flow: number, fromB: boolean): void {
    if (this.#six === undefined) {
      this.#six = new Int32Array(this.#capacity * 8);
      this.#sixBytes = new Uint8Array(this.#six.buffer);
    }
    const turned = fromB ? 4 : 0;
    for (let i = 0; i < 8; i++) this.#six[flow * 8 + i] = this.#ends[i ^ turned]!;
  }

  #record(flow: number, bytes: number, time: number): void {
    const at = this.#log++;
    if (at === this.#logFlow.length) {
      const size = Math.min(this.#maxLog, Math.max(INITIAL_LOG, 2 * at));
      this.#logFlow = grown(this.#logFlow, new Int32Array(size));
      this.#logBytes = grown(this.#logBytes, new Int32Array(size));
      this.#logTime = grown(this.#logTime, new Float64Array(size));
    }
    this.#logFlow[at] = flow;
    this.#logBytes[at] = bytes;
    this.#logTime[at] = time;
  }

  /** Makes the table larger, or evicts at the limit. */
  #roomForFlows(): void {
    if (this.#capacity === this.#maxFlows) {
      this.#evict(this.#flows >> 2);
      return;
    }
    this.#capacity = Math.min(this.#maxFlows, 2 * this.#capacity);
    this.#floats = grown(this.#floats, new Float64Array(this.#capacity * FLOATS));
    this.#words = new Int32Array(this.#floats.buffer);
    this.#bytes = new Uint8Array(this.#floats.buffer);
    if (this.#six !== undefined) {
      this.#six = grown(this.#six, new Int32Array(this.#capacity * 8));
      this.#sixBytes = new Uint8Array(this.#six.buffer);
    }
    let places = this.#table.length;
    while (places < 2 * this.#capacity) places *= 2;
    this.#table = new Int32Array(places);
    this.#mask = places - 1;
    this.#index();
  }

  /** Evicts until at most half of the packets' room is taken. */
  #roomForPackets(): void {
    while (this.#log > this.#maxLog >> 1) this.#evict(this.#flows >> 1);
  }

  /** Delivers at least `count` + 1 flows, those idle the longest. */
  #evict(count: number): void {
    const before = this.records;
    const idle = new Float64Array(this.#flows);
    for (let flow = 0; flow < idle.length; flow++) idle[flow] = this.#floats[flow * FLOATS + LAST]!;
    idle.sort();
    this.#deliver(idle[count]!);
    this.evicted += this.records - before;
  }

  /** Finds every live flow anew. */
  #index(): void {
    const words = this.#words;
    const table = this.#table;
    for (let flow = 0; flow < this.#flows; flow++) {
      const at = flow * WORDS;
      const meta = words[at + META]!;
      if ((meta & DETACHED) !== 0) continue;
      const hash = this.#hash(
        words[at + KEY]!,
        words[at + KEY + 1]!,
        words[at + PORTS]!,
        meta & KIND,
      );
      let place = hash & this.#mask;
      while (table[place] !== 0) place = place + 1 & this.#mask;
      table[place] = flow + 1;
    }
  }

  /** Delivers the flows whose last packet is no later than `until`, and forgets them. */
  #deliver(until: number): void {
    const flows = this.#flows;
    const floats = this.#floats;
    const words = this.#words;
    const all = until === Infinity;
    this.#recent = -1;
    const kept = this.#keep > 0 ? this.#sortLog() : undefined;
    const moved = all ? NONE : new Int32Array(flows).fill(-1);
    if (all) this.#unindex();
    else this.#table.fill(0);
    let left = 0;
    for (let flow = 0; flow < flows; flow++) {
      if (floats[flow * FLOATS + LAST]! > until) {
        moved[flow] = left;
        words.copyWithin(left * WORDS, flow * WORDS, (flow + 1) * WORDS);
        this.#six?.copyWithin(left * 8, flow * 8, (flow + 1) * 8);
        left++;
        continue;
      }
      const detached = (words[flow * WORDS + META]! & DETACHED) !== 0;
      const record = this.#recordOf(flow, detached ? "reused" : all ? "burst" : "evicted", kept);
      this.records++;
      this.#burstRecords++;
      this.#sink.onFlow(record);
    }
    this.#flows = left;
    if (all) {
      this.#log = 0;
      return;
    }
    this.#index();
    let log = 0;
    for (let i = 0; i < this.#log; i++) {
      const flow = moved[this.#logFlow[i]!]!;
      if (flow < 0) continue;
      this.#logFlow[log] = flow;
      this.#logBytes[log] = this.#logBytes[i]!;
      this.#logTime[log] = this.#logTime[i]!;
      log++;
    }
    this.#log = log;
  }

  /** Empties the index in time that depends on the flows, not on the size it once grew to. */
  #unindex(): void {
    const words = this.#words;
    const table = this.#table;
    const mask = this.#mask;
    if (this.#flows > table.length >> 3) {
      table.fill(0);
      return;
    }
    for (let flow = 0; flow < this.#flows; flow++) {
      const at = flow * WORDS;
      const meta = words[at + META]!;
      if ((meta & DETACHED) !== 0) continue;
      let place = mask & this.#hash(
        words[at + KEY]!,
        words[at + KEY + 1]!,
        words[at + PORTS]!,
        meta & KIND,
      );
      while (table[place] !== flow + 1) place = place + 1 & mask;
      table[place] = 0;
    }
  }

  #recordOf(flow: number, end: FlowEnd, kept: KeptPackets | undefined): FlowRecord {
    const words = this.#words;
    const floats = this.#floats;
    const at = flow * WORDS;
    const meta = words[at + META]!;
    const version = (meta & SIX) === 0 ? 4 : 6;
    // Where the bytes of A's address stand, and of B's.
    const addresses = version === 4 ? this.#bytes : this.#sixBytes;
    const atA = version === 4 ? 4 * (at + KEY) : 32 * flow;
    const atB = atA + (version === 4 ? 4 : 16);
    let source = (meta & SOURCE_B) === 0 ? 0 : 1;
    if (this.#local.length > 0) {
      const isLocal = (from: number) =>
        this.#local.some((net) => net.version === version && net.contains(addresses, from));
      const [localA, localB] = [isLocal(atA), isLocal(atB)];
      if (localA !== localB) source = localA ? 0 : 1;
    }
    const peer = 1 - source;
    const ports = words[at + PORTS]!;
    const first = floats[flow * FLOATS + FIRST]!;
    const record: FlowRecord = {
      burst: this.bursts,
      first,
      last: floats[flow * FLOATS + LAST]!,
      version,
      protocol: meta & 0xff,
      sourceAddress: formatAddress(addresses, source === 0 ? atA : atB, version),
      destinationAddress: formatAddress(addresses, source === 0 ? atB : atA, version),
      sourcePort: source === 0 ? ports >>> 16 : ports & 0xffff,
      destinationPort: source === 0 ? ports & 0xffff : ports >>> 16,
      packetsSent: words[at + PACKETS + source]!,
      packetsReceived: words[at + PACKETS + peer]!,
      bytesSent: floats[flow * FLOATS + BYTES + source]!,
      bytesReceived: floats[flow * FLOATS + BYTES + peer]!,
      end,
    };
    if (kept === undefined) return record;
    const lengths = kept.bytes.slice(kept.starts[flow]!, kept.starts[flow + 1]!);
    const times = kept.times.slice(kept.starts[flow]!, kept.starts[flow + 1]!);
    for (let i = 0; i < lengths.length; i++) {
      if (source === 1) lengths[i] = -lengths[i]!;
      times[i]! -= first;
    }
    return { ...record, lengths, times };
  }

  /** The kept packets of each flow together, in the order of capture. */
  #sortLog(): KeptPackets {
    const starts = new Int32Array(this.#flows + 1);
    const log = this.#log;
    for (let i = 0; i < log; i++) starts[this.#logFlow[i]! + 1]! += 1;
    for (let flow = 0; flow < this.#flows; flow++) starts[flow + 1]! += starts[flow]!;
    const next = starts.slice();
    const bytes = new Int32Array(log);
    const times = new Float64Array(log);
    for (let i = 0; i < log; i++) {
      const flow = this.#logFlow[i]!;
      const to = next[flow]!;
      next[flow] = to + 1;
      bytes[to] = this.#logBytes[i]!;
      times[to] = this.#logTime[i]!;
    }
    return { starts, bytes, times };
  }
}

/** Packets sorted by flow: those of flow `f` are at `starts[f]` to `starts[f + 1]`. */
interface KeptPackets {
  readonly starts: Int32Array;
  readonly bytes: Int32Array<ArrayBuffer>;
  readonly times: Float64Array<ArrayBuffer>;
}

/** `larger`, beginning with the values of `before`. */
function grown<A extends Int32Array<ArrayBuffer> | Float64Array<ArrayBuffer>>(
  before: A,
  larger: A,
): A {
  larger.set(before);
  return larger;
}

/** `count` words that `seed` decides (SplitMix, 32 bits). */
function randomWords(count: number, seed: number): Int32Array {
  const words = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    seed = seed + 0x9e3779b9 | 0;
    let word = Math.imul(seed ^ seed >>> 16, 0x21f0aaad);
    word = Math.imul(word ^ word >>> 15, 0x735a2d97);
    words[i] = word ^ word >>> 15;
  }
  return words;
}

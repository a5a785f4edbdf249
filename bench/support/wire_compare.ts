import type { Connection, Side } from "../../capture/mod.ts";
import type { End } from "../../models/mod.ts";
import { SSH_ADJUSTMENT, SSH_GRID } from "../../transports/carriers/mod.ts";
import { leavesWithOthers, type Leaving } from "./wire_farewells.ts";
import type { PlannedConnection, PlannedMessage } from "./wire_plan.ts";

/** A piece of a side's stream that the plan has as one record. */
interface Piece {
  readonly offset: number;
  readonly size: number;
}

/** What a recording holds of one connection after the carrier's own handshake. */
export interface RecordedConnection {
  readonly connection: Connection;
  /** By side: the records in the order of the stream. */
  readonly pieces: readonly [Piece[], Piece[]];
  /** By side: packets that the carrier's program sent of its own accord among them. */
  readonly own: readonly [number, number];
  /** By side: where the plan's bytes begin. */
  readonly begin: readonly [number, number];
}

const sideOf = (end: End): Side => end === "client" ? 0 : 1;

/** When bytes of one side's stream were seen. */
class Seen {
  readonly #ends: number[] = [];
  readonly #first: number[] = [];
  readonly #complete: number[] = [];
  readonly #sizes: number[] = [];
  readonly #largest: number;

  constructor({ segments }: Connection, side: Side) {
    const rows: number[] = [];
    for (let row = 0; row < segments.length; row++) {
      if (segments.side[row] === side && segments.size[row]! > 0) rows.push(row);
    }
    rows.sort((a, b) => segments.offset[a]! - segments.offset[b]!);
    let complete = 0;
    for (const row of rows) {
      complete = Math.max(complete, segments.time[row]!);
      this.#ends.push(segments.offset[row]! + segments.size[row]!);
      this.#first.push(segments.time[row]!);
      this.#complete.push(complete);
      this.#sizes.push(segments.size[row]!);
    }
    this.#largest = this.#sizes.reduce((most, size) => Math.max(most, size), 0);
  }

  /** Ends of segments. */
  get ends(): readonly number[] {
    return this.#ends;
  }

  #row(offset: number): number {
    let [low, high] = [0, this.#ends.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#ends[middle]! > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** When the byte at `offset` was first seen. */
  at(offset: number): number {
    return this.#first[this.#row(offset)] ?? NaN;
  }

  /** Whether the byte at `offset` was in a segment as large as any: TCP had more to send than it could. */
  inFull(offset: number): boolean {
    return this.#sizes[this.#row(offset)] === this.#largest;
  }

  /** When all bytes before `offset` had been seen; 0 for none. */
  complete(offset: number): number {
    return offset === 0 ? 0 : this.#complete[this.#row(offset - 1)] ?? NaN;
  }

  /** Bytes seen by `time`, with none missing before them. */
  before(time: number): number {
    let [low, high] = [0, this.#ends.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#complete[middle]! > time) high = middle;
      else low = middle + 1;
    }
    return low === 0 ? 0 : this.#ends[low - 1]!;
  }

  /** Bytes seen in all. */
  get total(): number {
    return this.#ends.at(-1) ?? 0;
  }
}

/** Size of the alert that goes before a FIN, in TLS. */
const ALERT = 24;
/**
 * What OpenSSH's client says between NEWKEYS and the request for a subsystem or command, and what it says from there to
 * the first byte of ours where that is `sftp`: the seven messages of docs/carriers.md.
 */
const SSH_OPENING = 44 + 60 + 140 + 308 + 112;
const SSH_SFTP = 52 + 44;

/** The records of a TLS connection after its handshake, without the alerts at the end. */
function tlsPieces(connection: Connection, side: Side): Piece[] {
  const { handshake: { bytes }, records } = connection;
  const pieces: Piece[] = [];
  for (let row = 0; row < records.length; row++) {
    if (records.side[row] !== side || records.offset[row]! < bytes[side]) continue;
    pieces.push({ offset: records.offset[row]!, size: records.size[row]! });
  }
  pieces.sort((a, b) => a.offset - b.offset);
  if (pieces.at(-1)?.size === ALERT) pieces.pop();
  return pieces;
}

/** A TLS connection as recorded. */
export function readTls(connection: Connection): RecordedConnection {
  const pieces: [Piece[], Piece[]] = [tlsPieces(connection, 0), tlsPieces(connection, 1)];
  return { connection, pieces, own: [0, 0], begin: connection.handshake.bytes };
}

/**
 * Packets of SSH hide their lengths. Where messages end is told by the ends of segments: those planned lie one
 * after the other in the stream, with the receiver's window adjustments between them where OpenSSH's rule has
 * them, and of all such readings the one is taken that fits best. Sizes are negative where a message does not end
 * where it should. Each direction is read by itself: how two directions cross depends on where one looks, and an
 * adjustment is told from a planned packet of its size by what came before it and when.
 */
export function readSsh(
  client: Connection,
  server: Connection,
  plan: Pick<PlannedConnection, "messages" | "command">,
): [RecordedConnection, RecordedConnection] {
  const ends = [client, server].map((
    connection,
  ) => [new Seen(connection, 0), new Seen(connection, 1)]);
  const { bytes } = client.handshake;
  const opened = bytes[0] + SSH_OPENING + (plan.command ?? SSH_SFTP);
  const [up, down] = ends[0]!;
  // The server's opening is what it said before the client's first planned packet.
  const starts = up!.at(opened);
  let answered = bytes[1];
  for (const end of down!.ends) {
    if (up!.total <= opened || down!.at(end - 1) < starts) answered = end;
  }
  // A command's server may speak first, but for its answer to the request.
  if (plan.command !== undefined) {
    const asked = up!.at(opened - 1);
    answered = down!.ends.find((end) => down!.at(end - 1) > asked) ?? answered;
  }
  const begin = [opened, answered] as const;
  // Each direction as its sender's recording has it.
  const read = ([0, 1] as const).map((side) => {
    const messages = plan.messages.filter(({ end }) => sideOf(end) === side);
    const [sent, heard] = [ends[side]![side]!, ends[side]![1 - side]!];
    return packetsOf(messages, sent, begin[side], heard, begin[1 - side]!);
  });
  const [first, second] = [read[0]!, read[1]!];
  const seen = {
    pieces: [first.pieces, second.pieces],
    own: [first.own, second.own],
    begin,
  } as const;
  return [{ connection: client, ...seen }, { connection: server, ...seen }];
}

/** Messages in a row whose common end is enough, besides those that TCP sent as one stream of full segments. */
const TOGETHER = 3;
/** Packets at most that a program has made one of, and how often in a stream. */
const MOST_JOINED = 3;
const MOST_JOINTS = 4;
/** What speaks against a reading of a stream, the less the better; `pause` for each millisecond, up to `longPause`. */
const AGAINST = {
  hiddenEnd: 1,
  early: 1,
  adjusted: 0.01,
  hiddenAdjustment: 0.2,
  againstRule: 2,
  joined: 3,
  pause: 0.001,
  longPause: 0.1,
};

/** Bytes on the wire of one packet with the payload of several, if it is one. */
function joined(sizes: readonly number[]): number | undefined {
  const { maxPayload, overhead, step = 1 } = SSH_GRID;
  const payload = sizes.reduce((sum, size) => sum + size - overhead, 0);
  if (payload > maxPayload) return undefined;
  const rest = sizes[0]! % step;
  return rest + step * Math.ceil((payload + overhead - rest) / step);
}

/** The planned packets of one side in its stream, and how many adjustments lie between them. */
function packetsOf(
  messages: readonly PlannedMessage[],
  seen: Seen,
  begin: number,
  heard: Seen,
  heardBegin: number,
): { pieces: Piece[]; own: number } {
  const ends = new Set(seen.ends);
  const { after, size: adjustment } = SSH_ADJUSTMENT;
  const records = messages.flatMap(({ records }) => [...records]);
  const firsts = new Map<number, PlannedMessage>();
  const lasts = new Set<number>();
  for (let row = 0, i = 0; i < messages.length; i++) {
    firsts.set(row, messages[i]!);
    lasts.add((row += messages[i]!.records.length) - 1);
  }
  const sums = [0];
  for (const size of records) sums.push(sums.at(-1)! + size);
  const most = 1 + Math.floor((heard.total - heardBegin) / after) * 2;
  const deep = MOST_JOINTS + 1;
  const width = (most + 1) * deep;
  // By records, adjustments and joints before a place in the stream: what speaks against the best reading up to there,
  // the bytes that it lacks where packets are joined, and its last packet: 0 for an adjustment, else records in it.
  const cost = new Float64Array((records.length + 1) * width).fill(Infinity);
  const lacks = new Int32Array(cost.length);
  const last = new Uint8Array(cost.length);
  cost[0] = 0;
  const ownIn = (state: number) => Math.floor(state % width / deep);
  const placeOf = (state: number) =>
    begin + sums[Math.floor(state / width)]! + ownIn(state) * adjustment - lacks[state]!;
  const reach = (state: number, then: number, lack: number, packet: number) => {
    if (then >= cost[state]!) return;
    cost[state] = then;
    lacks[state] = lack;
    last[state] = packet;
  };
  for (let row = 0; row <= records.length; row++) {
    for (let state = row * width; state < (row + 1) * width; state++) {
      const own = ownIn(state);
      const here = cost[state]!;
      const at = placeOf(state);
      if (here === Infinity || at >= seen.total) continue;
      if (own < most && at + adjustment <= seen.total) {
        const rule = heard.before(seen.at(at)) - heardBegin > (own + 1) * after;
        const then = here + AGAINST.adjusted + (rule ? 0 : AGAINST.againstRule) +
          (ends.has(at + adjustment) ? 0 : AGAINST.hiddenAdjustment);
        reach(state + deep, then, lacks[state]!, 0);
      }
      const message = firsts.get(row);
      const heardAll = message === undefined ? 0 : heard.complete(heardBegin + message.after);
      const early = message !== undefined && message.after > 0 && seen.at(at) < heardAll;
      // A planned packet is as soon as it may be; the receiver's own of the same size come when they like.
      let planned = state;
      while (planned > 0 && last[planned] === 0) planned -= deep;
      const trigger = Math.max(seen.at(placeOf(planned) - 1), heardAll);
      const pause = seen.at(at) - Math.max(seen.at(at - 1), trigger + (message?.time ?? 0));
      const begins = here + (early ? AGAINST.early : 0) +
        Math.min(AGAINST.longPause, AGAINST.pause * Math.max(0, pause));
      for (let count = 1; count <= MOST_JOINED && row + count <= records.length; count++) {
        if (count > 1 && (state % deep === MOST_JOINTS || firsts.has(row + count - 1))) break;
        const sizes = records.slice(row, row + count);
        const size = count === 1 ? sizes[0] : joined(sizes);
        if (size === undefined || at + size > seen.total) break;
        const hidden = lasts.has(row + count - 1) && !ends.has(at + size);
        const then = begins + (hidden ? AGAINST.hiddenEnd : 0) + (count > 1 ? AGAINST.joined : 0);
        const lack = sums[row + count]! - sums[row]! - size;
        reach(state + count * width + Number(count > 1), then, lacks[state]! + lack, count);
      }
    }
  }
  // The reading that ends with the stream, or else one that leaves as little of it as any.
  let best = 0;
  for (let state = 1; state < cost.length; state++) {
    if (cost[state] === Infinity) continue;
    const left = (state: number) => seen.total - placeOf(state);
    const nearer = left(best) - left(state);
    if (nearer > 0 || (nearer === 0 && cost[state]! < cost[best]!)) best = state;
  }
  const found: Piece[] = [];
  const own = ownIn(best);
  for (let state = best; state > 0;) {
    const count = last[state]!;
    const before = state - (count === 0 ? deep : count * width + Number(count > 1));
    const [offset, end] = [placeOf(before), placeOf(state)];
    // Of packets that are joined, the first is as large as all, and nothing is left of the others.
    for (let i = count; i > 0; i--) {
      found.unshift(i === 1 ? { offset, size: offset - end } : { offset: end, size: 0 });
    }
    state = before;
  }
  // Two or three that were sent at once may share a segment.
  let from = 0;
  let together = 0;
  for (const [row, { offset, size }] of found.entries()) {
    if (!lasts.has(row)) continue;
    const end = offset + Math.abs(size);
    if (!ends.has(end)) {
      if (!seen.inFull(end) && ++together >= TOGETHER) from = row + 1;
      continue;
    }
    for (; from <= row; from++) {
      found[from] = { offset: found[from]!.offset, size: -found[from]!.size };
    }
    together = 0;
  }
  const done = placeOf(best);
  const surplus = seen.total - done;
  if (surplus > 0) found.push({ offset: done, size: surplus });
  return { pieces: found, own };
}

/** How one connection compares with its plan. */
export interface Compared {
  /** By side: records planned, and those of them that the wire has at their place. */
  readonly planned: readonly [number, number];
  readonly exact: readonly [number, number];
  /** Bytes after the planned records, both sides. */
  readonly surplus: number;
  /** Messages that were sent before what they wait for had come. */
  readonly early: number;
  /** Whether the planned end closed it. */
  readonly closedBy: boolean;
  /** Whether it closed as planned. */
  readonly closedHow: boolean;
  /** By side: how late messages began, and closings, in milliseconds. */
  readonly late: readonly [number[], number[]];
  /** By side: which message of the plan each of these is, counted by side; one more than there are for the closing. */
  readonly which: readonly [number[], number[]];
  /** Messages whose first byte waited for bytes before it that TCP had not sent. */
  readonly queued: number;
  /** When it was through and would have closed by itself, if it closes with others: its closing is not in `late` then. */
  readonly ready: Leaving["ready"];
  /** Packets of the carrier's own among those planned. */
  readonly own: readonly [number, number];
  /** In words: the first thing that is not as planned. */
  readonly deviation?: string;
}

/** Later than this, what follows counts from what was done and not from what was planned: the engine's rule. */
const FORGIVEN = 20;

/**
 * How late one end's messages were by the recording at that end: its first byte against the trigger as that
 * recording has it (its own message before, and the last byte that had to come) plus the planned time.
 */
function latenessAt(
  end: End,
  { begin, connection, pieces }: RecordedConnection,
  plan: Pick<PlannedConnection, "messages" | "close">,
): {
  late: number[];
  which: number[];
  early: number;
  queued: number;
  first?: string;
  ready?: Leaving["ready"];
} {
  const [own, peer] = end === "client" ? [0, 1] as const : [1, 0] as const;
  const sent = new Seen(connection, own);
  const heard = new Seen(connection, peer);
  // An end begins when the carrier's handshake is over: the client's last word in TLS, the server's in SSH.
  const ssh = connection.handshake.carrier === "ssh";
  let before = ssh
    ? (end === "client" ? heard : sent).complete(begin[1])
    : (end === "client" ? sent : heard).complete(connection.handshake.bytes[0]);
  const late: number[] = [];
  const which: number[] = [];
  let early = 0;
  let queued = 0;
  let message = -1;
  let ready: Leaving["ready"];
  let first: string | undefined;
  let record = 0;
  // Bytes of the peer's plan by its records, so that packets of the carrier's own do not count.
  const bounds = [0];
  for (const message of plan.messages) {
    if (message.end === end) continue;
    for (const size of message.records) bounds.push(bounds.at(-1)! + size);
  }
  const arrival = (after: number) => {
    const index = bounds.indexOf(after);
    if (index <= 0) return 0;
    const piece = pieces[peer][index - 1];
    if (piece === undefined) return 0;
    const { offset, size } = piece;
    return heard.complete(offset + Math.abs(size));
  };
  const next = (planned: PlannedMessage) => {
    message++;
    const mine = pieces[own].slice(record, record + planned.records.length);
    record += planned.records.length;
    if (mine.length < planned.records.length) return;
    const came = arrival(planned.after);
    const due = Math.max(before, came) + planned.time;
    const at = sent.at(mine[0]!.offset);
    if (at < came) {
      early++;
      first ??= `${end}: a message ${(came - at).toFixed(2)} ms before what it waits for`;
    }
    const previous = pieces[own][record - planned.records.length - 1];
    const busy = previous !== undefined &&
      sent.complete(previous.offset + Math.abs(previous.size)) > due;
    if (busy) queued++;
    else {
      late.push(at - due);
      which.push(message);
    }
    const done = sent.at(mine.at(-1)!.offset);
    before = done - due < FORGIVEN ? due : done;
  };
  for (const message of plan.messages) if (message.end === end) next(message);
  if (plan.close.by === end && connection.end.time !== undefined) {
    // What was planned counts; a peer's alert may come later.
    const complete = (seen: Seen, side: 0 | 1) => {
      const last = pieces[side].at(-1);
      return last === undefined ? 0 : seen.complete(last.offset + Math.abs(last.size));
    };
    const through = Math.max(before, complete(heard, peer));
    const due = through + plan.close.time;
    if (leavesWithOthers(plan)) {
      ready = { through: connection.startTime + through, due: connection.startTime + due };
    } else if (complete(sent, own) <= due) {
      late.push(connection.end.time - due);
      which.push(message + 1);
    }
  }
  return {
    late,
    which,
    early,
    queued,
    ...(first === undefined ? {} : { first }),
    ...(ready === undefined ? {} : { ready }),
  };
}

/** Compares the recordings of one connection at both ends with its plan. */
export function compare(
  client: RecordedConnection,
  server: RecordedConnection,
  plan: Pick<PlannedConnection, "messages" | "close">,
): Compared {
  const planned: [number, number] = [0, 0];
  const exact: [number, number] = [0, 0];
  let surplus = 0;
  let deviation: string | undefined;
  for (const [end, side] of [["client", 0], ["server", 1]] as const) {
    const sizes = plan.messages.filter((message) => message.end === end)
      .flatMap(({ records }) => [...records]);
    planned[side] = sizes.length;
    // At the sender's own end: what it put on the wire.
    const seen = (side === 0 ? client : server).pieces[side];
    for (const [i, size] of sizes.entries()) {
      if (seen[i]?.size === size) exact[side]++;
      else {
        deviation ??= `${end}: record ${i} of ${sizes.length} has ${
          seen[i]?.size ?? "no"
        } bytes, not ${size}`;
      }
    }
    for (const { size } of seen.slice(sizes.length)) {
      surplus += Math.abs(size);
      deviation ??= `${end}: ${size} bytes more than planned`;
    }
  }
  const at = {
    client: latenessAt("client", client, plan),
    server: latenessAt("server", server, plan),
  };
  deviation ??= at.client.first ?? at.server.first;
  const { by, how } = (plan.close.by === "client" ? client : server).connection.end;
  const closedBy = by === sideOf(plan.close.by);
  const closedHow = how === plan.close.how;
  if (!closedBy || !closedHow) {
    deviation ??= `closed by ${
      by === 0 ? "client" : by === 1 ? "server" : "nobody"
    }, ${how}, not by ${plan.close.by}, ${plan.close.how}`;
  }
  return {
    planned,
    exact,
    surplus,
    early: at.client.early + at.server.early,
    queued: at.client.queued + at.server.queued,
    ready: at.client.ready,
    closedBy,
    closedHow,
    late: [at.client.late, at.server.late],
    which: [at.client.which, at.server.which],
    own: [client.own[0], server.own[1]],
    ...(deviation === undefined ? {} : { deviation }),
  };
}

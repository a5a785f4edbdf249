import { encodeNumbers, FRAME } from "./frame.ts";
import type { StreamState } from "./stream.ts";
import type { Acks } from "./tunnel_acks.ts";
import { type Cover, type QueuedFrame, suits } from "./tunnel_cover.ts";
import type { Outbox } from "./tunnel_outbox.ts";
import type { StreamTable } from "./tunnel_streams.ts";
import { varintLength, writeVarint } from "./varint.ts";

/** Bytes that one stream puts into a buffer before it is another one's turn. */
const TURN = 4096;

/**
 * Fills buffers: what waits goes into a connection's next bytes, in the order of its precedence. Those are frames
 * for that connection, acknowledgements, the engine's frames, streams' frames, credit, users' data in turns.
 */
export class Filler {
  readonly #outbox: Outbox;
  readonly #acks: Acks;
  readonly #streams: StreamTable;
  #end = 0;

  /** A filler from these three. */
  constructor(outbox: Outbox, acks: Acks, streams: StreamTable) {
    this.#outbox = outbox;
    this.#acks = acks;
    this.#streams = streams;
  }

  /** The position after what {@linkcode Filler.fill} has put. */
  get end(): number {
    return this.#end;
  }

  /**
   * Puts what there is for a connection at the head of `buffer` and returns how many bytes of it are users' data.
   * Unless `dataAllowed`, only frames for that connection and the engine's go in.
   */
  fill(cover: Cover, buffer: Uint8Array, dataAllowed: boolean): number {
    this.#end = this.#fillControl(cover, buffer, dataAllowed);
    return dataAllowed ? this.#fillData(cover, buffer, this.#end) : 0;
  }

  /** Whether there is more to send on a connection that flows than acknowledgements that can wait. */
  worthSending(cover: Cover): boolean {
    const { creditsDue, engineFrames, idle } = this.#outbox;
    if (!idle || engineFrames.length > 0 || creditsDue.size > 0) return true;
    return cover.bound.length > 0 || cover.begun || this.#acks.pressing;
  }

  #fillControl(cover: Cover, buffer: Uint8Array, dataAllowed: boolean): number {
    const { bound } = cover;
    let at = cover.putOwed(buffer);
    // The engine's frames go first, whatever users' frames have begun: where its plans travel must not
    // depend on those.
    while (bound.length > 0 && bound[0]!.length <= buffer.length - at) {
      at = cover.put(buffer, at, bound.shift()!, undefined);
    }
    at = cover.putRest(buffer, at);
    while (bound.length > 0 && at < buffer.length && !cover.midFrame) {
      at = cover.put(buffer, at, bound.shift()!, undefined);
    }
    if (dataAllowed) at = this.#acks.fill(cover, buffer, at);
    at = this.#fillFrames(cover, buffer, at, this.#outbox.engineFrames);
    if (!dataAllowed) return at;
    at = this.#fillFrames(cover, buffer, at, this.#outbox.streamFrames);
    return this.#fillCredits(cover, buffer, at);
  }

  #fillFrames(cover: Cover, buffer: Uint8Array, at: number, queue: QueuedFrame[]): number {
    while (queue.length > 0 && !cover.midFrame) {
      const frame = queue[0]!;
      if (!suits(buffer, at, frame.bytes.length)) break;
      queue.shift();
      at = cover.put(buffer, at, frame.bytes, { end: 0, kind: "frame", frame });
    }
    return at;
  }

  #fillCredits(cover: Cover, buffer: Uint8Array, at: number): number {
    const { creditsDue } = this.#outbox;
    for (const stream of creditsDue) {
      if (cover.midFrame) break;
      if (!stream.wantsCredit) {
        creditsDue.delete(stream);
        continue;
      }
      const limit = this.#streams.creditFor(stream);
      const frame = encodeNumbers(FRAME.credit, stream.id, limit);
      if (!suits(buffer, at, frame.length)) break;
      this.#streams.grant(stream, limit);
      creditsDue.delete(stream);
      at = cover.put(buffer, at, frame, { end: 0, kind: "credit", stream, limit });
    }
    return at;
  }

  /** Puts data at `at` and returns how many bytes of it; `#end` is then the position after it. */
  #fillData(cover: Cover, buffer: Uint8Array, at: number): number {
    let data = 0;
    while (at < buffer.length && !cover.midFrame) {
      const stream = this.#outbox.nextInTurn();
      if (stream === undefined) break;
      const length = this.#putData(cover, buffer, at, stream);
      if (length === 0) break;
      at = cover.extents.at(-1)!.end - cover.written;
      data += length;
      // The last bytes of a stream free its FIN, which may still fit.
      at = this.#fillFrames(cover, buffer, at, this.#outbox.streamFrames);
    }
    this.#end = at;
    return data;
  }

  /**
   * Puts a data frame of `stream` at `at` and returns the bytes of user data in it: 0 if none fit. Data
   * frames are cut to fit, so they never straddle.
   */
  #putData(cover: Cover, buffer: Uint8Array, at: number, stream: StreamState): number {
    const again = stream.lost.count > 0;
    const queue = again ? this.#outbox.again : this.#outbox.ready;
    const offset = again ? stream.lost.firstStart! : stream.sent;
    const available = again ? stream.lost.firstEnd! - offset : stream.freshBytes;
    const turn = Math.max(TURN, buffer.length >>> 2);
    const most = queue.size > 1 ? Math.min(available, turn) : available;
    const follows = cover.lastStream === stream.id && cover.lastEnd === offset;
    const head = follows ? 1 : 1 + varintLength(stream.id) + varintLength(offset);
    const room = buffer.length - at - head;
    let length = 0;
    for (let lengthBytes = 1; lengthBytes <= 4; lengthBytes++) {
      length = Math.min(most, room - lengthBytes);
      if (length <= 0) return 0;
      if (varintLength(length) <= lengthBytes) break;
    }
    let next = at;
    if (follows) buffer[next++] = FRAME.dataNext;
    else {
      buffer[next++] = FRAME.data;
      next = writeVarint(buffer, next, stream.id);
      next = writeVarint(buffer, next, offset);
    }
    next = writeVarint(buffer, next, length);
    stream.copy(offset, buffer.subarray(next, next + length));
    next += length;
    cover.lastStream = stream.id;
    cover.lastEnd = offset + length;
    cover.placed(next, { end: 0, kind: "data", stream, offset, length });
    if (again) stream.lost.remove(offset, offset + length);
    else stream.onSent(offset + length);
    queue.delete(stream);
    if (again ? stream.lost.count > 0 : stream.freshBytes > 0) queue.add(stream);
    return length;
  }
}

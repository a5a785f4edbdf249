import { FRAME, MAX_CONTROL_BODY, MAX_HOST_LENGTH } from "./frame.ts";
import { TunnelProtocolError } from "./tunnel_error.ts";
import { MAX_VARINT_LENGTH } from "./varint.ts";

/** What a {@linkcode FrameParser} finds. Byte arrays are valid during the call only. */
export interface FrameHandler {
  /** A peer opens a stream. */
  onOpen(stream: number, host: string, port: number): void;
  /** A stream of ours reached its destination. */
  onOpened(stream: number): void;
  /** A stream of ours did not. */
  onRefused(stream: number, code: number): void;
  /** A data frame begins: `length` bytes from `offset` on will follow. */
  onDataStart(stream: number, offset: number, length: number): void;
  /** Bytes of the data frame begun last; a frame may come in several parts. */
  onData(stream: number, offset: number, bytes: Uint8Array): void;
  /** The peer sends no more than `offset` bytes. */
  onFin(stream: number, offset: number): void;
  /** The peer gave up a stream. */
  onReset(stream: number, code: number): void;
  /** The peer processed `bytes` of a connection (undefined: of this one). */
  onAck(connection: number | undefined, bytes: number, final: boolean): void;
  /** Data up to `limit` may be sent. */
  onCredit(stream: number, limit: number): void;
  /** A frame of the engine's; `sequence` if it is one that is sent again until acknowledged. */
  onEngine(type: number, body: Uint8Array, sequence: number | undefined): void;
  /** The tunnel ends. */
  onGoodbye(code: number): void;
}

/** Number of varints that follow each type byte; undefined where the type is unknown. */
const NUMBERS: readonly (number | undefined)[] = (() => {
  const table: (number | undefined)[] = new Array(256).fill(undefined);
  table[FRAME.open] = 3;
  table[FRAME.opened] = 1;
  table[FRAME.refused] = 2;
  table[FRAME.data] = 3;
  table[FRAME.dataNext] = 1;
  table[FRAME.fin] = 2;
  table[FRAME.reset] = 2;
  table[FRAME.ack] = 2;
  table[FRAME.ackFinal] = 2;
  table[FRAME.ackHere] = 1;
  table[FRAME.credit] = 2;
  table[FRAME.goodbye] = 1;
  table[FRAME.engine] = 2;
  table[FRAME.engineReliable] = 3;
  return table;
})();

/** Longest frame that is held until whole (data frames are not). */
const MAX_HELD = 1 + 3 * MAX_VARINT_LENGTH + MAX_CONTROL_BODY;

/**
 * Takes the byte stream of one direction of one connection, in chunks of any sizes, and reports its
 * frames. Everything is untrusted: lengths are bounded, unknown types and overlong numbers are a
 * {@linkcode TunnelProtocolError}, after which the parser must not be used again. Holds at most one
 * incomplete frame, and of data frames only the header.
 *
 * @example
 * ```ts
 * import { encodeNumbers, FRAME } from "./frame.ts";
 * import { FrameParser } from "./frame_parser.ts";
 * let limit = 0;
 * const ignore = () => {};
 * const parser = new FrameParser({
 *   onOpen: ignore,
 *   onOpened: ignore,
 *   onRefused: ignore,
 *   onDataStart: ignore,
 *   onData: ignore,
 *   onFin: ignore,
 *   onReset: ignore,
 *   onAck: ignore,
 *   onCredit: (_stream, to) => limit = to,
 *   onEngine: ignore,
 *   onGoodbye: ignore,
 * });
 * parser.push(encodeNumbers(FRAME.credit, 4, 65536));
 * if (limit !== 65536 || parser.processed !== 5) throw new Error("not understood");
 * ```
 */
export class FrameParser {
  readonly #handler: FrameHandler;
  readonly #numbers = [0, 0, 0];
  #held = new Uint8Array(0);
  #heldLength = 0;
  #stream = -1;
  #offset = 0;
  #remaining = 0;
  #complete = 0;
  #pending = 0;
  /** Puts pieces together; a parser of pieces has none. */
  #pieces: FrameParser | undefined;
  readonly #ofPieces: boolean;

  /** Reports to `handler`. `ofPieces`: takes what is in pieces, so no further pieces and no data. */
  constructor(handler: FrameHandler, ofPieces = false) {
    this.#handler = handler;
    this.#ofPieces = ofPieces;
  }

  /** Bytes of the stream up to the end of the last whole frame, padding included. */
  get processed(): number {
    return this.#complete;
  }

  /** Whether a frame has begun and not ended. */
  get midFrame(): boolean {
    return this.#remaining > 0 || this.#heldLength > 0 || (this.#pieces?.midFrame ?? false);
  }

  /** Takes the next bytes of the stream. */
  push(bytes: Uint8Array): void {
    const end = bytes.length;
    let at = 0;
    while (at < end) {
      if (this.#remaining > 0) {
        const length = Math.min(this.#remaining, end - at);
        const offset = this.#offset;
        this.#offset += length;
        this.#remaining -= length;
        this.#handler.onData(this.#stream, offset, bytes.subarray(at, at + length));
        at += length;
        this.#advance(length, this.#remaining === 0);
      } else if (this.#heldLength > 0) {
        at = this.#continueHeld(bytes, at);
      } else if (bytes[at] === FRAME.padding) {
        const start = at;
        while (at < end && bytes[at] === FRAME.padding) at++;
        this.#advance(at - start, true);
      } else {
        const used = this.#parse(bytes, at, end);
        if (used > 0) {
          at += used;
        } else {
          this.#hold(bytes.subarray(at));
          at = end;
        }
      }
    }
  }

  #advance(length: number, whole: boolean): void {
    this.#pending += length;
    if (whole) {
      this.#complete += this.#pending;
      this.#pending = 0;
    }
  }

  #hold(bytes: Uint8Array): void {
    const length = this.#heldLength + bytes.length;
    if (length > MAX_HELD) throw new TunnelProtocolError("a frame is too long");
    if (length > this.#held.length) {
      const grown = new Uint8Array(Math.min(MAX_HELD, Math.max(64, 2 * length)));
      grown.set(this.#held.subarray(0, this.#heldLength));
      this.#held = grown;
    }
    this.#held.set(bytes, this.#heldLength);
    this.#heldLength = length;
  }

  /** Adds to the frame held as much as it is known to need, and parses it once it is whole. */
  #continueHeld(bytes: Uint8Array, at: number): number {
    const needed = -this.#parse(this.#held, 0, this.#heldLength);
    const length = Math.min(bytes.length - at, needed - this.#heldLength);
    this.#hold(bytes.subarray(at, at + length));
    // Parsing is retried with every addition, so that the last one is what completes the frame.
    const heldLength = this.#heldLength;
    const held = this.#held;
    if (heldLength === needed) {
      this.#heldLength = 0;
      if (this.#parse(held, 0, heldLength) < 0) this.#heldLength = heldLength;
    }
    return at + length;
  }

  /**
   * Parses the frame at `at`. Returns the bytes used, or minus the number of bytes that are needed at
   * least (more than there are).
   */
  #parse(bytes: Uint8Array, at: number, end: number): number {
    const type = bytes[at]!;
    if (this.#ofPieces && (type >= FRAME.piece || type === FRAME.data || type === FRAME.dataNext)) {
      throw new TunnelProtocolError(`a frame of type ${type} in pieces`);
    }
    if (type >= FRAME.piece) {
      const length = 2 + type - FRAME.piece;
      if (end - at < length) return -length;
      this.#pieces ??= new FrameParser(this.#handler, true);
      this.#pieces.push(bytes.subarray(at + 1, at + length));
      this.#advance(length, true);
      return length;
    }
    const count = NUMBERS[type];
    if (count === undefined) {
      throw new TunnelProtocolError(`frame type ${type} at offset ${this.#complete} is unknown`);
    }
    let next = at + 1;
    for (let index = 0; index < count; index++) {
      let value = 0;
      let scale = 1;
      const start = next;
      for (;;) {
        if (next === end) return -(end - at + 1);
        const byte = bytes[next++]!;
        value += (byte & 0x7f) * scale;
        if (byte < 0x80) {
          if (byte === 0 && next - start > 1) throw new TunnelProtocolError("an overlong number");
          break;
        }
        if (next - start === MAX_VARINT_LENGTH) throw new TunnelProtocolError("an overlong number");
        scale *= 128;
      }
      if (value > Number.MAX_SAFE_INTEGER) throw new TunnelProtocolError("a number is too large");
      this.#numbers[index] = value;
    }
    const body = this.#bodyLength(type);
    if (end - next < body) return -(next - at + body);
    const length = next - at + body;
    if (type === FRAME.data || type === FRAME.dataNext) {
      this.#startData(type);
      this.#advance(length, false);
    } else {
      this.#dispatch(type, bytes.subarray(next, next + body));
      this.#advance(length, true);
    }
    return length;
  }

  /** Length of the body that must be there before the frame is handed on; data is not waited for. */
  #bodyLength(type: number): number {
    const [, second, third] = this.#numbers as [number, number, number];
    let length = 0;
    let limit = 0;
    if (type === FRAME.open) {
      length = third;
      limit = MAX_HOST_LENGTH;
    } else if (type === FRAME.engine) {
      length = second;
      limit = MAX_CONTROL_BODY;
    } else if (type === FRAME.engineReliable) {
      length = third;
      limit = MAX_CONTROL_BODY;
    }
    if (length > limit) throw new TunnelProtocolError(`a frame of ${length} bytes is too long`);
    return length;
  }

  #startData(type: number): void {
    const [first, second, third] = this.#numbers as [number, number, number];
    let length = first;
    if (type === FRAME.data) {
      this.#stream = first;
      this.#offset = second;
      length = third;
    } else if (this.#stream < 0) {
      throw new TunnelProtocolError("a data frame continues nothing");
    }
    if (length === 0) throw new TunnelProtocolError("a data frame is empty");
    if (this.#offset + length > Number.MAX_SAFE_INTEGER) {
      throw new TunnelProtocolError("a data frame is out of range");
    }
    this.#remaining = length;
    this.#handler.onDataStart(this.#stream, this.#offset, length);
  }

  #dispatch(type: number, body: Uint8Array): void {
    const [first, second] = this.#numbers as [number, number];
    const handler = this.#handler;
    switch (type) {
      case FRAME.open: {
        let host = "";
        for (const byte of body) {
          if (byte < 0x21 || byte > 0x7e) throw new TunnelProtocolError("a host name is garbled");
          host += String.fromCharCode(byte);
        }
        if (host === "" || second < 1 || second > 65535) {
          throw new TunnelProtocolError("a destination is out of range");
        }
        return handler.onOpen(first, host, second);
      }
      case FRAME.opened:
        return handler.onOpened(first);
      case FRAME.refused:
        return handler.onRefused(first, second);
      case FRAME.fin:
        return handler.onFin(first, second);
      case FRAME.reset:
        return handler.onReset(first, second);
      case FRAME.ack:
      case FRAME.ackFinal:
        return handler.onAck(first, second, type === FRAME.ackFinal);
      case FRAME.ackHere:
        return handler.onAck(undefined, first, false);
      case FRAME.credit:
        return handler.onCredit(first, second);
      case FRAME.goodbye:
        return handler.onGoodbye(first);
      case FRAME.engine:
        return handler.onEngine(first, body, undefined);
      case FRAME.engineReliable:
        return handler.onEngine(second, body, first);
    }
  }
}

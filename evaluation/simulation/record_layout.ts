import { CLIENT, type Side } from "../../capture/side.ts";

const CHANGE_CIPHER_SPEC = [20, 3, 3, 0, 1, 1];
const HANDSHAKE = 22;
const APPLICATION_DATA = 23;
const HEADER = 5;
/** A ServerHello of TLS 1.3 with a key share on curve25519. */
const SERVER_HELLO = 127;

/**
 * What TLS 1.3 puts on the wire before a connection can be used, and the tickets after it (one record): sizes of the
 * carrier `tls` as tcpdump showed them. Name and certificate are each installation's own, so that hello and flight
 * are some bytes larger or smaller elsewhere.
 */
export const TLS_HANDSHAKE = { hello: 240, flight: 643, finished: 80, tickets: 440 } as const;

interface Piece {
  readonly at: number;
  readonly bytes: Uint8Array;
}

function record(type: number, size: number, body: readonly number[] = []): number[] {
  const length = size - HEADER;
  return [type, 3, type === HANDSHAKE && body[0] === 1 ? 1 : 3, length >> 8, length & 255, ...body];
}

/** The plaintext beginning of a hello of `type` in a record of `size` bytes: TLS 1.3, TLS_AES_256_GCM_SHA384. */
function hello(type: 1 | 2, size: number): number[] {
  const length = size - HEADER - 4;
  // Version, random, session id; then what is chosen, or the lists to choose from.
  const head = [type, 0, length >> 8, length & 255, 3, 3, ...zeros(32), 32, ...zeros(32)];
  const choice = type === 1 ? [0, 2, 0x13, 0x02, 1, 0] : [0x13, 0x02, 0];
  const versions = type === 1 ? [0, 43, 0, 3, 2, 3, 4] : [0, 43, 0, 2, 3, 4];
  const left = length + 4 - head.length - choice.length - 2 - versions.length - 4;
  // What is left is a key share, without a key.
  return record(HANDSHAKE, size, [
    ...head,
    ...choice,
    ...[left + versions.length + 4 >> 8, left + versions.length + 4 & 255],
    ...versions,
    ...[0, 51, left >> 8, left & 255],
  ]);
}

function zeros(count: number): number[] {
  return new Array<number>(count).fill(0);
}

/** The handshake's bytes by side, up to the last header in them; bodies that nothing is read from are zeros. */
function skeleton(side: Side): Piece[] {
  const { flight, finished, tickets } = TLS_HANDSHAKE;
  const pieces: Piece[] = [];
  let at = 0;
  const add = (bytes: readonly number[], size: number) => {
    pieces.push({ at, bytes: Uint8Array.from(bytes) });
    at += size;
  };
  const ccs = CHANGE_CIPHER_SPEC.length;
  const encrypted = (size: number) => add(record(APPLICATION_DATA, size), size);
  if (side === CLIENT) {
    add(hello(1, TLS_HANDSHAKE.hello), TLS_HANDSHAKE.hello);
    add(CHANGE_CIPHER_SPEC, ccs);
    encrypted(finished - ccs);
  } else {
    add(hello(2, SERVER_HELLO), SERVER_HELLO);
    add(CHANGE_CIPHER_SPEC, ccs);
    encrypted(flight - SERVER_HELLO - ccs);
    encrypted(tickets);
  }
  return pieces;
}

const SKELETONS: readonly [readonly Piece[], readonly Piece[]] = [skeleton(0), skeleton(1)];

/**
 * One side's stream as a reader of captures needs it: the handshake's skeleton, the headers of the records of
 * application data behind it, and zeros.
 *
 * @example
 * ```ts
 * import { RecordLayout, TLS_HANDSHAKE } from "./record_layout.ts";
 * const layout = new RecordLayout(0);
 * layout.add(100);
 * const { hello, finished } = TLS_HANDSHAKE;
 * if (layout.read(hello + finished, hello + finished + 6).join() !== "23,3,3,0,95,0") throw new Error("no header");
 * ```
 */
export class RecordLayout {
  readonly #skeleton: readonly Piece[];
  /** Where each record of application data begins; the last number is the end. */
  readonly #starts: number[];

  /** The stream of `side` behind its handshake. */
  constructor(side: Side) {
    const { hello, finished, flight, tickets } = TLS_HANDSHAKE;
    this.#skeleton = SKELETONS[side];
    this.#starts = [side === CLIENT ? hello + finished : flight + tickets];
  }

  /** A record of `size` bytes on the wire was written. */
  add(size: number): void {
    this.#starts.push(this.#starts.at(-1)! + size);
  }

  /** Bytes `[start, end)` of the stream. */
  read(start: number, end: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(end - start);
    const put = (at: number, piece: ArrayLike<number>) => {
      const from = Math.max(start, at);
      const to = Math.min(end, at + piece.length);
      for (let i = from; i < to; i++) bytes[i - start] = piece[i - at]!;
    };
    const starts = this.#starts;
    if (start < starts[0]!) { for (const { at, bytes } of this.#skeleton) put(at, bytes); }
    // The first record whose header may reach into the range.
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = low + high >> 1;
      if (starts[middle]! + HEADER <= start) low = middle + 1;
      else high = middle;
    }
    for (; low + 1 < starts.length && starts[low]! < end; low++) {
      const size = starts[low + 1]! - starts[low]! - HEADER;
      put(starts[low]!, [APPLICATION_DATA, 3, 3, size >> 8, size & 255]);
    }
    return bytes;
  }
}

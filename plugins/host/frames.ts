/** What a frame is. */
export const FRAME = {
  /** To the plugin: its own source. */
  source: 1,
  /** To the plugin: a method and its arguments. */
  call: 2,
  /** From the plugin: loaded, and what its default export holds. */
  ready: 3,
  /** From the plugin: what the method returned. */
  answer: 4,
  /** From the plugin: what was thrown. */
  failure: 5,
} as const;

/** A kind of frame. */
export type FrameKind = typeof FRAME[keyof typeof FRAME];

/** Bytes of a frame's head: its payload's length, its kind, and the serial of the call it is about. */
export const HEAD_BYTES = 12;

/** One frame. */
export interface Frame {
  /** What it is; one of {@linkcode FRAME} unless the sender breaks the rules. */
  readonly kind: number;
  /** The serial of the call it belongs to. */
  readonly serial: number;
  /** Its content. */
  readonly payload: Uint8Array<ArrayBuffer>;
}

/** A peer that broke the rules of framing. */
export class FrameError extends Error {
  override readonly name = "FrameError";
}

/** The head of a frame. */
export function frameHead(
  kind: FrameKind,
  serial: number,
  length: number,
): Uint8Array<ArrayBuffer> {
  const head = new Uint8Array(HEAD_BYTES);
  const view = new DataView(head.buffer);
  view.setUint32(0, length, true);
  view.setUint32(4, kind, true);
  view.setUint32(8, serial, true);
  return head;
}

/**
 * Reads frames from whatever delivers bytes. Each read says how many bytes the sender may use: the
 * sender's credit. A frame that announces more is refused before a byte of it is kept.
 */
export class FrameReader {
  #chunk = new Uint8Array(0);
  readonly #next: () => Promise<Uint8Array | undefined>;

  /** `next` delivers the next bytes, or undefined at the end. */
  constructor(next: () => Promise<Uint8Array | undefined>) {
    this.#next = next;
  }

  /**
   * The next frame, or undefined where the stream ended between two frames.
   *
   * @throws {FrameError} if its payload is larger than `credit` bytes or the stream ends inside it.
   */
  async read(credit: number): Promise<Frame | undefined> {
    const head = new Uint8Array(HEAD_BYTES);
    const got = await this.#fill(head);
    if (got === 0) return undefined;
    if (got < HEAD_BYTES) throw new FrameError("ended inside a frame");
    const view = new DataView(head.buffer);
    const length = view.getUint32(0, true);
    if (length > credit) {
      throw new FrameError(`announced ${length} bytes where ${credit} were allowed`);
    }
    const payload = new Uint8Array(length);
    if (await this.#fill(payload) < length) throw new FrameError("ended inside a frame");
    return { kind: view.getUint32(4, true), serial: view.getUint32(8, true), payload };
  }

  async #fill(target: Uint8Array): Promise<number> {
    let filled = 0;
    while (filled < target.length) {
      if (this.#chunk.length === 0) {
        const chunk = await this.#next();
        if (chunk === undefined) break;
        this.#chunk = new Uint8Array(chunk);
        continue;
      }
      const part = this.#chunk.subarray(0, target.length - filled);
      target.set(part, filled);
      filled += part.length;
      this.#chunk = this.#chunk.subarray(part.length);
    }
    return filled;
  }
}

/** Milliseconds without progress that a peer gets to read what is queued and to end after our own end. */
const LINGER = 30_000;

/** What an outbox does with the socket below. */
export interface OutboxSocket {
  /** Writes one payload; `sent` is to be called when the operating system has taken it. */
  send(payload: Uint8Array, sent: () => void): void;
  /** Milliseconds until the next payload may be written; 0 at once if absent. */
  wait?(): number;
  /** Ends our direction: nothing is queued any more. */
  end(): void;
  /** Drops the connection. */
  reset(): void;
  /** Told when nothing is queued and the connection goes on. */
  drained(): void;
}

/**
 * What a connection has to write: payloads one after the other, each when the one before has been taken, then
 * the end. A peer that neither reads nor ends does not keep a closed connection for ever.
 */
export class Outbox {
  readonly #socket: OutboxSocket;
  readonly #payloads: Uint8Array[] = [];
  #next = 0;
  #inFlight = 0;
  #writing = false;
  #queued = 0;
  #closing: "fin" | "rst" | undefined;
  #linger: ReturnType<typeof setTimeout> | undefined;
  readonly #sent = () => {
    this.#writing = false;
    this.#queued = Math.max(0, this.#queued - this.#inFlight);
    if (this.#closing === "fin") this.#armLinger();
    this.#pump();
  };

  /** Writes to `socket`. */
  constructor(socket: OutboxSocket) {
    this.#socket = socket;
  }

  /** Bytes that the operating system has not taken. */
  get queued(): number {
    return this.#queued;
  }

  /** How the connection was told to close, if it was. */
  get closing(): "fin" | "rst" | undefined {
    return this.#closing;
  }

  /** Queues a payload, which is not to change any more. */
  put(payload: Uint8Array): void {
    this.#queued += payload.length;
    this.#payloads.push(payload);
    this.#pump();
  }

  /** Closes: `fin` after all that is queued, `rst` at once. */
  close(how: "fin" | "rst"): void {
    if (this.#closing === "rst" || this.#closing === how) return;
    this.#closing = how;
    if (how === "rst") {
      this.drop();
      this.#socket.reset();
    } else {
      this.#armLinger();
      if (!this.#writing) this.#socket.end();
    }
  }

  /** Forgets what is queued: the connection has broken. */
  drop(): void {
    this.#payloads.length = 0;
    this.#next = 0;
    this.#queued = 0;
  }

  /** The socket has closed: nobody waits for it. */
  over(): void {
    clearTimeout(this.#linger);
  }

  #pump(): void {
    if (this.#writing) return;
    if (this.#next === this.#payloads.length) {
      this.#payloads.length = 0;
      this.#next = 0;
      if (this.#closing === "fin") this.#socket.end();
      else this.#socket.drained();
      return;
    }
    this.#writing = true;
    const wait = this.#socket.wait?.() ?? 0;
    if (wait > 0) setTimeout(() => this.#writeNext(), wait);
    else this.#writeNext();
  }

  #writeNext(): void {
    const payload = this.#payloads[this.#next];
    // A close may have emptied the queue meanwhile.
    if (payload === undefined) {
      this.#writing = false;
      return;
    }
    this.#next++;
    this.#inFlight = payload.length;
    this.#socket.send(payload, this.#sent);
  }

  #armLinger(): void {
    clearTimeout(this.#linger);
    this.#linger = setTimeout(() => this.#socket.reset(), LINGER);
    this.#linger.unref();
  }
}

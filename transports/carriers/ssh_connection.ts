import type { Socket } from "node:net";
import type { CloseReason, CoverListener, SizeGrid } from "../../playback/cover_connection.ts";
import type { CarrierConnection } from "./carrier.ts";

/**
 * Packets of SSH with OpenSSH's default cipher, chacha20-poly1305: 4 bytes of length, 16 of tag, and between
 * them a multiple of 8 that holds 1 byte of padding length, the message (9 bytes around the data of a
 * channel) and at least 4 bytes of padding. OpenSSH reads at most 32768 bytes at a time and makes one packet
 * of them.
 *
 * The first seven exchanges of a connection are the genuine programs' own: service, three of authentication,
 * the session's opening, the subsystem, SFTP's version. One more opens the channel that is ours.
 */
export const SSH_GRID: SizeGrid = {
  overhead: 34,
  maxPayload: 32768,
  smallest: 36,
  step: 8,
  opening: { carrier: "ssh", exchanges: 8 },
};

/** Milliseconds from bytes on the wire to an answer on the wire, ssh's and sshd's part included. */
const REACTION = 0.5;
/** Milliseconds between two writes, so that the program reads the first before the second is there. */
const SPACING = 1;
/** Milliseconds without progress that the peer gets to read what is queued when we close. */
const LINGER = 30_000;
/**
 * Milliseconds that the program gets to send the last packet before it is ended, and the bytes that may be on
 * their way then; with more, the channel is closed in SSH's own way, which takes a round trip and three packets.
 */
const FLUSH = 5;
const FLUSHED = 4096;
/** Bytes kept for a listener that is not there yet before the connection is reset. */
const EARLY_LIMIT = 65_536;

/** What a connection's end has besides the socket that leads to the program. */
export interface SshEnd {
  /** Names the connection in logs. */
  readonly id: string;
  /** SHA-256 of the host key. */
  readonly digest: Uint8Array;
  /** Ends the program that holds the TCP connection, where it is ours; the socket is over by then. */
  readonly hangUp?: () => void;
}

/**
 * A cover connection whose bytes go through a program of OpenSSH: `socket` leads to it on this machine. One
 * write is one packet as long as the program keeps up, which it does but for a full network.
 */
export class SshConnection implements CarrierConnection {
  readonly grid = SSH_GRID;
  readonly reaction = REACTION;
  readonly id: string;
  readonly certificateDigest: Uint8Array;
  /** Unknown: the TCP connection is the program's. */
  readonly localPort = 0;
  /** Unknown. */
  readonly remoteAddress = "";
  /** Unknown. */
  readonly remotePort = 0;
  /** Whom OpenSSH let in holds a user's key. */
  readonly genuine = "none";
  readonly #socket: Socket;
  readonly #hangUp: (() => void) | undefined;
  #listener: CoverListener | undefined;
  #early: Uint8Array[] = [];
  #earlyBytes = 0;
  #outbox: Uint8Array[] = [];
  #next = 0;
  #writing = false;
  #queued = 0;
  #unanswered = 0;
  #heard = false;
  #spacedUntil = 0;
  #closing: "fin" | "rst" | undefined;
  #ended: CloseReason | undefined;
  #reported = false;
  #linger: ReturnType<typeof setTimeout> | undefined;

  /** Takes over a connected socket that allows half-open connections and has been read by nobody. */
  constructor(socket: Socket, { digest, hangUp, id }: SshEnd) {
    this.#socket = socket;
    this.#hangUp = hangUp;
    this.id = id;
    this.certificateDigest = digest;
    socket.on("data", (bytes: Uint8Array) => this.#received(bytes));
    socket.on("end", () => this.#over("fin"));
    socket.on("error", () => this.#over("rst"));
    socket.on("close", () => {
      clearTimeout(this.#linger);
      this.#drop();
      this.#hangUp?.();
      this.#over(this.#closing ?? "error");
    });
  }

  get listener(): CoverListener | undefined {
    return this.#listener;
  }

  set listener(listener: CoverListener | undefined) {
    this.#listener = listener;
    if (listener === undefined) return;
    const early = this.#early;
    this.#early = [];
    this.#earlyBytes = 0;
    for (let i = 0; i < early.length; i++) {
      // A listener may hand the connection on while it is told of these bytes.
      if (this.#listener !== listener) {
        this.#early = [...this.#early, ...early.slice(i)];
        this.#earlyBytes = this.#early.reduce((sum, chunk) => sum + chunk.length, 0);
        return;
      }
      listener.onData(early[i]!);
    }
    this.#report();
  }

  get queued(): number {
    return this.#queued;
  }

  write(payload: Uint8Array): void {
    if (this.#closing !== undefined || payload.length === 0 || !this.#socket.writable) return;
    if (payload.length > SSH_GRID.maxPayload) {
      throw new RangeError(`a packet holds ${SSH_GRID.maxPayload} bytes, not ${payload.length}`);
    }
    this.#queued += payload.length;
    this.#unanswered += payload.length;
    this.#outbox.push(payload.slice());
    this.#pump();
  }

  close(how: "fin" | "rst"): void {
    if (this.#closing === "rst" || this.#closing === how) return;
    this.#closing = how;
    if (how === "rst") {
      this.#drop();
      this.#hangUp?.();
      this.#socket.destroy();
    } else {
      this.#armLinger();
      if (!this.#writing) this.#end();
    }
  }

  unread(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#early.unshift(bytes.slice());
    this.#earlyBytes += bytes.length;
  }

  #pump(): void {
    if (this.#writing) return;
    if (this.#next === this.#outbox.length) {
      this.#outbox.length = 0;
      this.#next = 0;
      if (this.#closing === "fin") this.#end();
      else this.#listener?.onDrain?.();
      return;
    }
    this.#writing = true;
    const early = this.#spacedUntil - performance.now();
    if (early > 0) setTimeout(() => this.#writeNext(), early);
    else this.#writeNext();
  }

  #writeNext(): void {
    // A close may have emptied the outbox meanwhile.
    const payload = this.#outbox[this.#next++];
    if (payload === undefined) {
      this.#writing = false;
      return;
    }
    this.#socket.write(payload, () => {
      this.#writing = false;
      // As much as the program reads at a time is never joined with what follows.
      if (payload.length < SSH_GRID.maxPayload) this.#spacedUntil = performance.now() + SPACING;
      this.#queued = Math.max(0, this.#queued - payload.length);
      if (this.#closing === "fin") this.#armLinger();
      this.#pump();
    });
  }

  /**
   * Ends without a word where the peer has heard all or nearly: a plan that was learned after the key exchange
   * contains what SSH says at the end, and only the FIN is missing. Before the peer has said anything the channel
   * may not be open yet, and the program holds what it was given.
   */
  #end(): void {
    const hangUp = this.#hangUp;
    const held = !this.#heard || this.#unanswered > FLUSHED;
    if (hangUp === undefined || held) this.#socket.end();
    else {
      setTimeout(() => {
        hangUp();
        this.#socket.destroy();
      }, FLUSH);
    }
  }

  #armLinger(): void {
    clearTimeout(this.#linger);
    this.#linger = setTimeout(() => {
      this.#hangUp?.();
      this.#socket.destroy();
    }, LINGER);
    Deno.unrefTimer(this.#linger as unknown as number);
  }

  #drop(): void {
    this.#outbox.length = 0;
    this.#next = 0;
    this.#queued = 0;
  }

  #received(bytes: Uint8Array): void {
    this.#heard = true;
    this.#unanswered = 0;
    if (this.#listener !== undefined) {
      this.#listener.onData(bytes);
      return;
    }
    this.#early.push(bytes.slice());
    this.#earlyBytes += bytes.length;
    if (this.#earlyBytes > EARLY_LIMIT) this.close("rst");
  }

  #over(reason: CloseReason): void {
    this.#ended ??= reason;
    this.#report();
  }

  #report(): void {
    if (this.#ended === undefined || this.#reported || this.#listener === undefined) return;
    this.#reported = true;
    this.#listener.onClose(this.#ended);
  }
}

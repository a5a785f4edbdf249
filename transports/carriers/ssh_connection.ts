import type { Socket } from "node:net";
import type { CoverListener, SizeGrid } from "../../playback/cover_connection.ts";
import type { CarrierConnection } from "./carrier.ts";
import { Inbox } from "./inbox.ts";
import { Outbox } from "./outbox.ts";

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

/**
 * What OpenSSH says of its own accord beside the packets of {@linkcode SSH_GRID}, once the channel is open: the
 * receiver of more than `after` bytes of the channel since it last said so tells the sender to go on (RFC 4254,
 * section 5.2), in one packet of `size` bytes on the wire. It does the same in the traffic that models learn.
 */
export const SSH_ADJUSTMENT = { size: 36, after: 3 * 32_768 };

/** Milliseconds from bytes on the wire to an answer on the wire, ssh's and sshd's part included. */
const REACTION = 0.5;
/** Milliseconds between two writes, so that the program reads the first before the second is there. */
const SPACING = 1;
/**
 * Milliseconds that the program gets to send the last packet before it is ended, and the bytes that may be on
 * their way then; with more, the channel is closed in SSH's own way, which takes a round trip and three packets.
 */
const FLUSH = 5;
const FLUSHED = 4096;

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
  readonly #inbox = new Inbox(() => this.close("rst"));
  readonly #outbox: Outbox;
  #unanswered = 0;

  /** Takes over a connected socket that allows half-open connections and has been read by nobody. */
  constructor(socket: Socket, { digest, hangUp, id }: SshEnd) {
    this.#socket = socket;
    this.#hangUp = hangUp;
    this.id = id;
    this.certificateDigest = digest;
    let spacedUntil = 0;
    this.#outbox = new Outbox({
      wait: () => spacedUntil - performance.now(),
      send: (payload, sent) =>
        void socket.write(payload, () => {
          // As much as the program reads at a time is never joined with what follows.
          if (payload.length < SSH_GRID.maxPayload) spacedUntil = performance.now() + SPACING;
          sent();
        }),
      end: () => this.#end(),
      reset: () => {
        hangUp?.();
        socket.destroy();
      },
      drained: () => this.listener?.onDrain?.(),
    });
    socket.on("data", (bytes: Uint8Array) => {
      this.#unanswered = 0;
      this.#inbox.received(bytes);
    });
    socket.on("end", () => this.#inbox.over("fin"));
    socket.on("error", () => this.#inbox.over("rst"));
    socket.on("close", () => {
      this.#outbox.over();
      this.#outbox.drop();
      hangUp?.();
      this.#inbox.over(this.#outbox.closing ?? "error");
    });
  }

  get listener(): CoverListener | undefined {
    return this.#inbox.listener;
  }

  set listener(listener: CoverListener | undefined) {
    this.#inbox.listener = listener;
  }

  get queued(): number {
    return this.#outbox.queued;
  }

  write(payload: Uint8Array): void {
    if (this.#outbox.closing !== undefined || payload.length === 0 || !this.#socket.writable) {
      return;
    }
    if (payload.length > SSH_GRID.maxPayload) {
      throw new RangeError(`a packet holds ${SSH_GRID.maxPayload} bytes, not ${payload.length}`);
    }
    this.#unanswered += payload.length;
    this.#outbox.put(payload.slice());
  }

  close(how: "fin" | "rst"): void {
    this.#outbox.close(how);
  }

  unread(bytes: Uint8Array): void {
    this.#inbox.unread(bytes);
  }

  /**
   * Ends without a word where the peer has heard all or nearly: a plan that was learned after the key exchange
   * contains what SSH says at the end, and only the FIN is missing.
   */
  #end(): void {
    const hangUp = this.#hangUp;
    if (hangUp === undefined || this.#unanswered > FLUSHED) this.#socket.end();
    else {
      setTimeout(() => {
        hangUp();
        this.#socket.destroy();
      }, FLUSH);
    }
  }
}

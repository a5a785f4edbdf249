import type { SizeGrid } from "../../playback/cover_connection.ts";
import { BufferedConnection } from "./buffered_connection.ts";
import type { CarrierConnection } from "./carrier.ts";
import { Outbox } from "./outbox.ts";

/**
 * Packets of SSH with OpenSSH's default cipher, chacha20-poly1305: 4 bytes of length, 16 of tag, and between
 * them a multiple of 8 that holds 1 byte of padding length, the message (9 bytes around the data of a
 * channel) and at least 4 bytes of padding. OpenSSH reads at most 32768 bytes at a time and makes one packet
 * of them.
 *
 * The first seven exchanges of a connection are the genuine programs' own, or as theirs: service, three of
 * authentication, the session's opening, the subsystem, SFTP's version. Those that run a command have six: a command of
 * up to nine letters makes a request of 52 bytes, every eight more letters one of 8 more.
 */
export const SSH_GRID: SizeGrid = {
  overhead: 34,
  maxPayload: 32768,
  smallest: 36,
  step: 8,
  opening: {
    carrier: "ssh",
    exchanges: 7,
    command: { exchanges: 6, smallest: 52, largest: 300, step: 8, answer: 72, usual: 44 },
  },
};

/**
 * What OpenSSH says of its own accord beside the packets of {@linkcode SSH_GRID}, once the channel is open: the
 * receiver of more than `after` bytes of the channel since it last said so tells the sender to go on (RFC 4254,
 * section 5.2), in one packet of `size` bytes on the wire. It does the same in the traffic that models learn.
 */
export const SSH_ADJUSTMENT = { size: 36, after: 3 * 32_768 };

/** Bytes of SFTP's first message, the client's, and of the answer of Debian's server: both are but sizes here. */
export const SFTP_HELLO = 9;
export const SFTP_ANSWER = 322;

/** Milliseconds from bytes on the wire to an answer on the wire, ssh's and sshd's part included. */
const REACTION = 0.5;
/**
 * Milliseconds from sshd's answer to a request for a command until the bridge that it starts has reached us, a shell's
 * and perl's start: measured, for sshd does not say when it answered.
 */
const BRIDGED = 5.5;
/**
 * Milliseconds that the program gets to send the last packet before it is ended, and the bytes that may be on
 * their way then; with more, the channel is closed in SSH's own way, which takes a round trip and three packets.
 */
const FLUSH = 5;
const FLUSHED = 4096;

/** What a channel reports; nothing is called before {@linkcode SshChannel.start}. */
export interface SshChannelEvents {
  /** Bytes have come. */
  onData(bytes: Uint8Array): void;
  /** The peer has ended its direction. */
  onEnd(): void;
  /** It is broken. */
  onError(): void;
  /** It is over. */
  onClose(): void;
}

/** A session's channel, as the program at this end hands it out. */
export interface SshChannel {
  /** Begins to report, first what has come before. */
  start(events: SshChannelEvents): void;
  /** Whether it can be written to. */
  readonly writable: boolean;
  /** Writes one packet's payload; `taken` is called when the next may be written. */
  write(payload: Uint8Array, taken: () => void): void;
  /** Calls `taken` when the program has taken all that was written; where absent, it may have been. */
  flush?(taken: () => void): void;
  /** Ends our direction in SSH's own way. */
  end(): void;
  /** Gives it up. */
  drop(): void;
}

/** What a connection's end has besides its channel. */
export interface SshEnd {
  /** Names the connection in logs. */
  readonly id: string;
  /** SHA-256 of the host key. */
  readonly digest: Uint8Array;
  /** The name that it opened with, if it runs a command. */
  readonly command?: string;
  /** Ends the program that holds the TCP connection, where it is ours. */
  readonly hangUp?: () => void;
  /** The TCP connection, as far as it is known. */
  readonly peer?: {
    readonly address: string;
    readonly port: number;
    readonly localPort: number;
  };
}

/** A cover connection through a program of OpenSSH: one write is one packet. */
export class SshConnection extends BufferedConnection implements CarrierConnection {
  readonly grid = SSH_GRID;
  readonly reaction = REACTION;
  readonly id: string;
  readonly certificateDigest: Uint8Array;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly command?: string;
  /** Whom OpenSSH let in holds a user's key. */
  readonly genuine = "none";
  readonly #channel: SshChannel;
  readonly #hangUp: (() => void) | undefined;
  protected readonly outbox: Outbox;
  #unanswered = 0;
  #opened: number | undefined;

  /** Takes over a channel that has not been started. */
  constructor(channel: SshChannel, { command, digest, hangUp, id, peer }: SshEnd) {
    super();
    this.#channel = channel;
    if (command !== undefined) this.command = command;
    this.#hangUp = hangUp;
    this.id = id;
    this.certificateDigest = digest;
    this.localPort = peer?.localPort ?? 0;
    this.remoteAddress = peer?.address ?? "";
    this.remotePort = peer?.port ?? 0;
    this.outbox = new Outbox({
      send: (payload, sent) => channel.write(payload, sent),
      end: () => this.#end(),
      reset: () => {
        hangUp?.();
        channel.drop();
      },
      drained: () => this.listener?.onDrain?.(),
    });
    channel.start({
      onData: (bytes) => {
        this.#unanswered = 0;
        this.inbox.received(bytes);
      },
      onEnd: () => this.inbox.over("fin"),
      onError: () => this.inbox.over("rst"),
      onClose: () => {
        this.outbox.over();
        this.outbox.drop();
        hangUp?.();
        this.inbox.over(this.outbox.closing ?? "error");
      },
    });
  }

  /**
   * Milliseconds since {@linkcode SshConnection.opened}, and what a message takes to leave; at the server, for whom nothing
   * is due before the client speaks, since bytes came, or, of a command, since sshd has answered, about.
   */
  get age(): number {
    const since = this.#opened ?? this.inbox.came;
    if (since !== undefined) return performance.now() - since + REACTION;
    return REACTION + (this.command === undefined ? 0 : BRIDGED);
  }

  /** The handshake has ended with the bytes that have come now. */
  opened(): void {
    this.#opened = performance.now();
  }

  get doubt(): number {
    return this.inbox.doubt;
  }

  write(payload: Uint8Array): void {
    if (this.outbox.closing !== undefined || payload.length === 0 || !this.#channel.writable) {
      return;
    }
    if (payload.length > SSH_GRID.maxPayload) {
      throw new RangeError(`a packet holds ${SSH_GRID.maxPayload} bytes, not ${payload.length}`);
    }
    this.#unanswered += payload.length;
    this.outbox.put(payload.slice());
  }

  /**
   * Ends without a word where the peer has heard all or nearly: a plan that was learned after the key exchange
   * contains what SSH says at the end, and only the FIN is missing.
   */
  #end(): void {
    const hangUp = this.#hangUp;
    if (hangUp === undefined || this.#unanswered > FLUSHED) this.#channel.end();
    else {
      const end = () =>
        void setTimeout(() => {
          hangUp();
          this.#channel.drop();
        }, FLUSH);
      if (this.#channel.flush === undefined) end();
      else this.#channel.flush(end);
    }
  }
}

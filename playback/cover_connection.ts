import type { CommandOpening } from "./commands.ts";

/** How a cover connection ended. */
export type CloseReason = "fin" | "rst" | "error";

/**
 * What sizes a carrier can put on the wire. A record of `payload` bytes of ours becomes
 * `payload + overhead` bytes on the wire, rounded up to a size that exists (`size_grid.ts`).
 */
export interface SizeGrid {
  /** Bytes that each record adds on the wire, at least: 22 for TLS 1.3. */
  readonly overhead: number;
  /** The most payload that one record holds: 16384 for TLS. */
  readonly maxPayload: number;
  /** The smallest record on the wire; one byte more than {@linkcode SizeGrid.overhead} if absent. */
  readonly smallest?: number;
  /** Records exist in steps of so many bytes above the smallest: 8 for SSH; 1 if absent. */
  readonly step?: number;
  /**
   * Exchanges at the beginning of a connection learned for `carrier` that the carrier's own program plays, so
   * that they are not played again; none if absent. `command`: it plays other ones, too; not so if absent.
   */
  readonly opening?: {
    readonly carrier: string;
    readonly exchanges: number;
    readonly command?: CommandOpening;
  };
}

/**
 * One open cover connection as playback sees it, after the carrier's handshake: bytes in records out,
 * bytes in. Playback is handed these; it never opens a socket. Everything is called synchronously so
 * that the same engine runs in virtual time.
 */
export interface CoverConnection {
  /** Sizes that exist on this connection. */
  readonly grid: SizeGrid;
  /** Names the connection in logs: `local port` of a socket, a counter in virtual time. */
  readonly id: string;
  /**
   * Milliseconds that this node takes by itself from the arrival of bytes to an answer's leaving, both as
   * the wire shows them; 0 if absent. A learned think time contains what the real program took.
   */
  readonly reaction?: number;
  /**
   * Milliseconds since the carrier's handshake ended, as the wire shows it, and what a message takes to leave; the
   * `reaction` if absent.
   */
  readonly age?: number;
  /** Milliseconds by which `age` may be too little, as this node was told late of what ended the handshake; 0 if absent. */
  readonly doubt?: number;
  /** Where the connection reports to; set once by whoever owns it. Bytes that came before are kept. */
  listener: CoverListener | undefined;
  /**
   * Puts one record on the wire now. `payload` is copied or sent before the call returns. Calls keep
   * their order; each is one record and, with room in the socket, one segment.
   */
  write(payload: Uint8Array): void;
  /**
   * Puts bytes on the wire now, in as few records as they take and with no regard to segments. `payload` must not
   * be changed until `queued` is 0. Where absent, {@linkcode CoverConnection.write} serves.
   */
  writeFree?(payload: Uint8Array): void;
  /** Bytes accepted by `write` and not yet taken by the operating system. */
  readonly queued: number;
  /** Ends the connection: `fin` flushes first, `rst` discards. Later writes are ignored. */
  close(how: "fin" | "rst"): void;
}

/** What a cover connection reports. */
export interface CoverListener {
  /**
   * Payload bytes arrived, in order; record boundaries mean nothing. They are not changed afterwards, so that
   * they may be kept. `kept`: for how many milliseconds they have waited for a listener; not at all if absent.
   * `doubt`: for how many more they may have waited, at most, before this node was told of them.
   */
  onData(bytes: Uint8Array, kept?: number, doubt?: number): void;
  /** All that was queued has been taken by the operating system. */
  onDrain?(): void;
  /** The peer ended its direction or the connection broke; called once, nothing follows. */
  onClose(reason: CloseReason): void;
}

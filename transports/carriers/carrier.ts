import type { CoverConnection } from "../../playback/cover_connection.ts";

/** A cover connection on a real socket, with what the proof and the decoy need besides. */
export interface CarrierConnection extends CoverConnection {
  /** SHA-256 of the server's certificate (DER) as this end sees it: a man in the middle shows another. */
  readonly certificateDigest: Uint8Array;
  /** Our port: finds the connection in a recording. */
  readonly localPort: number;
  /** The peer's address, without its port. */
  readonly remoteAddress: string;
  /** The peer's port. */
  readonly remotePort: number;
  /** Gives bytes back, to be reported first to the listener that is set next. */
  unread(bytes: Uint8Array): void;
}

/** A listening carrier. */
export interface CarrierServer {
  /** The address that it listens on. */
  readonly hostname: string;
  /** The port that it listens on. */
  readonly port: number;
  /** Stops listening and resets what is still in its handshake; open connections stay. */
  close(): Promise<void>;
}

import type { Socket } from "node:net";
import type { CoverConnection } from "../../playback/cover_connection.ts";
import type { ServerIdentity } from "./certificate.ts";
import type { Genuine } from "./genuine.ts";

/** A cover connection on a real socket, with what the proof and the decoy need besides. */
export interface CarrierConnection extends CoverConnection {
  /**
   * What the proof is bound to, as this end sees it: SHA-256 of the server's certificate (DER), or of its host
   * key. A man in the middle shows another.
   */
  readonly certificateDigest: Uint8Array;
  /** Our port: finds the connection in a recording. */
  readonly localPort: number;
  /** The peer's address, without its port. */
  readonly remoteAddress: string;
  /** The peer's port. */
  readonly remotePort: number;
  /**
   * How a stranger on this connection reaches the genuine server: by the server's decoy if absent. `"none"`
   * where the carrier itself lets nobody in who does not hold a secret.
   */
  readonly genuine?: OpenGenuine | "none";
  /** Closes as by `close("fin")`, but by FIN alone, without what the carrier says besides; absent where it cannot. */
  closeQuietly?(): void;
  /**
   * What it opened with as a command, at either end: its proof, in place of one at the head of its bytes; it opened as
   * usual if absent.
   */
  readonly command?: string;
  /** Gives bytes back, to be reported first to the listener that is set next. */
  unread(bytes: Uint8Array): void;
}

/** Opens the genuine server's side for one stranger: a socket that is connected or will be. */
export type OpenGenuine = () => Genuine;

/** What a carrier's client needs to know of the server. */
export interface CarrierClientOptions {
  /** The server's host name or address. */
  readonly hostname: string;
  /** The server's port. */
  readonly port: number;
  /** Base64url SHA-256 of the server's public key. */
  readonly pin: string;
  /** The user's secret, for carriers whose protocol has a way of its own to prove it. */
  readonly secret: Uint8Array;
  /** Where files are made that are needed while it runs; the system's folder for such if absent. */
  readonly folder?: string;
  /** The account to log in to, where the protocol has such; the carrier's usual one if absent. */
  readonly login?: string;
  /** The server's name to ask for, where the protocol has such; none if absent. */
  readonly serverName?: string;
  /** Application protocols to offer inside TLS; none if absent. */
  readonly alpn?: readonly string[];
  /** The path on which a genuine server in front hands connections on; there is none in front if absent. */
  readonly path?: string;
  /**
   * Opens the TCP connection in our place, perhaps through a proxy: resolves with a connected socket that
   * allows half-open connections, sends without delay, and from which nothing has been read.
   */
  readonly open?: () => Promise<Socket>;
  /** Connecting to the address does what {@linkcode CarrierClientOptions.open} does; not so if absent. */
  readonly direct?: boolean;
}

/** How a connection is to open where the carrier's own opening has room for a name. */
export interface Command {
  /** Nine letters of base64url. */
  readonly name: string;
  /** Bytes on the wire of the request that holds it. */
  readonly size: number;
}

/** A client's end of a carrier: opens cover connections to one server. */
export interface CarrierClient {
  /**
   * Opens one connection and checks the server before a byte of ours is sent. As a `command`, if the carrier knows
   * such ({@linkcode SizeGrid.opening}) and one is given.
   *
   * @throws {ConnectError} if the server is not reached or the carrier's handshake fails.
   * @throws {WrongCertificate} if its public key is not the pinned one.
   */
  readonly connect: (command?: Command) => Promise<CarrierConnection>;
  /** Removes what the carrier keeps besides its connections: files, processes. */
  close(): Promise<void>;
}

/** What a carrier's server needs. */
export interface CarrierServerOptions {
  /** Address to listen on. */
  readonly hostname: string;
  /** Port to listen on; 0 takes a free one. */
  readonly port: number;
  /** Certificate and key. */
  readonly identity: ServerIdentity;
  /** The users' secrets, for carriers whose protocol has a way of its own to prove them. */
  readonly secrets: readonly Uint8Array[];
  /** Folder (mode 0700) for keys that the carrier keeps across restarts. */
  readonly state: string;
  /** The server's name, where the protocol shows one. */
  readonly name?: string;
  /** Application protocols accepted inside TLS, in order of preference; none if absent. */
  readonly alpn?: readonly string[];
  /** The path on which a genuine server in front hands connections on; there is none in front if absent. */
  readonly path?: string;
  /** The operator's genuine server of the carrier's own protocol, if there is one. */
  readonly genuine?: { readonly host: string; readonly port: number };
  /** Told in words of what goes wrong; without addresses. */
  readonly onNote?: (text: string) => void;
  /** Told in words of what the operator has to know. */
  readonly onWarning?: (text: string) => void;
}

/** A listening carrier. */
export interface CarrierServer {
  /** The address that it listens on. */
  readonly hostname: string;
  /** The port that it listens on. */
  readonly port: number;
  /** Base64url SHA-256 of the public key that clients are to pin. */
  readonly pin: string;
  /** The account that clients are to log in to, where it is not the carrier's usual one. */
  readonly login?: string;
  /**
   * Shows another certificate from the next connection on; those that are open keep theirs.
   *
   * @throws {Error} if the key does not fit the certificate, or either cannot be read.
   */
  renew(identity: ServerIdentity): void;
  /**
   * Takes other users' secrets into use, for new connections. Absent where the carrier has no use for them; the
   * connections of users who are no longer among them are ended by others.
   */
  renewUsers?(secrets: readonly Uint8Array[]): void;
  /** Stops listening and resets what is still in its handshake; open connections stay. */
  close(): Promise<void>;
}

/** A protocol that the outside sees: a registration (`registry.ts`), not a branch in the core. */
export interface Carrier {
  /** Its name in lines, options and model files. */
  readonly name: string;
  /** `false` if application protocols (ALPN) mean nothing to it; they do if absent. */
  readonly alpn?: false;
  /** What a client's user has to know of how its connections look here; nothing if absent or `undefined`. */
  readonly clientNote?: () => string | undefined;
  /** A client's end. */
  client(options: CarrierClientOptions): Promise<CarrierClient>;
  /**
   * Listens; `onConnection` gets each connection after the carrier's handshake.
   *
   * @throws {ListenError} if the address cannot be had.
   */
  listen(
    options: CarrierServerOptions,
    onConnection: (connection: CarrierConnection) => void,
  ): Promise<CarrierServer>;
}

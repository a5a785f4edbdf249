import type { Socket } from "node:net";
import type { ServerIdentity } from "./certificate.ts";

/**
 * A socket that speaks TLS: a `tls.TLSSocket` is one. It reports `data`, `end` when the peer sends no more
 * (by close_notify or without), `error` and `close`; each `write` is one record, or one for
 * each 16,384 bytes.
 */
export interface SecureSocket {
  /** When the bytes that are reported came, by `performance.now()`, if it knows: before they were decrypted. */
  readonly came?: number;
  /** Whether something can still be sent. */
  readonly writable: boolean;
  /** Sends a payload; `sent` is called when the operating system has taken it. */
  write(payload: Uint8Array, sent: () => void): unknown;
  /** Says that nothing follows, by close_notify and FIN. */
  end(): unknown;
  /** Ends by FIN alone, as nginx does with who is late; absent where it cannot. */
  leave?(): unknown;
  /** Lets go of it without a word. */
  destroy(): unknown;
  /** Reports as a `tls.TLSSocket` does. */
  on(event: "data", listener: (bytes: Uint8Array) => void): unknown;
  on(event: "error", listener: (error: Error & { code?: string }) => void): unknown;
  on(event: "end" | "close", listener: () => void): unknown;
  /** The same, once. */
  once(event: "error", listener: (error: Error) => void): unknown;
  once(event: "end" | "close", listener: () => void): unknown;
  /** Ends the reporting. */
  removeListener(event: "error" | "end", listener: () => void): unknown;
}

/** What a client's handshake has shown. */
export interface TlsSight {
  /** Whether TLS 1.3 was agreed on. */
  readonly isTls13: boolean;
  /** The server's certificate (DER). */
  readonly certificate: Uint8Array;
}

/** How a client's handshake is made. */
export interface TlsClientStart {
  /** The name to ask for (SNI); none is sent if absent. */
  readonly serverName?: string;
  /** Application protocols to offer; none if absent. */
  readonly alpn?: readonly string[];
  /** The host for which the system's roots have to vouch; any certificate is taken if absent. */
  readonly verify?: string;
}

/** Makes the server's part of a handshake on a socket; `secure` is called in the turn that completes it. */
export type TlsAccept = (raw: Socket, secure: () => void) => SecureSocket;

/** An implementation of TLS. */
export interface TlsEngine {
  /** What it is called. */
  readonly name: "deno" | "openssl";
  /**
   * Milliseconds from bytes on the wire to an answer on the wire: the process is woken, decryption, a turn of the
   * event loop, encryption. The median that tcpdump showed on an idle machine.
   */
  readonly reaction: number;
  /** What of it is the answer's: filling, encryption, sending. */
  readonly departure: number;
  /** The name of the key that makes a server's tickets, 16 bytes; absent where clients cannot come back with one. */
  readonly ticketName?: Uint8Array;
  /** Makes a client's handshake on a connected socket; `secure` is called in the turn that completes it. */
  client(raw: Socket, start: TlsClientStart, secure: (sight: TlsSight) => void): SecureSocket;
  /**
   * Prepares an identity for handshakes of TLS 1.3. `alpn`: what is accepted, in order of preference. `exposed`:
   * nobody sorts out beforehand whose handshakes these are, so that dear ones are refused.
   *
   * @throws {Error} if the key does not fit the certificate, or either cannot be read.
   */
  server(identity: ServerIdentity, alpn?: readonly string[], exposed?: boolean): TlsAccept;
}

/** Bytes that arrived through a tunnel and make no sense: the peer is broken or hostile. */
export class TunnelProtocolError extends Error {
  /** `message` says which rule was broken. */
  constructor(message: string) {
    super(message);
    this.name = "TunnelProtocolError";
  }
}

/**
 * Why a stream was refused or reset, as sent on the wire. Those up to 8 are SOCKS 5's reply codes (RFC
 * 1928, section 6), so that a door can hand them on.
 */
export const STREAM_CODES = {
  /** General failure. */
  failed: 1,
  /** The server's rules forbid the destination. */
  forbidden: 2,
  /** Network unreachable. */
  networkUnreachable: 3,
  /** Host unreachable, or its name is unknown. */
  hostUnreachable: 4,
  /** Connection refused. */
  connectionRefused: 5,
  /** Timed out. */
  timedOut: 6,
  /** Too many streams are open. */
  tooManyStreams: 32,
  /** Whoever used the stream gave it up. */
  cancelled: 33,
} as const;

/** The peer would not open a stream. */
export class StreamRefusedError extends Error {
  /** `code` is one of {@linkcode STREAM_CODES}, or a number that this version does not know. */
  constructor(readonly code: number) {
    super(`the stream was refused with code ${code}`);
    this.name = "StreamRefusedError";
  }
}

/** A stream was given up by either end; what had not been read is gone. */
export class StreamResetError extends Error {
  /** `code` is one of {@linkcode STREAM_CODES}, or a number that this version does not know. */
  constructor(readonly code: number) {
    super(`the stream was reset with code ${code}`);
    this.name = "StreamResetError";
  }
}

/** The tunnel under a stream is gone; every stream in it fails with this. */
export class TunnelClosedError extends Error {
  /** `message` says why; `options.cause` keeps the error underneath. */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "TunnelClosedError";
  }
}

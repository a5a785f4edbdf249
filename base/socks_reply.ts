/** Reply codes of SOCKS 5 (RFC 1928, section 6). */
export const SOCKS_REPLY = {
  /** The connection to the destination stands. */
  succeeded: 0,
  /** General failure. */
  failed: 1,
  /** Not allowed. */
  forbidden: 2,
  /** Network unreachable. */
  networkUnreachable: 3,
  /** Host unreachable, or its name is unknown. */
  hostUnreachable: 4,
  /** Connection refused. */
  refused: 5,
  /** No answer in time. */
  expired: 6,
  /** Only CONNECT is supported. */
  commandNotSupported: 7,
  /** Unknown kind of address. */
  addressNotSupported: 8,
} as const;

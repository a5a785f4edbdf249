import { varintLength, writeVarint } from "./varint.ts";

/**
 * Types of frames: the first byte of each. All numbers in frames are varints; stream numbers are even for
 * streams that the tm-client opened and odd for the tm-server's.
 */
export const FRAME = {
  /** One byte of padding. */
  padding: 0x00,
  /** stream, port, host length, host: opens a stream to a destination. */
  open: 0x01,
  /** stream: the destination was reached. */
  opened: 0x02,
  /** stream, code: it was not. */
  refused: 0x03,
  /** stream, offset, length, bytes. */
  data: 0x04,
  /** length, bytes: follows on the data frame before it on this connection. */
  dataNext: 0x05,
  /** stream, final offset: its sender is done. */
  fin: 0x06,
  /** stream, code: both directions are given up. */
  reset: 0x07,
  /** connection, bytes: frames of that connection up to there have been processed. */
  ack: 0x08,
  /** connection, bytes: the same, and nothing more will be. */
  ackFinal: 0x09,
  /** bytes: an acknowledgement of the connection that it travels on. */
  ackHere: 0x0a,
  /** stream, offset: data up to there may be sent. */
  credit: 0x0b,
  /** code: the tunnel ends. */
  goodbye: 0x0c,
  /** type, length, body: a frame of the engine's, lost with its connection. */
  engine: 0x10,
  /** sequence number, type, length, body: a frame of the engine's, sent again until acknowledged. */
  engineReliable: 0x11,
  /**
   * And above: a piece, of as many bytes as the type exceeds 0x7f by, of a frame that did not fit whole. Pieces
   * of one frame follow one another, with whole frames between them at most, so that no frame is ever cut
   * by the end of a message and the engine's own always come first in theirs.
   */
  piece: 0x80,
} as const;

/** The most bytes of one piece. */
export const MAX_PIECE = 128;

/** The longest body of an engine's frame, in bytes. */
export const MAX_CONTROL_BODY = 16384;

/** The longest destination host, in bytes. */
export const MAX_HOST_LENGTH = 255;

/** Where a stream goes: a host name or address without brackets, and a port. */
export interface Destination {
  /** Host name, IPv4 or IPv6 address: 1 to 255 printable ASCII characters. */
  readonly host: string;
  /** TCP port, 1 to 65535. */
  readonly port: number;
}

/** A frame of a type byte and numbers alone. */
export function encodeNumbers(type: number, ...numbers: number[]): Uint8Array {
  let length = 1;
  for (const number of numbers) length += varintLength(number);
  const bytes = new Uint8Array(length);
  bytes[0] = type;
  let at = 1;
  for (const number of numbers) at = writeVarint(bytes, at, number);
  return bytes;
}

function encodeWithBody(type: number, numbers: readonly number[], body: Uint8Array): Uint8Array {
  const head = encodeNumbers(type, ...numbers, body.length);
  const bytes = new Uint8Array(head.length + body.length);
  bytes.set(head);
  bytes.set(body, head.length);
  return bytes;
}

/**
 * An OPEN frame. Throws RangeError for a destination that cannot be asked for: an empty or long host,
 * characters outside printable ASCII (names are given in their ASCII form), a port out of range.
 */
export function encodeOpen(stream: number, { host, port }: Destination): Uint8Array {
  if (!/^[\x21-\x7e]{1,255}$/.test(host)) {
    throw new RangeError(`not a host: ${JSON.stringify(host)}`);
  }
  if (!(Number.isInteger(port) && port >= 1 && port <= 65535)) {
    throw new RangeError(`not a port: ${port}`);
  }
  return encodeWithBody(FRAME.open, [stream, port], new TextEncoder().encode(host));
}

/**
 * A frame of the engine's, sent again until acknowledged if it has a `sequence` number. Throws RangeError
 * if `body` is longer than {@linkcode MAX_CONTROL_BODY}.
 */
export function encodeEngine(type: number, body: Uint8Array, sequence?: number): Uint8Array {
  if (body.length > MAX_CONTROL_BODY) {
    throw new RangeError(`a control frame holds ${MAX_CONTROL_BODY} bytes, not ${body.length}`);
  }
  return sequence === undefined
    ? encodeWithBody(FRAME.engine, [type], body)
    : encodeWithBody(FRAME.engineReliable, [sequence, type], body);
}

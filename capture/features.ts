import type { Connection } from "./connection.ts";
import { type MessageOptions, messagesOf } from "./messages.ts";
import { applicationPart, type HandshakeOption } from "./stream_application.ts";

/** Names of the seed's five features, in the order of the values. Bytes, and milliseconds for `duration`. */
export const SEED_FEATURES: readonly string[] = [
  "bytesSent",
  "bytesReceived",
  "packetSizeSent",
  "packetSizeReceived",
  "duration",
];

/**
 * Writes the seed's five features of a connection to `into` at `at`: TCP payload bytes from the client and
 * from the server, mean payload bytes of the segments that carry any (0 where there are none), and the
 * duration. Without the handshake (the default) only bytes after it count, without the closing alert, and
 * the duration runs from the handshake's end to the connection's last packet.
 *
 * @example
 * ```ts
 * import { SEED_FEATURES, seedFeatures } from "./features.ts";
 * import type { Connection } from "./connection.ts";
 * const row = new Float64Array(SEED_FEATURES.length);
 * const fill = (connection: Connection) => seedFeatures(connection, {}, row);
 * if (typeof fill !== "function") throw new Error("unreachable");
 * ```
 */
export function seedFeatures(
  connection: Connection,
  options: HandshakeOption = {},
  into: Float64Array = new Float64Array(SEED_FEATURES.length),
  at = 0,
): Float64Array {
  const { segments } = connection;
  const { from, to } = applicationPart(connection, options);
  let sent = 0;
  let received = 0;
  let packetsSent = 0;
  let packetsReceived = 0;
  for (let row = 0; row < segments.length; row++) {
    const side = segments.side[row] as 0 | 1;
    const offset = segments.offset[row]!;
    const size = Math.min(to[side], offset + segments.size[row]!) - Math.max(from[side], offset);
    if (size <= 0) continue;
    if (side === 0) {
      sent += size;
      packetsSent++;
    } else {
      received += size;
      packetsReceived++;
    }
  }
  const skipped = options.handshake === "included" ? 0 : connection.handshake.duration;
  into[at] = sent;
  into[at + 1] = received;
  into[at + 2] = packetsSent === 0 ? 0 : sent / packetsSent;
  into[at + 3] = packetsReceived === 0 ? 0 : received / packetsReceived;
  into[at + 4] = Math.max(0, connection.endTime - connection.startTime - skipped);
  return into;
}

/** A table of samples by features that grows row by row, as one typed array. */
export class FeatureTable {
  /** Rows so far. */
  length = 0;
  #values: Float64Array<ArrayBuffer>;

  /** Columns named `names`. */
  constructor(readonly names: readonly string[]) {
    this.#values = new Float64Array(16 * names.length);
  }

  /** The values, row after row: `length x names.length`. A view, valid until the next row is added. */
  get values(): Float64Array<ArrayBuffer> {
    return this.#values.subarray(0, this.length * this.names.length);
  }

  /** Adds the row that `write` writes into the array at the offset given. */
  addRow(write: (into: Float64Array, at: number) => void): void {
    const at = this.length * this.names.length;
    if (at === this.#values.length) {
      const larger = new Float64Array(2 * this.#values.length);
      larger.set(this.#values);
      this.#values = larger;
    }
    write(this.#values, at);
    this.length++;
  }
}

/** The seed's features of many connections, one row each, in the order given. */
export function seedFeatureTable(
  connections: Iterable<Connection>,
  options: HandshakeOption = {},
): FeatureTable {
  const table = new FeatureTable(SEED_FEATURES);
  for (const connection of connections) {
    table.addRow((into, at) => seedFeatures(connection, options, into, at));
  }
  return table;
}

/** Sizes and times of one connection's messages or segments, as columns of equal length. */
export interface Sequence {
  /** Bytes on the wire; positive from the client, negative from the server. */
  readonly sizes: Float64Array<ArrayBuffer>;
  /** Milliseconds from the connection's start. */
  readonly times: Float64Array<ArrayBuffer>;
}

/** The messages of a connection as signed sizes and times of their first segments. */
export function messageSequence(connection: Connection, options: MessageOptions = {}): Sequence {
  const messages = messagesOf(connection, options);
  const sizes = new Float64Array(messages.length);
  const times = new Float64Array(messages.length);
  for (const [i, { side, size, time }] of messages.entries()) {
    sizes[i] = side === 0 ? size : -size;
    times[i] = time;
  }
  return { sizes, times };
}

/** The segments of a connection as signed sizes and times; partly excluded ones with what remains. */
export function segmentSequence(connection: Connection, options: HandshakeOption = {}): Sequence {
  const { segments } = connection;
  const { from, to } = applicationPart(connection, options);
  const sizes = new Float64Array(segments.length);
  const times = new Float64Array(segments.length);
  let count = 0;
  for (let row = 0; row < segments.length; row++) {
    const side = segments.side[row] as 0 | 1;
    const offset = segments.offset[row]!;
    const size = Math.min(to[side], offset + segments.size[row]!) - Math.max(from[side], offset);
    if (size <= 0) continue;
    sizes[count] = side === 0 ? size : -size;
    times[count] = segments.time[row]!;
    count++;
  }
  return { sizes: sizes.slice(0, count), times: times.slice(0, count) };
}

import type { Handshake, SegmentTable } from "./connection.ts";
import type {
  ConnectionView,
  HandshakeEnd,
  ProtocolRecogniser,
  StreamRecogniser,
} from "./handshake_recogniser.ts";
import type { Side } from "./side.ts";
import type { RecordColumns } from "./stream_columns.ts";

/** Fillers that anonymisers write in place of payload repeat with at most this period. */
const MAX_PERIOD = 8;

/** True for bytes such as `00 00 00 ...` or `de ad be ef de ad be ef ...`: payload blanked by a tool. */
function isFiller(buffer: Uint8Array, start: number, end: number): boolean {
  const stop = Math.min(end, start + 256);
  for (let period = 1; period <= MAX_PERIOD; period++) {
    if (stop - start < 2 * period + 2) return false;
    let at = start + period;
    while (at < stop && buffer[at] === buffer[at - period]) at++;
    if (at === stop) return true;
  }
  return false;
}

/** Lets every registered recogniser read a connection until one of them knows it. */
export class HandshakeTracker {
  /** Nothing more is to be learned from the bytes. */
  finished = false;

  readonly #protocols: readonly ProtocolRecogniser[];
  readonly #records: RecordColumns;
  readonly #candidates: (StreamRecogniser | undefined)[];
  readonly #real: [boolean, boolean] = [false, false];
  #chosen = -1;
  #missing = false;

  /** Tries `protocols`; TLS records go to `records`. */
  constructor(protocols: readonly ProtocolRecogniser[], records: RecordColumns) {
    this.#protocols = protocols;
    this.#records = records;
    this.#candidates = protocols.map((protocol) => protocol.create(records));
  }

  /** The next bytes of one side. */
  bytes(side: Side, buffer: Uint8Array, start: number, end: number): void {
    if (!this.#real[side]) {
      // Judged at a stream's beginning only: zeroed ciphertext behind real headers is as good as real.
      if (isFiller(buffer, start, end)) return this.gap(side, end - start);
      this.#real[side] = true;
    }
    if (this.#chosen >= 0) this.#candidates[this.#chosen]!.bytes(side, buffer, start, end);
    else for (const candidate of this.#candidates) candidate?.bytes(side, buffer, start, end);
    this.#update();
  }

  /** The next `length` bytes of one side were not captured. */
  gap(side: Side, length: number): void {
    this.#missing = true;
    if (this.#chosen >= 0) this.#candidates[this.#chosen]!.gap(side, length);
    else for (const candidate of this.#candidates) candidate?.gap(side, length);
    this.#update();
  }

  /**
   * The handshake, once all bytes have been handed in. `totals` are the lengths of the two streams;
   * `incomplete` tells that the capture lacks some of their bytes, `opened` that it shows their beginning,
   * without which nothing can be estimated.
   */
  result(
    view: ConnectionView,
    totals: readonly [number, number],
    incomplete: boolean,
    opened: boolean,
  ): Handshake {
    const missing = this.#missing || incomplete;
    if (this.#chosen < 0) this.#records.length = 0;
    const recogniser = this.#candidates[this.#chosen];
    const end = recogniser?.handshake(view);
    if (recogniser !== undefined && end !== undefined) {
      return described(view.segments, recogniser.carrier, "observed", end);
    }
    if (recogniser === undefined && !missing) return unknown("unknown", [0, 0], undefined);
    const protocol = recogniser !== undefined
      ? this.#protocols[this.#chosen]
      : this.#protocols.find((each) => each.ports.includes(view.serverPort));
    const carrier = recogniser?.carrier ?? protocol?.carrier ?? "unknown";
    if (missing && opened && protocol !== undefined && carrier === protocol.carrier) {
      const estimate = protocol.estimate?.(view);
      if (estimate !== undefined) {
        const version = recogniser?.version ?? estimate.version;
        return described(view.segments, carrier, "estimated", { ...estimate, version });
      }
    }
    // A recognised handshake that never ended: all that was seen of it is handshake.
    if (recogniser !== undefined) return unknown(carrier, totals, recogniser.version);
    return unknown("unknown", [0, 0], undefined);
  }

  #update(): void {
    if (this.#chosen >= 0) {
      this.finished = this.#candidates[this.#chosen]!.state === "done";
      return;
    }
    let open = 0;
    for (let i = 0; i < this.#candidates.length; i++) {
      const state = this.#candidates[i]?.state;
      if (state === "recognised" || state === "done") {
        this.#chosen = i;
        this.finished = state === "done";
        return;
      }
      if (state === "open") open++;
      else this.#candidates[i] = undefined;
    }
    this.finished = open === 0;
  }
}

function unknown(
  carrier: string,
  bytes: readonly [number, number],
  version: string | undefined,
): Handshake {
  const handshake = { carrier, end: "unknown" as const, bytes, duration: 0 };
  return version === undefined ? handshake : { ...handshake, version };
}

function described(
  segments: SegmentTable,
  carrier: string,
  how: "observed" | "estimated",
  { bytes, blocking = bytes, version }: HandshakeEnd,
): Handshake {
  let duration = 0;
  for (let row = 0; row < segments.length; row++) {
    const side = segments.side[row]!;
    if (segments.offset[row]! < blocking[side as Side]) duration = segments.time[row]!;
  }
  const handshake = { carrier, end: how, bytes, duration };
  return version === undefined ? handshake : { ...handshake, version };
}

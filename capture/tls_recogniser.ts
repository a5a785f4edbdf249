import type { Side } from "./side.ts";
import type { RecordColumns } from "./stream_columns.ts";
import type {
  ConnectionView,
  HandshakeEnd,
  ProtocolRecogniser,
  RecogniserState,
  StreamRecogniser,
} from "./handshake_recogniser.ts";
import { estimateTlsHandshake } from "./tls_estimate.ts";
import { ticketBytes } from "./tls_tickets.ts";

/** TLS content types. */
const CHANGE_CIPHER_SPEC = 20;
const HANDSHAKE = 22;
const APPLICATION_DATA = 23;

/** A record's body holds at most 2^14 bytes and 2048 of expansion (RFC 5246, section 6.2.3). */
const MAX_BODY = 16384 + 2048;

/** A ServerHello with a post-quantum key share has about 1200 bytes. */
const SERVER_HELLO_LIMIT = 4096;

const VERSION_NAMES: Readonly<Record<number, string>> = {
  0x0300: "3.0",
  0x0301: "1.0",
  0x0302: "1.1",
  0x0303: "1.2",
  0x0304: "1.3",
};

/** Record framing of one direction. */
class RecordReader {
  /** Offset of the next byte. */
  offset: number;
  readonly header = [0, 0, 0, 0, 0];
  have = 0;
  /** Body bytes of the current record still to come. */
  remaining = 0;
  type = 0;
  recordOffset = 0;
  recordSize = 0;
  records = 0;
  lost = false;
  /** End of the side's handshake; -1 until it is known. */
  handshakeEnd = -1;
  cipherChanged = false;
  body: Uint8Array | undefined;
  bodyLength = 0;

  constructor(offset: number) {
    this.offset = offset;
  }
}

/**
 * Follows the records of a TLS connection (RFC 5246, RFC 8446) and finds the end of its handshake.
 *
 * Up to 1.2 a side's handshake ends with the first handshake record after its ChangeCipherSpec
 * (Finished). In 1.3 encrypted records all look like application data, so the end is told by causality:
 * every server record before the client's Finished belongs to the handshake, the client's Finished is its
 * first encrypted record after the server's flight (36 or 52 bytes of message, by the hash of the cipher
 * suite; up to two records of a client certificate or EndOfEarlyData may precede it), and the tickets that
 * the server sends right after it are found by {@linkcode ticketBytes}.
 */
export class TlsStreamRecogniser implements StreamRecogniser {
  /** See {@linkcode StreamRecogniser.state}. */
  state: RecogniserState = "open";
  /** See {@linkcode StreamRecogniser.carrier}. */
  readonly carrier: string = "tls";
  /** See {@linkcode StreamRecogniser.version}. */
  version: string | undefined = undefined;

  readonly #records: RecordColumns;
  readonly #sides: readonly [RecordReader, RecordReader];
  #finishedSize = 58;
  #serverFlight = 0;
  #flightOpen = false;
  /** Ends of the records that may be the client's Finished flight. */
  #candidates: number[] = [];
  #serverEndThen = -1;

  /** Starts at `base` bytes into the two streams (after STARTTLS, for instance). */
  constructor(records: RecordColumns, base: readonly [number, number] = [0, 0]) {
    this.#records = records;
    this.#sides = [new RecordReader(base[0]), new RecordReader(base[1])];
  }

  /** See {@linkcode StreamRecogniser.bytes}. */
  bytes(side: Side, buffer: Uint8Array, start: number, end: number): void {
    const reader = this.#sides[side];
    let at = start;
    while (at < end && !reader.lost) {
      if (reader.remaining > 0) {
        const length = Math.min(reader.remaining, end - at);
        this.#body(side, reader, buffer, at, length);
        at += length;
        continue;
      }
      if (reader.have === 0) reader.recordOffset = reader.offset;
      reader.header[reader.have++] = buffer[at++]!;
      reader.offset++;
      if (reader.have === 5) this.#header(side, reader);
      else if (reader.have === 1 && reader.records === 0) this.#firstByte(side, reader);
    }
  }

  /** See {@linkcode StreamRecogniser.gap}. */
  gap(side: Side, length: number): void {
    const reader = this.#sides[side];
    if (reader.lost) return;
    if (length > reader.remaining || reader.records === 0) {
      this.#lose(reader);
      return;
    }
    reader.body = undefined;
    reader.remaining -= length;
    reader.offset += length;
    if (reader.remaining === 0) this.#recordEnd(reader);
  }

  /** See {@linkcode StreamRecogniser.handshake}. */
  handshake(view: ConnectionView): HandshakeEnd | undefined {
    const [client, server] = this.#sides;
    if (this.version === undefined) return undefined;
    if (this.version !== "1.3") {
      if (client.handshakeEnd < 0 || server.handshakeEnd < 0) return undefined;
      return { bytes: [client.handshakeEnd, server.handshakeEnd], version: this.version };
    }
    if (client.handshakeEnd < 0) this.#settle(this.#candidates[0] ?? -1);
    if (client.handshakeEnd < 0) return undefined;
    const bytes: readonly [number, number] = [client.handshakeEnd, server.handshakeEnd];
    const tickets = ticketBytes(view, this.#records, bytes);
    return { bytes: [bytes[0], bytes[1] + tickets], blocking: bytes, version: "1.3" };
  }

  #firstByte(side: Side, reader: RecordReader): void {
    const first = reader.header[0]!;
    if (first === HANDSHAKE) return;
    // A server may refuse in plaintext (alert); an SSLv2-compatible ClientHello sets the top bit.
    if (side === 1 && first === 21) return;
    if (side === 0 && (first & 0x80) !== 0) return;
    this.#lose(reader);
  }

  #header(side: Side, reader: RecordReader): void {
    const header = reader.header;
    reader.have = 0;
    let type = header[0]!;
    let body = (header[3]! << 8) | header[4]!;
    if (reader.records === 0 && side === 0 && (type & 0x80) !== 0) {
      // SSLv2 header of two bytes, then CLIENT-HELLO (1) and the version 3.x.
      body = (((type & 0x7f) << 8) | header[1]!) - 3;
      if (header[2] !== 1 || header[3] !== 3 || body < 6) return this.#lose(reader);
      type = HANDSHAKE;
      this.state = "recognised";
    } else if (type < 20 || type > 24 || header[1] !== 3 || header[2]! > 4 || body > MAX_BODY) {
      return this.#lose(reader);
    }
    reader.type = type;
    reader.remaining = body;
    reader.recordSize = 5 + body;
    reader.records++;
    this.#records.push(side, reader.recordOffset, reader.recordSize, type);
    if (side === 1 && type === HANDSHAKE && this.version === undefined) {
      reader.body = new Uint8Array(Math.min(body, SERVER_HELLO_LIMIT));
      reader.bodyLength = 0;
    }
    if (type === APPLICATION_DATA && this.version === "1.3") this.#encrypted(side, reader);
    if (body === 0) this.#recordEnd(reader);
  }

  /** A record that TLS 1.3 has encrypted. */
  #encrypted(side: Side, reader: RecordReader): void {
    const client = this.#sides[0];
    if (client.handshakeEnd >= 0) return;
    const end = reader.recordOffset + reader.recordSize;
    if (side === 1) {
      if (this.#candidates.length > 0) return this.#settle(this.#candidates[0]!);
      this.#serverFlight++;
      this.#serverEndThen = end;
      this.#flightOpen = true;
      return;
    }
    const exact = reader.recordSize === this.#finishedSize;
    // Before the server's flight a client's encrypted records are early data.
    if (!this.#flightOpen && !exact) return;
    if (exact) return this.#settle(end);
    this.#candidates.push(end);
    if (this.#candidates.length > 3) this.#settle(this.#candidates[0]!);
  }

  #settle(clientEnd: number): void {
    if (clientEnd < 0) return;
    this.#sides[0].handshakeEnd = clientEnd;
    this.#sides[1].handshakeEnd = Math.max(this.#serverEndThen, 0);
  }

  #body(side: Side, reader: RecordReader, buffer: Uint8Array, at: number, length: number): void {
    if (this.state === "open" && side === 0 && reader.remaining === reader.recordSize - 5) {
      // The first record of a client holds a ClientHello (1).
      if (buffer[at] !== 1) return this.#lose(reader);
      this.state = "recognised";
    }
    const hello = reader.body;
    if (hello !== undefined) {
      const room = Math.min(length, hello.length - reader.bodyLength);
      if (room > 0) {
        hello.set(buffer.subarray(at, at + room), reader.bodyLength);
        reader.bodyLength += room;
      }
    }
    reader.remaining -= length;
    reader.offset += length;
    if (reader.remaining === 0) this.#recordEnd(reader);
  }

  #recordEnd(reader: RecordReader): void {
    if (reader.body !== undefined) {
      this.#serverHello(reader.body.subarray(0, reader.bodyLength));
      reader.body = undefined;
    }
    if (reader.handshakeEnd >= 0 || this.version === "1.3") return;
    if (reader.type === CHANGE_CIPHER_SPEC) reader.cipherChanged = true;
    else if (reader.type === HANDSHAKE && reader.cipherChanged) {
      reader.handshakeEnd = reader.recordOffset + reader.recordSize;
    }
  }

  #serverHello(body: Uint8Array): void {
    if (body.length < 39 || body[0] !== 2 || body[4] !== 3) return;
    let version = (body[4]! << 8) | body[5]!;
    let at = 38 + 1 + body[38]!;
    const cipher = (body[at]! << 8) | body[at + 1]!;
    at += 3;
    const extensionsEnd = Math.min(body.length, at + 2 + ((body[at]! << 8) | body[at + 1]!));
    at += 2;
    while (at + 4 <= extensionsEnd) {
      const type = (body[at]! << 8) | body[at + 1]!;
      const length = (body[at + 2]! << 8) | body[at + 3]!;
      if (type === 43 && length === 2) version = (body[at + 4]! << 8) | body[at + 5]!;
      at += 4 + length;
    }
    // Drafts of 1.3 announced themselves as 0x7f00 + number.
    if (version >> 8 === 0x7f) version = 0x0304;
    this.version = VERSION_NAMES[version];
    // TLS_AES_256_GCM_SHA384 has a Finished of 48 bytes, all others one of 32.
    this.#finishedSize = cipher === 0x1302 ? 5 + 4 + 48 + 1 + 16 : 5 + 4 + 32 + 1 + 16;
  }

  #lose(reader: RecordReader): void {
    reader.lost = true;
    if (this.state === "open") this.state = "rejected";
    else if (this.#sides[0].lost && this.#sides[1].lost) this.state = "done";
  }
}

/** TLS on TCP from its first byte: HTTPS and everything else that starts with a ClientHello. */
export const TLS: ProtocolRecogniser = {
  carrier: "tls",
  ports: [443, 465, 563, 636, 853, 989, 990, 993, 995, 5061, 8443],
  create: (records) => new TlsStreamRecogniser(records),
  estimate: estimateTlsHandshake,
};

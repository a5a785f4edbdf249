import type { Side } from "./side.ts";
import type { RecordColumns } from "./stream_columns.ts";
import type {
  ConnectionView,
  HandshakeEnd,
  ProtocolRecogniser,
  RecogniserState,
  StreamRecogniser,
} from "./handshake_recogniser.ts";
import { TlsStreamRecogniser } from "./tls_recogniser.ts";

/** Of a line only its beginning matters. */
const KEPT = 16;

class LineReader {
  offset = 0;
  line = "";
}

/**
 * Follows the plaintext part of an SMTP dialogue (RFC 5321) up to the server's 220 answer to STARTTLS
 * (RFC 3207), and the TLS handshake behind it. Without STARTTLS the connection is plain `smtp`, whose
 * handshake has no bytes: its dialogue is the protocol itself.
 */
export class SmtpStreamRecogniser implements StreamRecogniser {
  /** See {@linkcode StreamRecogniser.state}. */
  state: RecogniserState = "open";
  /** See {@linkcode StreamRecogniser.carrier}. */
  carrier: string = "smtp";

  readonly #records: RecordColumns;
  readonly #lines: readonly [LineReader, LineReader] = [new LineReader(), new LineReader()];
  #greeted = false;
  /** Commands not answered yet; the greeting counts as the answer to the first. */
  #pending = 1;
  #asked = false;
  #plain = false;
  #lost = false;
  #tls: TlsStreamRecogniser | undefined;

  /** TLS records go to `records`. */
  constructor(records: RecordColumns) {
    this.#records = records;
  }

  /** See {@linkcode StreamRecogniser.version}. */
  get version(): string | undefined {
    return this.#tls?.version;
  }

  /** See {@linkcode StreamRecogniser.bytes}. */
  bytes(side: Side, buffer: Uint8Array, start: number, end: number): void {
    let at = start;
    while (at < end && this.#tls === undefined) {
      if (this.#plain || this.#lost) return;
      const reader = this.#lines[side];
      const byte = buffer[at++]!;
      reader.offset++;
      if (byte === 0x0a) {
        if (side === 0) this.#command(reader.line);
        else this.#reply(reader.line);
        reader.line = "";
      } else if (reader.line.length < KEPT) {
        reader.line += String.fromCharCode(byte);
        if (this.state === "open") this.#check(side, reader.line);
      }
    }
    if (this.#tls !== undefined && at < end) this.#tls.bytes(side, buffer, at, end);
    this.#follow();
  }

  /** See {@linkcode StreamRecogniser.gap}. */
  gap(side: Side, length: number): void {
    if (this.#tls !== undefined) this.#tls.gap(side, length);
    else if (this.state === "open") this.state = "rejected";
    else if (!this.#plain) {
      this.#lost = true;
      this.state = "done";
    }
    this.#follow();
  }

  /** See {@linkcode StreamRecogniser.handshake}. */
  handshake(view: ConnectionView): HandshakeEnd | undefined {
    if (this.#tls !== undefined) return this.#tls.handshake(view);
    return this.#lost ? undefined : { bytes: [0, 0] };
  }

  #check(side: Side, line: string): void {
    if (side === 1) {
      if (!"220".startsWith(line.slice(0, 3))) this.state = "rejected";
    } else if (line.length === 4 && !/^(EHLO|HELO|LHLO|QUIT|NOOP|HELP|RSET|STAR)$/i.test(line)) {
      this.state = "rejected";
    }
  }

  #command(line: string): void {
    const verb = line.trimEnd().toUpperCase();
    if (this.state === "open" && this.#greeted && /^(EHLO|HELO|LHLO|STARTTLS)\b/.test(verb)) {
      this.state = "recognised";
    }
    this.#pending++;
    if (verb === "STARTTLS") this.#asked = true;
    else if (/^(DATA|BDAT|AUTH|MAIL)\b/.test(verb)) {
      // From here on lines may be content, and no STARTTLS follows in practice.
      this.#plain = true;
      if (this.state === "recognised") this.state = "done";
    }
  }

  #reply(line: string): void {
    if (!/^[0-9]{3}( |\r?$)/.test(line)) return;
    this.#greeted = true;
    this.#pending = Math.max(0, this.#pending - 1);
    if (!this.#asked || this.#pending > 0) return;
    if (!line.startsWith("220")) {
      this.#asked = false;
      return;
    }
    const [client, server] = this.#lines;
    this.#tls = new TlsStreamRecogniser(this.#records, [client.offset, server.offset]);
    this.carrier = "smtp-starttls";
    this.state = "recognised";
  }

  #follow(): void {
    if (this.#tls?.state === "done") this.state = "done";
  }
}

/** SMTP with or without STARTTLS; implicit TLS (port 465) is TLS from its first byte. */
export const SMTP: ProtocolRecogniser = {
  carrier: "smtp",
  ports: [25, 587],
  create: (records) => new SmtpStreamRecogniser(records),
};

import type {
  ConnectionView,
  HandshakeEnd,
  ProtocolRecogniser,
  RecogniserState,
  RecordColumns,
  Side,
  StreamRecogniser,
} from "../../capture/mod.ts";
import { TlsStreamRecogniser } from "../../capture/mod.ts";

/** Of a line only its beginning matters. */
const KEPT = 80;

/**
 * Follows the plaintext part of an IMAP dialogue (RFC 3501) up to the server's OK to STARTTLS, and the TLS
 * handshake behind it. Without STARTTLS it is plain `imap`, whose handshake has no bytes.
 */
class ImapStream implements StreamRecogniser {
  state: RecogniserState = "open";
  carrier = "imap";
  readonly #records: RecordColumns;
  readonly #lines: [string, string] = ["", ""];
  readonly #offsets: [number, number] = [0, 0];
  #greeted = false;
  #asked: string | undefined;
  #lost = false;
  #tls: TlsStreamRecogniser | undefined;

  constructor(records: RecordColumns) {
    this.#records = records;
  }

  get version(): string | undefined {
    return this.#tls?.version;
  }

  bytes(side: Side, buffer: Uint8Array, start: number, end: number): void {
    let at = start;
    while (at < end && this.#tls === undefined) {
      if (this.state === "rejected" || this.state === "done") return;
      const byte = buffer[at++]!;
      this.#offsets[side]++;
      if (byte !== 0x0a) {
        if (this.#lines[side].length < KEPT) this.#lines[side] += String.fromCharCode(byte);
        if (side === 1 && !this.#greeted) this.#checkGreeting(this.#lines[1]);
        continue;
      }
      const line = this.#lines[side].trimEnd();
      this.#lines[side] = "";
      if (side === 0) this.#command(line);
      else this.#reply(line);
    }
    if (this.#tls !== undefined && at < end) this.#tls.bytes(side, buffer, at, end);
    if (this.#tls?.state === "done") this.state = "done";
  }

  gap(side: Side, length: number): void {
    if (this.#tls !== undefined) {
      this.#tls.gap(side, length);
      if (this.#tls.state === "done") this.state = "done";
    } else if (this.state === "open") this.state = "rejected";
    else if (this.state === "recognised") {
      this.#lost = true;
      this.state = "done";
    }
  }

  handshake(view: ConnectionView): HandshakeEnd | undefined {
    if (this.#tls !== undefined) return this.#tls.handshake(view);
    return this.#lost ? undefined : { bytes: [0, 0] };
  }

  #checkGreeting(line: string): void {
    if (!"* OK".startsWith(line.slice(0, 4)) && !"* PREAUTH".startsWith(line.slice(0, 9))) {
      this.state = "rejected";
    }
  }

  #command(line: string): void {
    const [, tag, verb] = /^([^\s{]{1,40}) +([A-Za-z]+)/.exec(line) ?? [];
    if (tag === undefined || verb === undefined) {
      if (this.state === "open") this.state = "rejected";
      return;
    }
    const known = /^(CAPABILITY|ID|NOOP|STARTTLS|LOGIN|AUTHENTICATE|LOGOUT)$/i.test(verb);
    if (this.state === "open") {
      if (!known || !this.#greeted) {
        this.state = "rejected";
        return;
      }
      this.state = "recognised";
    }
    if (/^STARTTLS$/i.test(verb)) this.#asked = tag;
    // What follows is no plaintext part of anything: the dialogue itself is the protocol.
    else if (/^(LOGIN|AUTHENTICATE)$/i.test(verb)) this.state = "done";
  }

  #reply(line: string): void {
    this.#greeted ||= /^\* (OK|PREAUTH)\b/.test(line);
    if (this.#asked === undefined || !line.startsWith(`${this.#asked} `)) return;
    if (/^\S+ OK\b/i.test(line)) {
      this.#tls = new TlsStreamRecogniser(this.#records, this.#offsets);
      this.carrier = "imap-starttls";
    } else this.#asked = undefined;
  }
}

/** IMAP with or without STARTTLS; implicit TLS (port 993) is TLS from its first byte. */
export const IMAP_RECOGNISER: ProtocolRecogniser = {
  carrier: "imap",
  ports: [143],
  create: (records) => new ImapStream(records),
};

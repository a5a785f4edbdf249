import type { Socket } from "node:net";
import { holdDialogue } from "./plain_dialogue.ts";

/** Bytes at most of one reply of a mail server, and of a client's command line that is looked at. */
const LONGEST = 8192;

/** The mail server said something that a dialogue up to STARTTLS does not have. */
export class SmtpDialogueError extends Error {
  /** `why` is in words. */
  constructor(why: string) {
    super(why);
  }
}

/** One reply of a mail server (RFC 5321, section 4.2): a code, and the text of its lines. */
export interface SmtpReply {
  /** Three digits. */
  readonly code: number;
  /** The lines' texts. */
  readonly lines: readonly string[];
}

/**
 * Reads replies out of bytes, however they are cut.
 *
 * @example
 * ```ts
 * import { SmtpReplies } from "./smtp_dialogue.ts";
 * const replies = new SmtpReplies();
 * const bytes = new TextEncoder().encode("250-mail.example\r\n250 STARTTLS\r\n");
 * const [reply] = replies.push(bytes);
 * if (reply?.code !== 250 || reply.lines[1] !== "STARTTLS") throw new Error("not the reply");
 * ```
 */
export class SmtpReplies {
  #text = "";
  #lines: string[] = [];

  /** Whether it is between two replies. */
  get settled(): boolean {
    return this.#text === "" && this.#lines.length === 0;
  }

  /**
   * The replies that these bytes complete.
   *
   * @throws {SmtpDialogueError} if a line is no reply, or too much comes without an end.
   */
  push(bytes: Uint8Array): SmtpReply[] {
    const replies: SmtpReply[] = [];
    this.#text += Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
    for (let end = this.#text.indexOf("\n"); end >= 0; end = this.#text.indexOf("\n")) {
      const line = this.#text.slice(0, end).replace(/\r$/, "");
      this.#text = this.#text.slice(end + 1);
      const parts = /^([2-5]\d\d)(?:([ -])(.*))?$/.exec(line);
      if (parts === null) throw new SmtpDialogueError("this is no mail server's reply");
      this.#lines.push(parts[3] ?? "");
      if (parts[2] === "-") continue;
      replies.push({ code: Number(parts[1]), lines: this.#lines });
      this.#lines = [];
    }
    const held = this.#lines.reduce((sum, line) => sum + line.length, this.#text.length);
    if (held > LONGEST) throw new SmtpDialogueError("a reply without an end");
    return replies;
  }
}

/**
 * What goes over the plaintext part of a dialogue between a client and the genuine server, seen by a relay:
 * it tells when a client that waited for every answer has asked for STARTTLS and been told to go ahead. One
 * that asks in any other way is left to the genuine server.
 */
export class StartTlsWatch {
  readonly #replies = new SmtpReplies();
  /** Replies that are due; the banner is one. */
  #due = 1;
  #line = "";
  #asked = false;
  #blind = false;
  #name = "";

  /** What the client called itself. */
  get clientName(): string {
    return this.#name;
  }

  /** Bytes of the client's. */
  fromClient(bytes: Uint8Array): void {
    if (this.#blind) return;
    // Something after STARTTLS that did not wait for its answer.
    if (this.#asked) return this.#giveUp();
    for (const byte of bytes) {
      if (this.#asked) return this.#giveUp();
      if (byte !== 0x0a) {
        this.#line += String.fromCharCode(byte);
        if (this.#line.length > LONGEST) return this.#giveUp();
        continue;
      }
      const line = this.#line.trimEnd();
      this.#line = "";
      const greeting = /^(?:EHLO|HELO)[ \t]+(\S{1,255})$/i.exec(line);
      if (greeting !== null) this.#name = greeting[1]!;
      this.#asked = /^STARTTLS$/i.test(line) && this.#due === 0;
      this.#due++;
    }
  }

  /** Bytes of the genuine server's. Returns whether they are the go-ahead: what follows is a handshake. */
  fromServer(bytes: Uint8Array): boolean {
    if (this.#blind) return false;
    try {
      for (const { code } of this.#replies.push(bytes)) {
        this.#due--;
        if (!this.#asked) continue;
        if (code === 220 && this.#replies.settled) return true;
        this.#asked = false;
      }
    } catch {
      this.#giveUp();
    }
    return false;
  }

  #giveUp(): void {
    this.#blind = true;
  }
}

/** How a client takes part in a dialogue. */
export interface StartTlsOptions {
  /** What it calls itself. */
  readonly name: string;
  /** Sent before anything else: the header by which a relay names its own client, for one. */
  readonly preface?: string;
}

/**
 * The client's part from the banner to the go-ahead for TLS. Resolves with the socket paused and nothing of
 * the handshake read.
 *
 * @throws {SmtpDialogueError} if the server offers no STARTTLS, or the connection ends.
 */
export function askForTls(socket: Socket, { name, preface }: StartTlsOptions): Promise<void> {
  const replies = new SmtpReplies();
  const closed = new SmtpDialogueError("closed before TLS began");
  let state: "banner" | "greeting" | "asked" = "banner";
  return holdDialogue(socket, { closed, preface }, (bytes, settle) => {
    for (const { code, lines } of replies.push(bytes)) {
      if (state === "banner" && code === 220) {
        state = "greeting";
        socket.write(`EHLO ${name}\r\n`);
      } else if (state === "greeting" && code === 250) {
        if (!lines.some((line) => /^STARTTLS$/i.test(line.trim()))) {
          throw new SmtpDialogueError("it offers no STARTTLS");
        }
        state = "asked";
        socket.write("STARTTLS\r\n");
      } else if (state === "asked" && code === 220 && replies.settled) settle();
      else throw new SmtpDialogueError(`it answers ${code}${lines[0] ? ` ${lines[0]}` : ""}`);
    }
  });
}

import type { Socket } from "node:net";
import { UserError } from "../../base/mod.ts";
import {
  type Carrier,
  holdDialogue,
  startTlsCarrier,
  type StartTlsObserver,
} from "../../transports/carriers/mod.ts";

/** Bytes at most of one line that is looked at. */
const LONGEST = 8192;

/** The carrier was chosen without a genuine server, or what is there is none. */
class ImapServerError extends UserError {
  constructor(what: string, cause?: unknown) {
    super(
      `the carrier imap: ${what}: give the address of an IMAP server with STARTTLS by --decoy`,
      {
        cause,
      },
    );
  }
}

/** Reads lines out of bytes, however they are cut. */
class Lines {
  /** What belongs to no whole line yet. */
  rest = "";

  push(bytes: Uint8Array): string[] {
    this.rest += Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
    const lines = this.rest.split("\n");
    this.rest = lines.pop()!;
    if (this.rest.length > LONGEST) throw new Error("a line without an end");
    return lines.map((line) => line.replace(/\r$/, ""));
  }
}

/** Tells when a client that waited for every answer has been told to begin TLS. */
export class ImapWatch implements StartTlsObserver {
  /** IMAP's clients do not say who they are before TLS. */
  readonly clientName = "";
  readonly #ofClient = new Lines();
  readonly #ofServer = new Lines();
  /** Commands that have no answer yet. */
  #due = 0;
  #greeted = false;
  #asked: string | undefined;
  #blind = false;

  fromClient(bytes: Uint8Array): void {
    if (this.#blind) return;
    try {
      // Something after STARTTLS that did not wait for its answer.
      if (this.#asked !== undefined) throw new Error("it did not wait");
      for (const line of this.#ofClient.push(bytes)) {
        if (this.#asked !== undefined) throw new Error("it did not wait");
        const tag = /^(\S+) +STARTTLS$/i.exec(line)?.[1];
        if (tag !== undefined && this.#due === 0 && this.#greeted) this.#asked = tag;
        this.#due++;
      }
      if (this.#asked !== undefined && this.#ofClient.rest !== "") {
        throw new Error("it did not wait");
      }
    } catch {
      this.#blind = true;
    }
  }

  fromServer(bytes: Uint8Array): boolean {
    if (this.#blind) return false;
    try {
      for (const line of this.#ofServer.push(bytes)) {
        if (line.startsWith("* ")) {
          this.#greeted = true;
          continue;
        }
        this.#due = Math.max(0, this.#due - 1);
        if (this.#asked === undefined || !line.startsWith(`${this.#asked} `)) continue;
        if (/^\S+ OK\b/i.test(line) && this.#ofServer.rest === "") return true;
        this.#asked = undefined;
      }
    } catch {
      this.#blind = true;
    }
    return false;
  }
}

/** The client's part, as Python's imaplib says it: CAPABILITY, then STARTTLS. */
export function askForTls(
  socket: Socket,
  { preface }: { name: string; preface?: string },
): Promise<void> {
  const lines = new Lines();
  // Four letters from A to P, and a number: its tags.
  const letters = crypto.getRandomValues(new Uint8Array(4));
  const tag = String.fromCharCode(...letters.map((byte) => 65 + byte % 16));
  let state: "greeting" | "capability" | "asked" = "greeting";
  let offered = false;
  const closed = new Error("closed before TLS began");
  return holdDialogue(socket, { closed, preface }, (bytes, settle) => {
    for (const line of lines.push(bytes)) {
      offered ||= /^\* .*\bSTARTTLS\b/i.test(line);
      if (state === "greeting" && line.startsWith("* OK")) {
        state = "capability";
        socket.write(`${tag}0 CAPABILITY\r\n`);
      } else if (state === "capability" && line.startsWith(`${tag}0 OK`)) {
        if (!offered) throw new Error("it offers no STARTTLS");
        state = "asked";
        socket.write(`${tag}1 STARTTLS\r\n`);
      } else if (state === "asked" && line.startsWith(`${tag}1 OK`) && lines.rest === "") settle();
      else if (!line.startsWith("* ")) throw new Error(`it answers ${line.slice(0, 80)}`);
    }
  });
}

/** The carrier `imap`: a genuine IMAP server's dialogue up to STARTTLS, then TLS 1.3. */
export const imapCarrier: Carrier = startTlsCarrier({
  name: "imap",
  clientName: "",
  ask: askForTls,
  watch: () => new ImapWatch(),
  missing: () => new ImapServerError("needs a genuine server that strangers meet"),
  unfit: (address, why, cause) =>
    new ImapServerError(`the server at ${address} cannot be the decoy: ${why}`, cause),
});

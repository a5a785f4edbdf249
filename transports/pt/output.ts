import { type ArgsLike, encodeServerArgs } from "./args.ts";
import { parseIpPort } from "./address.ts";
import { isTransportName, PT_VERSION } from "./environment.ts";
import { OutputError } from "./errors.ts";

/** Writes one line, whole, with its line feed, before it returns: nothing may wait in a buffer. */
export type WriteLine = (line: string) => void;

/** How much a log line matters, from most to least. */
export type Severity = "error" | "warning" | "notice" | "info" | "debug";

/**
 * A text in quotes as tor reads it in `LOG` and `STATUS`: `\n \r \t \" \\` and three octal digits for each
 * byte of UTF-8 that is not printable ASCII. NUL, which would make tor drop the whole line, becomes U+FFFD.
 *
 * @example
 * ```ts
 * import { quote } from "./output.ts";
 * if (quote('a "b"\n\u00e9') !== '"a \\"b\\"\\n\\303\\251"') throw new Error();
 * ```
 */
export function quote(text: string): string {
  let quoted = '"';
  for (const byte of new TextEncoder().encode(text.replaceAll("\0", "\ufffd"))) {
    if (byte === 0x22 || byte === 0x5c) quoted += `\\${String.fromCharCode(byte)}`;
    else if (byte === 0x0a) quoted += "\\n";
    else if (byte === 0x0d) quoted += "\\r";
    else if (byte === 0x09) quoted += "\\t";
    else if (byte < 0x20 || byte > 0x7e) quoted += `\\${byte.toString(8).padStart(3, "0")}`;
    else quoted += String.fromCharCode(byte);
  }
  return `${quoted}"`;
}

/** The line `LOG SEVERITY=... MESSAGE="..."`. */
export function logLine(severity: Severity, message: string): string {
  return `LOG SEVERITY=${severity} MESSAGE=${quote(message)}`;
}

/**
 * The line `STATUS K=V ...`, each value in quotes unless it is a plain word.
 *
 * @throws {OutputError} on a key that is not of letters, digits, `-` and `_`.
 */
export function statusLine(values: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(values).map(([key, value]) => {
    if (!/^[A-Za-z0-9_-]+$/.test(key)) throw new OutputError(`"${key}" is not a key of STATUS`);
    return `${key}=${/^[A-Za-z0-9_.-]+$/.test(value) ? value : quote(value)}`;
  });
  return ["STATUS", ...pairs].join(" ");
}

/** The line that tells what this is and in which version; to be written before `DONE`. */
export function versionStatusLine(implementation: string, version: string): string {
  return `STATUS TYPE=version IMPLEMENTATION=${quote(implementation)} VERSION=${quote(version)}`;
}

/** An error message on one line of printable ASCII: these lines have no escapes. */
export function oneLine(message: string): string {
  return message.replaceAll(/[^\x20-\x7e]+/g, (run) => /^\s+$/.test(run) ? " " : "?");
}

/** What the stages of one talk share. */
export interface Voice {
  /** The stage that may write now; undefined after an error that ends the talk. */
  stage: Stage | undefined;
  /** Where the lines go. */
  readonly write: WriteLine;
}

/** One stage of what a transport tells its parent; the next one is what its last line returns. */
export abstract class Stage {
  #voice: Voice;

  /** Takes the talk over from the stage before. */
  constructor(voice: Voice) {
    this.#voice = voice;
    voice.stage = this;
  }

  /** Writes a log line, which is legal at any time. */
  log(severity: Severity, message: string): void {
    this.#voice.write(logLine(severity, message));
  }

  /** Writes a status line, which is legal at any time; tor 0.4 wants a `TRANSPORT` in it. */
  status(values: Readonly<Record<string, string>>): void {
    this.#voice.write(statusLine(values));
  }

  /** Tells implementation and version. */
  versionStatus(implementation: string, version: string): void {
    this.#voice.write(versionStatusLine(implementation, version));
  }

  /** Writes a line of this stage. */
  protected say(...words: string[]): void {
    if (this.#voice.stage !== this) {
      throw new OutputError(`${words[0]} is out of order: tor would end this process`);
    }
    this.#voice.write(words.filter((word) => word !== "").join(" "));
  }

  /** Writes the last line of this stage and goes on to the next. */
  protected next<T extends Stage>(Next: new (voice: Voice) => T, ...words: string[]): T {
    this.say(...words);
    return new Next(this.#voice);
  }

  /** Writes the last line of all, but for logs. */
  protected end(...words: string[]): void {
    this.say(...words);
    this.#voice.stage = undefined;
  }
}

/** All methods are told: only logs and statuses follow. */
export class Running extends Stage {}

function checkMethod(name: string): void {
  if (!isTransportName(name)) throw new OutputError(`"${name}" cannot name a transport`);
}

/** Tor ends a transport that tells port 0 or a name of a host. */
function checkAddress(address: string): void {
  try {
    parseIpPort(address);
  } catch (error) {
    throw new OutputError((error as Error).message, { cause: error });
  }
}

/** A client tells where each of its transports takes SOCKS connections. */
export class ClientMethods extends Stage {
  /** `CMETHOD`: `address` is an IP address and a port that is not 0. */
  method(name: string, address: string): void {
    checkMethod(name);
    checkAddress(address);
    this.say("CMETHOD", name, "socks5", address);
  }

  /** `CMETHOD-ERROR`: a transport that we know could not be started. */
  methodError(name: string, message: string): void {
    checkMethod(name);
    this.say("CMETHOD-ERROR", name, oneLine(message));
  }

  /** `CMETHODS DONE`, also when there was none. */
  done(): Running {
    return this.next(Running, "CMETHODS", "DONE");
  }
}

/** A client that was given a proxy tells first whether it can use it: tor ends it otherwise. */
export class ProxyAnswer extends Stage {
  /** `PROXY DONE`. */
  done(): ClientMethods {
    return this.next(ClientMethods, "PROXY", "DONE");
  }

  /** `PROXY-ERROR`; then exit at once. */
  error(message: string): void {
    this.end("PROXY-ERROR", oneLine(message));
  }
}

/** A server tells where each of its transports listens. */
export class ServerMethods extends Stage {
  /** `SMETHOD`: `address` is an IP address and a port that is not 0; `args` go into bridge lines. */
  method(name: string, address: string, args: ArgsLike = {}): void {
    checkMethod(name);
    checkAddress(address);
    const text = encodeServerArgs(args);
    this.say("SMETHOD", name, address, text === "" ? "" : `ARGS:${text}`);
  }

  /** `SMETHOD-ERROR`: a transport that we know could not be started. */
  methodError(name: string, message: string): void {
    checkMethod(name);
    this.say("SMETHOD-ERROR", name, oneLine(message));
  }

  /** `SMETHODS DONE`, also when there was none. */
  done(): Running {
    return this.next(Running, "SMETHODS", "DONE");
  }
}

/**
 * What a transport tells its parent on standard output, in the only order that tor takes: the type of each
 * stage has just the lines that are legal there, and a stage that is over throws. Lines of another stage make
 * tor end the process, without a word to its user.
 *
 * @example
 * ```ts
 * import { Opening } from "./output.ts";
 * const lines: string[] = [];
 * const methods = Opening.start((line) => lines.push(line)).client();
 * methods.method("rot13", "127.0.0.1:32807");
 * methods.done().log("notice", "ready");
 * if (lines[0] !== "VERSION 1" || lines[2] !== "CMETHODS DONE") throw new Error();
 * ```
 */
export class Opening extends Stage {
  /** Begins; nothing is written yet. */
  static start(write: WriteLine): Opening {
    return new Opening({ stage: undefined, write });
  }

  /** `ENV-ERROR`, instead of a version: tor does not read it afterwards. Then exit. */
  environmentError(message: string): void {
    this.end("ENV-ERROR", oneLine(message));
  }

  /** `VERSION-ERROR no-version`. Then exit. */
  versionError(): void {
    this.end("VERSION-ERROR", "no-version");
  }

  /** `VERSION 1`, of a client without a proxy. */
  client(): ClientMethods {
    return this.next(ClientMethods, "VERSION", PT_VERSION);
  }

  /** `VERSION 1`, of a client that was given a proxy and has to answer to it. */
  clientWithProxy(): ProxyAnswer {
    return this.next(ProxyAnswer, "VERSION", PT_VERSION);
  }

  /** `VERSION 1`, of a server. */
  server(): ServerMethods {
    return this.next(ServerMethods, "VERSION", PT_VERSION);
  }
}

import type net from "node:net";
import type { OpenGenuine } from "./carrier.ts";
import { type ExpectedHello, isOwnHello, readClientHello } from "./client_hello.ts";
import type { Genuine } from "./genuine.ts";
import { GenuineTls, type GenuineTlsOptions } from "./tls_genuine.ts";

/** Longest first flight of our own clients, in bytes; theirs have less than 600. */
const LONGEST_OWN = 2048;
/** Milliseconds without a byte either way after which a stranger is cut off: longer than servers' own limits. */
const PASS_IDLE = 900_000;
/**
 * Milliseconds in which a genuine server that leaves does not take a client with it that may be ours: no server gives up
 * so soon on who is silent, but one that has too many connections closes those more at once.
 */
export const OVERLOADED = 1000;
/** Randoms remembered, at most twice as many. */
const RANDOMS = 32_768;

/** The genuine TLS server that strangers meet. */
export interface GenuineAddress {
  /** Its host. */
  readonly host: string;
  /** Its TLS port. */
  readonly port: number;
}

/** Remembers the randoms of hellos that were let in, in bounded memory: a replayed one is a stranger's. */
export class SeenRandoms {
  #young = new Set<string>();
  #old = new Set<string>();

  /** Whether `random` is new; it is not a second time. */
  admit(random: Uint8Array): boolean {
    const key = String.fromCharCode(...random);
    if (this.#young.has(key) || this.#old.has(key)) return false;
    if (this.#young.size >= RANDOMS) {
      this.#old = this.#young;
      this.#young = new Set();
    }
    this.#young.add(key);
    return true;
  }
}

/**
 * Whether a socket whose end was read, and whose other direction has not been ended here, has no peer any more:
 * one that was ended both ways has none either.
 */
export function wasReset(raw: net.Socket): boolean {
  const handle = (raw as { _handle?: { getpeername?(out: object): number } })._handle;
  return handle?.getpeername !== undefined && handle.getpeername({}) !== 0;
}

/** What {@linkcode sortFirstFlight} needs. */
export interface FirstFlightOptions {
  /** The connection to the genuine server, which expects a TLS handshake; it may be still connecting. */
  readonly back: net.Socket;
  /** Opens another one, with a handshake of our own: where the first has heard a part of the client's. */
  readonly again: (options: GenuineTlsOptions) => Genuine;
  /** What our clients' hellos look like. */
  readonly expected: ExpectedHello;
  /** The genuine server is not silent towards a silent client inside TLS. */
  readonly speaks?: boolean;
  /** Hellos that were let in. */
  readonly seen: SeenRandoms;
  /**
   * Gets the connection of what may be one of our clients; its hello has been given back to the socket.
   * `open` leads to the genuine server, for the case that it is a stranger after all.
   */
  readonly onOwn: (open: OpenGenuine) => void;
  /** Told that it is a stranger's and now belongs to the genuine server. */
  readonly onStranger: () => void;
  /** Told that the genuine server cannot be reached. */
  readonly onFailure?: () => void;
}

/**
 * Reads the first flight of TLS on a connection. Every byte goes to the genuine server as it comes, except the one chunk that completes a hello which one of our own clients could
 * have sent: that connection is ours. All others are the genuine server's from their first byte to their
 * closing, silence included: what it answers, when it gives up and how it closes is passed on.
 *
 * @returns a function that resets both sides, for shutting down.
 */
export function sortFirstFlight(raw: net.Socket, options: FirstFlightOptions): () => void {
  const { again, back, expected, seen } = options;
  let read = new Uint8Array(0);
  let state: "waiting" | "stranger" | "own" | "over" = "waiting";
  let rawEnded = raw.readableEnded;
  let backEnded = false;
  let idle: ReturnType<typeof setTimeout> | undefined;
  const begun = performance.now();
  let left: (() => void) | undefined;
  let leaving: ReturnType<typeof setTimeout> | undefined;

  const over = () => {
    state = "over";
    clearTimeout(idle);
    clearTimeout(leaving);
  };
  // The genuine server leaves: who may still be one of our clients hears of it a little later.
  const leaves = (run: () => void) => {
    const rest = OVERLOADED - (performance.now() - begun);
    if (state !== "waiting" || rawEnded || rest <= 0) return run();
    if (left !== undefined) return;
    left = run;
    leaving = setTimeout(() => {
      if (state === "waiting") run();
    }, rest);
  };
  const cut = () => {
    if (state === "over" || state === "own") return;
    over();
    raw.resetAndDestroy();
    back.resetAndDestroy();
  };
  const alive = () => {
    clearTimeout(idle);
    idle = setTimeout(cut, PASS_IDLE);
    idle.unref();
  };
  const stranger = () => {
    if (state !== "waiting") return;
    state = "stranger";
    read = new Uint8Array(0);
    options.onStranger();
  };
  const toBack = (bytes: Uint8Array) => {
    alive();
    if (!back.write(bytes)) raw.pause();
  };
  const own = () => {
    state = "own";
    clearTimeout(idle);
    clearTimeout(leaving);
    for (const [event, listener] of Object.entries(ofRaw)) raw.removeListener(event, listener);
    for (const [event, listener] of Object.entries(ofBack)) back.removeListener(event, listener);
    raw.pause();
    raw.unshift(read);
  };
  const ofRaw = {
    data: (bytes: Uint8Array) => {
      if (state !== "waiting") return toBack(bytes);
      const untouched = read.length === 0;
      const all = new Uint8Array(read.length + bytes.length);
      all.set(read);
      all.set(bytes, read.length);
      read = all;
      const hello = readClientHello(read);
      if (hello === "more" && read.length < LONGEST_OWN) return toBack(bytes);
      if (typeof hello === "object" && isOwnHello(hello, expected) && seen.admit(hello.random)) {
        own();
        const gone = left !== undefined;
        if (gone) back.destroy();
        const chosen = expected.alpn?.find((protocol) => hello.alpn?.includes(protocol));
        let first = untouched && !gone ? back : undefined;
        // Until the handshake is over, a client that stays silent is the genuine server's to send away.
        const mirror = () => {
          const rest = OVERLOADED - (performance.now() - begun);
          if (rest <= 0) return void raw.end();
          back.destroy();
          first = undefined;
          leaving = setTimeout(() => raw.end(), rest);
        };
        // One that has heard a part of the hello waits for the rest as long as it would.
        if (!gone) back.on("end", mirror).on("error", () => {}).resume();
        // A client that goes before its handshake is over: nobody will ask for the genuine server.
        let asked = false;
        raw.once("close", () => {
          clearTimeout(leaving);
          if (!asked || !untouched) back.destroy();
        });
        options.onOwn(() => {
          const wishes = {
            ...(hello.serverName === undefined ? {} : { serverName: hello.serverName }),
            ...(chosen === undefined ? {} : { alpn: [chosen] }),
            ...(options.speaks ? { unasked: true } : {}),
          };
          asked = true;
          clearTimeout(leaving);
          const socket = first;
          first = undefined;
          back.removeListener("end", mirror);
          if (socket !== undefined) return new GenuineTls(socket, wishes);
          back.destroy();
          return again(wishes);
        });
        return;
      }
      stranger();
      if (left === undefined) toBack(bytes);
      else left();
    },
    end: () => {
      rawEnded = true;
      if (!backEnded && wasReset(raw)) {
        over();
        raw.destroy();
        back.resetAndDestroy();
      } else back.end();
    },
    drain: () => back.resume(),
    error: () => {
      over();
      back.resetAndDestroy();
    },
    close: () => {
      if (state === "over") return;
      if (rawEnded && backEnded) return over();
      over();
      back.destroy();
    },
  };
  const ofBack = {
    data: (bytes: Uint8Array) => {
      stranger();
      alive();
      if (!raw.write(bytes)) back.pause();
    },
    end: () => {
      const reset = wasReset(back);
      leaves(() => {
        backEnded = true;
        stranger();
        if (!rawEnded && reset) cut();
        else raw.end();
      });
    },
    drain: () => raw.resume(),
    error: () => {
      if (back.connecting || state === "waiting") options.onFailure?.();
      leaves(cut);
    },
    close: () => {
      if (!backEnded) leaves(cut);
    },
  };
  for (const [event, listener] of Object.entries(ofRaw)) raw.on(event, listener);
  for (const [event, listener] of Object.entries(ofBack)) back.on(event, listener);
  alive();
  return cut;
}

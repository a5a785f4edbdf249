import net from "node:net";
import { bracketed } from "../../base/mod.ts";
import {
  type CarrierConnection,
  firstAnswer,
  type OpenGenuine,
  OVERLOADED,
  Turnstile,
} from "../carriers/mod.ts";
import { type Address, parseAddress, TurnBudget } from "../doors/mod.ts";
import type { DecoyPages } from "./decoy_page.ts";

/** Bytes waiting for a slow stranger before the decoy is read no further. */
const BACKLOG = 65_536;
/** Bytes of decoys' answers that are read in one turn of the event loop, about. */
const READ_A_TURN = 131_072;
/** Bytes that one socket brings at a time, at most. */
const ONE_READ = 65_536;
/** Bytes waiting for a decoy that does not take them before the stranger is cut off. */
const UPLOAD_LIMIT = 8_388_608;

/** Milliseconds that a stranger has to take the last answer of a decoy that broke off. */
const FLUSH = 5000;

/** Milliseconds that a silent peer is kept where there is no decoy. */
const SILENCE = 60_000;

/**
 * Milliseconds that a silent peer is waited for before a decoy that is a plain web server is connected to: most of our
 * users have proved themselves by then, and connecting would hold up the answer to them.
 */
const HESITATION = 4;

/** The genuine server that strangers meet. */
export interface Decoy {
  /** Where it listens, behind our carrier. */
  readonly address: Address;
  /** Milliseconds of silence after which we close on its behalf; it has timeouts of its own if absent. */
  readonly idleLimit?: number;
  /** Stops it, where it is ours. */
  close(): Promise<void>;
}

/**
 * The built-in decoy: a plain web server (HTTP/1.1 and HTTP/2) on a loopback port, with the pages of this
 * installation.
 */
export function startBuiltInDecoy(pages: DecoyPages): Decoy {
  const headers = { "content-type": "text/html; charset=utf-8" };
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {}, onError: () => new Response(null) },
    (request) => {
      if (request.method !== "GET" && request.method !== "HEAD") {
        return new Response(null, { status: 405, headers: { allow: "GET, HEAD" } });
      }
      const home = new URL(request.url).pathname === "/";
      return new Response(home ? pages.home : pages.missing, { status: home ? 200 : 404, headers });
    },
  );
  return {
    address: { host: "127.0.0.1", port: server.addr.port },
    idleLimit: 60_000,
    close: () => server.shutdown(),
  };
}

/** Where an operator's decoy listens. */
export interface DecoyAddress extends Address {
  /** It speaks plain HTTP, not the carrier's own protocol: strangers meet it inside the carrier only. */
  readonly plain?: true;
}

/**
 * Reads an option that names a decoy: HOST:PORT of a genuine server of the carrier's own protocol, or
 * `http://HOST:PORT` of a plain web server.
 *
 * @throws {AddressError} naming `option`.
 */
export function parseDecoy(text: string, option: string): DecoyAddress {
  const plain = text.startsWith("http://");
  const address = parseAddress(plain ? text.slice(7).replace(/\/$/, "") : text, option);
  return plain ? { ...address, plain } : address;
}

/**
 * What is wrong with a plain web server that is to be a decoy, in words; `undefined` if it answers within three
 * seconds.
 */
export function faultOfPlainDecoy({ host, port }: Address): Promise<string | undefined> {
  const socket = net.connect({ host, port });
  return firstAnswer<undefined>(socket, "web server", (answered, failed) => {
    let begun = "";
    socket.once("connect", () => {
      socket.write(`HEAD / HTTP/1.1\r\nHost: ${bracketed(host)}\r\nConnection: close\r\n\r\n`);
    });
    socket.on("data", (bytes: Uint8Array) => {
      begun += String.fromCharCode(...bytes.subarray(0, 5));
      if (begun.length >= 5) begun.startsWith("HTTP/") ? answered(undefined) : failed();
    });
  });
}

/** A decoy that the operator runs: strangers' bytes go to `address`. */
export function foreignDecoy(address: Address): Decoy {
  return { address, close: () => Promise.resolve() };
}

type Genuine = ReturnType<OpenGenuine>;

/**
 * What all strangers of a server may use of its time: they begin with the decoy one after the other, for that may be a
 * handshake, and so much of its answers is read in a turn of the event loop. Cover timers and users' bytes
 * have their turns in between.
 */
export class StrangersShare {
  /** Where each begins with the decoy. */
  readonly turnstile: Turnstile = new Turnstile();
  /** What is read of the decoy's answers. */
  readonly budget: TurnBudget = new TurnBudget(READ_A_TURN);
}

/** What a connection's first record shows. */
export type Verdict = "proven" | "stranger";

/**
 * Stands between a new connection and everything else. The decoy's connection opens at once, or after some
 * milliseconds where it is a plain web server, and its closing is mirrored, so that a peer which says nothing
 * meets the decoy's own timeouts. The peer's first record decides: `judge` finds a proof in it, and `onProven` gets the connection with all its bytes; or the
 * peer is a stranger, and every byte of it goes to the decoy, beginning with the first. A decoy that
 * speaks before the peer has spoken makes it a stranger too.
 *
 * A connection that knows its own way to a genuine server ({@linkcode CarrierConnection.genuine}) goes there
 * instead of to `decoy`. Where the carrier let nobody in without a secret, who does not prove it here is
 * reset.
 *
 * `onOver` is told when the guard's part has ended, `onFailure` when the decoy cannot be reached: our own
 * users then still get in. `share` is what strangers may use of the server's time.
 *
 * @returns a function that ends the decoy's part, for shutting down.
 */
export function guard(
  connection: CarrierConnection,
  decoy: Decoy,
  judge: (first: Uint8Array) => Verdict,
  onProven: (connection: CarrierConnection) => void,
  onOver: () => void,
  onFailure?: () => void,
  share: StrangersShare = new StrangersShare(),
): () => void {
  const { genuine } = connection;
  if (genuine === "none") return guardAlone(connection, judge, onProven, onOver);
  let socket: Genuine | undefined;
  let hesitation: ReturnType<typeof setTimeout> | undefined;
  const idleLimit = genuine === undefined ? decoy.idleLimit : undefined;
  let state: "waiting" | "stranger" | "over" = "waiting";
  let peerEnded = false;
  let decoyEnded = false;
  let decoyFailed = false;
  let socketConnected = false;
  let resetWhenDrained = false;
  let idle: ReturnType<typeof setTimeout> | undefined;
  const begun = performance.now();
  let left: (() => void) | undefined;
  let leaving: ReturnType<typeof setTimeout> | undefined;

  const leave = () => {
    clearTimeout(idle);
    clearTimeout(leaving);
    clearTimeout(hesitation);
    socket?.destroy();
    onOver();
  };
  const over = () => {
    if (state === "over") return;
    state = "over";
    leave();
  };
  const alive = (limit = idleLimit) => {
    if (limit === undefined || state === "over") return;
    clearTimeout(idle);
    idle = setTimeout(() => {
      connection.close("fin");
      over();
    }, limit);
  };
  const reset = () => {
    connection.close("rst");
    over();
  };
  // What the decoy said before it broke off still reaches the stranger, as it would from the decoy itself.
  const resetAfterAnswer = () => {
    if (connection.queued === 0) return reset();
    resetWhenDrained = true;
    clearTimeout(idle);
    idle = setTimeout(reset, FLUSH);
  };
  // A decoy with too many connections closes those more at once: who may still be one of our users stays.
  const leaves = (run: () => void) => {
    const rest = OVERLOADED - (performance.now() - begun);
    if (state !== "waiting" || peerEnded || rest <= 0) return run();
    if (left !== undefined) return;
    left = run;
    leaving = setTimeout(() => {
      if (state === "waiting") run();
    }, rest);
  };
  const broken = () => {
    if (state === "over" || decoyFailed) return;
    decoyFailed = true;
    // Our own users do without a decoy; a stranger would find nobody at home.
    if (state === "stranger" || socketConnected) return resetAfterAnswer();
    onFailure?.();
    alive(idleLimit ?? SILENCE);
  };
  const reach = (): Genuine => {
    if (socket !== undefined) return socket;
    clearTimeout(hesitation);
    const { host, port } = decoy.address;
    const reached: Genuine = genuine?.() ??
      net.connect({ host, port, allowHalfOpen: true, noDelay: true });
    reached.on("connect", () => {
      socketConnected = true;
    });
    reached.on("data", (bytes: Uint8Array) => {
      if (state === "over") return;
      state = "stranger";
      alive();
      for (let at = 0; at < bytes.length; at += connection.grid.maxPayload) {
        connection.write(bytes.subarray(at, at + connection.grid.maxPayload));
      }
      share.budget.spend(bytes.length);
      if (connection.queued > BACKLOG) reached.pause();
      else if (!share.budget.open) hold();
    });
    let gone = false;
    reached.on("end", () =>
      leaves(() => {
        if (state === "over") return;
        decoyEnded = true;
        state = "stranger";
        if (reached.quiet && connection.closeQuietly !== undefined) connection.closeQuietly();
        else connection.close("fin");
        if (peerEnded || gone) over();
      }));
    // One that was never reached is known at once: users do without it.
    const lost = () => socketConnected ? leaves(broken) : broken();
    reached.on("error", lost);
    reached.on("close", () => {
      gone = true;
      if (!decoyEnded) lost();
      else over();
    });
    return socket = reached;
  };
  // The decoy is read on when there is time for it.
  let held = false;
  const hold = () => {
    if (held) return;
    held = true;
    socket!.pause();
    share.budget.later(() => {
      held = false;
      if (state !== "stranger" || connection.queued > BACKLOG) return;
      share.budget.spend(ONE_READ);
      socket!.resume();
    });
  };
  // What a stranger says waits until it is its turn to begin with the decoy.
  let early: Uint8Array[] | undefined = [];
  let earlyBytes = 0;
  let earlyEnd = false;
  const begin = () => {
    const said = early;
    early = undefined;
    if (state === "over") return;
    for (const bytes of said ?? []) reach().write(bytes);
    if (earlyEnd) reach().end();
  };
  const toDecoy = (bytes: Uint8Array) => {
    alive();
    const decoy = reach();
    if (early === undefined) decoy.write(bytes.slice());
    else {
      early.push(bytes.slice());
      earlyBytes += bytes.length;
      if (early.length === 1) share.turnstile.pass(connection.remoteAddress, begin);
    }
    if (decoy.writableLength + (early === undefined ? 0 : earlyBytes) > UPLOAD_LIMIT) reset();
  };
  alive();
  if (genuine === undefined) hesitation = setTimeout(reach, HESITATION);
  else reach();

  connection.listener = {
    onData(bytes) {
      if (state === "waiting") {
        const verdict = judge(bytes);
        if (verdict === "proven") {
          state = "over";
          connection.listener = undefined;
          connection.unread(bytes);
          onProven(connection);
          // The answer, if it was due at once, is not held up by this.
          leave();
          return;
        }
        if (decoyFailed) return reset();
        state = "stranger";
        if (left !== undefined) return left();
      }
      if (state === "stranger") toDecoy(bytes);
    },
    onDrain() {
      if (resetWhenDrained) return reset();
      if (!held) socket?.resume();
    },
    onClose(reason) {
      if (state === "over") return;
      peerEnded = true;
      if (reason !== "fin") {
        if (socket?.pending) socket.destroy();
        else socket?.resetAndDestroy();
        over();
      } else if (state === "waiting" && left !== undefined) left();
      else if (decoyEnded) over();
      else if (decoyFailed) {
        connection.close("fin");
        over();
      } else if (early !== undefined && early.length > 0) earlyEnd = true;
      else reach().end();
    },
  };

  return () => {
    if (state !== "over") reset();
  };
}

/** The guard of a connection whose carrier let nobody in without a secret. */
function guardAlone(
  connection: CarrierConnection,
  judge: (first: Uint8Array) => Verdict,
  onProven: (connection: CarrierConnection) => void,
  onOver: () => void,
): () => void {
  let over = false;
  const end = () => {
    if (over) return false;
    over = true;
    clearTimeout(idle);
    onOver();
    return true;
  };
  const reset = () => {
    if (end()) connection.close("rst");
  };
  const idle = setTimeout(reset, SILENCE);
  connection.listener = {
    onData(bytes) {
      if (judge(bytes) === "stranger") return reset();
      end();
      connection.listener = undefined;
      connection.unread(bytes);
      onProven(connection);
    },
    // Whoever ended without a word is not kept half open.
    onClose: () => reset(),
  };
  return reset;
}

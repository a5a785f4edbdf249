import { randomBytes, timingSafeEqual } from "node:crypto";
import type { Socket } from "node:net";
import { SystemClock } from "../../playback/mod.ts";
import {
  Acceptor,
  type Clock,
  EngineStats,
  type Policy,
  ReliableTunnel,
  SpareTime,
  STREAM_CODES,
  type Timer,
  TunnelClosedError,
  type TunnelStream,
  type WireEvent,
} from "../../playback/mod.ts";
import type { CoverModel } from "../../models/mod.ts";
import { type CarrierConnection, sourceOf } from "../carriers/mod.ts";
import { type Address, copyBothWays, formatAddress, TurnBudget } from "../doors/mod.ts";
import { type Decoy, guard, StrangersShare, type Verdict } from "./decoy.ts";
import { connectDestination, DestinationError, type DestinationOptions } from "./destinations.ts";
import {
  clientSeal,
  HELLO_LENGTH,
  type JudgedHello,
  judgeHello,
  knowUsers,
  type RedeemedToken,
  ReplayCache,
  TOKEN_LENGTH,
  TokenBook,
  tunnelKey,
} from "./proof.ts";

/** The most that one user may hold here. */
export interface UserLimits {
  /** Tunnels at once. */
  readonly tunnels: number;
  /** Cover connections at once, of all tunnels together. */
  readonly connections: number;
  /** Streams of one tunnel at once. */
  readonly streams: number;
  /** Bytes held in buffers, of all tunnels together. */
  readonly memory: number;
}

/** Wide enough for a Tor bridge whose users share one secret. */
export const DEFAULT_USER_LIMITS: UserLimits = {
  tunnels: 256,
  connections: 4096,
  streams: 256,
  memory: 512 * 2 ** 20,
};

/** What a {@linkcode TmServer} needs. */
export interface TmServerOptions {
  /** The secrets, one for each user. */
  readonly secrets: readonly Uint8Array[];
  /** Models held here: a client may refer to them. */
  readonly models: readonly CoverModel[];
  /** What strangers meet. */
  readonly decoy: Decoy;
  /** Which destinations are allowed. */
  readonly destinations?: DestinationOptions;
  /**
   * Connects a stream, instead of by {@linkcode destinations}, to where it asks to go. `client` is the peer of
   * the cover connection that began its tunnel. The socket comes paused and allows half-open connections.
   * `gone` is aborted when the user has given the stream up: connecting may end with any error then.
   *
   * @throws {DestinationError} with the code for the stream.
   */
  readonly connect?: (
    destination: Address,
    client: Address,
    gone: AbortSignal,
  ) => Promise<Socket>;
  /** What clients may ask for. */
  readonly policy?: Policy;
  /** Whether this end is master of the cover for a client that wishes it; true if absent. */
  readonly lead?: boolean;
  /** 16 bytes or more that the cover is drawn from where this end is master; random for each tunnel if absent. */
  readonly leadSeed?: Uint8Array;
  /** What each user may hold. */
  readonly limits?: UserLimits;
  /** Milliseconds that a tunnel without connections is kept; ten minutes if absent. */
  readonly keepTunnels?: number;
  /**
   * Connections at most that have not proved anything; for one more, the oldest of the source that has most of them is
   * reset. 1000 if absent.
   */
  readonly maxStrangers?: number;
  /** The time; the wall clock if absent. */
  readonly clock?: Clock;
  /** Told of everything done on the wire. */
  readonly onWire?: (event: WireEvent) => void;
  /** Told in words of what goes wrong; contains no address unless {@linkcode unsafeNotes} allows it. */
  readonly onNote?: (text: string) => void;
  /** Whether notes may name clients and destinations; then the begin of each tunnel is noted, too. */
  readonly unsafeNotes?: boolean;
}

interface Tunnel {
  /** Its user's place among the secrets, which may change. */
  user: number;
  /** The peer of the connection that began it. */
  readonly client: Address;
  /** The key of its tokens and seals. */
  readonly resumeKey: Uint8Array;
  readonly tunnel: ReliableTunnel;
  readonly engine: Acceptor;
  expiry: Timer | undefined;
  leaving: boolean;
  /** Destinations that are being connected to, those of streams that were given up meanwhile included. */
  connecting: number;
}

/** Bytes that a tunnel holds: of its streams, and of the plans that it plays. */
function memoryOf({ engine, tunnel }: Tunnel): number {
  return tunnel.memory + engine.memory;
}

/**
 * The server's end: admits connections that prove a secret, hands all others to the decoy, plays each
 * tunnel's cover, and connects its streams to their destinations. It is handed open connections of a
 * carrier.
 */
export class TmServer {
  /** What the engines of all tunnels have counted together, since the start. */
  readonly stats: EngineStats = new EngineStats();
  readonly #options: TmServerOptions;
  readonly #clock: Clock;
  readonly #limits: UserLimits;
  readonly #budget = new TurnBudget();
  readonly #replays = new ReplayCache();
  readonly #tokens: TokenBook<Tunnel>;
  readonly #spare: SpareTime;
  readonly #tunnels = new Set<Tunnel>();
  /** How each is ended, and where it comes from; the oldest first. */
  readonly #strangers = new Map<() => void, string>();
  readonly #strangersShare = new StrangersShare();
  #secrets: readonly Uint8Array[];
  #stopped = false;
  #onIdle: (() => void) | undefined;

  /** Prepares a server; give its {@linkcode TmServer.accept} to a carrier. */
  constructor(options: TmServerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? new SystemClock();
    this.#spare = new SpareTime(this.#clock);
    this.#tokens = new TokenBook(
      ({ engine }) => engine.sessions,
      (run) => this.#spare.add(run),
    );
    this.#limits = options.limits ?? DEFAULT_USER_LIMITS;
    this.#secrets = options.secrets;
    knowUsers(options.secrets);
  }

  /** Tunnels that are kept, with and without connections. */
  get tunnels(): number {
    return this.#tunnels.size;
  }

  /** Cover connections that are open. */
  get connections(): number {
    let sum = 0;
    for (const { engine } of this.#tunnels) sum += engine.open;
    return sum;
  }

  /** User streams that are open. */
  get streams(): number {
    let sum = 0;
    for (const { tunnel } of this.#tunnels) sum += tunnel.streams;
    return sum;
  }

  /** Connections that have not proved anything: new ones, and those with the decoy. */
  get strangers(): number {
    return this.#strangers.size;
  }

  /** Takes a connection of the carrier's after its handshake. */
  readonly accept = (connection: CarrierConnection): void => {
    if (this.#stopped) {
      connection.close("rst");
      return;
    }
    if (connection.command !== undefined) return this.#acceptCommand(connection);
    // A user proves himself within a round trip: a flood of others must not keep him out.
    if (this.#strangers.size >= (this.#options.maxStrangers ?? 1000)) this.#dropStranger();
    let admit: ((connection: CarrierConnection) => void) | undefined;
    const judge = (first: Uint8Array): Verdict => {
      const token = this.#tokens.redeem(first);
      if (token !== undefined) {
        if (!this.#hasRoom(token.tunnel.user)) return "stranger";
        this.#boundMemory(token.tunnel.user);
        admit = (proven) => this.#resume(proven, token);
        return "proven";
      }
      const hello = judgeHello(first, connection.certificateDigest, this.#secrets);
      if (hello === undefined || !this.#replays.admit(hello.nonce)) return "stranger";
      if (!this.#hasRoom(hello.user) || !this.#makeRoom(hello.user)) {
        this.#options.onNote?.("a user was turned away: too many tunnels or connections");
        return "stranger";
      }
      admit = (proven) => this.#begin(proven, hello);
      return "proven";
    };
    const stop = guard(
      connection,
      this.#options.decoy,
      judge,
      (proven) => admit!(proven),
      () => {
        this.#strangers.delete(stop);
        this.#lookIdle();
      },
      () => this.#options.onNote?.("the decoy cannot be reached: strangers are reset"),
      this.#strangersShare,
    );
    this.#strangers.set(stop, sourceOf(connection.remoteAddress));
  };

  /** Takes a connection that the carrier let in by a secret, and that has named itself in its opening. */
  #acceptCommand(connection: CarrierConnection): void {
    const token = this.#tokens.redeemNamed(connection.command!);
    if (token === undefined || !this.#hasRoom(token.tunnel.user)) return connection.close("rst");
    this.#boundMemory(token.tunnel.user);
    this.#resume(connection, token);
  }

  /** Ends, of the source that has most strangers here, the one that has been here longest. */
  #dropStranger(): void {
    const bySource = Map.groupBy(this.#strangers, ([, source]) => source);
    let most: [() => void, string][] = [];
    for (const same of bySource.values()) if (same.length > most.length) most = same;
    most[0]?.[0]();
  }

  /** The carrier shows another certificate from now on. */
  renewed(certificateDigest: Uint8Array): void {
    this.#tokens.rebind(certificateDigest);
  }

  /** Takes other users' secrets into use; tunnels of users who are no longer among them end. */
  renewUsers(secrets: readonly Uint8Array[]): void {
    const before = this.#secrets;
    this.#secrets = secrets;
    knowUsers(secrets);
    for (const tunnel of [...this.#tunnels]) {
      const own = before[tunnel.user]!;
      const user = secrets.findIndex((secret) => timingSafeEqual(secret, own));
      if (user < 0) this.#end(tunnel, "its user was removed");
      else tunnel.user = user;
    }
  }

  /**
   * Resolves as soon as no connection is open any more, neither of a tunnel nor of a stranger: for a server whose
   * carrier has stopped to listen.
   */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#onIdle = resolve;
      this.#lookIdle();
    });
  }

  #lookIdle(): void {
    // Not at once: a stranger that has just proved itself is about to become a connection of a tunnel.
    if (this.#onIdle === undefined) return;
    queueMicrotask(() => {
      if (this.#strangers.size === 0 && this.connections === 0) this.#onIdle?.();
    });
  }

  /** Ends everything: connections are closed, streams and destinations reset. */
  stop(): void {
    this.#stopped = true;
    this.#spare.stop();
    for (const tunnel of [...this.#tunnels]) this.#end(tunnel, "the server stops");
    for (const stop of [...this.#strangers.keys()]) stop();
  }

  #hasRoom(user: number): boolean {
    let connections = 0;
    for (const { user: owner, engine } of this.#tunnels) {
      if (owner === user) connections += engine.open;
    }
    return connections < this.#limits.connections;
  }

  /** Bytes that a user's tunnels hold. */
  #memory(user: number): number {
    let memory = 0;
    for (const tunnel of this.#tunnels) if (tunnel.user === user) memory += memoryOf(tunnel);
    return memory;
  }

  /** Ends a user's largest tunnels until the rest is within the limit. */
  #boundMemory(user: number): void {
    while (this.#memory(user) > this.#limits.memory) {
      const own = [...this.#tunnels].filter((tunnel) => tunnel.user === user);
      const largest = own.reduce((a, b) => memoryOf(a) >= memoryOf(b) ? a : b);
      this.#options.onNote?.("a user's largest tunnel was ended: too much memory");
      this.#end(largest, "it held too much memory");
    }
  }

  /** Whether a user may have one more tunnel; the oldest without connections goes if need be. */
  #makeRoom(user: number): boolean {
    const own = [...this.#tunnels].filter((tunnel) => tunnel.user === user);
    if (own.length < this.#limits.tunnels) return true;
    const idle = own.find(({ engine }) => engine.open === 0);
    if (idle === undefined) return false;
    this.#end(idle, "another tunnel took its place");
    return true;
  }

  #begin(connection: CarrierConnection, hello: JudgedHello): void {
    const resumeKey = tunnelKey(this.#secrets[hello.user]!, hello.nonce);
    const { models, onNote, onWire, policy } = this.#options;
    const reliable = new ReliableTunnel({
      end: "server",
      clock: this.#clock,
      maxStreams: this.#limits.streams,
    });
    const tunnel: Tunnel = {
      user: hello.user,
      client: { host: connection.remoteAddress, port: connection.remotePort },
      resumeKey,
      tunnel: reliable,
      expiry: undefined,
      leaving: false,
      connecting: 0,
      engine: new Acceptor({
        clock: this.#clock,
        tunnel: reliable,
        stats: this.stats,
        models,
        ...(this.#options.lead === false
          ? {}
          : { lead: { seed: this.#options.leadSeed ?? new Uint8Array(randomBytes(32)) } }),
        ...(policy === undefined ? {} : { policy }),
        ...(onWire === undefined ? {} : { onWire }),
        onFault: ({ report }) =>
          onNote?.(`a cover connection was given up: ${String(report.error)}`),
        onClosed: (open) => {
          if (open === 0) this.#expire(tunnel);
          this.#lookIdle();
        },
      }),
    };
    reliable.onStream = (stream) => void this.#serve(tunnel, stream);
    reliable.onGoodbye = () => {
      tunnel.leaving = true;
      if (tunnel.engine.open === 0) this.#expire(tunnel);
    };
    this.#tunnels.add(tunnel);
    if (this.#options.unsafeNotes) {
      onNote?.(`user ${hello.user + 1} begins a tunnel from ${connection.remoteAddress}`);
    }
    this.#tokens.add(tunnel, resumeKey, connection.certificateDigest, hello);
    this.#play(connection, tunnel, hello, HELLO_LENGTH);
  }

  #resume(connection: CarrierConnection, token: RedeemedToken<Tunnel>): void {
    const { tunnel } = token;
    if (!this.#tunnels.has(tunnel)) return connection.close("rst");
    if (tunnel.expiry !== undefined) this.#clock.cancel(tunnel.expiry);
    tunnel.expiry = undefined;
    this.#play(connection, tunnel, token, TOKEN_LENGTH);
  }

  #play(
    connection: CarrierConnection,
    tunnel: Tunnel,
    { session, serial, answer }: {
      readonly session: number;
      readonly serial: number;
      readonly answer: Uint8Array;
    },
    peerPrefix: number,
  ): void {
    const command = connection.command !== undefined;
    tunnel.engine.accept(connection, {
      session,
      serial,
      ...(command ? { command } : { prefix: answer, peerPrefix }),
      unseal: clientSeal(tunnel.resumeKey, connection.certificateDigest, session, serial),
    });
  }

  /** Ends a tunnel that stays without connections; soon, if the client took its leave. */
  #expire(tunnel: Tunnel): void {
    if (!this.#tunnels.has(tunnel)) return;
    if (tunnel.expiry !== undefined) this.#clock.cancel(tunnel.expiry);
    const after = tunnel.leaving ? 0 : this.#options.keepTunnels ?? 600_000;
    tunnel.expiry = this.#clock.at(this.#clock.now() + after, () => {
      if (tunnel.engine.open === 0) this.#end(tunnel, "no connection came back");
    });
  }

  #end(tunnel: Tunnel, why: string): void {
    if (!this.#tunnels.delete(tunnel)) return;
    if (tunnel.expiry !== undefined) this.#clock.cancel(tunnel.expiry);
    this.#tokens.remove(tunnel);
    tunnel.engine.stop();
    tunnel.tunnel.fail(new TunnelClosedError(why));
  }

  async #serve(tunnel: Tunnel, stream: TunnelStream): Promise<void> {
    // A stream that is opened and given up at once is no stream any more, and its connection may still be made.
    if (
      this.#memory(tunnel.user) >= this.#limits.memory || tunnel.connecting >= this.#limits.streams
    ) {
      stream.refuse(STREAM_CODES.tooManyStreams);
      return;
    }
    const gone = new AbortController();
    stream.closed.catch(() => gone.abort());
    let socket;
    tunnel.connecting++;
    try {
      const { connect, destinations } = this.#options;
      socket = connect === undefined
        ? await connectDestination(stream.destination, destinations, gone.signal)
        : await connect(stream.destination, tunnel.client, gone.signal);
    } catch (error) {
      if (gone.signal.aborted) return;
      const code = error instanceof DestinationError ? error.code : STREAM_CODES.failed;
      stream.refuse(code);
      this.#noteRefusal(stream.destination, code, error);
      return;
    } finally {
      tunnel.connecting--;
    }
    stream.accept();
    await copyBothWays(socket, stream, this.#budget);
  }

  #noteRefusal(destination: Address, code: number, error: unknown): void {
    const { onNote, unsafeNotes } = this.#options;
    if (onNote === undefined) return;
    const name = Object.entries(STREAM_CODES).find(([, value]) => value === code)?.[0] ?? code;
    onNote(
      unsafeNotes
        ? `${formatAddress(destination)} was not reached: ${(error as Error).message}`
        : `a destination was not reached: ${name}`,
    );
  }
}

import { UserError } from "../../base/mod.ts";
import { type CoverModel, type End, type PlanSource, substream } from "../../models/mod.ts";
import {
  type Clock,
  type DialRequest,
  type EngineStats,
  Opener,
  type PlanForm,
  ReliableTunnel,
  type Scheduling,
  SystemClock,
  type Timer,
  TunnelClosedError,
  type TunnelStream,
  type WireEvent,
} from "../../playback/mod.ts";
import {
  type CarrierConnection,
  type Command,
  ConnectError,
  WrongCertificate,
} from "../carriers/mod.ts";
import type { Address } from "../doors/mod.ts";
import {
  ANSWER_LENGTH,
  type ClientProof,
  clientSeal,
  HELLO_LENGTH,
  helloProof,
  isAnswer,
  MAX_SESSIONS,
  TOKEN_LENGTH,
  tokenName,
  tokenProof,
  tunnelKey,
} from "./proof.ts";
import { ReadyProof } from "./ready_proof.ts";

/** The server does not answer the proof: it does not know the secret. */
export class WrongSecret extends UserError {
  /** `address` is the server's. */
  constructor(readonly address: string) {
    super(
      `the server at ${address} does not know this secret: it answered as it answers strangers: ` +
        `check secret= in its line`,
    );
  }
}

/** The server takes connections and closes them without proving the secret. */
export class NoProof extends UserError {
  /** `address` is the server's. */
  constructor(readonly address: string) {
    super(
      `the server at ${address} closed every connection without proving the secret: check secret= in ` +
        `its line, or something on the way cuts connections`,
    );
  }
}

/** The server was not reached at the start, however often it was tried. */
export class Unreachable extends UserError {
  /** `cause` is the last attempt's error. */
  constructor(attempts: number, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause);
    super(`${why} (tried ${attempts} times)`, { cause });
  }
}

/** Connections in a row without the server's proof after which its tunnel may be lost. */
const MOST_UNPROVEN = 8;
/** Tokens in a row that the server did not know after which it has lost the tunnel: heard not long ago, or not. */
const MOST_REFUSED = { heard: 4, unheard: 2 };
/** Milliseconds after which somebody is told that the server has not proved itself. */
const PATIENCE = 15_000;
/** Milliseconds for which a server's proof shows that it still has the tunnel. */
const HEARD = 60_000;
/**
 * Milliseconds without a proof after which connections that end without one mean that the tunnel is lost. Where the
 * network carries next to nothing they end so for minutes, and the server has the tunnel all the while.
 */
const SILENT = 300_000;

/** What a {@linkcode TmClient} needs. */
export interface TmClientOptions {
  /** The server's address, for messages. */
  readonly server: string;
  /** The user's secret. */
  readonly secret: Uint8Array;
  /** Opens a connection of the carrier to the server, as a command if one is given and the carrier knows such. */
  readonly connect: (command?: Command) => Promise<CarrierConnection>;
  /** What is played. */
  readonly model: CoverModel;
  /** Draws the model's plans from a key, perhaps ahead of time in a worker; here and now if absent. */
  readonly plans?: (key: Uint8Array) => PlanSource & Disposable;
  /** 32 random bytes; the same make the cover repeatable. */
  readonly seed: Uint8Array;
  /** Which end is master of the cover; `client` if absent. */
  readonly master?: End;
  /** Who decides when episodes start and of what kind they are; `strict` if absent. */
  readonly schedule?: Scheduling;
  /** Model sessions played at once, at most 16; 1 if absent. */
  readonly sessions?: number;
  /** How plans reach the end that is not master; `derived` if absent. */
  readonly form?: PlanForm;
  /** The time; the wall clock if absent. */
  readonly clock?: Clock;
  /** Failed attempts in a row at the start before giving up; 5 if absent. Later there is no limit. */
  readonly attempts?: number;
  /** Milliseconds that a server keeps a tunnel without connections; ten minutes if absent. */
  readonly keepTunnels?: number;
  /** Where the engine counts, perhaps together with others; anew for each tunnel if absent. */
  readonly stats?: EngineStats;
  /** Told of everything done on the wire. */
  readonly onWire?: (event: WireEvent) => void;
  /** Told in words of what goes wrong and is tried again. */
  readonly onNote?: (text: string) => void;
}

/**
 * The client's end: plays the model, as its master or under the server's lead, over connections of a carrier, with
 * or without users, and opens users' streams in the tunnel. A tunnel that the server has lost (it was restarted) is
 * replaced: its streams fail, the next ones use the new one.
 */
export class TmClient {
  /**
   * Resolves when the server has proved itself and follows; rejects with {@linkcode WrongSecret},
   * {@linkcode NoProof}, {@linkcode Unreachable}, `WrongCertificate` or the server's refusal of the model.
   */
  readonly ready: Promise<void>;
  /** Rejects with what ends the client after it was ready; resolves when it is stopped. */
  readonly done: Promise<void>;
  readonly #options: TmClientOptions;
  readonly #clock: Clock;
  readonly #ready = Promise.withResolvers<void>();
  readonly #done = Promise.withResolvers<void>();
  #tunnel: ReliableTunnel;
  #engine: Opener;
  #plans: Disposable[] = [];
  /** The key of the tokens, once the server has proved itself. */
  #resumeKey: Uint8Array | undefined;
  /** What the server showed last. */
  #digest: Uint8Array | undefined;
  /** How many tunnels were begun: each has a seed of its own. */
  #generation = 0;
  /** Connections in a row that ended without the server's proof. */
  #unproven = 0;
  /** Connections in a row on which the server did not know our token. */
  #refused = 0;
  /** When the server last proved itself. */
  #provenAt = -Infinity;
  #everProven = false;
  /** Since when the server has not been reached, if no connection is open. */
  #outOfReach: number | undefined;
  #helloPending = false;
  /** Until somebody is told that the server has not proved itself. */
  #waiting: Timer | undefined;
  #isReady = false;
  /** Leave is being taken: a server that has heard of it meets what still opens as a stranger. */
  #leaving = false;
  #stopped = false;

  /** Prepares a client; {@linkcode TmClient.start} begins. */
  constructor(options: TmClientOptions) {
    this.#options = options;
    this.#clock = options.clock ?? new SystemClock();
    this.ready = this.#ready.promise;
    this.done = this.#done.promise;
    this.ready.catch(() => {});
    this.done.catch(() => {});
    this.#tunnel = this.#newTunnel();
    this.#engine = this.#newEngine();
  }

  /** What the engine has counted since the present tunnel began. */
  get stats(): EngineStats {
    return this.#engine.stats;
  }

  /** Cover connections that are open. */
  get connections(): number {
    return this.#engine.open;
  }

  /** Begins to play. */
  start(): void {
    this.#engine.start();
  }

  /** Opens a stream to a destination; an arrow function, to be handed to doors. */
  readonly open = (destination: Address): TunnelStream => this.#tunnel.open(destination);

  /**
   * Takes leave: tells the server, waits until that has been said or `patience` milliseconds have passed
   * (the cover decides when something is sent), and closes all connections.
   */
  async stop(patience = 2000): Promise<void> {
    if (this.#stopped) return;
    if (this.#everProven) {
      this.#leaving = true;
      this.#tunnel.goodbye();
      const deadline = this.#clock.now() + patience;
      while (!this.#tunnel.settled && this.#clock.now() < deadline) {
        await new Promise<void>((resolve) => this.#clock.at(this.#clock.now() + 20, resolve));
      }
    }
    this.#end();
    this.#done.resolve();
  }

  #newTunnel(): ReliableTunnel {
    return new ReliableTunnel({ end: "client", clock: this.#clock });
  }

  #newEngine(): Opener {
    const { form, master, model, onWire, plans, schedule, seed, sessions, stats } = this.#options;
    const tunnel = this.#tunnel;
    const generation = this.#generation++;
    return new Opener({
      clock: this.#clock,
      tunnel,
      model,
      seed: generation === 0 ? seed : substream(seed, "tunnel", generation),
      dial: (request) => void this.#dial(request, tunnel),
      ...(plans === undefined ? {} : {
        plans: (_model, key) => {
          const source = plans(key);
          this.#plans.push(source);
          return source;
        },
      }),
      ...(master === undefined ? {} : { master }),
      minFirstPayload: TOKEN_LENGTH + 2,
      firstPrefix: HELLO_LENGTH,
      ...(form === undefined ? {} : { form }),
      ...(schedule === undefined ? {} : { schedule }),
      sessions: Math.min(MAX_SESSIONS, sessions ?? 1),
      ...(stats === undefined ? {} : { stats }),
      ...(onWire === undefined ? {} : { onWire }),
      onReady: () => {
        this.#isReady = true;
        this.#ready.resolve();
      },
      onDialFailure: (error, failures, pause) => this.#onDialFailure(error, failures, pause),
      onError: (error) => this.#fail(error),
    });
  }

  async #dial(request: DialRequest, tunnel: ReliableTunnel): Promise<void> {
    let connection: CarrierConnection;
    let ready: ReadyProof | undefined;
    try {
      let connecting: Promise<CarrierConnection>;
      if (request.command === undefined) {
        connecting = this.#options.connect();
        ready = this.#readyProof(request);
      } else {
        ready = this.#readyProof(request);
        const name = ready === undefined ? undefined : tokenName(ready.proof.first);
        connecting = this.#options.connect(
          name === undefined ? undefined : { name, size: request.command },
        );
      }
      connection = await connecting;
    } catch (error) {
      if (error instanceof WrongCertificate) this.#fail(error);
      else request.failed(error);
      return;
    }
    if (this.#stopped || tunnel !== this.#tunnel) {
      connection.close("fin");
      return;
    }
    const { session, serial } = request;
    const digest = connection.certificateDigest;
    let proof: ClientProof;
    let proven: () => void;
    let key: Uint8Array;
    const resumeKey = this.#resumeKey;
    if (connection.command !== undefined) {
      // Whoever shows the pinned key has to know the token to unseal what follows.
      request.done({ connection, command: true, seal: ready!.seal });
      return;
    }
    if (!ready?.serves(resumeKey, digest)) ready = undefined;
    this.#digest = digest;
    if (resumeKey !== undefined) {
      proof = ready?.proof ?? tokenProof(resumeKey, digest, session, serial);
      proven = () => {};
      key = resumeKey;
    } else {
      // Until the server has proved itself the engine opens one connection at a time.
      if (this.#helloPending && this.#onUnproven()) return request.failed(new Error("no proof"));
      this.#helloPending = true;
      this.#waiting ??= this.#clock.at(this.#clock.now() + PATIENCE, () => this.#onSilence(), true);
      const hello = helloProof(this.#options.secret, digest, session, serial);
      proof = hello;
      key = tunnelKey(this.#options.secret, hello.nonce);
      proven = () => {
        this.#resumeKey = key;
      };
    }
    request.done({
      connection,
      prefix: proof.first,
      seal: ready?.seal ?? clientSeal(key, digest, session, serial),
      peerPrefix: ANSWER_LENGTH,
      onPeerPrefix: (seen) => {
        this.#helloPending = false;
        this.#waitNoMore();
        if (isAnswer(seen, proof.answer)) {
          this.#unproven = 0;
          this.#refused = 0;
          this.#provenAt = this.#clock.now();
          this.#everProven = true;
          this.#outOfReach = undefined;
          proven();
          return true;
        }
        this.#later(() => this.#onWrongAnswer(tunnel, resumeKey === undefined));
        return false;
      },
    });
  }

  #readyProof({ serial, session }: DialRequest): ReadyProof | undefined {
    const [digest, key] = [this.#digest, this.#resumeKey];
    if (digest === undefined || key === undefined) return undefined;
    return new ReadyProof(key, digest, session, serial);
  }

  /** A mail server, for one, says nothing to what it takes for half a line, and the connection stays. */
  #onSilence(): void {
    this.#options.onNote?.(
      `${this.#options.server} takes connections and has not proved the secret yet: if that goes on, check ` +
        `secret= in its line`,
    );
  }

  #waitNoMore(): void {
    if (this.#waiting !== undefined) this.#clock.cancel(this.#waiting);
    this.#waiting = undefined;
  }

  /** The server showed us the decoy. */
  #onWrongAnswer(tunnel: ReliableTunnel, hello: boolean): void {
    if (this.#stopped || this.#leaving || tunnel !== this.#tunnel) return;
    if (hello) this.#fail(new WrongSecret(this.#options.server));
    else if (++this.#refused >= MOST_REFUSED[this.#heard() ? "heard" : "unheard"]) {
      this.#renew("the server has forgotten the tunnel: beginning a new one");
    }
  }

  /**
   * Whether the server still has the tunnel for all we know: another connection of it is open, and it was heard
   * not long ago. One whose token comes too late or twice says nothing of the tunnel.
   */
  #heard(): boolean {
    return this.#engine.open > 1 && this.#clock.now() - this.#provenAt < HEARD;
  }

  /** The connection before ended without the server's answer. Returns whether that was the end. */
  #onUnproven(): boolean {
    this.#unproven++;
    if (this.#resumeKey !== undefined) {
      if (this.#unproven >= MOST_UNPROVEN && this.#clock.now() - this.#provenAt >= SILENT) {
        this.#later(() => this.#renew("the server no longer answers: beginning a new tunnel"));
      }
      return false;
    }
    if (this.#everProven || this.#unproven < 3) return false;
    this.#fail(new NoProof(this.#options.server));
    return true;
  }

  #onDialFailure(error: unknown, failures: number, pause: number): void {
    if (this.#stopped || this.#leaving) return;
    const why = error instanceof Error ? error.message : String(error);
    if (error instanceof ConnectError) {
      if (!this.#everProven && failures >= (this.#options.attempts ?? 5)) {
        this.#later(() => this.#fail(new Unreachable(failures, error)));
        return;
      }
      this.#onOutOfReach();
    } else if (this.#resumeKey !== undefined) this.#onUnproven();
    this.#options.onNote?.(`${why}: trying again in ${(pause / 1000).toFixed(1)} s`);
  }

  /** A server out of reach gives the tunnel up in time: streams are not left waiting for what cannot come. */
  #onOutOfReach(): void {
    const now = this.#clock.now();
    this.#outOfReach = this.#engine.open > 0 ? undefined : this.#outOfReach ?? now;
    if (this.#resumeKey === undefined || this.#outOfReach === undefined) return;
    if (now - this.#outOfReach < (this.#options.keepTunnels ?? 600_000)) return;
    this.#later(() => this.#renew("the server is out of reach for too long: the tunnel is lost"));
  }

  /** Gives the tunnel up and begins another. */
  #renew(why: string): void {
    if (this.#stopped) return;
    this.#options.onNote?.(why);
    this.#unproven = 0;
    this.#refused = 0;
    this.#helloPending = false;
    this.#resumeKey = undefined;
    const [tunnel, engine, plans] = [this.#tunnel, this.#engine, this.#plans];
    this.#plans = [];
    this.#tunnel = this.#newTunnel();
    this.#engine = this.#newEngine();
    engine.stop();
    for (const source of plans) source[Symbol.dispose]();
    tunnel.fail(new TunnelClosedError(why));
    this.#engine.start();
  }

  #fail(error: UserError): void {
    if (this.#stopped) return;
    this.#end(error);
    if (this.#isReady) this.#done.reject(error);
    else {
      this.#ready.reject(error);
      this.#done.resolve();
    }
  }

  #end(reason: Error = new TunnelClosedError("the client stops")): void {
    this.#stopped = true;
    this.#waitNoMore();
    this.#engine.stop();
    for (const source of this.#plans) source[Symbol.dispose]();
    this.#tunnel.fail(reason);
  }

  /** Not within a call of the engine's. */
  #later(run: () => void): void {
    this.#clock.at(this.#clock.now(), run);
  }
}

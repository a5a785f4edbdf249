import { UserError } from "../base/mod.ts";
import type { CoverModel, End } from "../models/cover_model.ts";
import { LocalPlans, type PlanSource } from "../models/plans.ts";
import { SeededRandom, substream } from "../models/random.ts";
import type { Clock, Timer } from "./clock.ts";
import { ConnectionPlayer, type PlayReport } from "./connection_player.ts";
import type { CoverConnection, SizeGrid } from "./cover_connection.ts";
import {
  connectionNumber,
  encodeSetup,
  ENGINE,
  ENGINE_ERROR,
  EngineFrameError,
  frameOverhead,
  largestBody,
  OWNER_FRAMES,
  packNumbers,
  unpackNumbers,
} from "./engine_frames.ts";
import { BadPlanError, drawPlan, fitInline } from "./first_message.ts";
import { encodePlan } from "./plan_codec.ts";
import { DEFAULT_POLICY, type Policy } from "./policy.ts";
import type { TunnelPort } from "./reliable_tunnel.ts";
import { type OpenRequest, Schedule } from "./schedule.ts";
import { Script } from "./script.ts";
import { EngineStats } from "./stats.ts";
import type { WireEvent } from "./wire_log.ts";

/** How plans reach the slave: drawn there from the same model, or sent. */
export type PlanForm = "derived" | "embedded";

/** Who decides when episodes start: the model alone, or also users' demand. */
export type Scheduling = "strict" | "demand";

/** An open connection, handed to a master by its owner. */
export interface Dialled {
  /** The connection, after the carrier's handshake. */
  readonly connection: CoverConnection;
  /** Bytes that go first in our stream: our proof. */
  readonly prefix?: Uint8Array;
  /** How many bytes at the head of the peer's stream are its proof; 0 if absent. */
  readonly peerPrefix?: number;
  /** Judges the peer's proof; false ends the connection. No user data is sent before it said true. */
  readonly onPeerPrefix?: (proof: Uint8Array) => boolean;
  /**
   * Encrypts our side of the tunnel on this connection, in order, byte for byte. With it user data goes from
   * the first message on, for nobody can read it who could not prove himself too; without it, user data
   * waits for the peer's proof, and a connection's first message carries none.
   */
  readonly seal?: (bytes: Uint8Array) => Uint8Array;
}

/** A connection that a master wants. Exactly one of `done` and `failed` is called, once, at any time. */
export interface DialRequest {
  /** The connection's session. */
  readonly session: number;
  /** The connection's serial number in its session: with it, its name at both ends. */
  readonly serial: number;
  /** It is open. The master becomes the connection's listener within the call. */
  readonly done: (dialled: Dialled) => void;
  /** It could not be opened; the master dials the same connection again after a pause. */
  readonly failed: (error: unknown) => void;
}

/** What a {@linkcode Master} needs. */
export interface MasterOptions {
  /** The time. */
  readonly clock: Clock;
  /** The tunnel whose bytes ride in the cover. The master sets its `onControl` and `onDemand`. */
  readonly tunnel: TunnelPort;
  /** What is played. */
  readonly model: CoverModel;
  /**
   * Where its plans are drawn, from a 32-byte key: the same plans as `LocalPlans` of the model, which is
   * the default, but perhaps ahead of time in a worker.
   */
  readonly plans?: (key: Uint8Array) => PlanSource;
  /** 16 bytes or more; a seed makes the cover repeatable, so it is secret and fresh in real use. */
  readonly seed: Uint8Array;
  /** Opens cover connections. */
  readonly dial: (request: DialRequest) => void;
  /** Which end this is; `client` if absent. */
  readonly end?: End;
  /** How plans reach the slave; `derived` if absent. */
  readonly form?: PlanForm;
  /** If the slave does not hold the model, send it the plans instead; true if absent. */
  readonly fallback?: boolean;
  /** Model sessions played at once; 1 if absent. */
  readonly sessions?: number;
  /** Who decides when episodes start; `strict` if absent. */
  readonly schedule?: Scheduling;
  /** In `demand`: the longest pause, in milliseconds, while a stream is open or data waits; 1000 if absent. */
  readonly maximumGap?: number;
  /**
   * The least payload of a connection's first record: what the proof of later connections needs, and
   * two bytes. 18 if absent.
   */
  readonly minFirstPayload?: number;
  /** Sessions other than the first start within so many milliseconds after it; 3000 if absent. */
  readonly stagger?: number;
  /** Milliseconds without progress after which a connection is given up; 60,000 if absent. */
  readonly stall?: number;
  /** What this end will play at most. */
  readonly policy?: Policy;
  /** Told of everything done on the wire. */
  readonly onWire?: (event: WireEvent) => void;
  /** Told once when the first set-up has been understood by the slave. */
  readonly onReady?: () => void;
  /** Told of connections that ended uncleanly because the peer broke a rule or failed its proof. */
  readonly onFault?: (fault: { session: number; serial: number; report: PlayReport }) => void;
  /** Told of each failed dial, with the number of failures in a row and the pause before the next. */
  readonly onDialFailure?: (error: unknown, failures: number, pause: number) => void;
  /** Told of what cannot be repaired: the slave refuses. The master has stopped. */
  readonly onError?: (error: UserError) => void;
  /** Told of control frames of the owner's (type {@linkcode OWNER_FRAMES} and above). */
  readonly onControl?: (connection: number, type: number, body: Uint8Array) => void;
}

/** The slave will not play this model or plan. */
export class SlaveRefusedError extends UserError {
  /** `code` is one of `ENGINE_ERROR`; `reason` the slave's own words. */
  constructor(readonly code: number, readonly reason: string) {
    super(
      code === ENGINE_ERROR.unknownModel
        ? "the server does not hold this model: give both ends the same model file, or use --plan embedded"
        : `the server refuses this model: ${reason}`,
    );
  }
}

/** The longest pause between dials that fail, in milliseconds. */
const MAX_BACKOFF = 30_000;

/** Plans of each session that are sent ahead in embedded form. */
const AHEAD = 2;

interface Waiting extends OpenRequest {
  readonly number: number;
  dialled: boolean;
  held: boolean;
}

interface Live {
  readonly request: Waiting;
  readonly player: ConnectionPlayer;
  setup: Uint8Array | undefined;
  inline: Uint8Array | undefined;
}

interface AheadPlan {
  readonly session: number;
  readonly serial: number;
  readonly bytes: Uint8Array;
  readonly script: Script;
  readonly redrawn: boolean;
  readonly enlarged: boolean;
  sent: number;
  acked: boolean;
}

/** The key of all plans of a tunnel, from the 16 bytes that a set-up carries. */
export function planKey(setupSeed: Uint8Array): Uint8Array {
  return substream(setupSeed, "plans");
}

/**
 * Plays a model: draws sessions, episodes and connections, opens the connections through `dial`, and plays
 * this end of each, several at once. The slave at the other end follows.
 *
 * The first connection carries the set-up; until the slave has answered it no other opens. In derived form the
 * slave then draws every plan itself. In embedded form plans travel in control frames: ahead of time on
 * other connections, acknowledged before they are used, or else in the connection's own messages, each
 * exchange in the message that begins it.
 *
 * Nothing on the wire depends on what the tunnel holds, except, in `demand` scheduling, when an episode
 * starts.
 *
 * @example
 * ```ts
 * import { ConstantRate } from "../models/constant_rate.ts";
 * import { Master } from "./master.ts";
 * import { Slave } from "./slave.ts";
 * import { ReliableTunnel } from "./tunnel.ts";
 * import { VirtualClock } from "./virtual_clock.ts";
 * import { VirtualNetwork } from "./virtual_network.ts";
 *
 * const clock = new VirtualClock();
 * const network = new VirtualNetwork(clock, { delay: 20 });
 * const model = new ConstantRate();
 * const slave = new Slave({
 *   clock,
 *   tunnel: new ReliableTunnel({ end: "server", clock }),
 *   models: [model],
 * });
 * const master = new Master({
 *   clock,
 *   tunnel: new ReliableTunnel({ end: "client", clock }),
 *   model,
 *   seed: new Uint8Array(16),
 *   dial: ({ session, serial, done }) =>
 *     network.dial(
 *       (connection) => done({ connection }),
 *       (connection) => slave.accept(connection, { session, serial }),
 *     ),
 * });
 * master.start();
 * clock.run(60_000);
 * master.stop();
 * if (master.stats.completed < 10) throw new Error("a connection every five seconds");
 * ```
 */
export class Master {
  /** What has been played. */
  readonly stats: EngineStats = new EngineStats();
  readonly #options: MasterOptions;
  readonly #clock: Clock;
  readonly #tunnel: TunnelPort;
  readonly #plans: PlanSource;
  readonly #setupSeed: Uint8Array;
  readonly #policy: Policy;
  readonly #minimum: number;
  readonly #slots: Schedule[] = [];
  readonly #queue: Waiting[] = [];
  readonly #live = new Map<number, Live>();
  readonly #ahead = new Map<number, AheadPlan>();
  /** The highest serial opened in each session that is being played. */
  readonly #lastOpened = new Map<number, number>();
  #form: PlanForm;
  #grid: SizeGrid | undefined;
  #dialling = 0;
  #ready = false;
  #wasReady = false;
  #failures = 0;
  #notBefore = 0;
  #pumpTimer: Timer | undefined;
  #demandTimer: Timer | undefined;
  #peerBacklog = 0;
  #stopped = false;

  /** Prepares a master; {@linkcode Master.start} begins. */
  constructor(options: MasterOptions) {
    if (options.seed.length < 16) throw new RangeError("a seed has 16 bytes or more");
    this.#options = options;
    this.#clock = options.clock;
    this.#tunnel = options.tunnel;
    this.#form = options.form ?? "derived";
    this.#policy = options.policy ?? DEFAULT_POLICY;
    this.#minimum = options.minFirstPayload ?? 18;
    this.#setupSeed = substream(options.seed, "setup").subarray(0, 16);
    const key = planKey(this.#setupSeed);
    this.#plans = options.plans?.(key) ?? new LocalPlans(options.model, key);
    options.tunnel.onControl = (connection, type, body) => this.#onControl(connection, type, body);
    options.tunnel.onDemand = () => this.#onDemand();
  }

  /** The plan form in use: it changes from derived to embedded if the slave lacks the model. */
  get form(): PlanForm {
    return this.#form;
  }

  /** Cover connections that are open. */
  get open(): number {
    return this.#live.size;
  }

  /** Begins to play. */
  start(): void {
    const { plans, sessions, demand } = {
      plans: this.#plans,
      sessions: Math.min(this.#options.sessions ?? 1, this.#policy.maxSessions),
      demand: this.#options.schedule === "demand"
        ? { wanted: () => this.#wanted, maximumGap: this.#options.maximumGap ?? 1000 }
        : undefined,
    };
    for (let slot = 0; slot < sessions; slot++) {
      const schedule = new Schedule({
        clock: this.#clock,
        plans,
        first: slot,
        stride: sessions,
        ...(demand === undefined ? {} : { demand }),
        open: (request) => this.#wantOpen(request),
      });
      this.#slots.push(schedule);
      const random = new SeededRandom(substream(this.#options.seed, "stagger", slot));
      schedule.start(slot === 0 ? 0 : random.float() * (this.#options.stagger ?? 3000));
    }
  }

  /** Ends at once: open connections are closed by FIN, nothing new is opened. */
  stop(how: "fin" | "rst" = "fin"): void {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const slot of this.#slots) slot.stop();
    for (const timer of [this.#pumpTimer, this.#demandTimer]) {
      if (timer !== undefined) this.#clock.cancel(timer);
    }
    this.#queue.length = 0;
    for (const { player } of [...this.#live.values()]) player.abort(how);
    this.#tunnel.onDemand = undefined;
  }

  // Opening.

  #wantOpen(request: OpenRequest): void {
    const number = connectionNumber(request.session, request.serial);
    const waiting: Waiting = { ...request, number, dialled: false, held: false };
    this.#queue.push(waiting);
    this.#pump();
    if (waiting.dialled) return;
    waiting.held = true;
    this.stats.delayed++;
  }

  /** Dials what waits, as far as limits and pauses allow. */
  #pump(): void {
    if (this.#pumpTimer !== undefined || this.#stopped) return;
    while (this.#queue.length > 0) {
      const busy = this.#live.size + this.#dialling;
      if (busy >= (this.#ready ? this.#policy.maxOpen : 1)) return;
      const now = this.#clock.now();
      if (now < this.#notBefore) {
        this.#pumpTimer = this.#clock.at(this.#notBefore, () => {
          this.#pumpTimer = undefined;
          this.#pump();
        });
        return;
      }
      this.#dial(this.#queue.shift()!);
    }
  }

  #dial(request: Waiting): void {
    const { session, serial, planned } = request;
    const time = this.#clock.now();
    this.#dialling++;
    if (!request.dialled) {
      request.dialled = true;
      // One that was held back is not late but delayed, and counted as that.
      if (!request.held) this.stats.lateness.add(time - planned);
      request.started(time);
    }
    let answered = false;
    const answer = (run: () => void) => {
      if (answered) return;
      answered = true;
      this.#dialling--;
      run();
    };
    this.#options.dial({
      session,
      serial,
      done: (dialled) => answer(() => this.#opened(request, dialled, time)),
      failed: (error) =>
        answer(() => {
          if (this.#stopped) return;
          this.stats.dialFailures++;
          this.#queue.unshift(request);
          this.#backOff(error);
          this.#pump();
        }),
    });
  }

  /** After a failure the next dial waits: half a second, doubled up to half a minute, and some chance. */
  #backOff(error: unknown): void {
    const random = new SeededRandom(substream(this.#options.seed, "backoff", this.#failures));
    const pause = Math.min(MAX_BACKOFF, 500 * 2 ** this.#failures) * (0.75 + random.float() / 2);
    this.#failures = Math.min(this.#failures + 1, 16);
    this.#notBefore = Math.max(this.#notBefore, this.#clock.now() + pause);
    this.#options.onDialFailure?.(error, this.#failures, pause);
  }

  #opened(request: Waiting, dialled: Dialled, time: number): void {
    const { session, serial, number, planned } = request;
    const { connection, prefix, peerPrefix, onPeerPrefix, seal } = dialled;
    if (this.#stopped) return connection.close("fin");
    this.#grid = connection.grid;
    this.#noteOpened(session, serial);
    const prefixLength = prefix?.length ?? 0;
    const setup = this.#ready ? undefined : this.#setup(prefixLength);
    let played: { script: Script; inline: Uint8Array | undefined };
    try {
      played = this.#scriptOf(request, connection.grid, prefixLength, setup);
    } catch (error) {
      if (!(error instanceof BadPlanError)) throw error;
      connection.close("rst");
      return this.#fail(error);
    }
    const { script, inline } = played;
    this.stats.opened++;
    this.#options.onWire?.({
      time,
      planned,
      session,
      serial,
      connection: connection.id,
      what: "open",
      size: 0,
      control: 0,
      data: 0,
      padding: 0,
    });
    const live: Live = {
      request,
      setup: setup?.body,
      inline,
      player: new ConnectionPlayer({
        clock: this.#clock,
        connection,
        end: this.#options.end ?? "client",
        session,
        serial,
        number,
        script,
        tunnel: this.#tunnel,
        ...(prefix === undefined ? {} : { prefix }),
        ...(peerPrefix === undefined ? {} : { peerPrefix }),
        ...(onPeerPrefix === undefined ? {} : { onPeerPrefix }),
        ...(seal === undefined ? {} : { seal }),
        dataAllowed: onPeerPrefix === undefined || seal !== undefined,
        stall: () => this.#options.stall ?? 60_000,
        stats: this.stats,
        beforeRecord: (room) => this.#beforeRecord(live, room),
        ...(this.#options.onWire === undefined ? {} : { onWire: this.#options.onWire }),
        onDone: (report) => this.#closed(live, report),
      }),
    };
    this.#live.set(number, live);
    live.player.start();
  }

  /** Remembers how far a session has come, and forgets the slot's earlier ones. */
  #noteOpened(session: number, serial: number): void {
    const last = this.#lastOpened.get(session);
    if (last !== undefined) {
      this.#lastOpened.set(session, Math.max(last, serial));
      return;
    }
    this.#lastOpened.set(session, serial);
    const before = session - this.#slots.length;
    this.#lastOpened.delete(before);
    for (const [number, ahead] of this.#ahead) {
      if (ahead.session === before) this.#ahead.delete(number);
    }
  }

  /** The set-up for a connection whose proof takes `prefix` bytes, and the first record's least payload. */
  #setup(prefix: number): { body: Uint8Array; minimum: number } {
    const encode = (minimumHere: number) =>
      encodeSetup({
        form: this.#form,
        demand: this.#options.schedule === "demand",
        sessions: this.#slots.length,
        minimum: this.#minimum,
        minimumHere,
        digest: digestHead(this.#options.model.description.digest),
        seed: this.#setupSeed,
      });
    // Its length depends on the number in it: the second pass has the right one.
    let minimum = this.#minimum;
    for (let pass = 0; pass < 3; pass++) {
      const length = encode(minimum).length;
      minimum = Math.max(minimum, prefix + length + frameOverhead(length));
    }
    return { body: encode(minimum), minimum };
  }

  #scriptOf(
    { session, serial, number }: Waiting,
    grid: SizeGrid,
    prefix: number,
    setup: { body: Uint8Array; minimum: number } | undefined,
  ): { script: Script; inline: Uint8Array | undefined } {
    const ahead = this.#ahead.get(number);
    this.#ahead.delete(number);
    if (ahead?.acked && setup === undefined) {
      if (ahead.redrawn) this.stats.redrawn++;
      if (ahead.enlarged) this.stats.enlarged++;
      return { script: ahead.script, inline: undefined };
    }
    const minimum = setup?.minimum ?? this.#minimum;
    const drawn = drawPlan(this.#plans, session, serial, minimum, grid);
    if (drawn.redrawn) this.stats.redrawn++;
    if (drawn.plan.free && this.#form === "embedded") {
      throw new BadPlanError(
        this.#options.model.description.name,
        "without shape it is played only where the server holds the model, too",
      );
    }
    if (this.#form === "derived") {
      if (drawn.enlarged) this.stats.enlarged++;
      return { script: new Script(grid, drawn.plan), inline: undefined };
    }
    const reserved = prefix +
      (setup === undefined ? 0 : setup.body.length + frameOverhead(setup.body.length));
    const { plan, bytes, enlarged } = fitInline(drawn.plan, grid, reserved);
    this.stats.inline++;
    if (drawn.enlarged || enlarged) this.stats.enlarged++;
    return { script: new Script(grid, plan), inline: bytes };
  }

  #closed(live: Live, report: PlayReport): void {
    const { request } = live;
    this.#live.delete(request.number);
    if (!report.completed && !this.#stopped) {
      // What was on its way on the connection may be lost: plans that are not acknowledged go again.
      for (const ahead of this.#ahead.values()) if (!ahead.acked) ahead.sent = 0;
      const { session, serial } = request;
      if (report.error !== undefined) this.#options.onFault?.({ session, serial, report });
      if (report.received === 0 || report.error !== undefined) {
        this.#backOff(report.error ?? new Error("the connection broke before anything arrived"));
      }
    }
    if (report.completed) this.#failures = 0;
    request.closed();
    this.#pump();
  }

  // Control frames.

  /** Puts engine frames ahead of what the tunnel puts into the next `room` bytes of a connection. */
  #beforeRecord(live: Live, room: number): void {
    const { number } = live.request;
    let left = room;
    if (live.setup !== undefined) {
      this.#tunnel.sendControl(ENGINE.setup, live.setup, number);
      left -= live.setup.length + frameOverhead(live.setup.length);
      live.setup = undefined;
    }
    if (live.inline !== undefined) {
      // A connection's own plan takes all the room until it is through: the slave may wait for it.
      const body = Math.min(live.inline.length, largestBody(left));
      if (body <= 0) return;
      this.#tunnel.sendControl(ENGINE.here, live.inline.subarray(0, body), number);
      left -= body + frameOverhead(body);
      live.inline = body < live.inline.length ? live.inline.subarray(body) : undefined;
    }
    if (this.#form === "embedded" && this.#ready) this.#sendAhead(live, left);
  }

  /** Sends plans of connections to come, as far as they fit whole frames. */
  #sendAhead(live: Live, room: number): void {
    const { number, session, serial } = live.request;
    const last = this.#lastOpened.get(session) ?? serial;
    let left = room;
    for (let next = last + 1; next <= last + AHEAD; next++) {
      let ahead: AheadPlan;
      try {
        ahead = this.#aheadPlan(session, next);
      } catch (error) {
        if (!(error instanceof BadPlanError)) throw error;
        return this.#fail(error);
      }
      while (ahead.sent < ahead.bytes.length) {
        const head = packNumbers([session, next, ahead.sent]);
        const body = Math.min(
          ahead.bytes.length - ahead.sent,
          largestBody(left) - head.length,
          MAX_CHUNK,
        );
        if (body <= 0) return;
        const bytes = ahead.bytes.subarray(ahead.sent, ahead.sent + body);
        const frame = packNumbers([session, next, ahead.sent], bytes);
        this.#tunnel.sendControl(ENGINE.ahead, frame, number);
        ahead.sent += body;
        left -= frame.length + frameOverhead(frame.length);
      }
    }
  }

  #aheadPlan(session: number, serial: number): AheadPlan {
    const number = connectionNumber(session, serial);
    let ahead = this.#ahead.get(number);
    if (ahead === undefined) {
      const { plan, redrawn, enlarged } = drawPlan(
        this.#plans,
        session,
        serial,
        this.#minimum,
        this.#grid!,
      );
      ahead = {
        session,
        serial,
        bytes: encodePlan(plan, { requestTimes: false }),
        script: new Script(this.#grid!, plan),
        redrawn,
        enlarged,
        sent: 0,
        acked: false,
      };
      this.#ahead.set(number, ahead);
    }
    return ahead;
  }

  #onControl(connection: number, type: number, body: Uint8Array): void {
    if (type >= OWNER_FRAMES) return this.#options.onControl?.(connection, type, body);
    switch (type) {
      case ENGINE.ready:
        return this.#onReady();
      case ENGINE.planned: {
        const { numbers } = unpackNumbers(body, 2);
        const ahead = this.#ahead.get(connectionNumber(numbers[0]!, numbers[1]!));
        if (ahead !== undefined) ahead.acked = true;
        return;
      }
      case ENGINE.backlog: {
        const { numbers } = unpackNumbers(body, 1);
        const rose = this.#peerBacklog === 0 && numbers[0]! > 0;
        this.#peerBacklog = numbers[0]!;
        if (rose) this.#onDemand();
        return;
      }
      case ENGINE.error: {
        const { numbers, rest } = unpackNumbers(body, 1);
        return this.#onRefusal(numbers[0]!, new TextDecoder().decode(rest));
      }
      default:
        throw new EngineFrameError(`a slave sends no engine frame of type ${type}`);
    }
  }

  #onReady(): void {
    this.#failures = 0;
    if (this.#ready) return;
    this.#ready = true;
    // Others may open from now on; not within the call that takes bytes in.
    this.#clock.at(this.#clock.now(), () => this.#pump());
    if (!this.#wasReady) this.#options.onReady?.();
    this.#wasReady = true;
  }

  #onRefusal(code: number, reason: string): void {
    if (this.#stopped) return;
    if (
      code === ENGINE_ERROR.unknownModel && this.#form === "derived" &&
      this.#options.fallback !== false
    ) {
      this.#form = "embedded";
      this.#ready = false;
      return;
    }
    const error = new SlaveRefusedError(
      code,
      reason.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, 200),
    );
    this.#fail(error);
  }

  /** Stops, with one error, but not within the call that brought it. */
  #fail(error: UserError): void {
    this.#clock.at(this.#clock.now(), () => {
      if (this.#stopped) return;
      this.stop();
      this.#options.onError?.(error);
    });
  }

  // Demand.

  get #wanted(): boolean {
    return this.#tunnel.streams > 0 || this.#tunnel.backlog > 0 || this.#peerBacklog > 0;
  }

  /** Lets the slot that pauses and would go on first start now; the others pause no longer than allowed. */
  #onDemand(): void {
    if (this.#options.schedule !== "demand" || this.#demandTimer !== undefined || this.#stopped) {
      return;
    }
    this.#demandTimer = this.#clock.at(this.#clock.now(), () => {
      this.#demandTimer = undefined;
      if (!this.#wanted) return;
      let first: Schedule | undefined;
      for (const slot of this.#slots) {
        slot.hurry(false);
        const until = slot.pausedUntil;
        if (until !== undefined && until < (first?.pausedUntil ?? Infinity)) first = slot;
      }
      first?.hurry(true);
    });
  }
}

/** The most bytes of a plan in one frame. */
const MAX_CHUNK = 8192;

/** The first 8 bytes of a hex digest. */
function digestHead(digest: string): Uint8Array {
  const bytes = new Uint8Array(8);
  for (let i = 0; i < 8; i++) bytes[i] = parseInt(digest.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

import { UserError } from "../base/mod.ts";
import type { CoverModel, End, ModelRequest } from "../models/cover_model.ts";
import { substream } from "../models/random.ts";
import type { Timer } from "./clock.ts";
import type { PlayReport } from "./connection_player.ts";
import type { SizeGrid } from "./cover_connection.ts";
import { type Dialled, type DialRequest, Dials } from "./dials.ts";
import { Engine, type EngineFrame, type EngineOptions, type Live } from "./engine.ts";
import {
  connectionNumber,
  decodeSetup,
  digestHead,
  ENGINE,
  ENGINE_ERROR,
  EngineFrameError,
  fitSetup,
  frameOverhead,
  packNumbers,
  type PlanForm,
  type Scheduling,
  type Setup,
  unpackNumbers,
} from "./engine_frames.ts";
import { BadPlanError, fitInline } from "./first_message.ts";
import { goesOn } from "./goes_on.ts";
import { chooseKind, MOST_KINDS, type Volume } from "./kinds.ts";
import { Lead } from "./lead.ts";
import type { Opening } from "./openings.ts";
import { Patience } from "./patience.ts";
import { PlanFormatError } from "./plan_codec.ts";
import { PlanSender } from "./plans_sent.ts";
import { type GoesOn, type OpenRequest, Schedule } from "./schedule.ts";
import { Script } from "./script.ts";
import { SharedEnds } from "./shared_ends.ts";

/** What an {@linkcode Opener} needs. */
export interface OpenerOptions extends EngineOptions {
  /** What is played; where the other end is master, until that has been agreed, and where nothing comes of it. */
  readonly model: CoverModel;
  /** 16 bytes or more; a seed makes the cover repeatable, so it is secret and fresh in real use. */
  readonly seed: Uint8Array;
  /** Opens cover connections. */
  readonly dial: (request: DialRequest) => void;
  /** Who is master; `client`, which is this end, if absent. */
  readonly master?: End;
  /** How plans reach the slave, whichever end that is; `derived` if absent. */
  readonly form?: PlanForm;
  /** If the other end does not hold the model, go on in embedded form; true if absent. */
  readonly fallback?: boolean;
  /** Model sessions played at once; 1 if absent. */
  readonly sessions?: number;
  /** Who decides when episodes start and of what kind; `strict` if absent. */
  readonly schedule?: Scheduling;
  /**
   * The least payload of a connection's first record: what the proof of later connections needs, and
   * two bytes. 18 if absent.
   */
  readonly minFirstPayload?: number;
  /** Bytes of the proof on a tunnel's first connection, if known: its plan is then drawn before it opens. */
  readonly firstPrefix?: number;
  /** Sessions other than the first start within so many milliseconds after it; 3000 if absent. */
  readonly stagger?: number;
  /** Milliseconds that an opening of the master's is waited for while a connection could bring it; 5000 if absent. */
  readonly patience?: number;
  /** Told once when the first set-up has been understood by the other end. */
  readonly onReady?: () => void;
  /** Told of each failed dial, with the number of failures in a row and the pause before the next. */
  readonly onDialFailure?: (error: unknown, failures: number, pause: number) => void;
  /** Told of what cannot be repaired: one end refuses the other. The opener has stopped. */
  readonly onError?: (error: UserError) => void;
}

/** The other end will not play this model or plan, or not be master. */
export class SlaveRefusedError extends UserError {
  /** `code` is one of `ENGINE_ERROR`; `reason` the other end's own words. */
  constructor(readonly code: number, readonly reason: string) {
    super(
      code === ENGINE_ERROR.unknownModel
        ? "the server does not hold this model: give both ends the same model file, or use --plan embedded"
        : code === ENGINE_ERROR.master
        ? "the server will not be master: use --master client"
        : `the server refuses this model: ${reason}`,
    );
  }
}

/** The master asks for more than this end plays. */
export class MasterRefusedError extends UserError {
  /** `reason` says what it asks for. */
  constructor(readonly reason: string) {
    super(`the server, as master, asks for ${reason}: use --master client`);
  }
}

/** Bytes of a frame that names a connection's kind. */
const KIND_FRAME = 4;

/** What a connection plays, and what goes first on it. */
interface ConnectionStart {
  readonly kind: number;
  readonly script: Script;
  readonly first: readonly EngineFrame[];
  readonly inline?: Uint8Array;
}

/**
 * The end that opens cover connections, the tm-client's: whoever is master, it keeps the schedule, dials, plays the
 * client's side of each connection, several at once. What is played and when comes from a `Lead`:
 *
 * - This end is master: its own. The first connection carries the set-up; until it has been answered no other
 *   opens. In derived form the other end draws the same; in embedded form it is sent the plans, ahead of
 *   time on other connections, acknowledged before they are used, or in the connection's own messages.
 * - The other end is master: its own lead plays the first connection, up to the answer, which brings the other end's
 *   lead, to be drawn here (derived) or received (embedded). What has not been received when it is due is drawn
 *   here: cover never stops because the master cannot be heard.
 *
 * @example
 * ```ts
 * import { ConstantRate } from "../models/constant_rate.ts";
 * import { Acceptor } from "./acceptor.ts";
 * import { Opener } from "./opener.ts";
 * import { ReliableTunnel } from "./tunnel.ts";
 * import { VirtualClock } from "./virtual_clock.ts";
 * import { VirtualNetwork } from "./virtual_network.ts";
 *
 * const clock = new VirtualClock();
 * const network = new VirtualNetwork(clock, { delay: 20 });
 * const model = new ConstantRate();
 * const acceptor = new Acceptor({
 *   clock,
 *   tunnel: new ReliableTunnel({ end: "server", clock }),
 *   models: [model],
 *   lead: { seed: new Uint8Array(16).fill(1) },
 * });
 * const opener = new Opener({
 *   clock,
 *   tunnel: new ReliableTunnel({ end: "client", clock }),
 *   model,
 *   seed: new Uint8Array(16),
 *   master: "server",
 *   dial: ({ session, serial, done }) =>
 *     network.dial(
 *       (connection) => done({ connection }),
 *       (connection) => acceptor.accept(connection, { session, serial }),
 *     ),
 * });
 * opener.start();
 * clock.run(60_000);
 * opener.stop();
 * if (opener.stats.completed < 10) throw new Error("a connection every five seconds");
 * ```
 */
export class Opener extends Engine {
  readonly #options: OpenerOptions;
  readonly #master: End;
  readonly #setupSeed: Uint8Array;
  readonly #minimum: number;
  readonly #own: Lead;
  readonly #schedule: Scheduling;
  readonly #slots: Schedule[] = [];
  readonly #dials: Dials;
  readonly #patience: Patience;
  readonly #ends: SharedEnds;
  /** The master's lead, where that is not this end: drawn here in derived form, a store of what comes otherwise. */
  #theirs: Lead | "store" | undefined;
  /** What connections of each kind carry, where the master has said it. */
  #theirMeans: readonly Volume[] = [];
  #form: PlanForm;
  #stride = 1;
  #ready = false;
  #wasReady = false;
  #demandTimer: Timer | undefined;
  #peerBacklog = 0;
  /** Of the connections so far; TLS's before there was one. */
  #grid: SizeGrid = { overhead: 22, maxPayload: 16_384 };
  #stopped = false;

  /** Prepares an opener; {@linkcode Opener.start} begins. */
  constructor(options: OpenerOptions) {
    if (options.seed.length < 16) throw new RangeError("a seed has 16 bytes or more");
    super("client", options);
    this.#options = options;
    this.#master = options.master ?? "client";
    this.#form = options.form ?? "derived";
    this.#schedule = options.schedule ?? "strict";
    const named = this.#schedule === "adaptive" || this.#master === "server";
    this.#minimum = (options.minFirstPayload ?? 18) + (named ? KIND_FRAME : 0);
    this.#setupSeed = substream(options.seed, "setup").subarray(0, 16);
    this.#own = new Lead(options.model, this.#setupSeed, {
      // Where the other end is master, what is drawn here is little: no worker is needed.
      ...(this.#master === "server" || options.plans === undefined ? {} : { plans: options.plans }),
      adaptive: this.#schedule === "adaptive",
      ...(options.stagger === undefined ? {} : { stagger: options.stagger }),
    });
    this.#dials = new Dials({
      clock: options.clock,
      stats: this.stats,
      seed: options.seed,
      room: () => (this.#ready ? this.policy.maxOpen : 1) - this.open,
      dial: options.dial,
      begun: (request, answered) => this.#prepare(request, answered),
      opened: (request, dialled, time) => this.#opened(request, dialled, time),
      onFailure: options.onDialFailure,
    });
    this.#patience = new Patience(options.clock, options.patience ?? 5000, () => {
      for (const slot of this.#slots) slot.poke();
    });
    this.#ends = new SharedEnds(options.clock);
    if (this.#form === "embedded") this.#embed();
    options.tunnel.onDemand = () => this.#onDemand();
  }

  /** The plan form in use: it changes from derived to embedded if an end lacks the other's model. */
  get form(): PlanForm {
    return this.#form;
  }

  /** Who is master: until it has been agreed, this end. */
  get master(): End {
    return this.#theirs === undefined ? "client" : "server";
  }

  /** Model sessions that this end wants played at once. */
  get #wished(): number {
    return Math.min(this.#options.sessions ?? 1, this.policy.maxSessions);
  }

  /** Begins to play. */
  start(): void {
    if (this.#master === "client") {
      this.#stride = this.#wished;
      this.#own.openings.stride = this.#stride;
    }
    this.#startSlots();
  }

  #startSlots(): void {
    for (let first = this.#slots.length; first < this.#stride; first++) {
      const slot = new Schedule({
        clock: this.clock,
        openings: { opening: (session, serial) => this.#opening(session, serial) },
        known: { opening: (session, serial) => this.#known(session, serial) },
        first,
        stride: () => this.#stride,
        wanted: () => this.#schedule !== "strict" && this.#wanted,
        hasty: () => this.#schedule === "adaptive" && this.#wanted,
        mostOpen: this.#options.model.mostOpen ?? Infinity,
        goesOn: (session, serial, opening) => this.#goesOn(session, serial, opening),
        kind: () => this.#kind(),
        open: (request) => this.#dials.open(request),
      });
      this.#slots.push(slot);
      slot.start();
    }
  }

  /** Ends at once: open connections are closed by FIN, nothing new is opened. */
  stop(how: "fin" | "rst" = "fin"): void {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const slot of this.#slots) slot.stop();
    if (this.#demandTimer !== undefined) this.clock.cancel(this.#demandTimer);
    this.#dials.stop();
    this.#patience.stop();
    this.closeAll(how);
    this.tunnel.onDemand = undefined;
  }

  // When.

  /** When a connection opens: as the master says, or as this end says where that cannot be heard. */
  #opening(session: number, serial: number): Opening | "end" | undefined {
    try {
      if (session === 0 && serial === 0) return this.#own.openings.opening(0, 0);
      const said = this.#said(session, serial);
      if (this.#master === "client") return said;
      const slot = session % this.#stride;
      if (said !== undefined) {
        this.#patience.known(slot);
        return said;
      }
      // Nothing can come where nothing is open.
      const quiet = this.open + this.#dials.pending === 0;
      return quiet || this.#patience.exhausted(slot, connectionNumber(session, serial))
        ? this.#ownOpening(session, serial)
        : undefined;
    } catch (error) {
      if (!(error instanceof BadPlanError)) throw error;
      this.onBadPlan(error);
      return undefined;
    }
  }

  /** The same to look ahead: what is wrong with a plan is said when it is due. */
  #known(session: number, serial: number): Opening | "end" | undefined {
    try {
      return this.#said(session, serial);
    } catch (error) {
      if (!(error instanceof BadPlanError)) throw error;
      return undefined;
    }
  }

  /** When a connection opens as the master says; undefined if that has not been heard. Throws BadPlanError. */
  #said(session: number, serial: number): Opening | "end" | undefined {
    if (this.#master === "client") return this.#own.openings.opening(session, serial);
    return this.#theirs === "store"
      ? this.store.opening(session, serial)
      : this.#theirs?.openings.opening(session, serial);
  }

  /** This end's own opening in place of one that was not heard of: its sessions go on without end. */
  #ownOpening(session: number, serial: number): Opening {
    const opening = this.#own.openings.opening(session, serial);
    return opening === "end" ? this.#own.openings.opening(session, 0) as Opening : opening;
  }

  /** When somebody who goes on begins the next episode: the same whenever it is asked for. */
  #goesOn(session: number, serial: number, opening: Opening): GoesOn {
    const seed = substream(this.#setupSeed, "goes on", session, serial);
    return goesOn(this.#options.model, seed, this.#schedule === "adaptive", opening);
  }

  // What kind.

  /** The kind of an episode that begins. */
  #kind(): number {
    if (this.#schedule !== "adaptive") return 0;
    const lead = this.#theirs ?? this.#own;
    const means = lead === "store" ? this.#theirMeans : lead.kinds?.means ?? [];
    return chooseKind(means, { client: this.tunnel.backlog, server: this.#peerBacklog });
  }

  // Opening.

  /** Draws what a connection plays while the carrier shakes hands. */
  #prepare({ serial, session }: OpenRequest, answered: () => boolean): void {
    this.spare.add(() => {
      if (answered()) return;
      const { firstPrefix = 0 } = this.#options;
      const minimum = this.#ready ? this.#minimum : this.#setup(firstPrefix).minimum;
      this.#lead?.prepare(session, serial, minimum, this.#grid);
    });
  }

  /** By what connections that open are drawn. */
  get #lead(): Lead | undefined {
    if (this.#theirs === "store") return undefined;
    return this.#theirs ?? this.#own;
  }

  #opened(request: OpenRequest, dialled: Dialled, time: number): void {
    const { connection, ...proof } = dialled;
    if (this.#stopped) return connection.close("fin");
    this.#grid = connection.grid;
    const { end, planned, serial, session } = request;
    this.sender?.opened(session, serial);
    let plan: ConnectionStart;
    try {
      plan = this.#planFor(request, connection.grid, proof.prefix?.length ?? 0);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      connection.close("rst");
      return this.#fail(error);
    }
    const { by, how } = plan.script.close ?? {};
    const shares = end !== undefined && by === "client" && how === "fin";
    this.play({
      ...proof,
      ...plan,
      ...(shares ? { farewell: this.#ends.join(session, end) } : {}),
      connection,
      session,
      serial,
      opened: { time, planned },
      closing: request.closing,
      closed: (report) => this.#closed(request, report),
    });
  }

  /** What a connection that opens plays, and what the other end has to be told of it. */
  #planFor(
    request: OpenRequest,
    grid: SizeGrid,
    prefix: number,
  ): ConnectionStart {
    const { session, serial } = request;
    const said = this.#planOfMaster(request, grid, prefix);
    if (said !== undefined) return said;
    if (this.#master === "server") this.stats.unled++;
    const kind = this.#theirs === "store" || !this.#ready ? 0 : request.kind;
    const named: EngineFrame[] = kind > 0 ? [{ type: ENGINE.kind, body: packNumbers([kind]) }] : [];
    if (this.#ready && this.#master === "client") {
      const ahead = this.sender?.take(session, serial, kind);
      if (ahead?.acked && ahead.plan !== undefined) {
        if (ahead.redrawn) this.stats.redrawn++;
        if (ahead.enlarged) this.stats.enlarged++;
        return { kind, script: new Script(grid, ahead.plan), first: named };
      }
    }
    let minimum = this.#minimum;
    let first: readonly EngineFrame[] = named;
    if (!this.#ready) {
      const setup = this.#setup(prefix);
      minimum = setup.minimum;
      first = [{ type: ENGINE.setup, body: setup.body }];
    } else if (this.#master === "server" && this.#form === "derived") {
      first = [{ type: ENGINE.own, body: packNumbers([kind]) }];
    } else if (this.#master === "server") first = [];
    const drawn = this.#own.draw(session, serial, kind, minimum, grid);
    if (drawn.redrawn) this.stats.redrawn++;
    if (this.#form === "derived") {
      if (drawn.enlarged) this.stats.enlarged++;
      return { kind, script: new Script(grid, drawn.plan), first };
    }
    if (drawn.plan.free) {
      throw new BadPlanError(
        this.#options.model.description.name,
        "without shape it is played only where the server holds the model, too",
      );
    }
    // A plan that comes on its own connection says what it is.
    first = first.filter(({ type }) => type !== ENGINE.kind);
    const reserved = first.reduce(
      (sum, { body }) => sum + body.length + frameOverhead(body.length),
      prefix,
    );
    const { plan, bytes, enlarged } = fitInline(drawn.plan, grid, reserved);
    this.stats.inline++;
    if (drawn.enlarged || enlarged) this.stats.enlarged++;
    return { kind, script: new Script(grid, plan), first, inline: bytes };
  }

  /** The other end's plan of a connection that opens, if that end is master and has been heard. */
  #planOfMaster(
    { kind, serial, session }: OpenRequest,
    grid: SizeGrid,
    prefix: number,
  ): ConnectionStart | undefined {
    if (this.#theirs === undefined) return undefined;
    const named = (kind: number): EngineFrame[] =>
      kind > 0 ? [{ type: ENGINE.kind, body: packNumbers([kind]) }] : [];
    if (this.#theirs !== "store") {
      const drawn = this.#theirs.draw(session, serial, kind, this.#minimum, grid);
      if (drawn.redrawn) this.stats.redrawn++;
      if (drawn.enlarged) this.stats.enlarged++;
      this.#check(drawn.plan.exchanges);
      return { kind, script: new Script(grid, drawn.plan), first: named(kind) };
    }
    const known = this.store.has(session, serial, kind) ? kind : 0;
    const decoder = this.store.claim(session, serial, known, this.#stride);
    if (decoder?.close === undefined) return undefined;
    const { close, exchanges } = decoder;
    this.#check(exchanges);
    const script = new Script(grid, { exchanges, close });
    // Our proof lies whole in the first record, whatever the master says.
    const room = script.messages[0]!.records[0]!;
    return room < Math.max(this.#minimum, prefix)
      ? undefined
      : { kind: known, script, first: named(known) };
  }

  /** Throws MasterRefusedError if our policy does not allow what the master asks for. */
  #check(exchanges: readonly ModelRequest[]): void {
    const use = { exchanges: 0, bytes: 0 };
    for (const exchange of exchanges) {
      const refused = this.refusal(exchange, use);
      if (refused !== undefined) throw new MasterRefusedError(refused);
    }
  }

  /** The set-up for a connection whose proof takes `prefix` bytes, and the first record's least payload. */
  #setup(prefix: number): { body: Uint8Array; minimum: number } {
    return fitSetup({
      form: this.#form,
      master: this.#master,
      schedule: this.#schedule,
      sessions: this.#wished,
      minimum: this.#minimum,
      digest: digestHead(this.#options.model.description.digest),
      seed: this.#setupSeed,
    }, prefix);
  }

  #closed(request: OpenRequest, report: PlayReport): void {
    if (!report.completed && !this.#stopped) {
      if (report.received === 0 || report.error !== undefined) {
        this.#dials.backOff(
          report.error ?? new Error("the connection broke before anything arrived"),
        );
      }
    }
    if (report.completed) this.#dials.ease();
    request.closed();
    // The last connection that could have brought an opening may be gone.
    if (this.#master === "server") this.#patience.lookAt(this.clock.now());
    this.#dials.pump();
  }

  /** Milliseconds that a connection may stand still. */
  protected override stallOf(): number {
    return this.#options.stall ?? 60_000;
  }

  // Control frames.

  /** Takes an engine frame of the acceptor's. */
  protected override onEngineFrame(connection: number, type: number, body: Uint8Array): void {
    switch (type) {
      case ENGINE.ready:
        return this.#onReady();
      case ENGINE.lead:
        return this.#onLead(decodeSetup(body));
      case ENGINE.kinds:
        return this.#onKinds(body);
      case ENGINE.ahead:
        return this.#onAhead(connection, body);
      case ENGINE.planned:
        return this.sender?.acknowledged(body);
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
        throw new EngineFrameError(`an acceptor sends no engine frame of type ${type}`);
    }
  }

  #onReady(): void {
    this.#dials.forgive();
    if (this.#ready) return;
    if (this.#master === "server" && this.#theirs === undefined) {
      throw new EngineFrameError("the other end was to be master");
    }
    this.#ready = true;
    // Others may open from now on; not within the call that takes bytes in.
    this.clock.at(this.clock.now(), () => {
      if (this.#stopped) return;
      this.#startSlots();
      this.#patience.lookAt(this.clock.now());
      this.#dials.pump();
    });
    if (!this.#wasReady) this.#options.onReady?.();
    this.#wasReady = true;
  }

  /** The other end is master from now on. */
  #onLead(setup: Setup): void {
    if (this.#master !== "server" || setup.schedule !== this.#schedule || setup.sessions < 1) {
      throw new EngineFrameError("a lead that was not asked for");
    }
    if (this.#ready) return;
    if (setup.sessions > this.#wished) {
      return this.#fail(new MasterRefusedError(`${setup.sessions} sessions at once`));
    }
    const { model, plans } = this.#options;
    if (setup.form === "embedded") this.#theirs = "store";
    else if (!setup.digest.every((byte, i) => byte === digestHead(model.description.digest)[i])) {
      return this.#onRefusal(ENGINE_ERROR.unknownModel, "");
    } else {
      this.#theirs = new Lead(model, setup.seed, {
        ...(plans === undefined ? {} : { plans }),
        adaptive: this.#schedule === "adaptive",
        ...(this.#options.stagger === undefined ? {} : { stagger: this.#options.stagger }),
      });
      this.#theirs.openings.stride = setup.sessions;
    }
    this.#stride = setup.sessions;
    this.#own.openings.stride = setup.sessions;
    this.#onReady();
  }

  #onKinds(body: Uint8Array): void {
    const { numbers: [count], rest } = unpackNumbers(body, 1);
    if (count! < 1 || count! > MOST_KINDS) throw new EngineFrameError(`${count} kinds`);
    const { numbers } = unpackNumbers(rest, 2 * count!);
    this.#theirMeans = Array.from(
      { length: count! },
      (_, kind) => ({ client: numbers[2 * kind]!, server: numbers[2 * kind + 1]! }),
    );
  }

  #onAhead(connection: number, body: Uint8Array): void {
    if (this.#theirs !== "store") return;
    const wanted = (session: number, serial: number) => {
      const { session: now, serial: next } = this.#slots[session % this.#stride]?.next ??
        { session, serial };
      return session > now || (session === now && serial >= next);
    };
    try {
      const planned = this.store.take(body, wanted);
      if (planned === undefined) return;
      const live = this.live.get(connection);
      if (live !== undefined) this.acknowledge(live, planned);
      this.#patience.lookAt(this.clock.now());
    } catch (error) {
      if (error instanceof PlanFormatError) throw new EngineFrameError(error.message);
      throw error;
    }
  }

  #onRefusal(code: number, reason: string): void {
    if (this.#stopped) return;
    const mayFallBack = this.#form === "derived" && this.#options.fallback !== false;
    if (code === ENGINE_ERROR.unknownModel && mayFallBack) {
      this.#form = "embedded";
      this.#ready = false;
      this.#embed();
      return;
    }
    const words = reason.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, 200);
    this.#fail(new SlaveRefusedError(code, words));
  }

  /** From now on plans are sent. */
  #embed(): void {
    if (this.#master === "client") this.sender = new PlanSender(this.#own, this.#minimum, false);
  }

  /** Our own connection is not refused. */
  protected override refuse(live: Live, _code: number, reason: string): void {
    live.player.abort("rst", new Error(reason));
  }

  /** The model cannot be played. */
  protected override onBadPlan(error: UserError): void {
    this.#fail(error);
  }

  /** Stops, with one error, but not within the call that brought it. */
  #fail(error: UserError): void {
    this.clock.at(this.clock.now(), () => {
      if (this.#stopped) return;
      this.stop();
      this.#options.onError?.(error);
    });
  }

  // Demand.

  get #wanted(): boolean {
    return this.tunnel.streams > 0 || this.#waiting;
  }

  get #waiting(): boolean {
    return this.tunnel.backlog > 0 || this.#peerBacklog > 0;
  }

  /** Lets all slots go on: the one that would do so first as if users had wanted something all along. */
  #onDemand(): void {
    if (this.#schedule === "strict" || this.#demandTimer !== undefined || this.#stopped) return;
    this.#demandTimer = this.clock.at(this.clock.now(), () => {
      this.#demandTimer = undefined;
      if (!this.#wanted) return;
      let first: Schedule | undefined;
      for (const slot of this.#slots) {
        const until = slot.pausedUntil ?? Infinity;
        if (first === undefined || until < (first.pausedUntil ?? Infinity)) first = slot;
      }
      for (const slot of this.#slots) slot.hurry(slot !== first);
    });
  }
}

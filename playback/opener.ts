import { UserError } from "../base/mod.ts";
import type { CoverModel, End, ModelRequest } from "../models/cover_model.ts";
import { substream } from "../models/random.ts";
import { Agreement } from "./agreement.ts";
import type { PlayReport } from "./connection_player.ts";
import { type ConnectionStart, KIND_FRAME } from "./connection_start.ts";
import type { SizeGrid } from "./cover_connection.ts";
import { Demand } from "./demand.ts";
import { type Dialled, type DialRequest, Dials } from "./dials.ts";
import { Engine, type EngineOptions, type Live } from "./engine.ts";
import {
  decodeSetup,
  digestHead,
  ENGINE,
  ENGINE_ERROR,
  EngineFrameError,
  type PlanForm,
  type Scheduling,
  type Setup,
  unpackNumbers,
} from "./engine_frames.ts";
import { BadPlanError } from "./first_message.ts";
import { FollowedOpenings } from "./followed_openings.ts";
import { goesOn } from "./goes_on.ts";
import { HeardMaster } from "./heard_master.ts";
import { chooseKind } from "./kinds.ts";
import { Lead } from "./lead.ts";
import type { Opening, OpeningSource } from "./openings.ts";
import { OwnStarts } from "./own_starts.ts";
import { Patience } from "./patience.ts";
import { PlanFormatError } from "./plan_codec.ts";
import { PlanSender } from "./plans_sent.ts";
import { MasterRefusedError, SlaveRefusedError } from "./refusals.ts";
import type { GoesOn, OpenRequest } from "./schedule.ts";
import { SharedEnds } from "./shared_ends.ts";
import { Slots } from "./slots.ts";

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
  readonly #schedule: Scheduling;
  readonly #setupSeed: Uint8Array;
  /** The least payload of a connection's first record. */
  readonly #minimum: number;
  /** Model sessions that this end wants played at once. */
  readonly #wished: number;
  readonly #agreement: Agreement;
  readonly #own: Lead;
  readonly #starts: OwnStarts;
  /** The other end's lead, if that is to be master. */
  readonly #heard: HeardMaster;
  readonly #slots: Slots;
  readonly #dials: Dials;
  readonly #patience: Patience;
  readonly #ends: SharedEnds;
  readonly #demand: Demand;
  #wasReady = false;
  /** Of the connections so far; TLS's before there was one. */
  #grid: SizeGrid = { overhead: 22, maxPayload: 16_384 };
  #stopped = false;

  /** Prepares an opener; {@linkcode Opener.start} begins. */
  constructor(options: OpenerOptions) {
    if (options.seed.length < 16) throw new RangeError("a seed has 16 bytes or more");
    super("client", options);
    const { clock, model, plans, seed, stagger, tunnel } = options;
    this.#options = options;
    this.#master = options.master ?? "client";
    this.#schedule = options.schedule ?? "strict";
    this.#setupSeed = substream(seed, "setup").subarray(0, 16);
    const adaptive = this.#schedule === "adaptive";
    const named = adaptive || this.#master === "server";
    this.#minimum = (options.minFirstPayload ?? 18) + (named ? KIND_FRAME : 0);
    this.#wished = Math.min(options.sessions ?? 1, this.policy.maxSessions);
    this.#agreement = new Agreement({
      form: options.form ?? "derived",
      master: this.#master,
      schedule: this.#schedule,
      sessions: this.#wished,
      minimum: this.#minimum,
      digest: digestHead(model.description.digest),
      seed: this.#setupSeed,
    });
    const alone = { adaptive, ...(stagger === undefined ? {} : { stagger }) };
    const leads = { ...alone, ...(plans === undefined ? {} : { plans }) };
    // Where the other end is master, what is drawn here is little: no worker is needed.
    this.#own = new Lead(model, this.#setupSeed, this.#master === "server" ? alone : leads);
    this.#starts = new OwnStarts(this.#own, this.#agreement, this.stats);
    this.#heard = new HeardMaster({
      ...leads,
      model,
      minimum: this.#minimum,
      store: this.store,
      stats: this.stats,
      refusal: (exchanges) => this.#refusalOf(exchanges),
    });
    this.#dials = new Dials({
      clock,
      stats: this.stats,
      seed,
      room: () => (this.#agreement.ready ? this.policy.maxOpen : 1) - this.open,
      dial: options.dial,
      command: (request) => this.#commandOf(request),
      begun: (request, answered) => this.#prepare(request, answered),
      opened: (request, dialled, time) => this.#opened(request, dialled, time),
      onFailure: options.onDialFailure,
    });
    this.#patience = new Patience(clock, options.patience ?? 5000, () => this.#slots.poke());
    this.#demand = new Demand(
      clock,
      tunnel,
      this.#schedule === "strict" ? undefined : () => this.#slots.hurry(),
    );
    this.#slots = this.#makeSlots();
    this.#ends = new SharedEnds(clock);
    if (this.form === "embedded") this.#sendPlans();
  }

  /** The plan form in use: it changes from derived to embedded if an end lacks the other's model. */
  get form(): PlanForm {
    return this.#agreement.form;
  }

  /** Who is master: until it has been agreed, this end. */
  get master(): End {
    return this.#heard.leads ? "server" : "client";
  }

  /** Begins to play. */
  start(): void {
    if (this.#master === "client") this.#setStride(this.#wished);
    this.#slots.start();
  }

  /** Ends at once: open connections are closed by FIN, nothing new is opened. */
  stop(how: "fin" | "rst" = "fin"): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#slots.stop();
    this.#demand.stop();
    this.#dials.stop();
    this.#patience.stop();
    this.closeAll(how);
  }

  // When connections open, and of what kind.

  #makeSlots(): Slots {
    const following = this.#master === "server";
    const due: OpeningSource = following
      ? new FollowedOpenings({
        heard: this.#heard,
        own: this.#own.openings,
        patience: this.#patience,
        slotOf: (session) => this.#slots.of(session),
        quiet: () => this.open + this.#dials.pending === 0,
      })
      : this.#own.openings;
    const known: OpeningSource = following ? this.#heard : this.#own.openings;
    return new Slots({
      clock: this.clock,
      openings: guarded(due, (error) => this.onBadPlan(error)),
      // What is wrong with a plan is said when it is due.
      known: guarded(known, () => {}),
      wanted: () => this.#schedule !== "strict" && this.#demand.wanted,
      hasty: () => this.#schedule === "adaptive" && this.#demand.wanted,
      mostOpen: this.#options.model.mostOpen ?? Infinity,
      goesOn: (session, serial, opening) => this.#goesOn(session, serial, opening),
      kind: () => this.#kind(),
      open: (request) => this.#dials.open(request),
    });
  }

  /** When somebody who goes on begins the next episode: the same whenever it is asked for. */
  #goesOn(session: number, serial: number, opening: Opening): GoesOn {
    const seed = substream(this.#setupSeed, "goes on", session, serial);
    return goesOn(this.#options.model, seed, this.#schedule === "adaptive", opening);
  }

  /** The kind of an episode that begins. */
  #kind(): number {
    if (this.#schedule !== "adaptive") return 0;
    return chooseKind(this.#heard.means ?? this.#own.kinds?.means ?? [], this.#demand.waiting);
  }

  /** How many sessions are played at once. */
  #setStride(sessions: number): void {
    this.#slots.stride = sessions;
    this.#own.openings.stride = sessions;
  }

  // A connection's life.

  /** Draws what a connection plays while the carrier shakes hands. */
  #prepare({ serial, session }: OpenRequest, answered: () => boolean): void {
    this.spare.add(() => {
      if (answered() || this.#heard.sends) return;
      const { firstPrefix = 0 } = this.#options;
      const { ready } = this.#agreement;
      const minimum = ready ? this.#minimum : this.#agreement.setup(firstPrefix).minimum;
      (this.#heard.lead ?? this.#own).prepare(session, serial, minimum, this.#grid, ready);
    });
  }

  /** What a connection is to open with, if both ends know already that its plan opens as a command does. */
  #commandOf(request: OpenRequest): number | undefined {
    const grid = this.#grid;
    if (!this.#agreement.ready || grid.opening?.command === undefined) return undefined;
    return this.#heard.leads
      ? this.#heard.command(request, grid)
      : this.#starts.command(this.sender, request, grid);
  }

  #opened(request: OpenRequest, dialled: Dialled, time: number): void {
    const { command = false, connection, ...proof } = dialled;
    if (this.#stopped) return connection.close("fin");
    this.#grid = connection.grid;
    const { end, planned, serial, session } = request;
    this.sender?.opened(session, serial);
    let start: ConnectionStart | undefined;
    try {
      start = command
        ? this.#startOfCommand(request, connection.grid)
        : this.#startOf(request, connection.grid, proof.prefix?.length ?? 0);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      connection.close("rst");
      return this.#fail(error);
    }
    if (start === undefined) {
      connection.close("rst");
      return request.closed();
    }
    const { by, how } = start.script.close ?? {};
    const shares = end !== undefined && by === "client" && how === "fin";
    this.play({
      ...proof,
      ...start,
      command,
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
  #startOf(request: OpenRequest, grid: SizeGrid, prefix: number): ConnectionStart {
    const said = this.#heard.start(request, grid, prefix, this.#slots.stride, false);
    if (said !== undefined) return said;
    if (this.#master === "server") this.stats.unled++;
    const { ready } = this.#agreement;
    const own = { ...request, kind: ready && !this.#heard.sends ? request.kind : 0 };
    const ahead = ready && this.sender !== undefined
      ? this.#starts.ahead(this.sender, own, grid)
      : undefined;
    return ahead ?? this.#starts.drawn(own, grid, prefix);
  }

  /** What a connection plays that opened as a command does; undefined if its plan was lost meanwhile. */
  #startOfCommand(request: OpenRequest, grid: SizeGrid): ConnectionStart | undefined {
    return this.#heard.leads
      ? this.#heard.start(request, grid, 0, this.#slots.stride, true)
      : this.#starts.asCommand(this.sender, request, grid);
  }

  /** Why our policy does not allow what the master asks for. */
  #refusalOf(exchanges: readonly ModelRequest[]): string | undefined {
    const use = { exchanges: 0, bytes: 0 };
    for (const exchange of exchanges) {
      const refused = this.refusal(exchange, use);
      if (refused !== undefined) return refused;
    }
    return undefined;
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

  // What the other end says.

  /** Takes an engine frame of the acceptor's. */
  protected override onEngineFrame(connection: number, type: number, body: Uint8Array): void {
    switch (type) {
      case ENGINE.ready:
        return this.#onReady();
      case ENGINE.lead:
        return this.#onLead(decodeSetup(body));
      case ENGINE.kinds:
        return this.#heard.takeKinds(body);
      case ENGINE.ahead:
        return this.#onAhead(connection, body);
      case ENGINE.planned:
        return this.sender?.acknowledged(body);
      case ENGINE.backlog:
        return this.#demand.heard(unpackNumbers(body, 1).numbers[0]!);
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
    if (this.#agreement.ready) return;
    if (this.#master === "server" && !this.#heard.leads) {
      throw new EngineFrameError("the other end was to be master");
    }
    this.#agreement.ready = true;
    // Others may open from now on; not within the call that takes bytes in.
    this.clock.at(this.clock.now(), () => {
      if (this.#stopped) return;
      this.#slots.start();
      this.#patience.lookAt(this.clock.now());
      this.#dials.pump();
    });
    if (!this.#wasReady) this.#options.onReady?.();
    this.#wasReady = true;
  }

  /** The other end is master from now on. */
  #onLead(setup: Setup): void {
    this.#agreement.checkLead(setup);
    if (this.#agreement.ready) return;
    if (setup.sessions > this.#wished) {
      return this.#fail(new MasterRefusedError(`${setup.sessions} sessions at once`));
    }
    if (!this.#heard.follow(setup)) return this.#onRefusal(ENGINE_ERROR.unknownModel, "");
    this.#setStride(setup.sessions);
    this.#onReady();
  }

  /** The master has sent a plan, or a piece of one. */
  #onAhead(connection: number, body: Uint8Array): void {
    if (!this.#heard.sends) return;
    try {
      const planned = this.store.take(
        body,
        (session, serial) => this.#slots.awaits(session, serial),
      );
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
    const mayFallBack = this.form === "derived" && this.#options.fallback !== false;
    if (code === ENGINE_ERROR.unknownModel && mayFallBack) {
      this.#agreement.embed();
      this.#sendPlans();
      return;
    }
    const words = reason.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, 200);
    this.#fail(new SlaveRefusedError(code, words));
  }

  /** From now on plans are sent, if this end is master. */
  #sendPlans(): void {
    if (this.#master === "client") this.sender = new PlanSender(this.#own, this.#minimum, false);
  }

  // What cannot go on.

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
}

/** The openings of `source`; one that a bad plan hides is not known, and `onBad` is told why. */
function guarded(source: OpeningSource, onBad: (error: BadPlanError) => void): OpeningSource {
  return {
    opening: (session, serial) => {
      try {
        return source.opening(session, serial);
      } catch (error) {
        if (!(error instanceof BadPlanError)) throw error;
        onBad(error);
        return undefined;
      }
    },
  };
}

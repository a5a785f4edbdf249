import type { UserError } from "../base/mod.ts";
import type { CoverModel } from "../models/cover_model.ts";
import { substream } from "../models/random.ts";
import type { CoverConnection, SizeGrid } from "./cover_connection.ts";
import { Engine, type EngineFrame, type EngineOptions, type Live } from "./engine.ts";
import {
  connectionNumber,
  decodeSetup,
  digestHead,
  encodeSetup,
  ENGINE,
  ENGINE_ERROR,
  EngineFrameError,
  frameOverhead,
  packNumbers,
  type Setup,
  unpackNumbers,
} from "./engine_frames.ts";
import { BadPlanError } from "./first_message.ts";
import { FRAME } from "./frame.ts";
import { Lead } from "./lead.ts";
import { PlanDecoder, PlanFormatError } from "./plan_codec.ts";
import { PlanSender } from "./plans_sent.ts";
import { Script } from "./script.ts";

/** What is known of a connection that an {@linkcode Acceptor} accepts. */
export interface Accepted {
  /** The connection's session, from its proof. */
  readonly session: number;
  /** The connection's serial number in its session, from its proof. */
  readonly serial: number;
  /** It opened as a command does, and proved itself by that: its bytes begin with no proof. */
  readonly command?: boolean;
  /** Payload bytes read so far, the client's proof included. */
  readonly head?: Uint8Array;
  /** How many bytes at the head of the client's stream are its proof; 0 if absent. */
  readonly peerPrefix?: number;
  /** Bytes that go first in our stream: our proof. */
  readonly prefix?: Uint8Array;
  /** Decrypts the client's side of the tunnel on this connection, if the client seals it. */
  readonly unseal?: (bytes: Uint8Array) => Uint8Array;
}

/** What an {@linkcode Acceptor} needs. */
export interface AcceptorOptions extends EngineOptions {
  /** Models held here: the other end may refer to them by digest; as master this end plays one of them. */
  readonly models: readonly CoverModel[];
  /** How this end is master if the other end wishes it; without it, that is refused. */
  readonly lead?: {
    /** 16 bytes that all plans are drawn from: secret and fresh in real use. */
    readonly seed: Uint8Array;
    /** Milliseconds within which the first sessions begin; 3000 if absent. */
    readonly stagger?: number;
  };
  /** Milliseconds of standing still where the opener's thinking times are not known; 600,000 if absent. */
  readonly stallUnknown?: number;
  /** Told when a cover connection has ended, with the number of those still open. */
  readonly onClosed?: (open: number) => void;
}

/** Connections of a session whose plans are ready before they come, and those of one that has not begun. */
const READY = 8;
const READY_OF_NEXT = 2;
/** Sessions of which it is remembered what was made ready. */
const MOST_SESSIONS = 64;

/** Frames that say themselves where a connection's plan comes from. */
const SAYING: readonly unknown[] = [ENGINE.setup, ENGINE.here, ENGINE.own, ENGINE.kind];

/** Payload of the record that carries an error, at least. */
const ERROR_RECORD = 256;

/**
 * The end that accepts cover connections, the tm-server's: plays its side of each connection that its owner accepts.
 * One acceptor serves one tunnel.
 *
 * The opener says who is master. As slave this end plays plans that it draws from a model it holds, or that the
 * opener sends. As master it draws them itself; the opener draws the same, or is sent them, with the times at which
 * to open.
 *
 * What the opener asks for is clamped by a policy; a plan beyond it, a model not held, or a wish to be led where
 * this end does not lead, is answered by one error frame and the end of the connection.
 *
 * Unless the schedule is `strict` it tells the opener when user data waits here: a small control frame at the head
 * of a record with room for it, whenever that has changed.
 */
export class Acceptor extends Engine {
  readonly #options: AcceptorOptions;
  #setup: Setup | undefined;
  /** What the opener draws, where it can be drawn here, too. */
  #theirs: Lead | undefined;
  /** What is drawn here, where this end is master. */
  #own: Lead | undefined;
  /** By session: the first serial number whose plan has not been made ready. */
  readonly #prepared = new Map<number, number>();
  /** Connections that a set-up came on. */
  readonly #setUp = new WeakSet<Live>();
  /** What answers a set-up. */
  #answer: readonly EngineFrame[] = [];

  /** Prepares an acceptor: it waits for connections. */
  constructor(options: AcceptorOptions) {
    super("server", options);
    this.#options = options;
  }

  /** Model sessions that are played at once; undefined until the set-up has come. */
  get sessions(): number | undefined {
    return this.#own?.openings.stride ?? this.#setup?.sessions;
  }

  /** Ends all connections at once; nothing new may be accepted. */
  stop(how: "fin" | "rst" = "fin"): void {
    this.closeAll(how);
  }

  /** Plays this end of a connection that the owner has accepted and whose proof it has verified. */
  accept(connection: CoverConnection, accepted: Accepted): void {
    const { session, serial, ...proof } = accepted;
    const { command = false } = accepted;
    if (this.live.has(connectionNumber(session, serial))) return connection.close("rst");
    const now = this.clock.now();
    this.play({
      ...proof,
      connection,
      session,
      serial,
      opened: { time: now, planned: now },
      script: new Script(connection.grid),
      onHead: (live, head) => this.#onHead(live, head),
      // It is of the master's own mixture, and what a command puts out may be due before the client speaks.
      ...(command ? { onStart: (live: Live) => this.#agreed(live, 0) } : {}),
      closed: () => this.#options.onClosed?.(this.open),
    });
  }

  /** Milliseconds that a connection may stand still. */
  protected override stallOf(live: Live): number {
    return live.timed ? this.#options.stall ?? 60_000 : this.#options.stallUnknown ?? 600_000;
  }

  /** The first frame tells where the connection's plan comes from. */
  #onHead(live: Live, head: Uint8Array): void {
    // Some may be dead and the opener may know it: it is not told to give up, only this one ends.
    if (this.open > this.policy.maxOpen) {
      const reason = `more than ${this.policy.maxOpen} connections`;
      return live.player.abort("rst", new Error(reason));
    }
    const type = head[0] === FRAME.engine ? head[1] : undefined;
    if (live.command) return;
    if (!SAYING.includes(type)) this.#agreed(live, 0);
  }

  /** A connection of the master's: by a lead that both ends draw, or a plan that was sent ahead. */
  #agreed(live: Live, kind: number): void {
    if (this.#setup === undefined) {
      return this.refuse(live, ENGINE_ERROR.format, "a connection without a set-up");
    }
    const { minimum } = this.#setup;
    // What was sent ahead, or, should the opener have it from a message before, the same drawn again.
    const ahead = this.sender?.take(live.session, live.serial, kind);
    this.sender?.opened(live.session, live.serial);
    const opensSo = (ahead?.command !== undefined) === live.command;
    if (ahead?.plan !== undefined && opensSo) return this.follow(live, ahead.plan);
    const lead = this.#own ?? this.#theirs;
    if (lead !== undefined) return this.#draw(live, lead, kind, minimum, live.script.grid, true);
    const decoder = this.store.claim(live.session, live.serial, kind, this.#setup.sessions);
    if (decoder === undefined) {
      return this.refuse(live, ENGINE_ERROR.format, "a connection without a plan");
    }
    live.timed = false;
    this.learn(live, decoder);
  }

  /** Draws a connection's plan. With `commands` it may be a command's; an opener that could not begin one begins none. */
  #draw(
    live: Live,
    lead: Lead,
    kind: number,
    minimum: number,
    grid: SizeGrid,
    commands = false,
  ): void {
    const { command, serial, session } = live;
    try {
      let drawn = lead.draw(session, serial, kind, minimum, grid, commands);
      if (drawn.command !== undefined && !command) {
        drawn = lead.draw(session, serial, kind, minimum, grid);
      }
      if (command && drawn.command === undefined) {
        return this.refuse(live, ENGINE_ERROR.format, "a command in place of another connection");
      }
      this.follow(live, drawn.plan);
      this.#prepare(live, grid);
    } catch (error) {
      if (!(error instanceof BadPlanError)) throw error;
      this.refuse(live, ENGINE_ERROR.format, error.reason);
    }
  }

  /** Has the plans drawn, in spare time, of the connections that may come next. */
  #prepare({ serial, session }: Live, grid: SizeGrid): void {
    const lead = this.#own ?? this.#theirs;
    const minimum = this.#setup?.minimum;
    if (lead === undefined || minimum === undefined) return;
    const until = (session: number, end: number) => {
      const begin = this.#prepared.get(session) ?? 0;
      for (let next = begin; next < end; next++) {
        this.spare.add(() => lead.prepare(session, next, minimum, grid, true));
      }
      if (end <= begin) return;
      this.#prepared.delete(session);
      this.#prepared.set(session, end);
    };
    const begun = this.#prepared.get(session) ?? 0;
    if (begun <= serial) this.#prepared.set(session, serial + 1);
    until(session, serial + 1 + READY);
    const { stride } = lead.openings;
    for (let other = 0; other < stride && begun === 0; other++) until(other, READY_OF_NEXT);
    if (begun <= READY_OF_NEXT) until(session + stride, READY_OF_NEXT);
    for (const oldest of this.#prepared.keys()) {
      if (this.#prepared.size <= MOST_SESSIONS) break;
      this.#prepared.delete(oldest);
    }
  }

  /** Answers with an error instead of the plan. */
  protected override refuse(live: Live, code: number, text: string): void {
    const body = packNumbers([code], new TextEncoder().encode(text));
    this.tunnel.sendControl(ENGINE.error, body, live.number);
    live.player.refuse(Math.max(ERROR_RECORD, body.length + frameOverhead(body.length)));
  }

  /** Our own model cannot be played: the opener is told on every connection. */
  protected override onBadPlan(error: UserError): void {
    for (const live of [...this.live.values()]) {
      this.refuse(live, ENGINE_ERROR.format, error.message);
    }
  }

  /** Takes an engine frame of the opener's. */
  protected override onEngineFrame(connection: number, type: number, body: Uint8Array): void {
    const live = this.live.get(connection);
    if (live === undefined) return;
    if (live.command && SAYING.includes(type)) {
      throw new EngineFrameError("a command's plan is known before");
    }
    switch (type) {
      case ENGINE.setup:
        return this.#onSetup(live, decodeSetup(body));
      case ENGINE.here:
        return this.#decode(live, () => {
          if (live.here === undefined) {
            live.here = new PlanDecoder();
            live.timed = false;
            this.sender?.take(live.session, live.serial, 0);
            this.sender?.opened(live.session, live.serial);
          }
          live.here.push(body);
          this.learn(live, live.here);
        });
      case ENGINE.ahead:
        return this.#decode(live, () => {
          const wanted = (session: number, serial: number) =>
            !this.live.has(connectionNumber(session, serial));
          const planned = this.store.take(body, wanted);
          if (planned !== undefined) this.acknowledge(live, planned);
        });
      case ENGINE.planned:
        return this.sender?.acknowledged(body);
      case ENGINE.kind:
        return this.#agreed(live, unpackNumbers(body, 1).numbers[0]!);
      case ENGINE.own:
        return this.#onOwn(live, unpackNumbers(body, 1).numbers[0]!);
      default:
        throw new EngineFrameError(`an opener sends no engine frame of type ${type}`);
    }
  }

  #decode(live: Live, run: () => void): void {
    try {
      run();
    } catch (error) {
      if (!(error instanceof PlanFormatError)) throw error;
      this.refuse(live, ENGINE_ERROR.format, error.message);
    }
  }

  /** The opener has drawn this connection, though it is not master. */
  #onOwn(live: Live, kind: number): void {
    if (this.#setup === undefined || this.#theirs === undefined) {
      return this.refuse(live, ENGINE_ERROR.format, "a connection without a set-up");
    }
    this.sender?.take(live.session, live.serial, 0);
    this.sender?.opened(live.session, live.serial);
    this.#draw(live, this.#theirs, kind, this.#setup.minimum, live.script.grid);
  }

  #onSetup(live: Live, setup: Setup): void {
    const { models, plans } = this.#options;
    if (this.#setUp.has(live)) throw new EngineFrameError("a second set-up on a connection");
    this.#setUp.add(live);
    if (setup.sessions > this.policy.maxSessions) {
      const reason = `more than ${this.policy.maxSessions} sessions`;
      return this.refuse(live, ENGINE_ERROR.policy, reason);
    }
    const again = this.#setup !== undefined && sameSetup(this.#setup, setup);
    if (!again) {
      this.#theirs = undefined;
      this.store.clear();
      if (setup.form === "derived") {
        const model = models.find(({ description }) =>
          digestHead(description.digest).every((byte, i) => byte === setup.digest[i])
        );
        if (model === undefined) {
          return this.refuse(live, ENGINE_ERROR.unknownModel, "no model of that digest");
        }
        this.#theirs = new Lead(model, setup.seed, {
          ...(plans === undefined ? {} : { plans }),
          adaptive: setup.schedule === "adaptive",
        });
        this.#theirs.openings.stride = Math.max(1, setup.sessions);
      }
      if (setup.master === "server" && !this.#takeLead(setup, this.#theirs?.model)) {
        return this.refuse(live, ENGINE_ERROR.master, "this end will not be master");
      }
      this.#setup = setup;
      this.tellBacklog = setup.schedule !== "strict";
      if (setup.master === "client") {
        this.#answer = [{ type: ENGINE.ready, body: new Uint8Array(0) }];
      }
    }
    live.first.push(...this.#answer);
    this.sender?.opened(live.session, live.serial);
    if (this.#theirs === undefined) live.timed = false;
    else this.#draw(live, this.#theirs, 0, setup.minimumHere, live.script.grid);
  }

  /** Becomes master as the opener wishes, with its model if that is held here; false if that may not be. */
  #takeLead(setup: Setup, known: CoverModel | undefined): boolean {
    const { lead, models, plans } = this.#options;
    const model = known ?? models[0];
    if (lead === undefined || model === undefined) return false;
    const { form, minimum, schedule } = setup;
    // As the opener is told it: both ends draw from the same.
    const seed = substream(lead.seed, "setup").subarray(0, 16);
    const own = new Lead(model, seed, {
      ...(plans === undefined ? {} : { plans }),
      adaptive: schedule === "adaptive",
      ...(lead.stagger === undefined ? {} : { stagger: lead.stagger }),
    });
    const sessions = Math.max(1, setup.sessions);
    own.openings.stride = sessions;
    this.#own = own;
    this.sender = form === "embedded" ? new PlanSender(own, minimum, true) : undefined;
    const body = encodeSetup({
      form,
      master: "server",
      schedule,
      sessions,
      minimum,
      minimumHere: minimum,
      digest: digestHead(model.description.digest),
      seed,
    });
    const means = own.kinds?.means.flatMap(({ client, server }) => [client, server]) ?? [];
    const kinds = packNumbers([means.length / 2, ...means.map(Math.round)]);
    this.#answer = [
      { type: ENGINE.lead, body },
      ...(means.length > 0 ? [{ type: ENGINE.kinds, body: kinds }] : []),
    ];
    return true;
  }
}

/** Whether two set-ups say the same but for the connection that they travel on. */
function sameSetup(a: Setup, b: Setup): boolean {
  const [x, y] = [a, b].map((setup) => encodeSetup({ ...setup, minimumHere: 0 }));
  return x!.length === y!.length && x!.every((byte, i) => byte === y![i]);
}

import type { UserError } from "../base/mod.ts";
import type { ConnectionPlan, End, ModelRequest } from "../models/cover_model.ts";
import type { Clock } from "./clock.ts";
import { ConnectionPlayer, type PlayReport } from "./connection_player.ts";
import type { CoverConnection } from "./cover_connection.ts";
import {
  connectionNumber,
  ENGINE,
  ENGINE_ERROR,
  EngineFrameError,
  frameOverhead,
  largestBody,
  OWNER_FRAMES,
  packNumbers,
} from "./engine_frames.ts";
import { BadPlanError } from "./first_message.ts";
import type { PlanFactory } from "./lead.ts";
import type { PlanDecoder } from "./plan_codec.ts";
import { type PlanSender, PlanStore } from "./plans_sent.ts";
import { DEFAULT_POLICY, type Policy, PolicyMeter, type PolicyUse } from "./policy.ts";
import type { TunnelPort } from "./reliable_tunnel.ts";
import type { Script } from "./script.ts";
import type { Farewell } from "./shared_ends.ts";
import { SpareTime } from "./spare_time.ts";
import { EngineStats } from "./stats.ts";
import { varintLength } from "./varint.ts";
import type { WireEvent } from "./wire_log.ts";

/** Bytes of memory that the scripts of one tunnel's open connections may take: thousands of messages each. */
const MAX_SCRIPTS = 32 * 2 ** 20;

/** Frames that wait for room on one connection. */
const MOST_WAITING = 1024;

const SECOND_PLAN = "a second plan for a connection";

/** What either end of a tunnel needs. */
export interface EngineOptions {
  /** The time. */
  readonly clock: Clock;
  /** The tunnel whose bytes ride in the cover. The engine sets its `onControl` and `onDemand`. */
  readonly tunnel: TunnelPort;
  /**
   * Where plans of a model are drawn, from a 32-byte key: the same plans as `LocalPlans` of the model, which is
   * the default, but perhaps ahead of time in a worker.
   */
  readonly plans?: PlanFactory;
  /** What this end will play at most, whoever asks for it. */
  readonly policy?: Policy;
  /** Milliseconds without progress after which a connection is given up; 60,000 if absent. */
  readonly stall?: number;
  /** Where it counts, perhaps together with others; its own if absent. */
  readonly stats?: EngineStats;
  /** Told of everything done on the wire. */
  readonly onWire?: (event: WireEvent) => void;
  /** Told of connections that ended uncleanly because the peer broke a rule or failed its proof. */
  readonly onFault?: (fault: { session: number; serial: number; report: PlayReport }) => void;
  /** Told of control frames of the owner's (type {@linkcode OWNER_FRAMES} and above). */
  readonly onControl?: (connection: number, type: number, body: Uint8Array) => void;
}

/** What {@linkcode Engine.play} is told of a connection. */
export interface Played {
  /** The open connection. */
  readonly connection: CoverConnection;
  /** Its session. */
  readonly session: number;
  /** Its serial number in the session. */
  readonly serial: number;
  /** When it was opened, and when that was planned. */
  readonly opened: { readonly time: number; readonly planned: number };
  /** Its kind; 0, the model's own mixture, if absent. */
  readonly kind?: number;
  /** What is played, as far as it is known. */
  readonly script: Script;
  /** It opened as a command does, and proved itself by that. */
  readonly command?: boolean;
  /** Payload bytes read so far. */
  readonly head?: Uint8Array;
  /** Bytes that go first in our stream: our proof. */
  readonly prefix?: Uint8Array | undefined;
  /** How many bytes at the head of the peer's stream are its proof; 0 if absent. */
  readonly peerPrefix?: number | undefined;
  /** Judges the peer's proof; false ends the connection. */
  readonly onPeerPrefix?: ((proof: Uint8Array) => boolean) | undefined;
  /** Encrypts our side. */
  readonly seal?: ((bytes: Uint8Array) => Uint8Array) | undefined;
  /** Decrypts the peer's. */
  readonly unseal?: ((bytes: Uint8Array) => Uint8Array) | undefined;
  /** Frames that go first, whatever the room. */
  readonly first?: readonly EngineFrame[];
  /** The connection's own plan, for the peer. */
  readonly inline?: Uint8Array | undefined;
  /** Told of the first two bytes of the peer's tunnel. */
  readonly onHead?: (live: Live, head: Uint8Array) => void;
  /** Called when it begins, before anything is due. */
  readonly onStart?: (live: Live) => void;
  /** Says when our end closes, if the plan leaves it to our end, in place of the plan. */
  readonly farewell?: Farewell;
  /** Called when our end has begun to close, and waits for the other to. */
  readonly closing?: () => void;
  /** Called when it has ended. */
  readonly closed: (report: PlayReport) => void;
}

/** A control frame that waits for room. */
export interface EngineFrame {
  /** One of `ENGINE`. */
  readonly type: number;
  /** Its body. */
  readonly body: Uint8Array;
}

/** A connection that is being played. */
export interface Live {
  /** Its number in the tunnel. */
  readonly number: number;
  /** Its session. */
  readonly session: number;
  /** Its serial number in the session. */
  readonly serial: number;
  /** It opened as a command does. */
  readonly command: boolean;
  /** What is played. */
  readonly script: Script;
  /** Who plays it. */
  readonly player: ConnectionPlayer;
  /** What of the policy it has used. */
  readonly use: PolicyUse;
  /** Frames that go first, whatever the room. */
  first: EngineFrame[];
  /** What is left of its own plan, for the peer. */
  inline: Uint8Array | undefined;
  /** Frames that go when there is room for them. */
  waiting: EngineFrame[];
  /** Decodes the plan that comes on the connection itself. */
  here: PlanDecoder | undefined;
  /** Exchanges of a decoder that are in the script. */
  given: number;
  /** Where the script comes from, if the peer's word decides: a connection has one plan. */
  source: ConnectionPlan | PlanDecoder | undefined;
  /** Whether the times of all that the peer sends are known. */
  timed: boolean;
}

/**
 * What both ends of a tunnel have in common, whoever is master: connections in play, the engine's frames ahead of
 * the tunnel's, the policy. `Opener` and `Acceptor` add who opens connections. Which end draws a
 * connection's plan is that connection's own matter: a master draws, an opener also where the master's plan is
 * not there, and the other end follows.
 *
 * Nothing on the wire depends on what the tunnel holds, except, unless the schedule is `strict`, when an episode
 * starts, and in `adaptive` of what kind it is.
 */
export abstract class Engine {
  /** What has been played. */
  readonly stats: EngineStats;
  /** The time. */
  protected readonly clock: Clock;
  /** The tunnel. */
  protected readonly tunnel: TunnelPort;
  /** What this end will play at most. */
  protected readonly policy: Policy;
  /** Connections in play by number. */
  protected readonly live: Map<number, Live> = new Map<number, Live>();
  /** Plans that the peer has sent. */
  protected readonly store: PlanStore = new PlanStore();
  /** Sends plans, where this end is master and they are embedded. */
  protected sender: PlanSender | undefined;
  /** For what would otherwise hold up an answer. */
  protected readonly spare: SpareTime;
  /** Whether the peer wants to hear of what waits here. */
  protected tellBacklog = false;
  readonly #end: End;
  readonly #options: EngineOptions;
  readonly #meter: PolicyMeter;
  #backlogTold = 0;
  /** Bytes of memory that scripts of connections in play take. */
  #memory = 0;

  /** An end of a tunnel. */
  protected constructor(end: End, options: EngineOptions) {
    this.#end = end;
    this.#options = options;
    this.stats = options.stats ?? new EngineStats();
    this.clock = options.clock;
    this.tunnel = options.tunnel;
    this.policy = options.policy ?? DEFAULT_POLICY;
    this.spare = new SpareTime(options.clock);
    this.#meter = new PolicyMeter(this.policy, options.clock.now());
    options.tunnel.onControl = (connection, type, body) => {
      if (type >= OWNER_FRAMES) options.onControl?.(connection, type, body);
      else this.onEngineFrame(connection, type, body);
    };
  }

  /** Cover connections that are open. */
  get open(): number {
    return this.live.size;
  }

  /** Bytes of memory that what is played takes, about. */
  get memory(): number {
    return this.#memory;
  }

  /** Milliseconds that a connection may stand still. */
  protected abstract stallOf(live: Live): number;

  /** Takes an engine frame of the peer's. Throws EngineFrameError. */
  protected abstract onEngineFrame(connection: number, type: number, body: Uint8Array): void;

  /** A connection's plan is not acceptable; `code` is one of `ENGINE_ERROR`. */
  protected abstract refuse(live: Live, code: number, reason: string): void;

  /** The model that plans are sent of draws none that can be played. */
  protected abstract onBadPlan(error: UserError): void;

  /** Closes all connections. */
  protected closeAll(how: "fin" | "rst"): void {
    this.spare.stop();
    for (const { player } of [...this.live.values()]) player.abort(how);
  }

  /** Plays this end of an open connection. */
  protected play(played: Played): Live {
    const {
      closed,
      connection,
      farewell,
      inline,
      kind = 0,
      onHead,
      onPeerPrefix,
      onStart,
      opened,
      script,
    } = played;
    const { peerPrefix, prefix, seal, serial, session, unseal } = played;
    const { onFault, onWire } = this.#options;
    const number = connectionNumber(session, serial);
    this.stats.opened++;
    onWire?.({
      ...opened,
      session,
      serial,
      connection: connection.id,
      what: "open",
      size: 0,
      control: 0,
      data: 0,
      padding: 0,
      ...(kind === 0 ? {} : { kind }),
    });
    const live: Live = {
      number,
      session,
      serial,
      command: played.command ?? false,
      script,
      use: { exchanges: 0, bytes: 0 },
      first: [...played.first ?? []],
      inline,
      waiting: [],
      here: undefined,
      given: 0,
      source: undefined,
      timed: true,
      player: new ConnectionPlayer({
        clock: this.clock,
        connection,
        end: this.#end,
        session,
        serial,
        number,
        script,
        tunnel: this.tunnel,
        ...(prefix === undefined ? {} : { prefix }),
        ...(peerPrefix === undefined ? {} : { peerPrefix }),
        ...(onPeerPrefix === undefined ? {} : { onPeerPrefix }),
        ...(seal === undefined ? {} : { seal }),
        ...(unseal === undefined ? {} : { unseal }),
        ...(onHead === undefined ? {} : { onHead: (head: Uint8Array) => onHead(live, head) }),
        ...(onStart === undefined ? {} : { onStart: () => onStart(live) }),
        dataAllowed: onPeerPrefix === undefined || seal !== undefined,
        stall: () => this.stallOf(live),
        stats: this.stats,
        ...(farewell === undefined ? {} : { farewell }),
        beforeRecord: (room) => this.#beforeRecord(live, room),
        ...(onWire === undefined ? {} : { onWire }),
        ...(played.closing === undefined ? {} : { onClosing: played.closing }),
        onDone: (report) => {
          this.live.delete(number);
          this.#memory -= script.memory;
          if (!report.completed) this.sender?.lost();
          if (report.error !== undefined) onFault?.({ session, serial, report });
          closed(report);
        },
      }),
    };
    this.live.set(number, live);
    this.#memory += script.memory;
    live.player.start(played.head);
    return live;
  }

  /** Puts engine frames ahead of what the tunnel puts into the next `room` bytes of a connection. */
  #beforeRecord(live: Live, room: number): void {
    // The tunnel may owe a byte after a message of a single one.
    let left = room - 1;
    const send = (type: number, body: Uint8Array) => {
      this.tunnel.sendControl(type, body, live.number);
      left -= body.length + frameOverhead(body.length);
    };
    for (const { type, body } of live.first.splice(0)) send(type, body);
    if (live.inline !== undefined) {
      // A connection's own plan takes all the room until it is through: the peer may wait for it.
      const body = Math.min(live.inline.length, largestBody(left + 1));
      if (body <= 0) return;
      send(ENGINE.here, live.inline.subarray(0, body));
      live.inline = body < live.inline.length ? live.inline.subarray(body) : undefined;
    }
    while (live.waiting.length > 0) {
      const { type, body } = live.waiting[0]!;
      if (left < body.length + frameOverhead(body.length)) return;
      live.waiting.shift();
      send(type, body);
    }
    if (this.tellBacklog) {
      const { backlog } = this.tunnel;
      const length = varintLength(backlog);
      if (classOf(backlog) !== this.#backlogTold && left >= length + frameOverhead(length)) {
        send(ENGINE.backlog, packNumbers([backlog]));
        this.#backlogTold = classOf(backlog);
      }
    }
    try {
      this.sender?.fill(live.session, live.script.grid, left + 1, send);
    } catch (error) {
      if (!(error instanceof BadPlanError)) throw error;
      this.sender = undefined;
      this.onBadPlan(error);
    }
  }

  /** Why the policy refuses an exchange, or undefined; an accepted one is counted. */
  protected refusal(exchange: ModelRequest, use: PolicyUse): string | undefined {
    return this.#meter.refuse(exchange, use, this.clock.now());
  }

  #allowed(live: Live, exchange: ModelRequest): boolean {
    const refused = this.refusal(exchange, live.use);
    if (refused !== undefined) this.refuse(live, ENGINE_ERROR.policy, refused);
    return refused === undefined;
  }

  /**
   * Tells the peer that a plan has come whole, when there is room. Where many wait already it is not told: should a
   * connection break, it sends the plan again, and no harm is done.
   */
  protected acknowledge({ waiting }: Live, planned: Uint8Array): void {
    if (waiting.length < MOST_WAITING) waiting.push({ type: ENGINE.planned, body: planned });
  }

  /** Adds an exchange to a connection's script, or refuses it. */
  #add(live: Live, exchange: ModelRequest): boolean {
    if (!this.#allowed(live, exchange)) return false;
    const { script } = live;
    const before = script.memory;
    script.add(exchange);
    this.#memory += script.memory - before;
    if (this.#memory <= MAX_SCRIPTS) return true;
    this.refuse(live, ENGINE_ERROR.policy, `plans of more than ${MAX_SCRIPTS} bytes of memory`);
    return false;
  }

  /** Adds to a connection's script what a decoder has got. Throws EngineFrameError if it has another plan. */
  protected learn(live: Live, decoder: PlanDecoder): void {
    live.source ??= decoder;
    if (live.source !== decoder) throw new EngineFrameError(SECOND_PLAN);
    while (live.given < decoder.exchanges.length) {
      if (!this.#add(live, decoder.exchanges[live.given++]!)) return;
    }
    live.script.close = decoder.close;
  }

  /** Adds a whole plan to a connection's script. Throws EngineFrameError if it has one. */
  protected follow(live: Live, plan: ConnectionPlan): void {
    if (live.source !== undefined) throw new EngineFrameError(SECOND_PLAN);
    live.source = plan;
    for (const exchange of plan.exchanges) if (!this.#add(live, exchange)) return;
    live.script.free = plan.free ?? false;
    live.script.close = plan.close;
  }
}

/** A backlog within a factor of four: what is told again when it changes. */
function classOf(backlog: number): number {
  return backlog === 0 ? 0 : 1 + Math.floor(Math.log2(backlog) / 2);
}

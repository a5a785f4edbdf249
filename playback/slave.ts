import type { ConnectionPlan, CoverModel, End } from "../models/cover_model.ts";
import { LocalPlans, type PlanSource } from "../models/plans.ts";
import type { Clock } from "./clock.ts";
import { ConnectionPlayer, type PlayReport } from "./connection_player.ts";
import type { CoverConnection } from "./cover_connection.ts";
import {
  connectionNumber,
  decodeSetup,
  ENGINE,
  ENGINE_ERROR,
  EngineFrameError,
  frameOverhead,
  OWNER_FRAMES,
  packNumbers,
  type Setup,
  unpackNumbers,
} from "./engine_frames.ts";
import { BadPlanError, drawPlan } from "./first_message.ts";
import { FRAME } from "./frame.ts";
import { planKey } from "./master.ts";
import { PlanDecoder, PlanFormatError } from "./plan_codec.ts";
import { DEFAULT_POLICY, type Policy, PolicyMeter, type PolicyUse } from "./policy.ts";
import type { TunnelPort } from "./reliable_tunnel.ts";
import { Script } from "./script.ts";
import { EngineStats } from "./stats.ts";
import { varintLength } from "./varint.ts";
import type { WireEvent } from "./wire_log.ts";

/** What is known of a connection that a {@linkcode Slave} accepts. */
export interface Accepted {
  /** The connection's session, from its proof. */
  readonly session: number;
  /** The connection's serial number in its session, from its proof. */
  readonly serial: number;
  /** Payload bytes read so far, the client's proof included. */
  readonly head?: Uint8Array;
  /** How many bytes at the head of the client's stream are its proof; 0 if absent. */
  readonly peerPrefix?: number;
  /** Bytes that go first in our stream: our proof. */
  readonly prefix?: Uint8Array;
  /** Decrypts the client's side of the tunnel on this connection, if the client seals it. */
  readonly unseal?: (bytes: Uint8Array) => Uint8Array;
}

/** What a {@linkcode Slave} needs. */
export interface SlaveOptions {
  /** The time. */
  readonly clock: Clock;
  /** The tunnel whose bytes ride in the cover. The slave sets its `onControl`. */
  readonly tunnel: TunnelPort;
  /** Models held here: a master may refer to them by digest. */
  readonly models: readonly CoverModel[];
  /** Where plans of a model are drawn, from a 32-byte key; `LocalPlans` if absent. */
  readonly plans?: (model: CoverModel, key: Uint8Array) => PlanSource;
  /** Which end this is; `server` if absent. */
  readonly end?: End;
  /** What this end will play at most. */
  readonly policy?: Policy;
  /** Milliseconds without progress after which a connection is given up; 60,000 if absent. */
  readonly stall?: number;
  /** The same where the master's thinking times are not known (embedded plans); 600,000 if absent. */
  readonly stallUnknown?: number;
  /** Told of everything done on the wire. */
  readonly onWire?: (event: WireEvent) => void;
  /** Told of connections that ended uncleanly because the peer broke a rule. */
  readonly onFault?: (fault: { session: number; serial: number; report: PlayReport }) => void;
  /** Told when a cover connection has ended, with the number of those still open. */
  readonly onClosed?: (open: number) => void;
  /** Told of control frames of the owner's (type `OWNER_FRAMES` and above). */
  readonly onControl?: (connection: number, type: number, body: Uint8Array) => void;
}

/** Plans that are kept for connections to come, and their bytes. */
const MAX_PLANS = 256;
const MAX_PLAN_BYTES = 1048576;

/** Payload of the record that carries an error, at least. */
const ERROR_RECORD = 256;

interface Live {
  readonly number: number;
  readonly session: number;
  readonly serial: number;
  readonly script: Script;
  readonly player: ConnectionPlayer;
  readonly use: PolicyUse;
  /** Decodes the plan that comes on the connection itself. */
  here: PlanDecoder | undefined;
  given: number;
  ready: boolean;
  planned: Uint8Array[];
}

/**
 * Follows a master: plays this end of every cover connection that its owner accepts, by plans that it draws
 * itself from a model it holds, or that the master sends. One slave serves one tunnel.
 *
 * What the master asks for is clamped by a policy; a plan beyond it, or a model not held, is answered by one
 * error frame and the end of the connection.
 *
 * In `demand` scheduling it tells the master when user data waits here: a small control frame at the head of a
 * record with room for it, whenever that has changed.
 */
export class Slave {
  /** What has been played. */
  readonly stats: EngineStats = new EngineStats();
  readonly #options: SlaveOptions;
  readonly #clock: Clock;
  readonly #tunnel: TunnelPort;
  readonly #policy: Policy;
  readonly #meter: PolicyMeter;
  readonly #live = new Map<number, Live>();
  /** Plans sent ahead, oldest first. */
  readonly #stored = new Map<number, PlanDecoder>();
  #setup: Setup | undefined;
  #plans: PlanSource | undefined;
  #backlogTold = 0;

  /** Prepares a slave: it waits for connections. */
  constructor(options: SlaveOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#tunnel = options.tunnel;
    this.#policy = options.policy ?? DEFAULT_POLICY;
    this.#meter = new PolicyMeter(this.#policy, options.clock.now());
    options.tunnel.onControl = (connection, type, body) => this.#onControl(connection, type, body);
  }

  /** Cover connections that are open. */
  get open(): number {
    return this.#live.size;
  }

  /** Model sessions that the master plays at once; undefined until its set-up has come. */
  get sessions(): number | undefined {
    return this.#setup?.sessions;
  }

  /** Ends all connections at once; nothing new may be accepted. */
  stop(how: "fin" | "rst" = "fin"): void {
    for (const { player } of [...this.#live.values()]) player.abort(how);
  }

  /** Plays this end of a connection that the owner has accepted and whose proof it has verified. */
  accept(connection: CoverConnection, accepted: Accepted): void {
    const { session, serial, head, peerPrefix, prefix, unseal } = accepted;
    const number = connectionNumber(session, serial);
    if (this.#live.has(number)) return connection.close("rst");
    this.stats.opened++;
    const now = this.#clock.now();
    this.#options.onWire?.({
      time: now,
      planned: now,
      session,
      serial,
      connection: connection.id,
      what: "open",
      size: 0,
      control: 0,
      data: 0,
      padding: 0,
    });
    const script = new Script(connection.grid);
    const live: Live = {
      number,
      session,
      serial,
      script,
      use: { exchanges: 0, bytes: 0 },
      here: undefined,
      given: 0,
      ready: false,
      planned: [],
      player: new ConnectionPlayer({
        clock: this.#clock,
        connection,
        end: this.#options.end ?? "server",
        session,
        serial,
        number,
        script,
        tunnel: this.#tunnel,
        ...(prefix === undefined ? {} : { prefix }),
        ...(peerPrefix === undefined ? {} : { peerPrefix }),
        ...(unseal === undefined ? {} : { unseal }),
        dataAllowed: true,
        stall: () =>
          this.#setup?.form === "derived"
            ? this.#options.stall ?? 60_000
            : this.#options.stallUnknown ?? 600_000,
        stats: this.stats,
        onHead: (bytes) => this.#onHead(live, bytes, connection),
        beforeRecord: (room) => this.#beforeRecord(live, room),
        ...(this.#options.onWire === undefined ? {} : { onWire: this.#options.onWire }),
        onDone: (report) => this.#closed(live, report),
      }),
    };
    this.#live.set(number, live);
    live.player.start(head);
  }

  #closed(live: Live, report: PlayReport): void {
    this.#live.delete(live.number);
    const { session, serial } = live;
    if (report.error !== undefined) this.#options.onFault?.({ session, serial, report });
    this.#options.onClosed?.(this.#live.size);
  }

  /** The first frame tells where the connection's plan comes from. */
  #onHead(live: Live, head: Uint8Array, connection: CoverConnection): void {
    if (this.#live.size > this.#policy.maxOpen) {
      return this.#refuse(
        live,
        ENGINE_ERROR.policy,
        `more than ${this.#policy.maxOpen} connections`,
      );
    }
    const type = head[0] === FRAME.engine ? head[1] : undefined;
    if (type === ENGINE.setup || type === ENGINE.here) return;
    if (this.#setup === undefined) {
      return this.#refuse(live, ENGINE_ERROR.format, "a connection without a set-up");
    }
    if (this.#setup.form === "derived") {
      this.#derive(live, this.#setup.minimum, connection);
      return;
    }
    const stored = this.#stored.get(live.number);
    this.#stored.delete(live.number);
    if (stored?.close === undefined) {
      return this.#refuse(live, ENGINE_ERROR.format, "a connection without a plan");
    }
    this.#learn(live, stored);
  }

  #derive(live: Live, minimum: number, { grid }: Pick<CoverConnection, "grid">): void {
    let plan: ConnectionPlan;
    try {
      plan = drawPlan(this.#plans!, live.session, live.serial, minimum, grid).plan;
    } catch (error) {
      if (!(error instanceof BadPlanError)) throw error;
      return this.#refuse(live, ENGINE_ERROR.format, error.reason);
    }
    for (const exchange of plan.exchanges) {
      if (!this.#allowed(live, exchange)) return;
      live.script.add(exchange);
    }
    live.script.close = plan.close;
    live.script.free = plan.free ?? false;
  }

  /** Adds to a connection's script what a decoder has got. */
  #learn(live: Live, decoder: PlanDecoder): void {
    while (live.given < decoder.exchanges.length) {
      const exchange = decoder.exchanges[live.given++]!;
      if (!this.#allowed(live, exchange)) return;
      live.script.add(exchange);
    }
    live.script.close = decoder.close;
  }

  #allowed(live: Live, exchange: Parameters<PolicyMeter["refuse"]>[0]): boolean {
    const refused = this.#meter.refuse(exchange, live.use, this.#clock.now());
    if (refused !== undefined) this.#refuse(live, ENGINE_ERROR.policy, refused);
    return refused === undefined;
  }

  /** Answers with an error instead of the plan. */
  #refuse(live: Live, code: number, text: string): void {
    const body = packNumbers([code], new TextEncoder().encode(text));
    this.#tunnel.sendControl(ENGINE.error, body, live.number);
    live.player.refuse(Math.max(ERROR_RECORD, body.length + frameOverhead(body.length)));
  }

  /** Puts engine frames ahead of what the tunnel puts into the next `room` bytes of a connection. */
  #beforeRecord(live: Live, room: number): void {
    // The tunnel may owe a byte after a message of a single one.
    let left = room - 1;
    if (live.ready) {
      this.#tunnel.sendControl(ENGINE.ready, new Uint8Array(0), live.number);
      live.ready = false;
      left -= frameOverhead(0);
    }
    while (live.planned.length > 0) {
      const body = live.planned[0]!;
      left -= body.length + frameOverhead(body.length);
      if (left < 0) return;
      this.#tunnel.sendControl(ENGINE.planned, body, live.number);
      live.planned.shift();
    }
    if (this.#setup?.demand !== true) return;
    const backlog = this.#tunnel.backlog;
    if ((backlog > 0) === (this.#backlogTold > 0)) return;
    const body = varintLength(backlog);
    if (left < body + frameOverhead(body)) return;
    this.#tunnel.sendControl(ENGINE.backlog, packNumbers([backlog]), live.number);
    this.#backlogTold = backlog;
  }

  #onControl(connection: number, type: number, body: Uint8Array): void {
    if (type >= OWNER_FRAMES) return this.#options.onControl?.(connection, type, body);
    const live = this.#live.get(connection);
    if (live === undefined) return;
    switch (type) {
      case ENGINE.setup:
        return this.#onSetup(live, decodeSetup(body));
      case ENGINE.here:
        live.here ??= new PlanDecoder();
        return this.#decode(live, () => {
          live.here!.push(body);
          this.#learn(live, live.here!);
        });
      case ENGINE.ahead:
        return this.#decode(live, () => this.#onAhead(live, body));
      default:
        throw new EngineFrameError(`a master sends no engine frame of type ${type}`);
    }
  }

  #decode(live: Live, run: () => void): void {
    try {
      run();
    } catch (error) {
      if (!(error instanceof PlanFormatError)) throw error;
      this.#refuse(live, ENGINE_ERROR.format, error.message);
    }
  }

  #onSetup(live: Live, setup: Setup): void {
    if (setup.sessions > this.#policy.maxSessions) {
      return this.#refuse(
        live,
        ENGINE_ERROR.policy,
        `more than ${this.#policy.maxSessions} sessions`,
      );
    }
    if (setup.form === "derived") {
      const digest = [...setup.digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      const model = this.#options.models.find(({ description }) =>
        description.digest.startsWith(digest)
      );
      if (model === undefined) {
        return this.#refuse(live, ENGINE_ERROR.unknownModel, "no model of that digest");
      }
      const key = planKey(setup.seed);
      this.#plans = this.#options.plans?.(model, key) ?? new LocalPlans(model, key);
    }
    this.#setup = setup;
    live.ready = true;
    if (setup.form === "derived") this.#derive(live, setup.minimumHere, live.script);
  }

  #onAhead(live: Live, body: Uint8Array): void {
    const { numbers, rest } = unpackNumbers(body, 3);
    const [session, serial, offset] = numbers as [number, number, number];
    const number = connectionNumber(session, serial);
    if (this.#live.has(number)) return;
    let decoder = this.#stored.get(number);
    if (decoder === undefined) {
      decoder = new PlanDecoder();
      this.#stored.set(number, decoder);
    }
    let bytes = rest.length;
    for (const { length } of this.#stored.values()) bytes += length;
    while (this.#stored.size > MAX_PLANS || bytes > MAX_PLAN_BYTES) {
      const [oldest, { length }] = this.#stored.entries().next().value!;
      this.#stored.delete(oldest);
      bytes -= length;
      if (oldest === number) return;
    }
    // Pieces come in order on one connection; after a loss the master starts again.
    const known = decoder.length - offset;
    if (known >= 0 && known < rest.length) decoder.push(rest.subarray(known));
    if (decoder.close !== undefined) live.planned.push(packNumbers([session, serial]));
  }
}

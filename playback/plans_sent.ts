import type { ConnectionPlan } from "../models/cover_model.ts";
import type { SizeGrid } from "./cover_connection.ts";
import {
  ENGINE,
  EngineFrameError,
  frameOverhead,
  largestBody,
  packNumbers,
  unpackNumbers,
} from "./engine_frames.ts";
import { BadPlanError } from "./first_message.ts";
import { MOST_KINDS } from "./kinds.ts";
import type { Lead } from "./lead.ts";
import { MOST_PAUSE, type Opening, type OpeningSource } from "./openings.ts";
import { encodePlan, PlanDecoder, PlanFormatError } from "./plan_codec.ts";

/** Connections of each slot whose plans are sent ahead. */
const AHEAD = 8;

/** Plans that are drawn for one record at most. */
const DRAWS = 4;

/** The most bytes of a plan in one frame. */
const MAX_CHUNK = 8192;

/** Plans that are kept for connections to come, and their bytes. */
const MAX_PLANS = 1024;
const MAX_PLAN_MEMORY = 16 * 2 ** 20;

const AFTER = ["start", "close", "quiet"] as const;
const END = 3;
const BEGINS = 4;
const SHARES = 8;
const COMMAND = 16;
const TICKS = 64;

function encodeOpening(opening: Opening | "end", command: number | undefined): Uint8Array {
  if (opening === "end") return packNumbers([END]);
  const { after, begins, end, time } = opening;
  const code = AFTER.indexOf(after) + (begins ? BEGINS : 0) + (end === undefined ? 0 : SHARES) +
    (command === undefined ? 0 : COMMAND);
  const ticks = Math.round(Math.min(time, MOST_PAUSE) * TICKS);
  const numbers = [code, ticks];
  if (end !== undefined) numbers.push(end);
  if (command !== undefined) numbers.push(command);
  return packNumbers(numbers);
}

/** Where the number that begins at `from` ends; undefined if more bytes are needed. */
function numberEnd(bytes: Uint8Array, from: number, what: string): number | undefined {
  let at = from;
  while (at < bytes.length && bytes[at]! >= 128) at++;
  if (at > from + 8) throw new PlanFormatError(`an opening's ${what} is too long`);
  return at < bytes.length ? at + 1 : undefined;
}

/** The opening at the head of `bytes`, what it opens with, and its length; undefined if more bytes are needed. */
function decodeOpening(
  bytes: Uint8Array,
): { opening: Opening | "end"; command?: number; length: number } | undefined {
  if (bytes.length === 0) return undefined;
  if (bytes[0] === END) return { opening: "end", length: 1 };
  const after = AFTER[bytes[0]! % BEGINS];
  if (after === undefined || bytes[0]! >= 2 * COMMAND) {
    throw new PlanFormatError(`an unknown opening ${bytes[0]}`);
  }
  const begins = (bytes[0]! & BEGINS) > 0;
  const names = ["time"];
  if ((bytes[0]! & SHARES) > 0) names.push("shared end");
  if ((bytes[0]! & COMMAND) > 0) names.push("command");
  let length = 1;
  for (const name of names) {
    const end = numberEnd(bytes, length, name);
    if (end === undefined) return undefined;
    length = end;
  }
  const { numbers } = unpackNumbers(bytes.subarray(1, length), names.length);
  const said = (name: string) => numbers[names.indexOf(name)];
  const [time, end, command] = [said("time")! / TICKS, said("shared end"), said("command")];
  return {
    opening: {
      after,
      time: Math.min(time, MOST_PAUSE),
      begins,
      ...(end === undefined ? {} : { end }),
    },
    ...(command === undefined ? {} : { command }),
    length,
  };
}

/** A connection to come, as its leader knows it. */
export interface PlanAhead {
  /** Its session. */
  readonly session: number;
  /** What is played; undefined where a session ends instead. */
  readonly plan: ConnectionPlan | undefined;
  /** The first draw was too small. */
  readonly redrawn: boolean;
  /** A message was enlarged. */
  readonly enlarged: boolean;
  /** It opens as a command does: bytes on the wire of the request for that. */
  readonly command?: number;
  /** Opening and plan, as they are sent. */
  readonly bytes: Uint8Array;
  /** How many of the bytes have been sent. */
  sent: number;
  /** The other end has them all. */
  acked: boolean;
}

function nameOf(session: number, serial: number, kind: number): string {
  return `${session}/${serial}/${kind}`;
}

/**
 * The sending side of embedded plans: openings and plans of the next connections of every slot, of every kind,
 * go to the other end in free space of earlier messages. What a broken connection may have lost is sent again.
 */
export class PlanSender {
  readonly #lead: Lead;
  readonly #minimum: number;
  readonly #requestTimes: boolean;
  readonly #plans = new Map<string, PlanAhead>();
  /** By slot: the connection after the last one that was opened. */
  readonly #next = new Map<number, { session: number; serial: number }>();
  /** Slots of which all that goes ahead has been sent. */
  readonly #through = new Set<number>();

  /**
   * Sends the plans of `lead`, whose connections' first messages have at least `minimum` payload bytes. The times
   * of the client's messages are sent only where `requestTimes` asks for them.
   */
  constructor(lead: Lead, minimum: number, requestTimes: boolean) {
    this.#lead = lead;
    this.#minimum = minimum;
    this.#requestTimes = requestTimes;
  }

  /** A connection has been opened: those after it are sent next. */
  opened(session: number, serial: number): void {
    const slot = session % this.#lead.openings.stride;
    const next = this.#next.get(slot);
    this.#through.delete(slot);
    if (next !== undefined && next.session > session) return;
    const known = next?.session === session ? next.serial : 0;
    this.#next.set(slot, { session, serial: Math.max(known, serial + 1) });
    if (next === undefined || next.session === session) return;
    for (const [name, plan] of this.#plans) {
      const old = plan.session < session;
      if (old && plan.session % this.#lead.openings.stride === slot) this.#plans.delete(name);
    }
  }

  /** A connection that opens: what was sent of its plan, of this kind; it is not sent any more. */
  take(session: number, serial: number, kind: number): PlanAhead | undefined {
    const found = this.#plans.get(nameOf(session, serial, kind));
    for (let other = 0; other < MOST_KINDS; other++) {
      this.#plans.delete(nameOf(session, serial, other));
    }
    return found;
  }

  /** What a connection of kind 0 opens with, if the other end has its plan and that opens as a command does. */
  command(session: number, serial: number): number | undefined {
    const ahead = this.#plans.get(nameOf(session, serial, 0));
    return ahead?.acked ? ahead.command : undefined;
  }

  /** The other end has a plan whole. `body` is that of a `planned` frame. */
  acknowledged(body: Uint8Array): void {
    const [session, serial, kind] = unpackNumbers(body, 3).numbers as [number, number, number];
    const plan = this.#plans.get(nameOf(session, serial, kind));
    if (plan !== undefined) plan.acked = true;
  }

  /** A connection has broken: what was on its way may be lost. */
  lost(): void {
    for (const plan of this.#plans.values()) if (!plan.acked) plan.sent = 0;
    this.#through.clear();
  }

  /**
   * Puts as many frames as fit whole into `bytes` payload bytes of a record of `session`, by `send`. Throws
   * BadPlanError.
   */
  fill(
    session: number,
    grid: SizeGrid,
    bytes: number,
    send: (type: number, body: Uint8Array) => void,
  ): void {
    const { stride } = this.#lead.openings;
    const turns = Array.from({ length: stride }, (_, turn) => (session + turn) % stride)
      .filter((slot) => !this.#through.has(slot))
      .map((slot) => ({ slot, next: this.#next.get(slot) ?? { session: slot, serial: 0 } }));
    const room = { left: bytes, draws: DRAWS };
    // What every slot needs next goes before what any needs later.
    for (let count = 0; count < AHEAD; count++) {
      for (const turn of turns) {
        const next = this.#fillOne(turn.next, grid, room, send);
        if (next === undefined) return;
        turn.next = next;
      }
    }
    for (const { slot } of turns) this.#through.add(slot);
  }

  /** Sends what is missing of one connection, of every kind. Returns the next of its slot, if there was room for all. */
  #fillOne(
    { serial, session }: { readonly session: number; readonly serial: number },
    grid: SizeGrid,
    room: { left: number; draws: number },
    send: (type: number, body: Uint8Array) => void,
  ): { session: number; serial: number } | undefined {
    const { kinds, openings } = this.#lead;
    for (let kind = 0; kind < (kinds?.names.length ?? 1); kind++) {
      const name = nameOf(session, serial, kind);
      let ahead = this.#plans.get(name);
      if (ahead === undefined) {
        if (room.draws-- === 0) return undefined;
        ahead = this.#draw(session, serial, kind, grid);
        this.#plans.set(name, ahead);
      }
      while (ahead.sent < ahead.bytes.length) {
        const head = packNumbers([session, serial, kind, ahead.sent]);
        const missing = ahead.bytes.length - ahead.sent;
        const body = Math.min(missing, largestBody(room.left) - head.length, MAX_CHUNK);
        if (body <= 0) return undefined;
        const frame = new Uint8Array(head.length + body);
        frame.set(head);
        frame.set(ahead.bytes.subarray(ahead.sent, ahead.sent + body), head.length);
        send(ENGINE.ahead, frame);
        ahead.sent += body;
        room.left -= frame.length + frameOverhead(frame.length);
      }
      if (ahead.plan === undefined) return { session: session + openings.stride, serial: 0 };
    }
    return { session, serial: serial + 1 };
  }

  #draw(session: number, serial: number, kind: number, grid: SizeGrid): PlanAhead {
    const opening = this.#lead.openings.opening(session, serial);
    const nothing = { session, sent: 0, acked: false };
    if (opening === "end") {
      const head = encodeOpening(opening, undefined);
      return { ...nothing, plan: undefined, redrawn: false, enlarged: false, bytes: head };
    }
    const drawn = this.#lead.draw(session, serial, kind, this.#minimum, grid, true);
    if (drawn.plan.free) {
      throw new BadPlanError(
        this.#lead.model.description.name,
        "without shape it is played only where both ends hold the model",
      );
    }
    const head = encodeOpening(opening, drawn.command);
    const plan = encodePlan(drawn.plan, { requestTimes: this.#requestTimes });
    const bytes = new Uint8Array(head.length + plan.length);
    bytes.set(head);
    bytes.set(plan, head.length);
    return { ...nothing, ...drawn, bytes };
  }
}

interface Stored {
  readonly session: number;
  readonly serial: number;
  /** Bytes of the opening, until it is complete. */
  head: Uint8Array;
  opening: Opening | "end" | undefined;
  /** Bytes on the wire of the request that it opens with, if it opens as a command does. */
  command: number | undefined;
  /** Bytes of the opening, once it is complete. */
  headLength: number;
  readonly decoder: PlanDecoder;
}

/**
 * The receiving side of embedded plans, in bounded memory. The bytes come from the peer; whatever they are, they are
 * kept or EngineFrameError or PlanFormatError is thrown.
 */
export class PlanStore implements OpeningSource {
  /** Plans that have been begun, oldest first. */
  readonly #plans = new Map<string, Stored>();

  /** When a connection opens, if that has been heard. */
  opening(session: number, serial: number): Opening | "end" | undefined {
    return this.#plans.get(nameOf(session, serial, 0))?.opening;
  }

  /**
   * Takes the body of an `ahead` frame. Returns the body of the `planned` frame that acknowledges it, if the plan
   * is complete; only connections that are `wanted` are kept.
   */
  take(
    body: Uint8Array,
    wanted: (session: number, serial: number) => boolean,
  ): Uint8Array | undefined {
    const { numbers, rest } = unpackNumbers(body, 4);
    const [session, serial, kind, offset] = numbers as [number, number, number, number];
    if (kind >= MOST_KINDS) throw new EngineFrameError(`a kind of number ${kind}`);
    if (!wanted(session, serial)) return undefined;
    const name = nameOf(session, serial, kind);
    let stored = this.#plans.get(name);
    if (stored === undefined) {
      stored = {
        session,
        serial,
        head: new Uint8Array(0),
        opening: undefined,
        command: undefined,
        headLength: 0,
        decoder: new PlanDecoder(),
      };
      this.#plans.set(name, stored);
    }
    let memory = rest.length;
    for (const { decoder } of this.#plans.values()) memory += decoder.memory;
    while (this.#plans.size > MAX_PLANS || memory > MAX_PLAN_MEMORY) {
      const [oldest, { decoder }] = this.#plans.entries().next().value!;
      this.#plans.delete(oldest);
      memory -= decoder.memory;
      if (oldest === name) return undefined;
    }
    // Pieces come in order on one connection; after a loss the master starts again.
    const length = stored.headLength + stored.head.length + stored.decoder.length;
    const known = length - offset;
    if (known >= 0 && known < rest.length) push(stored, rest.subarray(known));
    const complete = stored.opening === "end" || stored.decoder.close !== undefined;
    return complete ? packNumbers([session, serial, kind]) : undefined;
  }

  /**
   * A connection that opens: its plan of this kind, if it is complete. All that is kept of the connection is
   * forgotten, and what is older in its slot, one of `stride`.
   */
  claim(session: number, serial: number, kind: number, stride: number): PlanDecoder | undefined {
    const found = this.#plans.get(nameOf(session, serial, kind));
    for (const [name, stored] of this.#plans) {
      const same = stored.session === session && stored.serial === serial;
      const old = stored.session < session && stored.session % stride === session % stride;
      if (same || old) this.#plans.delete(name);
    }
    return found?.decoder.close === undefined ? undefined : found.decoder;
  }

  /** Whether a connection's plan of this kind is complete. */
  has(session: number, serial: number, kind: number): boolean {
    return this.#plans.get(nameOf(session, serial, kind))?.decoder.close !== undefined;
  }

  /** What a connection of kind 0 opens with, if its plan is complete and opens as a command does. */
  command(session: number, serial: number): number | undefined {
    const found = this.#plans.get(nameOf(session, serial, 0));
    return found?.decoder.close === undefined ? undefined : found.command;
  }

  /** Forgets everything: another master, or the same with other plans. */
  clear(): void {
    this.#plans.clear();
  }
}

function push(stored: Stored, bytes: Uint8Array): void {
  if (stored.opening !== undefined) {
    if (stored.opening === "end") throw new PlanFormatError("bytes follow a session's end");
    return stored.decoder.push(bytes);
  }
  const head = new Uint8Array(stored.head.length + bytes.length);
  head.set(stored.head);
  head.set(bytes, stored.head.length);
  stored.head = head;
  const decoded = decodeOpening(head);
  if (decoded === undefined) return;
  stored.opening = decoded.opening;
  stored.command = decoded.command;
  stored.headLength = decoded.length;
  stored.head = new Uint8Array(0);
  if (decoded.length < head.length) push(stored, head.subarray(decoded.length));
}

import type { End } from "../models/cover_model.ts";
import { varintLength, writeVarint } from "./varint.ts";

/** Types of the engine's own control frames; an owner's begin at {@linkcode OWNER_FRAMES}. */
export const ENGINE = {
  /** Opener to acceptor, in the first message of a new tunnel: who is to be master, what is played, and how. */
  setup: 1,
  /** Acceptor to opener: the set-up has been understood. Empty. */
  ready: 2,
  /** Opener to acceptor: the next bytes of this connection's own plan. */
  here: 3,
  /** Master to slave: session, serial, kind, offset, bytes of another connection's opening and plan. */
  ahead: 4,
  /** Slave to master: session, serial, kind of a connection whose plan is complete. */
  planned: 5,
  /** Acceptor to opener: bytes of user data that wait. */
  backlog: 6,
  /** Acceptor to opener: a code and a text; it will not play. */
  error: 7,
  /** Acceptor to opener, in place of `ready`: a set-up of its own, for from now on it is master. */
  lead: 8,
  /** Opener to acceptor, first on a connection: the opener, though no master, has drawn it, of this kind. */
  own: 9,
  /** Opener to acceptor, first on a connection: it is of this kind, and not of the model's own mixture. */
  kind: 10,
  /** Master to slave: for each kind what a connection carries on average, client's bytes then server's. */
  kinds: 11,
} as const;

/** Control frames of this type and above belong to the engine's owner (`onControl`). */
export const OWNER_FRAMES = 32;

/** Codes of an error frame. */
export const ENGINE_ERROR = {
  /** The slave holds no model of that digest. */
  unknownModel: 1,
  /** The slave's policy forbids the plan. */
  policy: 2,
  /** The bytes of the set-up or of a plan make no sense. */
  format: 3,
  /** It will not be master. */
  master: 4,
} as const;

/** How plans reach the slave: drawn there from the same model, or sent. */
export type PlanForm = "derived" | "embedded";

/**
 * Who decides when episodes start and of what kind they are: the model alone (`strict`); users' demand when they
 * start (`demand`); users' demand both (`adaptive`).
 */
export type Scheduling = "strict" | "demand" | "adaptive";

const SCHEDULES: readonly Scheduling[] = ["strict", "demand", "adaptive"];

/** What one end tells the other about the plans that it draws. */
export interface Setup {
  /** Whether the other end draws the same plans itself (`derived`) or is sent them (`embedded`). */
  readonly form: PlanForm;
  /** Who is master: what an opener wishes, and an acceptor says of itself. */
  readonly master: End;
  /** Who decides when episodes start and of what kind they are. */
  readonly schedule: Scheduling;
  /** Model sessions played at once. */
  readonly sessions: number;
  /** Payload bytes that the first message of a connection has at least. */
  readonly minimum: number;
  /** The same for the connection that this set-up travels on. */
  readonly minimumHere: number;
  /** The first 8 bytes of the model's digest; only in derived form. */
  readonly digest: Uint8Array;
  /** 16 bytes that all plans are drawn from; only in derived form. */
  readonly seed: Uint8Array;
}

/** Raised whenever frames change, or what a model file draws from the same seed. */
const VERSION = 5;

/** The most that a set-up may ask of a first message: what one record holds. */
const MOST_MINIMUM = 16384;

/** Bytes that the tunnel puts before a control frame's body: frame type, control type, length. */
export function frameOverhead(body: number): number {
  return 2 + varintLength(body);
}

/**
 * The largest body of a control frame that fits `room` bytes whole; negative if none does. One byte stays
 * free, for the tunnel may owe one after a message of a single byte.
 */
export function largestBody(room: number): number {
  let body = room - 4;
  while (body > 0 && body + frameOverhead(body) > room - 1) body--;
  return body;
}

/** Numbers in a row, then bytes. */
export function packNumbers(
  numbers: readonly number[],
  rest: Uint8Array = new Uint8Array(0),
): Uint8Array {
  let length = rest.length;
  for (const number of numbers) length += varintLength(number);
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const number of numbers) at = writeVarint(bytes, at, number);
  bytes.set(rest, at);
  return bytes;
}

/** The body of an engine frame is not what its type says. */
export class EngineFrameError extends Error {
  /** `message` names the frame. */
  constructor(message: string) {
    super(message);
    this.name = "EngineFrameError";
  }
}

/** `count` numbers and what follows them. Throws EngineFrameError. */
export function unpackNumbers(
  body: Uint8Array,
  count: number,
): { numbers: number[]; rest: Uint8Array } {
  const numbers: number[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = body[at++];
      if (byte === undefined || scale > 2 ** 42) throw new EngineFrameError("a number is missing");
      value += (byte & 127) * scale;
      if (byte < 128) break;
      scale *= 128;
    }
    numbers.push(value);
  }
  return { numbers, rest: body.subarray(at) };
}

/** A set-up as bytes: about 30 in derived form, 6 in embedded form. */
export function encodeSetup(setup: Setup): Uint8Array {
  const derived = setup.form === "derived";
  const rest = new Uint8Array(derived ? 24 : 0);
  if (derived) {
    rest.set(setup.digest.subarray(0, 8));
    rest.set(setup.seed.subarray(0, 16), 8);
  }
  const flags = (derived ? 1 : 0) | (setup.master === "server" ? 2 : 0) |
    SCHEDULES.indexOf(setup.schedule) << 2;
  return packNumbers([VERSION, flags, setup.sessions, setup.minimum, setup.minimumHere], rest);
}

/**
 * A set-up for a connection whose proof takes `prefix` bytes, and the least payload of that connection's first
 * record, which the set-up names.
 */
export function fitSetup(
  setup: Omit<Setup, "minimumHere">,
  prefix: number,
): { body: Uint8Array; minimum: number } {
  // Its length depends on the number in it: the second pass has the right one.
  let minimum = setup.minimum;
  for (let pass = 0; pass < 3; pass++) {
    const { length } = encodeSetup({ ...setup, minimumHere: minimum });
    minimum = Math.max(minimum, prefix + length + frameOverhead(length));
  }
  return { body: encodeSetup({ ...setup, minimumHere: minimum }), minimum };
}

/** A set-up from bytes. Throws EngineFrameError. */
export function decodeSetup(body: Uint8Array): Setup {
  const { numbers, rest } = unpackNumbers(body, 5);
  const [version, flags, sessions, minimum, minimumHere] = numbers as [
    number,
    number,
    number,
    number,
    number,
  ];
  if (version !== VERSION) {
    throw new EngineFrameError(
      `a set-up of version ${version}, this release has ${VERSION}: both ends must be of the same release`,
    );
  }
  if (minimum > MOST_MINIMUM || minimumHere > MOST_MINIMUM) {
    throw new EngineFrameError("a first message that is too large");
  }
  const derived = (flags & 1) > 0;
  const schedule = SCHEDULES[flags >> 2];
  if (schedule === undefined || rest.length !== (derived ? 24 : 0)) {
    throw new EngineFrameError("a set-up of another length");
  }
  return {
    form: derived ? "derived" : "embedded",
    master: (flags & 2) > 0 ? "server" : "client",
    schedule,
    sessions,
    minimum,
    minimumHere,
    digest: rest.slice(0, 8),
    seed: rest.slice(8, 24),
  };
}

/**
 * The number by which a tunnel knows a cover connection: Cantor's pairing of session and serial, small
 * for small ones, so that acknowledgements stay short. Both ends compute it.
 */
export function connectionNumber(session: number, serial: number): number {
  return (session + serial) * (session + serial + 1) / 2 + session;
}

/** The first 8 bytes of a model's digest, by which the ends refer to it. */
export function digestHead(digest: string): Uint8Array {
  const bytes = new Uint8Array(8);
  for (let i = 0; i < 8; i++) bytes[i] = parseInt(digest.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

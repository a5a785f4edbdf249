import { varintLength, writeVarint } from "./varint.ts";

/** Types of the engine's own control frames; an owner's begin at {@linkcode OWNER_FRAMES}. */
export const ENGINE = {
  /** Master to slave, in the first message of a new tunnel: what is played, and how. */
  setup: 1,
  /** Slave to master: the set-up has been understood. Empty. */
  ready: 2,
  /** Master to slave: the next bytes of this connection's own plan. */
  here: 3,
  /** Master to slave: session, serial, offset, bytes of another connection's plan. */
  ahead: 4,
  /** Slave to master: session, serial of a connection whose plan is complete. */
  planned: 5,
  /** Slave to master: bytes of user data that wait. */
  backlog: 6,
  /** Slave to master: a code and a text; the slave will not play. */
  error: 7,
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
} as const;

/** What a master tells its slave about a tunnel. */
export interface Setup {
  /** Whether the slave draws the plans itself (`derived`) or is sent them (`embedded`). */
  readonly form: "derived" | "embedded";
  /** Whether the slave's backlog is wanted. */
  readonly demand: boolean;
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

const VERSION = 1;

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
  const flags = (derived ? 1 : 0) | (setup.demand ? 2 : 0);
  return packNumbers([VERSION, flags, setup.sessions, setup.minimum, setup.minimumHere], rest);
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
  if (version !== VERSION) throw new EngineFrameError(`a set-up of version ${version}`);
  const derived = (flags & 1) > 0;
  if (flags > 3 || rest.length !== (derived ? 24 : 0)) {
    throw new EngineFrameError("a set-up of another length");
  }
  return {
    form: derived ? "derived" : "embedded",
    demand: (flags & 2) > 0,
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

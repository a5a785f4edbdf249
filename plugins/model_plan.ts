import * as v from "valibot";
import {
  type ConnectionPlan,
  type EpisodePlan,
  LEAST_SIZE,
  type SessionPlan,
} from "../models/mod.ts";

/** Most bytes of one message. */
const MOST_SIZE = 2 ** 31 - 1;
/** Most milliseconds of one pause: a day. */
const MOST_TIME = 86_400_000;

const time = v.pipe(v.number(), v.finite(), v.minValue(0), v.maxValue(MOST_TIME));
const size = v.pipe(v.number(), v.safeInteger(), v.minValue(LEAST_SIZE), v.maxValue(MOST_SIZE));
const end = v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(10_000));
const number = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const times = v.pipe(v.array(time), v.minLength(1), v.maxLength(10_000));

const message = v.pipe(
  v.strictObject({
    type: v.picklist(["data", "padding"]),
    size,
    time,
    records: v.optional(v.pipe(v.array(size), v.minLength(1), v.maxLength(100_000))),
    lead: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0))),
  }),
  v.check(
    ({ size, records }) => records === undefined || records.reduce((a, b) => a + b, 0) === size,
    "its records do not sum to its size",
  ),
);

const connection = v.pipe(
  v.strictObject({
    exchanges: v.pipe(
      v.array(v.strictObject({
        request: message,
        response: v.pipe(v.array(message), v.maxLength(1000)),
      })),
      v.minLength(1),
      v.maxLength(10_000),
    ),
    close: v.strictObject({
      by: v.picklist(["client", "server"]),
      how: v.picklist(["fin", "rst"]),
      time,
      answer: v.exactOptional(v.literal("rst")),
    }),
  }),
  v.check(({ exchanges }) => {
    let client = 0;
    let server = 0;
    for (const { request, response } of exchanges) {
      if ((request.lead ?? 0) > server) return false;
      client += request.size;
      for (const { lead = 0, size } of response) {
        if (lead > client) return false;
        server += size;
      }
    }
    return true;
  }, "a lead of more bytes than the peer was planned to send before"),
);

const SCHEMAS = {
  session: v.optional(v.strictObject({ pauses: times })),
  episode: v.optional(v.strictObject({
    starts: times,
    pause: v.exactOptional(time),
    ends: v.exactOptional(v.pipe(v.array(v.nullable(end)), v.maxLength(10_000))),
    like: v.exactOptional(v.pipe(v.array(v.nullable(number)), v.maxLength(10_000))),
  })),
  connectionGap: v.union([time, v.literal("close")]),
  connection,
};

/** What each method of a model plugin answers. */
export interface Drawn {
  /** See `CoverModel.session`. */
  readonly session: SessionPlan | undefined;
  /** See `CoverModel.episode`. */
  readonly episode: EpisodePlan | undefined;
  /** See `CoverModel.connectionGap`. */
  readonly connectionGap: number | "close";
  /** See `CoverModel.connection`. */
  readonly connection: ConnectionPlan;
}

/**
 * Checks what a method of a model plugin answered: shapes, sizes, times, and that each is possible.
 *
 * @throws {RangeError} that says where and what.
 */
export function checkDrawn<Method extends keyof Drawn>(
  method: Method,
  value: unknown,
): Drawn[Method] {
  const parsed = v.safeParse(SCHEMAS[method], value ?? undefined, { abortEarly: true });
  if (parsed.success) return parsed.output as Drawn[Method];
  const issue = parsed.issues[0]!;
  const path = v.getDotPath(issue);
  const what = issue.message.replaceAll(/\s+/g, " ").slice(0, 160);
  throw new RangeError(`${method}() answered ${path === null ? "" : `${path}: `}${what}`);
}

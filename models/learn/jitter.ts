import { roundTime } from "../quantile_table.ts";
import type { ObservedConnection, ObservedMessage } from "./observation.ts";

/** Values that stand for a distribution while it is looked for. */
const MOST_KNOTS = 400;
/** Values that stand for the jitter. */
const JITTER_KNOTS = 25;
const HALF = JITTER_KNOTS >> 1;
/** Rounds of correction: more would follow chance. */
const ROUNDS = 12;

function quantile(sorted: ArrayLike<number>, share: number): number {
  const rank = share * (sorted.length - 1);
  const below = Math.floor(rank);
  const low = sorted[below]!;
  return low + (rank - below) * (sorted[Math.min(below + 1, sorted.length - 1)]! - low);
}

/**
 * What `times` were before `jitter` was added to each: times that, with such jitter added again, are distributed as
 * `times` are. Each keeps its place among the others; none becomes negative. `jitter` is any sample of it.
 *
 * Playing adds the jitter of the network that is played on. A time that still holds that of the capture would show
 * both, and what programs do within a tenth of a millisecond would be found to come too irregularly.
 *
 * @example
 * ```ts
 * import { withoutJitter } from "./jitter.ts";
 * const jitter = Array.from({ length: 100 }, (_, i) => i / 1000);
 * const clean = withoutJitter(jitter.map((late) => 5 + late), jitter);
 * if (clean.some((time) => Math.abs(time - 5) > 0.02)) throw new Error("all of them were 5");
 * ```
 */
export function withoutJitter(times: readonly number[], jitter: readonly number[]): number[] {
  if (times.length === 0 || jitter.length === 0) return [...times];
  const sorted = Float64Array.from(times).sort();
  const late = Float64Array.from(jitter).sort();
  const noise = Array.from(
    { length: JITTER_KNOTS },
    (_, knot) => quantile(late, (knot + 0.5) / JITTER_KNOTS),
  );
  const middle = noise[HALF]!;
  const knots = Math.min(MOST_KNOTS, sorted.length);
  const share = (knot: number) => knots === 1 ? 0 : knot / (knots - 1);
  const wanted = Array.from({ length: knots }, (_, knot) => quantile(sorted, share(knot)));
  const clean = Float64Array.from(wanted, (time) => Math.max(0, time - middle));
  const shown = new Float64Array(knots * JITTER_KNOTS);
  for (let round = 0; round < ROUNDS; round++) {
    for (let knot = 0; knot < knots; knot++) {
      for (let j = 0; j < JITTER_KNOTS; j++) {
        shown[knot * JITTER_KNOTS + j] = clean[knot]! + noise[j]!;
      }
    }
    shown.sort();
    for (let knot = 0; knot < knots; knot++) {
      clean[knot] = Math.max(0, clean[knot]! + wanted[knot]! - shown[knot * JITTER_KNOTS + HALF]!);
    }
    clean.sort();
  }
  const order = Array.from(times.keys()).sort((a, b) => times[a]! - times[b]! || a - b);
  const result = new Array<number>(times.length);
  order.forEach((index, rank) => {
    result[index] = quantile(clean, times.length === 1 ? 0 : rank / (times.length - 1));
  });
  return result;
}

/** Positions in a connection that are looked at by themselves. */
const POSITIONS = 12;
/** Times from which a position is. */
const LEAST_TIMES = 60;

/** `connections` with think times that no longer hold the capture's `jitter`. */
export function cleared(
  connections: readonly ObservedConnection[],
  jitter: readonly number[],
): ObservedConnection[] {
  const marked = new Map<string, ObservedMessage[]>();
  const note = (message: ObservedMessage, context: string) => {
    if (!message.jittered) return;
    const own = marked.get(context);
    if (own === undefined) marked.set(context, [message]);
    else own.push(message);
  };
  for (const { exchanges } of connections) {
    for (const [position, { request, responses }] of exchanges.entries()) {
      const context = Math.min(position, POSITIONS);
      note(request, `request ${context}`);
      for (const [index, response] of responses.entries()) {
        note(response, index === 0 ? `response ${context}` : "later response");
      }
    }
  }
  const few: ObservedMessage[] = [];
  const clean = new Map<ObservedMessage, number>();
  const clear = (messages: readonly ObservedMessage[]) => {
    const times = withoutJitter(messages.map(({ think }) => think), jitter);
    messages.forEach((message, i) => clean.set(message, roundTime(times[i]!)));
  };
  for (const messages of marked.values()) {
    if (messages.length < LEAST_TIMES) few.push(...messages);
    else clear(messages);
  }
  clear(few);
  const settled = ({ jittered: _, ...message }: ObservedMessage, think: number | undefined) => ({
    ...message,
    think: think ?? message.think,
  });
  return connections.map(({ close, exchanges, number }) => ({
    close,
    ...(number === undefined ? {} : { number }),
    exchanges: exchanges.map(({ request, responses }) => ({
      request: settled(request, clean.get(request)),
      responses: responses.map((response) => settled(response, clean.get(response))),
    })),
  }));
}

import * as v from "valibot";

/**
 * The fewest bytes that a message takes on the wire: a TLS 1.3 record of one byte of payload. Smaller
 * messages do not exist once a connection is encrypted (SSH's least is larger).
 */
export const LEAST_SIZE = 23;

/** The most bytes that one message of a plan may have. */
export const MOST_SIZE = 2 ** 31;

/** The most records of one message: what is left after that many goes into one more. */
export const MOST_RECORDS = 100_000;

/** The most runs of equal records that a pattern keeps. */
export const MOST_RUNS = 48;

/** How many runs at the end repeat where a message is longer than a pattern that was cut. */
const TAIL_RUNS = 8;

/** Record sizes of a message, in order, as runs: size, count, size, count, ... Empty: not known. */
export type RecordPattern = readonly number[];

/** Validates a size on the wire. */
export const sizeSchema: v.GenericSchema<unknown, number> = v.pipe(
  v.number(),
  v.safeInteger(),
  v.minValue(LEAST_SIZE),
  v.maxValue(MOST_SIZE),
);

const runCount = v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(1_000_000));

/** Validates a {@linkcode RecordPattern}. */
export const patternSchema: v.GenericSchema<unknown, RecordPattern> = v.pipe(
  v.array(v.pipe(v.number(), v.safeInteger(), v.minValue(1))),
  v.maxLength(2 * MOST_RUNS),
  v.check(
    (runs) =>
      runs.length % 2 === 0 &&
      runs.every((x, i) => i % 2 === 0 ? v.is(sizeSchema, x) : v.is(runCount, x)),
    "records must be pairs of a size and a count",
  ),
);

/** The pattern of a message's records; long ones keep their first runs and their last ones. */
export function patternOf(records: readonly number[]): RecordPattern {
  const runs: number[] = [];
  for (const size of records) {
    if (runs.length > 0 && runs[runs.length - 2] === size) runs[runs.length - 1]!++;
    else runs.push(size, 1);
  }
  if (runs.length <= 2 * MOST_RUNS) return runs;
  return [...runs.slice(0, 2 * MOST_RUNS - 2), ...runs.slice(-2)];
}

/** Where a message that is longer than its pattern goes on: at its largest record, or its tail. */
function resumeOf(pattern: RecordPattern): number {
  if (pattern.length >= 2 * MOST_RUNS) return pattern.length - 2 * TAIL_RUNS;
  let largest = 0;
  for (let i = 0; i < pattern.length; i += 2) if (pattern[i]! > pattern[largest]!) largest = i;
  return largest;
}

/**
 * Lays out `size` bytes in records after `pattern`: records follow the pattern, go on with its largest
 * where the message is longer, and the last one takes what is left. No record is smaller than
 * {@linkcode LEAST_SIZE}; the sum is always `size`.
 *
 * @example
 * ```ts
 * import { layRecords } from "./records.ts";
 * const records = layRecords([300, 1, 16406, 2], 40_000);
 * if (records.join() !== "300,16406,16406,6888") throw new Error(records.join());
 * ```
 */
export function layRecords(pattern: RecordPattern, size: number): number[] {
  const records: number[] = [];
  let left = size;
  let run = 0;
  let inRun = 0;
  while (left > 0) {
    if (run >= pattern.length) {
      run = resumeOf(pattern);
      inRun = 0;
    }
    const wanted = pattern[run] ?? left;
    if (left < wanted || records.length === MOST_RECORDS) return [...records, left];
    const rest = left - wanted;
    if (rest > 0 && rest < LEAST_SIZE) {
      // What would be left over is no record: this one gives it what it lacks, or takes it.
      return wanted >= 2 * LEAST_SIZE
        ? [...records, wanted - LEAST_SIZE, rest + LEAST_SIZE]
        : [...records, left];
    }
    records.push(wanted);
    left -= wanted;
    if (++inRun >= pattern[run + 1]!) {
      run += 2;
      inRun = 0;
    }
  }
  return records;
}

/**
 * The pattern of a message that is `change` bytes longer (or shorter) than the one of `pattern`. The
 * largest record below `most` takes the change, for it is the one that held the end of a body; where
 * none can, the pattern stays and {@linkcode layRecords} changes the end.
 */
export function stretchPattern(
  pattern: RecordPattern,
  change: number,
  most: number,
): RecordPattern {
  let best = -1;
  for (let i = 0; i < pattern.length; i += 2) {
    const size = pattern[i]!;
    if (pattern[i + 1] === 1 && size < most && (best < 0 || size >= pattern[best]!)) best = i;
  }
  if (best < 0) return pattern;
  const size = pattern[best]! + change;
  if (size < LEAST_SIZE || size > most) return pattern;
  return [...pattern.slice(0, best), size, ...pattern.slice(best + 1)];
}

import { setImmediate } from "node:timers";
import { turnEnds, workEnds } from "./arrival.ts";

/** The longest delay that the runtime's timers take, in milliseconds. */
const MAX_DELAY = 2 ** 31 - 1;

/**
 * Milliseconds that the runtime's timers come late at most, but for one in ten: they keep to ticks of 1 ms, and
 * with Deno 2.9.6 half of them were 1.2 ms late where whole ones were asked for. Waking is asked for so much earlier,
 * and the rest is waited for in turns of the event loop. The estimate follows what is seen, within bounds: each
 * call costs processor time in proportion.
 */
let coarse = 1.2;
const COARSE_RANGE = [0.5, 1.6] as const;
const COARSE_STEP = 0.02;
const COARSE_QUANTILE = 0.9;

/** Milliseconds of calls in a turn of the event loop before sockets get theirs. */
const MOST_CALLS = 4;

interface Entry {
  readonly time: number;
  readonly order: number;
  /** undefined once called or cancelled. */
  run: (() => void) | undefined;
}

/** All that is waited for, as a binary heap: the earliest first, of equals the one asked for first. */
const heap: Entry[] = [];
let orders = 0;
let cancelled = 0;
let turning = false;
let timer: ReturnType<typeof setTimeout> | undefined;
/** When the runtime's timer was asked to come. */
let timerDue = Infinity;

function before(a: Entry, b: Entry): boolean {
  return a.time < b.time || a.time === b.time && a.order < b.order;
}

function push(entry: Entry): void {
  let at = heap.length;
  heap.push(entry);
  while (at > 0) {
    const parent = (at - 1) >>> 1;
    if (!before(entry, heap[parent]!)) break;
    heap[at] = heap[parent]!;
    at = parent;
  }
  heap[at] = entry;
}

function sink(entry: Entry, from: number): void {
  let at = from;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
    if (!before(heap[child]!, entry)) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = entry;
}

function pop(): void {
  const last = heap.pop()!;
  if (heap.length > 0) sink(last, 0);
}

/** Forgets what was cancelled, once that is most of it. */
function sweep(): void {
  const kept = heap.filter(({ run }) => run !== undefined);
  heap.length = 0;
  cancelled = 0;
  for (const entry of kept) push(entry);
}

/** The earliest that is still wanted. */
function first(): Entry | undefined {
  while (heap.length > 0 && heap[0]!.run === undefined) {
    pop();
    cancelled--;
  }
  return heap[0];
}

/** Sees to it that the earliest is not missed. */
function arm(): void {
  const next = first();
  if (turning) return;
  if (next === undefined) {
    clearTimeout(timer);
    timer = undefined;
    timerDue = Infinity;
    return;
  }
  const now = performance.now();
  const left = next.time - now;
  if (left <= coarse) {
    turning = true;
    setImmediate(turn);
    return;
  }
  const delay = Math.min(Math.max(1, Math.floor(left - coarse)), MAX_DELAY);
  const due = now + delay;
  // A timer that comes soon enough is left alone: it will ask again.
  if (timer !== undefined && timerDue <= due && timerDue > due - 1) return;
  clearTimeout(timer);
  timerDue = due;
  timer = setTimeout(() => {
    const late = performance.now() - timerDue;
    const step = late > coarse ? COARSE_QUANTILE : COARSE_QUANTILE - 1;
    const [least, most] = COARSE_RANGE;
    coarse = Math.min(most, Math.max(least, coarse + step * COARSE_STEP));
    timer = undefined;
    timerDue = Infinity;
    arm();
  }, delay);
}

/** One turn of the event loop in which something may be due. */
function turn(): void {
  const newer = orders;
  turnEnds();
  let called = false;
  const began = performance.now();
  let now = began;
  try {
    for (let next = first(); next !== undefined && next.time <= now; next = first()) {
      // What is asked for meanwhile waits for the next turn, so that nobody turns in circles.
      if (next.order >= newer || now - began > MOST_CALLS) break;
      pop();
      const run = next.run!;
      next.run = undefined;
      called = true;
      run();
      now = performance.now();
    }
  } finally {
    if (called) workEnds();
    turning = false;
    arm();
  }
}

/**
 * Calls `run` once when `performance.now()` reaches `time` (milliseconds), never before and usually
 * within some microseconds of it; soon, if it has passed. What returns is called to cancel.
 *
 * The last millisecond is waited for in turns of the event loop, so that what comes in from sockets is
 * not held up: precision costs about 0.4 ms of processor time for each call that waits by itself. All calls share
 * one timer of the runtime and one turn of the loop.
 *
 * @example
 * ```ts
 * import { callAt } from "./precise_timer.ts";
 * const due = performance.now() + 5;
 * await new Promise<void>((resolve) => callAt(due, resolve));
 * if (performance.now() < due) throw new Error("early");
 * ```
 */
export function callAt(time: number, run: () => void): () => void {
  const entry: Entry = { time, order: orders++, run };
  push(entry);
  if (heap[0] === entry) arm();
  return () => {
    if (entry.run === undefined) return;
    entry.run = undefined;
    if (++cancelled > 64 && 2 * cancelled > heap.length) sweep();
    // Nothing is left to stay awake for.
    if (cancelled === heap.length) arm();
  };
}

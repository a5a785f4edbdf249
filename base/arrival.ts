import process from "node:process";
import { setImmediate } from "node:timers";

/**
 * Milliseconds that the process must not have used the processor to have slept, and those of processor time that
 * waking takes, which whoever answers knows of himself.
 */
const SLEPT = 0.05, WAKING = 0.15;

/** Milliseconds within which two ends of turns are one. */
const AT_ONCE = 0.01;

/** Whether something has been reported in this turn; and then when that began, and when it may have come. */
let reporting = false;
let began = 0;
let earliest = 0;
/** What was not reported in the turn before came after this. */
let before = 0;
/** When that turn was over, and the milliseconds of processor time used by then. */
let over = 0;
let used = 0;

function processorTime(): number {
  const { system, user } = process.cpuUsage();
  return (system + user) / 1000;
}

function endOfTurn(): void {
  if (reporting) turnEnds();
}

/**
 * Tells when bytes that are reported now may have come at the earliest, by `performance.now()`: a process learns of them
 * when it is done with what it was at. If it slept before, they woke it, or came while it was at what it has been at
 * since; if it did not, they came while it was busy in this turn of the event loop or the one before. What has used the
 * processor since the last turn counts as work, that of other
 * threads too, so that this may be too early and is hardly too late: only what keeps the process from running is not seen.
 *
 * To be called before anything is done with what came: work that comes after it in this turn is known then.
 *
 * @example
 * ```ts
 * import { earliestArrival } from "./arrival.ts";
 * if (earliestArrival() > performance.now()) throw new Error("it has come");
 * ```
 */
export function earliestArrival(): number {
  if (reporting) return earliest;
  reporting = true;
  began = performance.now();
  const worked = processorTime() - used;
  const slept = began - over - worked > SLEPT;
  earliest = slept ? began - Math.max(0, worked - WAKING) : Math.min(before, began);
  setImmediate(endOfTurn);
  return earliest;
}

/**
 * To be called before work that is done between two turns of the event loop: what comes meanwhile is found in the next.
 */
export function turnEnds(): void {
  const now = performance.now();
  const usedNow = processorTime();
  const worked = usedNow - used;
  if (reporting) before = began;
  else if (now - over > AT_ONCE) before = now - over - worked > SLEPT ? now - worked : over;
  reporting = false;
  over = now;
  used = usedNow;
}

/** To be called after such work: what is reported next has waited for its end, or came when all slept. */
export function workEnds(): void {
  over = performance.now();
  used = processorTime();
}

/** To be called where a connection begins or goes on without a report, so that less of what uses the processor is unknown. */
export function attend(): void {
  if (!reporting) turnEnds();
}

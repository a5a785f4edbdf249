import { setImmediate } from "node:timers";

/** The longest delay that the runtime's timers take, in milliseconds. */
const MAX_DELAY = 2 ** 31 - 1;

/**
 * Milliseconds before a deadline from which on the event loop is turned instead of waiting for a timer of
 * the runtime: those keep to ticks of 1 ms, and come up to about 1.3 ms late.
 */
const COARSE = 1.2;

/**
 * Calls `run` once when `performance.now()` reaches `time` (milliseconds), never before and usually
 * within some microseconds of it; soon, if it has passed. What returns is called to cancel.
 *
 * The last milliseconds are waited for in turns of the event loop, so that what comes in from sockets is
 * not held up: precision costs that much processor time for each call.
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
  let timer: ReturnType<typeof setTimeout> | undefined;
  let cancelled = false;
  const check = () => {
    if (cancelled) return;
    const left = time - performance.now();
    if (left <= 0) run();
    else if (left <= COARSE) setImmediate(check);
    else timer = setTimeout(check, Math.min(left - COARSE, MAX_DELAY));
  };
  const left = time - performance.now();
  if (left <= COARSE) setImmediate(check);
  else timer = setTimeout(check, Math.min(left - COARSE, MAX_DELAY));
  return () => {
    cancelled = true;
    if (timer !== undefined) clearTimeout(timer);
  };
}

/**
 * Gives the C library's free memory back to the system, so that a process that runs for weeks stays as large as its
 * work is. Left alone glibc returns only what lies at its heap's end: buffers of some kilobytes come and go between
 * small ones that stay, so the end never sinks, and what a flood needed stays resident.
 *
 * Garbage is the other half: by itself V8 lets it become three times of what is alive, at first some hundred megabytes,
 * and the buffers and sockets that garbage owns wait as long. So the tasks start V8 with `--heap-growing-percent=100`
 * and, for the first time, `--initial-old-space-size=64`.
 *
 * @module
 */
import { OPENSSL_PATHS } from "../carriers/openssl_library.ts";

/** How the tasks of both ends start V8; what measures them starts it so, too. */
export const V8_FLAGS = "--heap-growing-percent=100,--initial-old-space-size=64";

/** Milliseconds between two times of giving back. */
const EVERY = 30_000;

/** Returns the C library's free pages to the system. */
export type Trim = () => Promise<unknown>;

/**
 * The C library's own way to do so (`malloc_trim`); `undefined` where there is none (another library than glibc), or
 * where `--allow-ffi` names no file that it could be found by. Nobody is asked for what is not allowed.
 *
 * It is found among what OpenSSL's library needs, so that the right to OpenSSL is enough. It works in a thread of its
 * own: who wants much memory in that moment waits for it, everything else goes on.
 */
export function trimOfLibc(): Trim | undefined {
  if (Deno.build.os !== "linux") return undefined;
  for (const path of OPENSSL_PATHS) {
    if (Deno.permissions.querySync({ name: "ffi", path }).state !== "granted") continue;
    try {
      const { symbols: { malloc_trim: trim } } = Deno.dlopen(path, {
        malloc_trim: { parameters: ["usize"], result: "i32", nonblocking: true, optional: true },
      });
      return trim === null ? undefined : () => trim(0n);
    } catch {
      // Not there: the next one.
    }
  }
  return undefined;
}

/** Something that goes on until it is stopped. */
export interface GivingBack {
  /** Ends it; resolves when nothing of it runs any more. */
  stop(): Promise<void>;
}

/**
 * Gives back every so many milliseconds by what `find` finds, which is looked for at the first time; never while it
 * still runs. Does not keep the process alive, and does nothing where nothing is found.
 *
 * @example
 * ```ts
 * import { giveMemoryBack } from "./freed_memory.ts";
 * const giving = giveMemoryBack();
 * // The server runs.
 * await giving.stop();
 * ```
 */
export function giveMemoryBack(find = trimOfLibc, every = EVERY): GivingBack {
  let trim: Trim | undefined;
  let running: Promise<unknown> | undefined;
  const timer = setInterval(() => {
    trim ??= find();
    if (trim === undefined) return clearInterval(timer);
    running ??= trim().finally(() => running = undefined);
  }, every);
  timer.unref();
  return {
    stop: async () => {
      clearInterval(timer);
      await running;
    },
  };
}

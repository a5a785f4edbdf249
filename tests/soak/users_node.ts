/**
 * The users of the soak, a process at the client's end: streams through every tunnel's door, all the time.
 * With the argument `far` it is the destination instead. Answers each line by what has happened since the
 * last; the line `enough` begins no more streams.
 *
 * @module
 */
import { seededRandom } from "../../lab/random.ts";
import { say, serveLines } from "./node_lines.ts";
import { memoryNow } from "./memory.ts";
import { DOOR_PORT, FAR_PORT, type SoakTunnel } from "./plan.ts";
import { runStream, startFarEnd, type StreamResult } from "./traffic.ts";

/** What the users' process is given. */
export interface UsersTask {
  readonly seed: string;
  readonly tunnels: readonly SoakTunnel[];
  /** Seconds that the streams which last all the time go on. */
  readonly seconds: number;
}

/** A stream that is over. */
export interface StreamOver extends StreamResult {
  readonly tunnel: number;
  readonly kind: "sizes" | "talk";
}

/** Bytes that a stream in steady small talk sends at a time, and about how often. */
const TALK = { bytes: 60, everyMs: 4000 };
/** Streams at once of each tunnel, besides the one that talks. */
const LOOPS = 2;

async function users({ seconds, seed, tunnels }: UsersTask): Promise<void> {
  const over: StreamOver[] = [];
  const open = new Map<symbol, { tunnel: number; since: number; giveUp: (why: string) => void }>();
  let enough = false;
  const stream = async (tunnel: SoakTunnel, kind: StreamOver["kind"], task: {
    up: number;
    down: number;
    pause?: () => number;
    pieceBytes?: number;
  }) => {
    const key = Symbol();
    const result = await runStream("127.0.0.1", DOOR_PORT + tunnel.index, task, (giveUp) => {
      open.set(key, { tunnel: tunnel.index, since: performance.now(), giveUp });
    });
    open.delete(key);
    over.push({ tunnel: tunnel.index, kind, ...result });
    return result;
  };
  for (const tunnel of tunnels) {
    const random = seededRandom("users", seed, tunnel.index);
    const size = (most: number) => Math.floor(Math.exp(random.float() * Math.log(most)));
    for (let loop = 0; loop < LOOPS; loop++) {
      void (async () => {
        while (!enough) {
          const { fault } = await stream(tunnel, "sizes", {
            up: size(tunnel.most.up),
            down: size(tunnel.most.down),
          });
          const pause = fault === undefined ? random.float() * 2000 : 5000;
          await new Promise((resolve) => setTimeout(resolve, pause));
        }
      })();
    }
    const pieces = Math.floor(1000 * seconds / TALK.everyMs);
    void stream(tunnel, "talk", {
      up: pieces * TALK.bytes,
      down: 100,
      pieceBytes: TALK.bytes,
      pause: () => enough ? 0 : random.float() * 2 * TALK.everyMs,
    });
  }
  say({ ready: true });
  await serveLines((line) => {
    if (line === "enough") enough = true;
    if (line === "give up") {
      for (const { giveUp } of [...open.values()]) giveUp("unfinished when time was up");
    }
    const now = performance.now();
    return {
      memory: memoryNow(line === "collect"),
      over: over.splice(0),
      open: [...open.values()].map(({ since, tunnel }) => ({ tunnel, age: now - since })),
    };
  });
}

if (import.meta.main) {
  if (Deno.args[0] === "far") {
    const server = await startFarEnd("127.0.0.1", FAR_PORT);
    say({ ready: true });
    await serveLines((line) => ({ memory: memoryNow(line === "collect") }));
    server.close();
  } else await users(JSON.parse(Deno.args[0]!) as UsersTask);
  Deno.exit(0);
}

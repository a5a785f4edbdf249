import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import type { TunnelStream } from "../../playback/stream.ts";
import type { TurnBudget } from "./turn_budget.ts";

/**
 * Calls `run` when the call at hand is over: within it cover may have to be answered, and an answer must not come
 * later for what a user does with his bytes.
 */
function afterwards(run: () => void): () => void {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    queueMicrotask(() => {
      asked = false;
      run();
    });
  };
}

/**
 * Copies both ways between a user's socket and a stream of the tunnel until both directions have ended.
 * Each direction ends on its own (half close); either side going wrong resets the other, so that nobody
 * takes a torn stream for a whole one. Backpressure is carried both ways: the socket is read only while
 * the stream has room, the stream only while the socket has.
 *
 * `early` are bytes that came from the socket before. The socket must allow half-open connections and be
 * paused. Resolves when both are done with; never rejects.
 */
export function copyBothWays(
  socket: Socket,
  stream: TunnelStream,
  budget: TurnBudget,
  early: Uint8Array = new Uint8Array(),
): Promise<void> {
  return new Promise((resolve) => {
    let rest = early;
    let upDone = false;
    let downDone = false;
    let over = false;

    const finish = () => {
      if (over || !upDone || !downDone) return;
      over = true;
      socket.destroySoon();
      resolve();
    };
    const tear = () => {
      if (over) return;
      over = true;
      stream.onReadable = undefined;
      stream.onWritable = undefined;
      stream.reset();
      socket.resetAndDestroy();
      resolve();
    };

    // From the socket to the stream.
    let ended = false;
    let reading = false;
    const hold = () => {
      if (reading) socket.pause();
      reading = false;
    };
    const up = () => {
      if (over || upDone) return;
      try {
        if (rest.length > 0) {
          const taken = stream.write(rest);
          budget.spend(taken);
          rest = rest.subarray(taken);
          if (rest.length > 0) return hold(); // onWritable calls again
        }
        if (ended) {
          upDone = true;
          stream.end();
          finish();
        } else if (!budget.open) {
          hold();
          budget.later(up);
        } else if (!reading) {
          reading = true;
          socket.resume();
        }
      } catch {
        tear();
      }
    };
    stream.onWritable = afterwards(up);
    socket.on("data", (bytes: Uint8Array) => {
      rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
      up();
    });
    socket.on("end", () => {
      ended = true;
      up();
    });

    // From the stream to the socket.
    let blocked = false;
    let waiting = false;
    const down = () => {
      if (over || downDone || blocked || waiting) return;
      try {
        while (true) {
          if (!budget.open) {
            waiting = true;
            budget.later(() => {
              waiting = false;
              down();
            });
            return;
          }
          const bytes = stream.read();
          if (bytes === undefined) return; // onReadable calls again
          if (bytes === null) {
            downDone = true;
            socket.end();
            finish();
            return;
          }
          budget.spend(bytes.length);
          if (!socket.write(bytes)) {
            blocked = true;
            return;
          }
        }
      } catch {
        tear();
      }
    };
    stream.onReadable = afterwards(down);
    socket.on("drain", () => {
      blocked = false;
      down();
    });

    socket.on("error", tear);
    socket.on("close", () => {
      // A socket that has ended both ways is whole, though the stream may still have no room for its last bytes.
      if (!ended || !downDone) tear();
    });
    if (socket.destroyed) tear();
    up();
    down();
  });
}

import type net from "node:net";
import { socketReason } from "../../base/mod.ts";

/** Milliseconds that a server has. */
const PATIENCE = 3000;

/**
 * What a server that is being connected to shows of itself, or in words why it shows nothing within three seconds.
 *
 * @param socket what connects; destroyed in the end.
 * @param kind what the server is to be: `TLS server`.
 * @param listen tells `answered` what was shown, or calls `failed` where that is something else.
 */
export function firstAnswer<Answer>(
  socket: net.Socket,
  kind: string,
  listen: (answered: (answer: Answer) => void, failed: () => void) => void,
): Promise<Answer | string> {
  return new Promise((resolve) => {
    let connected = false;
    const done = (seen: Answer | string) => {
      clearTimeout(deadline);
      socket.destroy();
      resolve(seen);
    };
    const failed = (error?: unknown) =>
      done(
        connected || error === undefined
          ? `does not answer as a ${kind}`
          : `cannot be reached (${socketReason(error)})`,
      );
    const deadline = setTimeout(
      () => failed(connected ? undefined : { code: "ETIMEDOUT" }),
      PATIENCE,
    );
    socket.once("connect", () => connected = true);
    listen(done, failed);
    socket.once("error", failed);
    socket.once("close", () => failed());
  });
}

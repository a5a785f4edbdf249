import type { Socket } from "node:net";

/**
 * One dialogue in plaintext: hands what comes to `onData` until that settles it, and resolves with the socket
 * paused and nothing more read; rejects with what it is settled with or thrown, with the socket's error, or with
 * `closed` if the connection ends. A `preface` is sent before anything is read.
 */
export function holdDialogue(
  socket: Socket,
  { closed, preface }: { readonly closed: Error; readonly preface?: string | undefined },
  onData: (bytes: Uint8Array, settle: (error?: Error) => void) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error) => {
      socket.removeListener("data", onBytes);
      socket.removeListener("end", onEnd);
      socket.removeListener("close", onEnd);
      socket.removeListener("error", settle);
      if (error !== undefined) return reject(error);
      socket.pause();
      resolve();
    };
    const onEnd = () => settle(closed);
    const onBytes = (bytes: Uint8Array) => {
      try {
        onData(bytes, settle);
      } catch (error) {
        settle(error as Error);
      }
    };
    socket.on("data", onBytes);
    socket.once("end", onEnd);
    socket.once("close", onEnd);
    socket.once("error", settle);
    if (preface !== undefined) socket.write(preface);
    socket.resume();
  });
}

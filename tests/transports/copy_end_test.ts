import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { connect, createServer, type Socket } from "node:net";
import { copyBothWays, TurnBudget } from "../../transports/doors/mod.ts";
import { PairedStream } from "./helpers.ts";
import { noise } from "./world.ts";

Deno.test("a socket that has ended both ways is no torn one while the stream has no room for its last bytes", async () => {
  const blob = noise(200_000);
  const server = createServer({ allowHalfOpen: true }, (socket: Socket) => {
    socket.resume();
    socket.on("end", () => socket.end(blob));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const { port } = server.address() as { port: number };
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  await new Promise((resolve) => socket.once("connect", resolve));
  socket.pause();
  // The stream holds so little that bytes wait for it long after the socket has closed.
  const [near, far] = PairedStream.pair({ host: "far", port: 1 }, 1000);
  const copied = copyBothWays(socket, far, new TurnBudget());
  near.end();
  const got: Uint8Array[] = [];
  let failed: unknown;
  far.closed.catch((error) => failed = error);
  for (let bytes: Uint8Array | null | undefined; bytes !== null;) {
    try {
      bytes = near.read();
    } catch (error) {
      failed = error;
      break;
    }
    if (bytes instanceof Uint8Array) got.push(bytes);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await copied;
  server.close();
  assert.equal(failed, undefined);
  assert.equal(Buffer.compare(Buffer.concat(got), blob), 0);
});

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

Deno.test("what a user does with his bytes waits until the call that brought them, or room, is over", async () => {
  const server = createServer((socket: Socket) => socket.on("error", () => {}).resume());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const { port } = server.address() as { port: number };
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  await new Promise((resolve) => socket.once("connect", resolve));
  socket.pause();
  const done: string[] = [];
  const [, stream] = PairedStream.pair({ host: "far", port: 1 });
  stream.read = () => void done.push("read");
  stream.write = () => {
    done.push("write");
    return 0;
  };
  const copied = copyBothWays(socket, stream, new TurnBudget(), new Uint8Array(1));
  done.length = 0;
  for (let call = 0; call < 2; call++) {
    stream.onReadable!();
    stream.onWritable!();
    stream.onReadable!();
    // Here the tunnel's caller answers the cover's message.
    done.push("answer");
    assert.deepEqual(done.splice(0), ["answer"]);
    await Promise.resolve();
    assert.deepEqual(done.splice(0), ["read", "write"]);
  }
  stream.onReadable!();
  socket.destroy();
  await copied;
  assert.deepEqual(done, ["read"]);
  server.close();
});

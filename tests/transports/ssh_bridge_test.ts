import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import { type BridgedSession, SshBridge } from "../../transports/carriers/ssh_bridge.ts";

/** The port and the key that a bridge's program contains. */
function inside(program: string): { port: number; key: Uint8Array } {
  const [, port] = /a4 x8", \$AF_INET, (\d+),/.exec(program)!;
  const [, key] = /pack\("H\*", "([0-9a-f]{64})"\)/.exec(program)!;
  return { port: Number(port), key: Buffer.from(key!, "hex") };
}

async function opened(port: number): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port });
  socket.on("error", () => {});
  await new Promise((resolve) => socket.once("connect", resolve));
  return socket.resume();
}

const gone = (socket: Socket) =>
  new Promise<void>((resolve) =>
    socket.destroyed ? resolve() : socket.once("close", () => resolve())
  );

function greeting(key: Uint8Array, said: string): Uint8Array {
  const text = Buffer.from(said, "latin1");
  const size = Buffer.alloc(4);
  size.writeUInt32BE(text.length);
  return Buffer.concat([key, size, text]);
}

Deno.test("ssh: silent connections of other users of the machine to the bridge's port take nobody's place", async () => {
  const sessions = Promise.withResolvers<BridgedSession>();
  const bridge = await SshBridge.listen("/nowhere", 1, (session, channel) => {
    sessions.resolve(session);
    channel.drop();
  });
  const { key, port } = inside(bridge.program);
  const silent: Socket[] = [];
  for (let i = 0; i < 300; i++) silent.push(await opened(port));
  // The oldest have made room, and there is room for who knows the key.
  await Promise.all(silent.slice(0, 300 - 256).map(gone));
  const user = await opened(port);
  user.write(greeting(key, "192.0.2.1 1000 192.0.2.2 22\nls"));
  assert.deepEqual(await sessions.promise, {
    address: "192.0.2.1",
    port: 1000,
    localPort: 22,
    command: "ls",
  });
  // They do not keep a server that has closed from ending.
  bridge.close();
  await Promise.all([user, ...silent].map(gone));
});

Deno.test("ssh: nothing is handed on of who shows another key than the bridge's, or says too much", async () => {
  let sessions = 0;
  const bridge = await SshBridge.listen("/nowhere", 4, () => sessions++);
  const { key, port } = inside(bridge.program);
  for (let byte = 0; byte < key.length; byte += 15) {
    const other = key.slice();
    other[byte]! ^= 1;
    const socket = await opened(port);
    socket.write(greeting(other, "192.0.2.1 1000 192.0.2.2 22\nls"));
    await gone(socket);
  }
  const wordy = await opened(port);
  wordy.write(greeting(key, "x".repeat(65_537)));
  await gone(wordy);
  assert.equal(sessions, 0);
  bridge.close();
});

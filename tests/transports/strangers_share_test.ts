import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import net from "node:net";
import { setImmediate } from "node:timers";
import fc from "fast-check";
import { connectTls, listenTls, makeIdentity } from "../../transports/carriers/mod.ts";
import type { Genuine } from "../../transports/carriers/genuine.ts";
import { sourceOf, Turnstile } from "../../transports/carriers/turnstile.ts";
import { Waiting } from "../../transports/carriers/waiting.ts";
import { guard, StrangersShare } from "../../transports/mimic/decoy.ts";
import { silentConnection } from "./silent_connection.ts";

const turn = () => new Promise<void>((resolve) => setImmediate(() => resolve()));

Deno.test("turnstile: all pass once, a source's in their order, two a turn, and sources take turns", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(3), { minLength: 1, maxLength: 60 }), async (sources) => {
      const turnstile = new Turnstile(() => 0);
      const passed: [number, number][] = [];
      for (const [place, source] of sources.entries()) {
        turnstile.pass(`192.0.2.${source}`, () => passed.push([source, place]));
      }
      assert.equal(passed.length, Math.min(2, sources.length));
      let before = passed.length;
      while (passed.length < sources.length) {
        const [waiting, done] = [turnstile.sources, passed.length];
        await turn();
        assert.ok(passed.length - before <= 2);
        before = passed.length;
        const now = passed.slice(done).map(([source]) => source);
        assert.ok(waiting < 2 || new Set(now).size === now.length, "a source passed twice");
      }
      await turn();
      assert.equal(turnstile.sources, 0);
      for (const source of new Set(sources)) {
        const places = passed.filter(([from]) => from === source).map(([, place]) => place);
        assert.deepEqual(places, [...places].sort((a, b) => a - b));
      }
      assert.equal(new Set(passed.map(([, place]) => place)).size, sources.length);
    }),
    { numRuns: 50 },
  );
});

Deno.test("turnstile: who comes alone waits for one of each other source, not for all that they brought", async () => {
  const turnstile = new Turnstile(() => 0);
  let [flood, before] = [0, NaN];
  for (let i = 0; i < 500; i++) turnstile.pass("198.51.100.7", () => flood++);
  turnstile.pass("192.0.2.1", () => before = flood);
  while (Number.isNaN(before)) await turn();
  assert.ok(before <= 4, `${before} before`);
  while (turnstile.sources > 0) await turn();
  assert.equal(flood, 500);
});

Deno.test("turnstile: long turns let more pass, so that what waits gets its half of the time", async () => {
  let now = 0;
  const turnstile = new Turnstile(() => now);
  let passed = 0;
  for (let i = 0; i < 100; i++) turnstile.pass("192.0.2.1", () => passed++);
  now += 20;
  await turn();
  assert.equal(passed, 2 + 10);
  now += 1000;
  await turn();
  assert.equal(passed, 12 + 16);
});

Deno.test("turnstile: addresses that one peer may choose from are one source", () => {
  fc.assert(fc.property(fc.ipV6(), (address) => {
    const source = sourceOf(address);
    assert.ok(source.length > 0);
    if (!address.includes(".")) assert.equal(source.split(":").length, 4);
  }));
  assert.notEqual(sourceOf("2001:db8:0:1::1"), sourceOf("2001:db8:0:2::1"));
  assert.notEqual(sourceOf("192.0.2.1"), sourceOf("192.0.2.2"));
  assert.equal(sourceOf("::1"), "0:0:0:0");
});

Deno.test("waiting: a flood from one source cuts off itself, its oldest first", () => {
  const waiting = new Waiting(10);
  const cut: string[] = [];
  const come = (remoteAddress: string, name: string) => {
    const raw = Object.assign(new EventEmitter(), { remoteAddress, destroyed: false });
    waiting.add(raw as unknown as net.Socket, () => cut.push(name));
    return raw as unknown as net.Socket;
  };
  const user = come("192.0.2.1", "user");
  for (let i = 0; i < 50; i++) come("198.51.100.7", `flood ${i}`);
  assert.deepEqual(cut, Array.from({ length: 41 }, (_, i) => `flood ${i}`));
  waiting.add(user, () => cut.push("user, later"));
  waiting.delete(user);
  come("198.51.100.7", "one more");
  assert.equal(cut.length, 41);
  waiting.drop();
  assert.equal(cut.length, 41 + 10);
  assert.ok(!cut.includes("user") && !cut.includes("user, later"));
});

/** A genuine server's side that keeps what it is told. */
class Told extends EventEmitter implements Genuine {
  readonly did: string[] = [];
  readonly pending = false;
  readonly writableLength = 0;
  write(bytes: Uint8Array): boolean {
    this.did.push(new TextDecoder().decode(bytes));
    return true;
  }
  end(): void {
    this.did.push("end");
  }
  destroy(): void {
    this.did.push("destroyed");
  }
  resetAndDestroy(): void {
    this.did.push("reset");
  }
  pause(): void {
    this.did.push("pause");
  }
  resume(): void {
    this.did.push("resume");
  }
}

/** A stranger before a guard. */
function stranger(share: StrangersShare) {
  const told = new Told();
  const connection = silentConnection({ genuine: () => told, close: () => {} });
  const decoy = { address: { host: "127.0.0.1", port: 1 }, close: () => Promise.resolve() };
  const nobody = () => assert.fail("nobody proved anything");
  guard(connection, decoy, () => "stranger", nobody, () => {}, undefined, share);
  const say = (text: string) => connection.listener!.onData(new TextEncoder().encode(text));
  return { told, say, connection };
}

Deno.test("guard: strangers begin with the decoy two a turn, each with all that it has said, in its order", async () => {
  const share = new StrangersShare();
  const strangers = Array.from({ length: 12 }, () => stranger(share));
  for (const { connection, say } of strangers) {
    say("a");
    say("b");
    connection.listener!.onClose("fin");
  }
  const begun = () => strangers.filter(({ told }) => told.did.length > 0).length;
  assert.equal(begun(), 2);
  while (begun() < strangers.length) await turn();
  for (const { told } of strangers) assert.deepEqual(told.did, ["a", "b", "end"]);
});

Deno.test("guard: a stranger that is gone before its turn costs the decoy nothing", async () => {
  const share = new StrangersShare();
  const strangers = Array.from({ length: 6 }, () => stranger(share));
  for (const { say } of strangers) say("a");
  for (const { connection } of strangers.slice(2)) connection.listener!.onClose("rst");
  while (share.turnstile.sources > 0) await turn();
  for (const { told } of strangers.slice(2)) assert.ok(!told.did.includes("a"));
});

Deno.test("guard: of decoys' answers so much is read in a turn, and then on", async () => {
  const share = new StrangersShare();
  const { say, told } = stranger(share);
  say("a");
  told.emit("data", new Uint8Array(1000));
  assert.deepEqual(told.did, ["a"]);
  told.emit("data", new Uint8Array(200_000));
  assert.deepEqual(told.did, ["a", "pause"]);
  while (!told.did.includes("resume")) await turn();
  assert.deepEqual(told.did, ["a", "pause", "resume"]);
});

Deno.test("guard: a decoy that has too many connections and closes at once does not take a user with it", async () => {
  for (const how of ["end", "close"] as const) {
    const told = new Told();
    const closed: string[] = [];
    const connection = silentConnection({
      genuine: () => told,
      close: (how) => closed.push(how),
    });
    const decoy = { address: { host: "127.0.0.1", port: 1 }, close: () => Promise.resolve() };
    const admitted: unknown[] = [];
    const judge = ([first]: Uint8Array) => first === 1 ? "proven" : "stranger";
    guard(connection, decoy, judge, (proven) => admitted.push(proven), () => {});
    told.emit("connect");
    told.emit(how);
    assert.deepEqual(closed, []);
    await turn();
    connection.listener!.onData(Uint8Array.of(1));
    assert.deepEqual([admitted, closed], [[connection], []]);
  }
});

Deno.test("guard: such a decoy's end is the stranger's as soon as he shows what he is, or leaves", () => {
  for (const shows of ["word", "fin"] as const) {
    const told = new Told();
    const closed: string[] = [];
    const connection = silentConnection({
      genuine: () => told,
      close: (how) => closed.push(how),
    });
    const decoy = { address: { host: "127.0.0.1", port: 1 }, close: () => Promise.resolve() };
    guard(connection, decoy, () => "stranger", () => assert.fail("nobody"), () => {});
    told.emit("connect");
    told.emit("end");
    told.emit("close");
    if (shows === "word") connection.listener!.onData(Uint8Array.of(2));
    else connection.listener!.onClose("fin");
    assert.deepEqual(closed, ["fin"]);
  }
});

Deno.test("tls: a genuine server that closes at once, having too many connections, does not keep users out", async () => {
  const identity = await makeIdentity("web");
  const genuine = net.createServer((socket) => {
    socket.on("error", () => {});
    socket.destroy();
  });
  await new Promise<void>((resolve) => genuine.listen(0, "127.0.0.1", resolve));
  const got: string[] = [];
  const server = await listenTls({
    hostname: "127.0.0.1",
    port: 0,
    identity,
    genuine: { host: "127.0.0.1", port: (genuine.address() as net.AddressInfo).port },
  }, (connection) => {
    connection.listener = {
      onData: (bytes) => {
        got.push(new TextDecoder().decode(bytes));
        connection.write(bytes.slice());
      },
      onClose: () => {},
    };
  });
  // A client's hello comes a round trip after its connection.
  const open = () =>
    new Promise<net.Socket>((resolve) => {
      const socket = net.connect({ host: "127.0.0.1", port: server.port, allowHalfOpen: true });
      socket.once("connect", () => setTimeout(() => resolve(socket), 50));
    });
  const connection = await connectTls({
    hostname: "127.0.0.1",
    port: server.port,
    pin: identity.pin,
    open,
  });
  const answered = new Promise<void>((resolve, reject) => {
    connection.listener = { onData: () => resolve(), onClose: reject };
  });
  connection.write(new TextEncoder().encode("here"));
  await answered;
  assert.deepEqual(got, ["here"]);
  connection.close("rst");
  await server.close();
  genuine.close();
});

import assert from "node:assert/strict";
import net from "node:net";
import fc from "fast-check";
import { ListenError } from "../../base/mod.ts";
import { formatAddress, parseAddress } from "../../transports/doors/address.ts";
import { copyBothWays } from "../../transports/doors/copy.ts";
import type { OpenStream } from "../../transports/doors/door.ts";
import { listenForward, parseForward } from "../../transports/doors/forward.ts";
import { listenSocks5 } from "../../transports/doors/socks5.ts";
import { Socks5Parser } from "../../transports/doors/socks5_codec.ts";
import { TurnBudget } from "../../transports/doors/turn_budget.ts";
import { PairedStream } from "./helpers.ts";

const text = (value: string) => new TextEncoder().encode(value);
const LOOPBACK = { host: "127.0.0.1", port: 0 };

/** Reads a connection to its end; a reset is an error. */
async function readAll(conn: Deno.Conn): Promise<Uint8Array> {
  return new Uint8Array(await new Response(conn.readable).arrayBuffer());
}

/** A server that copies each of its connections to the far end of a new pair of streams. */
function echoing(capacity = 1000): { open: OpenStream; asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    open: (destination) => {
      asked.push(formatAddress(destination));
      const [near, far] = PairedStream.pair(destination, capacity);
      if (destination.host === "refused.test") queueMicrotask(() => far.refuse(5));
      else if (destination.host === "lost.test") queueMicrotask(() => far.refuse(32));
      else {
        queueMicrotask(() => far.accept());
        let rest: Uint8Array | null | undefined;
        const pump = () => {
          try {
            while (true) {
              if (rest instanceof Uint8Array && rest.length > 0) {
                rest = rest.subarray(far.write(rest));
                if (rest.length > 0) return;
              }
              rest = far.read();
              if (rest === undefined) return;
              if (rest === null) return far.end();
            }
          } catch {
            // Reset: nothing more to echo.
          }
        };
        far.onReadable = pump;
        far.onWritable = pump;
      }
      return near;
    },
  };
}

const GREETING = [5, 1, 0];
const connectTo = (host: string, port: number) => [
  ...[5, 1, 0, 3, host.length, ...text(host), port >> 8, port & 255],
];

/** Sends `bytes` to a SOCKS door, ends, and returns all that comes back. */
async function ask(port: number, bytes: Iterable<number>): Promise<number[]> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port });
  await conn.write(new Uint8Array(bytes));
  await conn.closeWrite();
  return [...await readAll(conn)];
}

Deno.test("socks5: names, IPv4 and IPv6 go to the tunnel as asked, with pipelined data", async () => {
  const { open, asked } = echoing();
  const door = await listenSocks5(LOOPBACK, open, new TurnBudget());
  const requests = [
    connectTo("example.org", 443),
    [5, 1, 0, 1, 192, 0, 2, 7, 0, 80],
    [5, 1, 0, 4, 0x20, 1, 0xd, 0xb8, ...new Array(11).fill(0), 1, 1, 187],
  ];
  for (const request of requests) {
    const answer = await ask(door.port, [...GREETING, ...request, ...text("hello")]);
    assert.deepEqual(answer.slice(0, 12), [5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert.equal(String.fromCharCode(...answer.slice(12)), "hello");
  }
  assert.deepEqual(asked, ["example.org:443", "192.0.2.7:80", "[2001:db8:0:0:0:0:0:1]:443"]);
  await door.close();
});

Deno.test("socks5: failures come back as the reply codes of RFC 1928", async () => {
  const { open, asked } = echoing();
  const door = await listenSocks5(LOOPBACK, open, new TurnBudget());
  const codes: [number[], number[]][] = [
    [connectTo("refused.test", 80), [5, 0, 5, 5]],
    [connectTo("lost.test", 80), [5, 0, 5, 1]],
    [[5, 2, 0, 1, 127, 0, 0, 1, 0, 80], [5, 0, 5, 7]],
    [[5, 3, 0, 1, 127, 0, 0, 1, 0, 80], [5, 0, 5, 7]],
    [[5, 1, 0, 9, 127, 0, 0, 1, 0, 80], [5, 0, 5, 8]],
    [connectTo("example.org", 0), [5, 0, 5, 1]],
    [connectTo("bad host", 80), [5, 0, 5, 1]],
  ];
  for (const [request, start] of codes) {
    const answer = await ask(door.port, [...GREETING, ...request]);
    assert.deepEqual(answer.slice(0, 4), start);
    assert.equal(answer.length, 12);
  }
  assert.deepEqual(await ask(door.port, [5, 1, 2]), [5, 0xff]);
  assert.deepEqual(await ask(door.port, text("GET / HTTP/1.1\r\n\r\n")), []);
  assert.deepEqual(asked, ["refused.test:80", "lost.test:80"]);
  await door.close();
});

Deno.test("socks5: the request is read however it is cut, and no bytes make the parser throw", () => {
  const request = new Uint8Array([...GREETING, ...connectTo("example.org", 443), 1, 2, 3]);
  fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 30 }), (cuts) => {
    const parser = new Socks5Parser();
    const replies: number[] = [];
    let at = 0;
    for (const cut of cuts) {
      const step = parser.push(request.subarray(at, at + cut));
      at += cut;
      replies.push(...step.reply);
      assert.equal(step.failed, false);
      if (step.request === undefined) continue;
      assert.deepEqual(step.request, { host: "example.org", port: 443 });
      assert.deepEqual(replies, [5, 0]);
      assert.deepEqual(
        [...step.rest!, ...request.subarray(Math.min(at, request.length))],
        [1, 2, 3],
      );
      return;
    }
    assert.fail("the request was not found");
  }));
  const start = fc.constantFrom([], [5], [5, 1, 0], [5, 1, 0, 5, 1, 0], [5, 1, 0, 5, 1, 0, 3]);
  fc.assert(
    fc.property(start, fc.array(fc.uint8Array({ maxLength: 40 })), (head, chunks) => {
      const parser = new Socks5Parser();
      let fed = 0;
      for (const chunk of [new Uint8Array(head), ...chunks]) {
        const step = parser.push(chunk);
        fed += chunk.length;
        if (step.failed || step.request !== undefined) return;
        assert.ok(fed <= 519, "a request is found or refused within 519 bytes");
      }
    }),
    { numRuns: 3000 },
  );
});

Deno.test("forward: both directions and the half close, with small windows", async () => {
  const { open, asked } = echoing(700);
  const door = await listenForward(
    parseForward("127.0.0.1:0=example.org:80"),
    open,
    new TurnBudget(3000),
  );
  const sent = new Uint8Array(300_000);
  for (let i = 0; i < sent.length; i++) sent[i] = i * 7 >>> 2;
  const conn = await Deno.connect({ hostname: "127.0.0.1", port: door.port });
  const back = readAll(conn);
  for (let at = 0; at < sent.length;) at += await conn.write(sent.subarray(at));
  await conn.closeWrite();
  assert.deepEqual(await back, sent);
  assert.deepEqual(asked, ["example.org:80"]);
  await door.close();
});

Deno.test("forward: a stream that fails resets the user, and a user's reset the stream", async () => {
  const far: PairedStream[] = [];
  const door = await listenForward(parseForward("0=example.org:80"), (destination) => {
    const [a, b] = PairedStream.pair(destination);
    far.push(b);
    return a;
  }, new TurnBudget());
  const first = await Deno.connect({ hostname: "127.0.0.1", port: door.port });
  await first.write(text("x"));
  while (far.length < 1) await new Promise((resolve) => setTimeout(resolve, 1));
  far[0]!.reset();
  await assert.rejects(readAll(first), Deno.errors.ConnectionReset);
  const second = net.connect({ host: "127.0.0.1", port: door.port });
  second.write("x");
  while (far.length < 2) await new Promise((resolve) => setTimeout(resolve, 1));
  second.resetAndDestroy();
  await assert.rejects(far[1]!.closed);
  await door.close();
});

Deno.test("copy: what one side does not take is not read from the other", async () => {
  const listener = net.createServer({ allowHalfOpen: true, pauseOnConnect: true });
  const accepted = Promise.withResolvers<net.Socket>();
  listener.on("connection", (socket) => accepted.resolve(socket));
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", () => resolve()));
  const { port } = listener.address() as net.AddressInfo;
  const conn = await Deno.connect({ hostname: "127.0.0.1", port });
  const [near, far] = PairedStream.pair({ host: "h", port: 1 }, 1000);
  const done = copyBothWays(await accepted.promise, near, new TurnBudget());
  let written = 0;
  let blocked = false;
  const block = new Uint8Array(1 << 20);
  const writing = (async () => {
    while (!blocked) written += await conn.write(block);
  })();
  let before = -1;
  while (written !== before || before === 0) {
    before = written;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  blocked = true;
  assert.equal(far.read()?.length, 1000);
  far.reset();
  await done;
  await writing.catch(() => {});
  conn.close();
  await new Promise((resolve) => listener.close(resolve));
});

Deno.test("doors: a port in use is one clear line, and so are wrong options", async () => {
  const { open } = echoing();
  const door = await listenSocks5(LOOPBACK, open, new TurnBudget());
  await assert.rejects(
    listenSocks5({ host: "127.0.0.1", port: door.port }, open, new TurnBudget()),
    (error: Error) =>
      error instanceof ListenError &&
      error.message ===
        `cannot listen on 127.0.0.1:${door.port}: it is in use: choose another with --socks`,
  );
  await door.close();
  for (const bad of ["", "a", "a:", "a:70000", "::1:80", "[::1", "[zz]:1", "a b:1", "a@b:1"]) {
    assert.throws(() => parseAddress(bad, "--listen"), /--listen/);
  }
  assert.deepEqual(parseAddress("1080", "--socks", "127.0.0.1"), { host: "127.0.0.1", port: 1080 });
  assert.throws(() => parseAddress("1080", "--listen"), /HOST:PORT/);
  assert.throws(() => parseForward("8080"), /LOCAL=HOST:PORT/);
  assert.throws(() => parseForward("8080=example.org:0"), /--forward/);
  assert.deepEqual(parseForward("[::1]:8080=[2001:db8::1]:80"), {
    local: { host: "::1", port: 8080 },
    destination: { host: "2001:db8::1", port: 80 },
  });
});

Deno.test("budget: copying yields the turn, in order", async () => {
  const budget = new TurnBudget(100);
  const order: string[] = [];
  budget.spend(100);
  assert.equal(budget.open, false);
  const done = Promise.withResolvers<void>();
  setTimeout(() => order.push("timer"), 0);
  for (let i = 0; i < 3; i++) {
    budget.later(() => {
      budget.spend(100);
      order.push(`copy ${i}`);
      if (i === 2) done.resolve();
    });
  }
  await done.promise;
  assert.deepEqual(order.filter((step) => step !== "timer"), ["copy 0", "copy 1", "copy 2"]);
});

import assert from "node:assert/strict";
import { type CarrierConnection, connectTls, listenTls } from "../../transports/carriers/mod.ts";
import { makeIdentity } from "../../transports/carriers/mod.ts";
import {
  type Decoy,
  foreignDecoy,
  guard,
  startBuiltInDecoy,
} from "../../transports/mimic/decoy.ts";
import { makeDecoyPages } from "../../transports/mimic/decoy_page.ts";
import { HELLO_LENGTH, helloProof, judgeHello, newSecret } from "../../transports/mimic/proof.ts";
import { Collector } from "./helpers.ts";

const identity = await makeIdentity("web");
const secret = newSecret();
const bytes = (text: string) => new TextEncoder().encode(text);
const string = (from: Uint8Array) => new TextDecoder().decode(from);

/** A guarded TLS server before `decoy`. */
async function guarded(decoy: Decoy) {
  const proven: CarrierConnection[] = [];
  let open = 0;
  const stops = new Set<() => void>();
  const server = await listenTls(
    { hostname: "127.0.0.1", port: 0, identity },
    (connection) => {
      open++;
      const stop = guard(
        connection,
        decoy,
        (first) =>
          judgeHello(first, connection.certificateDigest, [secret]) === undefined
            ? "stranger"
            : "proven",
        (admitted) => proven.push(admitted),
        () => {
          open--;
          stops.delete(stop);
        },
      );
      stops.add(stop);
    },
  );
  return {
    proven,
    open: () => open,
    connect: () => connectTls({ hostname: "127.0.0.1", port: server.port, pin: identity.pin }),
    stop: async () => {
      for (const stop of [...stops]) stop();
      await server.close();
      await decoy.close();
    },
  };
}

/** What a plain connection to the decoy itself answers to `request` followed by the client's end. */
async function direct(decoy: Decoy, request: Uint8Array): Promise<string> {
  const conn = await Deno.connect({ hostname: decoy.address.host, port: decoy.address.port });
  await conn.write(request);
  await conn.closeWrite();
  return (await new Response(conn.readable).text()).replace(/date: [^\r]*/i, "date: -");
}

Deno.test("decoy: whoever does not prove the secret gets the decoy's own answers", async () => {
  const decoy = startBuiltInDecoy(makeDecoyPages());
  const server = await guarded(decoy);
  const hello = helloProof(secret, identity.digest, 0, 0).first;
  const probes: Uint8Array[] = [
    bytes("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    bytes("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    bytes("GET /missing HTTP/1.0\r\n\r\n"),
    bytes("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"),
    bytes("no such protocol\r\n\r\n"),
    new Uint8Array(200).fill(7),
    new Uint8Array([0]),
    helloProof(newSecret(), identity.digest, 0, 0).first,
    helloProof(secret, new Uint8Array(32), 0, 0).first,
    hello.subarray(0, 35),
    hello.subarray(0, 4),
  ];
  for (const probe of probes) {
    const expected = await direct(decoy, probe);
    const connection = await server.connect();
    const seen = new Collector(connection);
    connection.write(probe);
    await seen.closed;
    connection.close("fin");
    assert.equal(string(seen.bytes()).replace(/date: [^\r]*/i, "date: -"), expected);
  }
  assert.equal(server.proven.length, 0);
  await server.stop();
  assert.equal(server.open(), 0);
});

Deno.test("decoy: a proof ends it, and no byte is lost", async () => {
  const server = await guarded(startBuiltInDecoy(makeDecoyPages()));
  const connection = await server.connect();
  const seen = new Collector(connection);
  connection.write(new Uint8Array([...helloProof(secret, identity.digest, 0, 0).first, 1, 2, 3]));
  while (server.proven.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  const atServer = new Collector(server.proven[0]!);
  const first = await atServer.waitFor(HELLO_LENGTH + 3);
  assert.deepEqual([...first.subarray(HELLO_LENGTH)], [1, 2, 3]);
  server.proven[0]!.write(bytes("welcome"));
  assert.equal(string(await seen.waitFor(7)), "welcome");
  connection.close("fin");
  assert.equal(await atServer.closed, "fin");
  server.proven[0]!.close("fin");
  await server.stop();
});

Deno.test("decoy: a plain web server is left alone by whoever proves himself within some milliseconds", async () => {
  let reached = 0;
  const web = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const reaching = (async () => {
    for await (const conn of web) {
      reached++;
      conn.close();
    }
  })();
  let listener: CarrierConnection["listener"];
  const seen: string[] = [];
  const connection = (): CarrierConnection => ({
    grid: { overhead: 22, maxPayload: 16_384 },
    id: "1",
    certificateDigest: new Uint8Array(32),
    localPort: 1,
    remoteAddress: "",
    remotePort: 1,
    queued: 0,
    get listener() {
      return listener;
    },
    set listener(own) {
      listener = own;
    },
    write: () => {},
    unread: () => {},
    close: (how) => void seen.push(how),
  });
  const { hostname, port } = web.addr as Deno.NetAddr;
  const decoy = foreignDecoy({ host: hostname, port });
  const guardOne = (verdict: "proven" | "stranger", onProven: () => void) =>
    new Promise<void>((resolve) => {
      guard(connection(), decoy, () => verdict, onProven, resolve);
      if (verdict === "proven") listener!.onData(new Uint8Array(1));
    });
  // The answer goes before what is left to do of the decoy's.
  await guardOne("proven", () => seen.push("answer")).then(() => seen.push("over"));
  assert.deepEqual(seen.splice(0), ["answer", "over"]);
  // A silent peer, who begins later, meets it all the same.
  await Promise.race([
    guardOne("stranger", () => {}),
    new Promise<void>((resolve) => {
      const look = setInterval(() => {
        if (reached === 0 || seen.length === 0) return;
        clearInterval(look);
        listener!.onClose("fin");
        resolve();
      }, 1);
    }),
  ]);
  assert.equal(reached, 1);
  assert.deepEqual(seen, ["fin"]);
  web.close();
  await reaching;
});

Deno.test("decoy: it is there from accept on, and its closing is mirrored", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const server = await guarded(foreignDecoy({ host: "127.0.0.1", port: listener.addr.port }));
  // It closes on a peer that says nothing.
  const silent = await server.connect();
  const first = new Collector(silent);
  (await listener.accept()).close();
  assert.equal(await first.closed, "fin");
  silent.close("fin");
  // It speaks first: whatever the peer says then is the decoy's.
  const late = await server.connect();
  const second = new Collector(late);
  const greeting = await listener.accept();
  await greeting.write(bytes("220 hello\r\n"));
  await second.waitFor(11);
  const hello = helloProof(secret, identity.digest, 0, 0).first;
  late.write(hello);
  const buffer = new Uint8Array(100);
  assert.equal(await greeting.read(buffer), hello.length);
  // Connect and close.
  late.close("fin");
  assert.equal(await greeting.read(buffer), null);
  greeting.close();
  await second.closed;
  const brief = await server.connect();
  const third = new Collector(brief);
  const visited = await listener.accept();
  brief.close("fin");
  assert.equal(await visited.read(buffer), null);
  visited.close();
  await third.closed;
  assert.equal(server.proven.length, 0);
  await server.stop();
  listener.close();
});

Deno.test("decoy: a long answer arrives whole, an endless upload that nobody reads is cut off", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const server = await guarded(foreignDecoy({ host: "127.0.0.1", port: listener.addr.port }));
  const connection = await server.connect();
  const seen = new Collector(connection);
  connection.write(bytes("hello"));
  const conn = await listener.accept();
  const big = new Uint8Array(3_000_000);
  for (let i = 0; i < big.length; i++) big[i] = i >>> 4;
  for (let at = 0; at < big.length;) at += await conn.write(big.subarray(at));
  await conn.closeWrite();
  await seen.closed;
  assert.deepEqual(seen.bytes(), big);
  conn.close();
  connection.close("fin");
  const flood = await server.connect();
  const cut = new Collector(flood);
  const deaf = await listener.accept();
  const block = new Uint8Array(16_384);
  while (server.open() > 0) {
    for (let i = 0; i < 64; i++) flood.write(block);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await cut.closed;
  flood.close("rst");
  deaf.close();
  await server.stop();
  listener.close();
});

Deno.test("decoy: where it cannot be reached, strangers are reset and users get in", async () => {
  const gone = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  gone.close();
  const server = await guarded(foreignDecoy({ host: "127.0.0.1", port: gone.addr.port }));
  const [user, stranger] = [await server.connect(), await server.connect()];
  new Collector(user);
  const seen = new Collector(stranger);
  await new Promise((resolve) => setTimeout(resolve, 20));
  user.write(helloProof(secret, identity.digest, 0, 0).first);
  stranger.write(bytes("GET / HTTP/1.0\r\n\r\n"));
  assert.equal(await seen.closed, "rst");
  while (server.proven.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  user.close("rst");
  server.proven[0]!.close("rst");
  stranger.close("rst");
  await server.stop();
});

Deno.test("decoy: each installation's pages are its own", () => {
  const pages = new Set(Array.from({ length: 50 }, () => makeDecoyPages().home));
  assert.equal(pages.size, 50);
  for (const page of pages) assert.match(page, /^<!DOCTYPE html>/);
});

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { captureLive, LiveCaptureError } from "../../capture/live.ts";
import { type CarrierConnection, connectTls, listenTls } from "../../transports/carriers/mod.ts";
import { makeIdentity } from "../../transports/carriers/mod.ts";
import {
  connectDestination,
  DestinationError,
  formatLine,
  formatSecret,
  helloProof,
  isPrivateAddress,
  LineError,
  newSecret,
  NoProof,
  parseLine,
  type StandaloneClient,
  type StandaloneServer,
  startBuiltInDecoy,
  startClient,
  startServer,
  TmClient,
  TmServer,
  WrongSecret,
} from "../../transports/mimic/mod.ts";
import { makeDecoyPages } from "../../transports/mimic/decoy_page.ts";
import { Collector } from "./helpers.ts";
import { builtinModel, type CoverModel } from "../../models/mod.ts";
import { cuttingRelay, FAST_MODEL, noise } from "./world.ts";

const LOOPBACK = { host: "127.0.0.1", port: 0 };
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

function server(state: string, port = 0, allowPrivate = true): Promise<StandaloneServer> {
  return startServer({
    listen: { host: "127.0.0.1", port },
    models: [FAST_MODEL],
    state,
    allowPrivate,
  });
}

/** A client with one door, which leads to `port` here. */
function clientTo(
  line: string,
  port: number,
  more: Partial<Parameters<typeof startClient>[0]> = {},
): Promise<StandaloneClient> {
  return startClient({
    line: parseLine(line),
    model: FAST_MODEL,
    seed: crypto.getRandomValues(new Uint8Array(32)),
    forwards: [{ local: LOOPBACK, destination: { host: "127.0.0.1", port } }],
    ...more,
  });
}

/** Whether this process may record on the loopback interface. */
async function mayRecord(): Promise<boolean> {
  try {
    await captureLive("lo", () => {}, { signal: AbortSignal.timeout(300) });
    return true;
  } catch (error) {
    if (error instanceof LiveCaptureError) return false;
    throw error;
  }
}

/** Echoes every connection, and counts them. */
function echoServer() {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const handled = (async () => {
    for await (const conn of listener) conn.readable.pipeTo(conn.writable).catch(() => {});
  })();
  return {
    port: listener.addr.port,
    close: async () => {
      listener.close();
      await handled.catch(() => {});
    },
  };
}

async function exchange(port: number, bytes: Uint8Array): Promise<Uint8Array> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port });
  const back = new Response(conn.readable).arrayBuffer();
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
  await conn.closeWrite();
  return new Uint8Array(await back);
}

const ROLES = (["client", "server"] as const).flatMap((master) =>
  (["derived", "embedded"] as const).map((form) => ({ master, form }))
);

for (const { form, master } of ROLES) {
  Deno.test(`tunnel: cover connections cut all the time lose nothing (${master} leads, ${form})`, async () => {
    const state = await Deno.makeTempDir();
    const far = await server(state);
    const echo = echoServer();
    let connections = 0;
    const relay = cuttingRelay(
      far.address,
      // Every other connection is cut, somewhere in its life of about 250,000 bytes.
      () => ++connections % 2 === 1 ? 30_000 + Math.random() * 200_000 : Infinity,
    );
    const near = await clientTo(far.line, echo.port, {
      connect: { host: "127.0.0.1", port: relay.port },
      sessions: 4,
      form,
      master,
    });
    const sent = noise(500_000);
    const answers = await Promise.all([1, 2, 3].map(() => exchange(near.doors[0]!.port, sent)));
    for (const back of answers) assert.equal(sha256(back), sha256(sent));
    assert.ok(relay.cuts() >= 2, `only ${relay.cuts()} cuts`);
    await near.close();
    await relay.close();
    await far.close();
    await echo.close();
    await Deno.remove(state, { recursive: true });
  });
}

for (const master of ["client", "server"] as const) {
  Deno.test(`tunnel: idle or saturated, one seed plays the same connections, message by message (${master} leads)`, async () => {
    const model = await builtinModel("https");
    const played = async (busy: boolean): Promise<Map<string, string[]>> => {
      const state = await Deno.makeTempDir();
      const echo = echoServer();
      const far = await startServer({
        listen: LOOPBACK,
        models: [model],
        state,
        allowPrivate: true,
        wireLog: `${state}/server.jsonl`,
        leadSeed: new Uint8Array(32).fill(4),
      });
      const near = await clientTo(far.line, echo.port, {
        model,
        master,
        sessions: 8,
        seed: new Uint8Array(32).fill(3),
        wireLog: `${state}/client.jsonl`,
      });
      const user = busy
        ? exchange(near.doors[0]!.port, noise(1_000_000)).catch(() => {})
        : undefined;
      while (near.stats.completed < 12) await new Promise((done) => setTimeout(done, 10));
      if (busy) assert.ok(near.stats.data > 0);
      await near.close();
      await far.close();
      await user;
      await echo.close();
      const connections = new Map<string, string[]>();
      for (const end of ["client", "server"]) {
        for (const json of (await Deno.readTextFile(`${state}/${end}.jsonl`)).trim().split("\n")) {
          const { session, serial, what, size } = JSON.parse(json);
          if (what !== "record") continue;
          const name = `${end} ${session}/${serial}`;
          connections.set(name, [...connections.get(name) ?? [], size]);
        }
      }
      await Deno.remove(state, { recursive: true });
      return connections;
    };
    const [idle, busy] = [await played(false), await played(true)];
    let compared = 0;
    for (const [name, sizes] of idle) {
      const other = busy.get(name) ?? [];
      const length = Math.min(sizes.length, other.length);
      assert.deepEqual(other.slice(0, length), sizes.slice(0, length), name);
      compared += length;
    }
    assert.ok(compared >= 24, `only ${compared} records were compared`);
  });
}

for (const { form, master } of ROLES) {
  Deno.test(`tunnel: sessions end and others follow, none is taken for a stranger (${master} leads, ${form})`, async () => {
    const message = (size: number) => ({ type: "data", size, time: 1 }) as const;
    const restless: CoverModel = {
      description: { ...FAST_MODEL.description, name: "restless", digest: "5".repeat(64) },
      session: (random) => ({ pauses: new Array(1 + random.integer(2)).fill(2) }),
      episode: (random) => ({ starts: new Array(1 + random.integer(4)).fill(1) }),
      connectionGap: () => "close",
      connection: (random) => ({
        exchanges: [
          { request: message(100 + random.integer(2000)), response: [message(1500)] },
          { request: message(40), response: [message(40 + random.integer(9000))] },
        ],
        close: { by: random.integer(2) === 0 ? "client" : "server", how: "fin", time: 1 },
      }),
    };
    const state = await Deno.makeTempDir();
    const echo = echoServer();
    const notes: string[] = [];
    const onNote = (text: string) => notes.push(text);
    const far = await startServer({
      listen: LOOPBACK,
      models: [restless],
      state,
      allowPrivate: true,
      onNote,
    });
    const near = await clientTo(far.line, echo.port, {
      model: restless,
      sessions: 5,
      master,
      form,
      onNote,
      wireLog: `${state}/client.jsonl`,
    });
    const sent = noise(200_000);
    assert.equal(sha256(await exchange(near.doors[0]!.port, sent)), sha256(sent));
    assert.equal(near.stats.unclean, 0);
    assert.deepEqual(notes, []);
    assert.equal(far.server.tunnels, 1);
    await near.close();
    await far.close();
    await echo.close();
    const events = (await Deno.readTextFile(`${state}/client.jsonl`)).trim().split("\n")
      .map((json) => JSON.parse(json));
    const opened = events.filter(({ what }) => what === "open");
    const sessions = new Set(opened.map(({ session }) => session));
    assert.ok(sessions.size > 15, `only ${sessions.size} sessions`);
    // Once the server is known, user data goes from a connection's first message on.
    const firsts = events.filter(({ what }, i) =>
      what === "record" && events[i - 1]!.what === "open"
    );
    assert.ok(firsts.some(({ data }) => data > 0));
    await Deno.remove(state, { recursive: true });
  });
}

Deno.test("tunnel: a server that leads nobody is one clear error", async () => {
  const state = await Deno.makeTempDir();
  const far = await startServer({
    listen: LOOPBACK,
    models: [FAST_MODEL],
    state,
    play: { master: "client" },
  });
  assert.match(far.line, / master=client/);
  await assert.rejects(
    clientTo(far.line, 9, { master: "server" }),
    /the server will not be master: use --master client/,
  );
  await far.close();
  await Deno.remove(state, { recursive: true });
});

/** Connections whose first message says how they end: by whom and how. */
const ENDINGS = (["client", "server"] as const).flatMap((by) =>
  (["fin", "rst"] as const).map((how) => ({ by, how }))
);
const CLOSING: CoverModel = {
  description: { ...FAST_MODEL.description, name: "closing", digest: "6".repeat(64) },
  session: () => ({ pauses: [0, 30] }),
  episode: () => ({ starts: [0, 5, 0] }),
  connectionGap: () => "close",
  connection: (random) => {
    const ending = random.integer(ENDINGS.length);
    return {
      exchanges: [{
        request: { type: "data", size: 1000 * (1 + ending), time: 1 },
        response: [{ type: "data", size: 3000, time: 2 }],
      }],
      close: { ...ENDINGS[ending]!, time: 5 },
    };
  },
};

const privileged = await mayRecord();

for (const { form, master } of ROLES) {
  Deno.test({
    name: `privileged: tunnel: who closes, by FIN or RST, as recorded (${master} leads, ${form})`,
    ignore: !privileged,
    fn: async () => {
      const state = await Deno.makeTempDir();
      const echo = echoServer();
      const far = await startServer({
        listen: LOOPBACK,
        models: [CLOSING],
        state,
        allowPrivate: true,
      });
      const stop = new AbortController();
      const first = new Map<number, string>();
      const fins = new Map<number, Set<string>>();
      let seen = 0;
      const recording = captureLive("lo", ({ destinationPort, flags, sourcePort }) => {
        seen++;
        const by = sourcePort === far.address.port ? "server" : "client";
        const port = by === "client" ? sourcePort : destinationPort;
        const how = (flags & 4) !== 0 ? "rst" : (flags & 1) !== 0 ? "fin" : undefined;
        if (how !== undefined && !first.has(port)) first.set(port, `${by} ${how}`);
        if (how === "fin") fins.set(port, (fins.get(port) ?? new Set()).add(by));
      }, { filter: `tcp port ${far.address.port}`, signal: stop.signal });
      // tcpdump needs a moment to listen.
      while (seen === 0) {
        (await Deno.connect({ hostname: "127.0.0.1", port: far.address.port })).close();
        await new Promise((done) => setTimeout(done, 50));
      }
      const near = await clientTo(far.line, echo.port, {
        model: CLOSING,
        master,
        form,
        sessions: 2,
        wireLog: `${state}/client.jsonl`,
      });
      const sent = noise(30_000);
      assert.equal(sha256(await exchange(near.doors[0]!.port, sent)), sha256(sent));
      while (near.stats.completed < 60) await new Promise((done) => setTimeout(done, 10));
      const { unclean } = near.stats;
      await near.close();
      await far.close();
      await echo.close();
      await new Promise((done) => setTimeout(done, 300));
      stop.abort();
      await recording;
      assert.equal(unclean, 0);
      const events = (await Deno.readTextFile(`${state}/client.jsonl`)).trim().split("\n")
        .map((json) => JSON.parse(json));
      const planned = new Map<number, string>();
      for (const { connection, size, what } of events) {
        if (what !== "record" || planned.has(Number(connection))) continue;
        const ending = ENDINGS[size / 1000 - 1];
        if (ending !== undefined) planned.set(Number(connection), `${ending.by} ${ending.how}`);
      }
      const ended = events.filter(({ what }) => what === "close").slice(0, 55);
      const kinds = new Set<string>();
      let compared = 0;
      for (const { connection } of ended) {
        const plan = planned.get(Number(connection));
        if (plan === undefined) continue;
        // On a busy machine the kernel drops packets of a recording: a connection of which one FIN was recorded
        // and not the other does not tell whose was the first.
        const recorded = first.get(Number(connection));
        if (recorded === undefined) continue;
        if (recorded.endsWith("fin") && fins.get(Number(connection))!.size < 2) continue;
        assert.equal(recorded, plan, `port ${connection}: ${recorded}, not ${plan}`);
        kinds.add(plan);
        compared++;
      }
      assert.ok(compared > 40, `only ${compared}`);
      assert.equal(kinds.size, 4);
      await Deno.remove(state, { recursive: true });
    },
  });
}

Deno.test("tunnel: a server that was restarted keeps its keys, and the client begins a new tunnel", async () => {
  const state = await Deno.makeTempDir();
  const echo = echoServer();
  const first = await server(state);
  const notes: string[] = [];
  const near = await clientTo(first.line, echo.port, { onNote: (text) => notes.push(text) });
  const hanging = await Deno.connect({ hostname: "127.0.0.1", port: near.doors[0]!.port });
  await hanging.write(new Uint8Array(10));
  assert.equal(await hanging.read(new Uint8Array(10)), 10);
  await first.close();
  const second = await server(state, first.address.port);
  assert.equal(second.line, first.line);
  // The old stream is gone with the old server: an error, not silence and not an end.
  await assert.rejects(hanging.read(new Uint8Array(10)), Deno.errors.ConnectionReset);
  hanging.close();
  const sent = noise(50_000);
  assert.equal(sha256(await exchange(near.doors[0]!.port, sent)), sha256(sent));
  assert.ok(notes.some((note) => note.includes("new one") || note.includes("new tunnel")));
  await near.close();
  await second.close();
  await echo.close();
  await Deno.remove(state, { recursive: true });
});

Deno.test("tunnel: who does not hold the secret cannot read what goes before the server's proof", async () => {
  const identity = await makeIdentity("web");
  const marker = new TextEncoder().encode("the user's own bytes, nobody else's");
  const meet = async (behaviour: "silent" | "wrong answer" | "closes") => {
    const seen: number[][] = [];
    const open = new Set<CarrierConnection>();
    const listening = await listenTls(
      { hostname: "127.0.0.1", port: 0, identity },
      (connection) => {
        const bytes: number[] = [];
        seen.push(bytes);
        open.add(connection);
        connection.listener = {
          onData: (data) => {
            bytes.push(...data);
            if (behaviour === "wrong answer") connection.write(new Uint8Array(11_978));
            if (behaviour === "closes" && bytes.length > 30_000) connection.close("fin");
          },
          onClose: () => {
            open.delete(connection);
            connection.close("fin");
          },
        };
      },
    );
    const line = formatLine({
      address: { host: "127.0.0.1", port: listening.port },
      cert: identity.pin,
      secret: newSecret(),
      model: "fast",
      digest: FAST_MODEL.description.digest,
      carrier: "tls",
    });
    const door = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const local = { host: "127.0.0.1", port: door.addr.port };
    door.close();
    const starting = clientTo(line, 9, {
      forwards: [{ local, destination: { host: "127.0.0.1", port: 9 } }],
      attempts: 2,
    });
    const failure = starting.then(() => undefined, (error: unknown) => error);
    let user: Deno.Conn | undefined;
    while (user === undefined) {
      user = await Deno.connect({ hostname: "127.0.0.1", port: local.port }).catch(() => undefined);
    }
    await user.write(marker);
    if (behaviour === "silent") {
      // All of a connection's messages have been sent, and nothing else.
      while ((seen[0]?.length ?? 0) < 11_978) await new Promise((done) => setTimeout(done, 5));
      for (const connection of [...open]) connection.close("rst");
      while ((seen[1]?.length ?? 0) < 11_978) await new Promise((done) => setTimeout(done, 5));
      await listening.close();
      for (const connection of [...open]) connection.close("rst");
    }
    const error = await failure;
    if (behaviour === "wrong answer") assert.ok(error instanceof WrongSecret);
    if (behaviour === "closes") assert.ok(error instanceof NoProof, String(error));
    assert.ok(error instanceof Error);
    user.close();
    await listening.close();
    for (const bytes of seen) {
      assert.ok(!String.fromCharCode(...bytes).includes(String.fromCharCode(...marker)));
    }
    assert.ok(seen.length > 0);
  };
  await Promise.all([meet("silent"), meet("wrong answer"), meet("closes")]);
});

Deno.test("tunnel: a replayed first flight meets the decoy, and no tunnel comes of it", async () => {
  const identity = await makeIdentity("web");
  const secret = newSecret();
  const decoy = startBuiltInDecoy(makeDecoyPages());
  const tm = new TmServer({ secrets: [secret], models: [FAST_MODEL], decoy });
  const listening = await listenTls({ hostname: "127.0.0.1", port: 0, identity }, tm.accept);
  const connect = () =>
    connectTls({ hostname: "127.0.0.1", port: listening.port, pin: identity.pin });
  const { first, answer } = helloProof(secret, identity.digest, 0, 0);
  const flight = new Uint8Array(600);
  flight.set(first);
  const genuine = await connect();
  const proven = new Collector(genuine);
  genuine.write(flight);
  assert.deepEqual((await proven.waitFor(16)).subarray(0, 16), answer);
  const replay = await connect();
  const fooled = new Collector(replay);
  replay.write(flight);
  await fooled.closed;
  assert.match(new TextDecoder().decode(fooled.bytes()), /^HTTP\/1.1 400/);
  assert.equal(tm.tunnels, 1);
  assert.equal(tm.strangers, 0);
  genuine.close("rst");
  replay.close("rst");
  tm.stop();
  await listening.close();
  await decoy.close();
});

Deno.test("destinations: private addresses are refused in every spelling, public ones are not", async () => {
  const own = ("127.0.0.1 127.9.9.9 0.0.0.0 10.1.2.3 172.16.0.1 172.31.255.255 192.168.1.1 " +
    "169.254.169.254 100.64.0.1 224.0.0.1 255.255.255.255 198.18.0.1 " +
    ":: ::1 fe80::1 fe80::1%eth0 fec0::1 fc00::1 fd12:3456::1 ff02::1 ::ffff:127.0.0.1 " +
    "::ffff:a00:1 ::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b:1::1 2002:7f00:1:: 2002:c0a8:101::1 " +
    "2001::1 not-an-address").split(" ");
  const others = ("8.8.8.8 172.32.0.1 100.128.0.1 192.169.0.1 2606:4700::1111 2001:db8::1 " +
    "::ffff:8.8.8.8 64:ff9b::8.8.8.8 2002:808:808::1").split(" ");
  for (const address of own) assert.ok(isPrivateAddress(address), address);
  for (const address of others) assert.ok(!isPrivateAddress(address), address);
  const forbidden = (error: Error) => error instanceof DestinationError && error.code === 2;
  for (const host of ["127.0.0.1", "::1", "localhost", "::ffff:127.0.0.1"]) {
    await assert.rejects(connectDestination({ host, port: 80 }), forbidden, host);
  }
});

Deno.test("destinations: a server refuses its own network unless told otherwise", async () => {
  const state = await Deno.makeTempDir();
  const echo = echoServer();
  const far = await server(state, 0, false);
  const near = await clientTo(far.line, echo.port, { socks: LOOPBACK });
  const conn = await Deno.connect({ hostname: "127.0.0.1", port: near.doors[0]!.port });
  await conn.write(
    new Uint8Array([5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, echo.port >> 8, echo.port & 255]),
  );
  const answer = new Uint8Array(await new Response(conn.readable).arrayBuffer());
  assert.deepEqual([...answer.subarray(0, 4)], [5, 0, 5, 2]);
  await near.close();
  await far.close();
  await echo.close();
  await Deno.remove(state, { recursive: true });
});

Deno.test("tunnel: a client's leave is heard, a tunnel without connections is forgotten", async () => {
  const state = await Deno.makeTempDir();
  const echo = echoServer();
  const far = await server(state);
  const near = await clientTo(far.line, echo.port);
  await exchange(near.doors[0]!.port, noise(1000));
  assert.equal(far.server.tunnels, 1);
  await near.close();
  while (far.server.tunnels > 0) await new Promise((done) => setTimeout(done, 5));
  assert.equal(far.server.streams, 0);
  await far.close();
  await echo.close();
  await Deno.remove(state, { recursive: true });
});

Deno.test("line: no text makes reading it fail in another way", () => {
  const pieces = fc.constantFrom(
    "mimic",
    "Bridge",
    "1.2.3.4:5",
    "cert=",
    "secret=",
    "=",
    "model=x",
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(pieces, fc.string())), (words) => {
      try {
        parseLine(words.join(" "));
      } catch (error) {
        assert.ok(error instanceof LineError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

Deno.test("line: what is written is read, and a wrong one says where", () => {
  const line = {
    address: { host: "2001:db8::1", port: 443 },
    cert: "B".repeat(43),
    secret: newSecret(),
    model: "https",
    digest: "0123456789abcdef",
    carrier: "tls",
    alpn: ["h2", "http/1.1"],
    sni: "www.example.org",
    master: "server",
    schedule: "adaptive",
  } as const;
  const text = formatLine(line);
  assert.deepEqual(parseLine(text), line);
  assert.deepEqual(parseLine(`Bridge ${text}\n`), line);
  assert.ok(text.length < 510);
  const wrong: [string, RegExp][] = [
    ["", /does not start with mimic/],
    ["mimic", /HOST:PORT/],
    ["mimic 1.2.3.4", /HOST:PORT/],
    [text.replace(/secret=\S+/, "secret=abc"), /secret=/],
    [text.replace(/cert=\S+/, ""), /cert= is missing/],
    [`${text} cert=${line.cert}`, /twice/],
    [`${text} colour=red`, /"colour" is unknown/],
    [text.replace("carrier=tls", "carrier=pigeon"), /carrier/],
    [text.replace("master=server", "master=both"), /master= is not client or server/],
    [text.replace("schedule=adaptive", "schedule=never"), /schedule=/],
    [text.replace("model=https", "model=../x"), /model/],
  ];
  for (const [bad, message] of wrong) {
    assert.throws(
      () => parseLine(bad),
      (error: Error) => error instanceof LineError && message.test(error.message),
    );
  }
});

Deno.test("line: what is wrong with it never shows a piece of the secret", () => {
  const secret = formatSecret(newSecret());
  const rest = `mimic 192.0.2.1:443 cert=${"A".repeat(43)} model=https`;
  for (
    const word of [`Secret=${secret}`, `secret= ${secret}`, `secret:${secret}`, `secret=${secret}=`]
  ) {
    assert.throws(() => parseLine(`${rest} ${word}`), (error: Error) => {
      assert.ok(error instanceof LineError);
      // No six characters of it in a row.
      for (let at = 0; at + 6 <= secret.length; at++) {
        assert.ok(!error.message.includes(secret.slice(at, at + 6)), error.message);
      }
      return true;
    });
  }
});

Deno.test("tunnel: streams fail when the server stays out of reach, none waits for ever", async () => {
  const state = await Deno.makeTempDir();
  const echo = echoServer();
  const running = await server(state);
  const { cert, secret, address } = parseLine(running.line);
  const notes: string[] = [];
  const client = new TmClient({
    server: running.line,
    secret,
    connect: () => connectTls({ hostname: address.host, port: address.port, pin: cert }),
    model: FAST_MODEL,
    seed: crypto.getRandomValues(new Uint8Array(32)),
    keepTunnels: 100,
    onNote: (text) => notes.push(text),
  });
  client.start();
  await client.ready;
  const stream = client.open({ host: "127.0.0.1", port: echo.port });
  await stream.opened;
  await running.close();
  await assert.rejects(stream.closed, /out of reach for too long/);
  assert.ok(notes.some((text) => /refused/.test(text)), notes.join("\n"));
  await client.stop(0);
  await echo.close();
  await Deno.remove(state, { recursive: true });
});

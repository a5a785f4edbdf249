import assert from "node:assert/strict";
import { connect, createServer, type Server, type Socket } from "node:net";
import fc from "fast-check";
import { readConnections } from "../../capture/read_connections.ts";
import { readCapture } from "../../capture/read_capture.ts";
import type { Connection } from "../../capture/connection.ts";
import { CLIENT, SERVER } from "../../capture/side.ts";
import { ListenError } from "../../base/socket_error.ts";
import { LAB_LINK, type LinkProfile } from "../../lab/link_profile.ts";
import { RecordedStream } from "../../lab/recorded_stream.ts";
import { startUserspaceLink, type UserspaceLink } from "../../lab/userspace_link.ts";

/** A link quick enough for tests. */
const QUICK: LinkProfile = { ...LAB_LINK, name: "quick", oneWayDelayMs: 3, rateMbit: 100 };

/** A server program; each connection is handed to `serve`. */
async function target(serve: (socket: Socket) => void): Promise<Server & { port: number }> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, serve);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const port = (server.address() as { port: number }).port;
  return Object.assign(server, { port });
}

function dial(port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
  return new Promise((resolve, reject) => {
    socket.once("connect", () => resolve(socket));
    socket.once("error", reject);
  });
}

/** All that a socket receives until its end, and how it ended. */
function received(socket: Socket): Promise<{ bytes: Uint8Array; how: "end" | "reset" }> {
  const chunks: Uint8Array[] = [];
  return new Promise((resolve) => {
    const done = (how: "end" | "reset") => {
      const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
      let at = 0;
      for (const chunk of chunks) {
        bytes.set(chunk, at);
        at += chunk.length;
      }
      resolve({ bytes, how });
    };
    socket.on("data", (chunk) => chunks.push(chunk as Uint8Array));
    socket.once("end", () => done("end"));
    socket.once("error", () => done("reset"));
  });
}

function noise(length: number, seed: number): Uint8Array {
  let state = seed >>> 0;
  return new Uint8Array(length).map(() => {
    state = Math.imul(state, 1664525) + 1013904223 >>> 0;
    return state >>> 24;
  });
}

async function recording(
  link: UserspaceLink,
  annotate?: Parameters<UserspaceLink["writeCapture"]>[1],
) {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/link.pcapng`;
    await link.writeCapture(path, annotate);
    const connections: Connection[] = [];
    await readConnections(path, { onConnection: (connection) => connections.push(connection) });
    connections.sort((a, b) => a.startTime - b.startTime);
    const comments: string[] = [];
    const summary = await readCapture(path, ({ comment }) => comments.push(comment), {
      comments: true,
    });
    return { connections, comments: comments.filter((comment) => comment !== ""), summary };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const closed = (server: Server) => new Promise<void>((resolve) => server.close(() => resolve()));

Deno.test("bytes pass complete both ways over several connections, and the recording shows them", async () => {
  const server = await target((socket) => {
    received(socket).then(({ bytes }) => {
      socket.write(noise(2 * bytes.length, bytes.length));
      socket.end();
    });
  });
  const link = await startUserspaceLink({ target: { port: server.port }, profile: QUICK });
  const sizes = [1, 1448, 60_000, 700_000];
  await Promise.all(sizes.map(async (size, i) => {
    const socket = await dial(link.port);
    const answer = received(socket);
    socket.write(noise(size, i));
    socket.end();
    const { bytes, how } = await answer;
    assert.equal(how, "end");
    assert.deepEqual(bytes, noise(2 * size, size));
  }));
  await link.stop();
  await closed(server);
  const { connections, summary } = await recording(link);
  assert.equal(summary.malformed + summary.backwards, 0);
  assert.equal(summary.tcp, summary.packets);
  assert.equal(connections.length, sizes.length);
  for (const { segments, start, end, rtt, missingBytes, clientPort } of connections) {
    assert.equal(start, "syn");
    assert.equal(end.how, "fin");
    assert.ok(rtt.server! >= 2 * QUICK.oneWayDelayMs);
    assert.deepEqual([...missingBytes], [0, 0]);
    const bytes = [0, 0];
    for (let i = 0; i < segments.length; i++) {
      bytes[segments.side[i]!]! += segments.size[i]!;
      assert.ok(segments.size[i]! <= QUICK.mss);
    }
    const known = link.connections.find((connection) => connection.clientPort === clientPort)!;
    assert.deepEqual(bytes, [...known.bytes]);
    assert.deepEqual(bytes, [bytes[0]!, 2 * bytes[0]!]);
    assert.equal(known.closed, true);
    assert.notEqual(known.targetPort, 0);
  }
});

Deno.test("the server program is reached, and hears things, only after the path's delay", async () => {
  const log: string[] = [];
  const server = await target((socket) => {
    log.push("accepted");
    socket.on("data", () => {
      log.push("request");
      socket.end("answer");
    });
  });
  const profile = { ...QUICK, oneWayDelayMs: 30 };
  const link = await startUserspaceLink({ target: { port: server.port }, profile });
  const before = performance.now();
  const socket = await dial(link.port);
  const answer = received(socket);
  socket.end("request");
  await answer;
  // SYN, SYN-ACK, request, answer: four times one way, less what a timer may be early.
  assert.ok(performance.now() - before > 4 * 30 - 2);
  assert.deepEqual(log, ["accepted", "request"]);
  await link.stop();
  await closed(server);
});

Deno.test("resets pass in both directions, and are recorded", async () => {
  const reset: Promise<{ how: string }>[] = [];
  let serves = 0;
  const server = await target((socket) => {
    const mine = serves++;
    if (mine === 0) reset.push(received(socket));
    else {
      socket.on("error", () => {});
      socket.once("data", () => socket.resetAndDestroy());
    }
  });
  const link = await startUserspaceLink({ target: { port: server.port }, profile: QUICK });
  const first = await dial(link.port);
  first.on("error", () => {});
  first.write("hello");
  while (serves === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  await new Promise((resolve) => setTimeout(resolve, 10));
  first.resetAndDestroy();
  assert.equal((await reset[0]!).how, "reset");
  const second = await dial(link.port);
  const end = received(second);
  second.write("hello");
  assert.equal((await end).how, "reset");
  await link.stop();
  await closed(server);
  const { connections } = await recording(link);
  assert.deepEqual(connections.map(({ end }) => [end.how, end.by]), [["rst", CLIENT], [
    "rst",
    SERVER,
  ]]);
});

Deno.test("nobody listens at the target: the client's connection is reset", async () => {
  const server = await target(() => {});
  await closed(server);
  const link = await startUserspaceLink({ target: { port: server.port }, profile: QUICK });
  const socket = await dial(link.port);
  assert.equal((await received(socket)).how, "reset");
  await link.stop();
});

Deno.test("a port in use is one clear line", async () => {
  const server = await target(() => {});
  await assert.rejects(
    startUserspaceLink({ listen: { port: server.port }, target: { port: 1 } }),
    (error) => error instanceof ListenError && /in use/.test(error.message),
  );
  await closed(server);
});

Deno.test("stopping ends open connections; the recording stays", async () => {
  const server = await target((socket) => {
    socket.on("error", () => {});
    socket.on("data", () => socket.write("more"));
  });
  const link = await startUserspaceLink({ target: { port: server.port }, profile: QUICK });
  const socket = await dial(link.port);
  const heard = new Promise((resolve) => socket.once("data", resolve));
  const over = received(socket);
  socket.write("hello");
  await heard;
  await link.stop();
  await link.stop();
  assert.equal((await over).how, "reset");
  const { connections } = await recording(link);
  assert.deepEqual(connections.map(({ end }) => end.how), ["cut"]);
  await closed(server);
});

const record = (type: number, body: Uint8Array) =>
  new Uint8Array([type, 3, 3, body.length >> 8, body.length & 255, ...body]);

Deno.test("TLS records that were read together are segments of their own, a handshake's flight is not", async () => {
  const application = record(23, new Uint8Array(595));
  const server = await target((socket) => {
    socket.setNoDelay(true);
    let bytes = 0;
    socket.on("data", (chunk) => {
      if (bytes === 0) {
        socket.write(new Uint8Array([...record(22, new Uint8Array(95)), ...application]));
      }
      bytes += chunk.length;
      if (bytes === 205 + 3 * 600) {
        socket.end(new Uint8Array([...application, ...application]));
      }
    });
    socket.on("end", () => {});
  });
  const link = await startUserspaceLink({ target: { port: server.port }, profile: QUICK });
  const socket = await dial(link.port);
  socket.setNoDelay(true);
  const answer = received(socket);
  socket.write(record(22, new Uint8Array(200)));
  await new Promise((resolve) => socket.once("data", resolve));
  socket.end(new Uint8Array([...application, ...application, ...application]));
  await answer;
  await link.stop();
  await closed(server);
  const { connections } = await recording(link);
  const { segments } = connections[0]!;
  const sizes = (side: number) =>
    [...segments.size.subarray(0, segments.length)].filter((_, i) => segments.side[i] === side);
  assert.deepEqual(sizes(CLIENT), [205, 600, 600, 600]);
  assert.deepEqual(sizes(SERVER), [700, 600, 600]);
});

Deno.test("comments tell data, control and padding apart; the rest is the carrier's", async () => {
  const server = await target((socket) => {
    socket.on("data", () => socket.end("four"));
  });
  const link = await startUserspaceLink({ target: { port: server.port }, profile: QUICK });
  const socket = await dial(link.port);
  const answer = received(socket);
  socket.end(new Uint8Array(2000));
  await answer;
  await link.stop();
  await closed(server);
  const asked: string[] = [];
  const { comments } = await recording(link, ({ connection, side, start, end }) => {
    assert.equal(connection, link.connections[0]);
    asked.push(`${side} ${start}-${end}`);
    return side === SERVER
      ? { data: 1, control: 2, padding: 1 }
      : start > 0
      ? undefined
      : { data: 1000, control: 40, padding: 400 };
  });
  assert.deepEqual(asked, ["0 0-1448", "0 1448-2000", "1 0-4"]);
  assert.deepEqual(comments, [
    "data=1000 control=40 padding=400 carrier=8",
    "data=1 control=2 padding=1",
  ]);
});

Deno.test("property: what is kept of TLS is all but the application data, however it is cut", () => {
  const tlsRecord = fc.record({
    type: fc.constantFrom(20, 21, 22, 23),
    body: fc.uint8Array({ minLength: 1, maxLength: 40 }),
  });
  fc.assert(fc.property(
    fc.array(tlsRecord, { minLength: 1, maxLength: 12 }),
    fc.array(fc.nat(500), { maxLength: 8 }),
    fc.boolean(),
    fc.tuple(fc.nat(600), fc.nat(600)),
    (records, cuts, startTls, range) => {
      const plain = startTls ? new TextEncoder().encode("220 ready\r\n") : new Uint8Array(0);
      const wire = records.flatMap(({ type, body }) => [...record(type, body)]);
      const redacted = records.flatMap(({ type, body }) => [
        ...record(type, body).subarray(0, 5),
        ...(type === 23 ? new Uint8Array(body.length) : body),
      ]);
      const stream = new RecordedStream("handshake");
      const all = new RecordedStream("all");
      if (startTls) {
        stream.push(plain);
        all.push(plain);
      }
      // The first piece holds a whole record header: that is how TLS is told from other bytes.
      const at = [0, ...cuts.map((cut) => Math.max(5, cut % wire.length)), wire.length]
        .sort((a, b) => a - b);
      for (let i = 1; i < at.length; i++) {
        stream.push(new Uint8Array(wire.slice(at[i - 1], at[i])));
        all.push(new Uint8Array(wire.slice(at[i - 1], at[i])));
      }
      const length = plain.length + wire.length;
      assert.equal(stream.length, length);
      const [start, end] = range.map((offset) => Math.min(offset, length)).sort((a, b) => a - b);
      assert.deepEqual(
        [...stream.read(start!, end!)],
        [...plain, ...redacted].slice(start, end),
      );
      assert.deepEqual([...all.read(start!, end!)], [...plain, ...wire].slice(start, end));
      assert.deepEqual(
        stream.records.map(({ type, size }) => [type, size]),
        records.map(({ type, body }) => [type, body.length + 5]),
      );
      assert.equal(stream.records[0]!.offset, plain.length);
    },
  ));
});

Deno.test("of what is not TLS, or stops being it, the beginning is kept", () => {
  const stream = new RecordedStream("handshake");
  stream.push(new Uint8Array(20_000).fill(7));
  const kept = stream.read(0, 20_000).reduce((sum, byte) => sum + byte / 7, 0);
  assert.equal(kept, 16_384);
  const broken = new RecordedStream("handshake");
  broken.push(record(22, new Uint8Array([1, 2])));
  broken.push(new Uint8Array([99, 99, 99, 99, 99, 98]));
  assert.deepEqual([...broken.read(0, 13)], [22, 3, 3, 0, 2, 1, 2, 99, 99, 99, 99, 99, 98]);
  assert.equal(broken.records.length, 1);
});

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import type { TunnelStream } from "../../playback/stream.ts";
import {
  STREAM_CODES,
  StreamRefusedError,
  StreamResetError,
  TunnelClosedError,
} from "../../playback/tunnel_error.ts";
import { ReliableTunnel } from "../../playback/tunnel.ts";
import { Hub } from "./tunnel_hub.ts";

/** Small, fast, repeatable randomness for tests. */
function generator(seed: number): (bound: number) => number {
  let state = seed >>> 0 || 1;
  return (bound) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % bound;
  };
}

function randomBytes(length: number, seed: number): Uint8Array {
  const draw = generator(seed);
  return Uint8Array.from({ length }, () => draw(256));
}

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** Writes `bytes` into a stream as room appears, then ends it; `slice` is called for each piece's size. */
class Writer {
  #at = 0;
  #ended = false;
  constructor(readonly stream: TunnelStream, readonly bytes: Uint8Array) {}

  step(size: number): void {
    if (this.#ended) return;
    this.#at += this.stream.write(this.bytes.subarray(this.#at, this.#at + size));
    if (this.#at === this.bytes.length) {
      this.stream.end();
      this.#ended = true;
    }
  }
}

/** Reads a stream whenever told to. */
class Reader {
  readonly parts: Uint8Array[] = [];
  ended = false;
  constructor(readonly stream: TunnelStream) {}

  step(): void {
    if (this.ended) return;
    const bytes = this.stream.read();
    if (bytes === null) this.ended = true;
    else if (bytes !== undefined) this.parts.push(bytes);
  }

  get bytes(): Uint8Array {
    const whole = new Uint8Array(this.parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of this.parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }
}

interface Schedule {
  readonly seed: number;
  readonly lengths: readonly (readonly [number, number])[];
  /** The largest message. */
  readonly largest: number;
  /** One step in so many ends a connection. */
  readonly cutEvery: number;
  readonly connections: number;
}

/** Carries streams while connections are opened and cut; returns how many were cut. */
function play({ seed, lengths, largest, cutEvery, connections }: Schedule): number {
  const draw = generator(seed);
  const hub = new Hub();
  const writers: Writer[] = [];
  const readers: { reader: Reader; expected: Uint8Array }[] = [];
  const sent = lengths.map(([up, down], index) => ({
    up: randomBytes(up, seed + 2 * index),
    down: randomBytes(down, seed + 2 * index + 1),
  }));
  hub.server.onStream = (stream) => {
    const { up, down } = sent[stream.destination.port - 1]!;
    stream.accept();
    writers.push(new Writer(stream, down));
    readers.push({ reader: new Reader(stream), expected: up });
  };
  sent.forEach(({ up, down }, index) => {
    const stream = hub.client.open({ host: "host.example", port: index + 1 });
    writers.push(new Writer(stream, up));
    readers.push({ reader: new Reader(stream), expected: down });
  });
  let cuts = 0;
  let steps = 0;
  const finished = () =>
    readers.length === 2 * lengths.length && readers.every(({ reader }) => reader.ended);
  const step = () => {
    while (hub.pipes.length < connections) hub.open();
    const pipe = hub.pipes[draw(hub.pipes.length)]!;
    const end = draw(2) === 0 ? "client" : "server";
    switch (draw(4)) {
      case 0:
      case 1:
        hub.fill(pipe, end, 1 + draw(draw(4) === 0 ? 30 : largest), draw(20) > 0);
        break;
      case 2:
        hub.deliver(pipe, end, 1 + draw(3 * largest), 1 + draw(largest));
        break;
      case 3:
        writers[draw(writers.length)]!.step(1 + draw(3 * largest));
        // Slow readers: they are asked less often than bytes come.
        readers[draw(readers.length)]!.reader.step();
    }
    if (draw(cutEvery) === 0) {
      const how = draw(6);
      if (how < 2) hub.close(pipe, true);
      else if (how < 4) hub.close(pipe, false);
      // The ends may differ in when and how it ended, and a FIN may hide that bytes were lost.
      else hub.closeOneEnd(pipe, end, draw(2) === 0);
      if (how >= 2) cuts++;
    }
    if (draw(50) === 0) hub.clock.advance(1000);
  };
  while (!finished()) {
    if (++steps > 500_000) throw new Error("it does not end");
    step();
  }
  for (const { reader, expected } of readers) assert.equal(sha256(reader.bytes), sha256(expected));
  // What is left settles, and nothing is kept.
  for (let more = 0; !(hub.client.settled && hub.server.settled); more++) {
    if (more > 100_000) throw new Error("it does not settle");
    step();
  }
  assert.equal(hub.client.memory + hub.server.memory, 0);
  return cuts;
}

Deno.test("tunnel: any schedule of fills, deliveries and cuts carries every stream exactly", () => {
  const schedule = fc.record({
    seed: fc.integer({ min: 1, max: 2 ** 31 }),
    lengths: fc.array(
      fc.tuple(fc.integer({ min: 0, max: 5000 }), fc.integer({ min: 0, max: 5000 })),
      { minLength: 1, maxLength: 5 },
    ),
    largest: fc.integer({ min: 1, max: 2000 }),
    cutEvery: fc.integer({ min: 8, max: 200 }),
    connections: fc.integer({ min: 1, max: 6 }),
  }).filter(({ largest, lengths, cutEvery }) =>
    // Tiny messages on short-lived connections carry little: less is asked of them.
    Math.min(largest, 100) * cutEvery > 100 * lengths.length
  );
  fc.assert(fc.property(schedule, (schedule) => void play(schedule)), { numRuns: 150 });
});

Deno.test("tunnel: a million random bytes each way through hundreds of cut connections", () => {
  for (const seed of [1, 2, 3]) {
    const lengths = seed < 3 ? [[1_000_000, 1_000_000]] as const : [
      [400_000, 700_000],
      [600_000, 0],
      [0, 300_000],
    ] as const;
    const cuts = play({ seed, lengths, largest: 1500, cutEvery: 15, connections: 4 });
    assert.ok(cuts > 200, `${cuts} cuts`);
  }
});

Deno.test("tunnel: saturated messages of 1 KB carry at least 97 % user data", () => {
  const hub = new Hub();
  hub.server.onStream = (stream) => {
    stream.accept();
    new Writer(stream, randomBytes(200_000, 5)).step(200_000);
    stream.onReadable = () => {
      while (stream.read() !== undefined);
    };
  };
  const stream = hub.client.open({ host: "host.example", port: 1 });
  new Writer(stream, randomBytes(200_000, 6)).step(200_000);
  stream.onReadable = () => {
    while (stream.read() !== undefined);
  };
  hub.rounds(2);
  Object.assign(hub.sums, { control: 0, data: 0, padding: 0 });
  hub.rounds(150);
  const share = hub.sums.data / (hub.sums.control + hub.sums.data + hub.sums.padding);
  assert.ok(share >= 0.97, `${share}`);
});

Deno.test("tunnel: messages of one byte carry a stream too", () => {
  const hub = new Hub();
  let read = "";
  hub.server.onStream = (stream) => {
    stream.accept();
    stream.onReadable = () => {
      const bytes = stream.read();
      if (bytes) read += new TextDecoder().decode(bytes);
    };
  };
  hub.client.open({ host: "host.example", port: 1 }).write(new TextEncoder().encode("hello"));
  hub.client.sendControl(1, new Uint8Array(100));
  let bodies = 0;
  hub.server.onControl = (_connection, _type, body) => bodies += body.length;
  const pipe = hub.open();
  for (let round = 0; round < 240; round++) {
    hub.fill(pipe, "client", 1);
    hub.deliver(pipe, "server");
  }
  assert.equal(bodies, 100);
  for (let round = 0; round < 40; round++) {
    hub.fill(pipe, "client", 12);
    hub.deliver(pipe, "server");
  }
  assert.equal(read, "hello");
});

Deno.test("tunnel: nothing of a stream goes out before data is allowed", () => {
  const hub = new Hub();
  const stream = hub.client.open({ host: "secret.example", port: 1 });
  stream.write(new Uint8Array(100).fill(65));
  hub.client.sendControl(7, Uint8Array.of(1, 2, 3));
  const pipe = hub.open();
  assert.deepEqual(hub.fill(pipe, "client", 500, false), { control: 7, data: 0, padding: 493 });
  assert.ok(hub.client.backlog > 100);
  let seen = 0;
  hub.server.onControl = (connection, type, body) => {
    assert.deepEqual([connection, type, [...body]], [pipe.number, 7, [1, 2, 3]]);
    seen++;
  };
  hub.deliver(pipe, "server");
  assert.equal(seen, 1);
  assert.equal(hub.fill(pipe, "client", 500).data, 100);
  assert.equal(hub.client.backlog, 0);
});

Deno.test("tunnel: an engine frame for a connection goes first on it and dies with it", () => {
  const hub = new Hub();
  const seen: [number, number][] = [];
  hub.server.onControl = (connection, type) => seen.push([connection, type]);
  const first = hub.open();
  const second = hub.open();
  hub.client.sendControl(9, new Uint8Array(4));
  hub.client.sendControl(1, new Uint8Array(4), second.number);
  hub.client.sendControl(2, new Uint8Array(4), first.number);
  hub.fill(second, "client", 100);
  hub.deliver(second, "server");
  assert.deepEqual(seen, [[second.number, 1], [second.number, 9]]);
  hub.close(first, false);
  hub.rounds(3, 100, second);
  assert.equal(seen.length, 2);
});

Deno.test("tunnel: a reliable engine frame arrives once, though its connection was cut after it", () => {
  const hub = new Hub();
  const seen: number[] = [];
  hub.server.onControl = (_connection, type) => seen.push(type);
  hub.client.sendControl(1, new Uint8Array(10));
  hub.client.sendControl(2, new Uint8Array(10));
  const pipe = hub.open();
  hub.fill(pipe, "client", 100);
  hub.deliver(pipe, "server", 16);
  assert.deepEqual(seen, [1]);
  hub.close(pipe, false);
  hub.rounds(3);
  assert.deepEqual(seen, [1, 2]);
  assert.ok(hub.client.settled);
});

Deno.test("tunnel: after a clean close the final acknowledgement decides, without it the deadline", () => {
  for (const answered of [true, false]) {
    const hub = new Hub({ finalAckTimeout: 5000 });
    let read = 0;
    hub.server.onStream = (stream) => {
      stream.accept();
      stream.onReadable = () => read += stream.read()?.length ?? 0;
    };
    hub.client.open({ host: "host.example", port: 1 }).write(new Uint8Array(300));
    const pipe = hub.open();
    hub.fill(pipe, "client", 500);
    // The last 200 bytes stay behind although both ends saw a FIN.
    hub.deliver(pipe, "server", 300);
    pipe.toward[1].length = 0;
    hub.close(pipe, true);
    const next = hub.open();
    assert.equal(hub.fill(next, "client", 500).data, 0, "not sent again at once");
    hub.deliver(next, "server");
    if (answered) {
      hub.fill(next, "server", 100);
      hub.deliver(next, "client");
    } else hub.clock.advance(5000);
    assert.equal(hub.fill(next, "client", 500).data, 300);
    hub.deliver(next, "server");
    assert.equal(read, 300);
    assert.equal(hub.clock.pending, 0);
  }
});

Deno.test("tunnel: bytes sent again go ahead of new ones", () => {
  const hub = new Hub();
  hub.server.onStream = (stream) => stream.accept();
  const first = hub.client.open({ host: "host.example", port: 1 });
  const second = hub.client.open({ host: "host.example", port: 2 });
  first.write(new Uint8Array(1000).fill(1));
  const pipe = hub.open();
  hub.fill(pipe, "client", 1100);
  second.write(new Uint8Array(1000).fill(2));
  hub.close(pipe, false);
  const next = hub.open();
  const buffer = new Uint8Array(1100);
  hub.client.fill(next.number, buffer, true);
  assert.ok(buffer.filter((byte) => byte === 1).length >= 1000);
});

Deno.test("tunnel: streams take turns", () => {
  const hub = new Hub();
  for (let port = 1; port <= 4; port++) {
    hub.client.open({ host: "host.example", port }).write(new Uint8Array(60_000).fill(port + 100));
  }
  const pipe = hub.open();
  const counts = new Map<number, number>();
  for (let message = 0; message < 100; message++) {
    const buffer = new Uint8Array(1000);
    hub.client.fill(pipe.number, buffer, true);
    for (const byte of buffer) if (byte > 100) counts.set(byte, (counts.get(byte) ?? 0) + 1);
  }
  const shares = [101, 102, 103, 104].map((byte) => counts.get(byte)!);
  assert.ok(Math.max(...shares) - Math.min(...shares) < 3000, `${shares}`);
});

Deno.test("tunnel: success is told after the server accepted, refusal with its code", async () => {
  const hub = new Hub();
  hub.server.onStream = (stream) => {
    if (stream.destination.port === 1) stream.accept();
    else stream.refuse(STREAM_CODES.connectionRefused);
  };
  const good = hub.client.open({ host: "host.example", port: 1 });
  const bad = hub.client.open({ host: "host.example", port: 2 });
  let told = false;
  good.opened.then(() => told = true);
  const pipe = hub.open();
  hub.fill(pipe, "client", 200);
  hub.deliver(pipe, "server");
  await Promise.resolve();
  assert.equal(told, false);
  hub.rounds(2, 200, pipe);
  await good.opened;
  await assert.rejects(bad.opened, new StreamRefusedError(STREAM_CODES.connectionRefused));
  assert.throws(() => bad.read(), StreamRefusedError);
  assert.equal(hub.client.streams, 1);
});

Deno.test("tunnel: a reset tells the peer, an end of the tunnel everybody", async () => {
  const hub = new Hub();
  const accepted: TunnelStream[] = [];
  hub.server.onStream = (stream) => {
    stream.accept();
    accepted.push(stream);
  };
  const first = hub.client.open({ host: "host.example", port: 1 });
  const second = hub.client.open({ host: "host.example", port: 2 });
  hub.rounds(2);
  first.write(new Uint8Array(100));
  first.reset();
  hub.rounds(2);
  await assert.rejects(accepted[0]!.closed, new StreamResetError(STREAM_CODES.cancelled));
  assert.throws(() => first.write(new Uint8Array(1)), StreamResetError);
  assert.equal(hub.server.streams, 1);
  let farewell = -1;
  hub.client.onGoodbye = (code) => farewell = code;
  hub.server.goodbye(3);
  hub.rounds(3);
  assert.equal(farewell, 3);
  await assert.rejects(second.closed, TunnelClosedError);
  await assert.rejects(accepted[1]!.closed, TunnelClosedError);
  assert.throws(() => hub.client.open({ host: "host.example", port: 3 }), TunnelClosedError);
  assert.ok(hub.client.settled && hub.server.settled);
});

Deno.test("tunnel: a failure ends every stream with an error", async () => {
  const hub = new Hub();
  hub.server.onStream = (stream) => stream.accept();
  const stream = hub.client.open({ host: "host.example", port: 1 });
  const reading = stream.readable.getReader().read();
  hub.rounds(2);
  hub.client.fail(new TunnelClosedError("no connection for ten minutes"));
  await assert.rejects(reading, /ten minutes/);
  await assert.rejects(stream.closed, TunnelClosedError);
  const buffer = new Uint8Array(50).fill(1);
  assert.deepEqual(hub.client.fill(1, buffer, true), { control: 0, data: 0, padding: 50 });
  assert.equal(hub.client.memory, 0);
});

Deno.test("tunnel: a reader that does not read holds its sender, within the window", () => {
  const hub = new Hub();
  let reader: Reader | undefined;
  hub.server.onStream = (stream) => {
    stream.accept();
    reader = new Reader(stream);
  };
  const stream = hub.client.open({ host: "host.example", port: 1 });
  const bytes = randomBytes(1_500_000, 9);
  const writer = new Writer(stream, bytes);
  for (let round = 0; round < 30; round++) {
    writer.step(1_500_000);
    hub.rounds(10, 8000);
  }
  assert.ok(hub.server.memory <= 524288, `${hub.server.memory}`);
  assert.ok(hub.client.memory <= 524288, `${hub.client.memory}`);
  assert.equal(hub.client.backlog, 0, "what the peer has no room for does not wait for cover");
  while (!reader!.ended) {
    reader!.step();
    writer.step(1_500_000);
    hub.rounds(5, 8000);
    assert.ok(hub.server.memory <= 524288 && hub.client.memory <= 524288);
  }
  assert.equal(sha256(reader!.bytes), sha256(bytes));
});

Deno.test("tunnel: streams over the limit are refused politely, the memory limit holds", async () => {
  const hub = new Hub({ maxStreams: 20, receiveLimit: 20 * 65536 + 400_000 });
  hub.server.onStream = (stream) => stream.accept();
  const streams = Array.from(
    { length: 20 },
    (_, index) => hub.client.open({ host: "host.example", port: index + 1 }),
  );
  assert.throws(() => hub.client.open({ host: "host.example", port: 99 }), StreamRefusedError);
  hub.rounds(3);
  await Promise.all(streams.map((stream) => stream.opened));
  for (let round = 0; round < 60; round++) {
    for (const stream of streams) stream.write(new Uint8Array(50_000));
    hub.rounds(5, 16_000);
  }
  assert.ok(hub.server.memory <= 20 * 65536 + 400_000 + 20 * 65536, `${hub.server.memory}`);

  const client = new ReliableTunnel({ end: "client", clock: hub.clock });
  const server = new ReliableTunnel({
    end: "server",
    clock: hub.clock,
    maxStreams: 2,
  });
  server.onStream = (stream) => stream.accept();
  for (const tunnel of [client, server]) tunnel.connectionOpened(1);
  const opened = Array.from(
    { length: 3 },
    () => client.open({ host: "host.example", port: 1 }).opened,
  );
  const buffer = new Uint8Array(500);
  client.fill(1, buffer, true);
  server.receive(1, buffer);
  server.fill(1, buffer, true);
  client.receive(1, buffer);
  await opened[0];
  await opened[1];
  await assert.rejects(opened[2]!, new StreamRefusedError(STREAM_CODES.tooManyStreams));
});

Deno.test("tunnel: demand is told when streams or waiting bytes rise from none", () => {
  const hub = new Hub();
  let told = 0;
  hub.client.onDemand = () => told++;
  hub.server.onStream = (stream) => stream.accept();
  const stream = hub.client.open({ host: "host.example", port: 1 });
  assert.ok(told >= 1);
  hub.rounds(3);
  assert.equal(hub.client.backlog, 0);
  told = 0;
  stream.write(new Uint8Array(10));
  stream.write(new Uint8Array(10));
  assert.equal(told, 1);
  assert.equal(hub.client.backlog, 20);
  const pipe = hub.pipes[0]!;
  hub.fill(pipe, "client", 100);
  assert.equal(hub.client.backlog, 0);
  told = 0;
  hub.close(pipe, false);
  assert.equal(told, 1);
  assert.equal(hub.client.backlog, 20);
});

Deno.test("tunnel: Web Streams carry both ways with backpressure", async () => {
  const hub = new Hub();
  hub.server.onStream = (stream) => {
    stream.accept();
    stream.readable.pipeTo(stream.writable).catch(() => {});
  };
  const stream = hub.client.open({ host: "echo.example", port: 7 });
  const bytes = randomBytes(1_200_000, 11);
  const writing = (async () => {
    const writer = stream.writable.getWriter();
    for (let at = 0; at < bytes.length; at += 70_000) {
      await writer.write(bytes.subarray(at, at + 70_000));
    }
    await writer.close();
  })();
  let done = false;
  const reading = (async () => {
    const hash = createHash("sha256");
    for await (const part of stream.readable) hash.update(part);
    done = true;
    return hash.digest("hex");
  })();
  for (let round = 0; !done && round < 10_000; round++) {
    hub.rounds(1, 16_000);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  await writing;
  assert.equal(await reading, sha256(bytes));
  hub.rounds(3);
  await stream.closed;
  assert.ok(hub.client.settled && hub.server.settled);
});

Deno.test("tunnel: long idle cover keeps no state", () => {
  const hub = new Hub();
  hub.client.open({ host: "host.example", port: 1 }).end();
  hub.server.onStream = (stream) => {
    stream.accept();
    stream.end();
  };
  let kept = 0;
  for (let connection = 0; connection < 3000; connection++) {
    const pipe = hub.open();
    hub.rounds(2, 60, pipe);
    hub.close(pipe, connection % 3 > 0);
    if (connection % 100 === 0) hub.clock.advance(1000);
    kept = Math.max(kept, hub.clock.pending);
  }
  assert.ok(kept < 50, `${kept} timers`);
});

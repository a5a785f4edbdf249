import assert from "node:assert/strict";
import fc from "fast-check";
import type { ConnectionPlan, End } from "../../models/cover_model.ts";
import { ConnectionPlayer, type PlayReport } from "../../playback/connection_player.ts";
import type { CoverListener } from "../../playback/cover_connection.ts";
import type { TunnelPort } from "../../playback/reliable_tunnel.ts";
import { Script, settlePlan } from "../../playback/script.ts";
import { EngineStats } from "../../playback/stats.ts";
import { VirtualClock } from "../../playback/virtual_clock.ts";
import {
  TLS_GRID,
  type VirtualConnection,
  VirtualNetwork,
} from "../../playback/virtual_network.ts";
import { anyPlan } from "./engine_plans.ts";
import { WireLog } from "./wire_log.ts";

/** A tunnel of nothing but padding, which remembers what it was asked. */
class NoTunnel implements TunnelPort {
  onControl = undefined;
  onDemand = undefined;
  backlog = 0;
  streams = 0;
  owesAcks = false;
  received = 0;
  closed: boolean | undefined;
  readonly allowed: boolean[] = [];
  fill(_connection: number, buffer: Uint8Array, dataAllowed: boolean) {
    this.allowed.push(dataAllowed);
    buffer.fill(0);
    return { control: 0, data: 0, padding: buffer.length };
  }
  flow(): void {}
  fillFree() {
    return { control: 0, data: 0, padding: 0 };
  }
  receive(_connection: number, bytes: Uint8Array): void {
    if (bytes.includes(0xff)) throw new Error("no sense");
    this.received += bytes.length;
  }
  connectionOpened(): void {}
  connectionClosed(_connection: number, clean: boolean): void {
    this.closed = clean;
  }
  sendControl(): void {}
}

interface Play {
  player: ConnectionPlayer;
  tunnel: NoTunnel;
  log: WireLog;
  report: PlayReport | undefined;
  stats: EngineStats;
}

function play(
  clock: VirtualClock,
  connection: VirtualConnection,
  end: End,
  script: Script,
  more: {
    prefix?: Uint8Array;
    peerPrefix?: number;
    onPeerPrefix?: (proof: Uint8Array) => boolean;
  } = {},
): Play {
  const result: Play = {
    tunnel: new NoTunnel(),
    log: new WireLog(),
    report: undefined,
    stats: new EngineStats(),
    player: undefined!,
  };
  result.player = new ConnectionPlayer({
    clock,
    connection,
    end,
    session: 0,
    serial: 0,
    number: 0,
    script,
    tunnel: result.tunnel,
    dataAllowed: more.onPeerPrefix === undefined,
    stall: () => 60_000,
    stats: result.stats,
    onWire: result.log.add,
    onDone: (report) => {
      assert.equal(result.report, undefined, "reported twice");
      result.report = report;
    },
    ...more,
  });
  result.player.start();
  return result;
}

function playBoth(
  plan: ConnectionPlan,
  delay = 0,
  rate = Infinity,
): { clock: VirtualClock; ends: [Play, Play] } {
  const clock = new VirtualClock();
  const connections = new VirtualNetwork(clock, { delay, rate }).connect();
  const script = () => new Script(TLS_GRID, plan);
  const ends: [Play, Play] = [
    play(clock, connections[0], "client", script()),
    play(clock, connections[1], "server", script()),
  ];
  clock.run();
  return { clock, ends };
}

/** When each message is due on a network without latency: the definition, apart from the player. */
function expectedTimes(plan: ConnectionPlan): { client: number[]; server: number[]; end: number } {
  const { messages } = new Script(TLS_GRID, plan);
  const times = { client: [] as number[], server: [] as number[] };
  const last = { client: 0, server: 0 };
  const sent: Record<End, { time: number; total: number }[]> = { client: [], server: [] };
  for (const message of messages) {
    const peer = message.end === "client" ? "server" : "client";
    const arrived = sent[peer].find(({ total }) => total >= message.after)?.time ?? 0;
    const due = Math.max(last[message.end], message.after === 0 ? 0 : arrived) + message.time;
    last[message.end] = due;
    for (const record of message.records) {
      const total = (sent[message.end].at(-1)?.total ?? 0) + record;
      sent[message.end].push({ time: due, total });
      times[message.end].push(due);
    }
  }
  return { ...times, end: Math.max(last.client, last.server) + plan.close.time };
}

Deno.test("any plan is played in exact sizes, in order, at the planned times", () => {
  fc.assert(fc.property(anyPlan(), (drawn) => {
    const plan = settlePlan(drawn, TLS_GRID);
    const { ends } = playBoth(plan);
    const expected = expectedTimes(plan);
    for (const [i, end] of (["client", "server"] as const).entries()) {
      const { log, report, tunnel } = ends[i]!;
      const records = log.events.filter(({ what }) => what === "record");
      const sizes = new Script(TLS_GRID, plan).messages.filter((message) => message.end === end)
        .flatMap((message) => message.records.map((record) => record + TLS_GRID.overhead));
      assert.deepEqual(records.map(({ size }) => size), sizes);
      for (const [k, record] of records.entries()) {
        assert.ok(Math.abs(record.time - expected[end][k]!) < 1e-6);
        assert.equal(record.time, record.planned);
      }
      assert.equal(report?.completed, true);
      const wasReset = plan.close.answer === "rst" && plan.close.by === end;
      assert.equal(tunnel.closed, plan.close.how === "fin" && !wasReset);
      const close = log.events.at(-1)!;
      assert.equal(close.what, "close");
      assert.equal(close.how, plan.close.how);
      assert.ok(Math.abs(close.time - expected.end) < 1e-6);
    }
  }));
});

Deno.test("any plan ends as planned on a network with latency, at a limited rate", () => {
  fc.assert(fc.property(
    anyPlan(),
    fc.integer({ min: 0, max: 300 }),
    fc.integer({ min: 20_000, max: 2_000_000 }),
    (drawn, delay, rate) => {
      const plan = settlePlan(drawn, TLS_GRID);
      for (const { report } of playBoth(plan, delay, rate).ends) {
        assert.equal(report?.completed, true);
      }
    },
  ));
});

const PING: ConnectionPlan = {
  exchanges: [1, 2, 3].map(() => ({
    request: { type: "data", size: 122, time: 100 },
    response: [{ type: "padding", size: 522, time: 50 }],
  })),
  close: { by: "client", how: "fin", time: 10 },
};

function against(plan: ConnectionPlan, end: End = "client") {
  const clock = new VirtualClock();
  const network = new VirtualNetwork(clock, { delay: 10 });
  const [client, server] = network.connect();
  const [mine, other] = end === "client" ? [client, server] : [server, client];
  const heard = { data: 0, closed: "" };
  other.listener = {
    onData: (bytes) => heard.data += bytes.length,
    onClose: (reason) => heard.closed = reason,
  };
  return { clock, network, mine, other, heard, script: new Script(TLS_GRID, plan) };
}

Deno.test("padding messages carry no user data", () => {
  const { ends } = playBoth(PING);
  assert.deepEqual(ends[0].tunnel.allowed, [true, true, true]);
  assert.deepEqual(ends[1].tunnel.allowed, [false, false, false]);
});

Deno.test("a late timer does not shift what follows; a very late one does not make a burst", () => {
  const clock = new VirtualClock();
  const [connection] = new VirtualNetwork(clock).connect();
  const plan: ConnectionPlan = {
    exchanges: [1, 2, 3, 4].map(() => ({
      request: { type: "data", size: 100, time: 100 },
      response: [],
    })),
    close: { by: "client", how: "fin", time: 0 },
  };
  let late = 3;
  const lateClock = {
    now: () => clock.now(),
    cancel: (timer: number) => clock.cancel(timer),
    at: (time: number, run: () => void) => clock.at(time + late, run),
  };
  const { log } = play(
    lateClock as unknown as VirtualClock,
    connection,
    "client",
    new Script(TLS_GRID, plan),
  );
  clock.run(250);
  late = 50;
  clock.run(20_000);
  const records = log.events.filter(({ what }) => what === "record");
  assert.deepEqual(records.map(({ time }) => time), [103, 203, 303, 450]);
  assert.deepEqual(records.map(({ planned }) => planned), [100, 200, 300, 400]);
});

Deno.test("a peer that never answers is given up by reset", () => {
  const { clock, mine, heard, script } = against(PING);
  const result = play(clock, mine, "client", script);
  clock.run(600_000);
  assert.ok(result.player.done);
  assert.deepEqual([result.report?.completed, result.report?.stalled], [false, true]);
  assert.equal(result.tunnel.closed, false);
  assert.equal(heard.closed, "rst");
  assert.ok(clock.pending === 0);
});

Deno.test("a peer that thinks for long, as planned, is waited for", () => {
  const plan: ConnectionPlan = {
    exchanges: [{
      request: { type: "data", size: 122, time: 0 },
      response: [{ type: "data", size: 122, time: 300_000 }],
    }],
    close: { by: "server", how: "fin", time: 200_000 },
  };
  const { ends } = playBoth(settlePlan(plan, TLS_GRID), 20);
  assert.ok(ends.every(({ report }) => report?.completed));
});

Deno.test("a reader that does not read is given up", () => {
  const plan: ConnectionPlan = {
    exchanges: [{ request: { type: "data", size: 5_000_000, time: 0 }, response: [] }],
    close: { by: "client", how: "fin", time: 0 },
  };
  const { clock, mine, other, script } = against(plan);
  other.reading = false;
  const result = play(clock, mine, "client", script);
  clock.run(600_000);
  assert.equal(result.report?.stalled, true);
  assert.ok(mine.queued < 2 ** 20, "bounded");
});

Deno.test("a peer that closes early, breaks or sends too much ends the connection uncleanly", () => {
  for (const how of ["fin", "rst"] as const) {
    const { clock, mine, other, script } = against(PING);
    const result = play(clock, mine, "client", script);
    clock.at(150, () => other.close(how));
    clock.run(1000);
    assert.deepEqual([result.report?.completed, result.tunnel.closed], [false, false]);
  }
  {
    const { clock, network, mine, script } = against(PING);
    const result = play(clock, mine, "client", script);
    clock.at(150, () => network.kill(mine.id));
    clock.run(1000);
    assert.equal(result.report?.completed, false);
    assert.equal(result.log.events.at(-1)?.how, "error");
  }
  {
    const { clock, mine, other, heard, script } = against(PING);
    const result = play(clock, mine, "client", script);
    for (let i = 0; i < 4; i++) clock.at(150 + i, () => other.write(new Uint8Array(500)));
    clock.run(1000);
    assert.match(String(result.report?.error), /more than planned/);
    assert.equal(heard.closed, "rst");
  }
});

Deno.test("bytes that make no sense end the connection, with the error reported", () => {
  const { clock, mine, other, script } = against(PING);
  const result = play(clock, mine, "client", script);
  clock.at(120, () => other.write(new Uint8Array(500).fill(0xff)));
  clock.run(1000);
  assert.match(String(result.report?.error), /no sense/);
});

Deno.test("the proof goes first, over as many records as it takes; data waits for the peer's", () => {
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 40 }),
    fc.integer({ min: 1, max: 40 }),
    fc.integer({ min: 24, max: 60 }),
    (clientProof, serverProof, size) => {
      const clock = new VirtualClock();
      const [a, b] = new VirtualNetwork(clock, { delay: 5 }).connect();
      const plan: ConnectionPlan = {
        exchanges: Array.from({ length: 60 }, () => ({
          request: { type: "data", size, time: 1 },
          response: [{ type: "data", size: 23, time: 0 }],
        })),
        close: { by: "client", how: "fin", time: 0 },
      };
      const script = () => new Script(TLS_GRID, plan);
      let proof: Uint8Array | undefined;
      const client = play(clock, a, "client", script(), {
        prefix: new Uint8Array(clientProof).fill(1),
        peerPrefix: serverProof,
        onPeerPrefix: (bytes) => {
          proof = bytes.slice();
          return true;
        },
      });
      const server = play(clock, b, "server", script(), {
        prefix: new Uint8Array(serverProof).fill(2),
        peerPrefix: clientProof,
      });
      clock.run();
      assert.deepEqual(proof, new Uint8Array(serverProof).fill(2));
      assert.equal(server.tunnel.received, 60 * (size - 22) - clientProof);
      assert.equal(client.tunnel.received, 60 - serverProof);
      assert.ok(client.report?.clean && server.report?.clean);
      const [first] = client.log.events;
      assert.equal(first!.control, Math.min(clientProof, size - 22));
      // One byte a response: the peer is known once all of its proof has come.
      const unverified = client.tunnel.allowed.filter((allowed) => !allowed).length;
      assert.equal(unverified, Math.max(0, serverProof - Math.floor(clientProof / (size - 22))));
    },
  ));
});

Deno.test("a wrong proof ends the connection", () => {
  const { clock, mine, other, script } = against(PING);
  const result = play(clock, mine, "client", script, {
    peerPrefix: 16,
    onPeerPrefix: () => false,
  });
  clock.at(120, () => other.write(new Uint8Array(500)));
  clock.run(1000);
  assert.match(String(result.report?.error), /proof/);
  assert.equal(result.tunnel.received, 0);
});

Deno.test("what a node takes by itself is taken off think times, at most to zero", () => {
  const clock = new VirtualClock();
  const [near, far] = new VirtualNetwork(clock).connect();
  const connection = Object.assign(near, { reaction: 0.25 });
  const plan: ConnectionPlan = {
    exchanges: [
      { request: { type: "data", size: 100, time: 4 }, response: [] },
      { request: { type: "data", size: 100, time: 4 }, response: [] },
      { request: { type: "data", size: 100, time: 4 }, response: [] },
    ].map((exchange, i) => ({
      ...exchange,
      response: [{ type: "data", size: 200, time: 8 }],
      request: { ...exchange.request, time: [4, 4, 0.125][i]! },
    })) as ConnectionPlan["exchanges"],
    close: { by: "client", how: "fin", time: 2 },
  };
  const client = play(clock, connection, "client", new Script(TLS_GRID, plan));
  play(clock, far, "server", new Script(TLS_GRID, plan));
  clock.run();
  assert.equal(client.report?.completed, true);
  const times = client.log.events.map(({ time }) => time);
  assert.deepEqual(times, [3.75, 3.75 + 8 + 3.75, 15.5 + 8, 23.5 + 8 + 1.75]);
});

Deno.test("times count from when a handshake ended and bytes came, not from when they are handed over", () => {
  const clock = new VirtualClock();
  const [near] = new VirtualNetwork(clock).connect();
  let listener: CoverListener | undefined;
  const connection = Object.assign(Object.create(near), { age: 3, id: near.id, grid: near.grid });
  const written: number[] = [];
  Object.defineProperties(connection, {
    queued: { value: 0 },
    listener: { get: () => listener, set: (given) => listener = given },
    write: { value: () => written.push(clock.now()) },
    close: { value: () => {} },
  });
  const plan: ConnectionPlan = {
    exchanges: [5, 5, 1].map((time) => ({
      request: { type: "data", size: 100, time },
      response: [{ type: "data", size: 200, time: 8 }],
    })),
    close: { by: "client", how: "fin", time: 2 },
  };
  play(clock, connection, "client", new Script(TLS_GRID, plan));
  clock.run(10);
  assert.deepEqual(written, [2]);
  listener!.onData(new Uint8Array(178), 4);
  clock.run(20);
  assert.deepEqual(written, [2, 11]);
  // What has waited for longer than the answer was to take is answered within the call.
  listener!.onData(new Uint8Array(178), 4);
  assert.deepEqual(written, [2, 11, 20]);
});

Deno.test("what may have waited before it was reported is stated, and nothing is sent sooner for it", () => {
  const clock = new VirtualClock();
  const [near] = new VirtualNetwork(clock).connect();
  let listener: CoverListener | undefined;
  const connection = Object.assign(Object.create(near), { id: near.id, grid: near.grid });
  const written: number[] = [];
  Object.defineProperties(connection, {
    queued: { value: 0 },
    listener: { get: () => listener, set: (given) => listener = given },
    write: { value: () => written.push(clock.now()) },
    close: { value: () => {} },
  });
  const ask = (time: number) => ({ type: "data" as const, size: 100, time });
  const plan: ConnectionPlan = {
    exchanges: [
      { request: ask(5), response: [{ type: "data", size: 200, time: 8 }] },
      { request: ask(5), response: [] },
      { request: ask(1), response: [{ type: "data", size: 200, time: 8 }] },
      { request: ask(4), response: [] },
    ],
    close: { by: "client", how: "fin", time: 2 },
  };
  const client = play(clock, connection, "client", new Script(TLS_GRID, plan));
  clock.run(10);
  // As much before the trigger's own time as that can have been: not before our own message, at 5.
  listener!.onData(new Uint8Array(178), 0, 30);
  clock.run(20);
  assert.deepEqual(written, [5, 15, 16]);
  listener!.onData(new Uint8Array(178), 1, 2);
  clock.run(30);
  assert.deepEqual(written, [5, 15, 16, 23]);
  const doubts = client.log.events.map(({ doubt }) => doubt ?? 0);
  assert.deepEqual(doubts, [0, 5, 5, 2, 2]);
  assert.equal(client.stats.lateness.max, 0);
  assert.equal(client.stats.latenessAtMost.max, 5);
});

Deno.test("what is due when its trigger arrives is sent before the arrival's turn is over", () => {
  const clock = new VirtualClock();
  const [near, far] = new VirtualNetwork(clock).connect();
  const plan: ConnectionPlan = {
    exchanges: [
      {
        request: { type: "data", size: 100, time: 0 },
        response: [{ type: "data", size: 200, time: 0 }],
      },
      { request: { type: "data", size: 100, time: 0 }, response: [] },
    ],
    close: { by: "client", how: "fin", time: 0 },
  };
  const client = play(clock, near, "client", new Script(TLS_GRID, plan));
  const listener = near.listener!;
  clock.run(1);
  const before = client.log.events.length;
  listener.onData(new Uint8Array(200 - TLS_GRID.overhead));
  assert.equal(client.log.events.length, before + 1);
  far.close("rst");
  clock.run();
});

Deno.test("making sense of what arrived is no thinking", () => {
  const clock = new VirtualClock();
  const [near, far] = new VirtualNetwork(clock).connect();
  const plan: ConnectionPlan = {
    exchanges: [{
      request: { type: "data", size: 100, time: 0 },
      response: [{ type: "data", size: 200, time: 5 }],
    }],
    close: { by: "server", how: "fin", time: 0 },
  };
  const server = play(clock, far, "server", new Script(TLS_GRID, plan));
  // The tunnel takes 3 ms over it.
  server.tunnel.receive = () => clock.run(clock.now() + 3);
  play(clock, near, "client", new Script(TLS_GRID, plan));
  clock.run(1000);
  assert.equal(server.log.events[0]!.time, 5);
});

import assert from "node:assert/strict";
import type { End } from "../../models/cover_model.ts";
import type { Clock } from "../../playback/clock.ts";
import type { ReliableTunnel } from "../../playback/tunnel.ts";
import type { TunnelStream } from "../../playback/stream.ts";
import { makeWorld, ROLES, TestModel, type World, type WorldOptions } from "./engine_world.ts";

// What `demand` and `adaptive` may know of a user is a few numbers: how many streams are open, how much waits, when
// that rises from nothing. A tunnel that carries nothing and is told the same numbers at the same times must look the
// same on the wire, event by event: then nothing else of a user shows, least of all what connections hold.

const ENDS = ["client", "server"] as const;
const SIGNALS = ["backlog", "streams"] as const;

/** What the engine was told of a user, and when. */
interface Told {
  readonly answers: Map<string, number[]>;
  readonly demands: number[];
}

const key = (end: End, what: string, time: number) => `${end} ${what} ${time.toFixed(6)}`;

/** Writes down every answer that the engine gets from the tunnel about a user. */
function record(world: World): Told {
  const told: Told = { answers: new Map(), demands: [] };
  for (const end of ENDS) {
    const tunnel = world.tunnels[end];
    for (const what of SIGNALS) {
      const read = Object.getOwnPropertyDescriptor(
        Object.getPrototypeOf(tunnel) as ReliableTunnel,
        what,
      )!.get!;
      Object.defineProperty(tunnel, what, {
        get: () => {
          const value = read.call(tunnel) as number;
          const name = key(end, what, world.clock.now());
          told.answers.set(name, [...told.answers.get(name) ?? [], value]);
          return value;
        },
      });
    }
  }
  const { client } = world.tunnels;
  const { onDemand } = client;
  client.onDemand = () => {
    told.demands.push(world.clock.now());
    onDemand?.();
  };
  return told;
}

/** Gives the same answers at the same times, whatever the tunnel holds. */
function replay(world: World, told: Told): void {
  for (const end of ENDS) {
    for (const what of SIGNALS) {
      Object.defineProperty(world.tunnels[end], what, {
        get: () => {
          const answers = told.answers.get(key(end, what, world.clock.now())) ?? [];
          return (answers.length > 1 ? answers.shift() : answers[0]) ?? 0;
        },
      });
    }
  }
  for (const time of told.demands) {
    world.clock.at(time, () => world.tunnels.client.onDemand?.());
  }
}

const CHUNK = new Uint8Array(65_536).fill(7);

function send(stream: TunnelStream, bytes: number): void {
  let left = bytes;
  stream.onWritable = () => {
    while (left > 0) {
      const taken = stream.write(CHUNK.subarray(0, Math.min(left, CHUNK.length)));
      if (taken === 0) return;
      left -= taken;
    }
    stream.end();
  };
  stream.onWritable();
}

/** A user who now and then asks for something large, sends something large, or does both. */
function browse(world: World): void {
  const handle = (stream: TunnelStream) => {
    stream.opened.catch(() => {});
    stream.closed.catch(() => {});
    return stream;
  };
  const drain = (stream: TunnelStream, done: () => void) => {
    stream.onReadable = () => {
      let bytes = stream.read();
      while (bytes) bytes = stream.read();
      if (bytes !== null) return;
      stream.onReadable = undefined;
      done();
    };
  };
  world.tunnels.server.onStream = (far) => {
    handle(far).accept();
    drain(far, () => send(far, 1000 + Math.floor(world.clock.now() * 997) % 300_000));
  };
  let pages = 0;
  const next = () => {
    const near = handle(world.tunnels.client.open({ host: "example.com", port: 80 }));
    drain(near, () => {
      world.clock.at(world.clock.now() + 300.7 + (pages * 1777.3) % 9000, next);
    });
    send(near, pages++ % 3 === 0 ? 100_003 : 401);
  };
  world.clock.at(5000.123, next);
}

const MINUTES = 3;

/** Plays a user, and then nobody with the same demand. */
function both(options: WorldOptions, busy: World = makeWorld(options)): [World, World] {
  const told = record(busy);
  browse(busy);
  busy.opener.start();
  busy.clock.run(MINUTES * 60_000);
  const nobody = makeWorld(options);
  replay(nobody, told);
  nobody.opener.start();
  nobody.clock.run(MINUTES * 60_000);
  assert.deepEqual([busy.faults, nobody.faults], [[], []]);
  assert.ok(busy.opener.stats.data > 50_000 && busy.acceptor.stats.data > 200_000);
  assert.equal(nobody.opener.stats.data + nobody.acceptor.stats.data, 0);
  return [busy, nobody];
}

const MODELS: Record<string, WorldOptions> = {
  "sessions and episodes": { opener: { sessions: 2 } },
  "no layers, a slow link": {
    model: new TestModel({ layers: false }),
    link: { delay: 40, rate: 200_000 },
  },
};

for (const { form, lead, schedule } of ROLES.filter(({ schedule }) => schedule !== "strict")) {
  for (const [name, options] of Object.entries(MODELS)) {
    Deno.test(`${schedule}, ${lead} leads, ${form}, ${name}: nobody with a user's demand looks like the user`, () => {
      const opener = { form, schedule, ...options.opener };
      const [busy, nobody] = both({ ...options, lead, opener });
      for (const end of ENDS) {
        const [expected, actual] = [busy.logs[end].visible(), nobody.logs[end].visible()];
        assert.ok(expected.length > 200);
        for (let i = 0; i < Math.max(expected.length, actual.length); i++) {
          if (expected[i] !== actual[i]) {
            assert.fail(`event ${i} at the ${end}: a user ${expected[i]}, nobody ${actual[i]}`);
          }
        }
      }
      const kinds = (world: World) => world.logs.client.events.flatMap(({ kind = 0 }) => kind);
      assert.ok(schedule === "demand" || kinds(busy).some((kind) => kind > 0), "kinds are chosen");
    });
  }
}

Deno.test("nobody with a user's demand: timers that are late by a hundredth of a millisecond while data waits are found", () => {
  const options: WorldOptions = { opener: { schedule: "demand" } };
  const made: { world?: World; late?: () => number } = {};
  const leaky: Clock = {
    now: () => made.world?.clock.now() ?? 0,
    at: (time, run) => made.world!.clock.at(time + made.late!(), run),
    cancel: (timer) => made.world!.clock.cancel(timer),
  };
  made.world = makeWorld({ opener: { ...options.opener, clock: leaky } });
  const { client } = made.world.tunnels;
  const waits = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(client), "backlog")!.get!;
  made.late = () => waits.call(client) > 0 ? 0.01 : 0;
  const [busy, nobody] = both(options, made.world);
  assert.notDeepEqual(busy.logs.server.visible(), nobody.logs.server.visible());
});

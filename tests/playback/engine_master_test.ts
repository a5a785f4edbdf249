import assert from "node:assert/strict";
import type { ConnectionPlan } from "../../models/cover_model.ts";
import { ConstantRate } from "../../models/constant_rate.ts";
import { encodeEngine } from "../../playback/frame.ts";
import {
  connectionNumber,
  decodeSetup,
  encodeSetup,
  EngineFrameError,
  frameOverhead,
  largestBody,
  type Setup,
} from "../../playback/engine_frames.ts";
import { drawPlan, fitInline } from "../../playback/first_message.ts";
import { LocalPlans } from "../../models/plans.ts";
import type { PlanForm } from "../../playback/engine_frames.ts";
import { SlaveRefusedError } from "../../playback/refusals.ts";
import { PlanDecoder } from "../../playback/plan_codec.ts";
import { DEFAULT_POLICY } from "../../playback/policy.ts";
import { Script } from "../../playback/script.ts";
import { TLS_GRID } from "../../playback/virtual_network.ts";
import { makeWorld, pump, TestModel } from "./engine_world.ts";

const MINUTE = 60_000;

Deno.test("both forms of plan give the same wire", () => {
  for (
    const model of [
      new TestModel({ clientSizes: [300, 2000] }),
      new TestModel({ clientSizes: [300, 2000], ends: true }),
      new TestModel({ clientSizes: [300, 2000], layers: false }),
      new ConstantRate(),
    ]
  ) {
    const [derived, embedded] = (["derived", "embedded"] as PlanForm[]).map((form) => {
      const world = makeWorld({ model, opener: { form, sessions: 2 } });
      world.opener.start();
      world.clock.run(3 * MINUTE);
      assert.deepEqual(world.faults, []);
      assert.equal(world.opener.stats.unclean, 0);
      return world;
    });
    assert.ok(derived!.opener.stats.completed > 10);
    assert.deepEqual(derived!.logs.client.visible(), embedded!.logs.client.visible());
    assert.deepEqual(derived!.logs.server.visible(), embedded!.logs.server.visible());
  }
});

Deno.test("the same seed gives the same run, another seed another", () => {
  const [a, b, c] = [1, 1, 2].map((seed) => {
    const world = makeWorld({ seed, opener: { sessions: 3 } });
    world.opener.start();
    world.clock.run(MINUTE);
    return world.logs.client.visible();
  });
  assert.deepEqual(a, b);
  assert.notDeepEqual(a, c);
});

Deno.test("several connections are open at once, no more than the policy allows", () => {
  for (const [maxOpen, delayed] of [[64, false], [2, true]] as const) {
    const world = makeWorld({
      model: new TestModel({ exchanges: 20 }),
      opener: { sessions: 4, policy: { ...DEFAULT_POLICY, maxOpen } },
    });
    let most = 0;
    const look = () => {
      most = Math.max(most, world.network.open().length);
      world.clock.at(world.clock.now() + 50, look);
    };
    look();
    world.opener.start();
    world.clock.run(3 * MINUTE);
    assert.ok(delayed ? most === 2 : most > 4, `${most} open`);
    // Some always wait for the first answer of the acceptor.
    assert.equal(world.opener.stats.delayed > 20, delayed);
    assert.equal(world.opener.stats.unclean, 0);
  }
});

Deno.test("dials that fail are tried again, with pauses that grow", () => {
  let reachable = false;
  const pauses: number[] = [];
  const world = makeWorld({
    mayDial: () => reachable,
    opener: {
      sessions: 3,
      onDialFailure: (_error, _failures, pause) => pauses.push(pause),
    },
  });
  world.opener.start();
  world.clock.run(10 * MINUTE);
  assert.ok(pauses.length > 10 && pauses.length < 60, `${pauses.length} dials in ten minutes`);
  assert.ok(Math.max(...pauses) <= 37_500 && pauses[0]! < 1000);
  assert.equal(world.opener.stats.opened, 0);
  reachable = true;
  world.clock.run(15 * MINUTE);
  assert.ok(world.opener.stats.completed > 50);
});

Deno.test("a server that hangs up at once is not stormed", () => {
  for (const gap of ["close", 10] as const) {
    let dials = 0;
    const world = makeWorld({
      model: new TestModel({ layers: false, gap }),
      opener: {
        dial: ({ done }) => {
          dials++;
          world.network.dial((connection) => done({ connection }), (server) => {
            server.listener = { onData: () => server.close("rst"), onClose: () => {} };
          });
        },
      },
    });
    world.opener.start();
    world.clock.run(10 * MINUTE);
    assert.ok(dials > 10 && dials < 60, `${dials} dials in ten minutes`);
    assert.equal(world.opener.stats.completed, 0);
  }
});

Deno.test("an acceptor without the model gets the plans, and then plays", () => {
  const world = makeWorld({ models: [] });
  const { here, there } = pump(world, 100_000);
  world.opener.start();
  world.clock.run(10 * MINUTE, () => here.ended && there().ended);
  assert.equal(world.opener.form, "embedded");
  assert.equal(here.received.digest("hex"), there().sent.digest("hex"));
  assert.ok(world.opener.stats.unclean <= 1);
});

Deno.test("without a fallback it is one clear error, and the end", () => {
  const errors: Error[] = [];
  const world = makeWorld({
    models: [new ConstantRate()],
    opener: { fallback: false, sessions: 3, onError: (error) => errors.push(error) },
  });
  world.opener.start();
  world.clock.run(10 * MINUTE);
  assert.equal(errors.length, 1);
  assert.ok(errors[0] instanceof SlaveRefusedError);
  assert.match(errors[0].message, /does not hold this model/);
  assert.equal(world.opener.stats.opened, 1);
  assert.equal(world.clock.pending, 0);
});

Deno.test("plans beyond the slave's policy are refused with one error", () => {
  const limits = [
    { maxMessage: 10_000 },
    { maxConnection: 50_000 },
    { maxExchanges: 2 },
    { maxTime: 50 },
    { maxSessions: 1 },
    { maxRate: 1000 },
  ];
  for (const form of ["derived", "embedded"] as PlanForm[]) {
    for (const limit of limits) {
      const errors: Error[] = [];
      const world = makeWorld({
        acceptor: { policy: { ...DEFAULT_POLICY, ...limit } },
        opener: { form, sessions: 2, onError: (error) => errors.push(error) },
      });
      world.opener.start();
      world.clock.run(10 * MINUTE);
      assert.equal(errors.length, 1, JSON.stringify([form, limit]));
      assert.match(errors[0]!.message, /^the server refuses this model: (a|more) /);
    }
  }
});

Deno.test("a first connection that breaks does not keep the tunnel from starting", () => {
  for (const form of ["derived", "embedded"] as PlanForm[]) {
    for (const after of [30, 61, 75, 100, 150, 300]) {
      const world = makeWorld({ opener: { form, sessions: 2 } });
      world.clock.at(after, () => world.network.kill("v0", 5));
      world.opener.start();
      world.clock.run(3 * MINUTE);
      assert.ok(world.opener.stats.completed > 10, `broken after ${after}`);
      assert.deepEqual(world.faults, []);
    }
  }
});

Deno.test("small first messages are drawn again, then enlarged, alike at both ends", () => {
  const plans = (clientSizes: [number, number]) =>
    new LocalPlans(new TestModel({ clientSizes }), new Uint8Array(32));
  const redrawn = drawPlan(plans([23, 80]), 0, 0, 50, TLS_GRID);
  const [first] = new Script(TLS_GRID, redrawn.plan).messages;
  assert.ok(first!.records[0]! >= 50 && !redrawn.enlarged);
  const enlarged = drawPlan(plans([23, 60]), 0, 0, 50, TLS_GRID);
  assert.equal(new Script(TLS_GRID, enlarged.plan).messages[0]!.records[0], 50);
  assert.ok(enlarged.enlarged);
  const original = new LocalPlans(new TestModel({ clientSizes: [23, 60] }), new Uint8Array(32))
    .connection(0, 0);
  assert.equal(enlarged.plan.exchanges.length, original.exchanges.length);
  const world = makeWorld({ model: new TestModel({ clientSizes: [23, 60] }) });
  world.opener.start();
  world.clock.run(5 * MINUTE);
  assert.deepEqual(world.faults, []);
  assert.equal(world.opener.stats.unclean, 0);
  assert.ok(world.opener.stats.redrawn > 0);
  assert.ok(world.opener.stats.enlarged > 0, "the set-up is larger than any first message");
});

Deno.test("a model whose first message is always too small is not drawn 64 times", () => {
  const model = new TestModel({ clientSizes: [30, 30] });
  const draw = model.connection.bind(model);
  let draws = 0;
  model.connection = (random) => {
    draws++;
    return draw(random);
  };
  const { enlarged } = drawPlan(new LocalPlans(model, new Uint8Array(32)), 0, 0, 18, TLS_GRID);
  assert.ok(enlarged);
  assert.equal(draws, 8);
});

Deno.test("a model that draws nonsense is one clear error", () => {
  const nonsense: ConnectionPlan["exchanges"][] = [
    [],
    [{ request: { type: "data", size: NaN, time: 0 }, response: [] }],
    [{ request: { type: "data", size: 0, time: 0 }, response: [] }],
    [{ request: { type: "data", size: 100, time: 0, records: [50, NaN] }, response: [] }],
    [{ request: { type: "data", size: 1e300, time: 0 }, response: [] }],
  ];
  for (const exchanges of nonsense) {
    for (const form of ["derived", "embedded"] as PlanForm[]) {
      const model = new TestModel();
      model.connection = () => ({ exchanges, close: { by: "client", how: "fin", time: 0 } });
      const errors: Error[] = [];
      const world = makeWorld({ model, opener: { form, onError: (error) => errors.push(error) } });
      world.opener.start();
      world.clock.run(10 * MINUTE);
      assert.equal(errors.length, 1);
      assert.match(errors[0]!.message, /^the model test drew a connection that cannot be played: /);
    }
  }
});

Deno.test("times that are no times are none", () => {
  const model = new TestModel({ layers: false });
  const draw = model.connection.bind(model);
  model.connection = (random) => {
    const plan = draw(random);
    return {
      exchanges: plan.exchanges.map(({ request, response }) => ({
        request: { ...request, time: NaN, lead: -5 },
        response: response.map((message) => ({ ...message, time: -1, lead: NaN })),
      })),
      close: { by: "client", how: "fin", time: -3 },
    };
  };
  model.connectionGap = () => NaN;
  const world = makeWorld({ model, opener: { policy: { ...DEFAULT_POLICY, maxOpen: 3 } } });
  world.opener.start();
  world.clock.run(MINUTE);
  assert.ok(world.opener.stats.completed > 10);
  assert.equal(world.opener.stats.unclean, 0);
});

Deno.test("an inline plan is there, exchange by exchange, when it is needed", () => {
  for (let serial = 0; serial < 200; serial++) {
    const plans = new LocalPlans(
      new TestModel({ clientSizes: [23, 60], exchanges: 30 }),
      new Uint8Array(32),
    );
    const drawn = drawPlan(plans, 0, serial, 18, TLS_GRID).plan;
    const { plan, bytes } = fitInline(drawn, TLS_GRID, 16);
    const decoder = new PlanDecoder();
    let sent = 0;
    let reserved = 16;
    for (const [i, { request }] of plan.exchanges.entries()) {
      for (
        const record of new Script(TLS_GRID, { ...plan, exchanges: [plan.exchanges[i]!] })
          .messages[0]!.records
      ) {
        const used = Math.min(reserved, record);
        reserved -= used;
        const room = Math.min(Math.max(0, largestBody(record - used)), bytes.length - sent);
        decoder.push(bytes.subarray(sent, sent + room));
        sent += room;
      }
      assert.ok(decoder.exchanges.length > i, `exchange ${i} of ${serial}: ${request.size}`);
    }
    assert.equal(sent, bytes.length);
    assert.deepEqual(decoder.close, plan.close);
  }
});

Deno.test("control frames are as long as the engine reckons", () => {
  for (const length of [0, 1, 100, 127, 128, 129, 5000, 16383, 16384]) {
    const frame = encodeEngine(3, new Uint8Array(length));
    assert.equal(frame.length, length + frameOverhead(length));
  }
  for (let room = 1; room < 400; room++) {
    const body = largestBody(room);
    if (body <= 0) continue;
    assert.ok(body + frameOverhead(body) <= room - 1);
    assert.ok(body + 1 + frameOverhead(body + 1) > room - 1 || body === 126 || body === 127);
  }
});

Deno.test("connection numbers are unique and small", () => {
  const seen = new Set<number>();
  for (let session = 0; session < 100; session++) {
    for (let serial = 0; serial < 100; serial++) seen.add(connectionNumber(session, serial));
  }
  assert.equal(seen.size, 10_000);
  assert.ok(connectionNumber(3, 5) < 128);
});

Deno.test("a set-up reads as it was written; another version or length is refused", () => {
  const setup: Setup = {
    form: "derived",
    master: "server",
    schedule: "demand",
    sessions: 7,
    minimum: 300,
    minimumHere: 5,
    digest: new Uint8Array(8).fill(3),
    seed: new Uint8Array(16).fill(4),
  };
  const bytes = encodeSetup(setup);
  assert.deepEqual(decodeSetup(bytes), setup);
  const embedded: Setup = {
    ...setup,
    form: "embedded",
    digest: new Uint8Array(0),
    seed: new Uint8Array(0),
  };
  assert.deepEqual(decodeSetup(encodeSetup(embedded)), embedded);
  assert.throws(() => decodeSetup(bytes.subarray(0, bytes.length - 1)), EngineFrameError);
  assert.throws(() => decodeSetup(bytes.subarray(0, 3)), EngineFrameError);
  for (const large of [{ minimum: 2 ** 40 }, { minimumHere: 16_385 }]) {
    assert.throws(() => decodeSetup(encodeSetup({ ...setup, ...large })), EngineFrameError);
  }
  bytes[0] = 1;
  assert.throws(() => decodeSetup(bytes), EngineFrameError);
});

Deno.test("demand: a stream that opens here starts the next episode", () => {
  const opened = (active: boolean) => {
    const world = makeWorld({
      model: new TestModel({ layers: false, gap: 30_000, exchanges: 2, pause: 1500 }),
      opener: { schedule: "demand" },
    });
    world.opener.start();
    world.clock.run(10_000);
    assert.equal(world.opener.stats.opened, 1);
    if (active) world.tunnels.client.open({ host: "a", port: 1 });
    world.clock.run(10_500);
    const atOnce = world.opener.stats.opened;
    world.clock.run(20_000);
    return [atOnce, world.opener.stats.opened];
  };
  assert.deepEqual(opened(false), [1, 1]);
  const [atOnce, later] = opened(true);
  assert.equal(atOnce, 2);
  assert.ok(later! >= 5, "while the stream is open, pauses are short");
});

Deno.test("adaptive: the acceptor says how much data waits there, and kinds follow", () => {
  const cases = [["adaptive", true], ["adaptive", false], ["demand", true], [
    "strict",
    true,
  ]] as const;
  for (const [schedule, writes] of cases) {
    const world = makeWorld({
      model: new TestModel({ layers: false, gap: 3000 }),
      opener: { schedule, sessions: 2 },
    });
    world.tunnels.server.onStream = (stream) => {
      stream.accept();
      stream.opened.catch(() => {});
      const write = () => {
        while (writes && stream.write(new Uint8Array(65_536)) > 0);
      };
      stream.onWritable = write;
      write();
    };
    const near = world.tunnels.client.open({ host: "a", port: 1 });
    near.opened.catch(() => {});
    near.onReadable = () => {
      while (near.read());
    };
    world.opener.start();
    world.clock.run(MINUTE);
    const kinds = new Set(world.logs.client.events.map(({ kind = 0 }) => kind));
    const expected = schedule === "adaptive" && writes ? [0, 1] : [0];
    assert.deepEqual([...kinds].sort(), expected, `${schedule}, ${writes}`);
  }
});

Deno.test("a stopped opener leaves nothing behind", () => {
  const world = makeWorld({ opener: { sessions: 4 } });
  world.opener.start();
  world.clock.run(MINUTE);
  world.opener.stop();
  world.clock.run(2 * MINUTE);
  assert.equal(world.opener.open, 0);
  assert.equal(world.acceptor.open, 0);
  const opened = world.opener.stats.opened;
  world.clock.run(60 * MINUTE);
  assert.equal(world.opener.stats.opened, opened);
});

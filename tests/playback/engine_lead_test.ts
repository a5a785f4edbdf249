import assert from "node:assert/strict";
import fc from "fast-check";
import type { ConnectionPlan, CoverModel, End } from "../../models/cover_model.ts";
import { MAX_ATTEMPTS } from "../../playback/first_message.ts";
import { LocalPlans } from "../../models/plans.ts";
import { chooseKind, Kinds, volumeOf } from "../../playback/kinds.ts";
import { Lead, planKey } from "../../playback/lead.ts";
import { MasterRefusedError, SlaveRefusedError } from "../../playback/refusals.ts";
import { DEFAULT_POLICY } from "../../playback/policy.ts";
import { recordsOf } from "../../playback/script.ts";
import { TLS_GRID } from "../../playback/virtual_network.ts";
import type { WireEvent } from "../../playback/wire_log.ts";
import {
  leadSeed,
  makeWorld,
  pump,
  ROLES,
  STRICT_ROLES,
  TestModel,
  type World,
} from "./engine_world.ts";

const MINUTE = 60_000;

/** What was done on one connection at one end, in the order in which it was done. */
function connectionsOf(world: World, end: End): Map<string, WireEvent[]> {
  const connections = new Map<string, WireEvent[]>();
  for (const event of world.logs[end].events) {
    const name = `${event.session}/${event.serial}`;
    connections.set(name, [...connections.get(name) ?? [], event]);
  }
  return connections;
}

const close = (a: number, b: number) => Math.abs(a - b) < 1e-6;

/** Episodes of several connections, sessions with pauses, every way to close. */
const MADE: CoverModel = {
  description: { ...new TestModel().description, name: "made", digest: "5a".repeat(32) },
  session: () => ({ pauses: [0, 2000, 1000] }),
  episode: (random) => ({ starts: [0, ...[80, 120, 0].slice(0, 1 + random.integer(3))] }),
  connectionGap: () => "close",
  connection: (random) => ({
    exchanges: Array.from({ length: 1 + random.integer(3) }, () => ({
      request: { type: "data" as const, size: 600 + random.integer(400), time: random.integer(90) },
      response: Array.from({ length: random.integer(3) }, () => ({
        type: "data" as const,
        size: 500 + random.integer(30_000),
        time: random.integer(60),
      })),
    })),
    close: {
      by: random.integer(2) === 0 ? "client" as const : "server" as const,
      how: random.integer(2) === 0 ? "fin" as const : "rst" as const,
      time: random.integer(50),
    },
  }),
};

/** Connections one after another, each opened when the one before has closed: the seed's reconnect. */
const RECONNECTING: CoverModel = {
  ...MADE,
  session: () => undefined,
  episode: () => undefined,
};

const DELAY = 15;

/**
 * What both ends do on a connection that opens at 0, worked out from its plan alone: times of records and of the
 * close at each end, on a link with a delay and no other limit.
 */
function expected(plan: ConnectionPlan) {
  // The opener dials at 0; its end is open two round trips later, the other half a round trip after it.
  const ready = { client: 4 * DELAY, server: 5 * DELAY };
  const did: Record<End, { what: string; size: number; time: number }[]> = {
    client: [],
    server: [],
  };
  const before = { ...ready };
  const heard = { ...ready };
  const say = (end: End, size: number, time: number) => {
    const at = Math.max(before[end], heard[end]) + time;
    did[end].push({ what: "record", size, time: at });
    before[end] = at;
    heard[end === "client" ? "server" : "client"] = at + DELAY;
  };
  for (const { request, response } of plan.exchanges) {
    for (const [end, messages] of [["client", [request]], ["server", response]] as const) {
      // What one end says in a row is heard message by message, and answered after the last.
      for (const message of messages) {
        const [first, ...others] = recordsOf(message, TLS_GRID);
        say(end, first!, message.time);
        for (const size of others) did[end].push({ what: "record", size, time: before[end] });
      }
    }
  }
  const { by, how, time } = plan.close;
  const other = by === "client" ? "server" : "client";
  const closed = Math.max(before[by], heard[by]) + time;
  did[by].push({ what: `close ${how}`, size: 0, time: closed });
  did[other].push({ what: `close ${how}`, size: 0, time: closed + DELAY });
  const over = by === "client" && how === "fin"
    ? closed + 2 * DELAY
    : by === "client"
    ? closed
    : closed + DELAY;
  return { did, over };
}

for (const { form, lead } of STRICT_ROLES) {
  for (const model of [MADE, RECONNECTING]) {
    const name = model === MADE ? "episodes of several connections" : "reconnects";
    Deno.test(`the wire follows the plan, ${lead} leads, ${form}: ${name}`, () => {
      const world = makeWorld({ model, lead, link: { delay: DELAY }, opener: { form } });
      world.opener.start();
      world.clock.run(3 * MINUTE);
      world.opener.stop();
      assert.deepEqual(world.faults, []);
      // The plans of whoever leads, drawn here once more. The first connections are the client's in any case, up
      // to one on which the server answers.
      const leads = {
        client: new Lead(model, leadSeed("client"), { adaptive: false }),
        server: new Lead(model, leadSeed("server"), { adaptive: false }),
      };
      assert.ok(world.opener.stats.unled <= (lead === "client" ? 0 : 4), "the server is heard");
      const minimum = lead === "client" ? 18 : 22;
      const logs = {
        client: connectionsOf(world, "client"),
        server: connectionsOf(world, "server"),
      };
      const opened = world.logs.client.events.filter(({ what }) => what === "open");
      const whole = [...logs.client].filter(([name, events]) =>
        events.at(-1)!.what === "close" && events.at(-1)!.time < 3 * MINUTE - 1000 &&
        logs.server.get(name)?.at(-1)?.what === "close"
      );
      assert.ok(whole.length > 20, `only ${whole.length} connections`);
      const ends = new Set<string>();
      const over = new Map<string, number>();
      for (const [name, events] of whole) {
        const { serial, session, time } = events[0]!;
        const first = session === 0 && serial < world.opener.stats.unled;
        const { plan } = leads[first ? "client" : lead].draw(session, serial, 0, minimum, TLS_GRID);
        const { did, over: end } = expected(plan);
        over.set(name, time + end);
        ends.add(`${plan.close.by} ${plan.close.how}`);
        for (const end of ["client", "server"] as const) {
          const log = logs[end].get(name)!.slice(1);
          assert.deepEqual(
            log.map(({ how, size, what }) =>
              `${what}${how === undefined ? "" : ` ${how}`} ${size}`
            ),
            did[end].map(({ size, what }) => `${what} ${size}`),
            `connection ${name} at the ${end}`,
          );
          for (const [i, event] of log.entries()) {
            const due = time + did[end][i]!.time;
            assert.ok(close(event.time, due), `${name}, ${end}, ${i}: ${event.time}, not ${due}`);
          }
        }
      }
      assert.equal(ends.size, 4, "closed by either end in either way");
      // When they opened: by the leader's openings, from what those count from.
      let compared = 0;
      let overdue = 0;
      for (const [i, event] of opened.entries()) {
        if (i === 0 || event.time > 3 * MINUTE - 2000) continue;
        const { serial, session } = event;
        const opening = leads[lead].openings.opening(session, serial);
        assert.ok(opening !== "end");
        const before = opened[i - 1]!;
        const nameOf = ({ serial, session }: WireEvent) => `${session}/${serial}`;
        const from = opening.after === "start"
          ? before.time
          : Math.max(...opened.slice(0, i).map((other) => over.get(nameOf(other)) ?? 0));
        // The second waits for the first's answer, which brings the tunnel to life.
        if (
          session === 0 && opening.after === "start" && before.session === 0 && event.time < 500
        ) {
          continue;
        }
        const late = event.time - (from + opening.time);
        // A master far away may be heard late of, if little was said to the client before; never early.
        const heardLate = lead === "server" && form === "embedded" && late > 0;
        assert.ok(close(late, 0) || heardLate, `${nameOf(event)} opened ${late} ms late`);
        if (heardLate && !close(late, 0)) overdue++;
        compared++;
      }
      assert.ok(compared > 20, `only ${compared} openings`);
      assert.ok(overdue < compared / 50, `${overdue} of ${compared} openings overdue`);
    });
  }
}

Deno.test("both forms of plan give the same wire, whoever leads", () => {
  for (const lead of ["client", "server"] as const) {
    for (const layers of [true, false]) {
      const model = new TestModel({
        clientSizes: [300, 2000],
        serverSizes: [1500, 9000],
        exchanges: 12,
        layers,
      });
      const [derived, embedded] = (["derived", "embedded"] as const).map((form) => {
        // Of a second session a server that leads may be heard a little late.
        const sessions = lead === "client" ? 2 : 1;
        const world = makeWorld({ model, lead, opener: { form, sessions } });
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
  }
});

Deno.test("a server that does not lead says so, and that is the end", () => {
  for (const form of ["derived", "embedded"] as const) {
    const errors: Error[] = [];
    const world = makeWorld({
      lead: "server",
      acceptor: { lead: undefined },
      opener: { form, onError: (error) => errors.push(error) },
    });
    world.opener.start();
    world.clock.run(10 * MINUTE);
    assert.equal(errors.length, 1);
    assert.ok(errors[0] instanceof SlaveRefusedError);
    assert.match(errors[0].message, /will not be master: use --master client/);
    assert.equal(world.clock.pending, 0);
  }
});

/** A model of one message each way. */
function fixed(size: number, digest: string): CoverModel {
  return {
    ...RECONNECTING,
    description: { ...MADE.description, digest: digest.repeat(32) },
    connection: () => ({
      exchanges: [{
        request: { type: "data", size, time: 20 },
        response: [{ type: "data", size: 3000, time: 20 }],
      }],
      close: { by: "client", how: "fin", time: 5 },
    }),
  };
}

Deno.test("a server that leads another model than the client's plays its own", () => {
  const world = makeWorld({
    model: fixed(500, "1a"),
    models: [fixed(1000, "2b")],
    sealed: true,
    lead: "server",
  });
  const { here, there } = pump(world, 100_000);
  world.opener.start();
  world.clock.run(10 * MINUTE, () => here.ended && there().ended);
  assert.deepEqual([world.opener.form, world.opener.master], ["embedded", "server"]);
  assert.equal(here.received.digest("hex"), there().sent.digest("hex"));
  // The first is the client's and meets a refusal, the second brings the server's lead.
  const requests = [...connectionsOf(world, "client").values()].map((events) => events[1]!.size);
  assert.deepEqual(requests.slice(0, 3), [500, 500, 1000]);
  assert.ok(requests.slice(2).every((size) => size === 1000));
  assert.equal(world.opener.stats.unled, 2);
});

Deno.test("what a master asks for is refused by the client's policy, with one error", () => {
  const limits = [
    { maxMessage: 10_000 },
    { maxConnection: 50_000 },
    { maxExchanges: 2 },
    { maxTime: 50 },
    { maxRate: 1000 },
  ];
  for (const form of ["derived", "embedded"] as const) {
    for (const limit of limits) {
      const errors: Error[] = [];
      const world = makeWorld({
        lead: "server",
        opener: {
          form,
          sessions: 2,
          policy: { ...DEFAULT_POLICY, ...limit },
          onError: (error) => errors.push(error),
        },
      });
      world.opener.start();
      world.clock.run(10 * MINUTE);
      assert.equal(errors.length, 1, JSON.stringify([form, limit]));
      assert.ok(errors[0] instanceof MasterRefusedError);
      assert.match(errors[0].message, /^the server, as master, asks for (a|more) /);
    }
  }
});

Deno.test("cover goes on where the master cannot be heard, and is the master's again afterwards", () => {
  for (const form of ["derived", "embedded"] as const) {
    let away = false;
    const world = makeWorld({ lead: "server", opener: { form }, mayDial: () => !away });
    world.opener.start();
    world.clock.run(2 * MINUTE);
    const { unled } = world.opener.stats;
    assert.ok(unled <= 3, `${unled} unled while all was well`);
    away = true;
    for (const id of world.network.open()) world.network.kill(id);
    world.clock.run(12 * MINUTE);
    assert.equal(world.opener.open, 0);
    const before = world.opener.stats.completed;
    away = false;
    const { here, there } = pump(world, 50_000);
    world.clock.run(20 * MINUTE);
    assert.ok(here.ended && there().ended, "the tunnel lives on");
    assert.ok(world.opener.stats.completed > before + 20);
    const late = world.opener.stats.unled;
    world.clock.run(25 * MINUTE);
    assert.equal(world.opener.stats.unled, late, "the master is heard again");
  }
});

Deno.test("nothing is lost whatever breaks and whoever leads", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...ROLES),
      fc.nat(1000),
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.tuple(fc.integer({ min: 1, max: 900 }), fc.boolean(), fc.nat(60)), {
        minLength: 1,
        maxLength: 40,
      }),
      ({ form, lead, schedule }, seed, sessions, cuts) => {
        const world = makeWorld({
          seed,
          lead,
          model: new TestModel({ clientSizes: [60, 4000], think: 60 }),
          link: { delay: 15, rate: 500_000 },
          opener: { form, schedule, sessions },
        });
        let at = 0;
        for (const [pause, all, later] of cuts) {
          at += pause;
          world.clock.at(at, () => {
            const open = world.network.open();
            for (const id of all ? open : open.slice(-1)) world.network.kill(id, later);
          });
        }
        const { here, there } = pump(world, 30_000, seed);
        world.opener.start();
        world.clock.run(3_600_000, () => here.ended && there()?.ended);
        assert.ok(here.ended && there().ended, `${here.arrived} bytes`);
        assert.equal(there().received.digest("hex"), here.sent.digest("hex"));
        assert.equal(here.received.digest("hex"), there().sent.digest("hex"));
        world.opener.stop();
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("kinds: both ends draw alike, and a connection of a kind is the largest of four that the model draws", () => {
  const model = new TestModel({ clientSizes: [100, 9000] });
  const plans = () => new LocalPlans(model, planKey(new Uint8Array(16)));
  const [here, there] = [new Kinds(plans()), new Kinds(plans())];
  assert.deepEqual(here, there);
  assert.deepEqual(here.names, ["any", "download", "upload"]);
  const lead = new Lead(model, new Uint8Array(16), { adaptive: true });
  const mean = (kind: number, end: End) => {
    let sum = 0;
    for (let serial = 0; serial < 100; serial++) {
      const { plan } = lead.draw(0, serial, kind, 18, TLS_GRID);
      const from = 4 * kind * MAX_ATTEMPTS;
      const drawn = [0, 1, 2, 3].map((i) => volumeOf(plans().connection(0, serial, from + i))[end]);
      if (kind > 0) assert.equal(volumeOf(plan)[end], Math.max(...drawn));
      sum += volumeOf(plan)[end];
    }
    return sum / 100;
  };
  assert.ok(mean(1, "server") > 1.15 * mean(0, "server"));
  assert.ok(mean(2, "client") > 1.15 * mean(0, "client"));
  assert.deepEqual([0, 1, 2].map((kind) => here.decides(kind)), [undefined, "server", "client"]);
});

Deno.test("kinds: what waits decides, and a model's own kinds go before classes of volume", () => {
  const means = [{ client: 100, server: 1000 }, { client: 100, server: 5000 }, {
    client: 900,
    server: 1000,
  }];
  assert.equal(chooseKind(means, { client: 0, server: 0 }), 0);
  assert.equal(chooseKind(means, { client: 99, server: 999 }), 0);
  assert.equal(chooseKind(means, { client: 0, server: 1e6 }), 1);
  assert.equal(chooseKind(means, { client: 1e6, server: 2000 }), 2);
  assert.equal(chooseKind([], { client: 1e6, server: 2000 }), 0);
  const named: CoverModel = {
    ...MADE,
    kinds: ["film"],
    connection: (random, kind) => {
      const plan = MADE.connection(random);
      if (kind !== "film") return plan;
      const response = [{ type: "data" as const, size: 1_000_000, time: 10 }];
      return { ...plan, exchanges: plan.exchanges.map(({ request }) => ({ request, response })) };
    },
  };
  const lead = new Lead(named, new Uint8Array(16), { adaptive: true });
  assert.deepEqual(lead.kinds!.names, ["any", "film"]);
  assert.equal(chooseKind(lead.kinds!.means, { client: 0, server: 1e6 }), 1);
  assert.ok(volumeOf(lead.draw(0, 0, 1, 18, TLS_GRID).plan).server >= 1_000_000);
  assert.ok(volumeOf(lead.draw(0, 0, 0, 18, TLS_GRID).plan).server < 1_000_000);
});

Deno.test("demand: without episodes connections open sooner while data waits, though others are open", () => {
  const opened = (bytes: number, schedule: "strict" | "demand") => {
    const world = makeWorld({
      model: new TestModel({ layers: false, gap: 20_000, exchanges: 40, think: 4000, pause: 900 }),
      opener: { schedule },
    });
    pump(world, bytes);
    world.opener.start();
    world.clock.run(15_000);
    return world.opener.stats.opened;
  };
  assert.equal(opened(10_000_000, "strict"), 1);
  assert.ok(opened(10_000_000, "demand") >= 10);
});

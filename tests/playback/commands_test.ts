import assert from "node:assert/strict";
import fc from "fast-check";
import type { ConnectionPlan, CoverModel, DataRequest } from "../../models/cover_model.ts";
import { LocalPlans } from "../../models/plans.ts";
import { commandOf } from "../../playback/commands.ts";
import { drawPlan } from "../../playback/first_message.ts";
import { Lead } from "../../playback/lead.ts";
import { settlePlan } from "../../playback/script.ts";
import { withoutOpening } from "../../playback/size_grid.ts";
import { leadSeed, makeWorld, pump, ROLES, TestModel } from "./engine_world.ts";

const GRID = {
  overhead: 34,
  maxPayload: 32_768,
  smallest: 36,
  step: 8,
  opening: {
    carrier: "ssh",
    exchanges: 3,
    command: { exchanges: 2, smallest: 52, largest: 300, step: 8, answer: 72, usual: 44 },
  },
};

const data = (size: number, time = 0): DataRequest => ({ type: "data", size, time });
const CLOSE = { by: "client", how: "fin", time: 1 } as const;

function planOf(
  asked: number,
  answer: number,
  next: number,
  output = 300,
  lead = 0,
): ConnectionPlan {
  return {
    exchanges: [
      { request: data(44), response: [data(44)] },
      { request: data(asked), response: [data(answer)] },
      { request: data(next), response: [{ ...data(output, 5), lead }] },
      { request: data(96, 1), response: [] },
    ],
    close: CLOSE,
  };
}

/** A third each: commands, usual sessions with much in them, others that can neither be begun nor hold a proof. */
const MIXED: CoverModel = {
  description: { ...new TestModel().description, name: "mixed", carrier: "ssh" },
  session: () => undefined,
  episode: () => undefined,
  connectionGap: () => 300,
  connection: (random) => {
    const turn = random.integer(3);
    if (turn === 0) {
      // Most commands put something out before they hear of the end of their input.
      const asked = 52 + 8 * random.integer(5);
      return planOf(asked, 72, 36, 100 + random.integer(9000), 36 * random.integer(2));
    }
    if (turn === 1) return planOf(120, 108, 36);
    const usual = planOf(52, 72, 44, 356).exchanges.slice(0, 3);
    const talk = Array.from({ length: 4 }, () => ({
      request: data(400 + random.integer(3000), random.integer(20)),
      response: [data(400 + random.integer(9000), random.integer(20))],
    }));
    return { exchanges: [...usual, ...talk], close: CLOSE };
  },
};

Deno.test("commands: only a request that can be made, answered as one, begins a command", () => {
  assert.equal(commandOf(planOf(52, 72, 36), "ssh", GRID), 52);
  assert.equal(commandOf(planOf(68, 72, 508), "ssh", GRID), 68);
  assert.equal(commandOf(planOf(68, 72, 44), "ssh", GRID), 68);
  assert.equal(commandOf(planOf(300, 72, 36), "ssh", GRID), 300);
  const others = [
    planOf(52, 72, 44),
    planOf(120, 108, 36),
    planOf(56, 72, 36),
    planOf(44, 72, 36),
    planOf(308, 72, 36),
    { exchanges: planOf(52, 72, 36).exchanges.slice(0, 2), close: CLOSE },
    { ...planOf(52, 72, 36), free: true as const },
  ];
  for (const plan of others) assert.equal(commandOf(plan, "ssh", GRID), undefined);
  assert.equal(commandOf(planOf(52, 72, 36), "tls", GRID), undefined);
  assert.equal(
    commandOf(planOf(52, 72, 36), "ssh", { overhead: 22, maxPayload: 16_384 }),
    undefined,
  );
});

Deno.test("commands: a plan is the first draw that suits; without them it is what it would be", () => {
  fc.assert(fc.property(fc.nat(1000), fc.nat(50), (seed, serial) => {
    const key = new Uint8Array(32);
    new DataView(key.buffer).setUint32(0, seed);
    const plans = new LocalPlans(MIXED, key);
    const drawn = drawPlan(plans, 0, serial, 18, GRID, undefined, 0, true);
    const usual = drawPlan(plans, 0, serial, 18, GRID);
    assert.equal(usual.command, undefined);
    if (drawn.command === undefined) return assert.deepEqual(drawn, usual);
    let attempt = 0;
    while (commandOf(plans.connection(0, serial, attempt), "ssh", GRID) === undefined) attempt++;
    const whole = plans.connection(0, serial, attempt);
    assert.equal(drawn.command, whole.exchanges[1]!.request.size);
    assert.deepEqual(drawn.plan, settlePlan(withoutOpening(whole, "ssh", GRID, true), GRID));
    assert.equal(drawn.plan.exchanges[0]!.request.size, 36);
    const lead = new Lead(MIXED, leadSeed("client"), { adaptive: false });
    const command = lead.command(0, serial, 18, GRID);
    assert.equal(lead.draw(0, serial, 0, 18, GRID, true).command, command);
  }));
});

for (const { form, lead, schedule } of ROLES) {
  Deno.test(`commands: ${schedule}, ${lead} leads, ${form}: both ends agree, streams get through`, () => {
    const asked = new Map<string, number | undefined>();
    let refused = 0;
    const world = makeWorld({
      model: MIXED,
      link: { delay: 15, grid: GRID },
      lead,
      sealed: true,
      opener: { form, schedule },
      // Some dials fail: what they asked for is asked for again.
      mayDial: () => ++refused % 5 !== 0,
      onDial: ({ command, serial, session }) => asked.set(`${session}/${serial}`, command),
    });
    world.opener.start();
    world.clock.run(5000);
    const { here, there } = pump(world, 100_000);
    world.clock.run(240_000);
    assert.deepEqual(world.faults, []);
    assert.equal(world.opener.stats.unclean, 0);
    assert.equal(here.error, undefined);
    assert.equal(here.arrived, 100_000);
    assert.equal(there().arrived, 100_000);
    assert.equal(here.received.digest("hex"), there().sent.digest("hex"));
    const commands = [...asked.values()].filter((command) => command !== undefined).length;
    assert.ok(commands > 20, `${commands} commands of ${asked.size}`);
    world.opener.stop();
  });
}

import assert from "node:assert/strict";
import fc from "fast-check";
import type { Opening, OpeningSource } from "../../playback/openings.ts";
import { Schedule } from "../../playback/schedule.ts";
import { VirtualClock } from "../../playback/virtual_clock.ts";

/** What opens when, with a connection that stays open for so long. */
interface Played {
  readonly starts: number[];
  readonly asked: Set<number>;
}

/** Plays openings; users want something from `from` until `to`. */
function play(
  openings: readonly Opening[],
  pauses: readonly number[],
  { from = Infinity, lasts = 500, to = Infinity } = {},
): Played {
  const clock = new VirtualClock();
  const starts: number[] = [];
  const asked = new Set<number>();
  let wanted = false;
  const source: OpeningSource = {
    opening: (session, serial) => session > 0 ? undefined : openings[serial] ?? "end",
  };
  const schedule = new Schedule({
    clock,
    openings: source,
    known: source,
    first: 0,
    stride: () => 1,
    wanted: () => wanted,
    hasty: () => false,
    mostOpen: Infinity,
    goesOn: (_, serial) => {
      asked.add(serial);
      return { after: "start", time: pauses[serial]! };
    },
    kind: () => 0,
    open: ({ closed, started }) => {
      starts.push(clock.now());
      started(clock.now());
      clock.at(clock.now() + lasts, closed);
    },
  });
  schedule.start();
  if (from < Infinity) {
    clock.at(from, () => {
      wanted = true;
      schedule.hurry(false);
    });
  }
  if (to < Infinity) clock.at(to, () => wanted = false);
  clock.run(1e9);
  return { starts, asked };
}

const time = fc.integer({ min: 1, max: 60_000 });
const scripts = fc.array(
  fc.record({
    opening: fc.record({
      after: fc.constantFrom("start" as const, "quiet" as const),
      time,
      begins: fc.boolean(),
    }),
    pause: time,
  }),
  { minLength: 1, maxLength: 30 },
).map((rows) =>
  rows.map(({ opening, pause }, i) => {
    // Inside an episode times count from the connection before.
    const begins = i === 0 || opening.begins;
    return {
      opening: begins ? { ...opening, begins } : { ...opening, after: "start" as const, begins },
      pause,
    };
  })
);

Deno.test("schedule: nobody who wants nothing is asked how he would go on", () => {
  fc.assert(fc.property(scripts, (rows) => {
    const { asked, starts } = play(
      rows.map(({ opening }) => opening),
      rows.map(({ pause }) => pause),
    );
    assert.equal(asked.size, 0);
    assert.equal(starts.length, rows.length);
  }));
});

Deno.test("schedule: while users want something an episode begins at the sooner of two pauses, and inside it nothing moves", () => {
  fc.assert(fc.property(scripts, fc.integer({ min: 0, max: 5000 }), (rows, lasts) => {
    const openings = rows.map(({ opening }) => opening);
    const pauses = rows.map(({ pause }) => pause);
    const { starts } = play(openings, pauses, { from: 0, lasts });
    for (let i = 1; i < starts.length; i++) {
      const { after, begins, time } = openings[i]!;
      const quiet = Math.max(...starts.slice(0, i)) + lasts;
      const model = (after === "quiet" ? quiet : starts[i - 1]!) + time;
      const due = begins ? Math.min(model, starts[i - 1]! + pauses[i]!) : model;
      assert.ok(Math.abs(starts[i]! - due) < 1e-6, `opening ${i}: ${starts[i]} and not ${due}`);
    }
  }));
});

Deno.test("schedule: who begins to want something goes on as if he always had, or at once; what is under way is not touched", () => {
  fc.assert(fc.property(scripts, fc.integer({ min: 0, max: 600_000 }), (rows, from) => {
    const openings = rows.map(({ opening }) => opening);
    const pauses = rows.map(({ pause }) => pause);
    const strict = play(openings, pauses).starts;
    const { starts } = play(openings, pauses, { from });
    const before = strict.filter((start) => start < from).length;
    assert.deepEqual(starts.slice(0, before), strict.slice(0, before));
    if (before === 0 || before === strict.length) return;
    const next = starts[before]!;
    const expected = openings[before]!.begins
      ? Math.min(strict[before]!, Math.max(from, starts[before - 1]! + pauses[before]!))
      : strict[before]!;
    assert.ok(Math.abs(next - expected) < 1e-6, `${next} and not ${expected}`);
  }));
});

Deno.test("schedule: several simulated users do not all go on at the same moment", () => {
  const clock = new VirtualClock();
  const starts: number[] = [];
  let wanted = false;
  const lonely: OpeningSource = {
    opening: () => ({ after: "quiet", time: 1e6, begins: true }),
  };
  const slots = [3000, 5000, 9000].map((pause, slot) =>
    new Schedule({
      clock,
      openings: lonely,
      known: lonely,
      first: slot,
      stride: () => 3,
      wanted: () => wanted,
      hasty: () => false,
      mostOpen: 4,
      goesOn: () => ({ after: "quiet", time: pause }),
      kind: () => 0,
      open: ({ session }) => starts.push(session, clock.now()),
    })
  );
  for (const slot of slots) slot.start();
  clock.at(100_000, () => {
    wanted = true;
    for (const [i, slot] of slots.entries()) slot.hurry(i !== 0);
  });
  clock.run(200_000);
  assert.deepEqual(starts, [0, 100_000, 1, 105_000, 2, 109_000]);
});

Deno.test("schedule: an episode waits until all of its connections have room, and then starts as one", () => {
  const source: OpeningSource = {
    opening: (session, serial) => {
      if (session > 0) return undefined;
      if (serial === 6) return "end";
      const begins = serial % 3 === 0;
      return { after: "start", time: begins ? 1000 : 10, begins };
    },
  };
  const startsOf = (hasty: boolean) => {
    const clock = new VirtualClock();
    const starts: number[] = [];
    const schedule = new Schedule({
      clock,
      openings: source,
      known: source,
      first: 0,
      stride: () => 1,
      wanted: () => false,
      hasty: () => hasty,
      mostOpen: 4,
      goesOn: () => ({ after: "start", time: 1 }),
      kind: () => 0,
      open: ({ closed, serial, started }) => {
        starts.push(clock.now());
        started(clock.now());
        clock.at(clock.now() + 5000 + 100 * serial, closed);
      },
    });
    schedule.start();
    clock.run(100_000);
    return starts;
  };
  // The first has closed, and the second: that leaves room for three.
  assert.deepEqual(startsOf(false), [1000, 1010, 1020, 6110, 6120, 6130]);
  assert.deepEqual(startsOf(true).slice(0, 4), [1000, 1010, 1020, 2020]);
});

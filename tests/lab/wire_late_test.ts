import assert from "node:assert/strict";
import fc from "fast-check";
import { farewells, type Leaving } from "../../bench/support/wire_farewells.ts";
import type { ControlStats, ControlTask } from "../../bench/support/wire_control_end.ts";
import { controlStatsFile } from "../../bench/support/wire_control_end.ts";
import {
  type EndLateness,
  endLateness,
  statedByLog,
  verdict,
} from "../../bench/support/wire_late.ts";
import type { PlannedConnection } from "../../bench/support/wire_plan.ts";
import type { Connection } from "../../capture/mod.ts";
import { Running } from "../../lab/process.ts";
import type { WireEvent } from "../../playback/mod.ts";

/** A plan of some messages, alternating, whose client closes. */
function planOf(serial: number, sizes: readonly (readonly number[])[]): PlannedConnection {
  const sent = { client: 0, server: 0 };
  const messages = sizes.map((records, i) => {
    const end = i % 2 === 0 ? "client" as const : "server" as const;
    const after = sent[end === "client" ? "server" : "client"];
    sent[end] += records.reduce((a, b) => a + b, 0);
    return { end, records, time: 2, after };
  });
  return {
    session: 0,
    serial,
    messages,
    command: undefined,
    close: { by: "client", how: "fin", time: 3 },
    opensAfter: undefined,
    sharesEnd: undefined,
    opening: { after: serial === 0 ? "quiet" : "start", time: 5 },
    room: 1,
  };
}

const event = (
  what: WireEvent["what"],
  time: number,
  planned: number,
  serial = 0,
): WireEvent => ({
  time,
  planned,
  session: 0,
  serial,
  connection: "1",
  what,
  size: 0,
  control: 0,
  data: 0,
  padding: 0,
});

Deno.test("lab:wire: a log's statement of a message is that of its first record, and then the closing's", () => {
  const plan = planOf(3, [[100, 200], [50], [60]]);
  const events = [
    event("open", 0, 0, 3),
    event("record", 11, 10, 3),
    event("record", 999, 10, 2),
    event("record", 15, 10, 3),
    event("record", 22.5, 20, 3),
    event("close", 33, 30, 3),
  ];
  assert.deepEqual(statedByLog(events, plan, "client"), [1, 2.5, 3]);
  // The server's log of the same connection: one record, and it does not close.
  assert.deepEqual(statedByLog([event("record", 5, 4, 3)], plan, "server"), [1]);
  assert.deepEqual(statedByLog([], plan, "client"), [undefined, undefined, undefined]);
});

Deno.test("lab:wire: an end is within its statement by itself, with what the control shows, or not", () => {
  const of = (wire: number, stated: number): EndLateness => endLateness([{ wire, stated }]);
  const control = of(0.75, 0.25);
  assert.equal(verdict(of(1, 1), control), "yes, alone");
  assert.equal(verdict(of(1.5, 1), control), "yes");
  assert.equal(verdict(of(2, 1), control), "no, by 0.50");
  // A control that was earlier than it knew allows nothing and takes nothing.
  assert.equal(verdict(of(2, 1), of(0, 3)), "no, by 1.00");
});

Deno.test("lab:wire: an end that says at least what the recording shows is within its statement", () => {
  const pair = fc.record({
    stated: fc.double({ min: 0, max: 100, noNaN: true }),
    less: fc.double({ min: 0, max: 5, noNaN: true }),
  });
  fc.assert(fc.property(fc.array(pair, { minLength: 1, maxLength: 300 }), (all) => {
    const late = endLateness(all.map(({ less, stated }) => ({ wire: stated - less, stated })));
    assert.equal(verdict(late, endLateness([])), "yes, alone");
    assert.ok(late.wire.median <= late.stated.median);
  }));
});

Deno.test("lab:wire: connections that share an end close at the mean of their own times, those cut off keep all", () => {
  const leaving = (serial: number, startTime: number, ready?: Leaving["ready"]): Leaving => ({
    plan: { ...planOf(serial, [[100], [100]]), sharesEnd: 4 },
    connection: { startTime, endTime: 60_000, handshake: { duration: 10 } } as Connection,
    ready,
  });
  const one = leaving(0, 1000, { through: 2000, due: 4000 });
  const other = leaving(1, 1500, { through: 3000, due: 7000 });
  assert.deepEqual(farewells([one, other]), [5500, 5500]);
  assert.deepEqual(farewells([one, leaving(1, 1500)]), [undefined, undefined]);
  const alone = { ...one, plan: { ...one.plan, sharesEnd: undefined } };
  assert.deepEqual(farewells([alone, other]), [undefined, 7000]);
});

Deno.test("lab:wire: the control plays what is planned, at both ends, and states how late each message was", async () => {
  const folder = await Deno.makeTempDir();
  const plans = `${folder}/plans.json`;
  const all = [planOf(0, [[100, 30_000], [70_000, 40], [36]]), planOf(1, [[64]])];
  await Deno.writeTextFile(plans, JSON.stringify(all));
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  const start = async (end: ControlTask["end"]) => {
    const task: ControlTask = { end, host: "127.0.0.1", port, plans };
    const running = new Running([
      ...[Deno.execPath(), "run", "--quiet", "--no-prompt", "--no-check", "--allow-env"],
      ...["--allow-net=127.0.0.1", `--allow-read=${folder}`, `--allow-write=${folder}`],
      new URL("../../bench/support/wire_control_end.ts", import.meta.url).pathname,
      JSON.stringify(task),
    ]);
    await running.said(/ready.*\n/, 20_000);
    return running;
  };
  const server = await start("server");
  const client = await start("client");
  try {
    const stats = async (end: ControlTask["end"], running: Running) => {
      const lines = running.output.split("\n").length;
      await running.write("\n");
      while (running.output.split("\n").length === lines) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      const text = await Deno.readTextFile(controlStatsFile({ end, plans }));
      return (JSON.parse(text) as ControlStats).stated;
    };
    let said = await stats("client", client);
    // Both messages and the closing of the first, the message and the closing of the second.
    for (let tries = 0; tries < 500; tries++) {
      if (said[0]?.length === 3 && said[1]?.length === 2) break;
      said = await stats("client", client);
    }
    assert.equal(said[0]?.length, 3);
    assert.equal(said[1]?.length, 2);
    assert.equal((await stats("server", server))[0]?.length, 1);
    assert.ok([...said[0]!, ...said[1]!].every((late) => late >= 0));
  } finally {
    await client.stop();
    await server.stop();
    await Deno.remove(folder, { recursive: true });
  }
});

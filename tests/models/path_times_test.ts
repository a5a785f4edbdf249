import assert from "node:assert/strict";
import { readConnections } from "../../capture/read_connections.ts";
import {
  drawLateness,
  linkLateness,
  simulateCapture,
  SIMULATED_LINKS,
  simulatedSource,
} from "../../evaluation/simulation/mod.ts";
import type { ConnectionPlan, CoverModel } from "../../models/mod.ts";
import { Observer } from "../../models/learn/observer.ts";
import { PathTimes, writesOf } from "../../models/learn/path_times.ts";
import { LEARNABLE_PROTOCOLS } from "../../models/learn/protocols.ts";
import { SeededRandom } from "../../models/random.ts";
import { connectionOf, messageOf } from "./made.ts";

const data = (size: number, time: number) => ({ type: "data", size, time }) as const;

/** A client that uploads and is answered at once; a server that thinks, and sends much. */
const PLAN: ConnectionPlan = {
  exchanges: [
    { request: data(700, 1), response: [data(9000, 3)] },
    { request: data(9000, 0.5), response: [data(60, 0.25)] },
    { request: data(60, 0.25), response: [data(60, 0.25), data(80, 8)] },
    { request: data(800, 40), response: [data(30_000, 0.5)] },
  ],
  close: { by: "client", how: "fin", time: 2 },
};

function modelOf(plan: ConnectionPlan): CoverModel {
  return {
    description: {
      name: "made",
      kind: "made",
      protocol: "https",
      carrier: "tls",
      digest: "0".repeat(64),
    },
    session: () => undefined,
    episode: () => undefined,
    connectionGap: () => "close",
    connection: () => plan,
  };
}

function played(lateness: readonly number[]) {
  const capture = simulateCapture({
    model: modelOf(PLAN),
    link: SIMULATED_LINKS.lab!,
    seed: new Uint8Array(32),
    connections: 60,
    lateness,
  });
  return simulatedSource(capture, "made.pcap");
}

for (const [name, lateness] of [["on time", []], ["late", [0.05, 0.1, 0.15, 0.25]]] as const) {
  Deno.test(`think times that were played are learned again, packets ${name}`, async () => {
    const protocol = LEARNABLE_PROTOCOLS.find(({ name }) => name === "https")!;
    const observer = new Observer({ protocol, seed: new Uint8Array(32) });
    await readConnections([played(lateness)], { onConnection: (one) => observer.add(one) });
    observer.endCapture();
    const observed = observer.observations();
    assert.equal(observed.length, 60);
    const middle = (list: number[]) => list.sort((a, b) => a - b)[list.length >> 1]!;
    PLAN.exchanges.forEach(({ request, response }, at) => {
      for (const [index, { time }] of [request, ...response].entries()) {
        const learned = middle(observed.map(({ exchanges }) => {
          const exchange = exchanges[at]!;
          return index === 0 ? exchange.request.think : exchange.responses[index - 1]!.think;
        }));
        assert.ok(
          Math.abs(learned - time) < 0.12,
          `exchange ${at}, message ${index}: ${learned} of ${time}`,
        );
      }
    });
  });
}

Deno.test("a simulated link's lateness is found in what was recorded over it", async () => {
  const late = await linkLateness([played([0.1, 0.3])], SIMULATED_LINKS.lab!);
  assert.ok(late.length > 0 && late.every((one) => one >= 0.05 && one <= 0.35));
  assert.ok((await linkLateness([played([])], SIMULATED_LINKS.lab!)).every((one) => one < 0.05));
});

Deno.test("lateness is drawn between its quantiles; without any, nothing is late", () => {
  const random = new SeededRandom(new Uint8Array(32));
  const draw = drawLateness([1, 2, 5], random);
  const drawn = Array.from({ length: 1000 }, draw);
  assert.ok(drawn.every((one) => one >= 1 && one <= 5));
  const below = drawn.filter((one) => one < 2).length;
  assert.ok(below > 400 && below < 600);
  assert.equal(drawLateness([], random)(), 0);
});

Deno.test("the path of one connection is its own opening", async () => {
  await readConnections([played([])], {
    onConnection(connection) {
      if (connection.index > 0) return;
      const paths = new PathTimes();
      paths.add(connection);
      const { client, server } = paths.settled(connection).rtt;
      assert.equal(client, 0, "the recorder's own machine is no path");
      assert.equal(server, connection.rtt.server);
      assert.deepEqual(paths.jitter(), [], "one opening tells of no jitter");
    },
  });
});

Deno.test("a segment that is not full ends a write; a message's writes add up to it", () => {
  const rows = [[0, 36], [0, 60], [1, 1448], [1, 1448], [1, 700], [1, 52], [0, 44]] as const;
  const offsets = [10, 20];
  const segments = {
    length: rows.length,
    time: Float64Array.from(rows, (_, i) => i),
    side: Uint8Array.from(rows, ([side]) => side),
    size: Uint32Array.from(rows, ([, size]) => size),
    offset: Float64Array.from(rows, ([side, size]) => (offsets[side]! += size) - size),
    acked: new Float64Array(rows.length),
  };
  const messages = [messageOf(0, 96), messageOf(1, 3648), messageOf(0, 44)];
  assert.deepEqual(writesOf({ ...connectionOf(), segments }, messages, [10, 20]), [
    [36, 60],
    [3596, 52],
    [44],
  ]);
});

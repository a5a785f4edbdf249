import assert from "node:assert/strict";
import fc from "fast-check";
import { LAB_LINK } from "../../lab/link_profile.ts";
import { ConstantRate } from "../../models/mod.ts";
import { BareNetwork, RelayNetwork, TunnelNetwork } from "../../evaluation/content/networks.ts";
import { type Network, type Process, Stage } from "../../evaluation/content/stage.ts";
import { SimulatedTunnel } from "../../evaluation/simulation/mod.ts";
import { traceOf } from "../../evaluation/content/trace.ts";

/** A question and an answer on each of some connections at once; returns when each answer was there. */
function ask(network: Network, sizes: readonly (readonly [number, number])[]): number[] {
  const stage = new Stage(network);
  const answered: number[] = [];
  function* one([up, down]: readonly [number, number], i: number): Process {
    const talk = stage.connect();
    talk.send(0, up);
    yield talk.arrived(1);
    talk.send(1, down);
    yield talk.arrived(0);
    answered[i] = stage.now;
    talk.pipe.close();
  }
  sizes.forEach((own, i) => stage.run(one(own, i)));
  return answered;
}

Deno.test("content: every network carries every byte of every connection, both ways", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 40_000 }), fc.integer({ min: 1, max: 90_000 })), {
        minLength: 1,
        maxLength: 8,
      }),
      (sizes) => {
        const bare = new BareNetwork(LAB_LINK);
        const direct = ask(bare, sizes);
        bare.clock.run(60_000);
        const under = new BareNetwork(LAB_LINK);
        const relayed = ask(new RelayNetwork(under, 10), sizes);
        under.clock.run(60_000);
        for (const [i] of sizes.entries()) {
          // A round trip to connect and one to be answered, at least; a relay has its handshake and its way besides.
          assert.ok(direct[i]! >= 80 && relayed[i]! >= 140);
        }
        const bytes = (network: BareNetwork, sign: number) =>
          traceOf(network.packets, 0, 60_000).size
            .reduce((sum, size) => sum + (Math.sign(size) === sign ? Math.abs(size) : 0), 0);
        assert.equal(bytes(bare, 1), sizes.reduce((sum, [up]) => sum + up, 0));
        assert.equal(bytes(bare, -1), sizes.reduce((sum, [, down]) => sum + down, 0));
        assert.ok(bytes(under, 1) > bytes(bare, 1) && bytes(under, -1) > bytes(bare, -1));
      },
    ),
    { numRuns: 15 },
  );
});

Deno.test("content: several streams at once through a tunnel; what an ended stage wanted is forgotten", () => {
  const tunnel = new SimulatedTunnel({
    model: new ConstantRate({ size: 1448, period: 20, exchanges: 10 }),
    link: LAB_LINK,
    seed: new Uint8Array(32),
  });
  tunnel.run(1000);
  const network = new TunnelNetwork(tunnel, 10);
  const answered = ask(network, Array.from({ length: 6 }, (_, i) => [500 + i, 4000 + i] as const));
  tunnel.run(60_000);
  assert.equal(answered.filter((time) => time > 1000).length, 6);
  const stage = new Stage(network);
  let later = false;
  stage.run((function* (): Process {
    const talk = stage.connect();
    talk.send(0, 100_000);
    yield talk.arrived(1);
    later = true;
  })());
  tunnel.run(100);
  stage.end();
  tunnel.run(60_000);
  assert.equal(later, false);
  assert.deepEqual(tunnel.faults, []);
  tunnel.stop();
});

Deno.test("content: a stage runs processes side by side and waits for the last", () => {
  const network = new BareNetwork(LAB_LINK);
  const stage = new Stage(network);
  const seen: string[] = [];
  function* wait(milliseconds: number, name: string): Process {
    yield stage.pause(milliseconds);
    seen.push(name);
  }
  stage.run((function* (): Process {
    yield stage.all([wait(30, "b"), wait(10, "a"), wait(70, "c")]);
    seen.push(`all ${stage.now}`);
    yield stage.all([]);
    seen.push("none");
  })());
  network.clock.run(100);
  assert.deepEqual(seen, ["a", "b", "c", "all 70", "none"]);
});

import assert from "node:assert/strict";
import { SeededRandom, substream } from "../../models/random.ts";
import { encodeSetup, ENGINE, packNumbers } from "../../playback/engine_frames.ts";
import { encodeEngine } from "../../playback/frame.ts";
import { encodePlan } from "../../playback/plan_codec.ts";
import { settlePlan } from "../../playback/script.ts";
import { TLS_GRID } from "../../playback/virtual_network.ts";
import { makeWorld, TestModel, type World } from "./engine_world.ts";

/** Engine frames, some as they should be, most of them not. */
function frame(random: SeededRandom): Uint8Array {
  const noise = (most: number) =>
    Uint8Array.from({ length: random.integer(most) }, () => random.integer(256));
  const plan = () =>
    encodePlan(
      settlePlan(
        new TestModel().connection(new SeededRandom(substream(new Uint8Array(32), random.float()))),
        TLS_GRID,
      ),
      { requestTimes: false },
    );
  const small = () => random.integer(5);
  let type = 1 + random.integer(12);
  let body = noise(40);
  switch (random.integer(9)) {
    case 0:
      type = random.integer(2) === 0 ? ENGINE.setup : ENGINE.lead;
      body = encodeSetup({
        form: random.integer(2) === 0 ? "derived" : "embedded",
        master: random.integer(2) === 0 ? "server" : "client",
        schedule: (["strict", "demand", "adaptive"] as const)[random.integer(3)]!,
        sessions: small(),
        minimum: small() * 10,
        minimumHere: small() * 10,
        digest: new Uint8Array(8).map((_, i) =>
          [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef][i]!
        ),
        seed: noise(17).length === 16 ? noise(16) : new Uint8Array(16),
      }) as Uint8Array<ArrayBuffer>;
      break;
    case 1:
      type = ENGINE.here;
      body = plan() as Uint8Array<ArrayBuffer>;
      break;
    case 2:
      type = ENGINE.ahead;
      // An opening, then a plan.
      body = packNumbers(
        [small(), small(), random.integer(2), small() % 2 * small(), 4 + small(), small() * 1000],
        plan(),
      ) as Uint8Array<ArrayBuffer>;
      break;
    case 4:
      type = [ENGINE.own, ENGINE.kind, ENGINE.kinds][random.integer(3)]!;
      body = packNumbers([small(), ...noise(8)]) as Uint8Array<ArrayBuffer>;
      break;
    case 3:
      type = [ENGINE.ready, ENGINE.planned, ENGINE.backlog, ENGINE.error][random.integer(4)]!;
      body = packNumbers([small(), small()]) as Uint8Array<ArrayBuffer>;
      break;
  }
  const bytes = encodeEngine(type, body);
  if (random.integer(4) === 0) bytes[random.integer(bytes.length)] = random.integer(256);
  return bytes;
}

/** A connection that talks nonsense at random times. */
function babble(
  world: World,
  connection: ReturnType<World["network"]["connect"]>[0],
  random: SeededRandom,
): void {
  let open = true;
  connection.listener = { onData: () => {}, onClose: () => open = false };
  const say = () => {
    if (!open) return;
    if (random.integer(20) === 0) return connection.close(random.integer(2) === 0 ? "fin" : "rst");
    connection.write(frame(random));
    if (random.integer(4) === 0) connection.write(new Uint8Array(1 + random.integer(300)));
    world.clock.at(world.clock.now() + random.float() * 50, say);
  };
  say();
}

Deno.test("a hostile opener cannot bring an acceptor down", () => {
  let faults = 0;
  for (let run = 0; run < 150; run++) {
    const random = new SeededRandom(substream(new Uint8Array(32), "hostile master", run));
    const world = makeWorld({ prefix: { client: 0, server: 0 } });
    for (let i = 0; i < 8; i++) {
      const [mine, theirs] = world.network.connect();
      world.clock.at(random.float() * 2000, () => {
        world.acceptor.accept(theirs, { session: random.integer(3), serial: random.integer(3) });
        babble(world, mine, random);
      });
    }
    world.clock.run(3_600_000);
    assert.equal(world.acceptor.open, 0, "every connection has ended");
    faults += world.faults.length;
  }
  assert.ok(faults > 100, `only ${faults} faults: the frames are too tame`);
});

Deno.test("a hostile acceptor cannot bring an opener down", () => {
  for (let run = 0; run < 150; run++) {
    const random = new SeededRandom(substream(new Uint8Array(32), "hostile slave", run));
    let dials = 0;
    const world = makeWorld({
      prefix: { client: 0, server: 0 },
      lead: run % 4 < 2 ? "client" : "server",
      opener: {
        schedule: run % 8 < 4 ? "demand" : "adaptive",
        sessions: 3,
        form: run % 2 === 0 ? "derived" : "embedded",
        dial: ({ done }) => {
          dials++;
          world.network.dial(
            (connection) => done({ connection }),
            (server) => babble(world, server, random),
          );
        },
      },
    });
    world.opener.start();
    world.clock.run(120_000);
    world.opener.stop();
    world.clock.run(240_000);
    assert.ok(dials > 0 && dials < 200, `${dials} dials in two minutes`);
    assert.equal(world.opener.open, 0);
  }
});

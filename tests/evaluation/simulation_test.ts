import assert from "node:assert/strict";
import { CLIENT, SERVER } from "../../capture/side.ts";
import { drain, fill, SimulatedTunnel, TLS_HANDSHAKE } from "../../evaluation/simulation/mod.ts";
import { LAB_LINK } from "../../lab/link_profile.ts";
import { builtinModel } from "../../models/mod.ts";
import type { TunnelStream, WireEvent } from "../../playback/mod.ts";

const SEED = new Uint8Array(32).fill(3);
const CHUNK = new Uint8Array(65_536);

async function played(busy: boolean, minutes: number) {
  const events: WireEvent[] = [];
  const tunnel = new SimulatedTunnel({
    model: await builtinModel("https"),
    link: LAB_LINK,
    seed: SEED,
    sessions: 2,
    keep: true,
    onWire: (event) => events.push(event),
  });
  const counts: { bytes: number }[] = [];
  if (busy) {
    const use = (stream: TunnelStream) => {
      fill(stream);
      counts.push(drain(stream));
    };
    use(tunnel.open(use));
  }
  tunnel.run(minutes * 60_000);
  return { tunnel, events, counts };
}

Deno.test("simulation: the same packets at the same times, idle or saturated", async () => {
  const idle = await played(false, 3);
  const busy = await played(true, 3);
  assert.ok(busy.counts.length === 2 && busy.counts.every(({ bytes }) => bytes > 100_000));
  assert.ok(idle.tunnel.path.packets.length > 5000);
  assert.deepEqual(busy.tunnel.path.packets, idle.tunnel.path.packets);
  assert.deepEqual([...idle.tunnel.faults, ...busy.tunnel.faults], []);
});

Deno.test("simulation: what packets carry is what the wire log says, and the handshake", async () => {
  const { tunnel, events } = await played(false, 3);
  const written = new Map<string, number>();
  const closed = new Set<string>();
  for (const { connection, size, what } of events) {
    if (what === "close") closed.add(connection);
    if (what === "record") written.set(connection, (written.get(connection) ?? 0) + size);
  }
  let compared = 0;
  for (const [connection, bytes] of written) {
    if (!closed.has(connection)) continue;
    const number = Number(connection.slice(1));
    const own = tunnel.path.packets.filter((packet) => packet.connection === number);
    const sent = own.filter(({ side }) => side === CLIENT)
      .reduce((sum, { length }) => sum + length, 0);
    const reset = own.some(({ flags, side }) => side === CLIENT && (flags & 4) !== 0);
    // Hello and Finished go before, a closing alert after.
    const { hello, finished } = TLS_HANDSHAKE;
    if (!reset) assert.equal(sent, hello + finished + bytes + 24);
    assert.ok(own.some(({ side }) => side === SERVER));
    compared++;
  }
  assert.ok(compared > 10);
});

Deno.test("simulation: either end may be master", async () => {
  const model = await builtinModel("ssh");
  for (const master of ["client", "server"] as const) {
    const tunnel = new SimulatedTunnel({ model, link: LAB_LINK, seed: SEED, master });
    let far = { bytes: 0 };
    const near = tunnel.open((stream) => {
      far = drain(stream);
    });
    near.write(CHUNK.subarray(0, 10_000));
    assert.ok(tunnel.run(3_600_000, () => far.bytes === 10_000), master);
    assert.deepEqual(tunnel.faults, []);
    tunnel.stop();
  }
});

import assert from "node:assert/strict";
import { needsNginx, NGINX } from "../../bench/nginx.ts";
import { differences, type Outcome } from "../../bench/probes.ts";
import { startProbeWorld } from "../../bench/probe_world.ts";
import { openSslServer } from "../../transports/carriers/tls_openssl.ts";

/** Seconds that nginx waits for a silent peer here. */
const PATIENCE = 2;

/** How it ends within a connection that was answered is a race between two alerts; `bench/probe_table.ts` has it. */
const withoutEnd = (real: Outcome, ours: Outcome) =>
  differences([{ ...real, end: ours.end, after: ours.after }], ours);

Deno.test({
  name: needsNginx("probes: who does not hold the secret meets nginx, native and fronted"),
  ignore: !NGINX,
  fn: async () => {
    await using world = await startProbeWorld(PATIENCE);
    const [native, fronted] = ["native", "fronted"].map((name) => world.ours.get(name)!);
    const chosen = world.probes.filter(({ name }) =>
      !/3 MB|each|HTTP\/1\.0|OPTIONS|10 KB|20 KB/.test(name)
    );
    assert.ok(chosen.length > 30);
    // On a busy machine even nginx may lose patience with a prober that is late: a second and a third try.
    const check = async (probe: typeof chosen[number], tries = 3): Promise<void> => {
      const send = (port: number) => probe.send(port, PATIENCE * 1000);
      const [real, ofNative, ofFronted] = await Promise.all([
        send(world.real.port),
        send(native!),
        send(fronted!),
      ]);
      try {
        assert.deepEqual(withoutEnd(real, ofFronted), [], `fronted: ${probe.name}`);
        const ends = [real, ofNative, ofFronted].map(({ end }) => end);
        assert.ok(!ends.includes("open"), `${probe.name}: ${ends.join(", ")}`);
        const ours = /own stack|hello/.test(probe.name) &&
          !/server name|half a hello/.test(probe.name);
        // These may be taken for one of our clients: TLS is ours, the answers are nginx's.
        if (ours && openSslServer([]) === undefined) {
          assert.equal(ofNative.answer, real.answer, `native: ${probe.name}`);
        } else assert.deepEqual(withoutEnd(real, ofNative), [], `native: ${probe.name}`);
      } catch (error) {
        if (tries === 1) throw error;
        await check(probe, tries - 1);
      }
    };
    const waiting = [...chosen];
    await Promise.all(Array.from({ length: 6 }, async () => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        await check(next);
      }
    }));
  },
});

Deno.test({
  name: needsNginx("probes: a name that no probe has is an error that says the names"),
  ignore: !NGINX,
  fn: async () => {
    const table = new URL("../../bench/probe_table.ts", import.meta.url).pathname;
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-check", "-A", table, "--only", "nosuch"],
      env: { NO_COLOR: "1" },
    }).output();
    const said = new TextDecoder().decode(stderr);
    assert.equal(code, 2, said);
    assert.match(
      said,
      /^error: --only "nosuch": no probe has this in its name: "connect and close"/,
    );
  },
});

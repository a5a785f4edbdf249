import assert from "node:assert/strict";
import fc from "fast-check";
import { gatewayDown, gatewaySettings, gatewayStatus, gatewayUp } from "../../gateway/mod.ts";
import { Crash, VirtualMachine, type VirtualState } from "./virtual_machine.ts";

const settings = gatewaySettings({ lan: "lan0", wan: "eth0.100" });

const link = (addresses: string[][]) =>
  fc.record({
    up: fc.boolean(),
    addresses: fc.constantFrom(...addresses),
    forwarding: fc.constantFrom("0", "1"),
  });

const states: fc.Arbitrary<VirtualState> = fc.record({
  links: fc.record({
    lan0: link([[], ["192.168.12.1/24"], ["10.1.1.1/24"]]),
    "eth0.100": link([[], ["198.51.100.1/24"]]),
  }),
  tables: fc.constantFrom([], ["inet filter"]),
  dnsmasq: fc.constantFrom([], ["dnsmasq --conf-file=/etc/dnsmasq.conf"]),
});

/** Runs something that may crash; whether it did. */
async function crashes(machine: VirtualMachine, fuse: number, work: () => Promise<unknown>) {
  machine.fuse = fuse;
  try {
    await work();
    return false;
  } catch (error) {
    if (!(error instanceof Crash)) throw error;
    return true;
  } finally {
    machine.fuse = Infinity;
  }
}

Deno.test("gateway: down restores every former state, whatever crashed before", async () => {
  let crashed = 0;
  await fc.assert(
    fc.asyncProperty(
      states,
      fc.array(
        fc.record({ what: fc.constantFrom("up", "down"), fuse: fc.integer({ min: 1, max: 40 }) }),
        { maxLength: 5 },
      ),
      async (state, history) => {
        const before = structuredClone(state);
        const machine = new VirtualMachine(structuredClone(state));
        for (const { what, fuse } of history) {
          const work = what === "up"
            ? () => gatewayUp(machine, settings)
            : () => gatewayDown(machine);
          if (await crashes(machine, fuse, work)) crashed++;
        }
        await gatewayDown(machine);
        assert.deepEqual(machine.state, before);
        assert.deepEqual([...machine.files.keys()], []);
        assert.equal((await gatewayStatus(machine)).state, "down");
      },
    ),
    { numRuns: 400 },
  );
  assert.ok(crashed > 100, `only ${crashed} runs crashed`);
});

Deno.test("gateway: a crash at every single change, then up again, then down", async () => {
  const state: VirtualState = {
    links: {
      lan0: { up: false, addresses: [], forwarding: "0" },
      "eth0.100": { up: true, addresses: ["198.51.100.1/24"], forwarding: "0" },
    },
    tables: [],
    dnsmasq: [],
  };
  let fuse = 1;
  for (; fuse < 1000; fuse++) {
    const machine = new VirtualMachine(structuredClone(state));
    const crashed = await crashes(machine, fuse, () => gatewayUp(machine, settings));
    await gatewayUp(machine, settings);
    assert.equal((await gatewayStatus(machine)).state, "up");
    assert.equal(machine.state.dnsmasq.length, 1);
    assert.equal(machine.state.links.lan0!.forwarding, "1");
    const downCrashed = await crashes(machine, fuse, () => gatewayDown(machine));
    await gatewayDown(machine);
    assert.deepEqual(machine.state, state);
    if (!crashed && !downCrashed) break;
  }
  assert.ok(fuse > 20, `only ${fuse} moments`);
});

Deno.test("gateway: what was up before a reboot is forgotten, not undone", async () => {
  const state: VirtualState = {
    links: {
      lan0: { up: true, addresses: [], forwarding: "0" },
      "eth0.100": { up: true, addresses: [], forwarding: "0" },
    },
    tables: [],
    dnsmasq: [],
  };
  const machine = new VirtualMachine(structuredClone(state));
  await gatewayUp(machine, settings);
  Object.assign(machine.state, structuredClone(state));
  machine.state.links.lan0!.forwarding = "1"; // by the machine's own start-up
  machine.boot = "second";
  assert.equal((await gatewayStatus(machine)).state, "down");
  assert.equal((await gatewayDown(machine)).result, "already down");
  assert.equal(machine.state.links.lan0!.forwarding, "1");
});

Deno.test("gateway: an interface that was pulled out does not keep down from the rest", async () => {
  const machine = new VirtualMachine({
    links: {
      lan0: { up: false, addresses: [], forwarding: "0" },
      "eth0.100": { up: true, addresses: [], forwarding: "0" },
    },
    tables: [],
    dnsmasq: [],
  });
  await gatewayUp(machine, settings);
  delete machine.state.links.lan0;
  assert.equal((await gatewayStatus(machine)).state, "broken");
  assert.equal((await gatewayDown(machine)).result, "down");
  assert.deepEqual(machine.state, {
    links: { "eth0.100": { up: true, addresses: [], forwarding: "0" } },
    tables: [],
    dnsmasq: [],
  });
});

Deno.test("gateway: a damaged journal is one clear line", async () => {
  const machine = new VirtualMachine({ links: {}, tables: [], dnsmasq: [] });
  machine.files.set("journal.json", '{"phase": 3}');
  await assert.rejects(gatewayDown(machine), /^BadJournal: \/journal.json: [^\n]+$/);
});

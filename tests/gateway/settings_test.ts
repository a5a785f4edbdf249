import assert from "node:assert/strict";
import fc from "fast-check";
import { UserError } from "../../base/mod.ts";
import { dnsmasqConfiguration, parseLeases } from "../../gateway/dnsmasq.ts";
import {
  formatIpv4,
  formatSubnet,
  netmaskOf,
  overlap,
  parseIpv4,
  parseSubnet,
} from "../../gateway/ipv4.ts";
import { ruleset } from "../../gateway/ruleset.ts";
import { gatewaySettings } from "../../gateway/settings.ts";

Deno.test("gateway: addresses read back as they were written, and subnets hold them", () => {
  fc.assert(fc.property(
    fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    fc.integer({ min: 0, max: 32 }),
    (address, prefix) => {
      assert.equal(parseIpv4(formatIpv4(address), ""), address);
      const subnet = parseSubnet(`${formatIpv4(address)}/${prefix}`, "");
      assert.ok(subnet.first <= address && address <= subnet.last);
      assert.equal(subnet.last - subnet.first + 1, 2 ** (32 - prefix));
      assert.ok(overlap(subnet, parseSubnet(formatSubnet(subnet), "")));
    },
  ));
  assert.equal(netmaskOf(parseSubnet("10.1.2.3/20", "")), "255.255.240.0");
  assert.ok(!overlap(parseSubnet("10.0.0.0/24", ""), parseSubnet("10.0.1.0/24", "")));
});

Deno.test("gateway: the defaults are the seed's", () => {
  assert.deepEqual(gatewaySettings({ lan: "eth1", wan: "eth0" }), {
    lan: "eth1",
    wan: "eth0",
    address: "192.168.12.1/24",
    rangeStart: "192.168.12.100",
    rangeEnd: "192.168.12.200",
    router: "192.168.12.1",
    dns: [],
    domain: "lan",
    leaseSeconds: 43200,
  });
});

Deno.test("gateway: whatever is typed is either fit for every file or one clear line", () => {
  const any = fc.option(fc.string({ maxLength: 30, unit: "binary" }), { nil: undefined });
  fc.assert(
    fc.property(
      fc.record({
        lan: fc.oneof(fc.constant("lan0"), fc.string()),
        wan: fc.oneof(fc.constant("wan0"), fc.string()),
        address: fc.oneof(any, fc.constant("10.0.0.1/16")),
        range: any,
        router: any,
        dns: any,
        domain: any,
        lease: any,
      }),
      (options) => {
        const given = Object.fromEntries(
          Object.entries(options).filter(([, value]) => value !== undefined),
        ) as { lan: string; wan: string };
        try {
          const settings = gatewaySettings(given);
          const lines = dnsmasqConfiguration(settings, (name) => `/state/${name}`);
          assert.match(lines, /^([a-z-]+(=[\w.,:/@-]+)?\n)+$/);
          assert.doesNotMatch(ruleset(settings, { lan: false, wan: false }), /""|[^\x20-\x7e\n]/);
        } catch (error) {
          assert.ok(error instanceof UserError, String(error));
        }
      },
    ),
    { numRuns: 2000 },
  );
});

for (
  const [what, options, pattern] of [
    ["the same interface twice", { wan: "lan0" }, /are the same/],
    ["the loopback interface", { wan: "lo" }, /--wan lo/],
    ["a network's own address", { address: "192.168.12.0/24" }, /not the address of a host/],
    ["a range that is turned round", { range: "192.168.12.20-192.168.12.10" }, /not a range/],
    ["one end of a range", { range: "192.168.12.20" }, /two addresses/],
    ["a router elsewhere", { router: "10.0.0.1" }, /cannot reach/],
    ["a name for a name server", { dns: "dns.example" }, /--dns dns.example/],
    ["a second line in the domain", { domain: "a\nport=53" }, /no domain name/],
    ["a lease of a minute", { lease: "1m" }, /--lease 1m/],
  ] as const
) {
  Deno.test(`gateway: ${what} is refused`, () => {
    assert.throws(() => gatewaySettings({ lan: "lan0", wan: "wan0", ...options }), pattern);
  });
}

Deno.test("gateway: an interface that forwarded before keeps its other ways", () => {
  const settings = gatewaySettings({ lan: "lan0", wan: "wan0" });
  const closed = ruleset(settings, { lan: false, wan: false });
  assert.match(closed, /iifname "wan0" oifname != "lan0" drop/);
  assert.match(closed, /iifname "lan0" oifname != "wan0" drop/);
  const open = ruleset(settings, { lan: true, wan: true });
  assert.doesNotMatch(open, /oifname !=/);
});

Deno.test("gateway: dnsmasq's leases are read, other lines passed over", () => {
  const text = "1700000000 02:00:00:00:00:01 192.168.12.100 phone *\n" +
    "0 02:00:00:00:00:02 192.168.12.101 * 01:02\nduid 00:01\n1700 00:0";
  assert.deepEqual(parseLeases(text), [
    {
      address: "192.168.12.100",
      hardware: "02:00:00:00:00:01",
      name: "phone",
      ends: 1700000000000,
    },
    { address: "192.168.12.101", hardware: "02:00:00:00:00:02", name: undefined, ends: undefined },
  ]);
});

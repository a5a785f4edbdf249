import assert from "node:assert/strict";
import { whyNoNamespaces } from "./needs.ts";
import { OUTSIDE, root, run, ThreeNamespaces, WAN_ADDRESS } from "./three_namespaces.ts";

const why = await whyNoNamespaces();
const test = (name: string, fn: () => Promise<void>) =>
  Deno.test({ name: `gateway: ${name}${why ? ` (ignored: ${why})` : ""}`, ignore: !!why, fn });

/** The lines that one of two snapshots has and the other has not. */
function difference(before: string, after: string): string[] {
  const [a, b] = [before.split("\n"), after.split("\n")];
  return [
    ...a.filter((line) => !b.includes(line)).map((line) => `- ${line}`),
    ...b.filter((line) => !a.includes(line)).map((line) => `+ ${line}`),
  ];
}

function same(after: string, before: string, why?: string): void {
  assert.deepEqual(difference(before, after), [], why);
  assert.equal(after.length, before.length, why);
}

test("a client gets an address by DHCP and fetches through NAT; down leaves no trace", async () => {
  await using three = await ThreeNamespaces.up();
  const before = await three.snapshot();
  await three.serve();
  const dry = await three.up("--dry-run");
  assert.equal(dry.code, 0, dry.errors);
  assert.match(dry.output, /^ip link set dev lan0 up\nip addr add 192\.168\.12\.1\/24 /);
  same(await three.snapshot(), before, "a dry run changed something");

  const up = await three.up("--domain", "network2", "--lease", "43200", "--dns", "10.0.2.3");
  assert.deepEqual([up.code, up.errors], [0, ""]);
  assert.match(up.output, /^up: 192\.168\.12\.1\/24 on lan0/);
  assert.notEqual(await three.snapshot(), before);
  const told = await three.dhcp();
  assert.match(told.ip!, /^192\.168\.12\.1\d\d$/);
  assert.deepEqual({ ...told, ip: "" }, {
    ...{ ip: "", mask: "24", router: "192.168.12.1", dns: "10.0.2.3" },
    ...{ domain: "network2", lease: "43200" },
  });
  const fetched = await three.fetch() ?? "";
  assert.ok(fetched.startsWith(`from ${WAN_ADDRESS}\n`), `not through NAT: ${fetched}`);
  assert.ok(fetched.length > 50_000);

  const status = await three.run("status", "--json");
  const { state, leases, steps } = JSON.parse(status.output);
  assert.equal(state, "up");
  assert.deepEqual(leases.map(({ address }: { address: string }) => address), [told.ip]);
  assert.ok(steps.every(({ inForce }: { inForce: boolean }) => inForce));
  // Nothing comes in that was not asked for, and nothing passes to elsewhere.
  const into = await three.in(three.outside, ["ping", "-c1", "-W1", told.ip!]);
  assert.notEqual(into.code, 0);

  const down = await three.run("down");
  assert.deepEqual([down.code, down.errors], [0, ""]);
  assert.deepEqual(await three.pids(), []);
  same(await three.snapshot(), before);
  assert.equal(await three.fetch(), undefined);
  assert.match((await three.run("down")).output, /^already down/);
});

test("a second up changes nothing, other settings are refused, a dead dnsmasq is repaired", async () => {
  await using three = await ThreeNamespaces.up({ lanUp: true });
  const before = await three.snapshot();
  await three.up();
  const once = await three.snapshot();
  const again = await three.up();
  assert.match(again.output, /^already up/);
  same(await three.snapshot(), once);
  const other = await three.up("--address", "192.168.13.1/24");
  assert.equal(other.code, 1);
  assert.match(other.errors, /^error: a gateway is up already with other settings[^\n]*\n$/);
  same(await three.snapshot(), once);
  const elsewhere = await three.in(three.gateway, [
    ...three.command("up", "--lan", "lan0", "--wan", "wan0").map((word) =>
      word.replaceAll(three.state, `${three.state}2`)
    ),
  ]);
  assert.match(elsewhere.errors, /^error: [^\n]*(overlaps|is there already)[^\n]*\n$/);

  // Two at the same moment: one waits for the other.
  await three.run("down");
  const both = await Promise.all([three.up(), three.up()]);
  assert.deepEqual(both.map(({ output }) => output.split(":")[0]).sort(), ["already up", "up"]);
  assert.equal((await three.pids()).length, 1);

  const [pid] = await three.pids();
  Deno.kill(pid!, "SIGKILL");
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.match((await three.run("status")).output, /^broken/);
  assert.match((await three.up()).output, /^repaired/);
  assert.match((await three.dhcp()).dns!, /^192\.168\.12\.1$/);
  assert.match((await three.run("status")).output, /^up/);
  await three.run("down");
  same(await three.snapshot(), before);
});

/** Waits until something listens to the packets of the gateway's interface. */
async function untilCapturing(three: ThreeNamespaces, count: number): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const argv = ["ss", "-H", "-0", "-a", "-n"];
    const { output } = await three.in(three.gateway, argv);
    if (output.split("\n").filter((line) => line.includes("lan0")).length >= count) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail("nothing captures on lan0");
}

test("flows are printed, and named, on the gateway's interface while a client fetches", async () => {
  await using three = await ThreeNamespaces.up();
  const model = `${three.folder}/model`;
  const trained = await run([
    ...await three.task("train", `https=${root}samples/https/run-1.pcap.gz`, "--features", "seed5"),
    ...[`ssh=${root}samples/ssh/run-1.pcap.gz`, "--trees", "5", "--workers", "1", "--out", model],
  ]);
  assert.equal(trained.code, 0, trained.errors);
  await three.serve();
  await three.up();
  const { ip: client } = await three.dhcp();
  const live = ["--interface", "lan0", "--filter", "tcp port 8080", "--seconds", "60"];
  const printers = [
    three.start(three.gateway, await three.task("flows", ...live)),
    three.start(three.gateway, await three.task("classify", "--model", model, ...live)),
  ];
  await untilCapturing(three, printers.length);
  assert.ok(await three.fetch());
  const flow = `${client!.replaceAll(".", "[.]")} ${OUTSIDE.replaceAll(".", "[.]")} \\d+ 8080 tcp`;
  const patterns = [
    new RegExp(`^\\d+[.]\\d+ ${flow} \\d+ \\d+ \\d+ 5\\d{4}\\n`),
    new RegExp(`^\\d+[.]\\d+ ${flow} \\d+ \\d+ \\d+ 5\\d{4} (https|ssh|unknown)\\b`),
  ];
  for (const [index, { stdout }] of printers.entries()) {
    const reader = stdout.getReader();
    const { value } = await reader.read();
    reader.releaseLock();
    assert.match(new TextDecoder().decode(value), patterns[index]!);
  }
  await three.run("down");
});

test("bad input gets one clear line and changes nothing", async () => {
  await using three = await ThreeNamespaces.up();
  const before = await three.snapshot();
  for (
    const [args, pattern] of [
      [["--lan", "lan7", "--wan", "wan0"], /--lan lan7: there is no such interface/],
      [["--lan", "lan0", "--wan", "nope"], /--wan nope: there is no such interface/],
      [["--lan", "lan0", "--wan", "lan0"], /are the same/],
      [["--lan", "lan0", "--wan", "wan0", "--address", "198.51.100.77/25"], /overlaps/],
      [["--lan", "lan0", "--wan", "wan0", "--range", "10.0.0.1-10.0.0.9"], /not a range of hosts/],
    ] as const
  ) {
    const { code, output, errors } = await three.run("up", ...args);
    assert.ok(code === 1 || code === 2);
    assert.equal(output, "");
    assert.match(errors, /^error: [^\n]+\n$/);
    assert.match(errors, pattern);
  }
  same(await three.snapshot(), before);
});

test("an up that fails takes back what it did, and says why", async () => {
  await using three = await ThreeNamespaces.up();
  const before = await three.snapshot();
  const failing = await three.wrappers(["dnsmasq"], () => "echo no luck today >&2; exit 2\n");
  const { code, errors } = await three.upAmong(failing);
  assert.equal(code, 1);
  assert.match(errors, /^error: dnsmasq [^\n]+no luck today\n$/);
  same(await three.snapshot(), before);
  assert.match((await three.run("status")).output, /^down/);
});

// Each command that changes something is where a `kill -9` meets `up`: just before it, and just after.
const CRASHES = [
  ...["link set", "addr add", "-f -", "lan0/forwarding=1", "wan0/forwarding=1", "--conf-file"],
];

test("a kill -9 before or after each change is put right by down", async () => {
  await using three = await ThreeNamespaces.up();
  const before = await three.snapshot();
  const crashing = await three.wrappers(["ip", "nft", "sysctl", "dnsmasq"], (real) => `
case "$*" in
  *"$CRASH_AT"*)
    [ "$CRASH_WHEN" = before ] || ${real} "$@"
    kill -9 $PPID
    ;;
  *) exec ${real} "$@" ;;
esac
`);
  for (const at of CRASHES) {
    for (const when of ["before", "after"]) {
      const crashed = await three.upAmong(crashing, { CRASH_AT: at, CRASH_WHEN: when });
      assert.notEqual(crashed.code, 0, `${at}: nothing crashed`);
      const down = await three.run("down");
      assert.match(down.output, /^down/, `${when} ${at}: ${down.errors}`);
      same(await three.snapshot(), before, `${when} ${at}`);
    }
  }
  // The way on instead of the way back.
  await three.upAmong(crashing, { CRASH_AT: "-f -", CRASH_WHEN: "after" });
  assert.match((await three.run("status")).output, /^crashed/);
  assert.match((await three.up()).output, /^up/);
  assert.match((await three.run("status")).output, /^up/);
  await three.run("down");
  same(await three.snapshot(), before);
});

// The transport under the real tor, in a private Tor network: `deno task test:tor`. Each test has a client, and
// perhaps a bridge, of its own; the network is made once. Not among the tests of `deno task test`, for it takes
// minutes and needs root, tor, curl, iproute2 and tcpdump.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { run, type Running, sleep } from "../../lab/process.ts";
import { countLinkBytes } from "./link_bytes.ts";
import { installIn, textOf, type Tor, TorNetwork, until } from "./tor_network.ts";
import { ADDRESSES, SECOND } from "./two_ends.ts";

const MEGABYTE = 1 << 20;
const PORTS = { https: 5300, ipv6: 5301, constant: 5302 };
const PROXY_PORT = 1081;
/** What a client's transport says when it loses a tunnel. */
const LOST = /forgotten the tunnel|no longer answers|a tunnel ended/;

async function hasAll(): Promise<boolean> {
  try {
    for (const name of ["tor", "tor-gencert", "curl", "tcpdump"]) await run(["which", name]);
    const name = `tmlab-${Deno.pid}-probe`;
    await run(["ip", "netns", "add", name]);
    await run(["ip", "netns", "del", name]);
    return true;
  } catch {
    return false;
  }
}

const possible = await hasAll();
const page = new Uint8Array(MEGABYTE);
for (let at = 0; at < page.length; at += 65_536) {
  crypto.getRandomValues(page.subarray(at, at + 65_536));
}

let network: TorNetwork;
let command: string;
let recording: Running;
let proxy: Running;
/** Bridges by what is special about them. */
const bridges = {} as Record<keyof typeof PORTS, Tor>;

Deno.test.beforeAll(async () => {
  if (!possible) return;
  network = await TorNetwork.up(page);
  command = `${await installIn(network.folder)} pt`;
  recording = await network.ends.record(`${network.folder}/link.pcap`);
  const bridge = (name: keyof typeof PORTS, host: string, lines: string[]) =>
    network.startBridge(name, {
      transport: "mimic",
      command,
      listen: `${host}:${PORTS[name]}`,
      orPort: PORTS[name] - 100,
      lines,
    });
  [bridges.https, bridges.ipv6, bridges.constant] = await Promise.all([
    bridge("https", ADDRESSES.relays.v4, [
      "ExtORPort auto",
      "ServerTransportOptions mimic model=https schedule=demand",
    ]),
    bridge("ipv6", `[${ADDRESSES.relays.v6}]`, [
      "ServerTransportOptions mimic schedule=strict sessions=2",
    ]),
    bridge("constant", ADDRESSES.relays.v4, [
      "ServerTransportOptions mimic model=constant-rate sessions=16",
    ]),
  ]);
  proxy = network.ends.start("clients", [
    Deno.execPath(),
    ...["run", "--no-prompt", "--no-check", "--quiet", "--allow-net"],
    fileURLToPath(new URL("upstream_proxy.ts", import.meta.url)),
    `${PROXY_PORT}`,
  ], { env: network.environment });
  await proxy.said(/listening/, 20_000);
});

Deno.test.afterAll(async () => {
  if (possible) await network[Symbol.asyncDispose]();
});

/** A test that needs tor and root. */
function torTest(name: string, fn: () => Promise<void>): void {
  Deno.test({
    name: `tor: ${name}${possible ? "" : " (needs root, tor, curl, iproute2 and tcpdump)"}`,
    ignore: !possible,
    fn,
  });
}

const bridgeLine = async ({ folder }: Tor) =>
  (await textOf(`${folder}/pt_state/mimic/bridge_line`)).trim();

/** Payload bytes that left a bridge's port so far. */
async function bytesFrom(port: number): Promise<number> {
  await sleep(300);
  const { from } = await countLinkBytes(`${network.folder}/link.pcap`, Object.values(PORTS));
  return from.get(port)!;
}

async function fetchPage(socksPort: number, seconds = 60): Promise<void> {
  const { success, body } = await network.fetch(socksPort, MEGABYTE, seconds);
  assert.ok(success, "the page was not fetched whole");
  assert.deepEqual(body, page);
}

/** Process ids of a tor's children: its transports. */
async function transportsOf({ program }: Tor): Promise<string[]> {
  const text = await run(["cat", `/proc/${program.pid}/task/${program.pid}/children`]);
  return text.trim().split(" ").filter((id) => id !== "");
}

let https: Tor;

torTest(
  "https in demand, from an outbound bind address: a megabyte; tor is told client and transport",
  async () => {
    const before = await bytesFrom(PORTS.https);
    https = await network.startClient("client-https", {
      transport: "mimic",
      command,
      socksPort: 9050,
      bridge: await bridgeLine(bridges.https),
      lines: [`OutboundBindAddressPT ${SECOND.v4}`],
    });
    await fetchPage(9050);
    const carried = await bytesFrom(PORTS.https) - before;
    assert.ok(carried > MEGABYTE, `only ${carried} bytes left the transport's port`);
    const log = await textOf(`${bridges.https.folder}/net.log`);
    assert.match(log, /rewrite our address from '127\.0\.0\.1:\d+' to '10\.97\.0\.3:\d+'/);
    assert.match(log, /Seen client from '10\.97\.0\.3' with transport 'mimic'/);
  },
);

torTest("the bridge's transport is killed: tor starts it again with the same keys", async () => {
  const line = await bridgeLine(bridges.https);
  const [before] = await transportsOf(bridges.https);
  await run(["kill", "-KILL", before!]);
  await until("tor starts the transport again", 20_000, async () => {
    const [now] = await transportsOf(bridges.https);
    return now !== undefined && now !== before;
  });
  await until("a page through the new transport", 60_000, async () => {
    return (await network.fetch(9050, 1000, 15)).success;
  });
  await fetchPage(9050);
  assert.equal(await bridgeLine(bridges.https), line);
  await https.program.stop();
});

torTest(
  "through a SOCKS 5 proxy; every cover connection is cut in mid-transfer, nothing is lost",
  async () => {
    const client = await network.startClient("client-proxy", {
      transport: "mimic",
      command,
      socksPort: 9051,
      bridge: await bridgeLine(bridges.https),
      lines: [
        `Socks5Proxy 127.0.0.1:${PROXY_PORT}`,
        "Socks5ProxyUsername alice",
        "Socks5ProxyPassword secret",
      ],
    });
    assert.match(proxy.output, /carrying by SOCKS 5/, "the proxy carried nothing");
    let fetched = false;
    const fetching = fetchPage(9051, 90).finally(() => fetched = true);
    const began = await bytesFrom(PORTS.https);
    let cut = 0;
    for (const share of [0.2, 0.5, 0.8]) {
      await until(
        "part of the page",
        60_000,
        async () => fetched || await bytesFrom(PORTS.https) - began > share * MEGABYTE,
      );
      if (fetched) {
        break;
      }
      const said = proxy.output.length;
      await proxy.write("cut\n");
      await until("the cut", 5000, () => Promise.resolve(/cut \d+/.test(proxy.output.slice(said))));
      cut += Number(/cut (\d+)/.exec(proxy.output.slice(said))![1]);
    }
    await fetching;
    assert.ok(cut >= 2, `only ${cut} connections were cut`);
    // The one connection of tor's to its bridge lived through it all.
    const log = await textOf(`${client.folder}/net.log`);
    assert.equal([...log.matchAll(/tls error .* from OR connection/g)].length, 0);
    await client.program.stop();
  },
);

torTest("through an HTTP proxy with password, and through a SOCKS 4a proxy", async () => {
  const bridge = await bridgeLine(bridges.https);
  const kinds = [
    ["http", 9054, "CONNECT", ["HTTPSProxyAuthenticator alice:secret", "HTTPSProxy"]],
    ["socks4", 9055, "SOCKS 4a", ["Socks4Proxy"]],
  ] as const;
  await Promise.all(kinds.map(async ([kind, socksPort, said, options]) => {
    const client = await network.startClient(`client-${kind}`, {
      transport: "mimic",
      command,
      socksPort,
      bridge,
      lines: [...options.slice(0, -1), `${options.at(-1)} 127.0.0.1:${PROXY_PORT}`],
    });
    const { success, body } = await network.fetch(socksPort, 100_000);
    assert.ok(success);
    assert.deepEqual(body, page.subarray(0, 100_000));
    assert.match(proxy.output, new RegExp(`carrying by ${said}`));
    await client.program.stop();
  }));
});

torTest(
  "https in strict over IPv6, from an outbound bind address, without ExtORPort: a megabyte",
  async () => {
    const line = await bridgeLine(bridges.ipv6);
    assert.match(line, /^Bridge mimic \[fd97::1\]:5301 [0-9A-F]{40} /);
    const client = await network.startClient("client-ipv6", {
      transport: "mimic",
      command,
      socksPort: 9052,
      bridge: line,
      lines: ["ClientUseIPv6 1", `OutboundBindAddressPT [${SECOND.v6}]`],
      patience: 90_000,
    });
    await fetchPage(9052, 90);
    assert.ok(await bytesFrom(PORTS.ipv6) > MEGABYTE);
    await client.program.stop();
  },
);

torTest("constant rate: bootstraps and fetches a megabyte", async () => {
  const client = await network.startClient("client-constant", {
    transport: "mimic",
    command,
    socksPort: 9053,
    bridge: await bridgeLine(bridges.constant),
  });
  await fetchPage(9053, 90);
  assert.ok(await bytesFrom(PORTS.constant) > MEGABYTE);
  await client.program.stop();
});

torTest("nothing but the transport crossed the link, and logs name no address", async () => {
  await recording.stop("SIGINT", 10_000);
  const file = `${network.folder}/link.pcap`;
  const { from, to, strangers, clients } = await countLinkBytes(file, Object.values(PORTS));
  assert.equal(strangers, 0);
  for (const port of Object.values(PORTS)) assert.ok(from.get(port)! > 0 && to.get(port)! > 0);
  // Clients that were given an address used no other; proxies and the rest used the first.
  assert.deepEqual([...clients.get(PORTS.https)!].sort(), [ADDRESSES.clients.v4, SECOND.v4]);
  assert.deepEqual([...clients.get(PORTS.ipv6)!], [SECOND.v6]);
  const names = ["https", "proxy", "http", "socks4", "ipv6", "constant"].map((it) =>
    `client-${it}`
  );
  for (const name of ["https", "ipv6", "constant", ...names]) {
    const log = await textOf(`${network.folder}/${name}/net.log`);
    const said = log.split("\n").filter((line) => / MESSAGE="/.test(line));
    for (const line of said) assert.doesNotMatch(line, /10\.97\.|fd97:/);
    const lost = said.filter((line) => LOST.test(line));
    // Only the bridge whose transport was killed had to forget, and once.
    if (name === "client-https") assert.ok(lost.length <= 1, lost.join("\n"));
    else assert.deepEqual(lost, [], name);
  }
});

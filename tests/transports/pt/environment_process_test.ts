import assert from "node:assert/strict";
import { CLIENT, PtProcess, SERVER } from "./harness.ts";

/** Runs the toy and returns all that it says, and its exit code; it must end by itself. */
async function outcome(env: Record<string, string>, ...args: string[]) {
  await using process = await PtProcess.start(env, { args });
  return await process.rest();
}

const EXT = { TOR_PT_EXTENDED_SERVER_PORT: "127.0.0.1:9", TOR_PT_AUTH_COOKIE_FILE: "/x" };

/** What is wrong, and what the one line must say; each in a process of its own, several at a time. */
const WRONG: [string, Record<string, string>, RegExp, ...string[]][] = [
  [
    "no version",
    { TOR_PT_MANAGED_TRANSPORT_VER: "" },
    /^ENV-ERROR no TOR_PT_MANAGED_TRANSPORT_VER/,
  ],
  [
    "other versions",
    { ...CLIENT, TOR_PT_MANAGED_TRANSPORT_VER: "2,11" },
    /^VERSION-ERROR no-version$/,
  ],
  ["neither role", { TOR_PT_MANAGED_TRANSPORT_VER: "1" }, /^ENV-ERROR neither TOR_PT_CLIENT_TRAN/],
  ["both roles", { ...CLIENT, ...SERVER }, /^ENV-ERROR .* are both set/],
  ["no state", { ...CLIENT, TOR_PT_STATE_LOCATION: "" }, /^ENV-ERROR no TOR_PT_STATE_LOCATION/],
  [
    "relative state",
    { ...CLIENT, TOR_PT_STATE_LOCATION: "pt" },
    /^ENV-ERROR TOR_PT_STATE_LOCATION/,
  ],
  [
    "impossible state",
    { ...CLIENT, TOR_PT_STATE_LOCATION: "/proc/none" },
    /^ENV-ERROR TOR_PT_STATE_LOCATION: the folder cannot/,
  ],
  [
    "bind address, IPv4",
    { ...CLIENT, TOR_PT_OUTBOUND_BIND_ADDRESS_V4: "[::1]" },
    /^ENV-ERROR TOR_PT_OUTBOUND_BIND_ADDRESS_V4: /,
  ],
  [
    "bind address, IPv6",
    { ...CLIENT, TOR_PT_OUTBOUND_BIND_ADDRESS_V6: "192.0.2.1" },
    /^ENV-ERROR TOR_PT_OUTBOUND_BIND_ADDRESS_V6: /,
  ],
  ["no OR port", { ...SERVER, TOR_PT_ORPORT: "" }, /^ENV-ERROR no TOR_PT_ORPORT or/],
  ["OR port by name", { ...SERVER, TOR_PT_ORPORT: "localhost:9" }, /^ENV-ERROR TOR_PT_ORPORT: /],
  ["OR port 0", { ...SERVER, TOR_PT_ORPORT: "127.0.0.1:0" }, /^ENV-ERROR TOR_PT_ORPORT: /],
  [
    "no cookie file",
    { ...SERVER, ...EXT, TOR_PT_AUTH_COOKIE_FILE: "" },
    /^ENV-ERROR .*without TOR_PT_AUTH_COOKIE_FILE/,
  ],
  [
    "listen by name",
    { ...SERVER, TOR_PT_SERVER_BINDADDR: "rot-localhost:0" },
    /^ENV-ERROR TOR_PT_SERVER_BINDADDR: /,
  ],
  [
    "listen twice",
    { ...SERVER, TOR_PT_SERVER_BINDADDR: "rot-127.0.0.1:1,rot-127.0.0.1:2" },
    /^ENV-ERROR TOR_PT_SERVER_BINDADDR: .*twice/,
  ],
  [
    "options",
    { ...SERVER, TOR_PT_SERVER_TRANSPORT_OPTIONS: "rot:by" },
    /^ENV-ERROR TOR_PT_SERVER_TRANSPORT_OPTIONS: /,
  ],
  ["no such role", CLIENT, /^ENV-ERROR this program has no client transports/, "--server-only"],
  ["no such role", SERVER, /^ENV-ERROR this program has no server transports/, "--client-only"],
];

for (let at = 0; at < WRONG.length; at += 3) {
  const some = WRONG.slice(at, at + 3);
  Deno.test(`an environment that is wrong is one line before VERSION: ${some.map(([name]) => name).join(", ")}`, async () => {
    await Promise.all(some.map(async ([name, env, expected, ...args]) => {
      const { lines, code } = await outcome(env, ...args);
      assert.equal(lines.length, 1, `${name}: ${lines}`);
      assert.match(lines[0]!, expected);
      assert.match(lines[0]!, /^[\x20-\x7e]*$/);
      assert.equal(code, 1);
    }));
  });
}

const SECRET = "hush";

for (
  const [what, urls] of Object.entries({
    "of another kind": [
      "socks4://127.0.0.1:1",
      "https://127.0.0.1:1",
      "127.0.0.1:1",
      "://127.0.0.1:1",
    ],
    "with a host name": ["socks5://localhost:1080", "http://proxy.example:80", "http://[proxy]:80"],
    "with more than an address": [
      "http://127.0.0.1:80/",
      "http://127.0.0.1:80?q",
      "http://127.0.0.1:80#f",
      "socks5://127.0.0.1:80/x",
    ],
    "without a usable port": [
      "http://127.0.0.1",
      "http://127.0.0.1:0",
      "http://127.0.0.1:65536",
      "http://::1:80",
    ],
    "with credentials that it does not take": [
      `socks4a://joe:${SECRET}@127.0.0.1:1`,
      "socks5://joe@127.0.0.1:1",
      `socks5://:${SECRET}@127.0.0.1:1`,
      "socks5://joe:@127.0.0.1:1",
      `socks5://joe:${SECRET.repeat(64)}@127.0.0.1:1`,
      `socks5://${"j".repeat(256)}:${SECRET}@127.0.0.1:1`,
      `http://joe:${SECRET}%00@127.0.0.1:1`,
    ],
  })
) {
  Deno.test(`a proxy ${what} ends the client at once, with the reason in the log too`, async () => {
    await Promise.all(urls.map(async (url) => {
      const { lines, code } = await outcome({ ...CLIENT, TOR_PT_PROXY: url });
      assert.equal(lines[0], "VERSION 1");
      assert.match(lines[1]!, /^LOG SEVERITY=error MESSAGE="TOR_PT_PROXY: /);
      assert.match(lines[2]!, /^PROXY-ERROR [\x20-\x7e]+$/);
      assert.equal(lines.length, 3, url);
      assert.equal(code, 1);
      assert.ok(!lines.join().includes(SECRET), lines.join());
    }));
  });
}

Deno.test("a version among others will do, and an empty proxy is none", async () => {
  await using process = await PtProcess.start({
    ...CLIENT,
    TOR_PT_MANAGED_TRANSPORT_VER: "2,1,0",
    TOR_PT_PROXY: "",
    TOR_PT_OUTBOUND_BIND_ADDRESS_V4: "",
    TOR_PT_SERVER_TRANSPORTS: "",
  });
  const lines = await process.until(/DONE/);
  assert.equal(lines[0], "VERSION 1");
  assert.match(lines[1]!, /^CMETHOD rot /);
});

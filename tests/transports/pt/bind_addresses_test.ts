import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

const SETUP = "ip link set lo up && ip addr add 198.51.100.1/24 dev lo && " +
  "ip addr add 198.51.100.2/24 dev lo && ip addr add 2001:db8::1/64 dev lo nodad && " +
  "ip addr add 2001:db8::2/64 dev lo nodad";

function inNamespace(script: string, ...args: string[]) {
  return new Deno.Command("unshare", {
    args: ["--map-root-user", "--net", "sh", "-c", `${SETUP} && ${script}`, "sh", ...args],
    stderr: "piped",
  }).output();
}

const possible = await inNamespace("true").then(({ success }) => success, () => false);

Deno.test({
  name: "a client connects from the outbound bind addresses, but for loopback (needs namespaces)",
  ignore: !possible,
  fn: async () => {
    const script = fileURLToPath(new URL("bind_addresses.ts", import.meta.url));
    const { stdout, stderr } = await inNamespace(
      '"$1" run --no-prompt --no-check --quiet --allow-net --allow-read --allow-write --allow-run --allow-env "$2"',
      Deno.execPath(),
      script,
    );
    assert.equal(
      new TextDecoder().decode(stdout),
      "198.51.100.2 2001:db8::2 127.0.0.1 ::1",
      new TextDecoder().decode(stderr),
    );
  },
});

Deno.test({
  name: "a client offers SOCKS at ::1 where there is no 127.0.0.1 (needs namespaces)",
  ignore: !possible,
  fn: async () => {
    const toy = fileURLToPath(new URL("toy.ts", import.meta.url));
    const state = await Deno.makeTempDir({ prefix: "pt-" });
    const { stdout, stderr } = await inNamespace(
      "ip addr del 127.0.0.1/8 dev lo && TOR_PT_MANAGED_TRANSPORT_VER=1 " +
        'TOR_PT_CLIENT_TRANSPORTS=rot TOR_PT_EXIT_ON_STDIN_CLOSE=1 TOR_PT_STATE_LOCATION="$3" ' +
        '"$1" run --no-prompt --no-check --quiet --allow-net --allow-env --allow-write "$2"',
      Deno.execPath(),
      toy,
      state,
    );
    await Deno.remove(state, { recursive: true });
    const lines = new TextDecoder().decode(stdout);
    assert.match(lines, /^CMETHOD rot socks5 \[::1\]:[1-9]/m, new TextDecoder().decode(stderr));
  },
});

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

const SETUP = "ip link set lo up && ip addr add 198.51.100.1/24 dev lo && " +
  "ip addr add 198.51.100.2/24 dev lo && ip addr add 2001:db8::1/64 dev lo nodad && " +
  "ip addr add 2001:db8::2/64 dev lo nodad";

function inNamespace(
  stdin: "piped" | "null",
  script: string,
  ...args: string[]
): Deno.Command {
  return new Deno.Command("unshare", {
    args: ["--map-root-user", "--net", "sh", "-c", `${SETUP} && ${script}`, "sh", ...args],
    stdin,
    stdout: "piped",
    stderr: "piped",
  });
}

const possible = await inNamespace("null", "true").output().then(
  ({ success }) => success,
  () => false,
);

Deno.test({
  name: "a client connects from the outbound bind addresses, but for loopback (needs namespaces)",
  ignore: !possible,
  fn: async () => {
    const script = fileURLToPath(new URL("bind_addresses.ts", import.meta.url));
    const { stdout, stderr } = await inNamespace(
      "null",
      '"$1" run --no-prompt --no-check --quiet --allow-net --allow-read --allow-write --allow-run --allow-env "$2"',
      Deno.execPath(),
      script,
    ).output();
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
    const child = inNamespace(
      "piped",
      "ip addr del 127.0.0.1/8 dev lo && TOR_PT_MANAGED_TRANSPORT_VER=1 " +
        'TOR_PT_CLIENT_TRANSPORTS=rot TOR_PT_EXIT_ON_STDIN_CLOSE=1 TOR_PT_STATE_LOCATION="$3" ' +
        'exec "$1" run --no-prompt --no-check --quiet --allow-net --allow-env --allow-write "$2"',
      Deno.execPath(),
      toy,
      state,
    ).spawn();
    const errors = new Response(child.stderr).text();
    let lines = "";
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      lines += text;
      if (/CMETHODS DONE\n$/.test(lines)) await child.stdin.close();
    }
    assert.ok((await child.status).success);
    await Deno.remove(state, { recursive: true });
    assert.match(lines, /^CMETHOD rot socks5 \[::1\]:[1-9]/m, await errors);
  },
});

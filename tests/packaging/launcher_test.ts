import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { launcherCases } from "../../packaging/build.ts";
import { OPENSSL_PATHS } from "../../transports/carriers/openssl_library.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Runs the launcher for `pt` with a Deno that only says how it was started. */
async function started(env: Record<string, string>, ...args: string[]) {
  const folder = await Deno.makeTempDir();
  const lib = `${folder}/lib/trafficmimic`;
  await Deno.mkdir(lib, { recursive: true });
  await Deno.mkdir(`${folder}/bin`);
  const { tasks } = JSON.parse(await Deno.readTextFile(`${root}deno.json`));
  const text = await Deno.readTextFile(`${root}packaging/trafficmimic.sh`);
  await Deno.writeTextFile(
    `${folder}/bin/trafficmimic`,
    text.replace("@CASES@", () => launcherCases({ pt: tasks.pt })),
  );
  await Deno.writeTextFile(
    `${lib}/deno`,
    '#!/bin/sh\nprintf "%s\\n" "$DENO_DIR" "${TMPDIR-}" "$@"\n',
  );
  await Deno.chmod(`${lib}/deno`, 0o755);
  const { code, stdout, stderr } = await new Deno.Command("sh", {
    args: [`${folder}/bin/trafficmimic`, "pt", ...args],
    clearEnv: true,
    env: { PATH: "/usr/bin:/bin", ...env },
  }).output();
  const [cache, temporary, ...words] = new TextDecoder().decode(stdout).trimEnd().split("\n");
  await Deno.remove(folder, { recursive: true });
  assert.deepEqual([code, new TextDecoder().decode(stderr)], [0, ""]);
  const flag = (name: string) =>
    words.filter((word) => word.startsWith(`--allow-${name}`))
      .map((word) => word.replaceAll(lib, "LIB"));
  return {
    cache,
    temporary,
    read: flag("read"),
    write: flag("write"),
    net: flag("net"),
    ffi: flag("ffi"),
    end: words.slice(words.findIndex((word) => word.endsWith("/main.js")) + 1),
  };
}

Deno.test("launcher: a client under tor writes to its state folder only", async () => {
  const folder = await Deno.makeTempDir();
  const state = `${folder}/a b/pt_state/`;
  const { cache, temporary, read, write, net, ffi, end } = await started(
    { TOR_PT_STATE_LOCATION: state, TOR_PT_CLIENT_TRANSPORTS: "mimic" },
    ...["--model", "/m/one.json", "--unsafe-logging", "--model=/m/two.json"],
  );
  assert.deepEqual(write, [`--allow-write=${state}`]);
  assert.deepEqual(read, [
    `--allow-read=LIB,${state},${folder}/a b/fingerprint,/m/one.json,/m/two.json`,
  ]);
  assert.deepEqual(net, ["--allow-net"]);
  assert.deepEqual(ffi, [`--allow-ffi=${OPENSSL_PATHS.join(",")}`]);
  assert.deepEqual(end, [
    ...["pt", "--model", "/m/one.json", "--unsafe-logging", "--model=/m/two.json"],
  ]);
  assert.equal(cache, `${folder}/a b/pt_state/compiled`);
  assert.equal(temporary, `${folder}/a b/pt_state`);
  assert.equal((await Deno.stat(state)).mode! & 0o777, 0o700);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("launcher: a bridge reads what torrc names, and connects to its tor and its decoy only", async () => {
  const { cache, read, write, net, ffi } = await started({
    TOR_PT_STATE_LOCATION: "/proc/none/pt_state",
    TOR_PT_SERVER_TRANSPORTS: "mimic",
    TOR_PT_SERVER_BINDADDR: "mimic-[::]:8443",
    TOR_PT_ORPORT: "127.0.0.1:9001",
    TOR_PT_EXTENDED_SERVER_PORT: "192.0.2.1:9002",
    TOR_PT_AUTH_COOKIE_FILE: "/var/lib/tor/cookie",
    TOR_PT_SERVER_TRANSPORT_OPTIONS:
      "mimic:model=https,/m/mine.json;mimic:cert=/c\\:c.pem;mimic:key=/k.pem;mimic:decoy=192.0.2.8\\:443;other:cert=/x",
  });
  assert.deepEqual(write, ["--allow-write=/proc/none/pt_state"]);
  assert.deepEqual(read, [
    "--allow-read=LIB,/proc/none/pt_state,/proc/none/fingerprint,/var/lib/tor/cookie," +
    "https,/m/mine.json,/c:c.pem,/k.pem",
  ]);
  assert.deepEqual(ffi, ["--allow-ffi"]);
  assert.deepEqual(net, [
    "--allow-net=127.0.0.1,[::1],localhost,192.0.2.8:443,[::]:8443,127.0.0.1:9001,192.0.2.1:9002",
  ]);
  // A folder that cannot be made is for the transport to tell.
  assert.equal(cache, "/dev/null");
});

Deno.test("launcher: without tor's environment a transport may write nowhere", async () => {
  const { cache, write } = await started({});
  assert.deepEqual(write, ["--allow-write=/nonexistent"]);
  assert.equal(cache, "/dev/null");
});

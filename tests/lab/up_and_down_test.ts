import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { missingFor } from "../../lab/needs.ts";
import { CLIENT_ADDRESS, denoCache, SERVER_ADDRESS } from "../../lab/network.ts";
import { run, Running } from "../../lab/process.ts";

const missing = await missingFor([]);
const ignore = missing.length > 0;
const why = ignore ? ` (ignored: ${missing[0]})` : "";
const main = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));

function lab(...args: string[]): Running {
  return new Running([
    ...[Deno.execPath(), "run", "--quiet", "--no-prompt", "--allow-read", "--allow-write"],
    ...["--allow-run=env", "--allow-env=NO_COLOR,FORCE_COLOR,CLICOLOR_FORCE,HOME,TMPDIR,DENO_DIR"],
    ...[main, "lab", ...args],
  ], { env: { NO_COLOR: "1", ...denoCache() } });
}

interface Ends {
  readonly ends: readonly { readonly address: string; readonly namespace: string }[];
}

async function up(...args: string[]): Promise<{ program: Running; namespaces: string[] }> {
  const program = lab("up", "--json", ...args);
  await program.said(/^}$/m, 30_000);
  const { ends } = JSON.parse(program.output) as Ends;
  assert.deepEqual(ends.map(({ address }) => address), [CLIENT_ADDRESS, SERVER_ADDRESS]);
  for (const { address, namespace } of ends) {
    assert.ok((await run(["ip", "-n", namespace, "-o", "addr"])).includes(` ${address}/24 `));
  }
  return { program, namespaces: ends.map(({ namespace }) => namespace) };
}

async function left(namespaces: readonly string[]): Promise<string[]> {
  const names = (await run(["ip", "netns", "list"])).split("\n").map((line) => line.split(" ")[0]!);
  return namespaces.filter((name) => names.includes(name));
}

Deno.test({
  name: `privileged: lab up keeps a link until it is interrupted, and leaves nothing${why}`,
  ignore,
  fn: async () => {
    const { program, namespaces } = await up("--link", "mobile");
    // Whatever runs inside goes with it.
    const inside = new Running(["ip", "netns", "exec", namespaces[0]!, "sleep", "60"]);
    assert.equal((await program.stop("SIGINT", 10_000)).code, 130);
    assert.deepEqual(await left(namespaces), []);
    assert.notEqual((await inside.ended(1000)).code, 0);
  },
});

Deno.test({
  name:
    `privileged: lab down removes what a killed run left, and lab up ends after --seconds${why}`,
  ignore,
  fn: async () => {
    const [killed, ended] = await Promise.all([up(), up("--seconds", "1")]);
    await killed.program.stop("SIGKILL");
    assert.equal((await ended.program.ended(10_000)).code, 0);
    assert.deepEqual(await left(ended.namespaces), []);
    assert.deepEqual(await left(killed.namespaces), killed.namespaces);
    const down = lab("down");
    assert.equal((await down.ended(20_000)).code, 0);
    for (const name of killed.namespaces) assert.ok(down.output.includes(name));
    assert.deepEqual(await left(killed.namespaces), []);
  },
});

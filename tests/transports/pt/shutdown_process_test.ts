import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { TextLineStream } from "../text_lines.ts";
import {
  bytesOf,
  CLIENT,
  connectRequest,
  echo,
  PtProcess,
  SERVER,
  serveTcp,
  Wire,
} from "./harness.ts";

/** A client with one connection that is open. */
async function busy(env: Record<string, string> = {}) {
  const bridge = await serveTcp(echo);
  const process = await PtProcess.start({ ...CLIENT, ...env });
  const { host, port } = await process.method();
  const wire = await Wire.open(host, port);
  wire.send([5, 1, 0, ...connectRequest("127.0.0.1", bridge.port)]);
  await wire.read(12);
  return {
    process,
    wire,
    host,
    port,
    [Symbol.asyncDispose]: async () => {
      wire.socket.destroy();
      await process[Symbol.asyncDispose]();
      await bridge[Symbol.asyncDispose]();
    },
  };
}

Deno.test("the end of standard input ends it, when tor asked for that", async () => {
  await using it = await busy({ TOR_PT_EXIT_ON_STDIN_CLOSE: "1" });
  await it.process.type("ignored\n");
  await it.process.closeStdin();
  assert.deepEqual(await it.process.rest(), { lines: [], code: 0 });
});

for (const value of ["", "0", "11", "yes"]) {
  Deno.test(`the end of standard input is ignored with "${value}"`, async () => {
    await using it = await busy({ TOR_PT_EXIT_ON_STDIN_CLOSE: value });
    await it.process.closeStdin();
    it.wire.send("still here").socket.end();
    assert.deepEqual(await it.wire.all(), bytesOf("still here"));
  });
}

Deno.test("SIGTERM ends it at once, client and server", async () => {
  await using it = await busy();
  it.process.kill("SIGTERM");
  assert.equal((await it.process.rest()).code, 0);
  await using server = await PtProcess.start(SERVER);
  await server.method();
  server.kill("SIGTERM");
  assert.equal((await server.rest()).code, 0);
});

Deno.test("the first SIGINT closes the listeners and waits; the last connection ends it", async () => {
  await using it = await busy();
  it.process.kill("SIGINT");
  for (;;) {
    // It takes a moment for the signal to arrive.
    const refused = await Wire.open(it.host, it.port).then((wire) => wire.socket.destroy(), String);
    if (typeof refused === "string") break;
  }
  it.wire.send("drained").socket.end();
  assert.deepEqual(await it.wire.all(), bytesOf("drained"));
  assert.equal((await it.process.rest()).code, 0);
});

Deno.test("the second SIGINT ends it at once", async () => {
  await using it = await busy();
  it.process.kill("SIGINT");
  for (;;) {
    const refused = await Wire.open(it.host, it.port).then((wire) => wire.socket.destroy(), String);
    if (typeof refused === "string") break;
  }
  it.process.kill("SIGINT");
  assert.equal((await it.process.rest()).code, 0);
});

Deno.test("the death of the parent ends it", async () => {
  const folder = await Deno.makeTempDir({ prefix: "pt-" });
  const toy = fileURLToPath(new URL("toy.ts", import.meta.url));
  // A shell starts it and goes when it reads a line; standard output stays with us.
  const script = `"$0" run --no-prompt --no-check --quiet --allow-net --allow-env --allow-read ` +
    `--allow-write "$1" & read -r _`;
  const shell = new Deno.Command("sh", {
    args: ["-c", script, Deno.execPath(), toy],
    env: { ...CLIENT, TOR_PT_STATE_LOCATION: `${folder}/pt` },
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const lines = shell.stdout.pipeThrough(new TextDecoderStream())
    .pipeThrough(new TextLineStream()).getReader();
  try {
    while ((await lines.read()).value !== "CMETHODS DONE");
    await shell.stdin.close();
    await shell.status;
    assert.deepEqual(await lines.read(), { done: true, value: undefined });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

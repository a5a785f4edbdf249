// Users who come and go while their server runs.
import assert from "node:assert/strict";
import net from "node:net";
import {
  formatSecret,
  newSecret,
  parseLine,
  readLines,
  startClient,
  startServer,
} from "../../transports/mimic/mod.ts";
import { CommandProcess, curl, HAS_CURL } from "./processes.ts";
import { FAST_MODEL, FAST_MODEL_FILE, noise, webServer } from "./world.ts";

Deno.test("users: one is added and one removed under running tunnels; a bad file changes nothing", async () => {
  const folder = await Deno.makeTempDir();
  const [state, blob] = [`${folder}/state`, noise(50_000)];
  const web = webServer("127.0.0.1", blob);
  const warnings: string[] = [];
  const server = await startServer({
    listen: { host: "127.0.0.1", port: 0 },
    models: [FAST_MODEL],
    state,
    allowPrivate: true,
    onWarning: (text) => warnings.push(text),
  });
  const connect = (line: string) =>
    startClient({
      line: parseLine(line),
      model: FAST_MODEL,
      seed: crypto.getRandomValues(new Uint8Array(32)),
      forwards: [{
        local: { host: "127.0.0.1", port: 0 },
        destination: { host: "127.0.0.1", port: web.addr.port },
      }],
    });
  const download = async (client: Awaited<ReturnType<typeof connect>>) => {
    const answer = await fetch(`http://127.0.0.1:${client.doors[0]!.port}/blob`);
    assert.deepEqual(new Uint8Array(await answer.arrayBuffer()), new Uint8Array(blob));
  };
  const first = await connect(server.line);
  await download(first);

  // Added, after a line that somebody left without an end.
  const [old, added] = [parseLine(server.line).secret, newSecret()];
  await Deno.writeTextFile(`${state}/secrets`, `${formatSecret(old)}\n\n${formatSecret(added)}`);
  await server.users.check();
  const lines = await readLines(state);
  assert.equal(lines.length, 2);
  const second = await connect(lines[1]!);
  await download(second);
  await download(first);
  assert.equal(server.server.tunnels, 2);

  // What cannot be used changes nothing, and is said once.
  for (const text of ["", "short\n", `${formatSecret(old)}\nshort\n`]) {
    await Deno.writeTextFile(`${state}/secrets`, text);
    await server.users.check();
    await server.users.check();
  }
  await Deno.remove(`${state}/secrets`);
  await server.users.check();
  assert.equal(warnings.length, 4, warnings.join("\n"));
  assert.match(warnings[2]!, /secrets, line 2: .*: the users before stay$/);
  await download(first);
  await download(second);

  // The first is removed in the middle of a connection: that breaks, the other user's tunnel goes on.
  const open = net.connect(first.doors[0]!.port, "127.0.0.1");
  await new Promise((resolve) => open.once("connect", resolve));
  const broken = new Promise((resolve) => open.once("close", resolve));
  open.on("error", () => {});
  const done = assert.rejects(first.done, /does not know this secret/);
  const { tunnels } = server.server;
  await Deno.writeTextFile(`${state}/secrets`, `${formatSecret(added)}\n`);
  await server.users.check();
  assert.equal(server.server.tunnels, tunnels - 1);
  await done;
  await broken;
  await download(second);
  await assert.rejects(connect(server.line), /does not know this secret/);
  // The line that is kept is the one of who is first now.
  assert.equal((await Deno.readTextFile(`${state}/line`)).trim(), lines[1]);
  assert.deepEqual(await readLines(state), [lines[1]]);

  for (const client of [first, second]) await client.close();
  await server.close();
  await web.shutdown();
  await Deno.remove(folder, { recursive: true });
});

Deno.test({
  name: "users: keygen --append and SIGHUP let one in while the server runs",
  ignore: !HAS_CURL || Deno.build.os === "windows",
  fn: async () => {
    const folder = await Deno.makeTempDir();
    const [state, model] = [`${folder}/state`, `${folder}/fast.json`];
    await Deno.writeTextFile(model, FAST_MODEL_FILE);
    const web = webServer("127.0.0.1", noise(1000));
    const server = new CommandProcess("server", [
      ...["--listen", "127.0.0.1:0", "--model", model, "--state", state],
      ...["--allow-private", "--verbose"],
    ]);
    await server.line();
    const keygen = new CommandProcess("keygen", ["--append", `${state}/secrets`]);
    assert.equal((await keygen.ended()).code, 0);
    // No empty line: who removes line 2 of the file shuts user 2 out.
    assert.match(await Deno.readTextFile(`${state}/secrets`), /^[\w-]{43}\n[\w-]{43}\n$/);
    server.kill("SIGHUP");
    const lines = new CommandProcess("bridge-line", ["--state", state, "--user", "2"]);
    const client = new CommandProcess("client", [
      ...["--line", await lines.line(), "--model", model, "--json"],
      ...["--forward", `127.0.0.1:0=127.0.0.1:${web.addr.port}`],
    ]);
    const { doors } = JSON.parse(await client.line());
    const { code, body } = await curl(`http://127.0.0.1:${doors[0].port}/blob`);
    assert.deepEqual([code, body.length], [0, 1000]);
    await client.stop();
    assert.equal((await server.stop()).code, 0);
    assert.match(await server.stderr, /users were read anew: 2/);
    await lines.ended();
    await web.shutdown();
    await Deno.remove(folder, { recursive: true });
  },
});

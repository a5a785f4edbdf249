import assert from "node:assert/strict";
import { CommandProcess, curl, HAS_CURL } from "./processes.ts";
import { FAST_MODEL_FILE, noise, webServer } from "./world.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

Deno.test({
  name: "processes: curl through a tm-client and a tm-server, all doors, names and addresses",
  ignore: !HAS_CURL,
  fn: async (t) => {
    const folder = await Deno.makeTempDir();
    const model = `${folder}/fast.json`;
    await Deno.writeTextFile(model, FAST_MODEL_FILE);
    const blob = noise(300_000);
    const web = webServer("127.0.0.1", blob);
    const web6 = webServer("::1", blob);
    const base = `http://127.0.0.1:${web.addr.port}`;

    const server = new CommandProcess("server", [
      ...["--listen", "127.0.0.1:0", "--model", model, "--state", `${folder}/state`],
      ...["--allow-private", "--wire-log", `${folder}/server.jsonl`],
    ]);
    const line = await server.line();
    const client = new CommandProcess("client", [
      ...["--line-file", `${folder}/state/line`],
      ...["--model", model, "--socks", "127.0.0.1:0", "--sessions", "2", "--json"],
      ...["--forward", `127.0.0.1:0=127.0.0.1:${web.addr.port}`, "--seed", "00ff"],
      ...["--wire-log", `${folder}/client.jsonl`],
    ]);
    const ready = JSON.parse(await client.line());
    assert.equal(ready.ready, true);
    const [socks, forward] = ready.doors;
    const proxy = ["--socks5-hostname", `127.0.0.1:${socks.port}`];

    await t.step("a download is complete", async () => {
      const { code, body, error } = await curl(...proxy, `${base}/blob`);
      assert.equal(code, 0, error);
      assert.deepEqual(body, new Uint8Array(blob));
    });
    await t.step("an upload comes back complete", async () => {
      await Deno.writeFile(`${folder}/blob`, blob);
      const upload = ["--data-binary", `@${folder}/blob`, "--header", "Expect:"];
      const { code, body, error } = await curl(...proxy, ...upload, `${base}/echo`);
      assert.equal(code, 0, error);
      assert.deepEqual(body, new Uint8Array(blob));
    });
    await t.step("a name is resolved at the far end", async () => {
      const { code, body, error } = await curl(...proxy, `http://localhost:${web.addr.port}/`);
      assert.equal(code, 0, error);
      assert.equal(text(body), "nothing here");
    });
    await t.step("an IPv6 destination", async () => {
      const address = `http://[::1]:${web6.addr.port}/blob`;
      const { code, body, error } = await curl("--socks5", `127.0.0.1:${socks.port}`, address);
      assert.equal(code, 0, error);
      assert.deepEqual(body, new Uint8Array(blob));
    });
    await t.step("the forwarding door, many at once", async () => {
      const all = await Promise.all(
        Array.from({ length: 8 }, () => curl(`http://127.0.0.1:${forward.port}/blob`)),
      );
      for (const { code, body } of all) {
        assert.equal(code, 0);
        assert.deepEqual(body, new Uint8Array(blob));
      }
    });
    await t.step("a destination that refuses, a name that does not exist", async () => {
      const closed = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      closed.close();
      const refused = await curl(...proxy, `http://127.0.0.1:${closed.addr.port}/`);
      assert.equal(refused.code, 97);
      assert.match(refused.error, /\(5\)/);
      const unknown = await curl(...proxy, "http://no-such-host.invalid/");
      assert.equal(unknown.code, 97);
      assert.match(unknown.error, /\(4\)/);
    });
    await t.step("a stranger sees a web page", async () => {
      const address = /^mimic (\S+)/.exec(line)![1];
      const { code, body } = await curl("--insecure", `https://${address}/`);
      assert.equal(code, 0);
      assert.match(text(body), /^<!DOCTYPE html>/);
      const missing = await curl("--insecure", "--head", `https://${address}/missing`);
      assert.match(text(missing.body), /^HTTP\/1.1 404/);
    });

    const ended = await client.stop();
    assert.equal(ended.code, 0);
    const { stopped, stats } = JSON.parse(ended.rest[0]!);
    assert.equal(stopped, true);
    assert.ok(stats.completed > 10 && stats.data > 300_000);
    assert.equal((await server.stop()).code, 0);
    assert.equal(await client.stderr, "");
    assert.equal(await server.stderr, "");
    await Promise.all([web.shutdown(), web6.shutdown()]);

    const events = async (file: string) =>
      (await Deno.readTextFile(file)).trimEnd().split("\n").map((json) => JSON.parse(json));
    const [sent, seen] = [
      await events(`${folder}/client.jsonl`),
      await events(`${folder}/server.jsonl`),
    ];
    const opened = (log: { what: string; connection: string }[]) =>
      log.filter(({ what }) => what === "open").map(({ connection }) => connection);
    // The client's end may cut one off before its proof has reached the server.
    const unseen = opened(sent).filter((port) => !opened(seen).includes(port));
    assert.deepEqual(unseen, opened(sent).slice(opened(sent).length - unseen.length));
    assert.ok(unseen.length <= 2, `the server has not seen ${unseen}`);
    assert.deepEqual(
      opened(seen).sort(),
      opened(sent).filter((port) => !unseen.includes(port)).sort(),
      "both ends name a connection by the client's port",
    );
    for (const { what, size, control, data, padding } of [...sent, ...seen]) {
      if (what === "record") assert.equal(control + data + padding + 22, size);
    }
    const mode = (await Deno.stat(`${folder}/state/key.pem`)).mode! & 0o777;
    assert.equal(mode, 0o600);
    assert.equal((await Deno.stat(`${folder}/state`)).mode! & 0o777, 0o700);
    await Deno.remove(folder, { recursive: true });
  },
});

Deno.test("processes: what is wrong is one clear line and exit code 1, or 2 for wrong usage", async () => {
  const folder = await Deno.makeTempDir();
  const model = `${folder}/fast.json`;
  await Deno.writeTextFile(model, FAST_MODEL_FILE);
  const ssh = `${folder}/ssh.json`;
  await Deno.writeTextFile(ssh, FAST_MODEL_FILE.replace('"tls"', '"ssh"'));
  const server = new CommandProcess("server", [
    ...["--listen", "127.0.0.1:0", "--model", model, "--state", `${folder}/state`],
    ...["--schedule", "demand", "--sessions", "3", "--seed", "00ff"],
  ]);
  const line = await server.line();
  assert.match(line, / schedule=demand sessions=3$/);
  const address = /^mimic (\S+)/.exec(line)![1]!;
  const wrong = (part: RegExp, other: string) => line.replace(part, other);
  const other = await Promise.all([new CommandProcess("keygen", []).line()]);
  const state = ["--state", `${folder}/other`, "--model", model];
  const door = ["--model", model, "--socks", "127.0.0.1:0"];
  const cases: [string, string[], number, RegExp][] = [
    ["server", ["--listen", address, ...state], 1, /cannot listen on .*in use.*--listen/],
    [
      "server",
      ["--listen", "192.0.2.1:8443", ...state],
      1,
      /does not have that address: .*--listen/,
    ],
    ["server", ["--state", "/proc/state"], 1, /\/proc\/state: .*belongs to the system/],
    ["server", [...state, "--sessions", "17"], 2, /from 1 to 16/],
    ["client", [line, "--model", model, "--socks", address], 1, /in use: .*--socks/],
    [
      "client",
      [wrong(/secret=\S+/, `secret=${other[0]}`), ...door],
      1,
      /does not know this secret/,
    ],
    ["client", [wrong(/cert=\S+/, `cert=${"A".repeat(43)}`), ...door], 1, /shows another key/],
    [
      "client",
      [line, ...door, "--connect", "127.0.0.1:1", "--attempts", "2"],
      1,
      /cannot connect to 127.0.0.1:1: refused \(tried 2 times\)/,
    ],
    ["client", ["mimic 127.0.0.1:1 cert=x", ...door], 1, /cert= is not a SHA-256/],
    ["client", [line, "--model", ssh], 1, /learned for the carrier ssh.*--carrier tls/],
    ["client", [line, "--model", `${folder}/none.json`], 1, /none.json: no such model file/],
    ["server", [...state, "--cert", `${folder}/none.pem`], 2, /--cert and --key go together/],
    ["client", [line, ...door, "--forward", "nonsense"], 2, /LOCAL=HOST:PORT/],
    ["client", [line, ...door, "--sessions", "0"], 2, /from 1 to 16/],
    ["client", door, 2, /give the server's line once/],
  ];
  for (let at = 0; at < cases.length; at += 4) {
    await Promise.all(
      cases.slice(at, at + 4).map(async ([command, args, code, message]) => {
        const run = new CommandProcess(command, args);
        const ended = await run.ended();
        const said = (await run.stderr).split("\n").filter((text) => !text.startsWith("note: "));
        assert.match(said[0]!, /^error: /);
        assert.match(said[0]!, message);
        assert.equal(said.length, 2, `one line, not ${JSON.stringify(said)}`);
        assert.equal(ended.code, code, said[0]);
        assert.deepEqual(ended.rest, []);
      }),
    );
  }
  assert.equal((await server.stop()).code, 0);
  await Deno.remove(folder, { recursive: true });
});

// The transport `mimic` as processes that the test starts as tor does, without tor.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { formatLine, lineOf, parseLine } from "../../transports/mimic/line.ts";
import { formatSecret, newSecret } from "../../transports/mimic/proof.ts";
import { startClient } from "../../transports/mimic/standalone.ts";
import { makeIdentity } from "../../transports/carriers/mod.ts";
import { builtinModel } from "../../models/registry.ts";
import { encodeClientArgs, PT_VARIABLES } from "../../transports/pt/mod.ts";
import { serveTcp, Wire } from "./pt/harness.ts";
import { TextLineStream } from "./text_lines.ts";

const MAIN = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));
const OFFERED = "TOR_PT_MANAGED_TRANSPORT_VER";

/** `main.ts pt` as a process. */
class Transport implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #reader: ReadableStreamDefaultReader<string>;
  /** All lines so far. */
  readonly lines: string[] = [];

  constructor(env: Record<string, string>, args: string[] = []) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        ...[
          "run",
          "--no-prompt",
          "--no-check",
          "--quiet",
          "--allow-net",
          "--allow-read",
          "--allow-ffi",
        ],
        // Nowhere else may be written.
        `--allow-write=${env.TOR_PT_STATE_LOCATION}`,
        `--allow-env=${["NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", ...PT_VARIABLES].join(",")}`,
        ...[MAIN, "pt", ...args],
      ],
      env: { NO_COLOR: "1", [OFFERED]: "1", TOR_PT_EXIT_ON_STDIN_CLOSE: "1", ...env },
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#reader = this.#child.stdout.pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream()).getReader();
  }

  /** Reads lines up to one that matches, which it returns. */
  async until(pattern: RegExp): Promise<string> {
    for (;;) {
      const { done, value } = await this.#reader.read();
      if (done) throw new Error(`ended after ${this.lines.join("\n")}`);
      this.lines.push(value);
      if (pattern.test(value)) return value;
    }
  }

  /** Sends a signal. */
  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /** Ends it as tor does; returns the exit code. */
  async stop(): Promise<number> {
    await this.#child.stdin.close().catch(() => {});
    return await this.ended();
  }

  /** Waits for its end; returns the exit code. */
  async ended(): Promise<number> {
    for (;;) {
      const { done, value } = await this.#reader.read();
      if (done) break;
      this.lines.push(value);
    }
    return (await this.#child.status).code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** A server transport in front of an ORPort at `orPort`. */
async function startBridge(state: string, orPort: number, options: string, args: string[] = []) {
  const bridge = new Transport({
    TOR_PT_STATE_LOCATION: state,
    TOR_PT_SERVER_TRANSPORTS: "mimic",
    TOR_PT_SERVER_BINDADDR: "mimic-127.0.0.1:0",
    TOR_PT_ORPORT: `127.0.0.1:${orPort}`,
    TOR_PT_SERVER_TRANSPORT_OPTIONS: options,
  }, args);
  const method = await bridge.until(/^SMETHOD(-ERROR)? /);
  await bridge.until(/^SMETHODS DONE$/);
  return { bridge, method };
}

/** The port and the arguments in an SMETHOD line. */
function argsOf(method: string): { port: number; args: Record<string, string> } {
  const [, port, text] = /^SMETHOD mimic 127\.0\.0\.1:(\d+) ARGS:(\S+)$/.exec(method)!;
  const args = Object.fromEntries(
    text!.split(/(?<!\\),/).map((pair) => {
      const [key, value] = pair.split(/(?<!\\)=/);
      return [key!, value!.replaceAll(/\\(.)/g, "$1")];
    }),
  );
  return { port: Number(port), args };
}

async function startTorClient(state: string) {
  const transport = new Transport({
    TOR_PT_STATE_LOCATION: state,
    TOR_PT_CLIENT_TRANSPORTS: "mimic",
  });
  const method = await transport.until(/^CMETHOD /);
  await transport.until(/^CMETHODS DONE$/);
  return { transport, socks: Number(/:(\d+)$/.exec(method)![1]) };
}

/** A bridge before an echo, and a client's transport; all of it ends with the test. */
async function startBoth() {
  const folder = await Deno.makeTempDir({ prefix: "mimic-pt-" });
  const tor = await serveTcp(echo);
  const { bridge, method } = await startBridge(folder, tor.port, "mimic:model=constant-rate");
  const { transport, socks } = await startTorClient(`${folder}/client/`);
  return {
    bridge,
    transport,
    socks,
    ...argsOf(method),
    [Symbol.asyncDispose]: async () => {
      await transport.stop();
      await bridge.stop();
      await tor[Symbol.asyncDispose]();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

/** Asks a client transport for a connection, as tor does; returns the wire and the reply's code. */
async function ask(socks: number, port: number, args: Record<string, string>) {
  const wire = await Wire.open("127.0.0.1", socks);
  const text = new TextEncoder().encode(encodeClientArgs(args));
  const [user, password] = [text.subarray(0, 255), text.subarray(255)];
  wire.send([5, 2, 0, 2]);
  assert.deepEqual(await wire.read(2), [5, 2]);
  wire.send([1, user.length, ...user, Math.max(1, password.length)]);
  wire.send(password.length > 0 ? password : [0]);
  assert.deepEqual(await wire.read(2), [1, 0]);
  wire.send([5, 1, 0, 1, 127, 0, 0, 1, port >> 8, port & 255]);
  const reply = await wire.read(10);
  return { wire, code: reply[1]! };
}

const echo = (wire: Wire) => {
  wire.socket.pipe(wire.socket);
};

Deno.test("mimic under tor: what goes into SOCKS comes out at the ORPort, one tunnel for all", async () => {
  const folder = await Deno.makeTempDir({ prefix: "mimic-pt-" });
  await using tor = await serveTcp(echo);
  const options = "mimic:model=constant-rate;mimic:sessions=4";
  const { bridge, method } = await startBridge(`${folder}/server/`, tor.port, options, [
    "--unsafe-logging",
  ]);
  const { port, args } = argsOf(method);
  assert.deepEqual(Object.keys(args), ["cert", "secret", "model", "digest", "carrier", "sessions"]);
  const { transport, socks } = await startTorClient(`${folder}/client/`);
  try {
    const one = await ask(socks, port, args);
    const two = await ask(socks, port, args);
    assert.deepEqual([one.code, two.code], [0, 0]);
    for (const [index, { wire }] of [one, two].entries()) {
      const bytes = crypto.getRandomValues(new Uint8Array(3000 + index));
      wire.send(bytes);
      assert.deepEqual(await wire.read(bytes.length), [...bytes]);
      wire.socket.end();
      assert.deepEqual(await wire.all(), []);
    }
    // Arguments that cannot be used, and a server that is not there.
    assert.equal((await ask(socks, port, { ...args, cert: "short" })).code, 1);
    assert.equal((await ask(socks, port, { ...args, sessions: "17" })).code, 1);
    assert.equal((await ask(socks, port, { ...args, model: "unheard_of" })).code, 1);
    assert.equal((await ask(socks, 1, args)).code, 5);
    const { secret: _, ...without } = args;
    assert.equal((await ask(socks, port, without)).code, 1);
  } finally {
    assert.equal(await transport.stop(), 0);
    assert.equal(await bridge.stop(), 0);
  }
  const begun = bridge.lines.filter((line) => line.includes("begins a tunnel from 127.0.0.1"));
  assert.equal(begun.length, 1, bridge.lines.join("\n"));
  assert.ok(
    transport.lines.some((line) => /^LOG SEVERITY=warning .*secret= is missing/.test(line)),
  );
  assert.ok(transport.lines.every((line) => !/MESSAGE=.*127\.0\.0\.1/.test(line)));
  await Deno.remove(folder, { recursive: true });
});

Deno.test("mimic under tor: keys outlive a restart, the state is for its owner, the line is ready", async () => {
  const folder = await Deno.makeTempDir({ prefix: "mimic-pt-" });
  const fingerprint = "0123456789ABCDEF0123456789ABCDEF01234567";
  await Deno.writeTextFile(`${folder}/fingerprint`, `nickname ${fingerprint}\n`);
  const state = `${folder}/pt_state/`;
  const options =
    "mimic:name=www.example.org;mimic:alpn=h2,http/1.1;mimic:advertise=192.0.2.7\\:443;mimic:schedule=demand";
  const seen: Record<string, string>[] = [];
  for (let start = 0; start < 2; start++) {
    const { bridge, method } = await startBridge(state, 9, options);
    seen.push(argsOf(method).args);
    // Tor writes lines of its own, where it takes every comma for the end of an argument.
    assert.doesNotMatch(method, /\\/);
    assert.equal(await bridge.stop(), 0);
  }
  assert.deepEqual(seen[0], seen[1]);
  assert.equal(seen[0]!.sni, "www.example.org");
  assert.equal(seen[0]!.schedule, "demand");
  assert.equal(seen[0]!.alpn, "h2+http/1.1");
  for (const path of [state, `${state}mimic`]) {
    assert.equal((await Deno.stat(path)).mode! & 0o777, 0o700);
  }
  for await (const { name } of Deno.readDir(`${state}mimic`)) {
    assert.equal((await Deno.stat(`${state}mimic/${name}`)).mode! & 0o777, 0o600, name);
  }
  const text = (await Deno.readTextFile(`${state}mimic/bridge_line`)).trim();
  const [word, name, address, seal, ...words] = text.split(" ");
  assert.deepEqual([word, name, address, seal], ["Bridge", "mimic", "192.0.2.7:443", fingerprint]);
  assert.deepEqual(Object.fromEntries(words.map((pair) => pair.split("=", 2))), seen[0]);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("mimic under tor: the operator's own certificate, and users who come while it runs", async () => {
  const folder = await Deno.makeTempDir({ prefix: "mimic-pt-" });
  const { certificate, key, pin } = await makeIdentity("www.example.org");
  await Deno.writeTextFile(`${folder}/my:cert.pem`, certificate);
  await Deno.writeTextFile(`${folder}/key.pem`, key);
  await using tor = await serveTcp(echo);
  const state = `${folder}/state`;
  const { bridge, method } = await startBridge(
    state,
    tor.port,
    `mimic:model=constant-rate;mimic:cert=${folder}/my\\:cert.pem;mimic:key=${folder}/key.pem`,
  );
  const { port, args } = argsOf(method);
  assert.equal(args.cert, pin);
  const { transport, socks } = await startTorClient(`${folder}/client/`);
  try {
    const secret = formatSecret(newSecret());
    await Deno.writeTextFile(`${state}/mimic/secrets`, `${secret}\n`);
    await bridge.until(/users were read anew: 1/);
    // The one before is shut out, the bridge line is the new one's.
    assert.equal((await ask(socks, port, args)).code, 1);
    assert.equal((await ask(socks, port, { ...args, secret })).code, 0);
    assert.ok((await Deno.readTextFile(`${state}/mimic/bridge_line`)).includes(secret));
  } finally {
    await transport.stop();
    await bridge.stop();
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("mimic under tor: options that cannot be used are told in one line", async () => {
  const folder = await Deno.makeTempDir({ prefix: "mimic-pt-" });
  for (
    const [options, said] of [
      ["mimic:nosuch=1", /"nosuch" is unknown/],
      ["mimic:cert=/tmp/x.pem", /cert= and key= go together/],
      ["mimic:cert=/nonexistent/c;mimic:key=/nonexistent/k", /c: cannot be read/],
      ["mimic:schedule=later", /schedule= is one of strict, /],
      ["mimic:sessions=99", /sessions= is not a number from 1 to 16/],
      ["mimic:decoy=here", /decoy=.*expected HOST:PORT/],
      ["mimic:model=nosuch", /no such model/],
      ["mimic:model=https,ssh", /learned for the carrier ssh/],
      [`mimic:name=${"n".repeat(250)}${";mimic:alpn=" + "a".repeat(99)}`, /tor takes 510/],
    ] as const
  ) {
    const { bridge, method } = await startBridge(`${folder}/state`, 9, options);
    assert.match(method, /^SMETHOD-ERROR mimic /);
    assert.match(method, said);
    await bridge.stop();
  }
  await Deno.remove(folder, { recursive: true });
});

Deno.test("mimic under tor: a bridge leads to its tor and to nothing else", async () => {
  const folder = await Deno.makeTempDir({ prefix: "mimic-pt-" });
  await using tor = await serveTcp(echo);
  await using other = await serveTcp(echo);
  const { bridge, method } = await startBridge(folder, tor.port, "mimic:model=constant-rate");
  const { port, args } = argsOf(method);
  const address = { host: "127.0.0.1", port };
  const client = await startClient({
    line: parseLine(formatLine(lineOf(address, new Map(Object.entries(args))))),
    model: await builtinModel("constant-rate"),
    seed: crypto.getRandomValues(new Uint8Array(32)),
    socks: { host: "127.0.0.1", port: 0 },
  });
  try {
    const wire = await Wire.open("127.0.0.1", client.doors[0]!.port);
    wire.send([5, 1, 0]);
    await wire.read(2);
    wire.send([5, 1, 0, 1, 127, 0, 0, 1, other.port >> 8, other.port & 255]);
    assert.equal((await wire.read(2))[1], 2);
  } finally {
    await client.close();
    await bridge.stop();
    await Deno.remove(folder, { recursive: true });
  }
});

/** Whether a port takes connections. */
const takes = (port: number) =>
  Wire.open("127.0.0.1", port).then((wire) => {
    wire.socket.destroy();
    return true;
  }, () => false);

/** A moment later. */
const soon = () => new Promise((resolve) => setTimeout(resolve, 20));

Deno.test("mimic under tor: at the first SIGINT a bridge listens no more, what is open comes to its end", async () => {
  const folder = await Deno.makeTempDir({ prefix: "mimic-pt-" });
  await using tor = await serveTcp(echo);
  const { bridge, method } = await startBridge(
    `${folder}/server/`,
    tor.port,
    "mimic:model=constant-rate;mimic:sessions=4",
  );
  const { port, args } = argsOf(method);
  const { transport, socks } = await startTorClient(`${folder}/client/`);
  try {
    const { wire, code } = await ask(socks, port, args);
    assert.equal(code, 0);
    wire.send("before");
    await wire.read(6);
    bridge.kill("SIGINT");
    while (await takes(port)) await soon();
    // On the cover connections that are open the stream goes on and comes to its end.
    const bytes = crypto.getRandomValues(new Uint8Array(3000));
    wire.send(bytes);
    assert.deepEqual(await wire.read(bytes.length), [...bytes]);
    wire.socket.end();
    assert.deepEqual(await wire.all(), []);
    // And the bridge ends with the last of them, by itself.
    assert.equal(await bridge.ended(), 0);
  } finally {
    await transport.stop();
    await bridge.stop();
  }
  await Deno.remove(folder, { recursive: true });
});

Deno.test("mimic under tor: at the first SIGINT a bridge reaches its tor no more; the second ends it", async () => {
  await using both = await startBoth();
  const { bridge, socks, port, args } = both;
  assert.equal((await ask(socks, port, args)).code, 0);
  bridge.kill("SIGINT");
  while (await takes(port)) await soon();
  assert.equal((await ask(socks, port, args)).code, 2);
  bridge.kill("SIGINT");
  assert.equal(await bridge.ended(), 0);
});

Deno.test("mimic under tor: a client's first SIGINT closes its door, the last connection ends it", async () => {
  await using both = await startBoth();
  const { transport, socks, port, args } = both;
  const { wire } = await ask(socks, port, args);
  transport.kill("SIGINT");
  while (await takes(socks)) await soon();
  wire.send("still there").socket.end();
  assert.deepEqual(await wire.all(), [...new TextEncoder().encode("still there")]);
  assert.equal(await transport.ended(), 0);
});

Deno.test("mimic under tor: SIGTERM ends both ends at once", async () => {
  await using both = await startBoth();
  const { transport, bridge, socks, port, args } = both;
  const { wire } = await ask(socks, port, args);
  transport.kill("SIGTERM");
  assert.equal(await transport.ended(), 0);
  // What tor had is torn, not ended as if it were whole.
  assert.deepEqual(await wire.all(), []);
  bridge.kill("SIGTERM");
  assert.equal(await bridge.ended(), 0);
});

import assert from "node:assert/strict";
import {
  type PluggableTransport,
  type PtRuntime,
  runPluggableTransport,
  splice,
  type Timers,
} from "../../../transports/pt/mod.ts";
import { CLIENT, connectRequest, SERVER, serveTcp, Wire } from "./harness.ts";

/** Time that passes when told. */
class VirtualTimers implements Timers {
  #now = 0;
  readonly #waiting = new Set<{ at: number; run: () => void }>();

  after(milliseconds: number, run: () => void): () => void {
    const timer = { at: this.#now + milliseconds, run };
    this.#waiting.add(timer);
    return () => this.#waiting.delete(timer);
  }

  /** How many timers end exactly so many milliseconds from now. */
  ending(milliseconds: number): number {
    return [...this.#waiting].filter(({ at }) => at === this.#now + milliseconds).length;
  }

  advance(milliseconds: number): void {
    this.#now += milliseconds;
    for (const timer of this.#waiting) {
      if (timer.at > this.#now) continue;
      this.#waiting.delete(timer);
      timer.run();
    }
  }
}

/** A transport whose parent is the test. */
async function play(transport: PluggableTransport, env: Record<string, string>) {
  const state = await Deno.makeTempDir({ prefix: "pt-" });
  const timers = new VirtualTimers();
  const lines: string[] = [];
  const signals = new Map<string, () => void>();
  const parent = { id: 77, deaf: false };
  let told = () => {};
  const runtime: PtRuntime = {
    timers,
    variable: (name) => ({ TOR_PT_STATE_LOCATION: state, ...env } as Record<string, string>)[name],
    writeLine: (line) => {
      if (parent.deaf) throw new Deno.errors.BrokenPipe();
      lines.push(line);
      told();
    },
    stdinEnd: () => new Promise(() => {}),
    onSignal: (signal, run) => {
      signals.set(signal, run);
      return () => signals.delete(signal);
    },
    parent: () => parent.id,
  };
  const code = runPluggableTransport({ ...transport, runtime });
  const line = async (pattern: RegExp) => {
    for (;;) {
      const found = lines.find((line) => pattern.test(line));
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => told = resolve);
    }
  };
  await line(/DONE|ERROR/);
  const port = Number(/:(\d+)/.exec(await line(/METHOD /))![1]);
  return {
    timers,
    lines,
    line,
    signals,
    parent,
    code,
    port,
    [Symbol.asyncDispose]: async () => {
      signals.get("SIGTERM")?.();
      assert.equal(await code, 0);
      assert.equal(signals.size, 0);
      await Deno.remove(state, { recursive: true });
    },
  };
}

/** Waits, in real time, until something is so. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

const rot: PluggableTransport = {
  client: {
    rot: async (connection) => {
      const bridge = await connection.dial();
      await splice(connection.accept(), bridge);
    },
  },
  server: { rot: async ({ socket, dialOrPort }) => splice(socket, await dialOrPort()) },
};

Deno.test("tor has 5 s for its SOCKS request", async () => {
  await using it = await play(rot, CLIENT);
  for (const part of [[], [5], [5, 1, 0], [5, 1, 2, 1, 9, 65]]) {
    using wire = await Wire.open("127.0.0.1", it.port);
    wire.send(part);
    await until(() => it.timers.ending(5000) === 1);
    it.timers.advance(4999);
    assert.equal(it.timers.ending(1), 1);
    it.timers.advance(1);
    await wire.all();
    await it.line(/the SOCKS request took longer than 5 s/);
  }
});

Deno.test("the limit ends with the request: a transport may take its time", async () => {
  await using bridge = await serveTcp(() => {});
  await using it = await play(rot, CLIENT);
  using wire = await Wire.open("127.0.0.1", it.port);
  wire.send([5, 1, 0, ...connectRequest("127.0.0.1", bridge.port)]);
  await wire.read(12);
  assert.equal(it.timers.ending(5000), 0);
});

Deno.test("a proxy that is silent for a minute is reply 6", async () => {
  for (const scheme of ["http", "socks4a", "socks5"]) {
    await using proxy = await serveTcp(() => {});
    await using it = await play(rot, {
      ...CLIENT,
      TOR_PT_PROXY: `${scheme}://127.0.0.1:${proxy.port}`,
    });
    using wire = await Wire.open("127.0.0.1", it.port);
    wire.send([5, 1, 0, ...connectRequest("127.0.0.1", 80)]);
    await until(() => it.timers.ending(60_000) > 0);
    it.timers.advance(60_000);
    assert.equal((await wire.all())[3], 6);
  }
});

Deno.test("an Extended ORPort that is silent for 5 s ends the connection", async () => {
  const cookieFile = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(
      cookieFile,
      `! Extended ORPort Auth Cookie !\n${"c".repeat(32)}`,
    );
    for (const types of [[], [1], [1, 0]]) {
      await using or = await serveTcp((wire) => void wire.send(types));
      await using it = await play(rot, {
        ...SERVER,
        TOR_PT_EXTENDED_SERVER_PORT: `127.0.0.1:${or.port}`,
        TOR_PT_AUTH_COOKIE_FILE: cookieFile,
      });
      using wire = await Wire.open("127.0.0.1", it.port);
      await until(() => it.timers.ending(5000) > 0);
      it.timers.advance(5000);
      assert.deepEqual(await wire.all(), []);
    }
  } finally {
    await Deno.remove(cookieFile);
  }
});

Deno.test("the parent is looked at every second", async () => {
  await using it = await play(rot, CLIENT);
  it.timers.advance(1000);
  it.timers.advance(1000);
  assert.equal(it.signals.size, 2);
  it.parent.id = 1;
  it.timers.advance(999);
  assert.equal(it.signals.size, 2);
  it.timers.advance(1);
  assert.equal(await it.code, 0);
});

Deno.test("a standard output that cannot be written to ends it", async () => {
  await using it = await play(rot, CLIENT);
  it.parent.deaf = true;
  using wire = await Wire.open("127.0.0.1", it.port);
  wire.send([5, 1, 2, 1, 1, 65, 1, 66]);
  await wire.all();
  assert.equal(await it.code, 0);
});

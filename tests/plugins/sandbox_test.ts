import assert from "node:assert/strict";
import { DEFAULT_LIMITS, PluginError, SandboxedPlugin } from "../../plugins/host/mod.ts";

const hasPrlimit = await new Deno.Command("prlimit", { args: ["--version"], stdout: "null" })
  .output().then(({ success }) => success, () => false);

const LIMITS = { ...DEFAULT_LIMITS, memory: 1e9, load: 60_000 };

function source(code: string) {
  return { specifier: "hostile.ts", code: new TextEncoder().encode(code), sha256: "" };
}

/** Runs `code` as the body of a plugin's method; the error that the host makes of it. */
async function provoke(
  code: string,
  { deadline = 60_000, limits = LIMITS }: { deadline?: number; limits?: typeof LIMITS } = {},
): Promise<PluginError> {
  const module = code.startsWith("!")
    ? code.slice(1)
    : `export default { async run() { ${code} } }`;
  try {
    await using plugin = await SandboxedPlugin.start(source(module), limits);
    const answer = await plugin.call("run", [], { deadline, credit: 4096 });
    assert.fail(`answered ${JSON.stringify(answer)}`);
  } catch (error) {
    assert.ok(error instanceof PluginError, String(error));
    assert.match(error.message, /^plugin hostile\.ts: [^\n]+$/);
    return error;
  }
}

function sandboxTest(name: string, body: () => Promise<void>): void {
  Deno.test({ name, ignore: !hasPrlimit, fn: body });
}

sandboxTest("a plugin answers with typed arrays and is told what it was given", async () => {
  await using plugin = await SandboxedPlugin.start(
    source(`export default {
      contract: 1, name: "double",
      run(samples, options) {
        console.log("words go to the log, not among the frames");
        return { twice: samples.sizes.map((size) => size * options.by), count: samples.count };
      },
    }`),
    LIMITS,
  );
  assert.deepEqual(plugin.manifest.values, { contract: 1, name: "double" });
  for (const by of [2, 3]) {
    const answer = await plugin.call(
      "run",
      [{ sizes: Float64Array.of(1.5, -2), count: 2 }, { by }],
      { deadline: 60_000, credit: 4096 },
    );
    assert.deepEqual({ ...answer }, { twice: Float64Array.of(1.5 * by, -2 * by), count: 2 });
  }
});

const FAULTS: Record<string, { code: string; fault: string; says: RegExp }> = {
  "throws": {
    code: `throw new Error("two\\nlines")`,
    fault: "threw",
    says: /failed in run: Error: two$/,
  },
  "throws while it loads": {
    code: `!throw new Error("at load")`,
    fault: "threw",
    says: /failed in loading: Error: at load/,
  },
  "does not parse": { code: "!export default {", fault: "threw", says: /loading: .*SyntaxError/ },
  "has no default export": { code: "!export const a = 1", fault: "threw", says: /default export/ },
  "lacks the method": { code: "!export default {}", fault: "threw", says: /no method run/ },
  "exits": { code: "Deno.exit(0)", fault: "exited", says: /without an answer \(code 0\)/ },
  "aborts": { code: "process.abort()", fault: "exited", says: /without an answer \(SIGABRT\)/ },
  "never settles": {
    code: "await new Promise(() => {})",
    fault: "exited",
    says: /without an answer/,
  },
  "floods standard output": {
    code: "const b = new Uint8Array(65536).fill(255); for (;;) Deno.stdout.writeSync(b)",
    fault: "output",
    says: /announced 4294967295 bytes/,
  },
  "floods standard output with zeros": {
    code: "const b = new Uint8Array(65536); for (;;) Deno.stdout.writeSync(b)",
    fault: "output",
    says: /standard output/,
  },
  "floods its log": {
    code: `for (;;) console.log("x".repeat(1000))`,
    fault: "output",
    says: /more than 1048576 bytes to its log/,
  },
  "forges an answer of nonsense": {
    code: `const b = new Uint8Array(32).fill(7); const v = new DataView(b.buffer);
      v.setUint32(0, 20, true); v.setUint32(4, 4, true); v.setUint32(8, 2, true);
      Deno.stdout.writeSync(b)`,
    fault: "output",
    says: /not what was agreed/,
  },
  "forges the answer to a later call": {
    code: `const b = new Uint8Array(12); const v = new DataView(b.buffer);
      v.setUint32(4, 4, true); v.setUint32(8, 3, true); Deno.stdout.writeSync(b)`,
    fault: "output",
    says: /standard output, which is not its own/,
  },
  "forges its own loading": {
    code: `const b = new Uint8Array(12); const v = new DataView(b.buffer);
      v.setUint32(4, 3, true); v.setUint32(8, 2, true); Deno.stdout.writeSync(b)`,
    fault: "output",
    says: /standard output, which is not its own/,
  },
  "throws when nobody waits": {
    code:
      "setTimeout(() => { throw new Error('later') }, 0); await new Promise((r) => setTimeout(r, 5000))",
    fault: "exited",
    says: /without an answer \(code 1\): Uncaught Error: later/,
  },
  "answers too much": {
    code: "return { x: new Uint8Array(1e6) }",
    fault: "threw",
    says: /1000032 bytes where 4096/,
  },
  "reads a file": {
    code: `await Deno.readFile("/etc/passwd")`,
    fault: "threw",
    says: /read access/,
  },
  "reads a file by node:fs": {
    code: `(await import("node:fs")).readFileSync("/etc/passwd")`,
    fault: "threw",
    says: /read access/,
  },
  "writes a file": {
    code: `await Deno.writeTextFile("/tmp/x", "")`,
    fault: "threw",
    says: /write access/,
  },
  "stores on the disk": {
    code: `localStorage.setItem("a", "b")`,
    fault: "threw",
    says: /failed in run/,
  },
  "fills a cache": { code: `await caches.open("a")`, fault: "threw", says: /failed in run/ },
  "connects": { code: `await fetch("http://127.0.0.1:8080/")`, fault: "threw", says: /net access/ },
  "connects by node:net": {
    code: `const net = await import("node:net");
      await new Promise((_, no) => net.connect(80, "127.0.0.1").on("error", no))`,
    fault: "threw",
    says: /net access/,
  },
  "opens a WebSocket": {
    code: `await new Promise((_, no) => {
      new WebSocket("ws://127.0.0.1:1").onerror = (event) => no(event.error) })`,
    fault: "threw",
    says: /net access/,
  },
  "fetches a file": {
    code: `await fetch("file:///etc/passwd")`,
    fault: "threw",
    says: /read access/,
  },
  "writes to its parent's standard output": {
    code: `await Deno.writeFile("/proc/" + process.ppid + "/fd/1", new Uint8Array(1))`,
    fault: "threw",
    says: /write access/,
  },
  "asks what machine this is": { code: "Deno.hostname()", fault: "threw", says: /sys access/ },
  "reads one variable by node's way": {
    code: "return { home: process.env.HOME }",
    fault: "threw",
    says: /env access/,
  },
  "imports a computed package": {
    code: `const n = "npm:pure" + "-rand"; await import(n)`,
    fault: "threw",
    says: /--no-npm/,
  },
  "listens": { code: `Deno.listen({ port: 0 })`, fault: "threw", says: /net access/ },
  "reads the environment": { code: `Deno.env.toObject()`, fault: "threw", says: /env access/ },
  "runs a program": {
    code: `new Deno.Command("/bin/ls").outputSync()`,
    fault: "threw",
    says: /run access/,
  },
  "kills its parent": { code: `process.kill(process.ppid, 0)`, fault: "threw", says: /run access/ },
  "loads a library": { code: `Deno.dlopen("/lib/x.so", {})`, fault: "threw", says: /ffi access/ },
  "imports a computed path": {
    code: `const p = "file:///etc/" + "passwd"; await import(p)`,
    fault: "threw",
    says: /read access/,
  },
  "imports from the network": {
    code: `const p = "https://example" + ".com/x.js"; await import(p)`,
    fault: "threw",
    says: /failed in run/,
  },
};

for (const [name, { code, fault, says }] of Object.entries(FAULTS)) {
  sandboxTest(`a plugin that ${name} is stopped and named`, async () => {
    const error = await provoke(code);
    assert.match(error.message, says);
    assert.equal(error.fault, fault);
  });
}

sandboxTest("a plugin that hangs is killed at its deadline, and is gone", async () => {
  for (const code of ["for (;;);", "for (;;) try { for (;;); } catch {}"]) {
    const plugin = await SandboxedPlugin.start(
      source(`export default { run() { ${code} } }`),
      LIMITS,
    );
    const { pid } = plugin;
    const limits = { deadline: 300, credit: 4096 };
    await assert.rejects(plugin.call("run", [], limits), /run took longer than 300 ms: killed/);
    await assert.rejects(plugin.call("run", [], limits), /took longer/, "and stays refused");
    await plugin[Symbol.asyncDispose]();
    assert.throws(() => Deno.kill(pid, "SIGCONT"), Deno.errors.NotFound);
  }
});

sandboxTest("a plugin that hangs while it loads is killed", async () => {
  const error = await provoke("!for (;;);", { limits: { ...LIMITS, load: 300 } });
  assert.match(error.message, /loading took longer than 300 ms/);
});

const HOGS: Record<string, string> = {
  "the heap": "const a = []; for (;;) a.push(new Array(1e6).fill({}))",
  "ArrayBuffers": "const a = []; for (;;) a.push(new Uint8Array(1e8).fill(1))",
  "shared memory":
    "const a = []; for (;;) a.push(new Uint8Array(new SharedArrayBuffer(1e8)).fill(1))",
  "WebAssembly's memory":
    "const a = []; for (;;) a.push(new WebAssembly.Memory({ initial: 1600 }))",
  "a worker's memory": `const hog = "const a = []; for (;;) a.push(new Uint8Array(1e8).fill(1))";
     new Worker("data:application/javascript," + encodeURIComponent(hog), { type: "module" });
     await new Promise((r) => setTimeout(r, 60_000));`,
};

for (const [what, code] of Object.entries(HOGS)) {
  sandboxTest(`a plugin that exhausts ${what} is stopped and named`, async () => {
    // A machine under load takes long to hand out that much memory.
    const error = await provoke(code, { deadline: 120_000, limits: { ...LIMITS, memory: 8e8 } });
    assert.equal(error.fault, "memory");
    assert.match(error.message, /wanted more than its 763 MB of memory: killed/);
  });
}

sandboxTest("a plugin that asks to be allowed more is denied, and nobody is asked", async () => {
  await using plugin = await SandboxedPlugin.start(
    source(`export default { async run() {
      const names = ["read", "write", "net", "env", "run", "ffi", "sys"];
      const states = [];
      for (const name of names) states.push((await Deno.permissions.request({ name })).state);
      return { states };
    } }`),
    LIMITS,
  );
  const { states } = await plugin.call("run", [], { deadline: 60_000, credit: 4096 });
  assert.deepEqual(states, new Array(7).fill("denied"));
});

sandboxTest("a plugin's worker has no more rights than the plugin", async () => {
  const error = await provoke(
    `const w = new Worker("data:application/javascript," +
        encodeURIComponent("await import('file:///etc/' + 'hostname')"), { type: "module" });
      await new Promise((_, no) => w.onerror = (e) => { e.preventDefault(); no(new Error(e.message)) })`,
    { limits: DEFAULT_LIMITS },
  );
  assert.match(error.message, /read access/);
});

sandboxTest("a plugin that answers twice is stopped at its next call", async () => {
  await using plugin = await SandboxedPlugin.start(
    source(`export default { run() {
      const b = new Uint8Array(12 + 16); const v = new DataView(b.buffer);
      const json = new TextEncoder().encode("[{},[]]");
      v.setUint32(0, 16, true); v.setUint32(4, 4, true); v.setUint32(8, 2, true);
      v.setUint32(12, json.length, true); b.set(json, 16);
      Deno.stdout.writeSync(b);
      return { second: true };
    } }`),
    LIMITS,
  );
  const limits = { deadline: 60_000, credit: 4096 };
  await plugin.call("run", [], limits);
  await assert.rejects(plugin.call("run", [], limits), /standard output, which is not its own/);
});

sandboxTest("what a plugin answers sets no prototype", async () => {
  await using plugin = await SandboxedPlugin.start(
    source(`export default { run: () => JSON.parse('{"__proto__": {"polluted": 1}, "a": 2}') }`),
    LIMITS,
  );
  const answer = await plugin.call("run", [], { deadline: 60_000, credit: 4096 });
  assert.equal(answer.polluted, undefined);
  assert.equal(({} as Record<string, unknown>).polluted, undefined);
});

sandboxTest("a good plugin answers on while hostile ones beside it are stopped", async () => {
  await using good = await SandboxedPlugin.start(
    source("export default { run: ({ n }) => ({ n: n + 1 }) }"),
    LIMITS,
  );
  const hostile = [
    "for (;;);",
    "const b = new Uint8Array(65536).fill(255); for (;;) Deno.stdout.writeSync(b)",
    "const a = []; for (;;) a.push(new Uint8Array(1e8).fill(1))",
    "Deno.exit(0)",
  ].map((code) => provoke(code, { deadline: code === "for (;;);" ? 2000 : 120_000 }));
  for (let n = 0; n < 20; n++) {
    const answer = await good.call("run", [{ n }], { deadline: 60_000, credit: 4096 });
    assert.equal(answer.n, n + 1);
  }
  const faults = (await Promise.all(hostile)).map(({ fault }) => fault).sort();
  assert.deepEqual(faults, ["deadline", "exited", "memory", "output"]);
});

sandboxTest("a plugin that uses up its processor time is stopped", async () => {
  const error = await provoke("for (;;);", { limits: { ...LIMITS, cpu: 1 } });
  assert.match(error.message, /more than its 1 s of processor time/);
});

sandboxTest("the host is unharmed: the next plugin works", async () => {
  await provoke("Deno.exit(1)");
  await using plugin = await SandboxedPlugin.start(
    source("export default { run: () => ({ a: 1 }) }"),
  );
  const answer = await plugin.call("run", [], { deadline: 60_000, credit: 100 });
  assert.equal(answer.a, 1);
});

sandboxTest("plugins run in parallel without mixing their answers", async () => {
  const answers = await Promise.all([1, 2, 3].map(async (n) => {
    await using plugin = await SandboxedPlugin.start(
      source(`export default { run: () => ({ n: ${n} }) }`),
      LIMITS,
    );
    return (await plugin.call("run", [], { deadline: 60_000, credit: 100 })).n;
  }));
  assert.deepEqual(answers, [1, 2, 3]);
});

import assert from "node:assert/strict";
import { launcherCases } from "../../packaging/build.ts";
import { OPENSSL_PATHS } from "../../transports/carriers/openssl_library.ts";
import { giveMemoryBack, trimOfLibc } from "../../transports/mimic/freed_memory.ts";

const MODULE = new URL("../../transports/mimic/freed_memory.ts", import.meta.url).href;

/** What a program says that has `flags` and imports all of the module. */
async function said(program: string, ...flags: string[]): Promise<unknown> {
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(
      file,
      `import { giveMemoryBack, trimOfLibc } from ${JSON.stringify(MODULE)};\n${program}`,
    );
    const { stdout, success } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-check", "--no-prompt", "--allow-read", ...flags, file],
      env: { NO_COLOR: "1" },
      stderr: "inherit",
      // Who is kept alive would say all and never end.
      signal: AbortSignal.timeout(60_000),
    }).output();
    assert.ok(success);
    return JSON.parse(new TextDecoder().decode(stdout));
  } finally {
    await Deno.remove(file);
  }
}

Deno.test({
  name: "freed memory: what lies between small buffers that live is given back, with the right " +
    "to OpenSSL's library only (needs glibc and OpenSSL)",
  ignore: trimOfLibc() === undefined,
  fn: async () => {
    const { before, after } = await said(
      `
      const large = [], small = [];
      for (let i = 0; i < 3000; i++) {
        large.push(new Uint8Array(30_000).fill(1));
        small.push(new Uint8Array(1000).fill(1));
      }
      large.length = 0;
      gc();
      // Buffers that garbage owned are freed by another thread.
      const resident = () => Deno.memoryUsage().rss;
      let before = resident(), after = before;
      for (let look = 0; look < 50 && after > before - 50_000_000; look++) {
        await trimOfLibc()();
        after = resident();
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      console.log(JSON.stringify({ before, after, small: small.length }));`,
      "--v8-flags=--expose-gc",
      `--allow-ffi=${OPENSSL_PATHS.join(",")}`,
    ) as { before: number; after: number };
    assert.ok(after < before - 50_000_000, `${before} -> ${after}`);
  },
});

Deno.test("freed memory: without the right nothing is done", async () => {
  const found = await said(`
    giveMemoryBack(undefined, 1);
    setTimeout(() => console.log(JSON.stringify(trimOfLibc() === undefined)), 20);`);
  assert.equal(found, true);
});

Deno.test("freed memory: what gives it back keeps no process alive", async () => {
  const times = await said(`
    let times = 0;
    giveMemoryBack(() => () => Promise.resolve(times++), 1);
    setTimeout(() => console.log(times), 50);`);
  assert.ok(typeof times === "number" && times > 0);
});

Deno.test("freed memory: is given back again and again, one at a time, until stopped", async () => {
  let [looked, begun, running, most] = [0, 0, 0, 0];
  const enough = Promise.withResolvers<void>();
  const giving = giveMemoryBack(() => {
    looked++;
    return async () => {
      most = Math.max(most, ++running);
      if (++begun === 5) enough.resolve();
      await new Promise((resolve) => setTimeout(resolve, 5));
      running--;
    };
  }, 1);
  // Its timer alone would let the process end.
  const alive = setInterval(() => {}, 1000);
  await enough.promise;
  clearInterval(alive);
  await giving.stop();
  assert.deepEqual([looked, running, most], [1, 0, 1]);
  const then = begun;
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(begun, then);
});

Deno.test("freed memory: where there is no such library it is looked for once", async () => {
  let looked = 0;
  const giving = giveMemoryBack(() => {
    looked++;
    return undefined;
  }, 1);
  await new Promise((resolve) => setTimeout(resolve, 30));
  await giving.stop();
  assert.equal(looked, 1);
});

Deno.test("freed memory: both ends' tasks and the launcher hold V8's garbage to what is alive", async () => {
  const { tasks } = JSON.parse(
    await Deno.readTextFile(new URL("../../deno.json", import.meta.url)),
  ) as { tasks: Record<string, string> };
  for (
    const name of ["client", "client:plugin", "client:ssh", "pt", "pt:ssh", "server", "server:ssh"]
  ) {
    const task = tasks[name]!;
    assert.match(
      task,
      / --v8-flags=--heap-growing-percent=100,--initial-old-space-size=64 .*cli\/main\.ts/,
      name,
    );
    assert.match(
      launcherCases({ [name]: task }),
      / --v8-flags=--heap-growing-percent=100,--initial-old-space-size=64 /,
      name,
    );
  }
});

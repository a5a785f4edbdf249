// What a server keeps, and who can read it.
import assert from "node:assert/strict";
import { startServer } from "../../transports/mimic/mod.ts";
import { FAST_MODEL } from "./world.ts";

Deno.test({
  name: "state: what is made is for its owner only, and a secret that others can read is told of",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    const folder = await Deno.makeTempDir();
    const state = `${folder}/state`;
    const start = async () => {
      const warnings: string[] = [];
      const server = await startServer({
        listen: { host: "127.0.0.1", port: 0 },
        models: [FAST_MODEL],
        state,
        wireLog: `${state}/wire.jsonl`,
        onWarning: (text) => warnings.push(text),
      });
      await server.close();
      return warnings.filter((text) => text.includes("can be read"));
    };
    assert.deepEqual(await start(), []);
    assert.equal((await Deno.stat(state)).mode! & 0o777, 0o700);
    for await (const { name } of Deno.readDir(state)) {
      assert.equal((await Deno.stat(`${state}/${name}`)).mode! & 0o077, 0, name);
    }
    // A file that others could read in a folder that they cannot enter is none of theirs.
    await Deno.chmod(`${state}/secrets`, 0o644);
    assert.deepEqual(await start(), []);
    await Deno.chmod(state, 0o755);
    assert.deepEqual(await start(), [
      `${state}/secrets can be read by others of this machine, and holds a secret: chmod 600 it`,
    ]);
    await Deno.chmod(`${state}/secrets`, 0o600);
    assert.deepEqual(await start(), []);
    await Deno.remove(folder, { recursive: true });
  },
});

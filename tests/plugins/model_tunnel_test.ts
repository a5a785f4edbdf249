import assert from "node:assert/strict";
import { builtinModel } from "../../models/mod.ts";
import { loadModelPlugin } from "../../plugins/mod.ts";
import { parseLine, startClient, startServer } from "../../transports/mimic/mod.ts";

const hasPrlimit = await new Deno.Command("prlimit", { args: ["--version"], stdout: "null" })
  .output().then(({ success }) => success, () => false);

const MODEL = `export default {
  contract: 1, plugin: "model", name: "brisk", protocol: "https", carrier: "tls",
  connection: (random) => ({
    exchanges: Array.from({ length: 5 }, () => ({
      request: { type: "data", size: 2000 + random.integer(2000), time: 5 },
      response: [{ type: "data", size: 4000 + random.integer(4000), time: 5 }],
    })),
    close: { by: "client", how: "fin", time: 5 },
  }),
};`;

Deno.test({
  name: "a model by others carries data to a server that knows nothing of it (needs prlimit)",
  ignore: !hasPrlimit,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    await Deno.writeTextFile(`${folder}/brisk.ts`, MODEL);
    const web = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      async (request) => new Response(await request.bytes()),
    );
    const server = await startServer({
      listen: { host: "127.0.0.1", port: 0 },
      models: [await builtinModel("https")],
      state: `${folder}/state`,
      allowPrivate: true,
    });
    using model = await loadModelPlugin(`${folder}/brisk.ts`);
    const client = await startClient({
      line: parseLine(server.line),
      model,
      plans: (key) => model.plans(key),
      seed: new Uint8Array(32).fill(5),
      forwards: [{
        local: { host: "127.0.0.1", port: 0 },
        destination: { host: "127.0.0.1", port: web.addr.port },
      }],
    });
    try {
      const body = crypto.getRandomValues(new Uint8Array(50_000));
      const address = `http://127.0.0.1:${client.doors[0]!.port}/`;
      const answer = await fetch(address, { method: "POST", body });
      assert.deepEqual(await answer.bytes(), body);
      assert.ok(client.stats.opened >= 2, `${client.stats.opened} connections`);
    } finally {
      await client.close();
      await server.close();
      await web.shutdown();
      await Deno.remove(folder, { recursive: true });
    }
  },
});

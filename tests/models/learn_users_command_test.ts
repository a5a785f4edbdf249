import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { modelFromFile, SeededRandom } from "../../models/mod.ts";
import { inFolder } from "../support/folder.ts";
import { runDeno } from "../support/run_deno.ts";

const SAMPLES = fileURLToPath(new URL("../../samples/", import.meta.url));

Deno.test("learn --users takes episodes and sessions from the captures of users, and connections from the others alone", () =>
  inFolder(async (folder) => {
    const learn = async (name: string, ...more: string[]) => {
      const out = `${folder}/${name}.json`;
      const { code, err, out: said } = await runDeno([
        ...["run", "--no-prompt", "--allow-read", "--allow-write", "cli/main.ts", "learn"],
        ...[`${SAMPLES}ssh/run-1.pcap.gz`, "--protocol", "ssh", "--out", out, ...more],
      ]);
      assert.equal(code, 0, err);
      const text = await Deno.readTextFile(out);
      return { said, text, content: JSON.parse(text).content };
    };
    const alone = await learn("alone");
    const users = await learn("users", "--users", `${SAMPLES}users/ssh/run-1.pcap.gz`);
    assert.match(alone.said, /not in the model: episodes, sessions/);
    assert.doesNotMatch(users.said, /not in the model/);
    for (const layer of ["episode", "session"]) {
      assert.equal(alone.content.layers[layer], undefined, layer);
      assert.notEqual(users.content.layers[layer], undefined, layer);
    }
    const random = () => new SeededRandom(new Uint8Array(32));
    assert.equal(modelFromFile(alone.text).session(random()), undefined);
    assert.notEqual(modelFromFile(users.text).session(random()), undefined);
    // What is in a connection is not learned from outlines.
    assert.deepEqual(users.content.connections, alone.content.connections);
    assert.deepEqual(users.content.observations, alone.content.observations);
  }));

Deno.test("learn --users names a capture of users that is not there", () =>
  inFolder(async (folder) => {
    const { code, err } = await runDeno([
      ...["run", "--no-prompt", "--allow-read", "--allow-write", "cli/main.ts", "learn"],
      ...[`${SAMPLES}ssh/run-1.pcap.gz`, "--protocol", "ssh", "--out", `${folder}/a.json`],
      ...["--users", `${folder}/nobody.pcap`],
    ]);
    assert.equal(code, 1);
    assert.match(err, /^error: [^\n]*nobody\.pcap: no such file[^\n]*\n$/);
    assert.deepEqual(await Array.fromAsync(Deno.readDir(folder)), []);
  }));

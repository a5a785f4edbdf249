import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { conformance } from "../../plugins/mod.ts";

const hasPrlimit = await new Deno.Command("prlimit", { args: ["--version"], stdout: "null" })
  .output().then(({ success }) => success, () => false);
const docs = fileURLToPath(new URL("../../docs/", import.meta.url));

for (const [kind, name] of [["attack", "nearest-centroid"], ["model", "telephone"]] as const) {
  Deno.test({
    name:
      `the guide's ${kind} is written in under 60 lines and passes the conformance kit (needs prlimit)`,
    ignore: !hasPrlimit,
    fn: async () => {
      const guide = await Deno.readTextFile(
        `${docs}/writing_a${kind === "attack" ? "n" : ""}_${kind}.md`,
      );
      const code = /```ts\n([\s\S]*?)```/.exec(guide)![1]!;
      assert.ok(code.split("\n").length < 60);
      const folder = await Deno.makeTempDir();
      try {
        await Deno.writeTextFile(`${folder}/mine.ts`, code);
        const result = await conformance(`${folder}/mine.ts`);
        assert.deepEqual([result.kind, result.name], [kind, name]);
        assert.deepEqual(result.checks.filter(({ wrong }) => wrong !== undefined), []);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}

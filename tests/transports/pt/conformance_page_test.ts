import assert from "node:assert/strict";

const root = new URL("../../../", import.meta.url);

Deno.test("every test that the page of the specification names is there", async () => {
  const page = await Deno.readTextFile(new URL("docs/pt_conformance.md", root));
  const here = [...Deno.readDirSync(new URL("tests/transports/pt/", root))]
    .map(({ name }) => `tests/transports/pt/${name}`);
  const texts = new Map<string, string>();
  const textOf = (name: string) => {
    const path = name.startsWith("tests/") ? name : here.find((path) => path.endsWith(`/${name}`));
    assert.ok(path !== undefined, `no file ${name}`);
    if (!texts.has(path)) texts.set(path, Deno.readTextFileSync(new URL(path, root)));
    return texts.get(path)!;
  };
  let named = 0;
  for (const row of page.split("\n").filter((line) => line.startsWith("| "))) {
    const test = row.split(" | ").at(-1)!;
    const files = [...test.matchAll(/`([\w/]+\.ts)`/g)].map(([, name]) => textOf(name!));
    for (const [, title] of test.matchAll(/"([^"]+)"/g)) {
      named++;
      const texts = files.length > 0 ? files : here.map(textOf);
      assert.ok(texts.some((text) => text.includes(title!)), `no test "${title}" in ${test}`);
    }
  }
  assert.ok(named > 40, `only ${named} tests are named`);
});

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { bundledPackages, thirdPartyNotices } from "../../packaging/notices.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

Deno.test("notices: the licence of every package in the bundle, and of what that depends on", async () => {
  const modules = ["cli/installed.ts", "plugins/built_in_worker.ts"];
  const packages = await bundledPackages(root, modules);
  const names = [...packages.values()].map(({ name }) => name);
  // Imported by ourselves, and by others; not what only tests and charts import.
  for (const name of ["commander", "valibot", "ml-matrix", "@peculiar/x509", "tslib", "asn1js"]) {
    assert.ok(names.includes(name), name);
  }
  for (const name of ["fast-check", "vega"]) assert.ok(!names.includes(name), name);

  const text = await thirdPartyNotices(root, modules);
  const sections = text.split(/^={79}\n(.*)\n={79}\n/m).slice(1);
  assert.equal(sections.length, 2 * packages.size);
  for (let at = 0; at < sections.length; at += 2) {
    const [id] = sections[at]!.split(" (");
    assert.ok(packages.has(id!), id);
    // A licence's text, not only its name.
    assert.ok(sections[at + 1]!.length > 500, `${id}: ${sections[at + 1]}`);
  }
  assert.match(text, /Apache License/);
  assert.doesNotMatch(text, /the Deno authors/);
  assert.match(await thirdPartyNotices(root, [], true), /the Deno authors/);
});

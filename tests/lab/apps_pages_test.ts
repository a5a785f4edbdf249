import assert from "node:assert/strict";
import fc from "fast-check";
import { ORIGINS, SHARED_HOSTS, SITES } from "../../lab/apps/applications.ts";
import { answer, content } from "../../lab/apps/backend.ts";
import { isPageKind, objectPath, pageHtml } from "../../lab/apps/page.ts";

const names = new Set(ORIGINS.map(({ name }) => name));

Deno.test("apps: every host has a name and an address of its own", () => {
  assert.equal(names.size, ORIGINS.length);
  assert.equal(new Set(ORIGINS.map(({ address }) => address)).size, ORIGINS.length);
  for (const { address } of ORIGINS) assert.match(address, /^198\.18\.0\.\d{2,3}$/);
  for (const name of SHARED_HOSTS) assert.ok(names.has(name));
});

Deno.test("apps: a page asks only hosts that there are, for what they answer", async () => {
  const kinds = [...new Set(Object.values(SITES)), "list", "article", "watch", "game", "weather"];
  for (const kind of kinds) {
    assert.ok(isPageKind(kind));
    for (let seed = 0; seed < 20; seed++) {
      const hosts = { own: "www.codex.test", files: "static.codex.test" };
      const html = pageHtml(kind, `${seed}`, hosts);
      assert.equal(pageHtml(kind, `${seed}`, hosts), html);
      const urls = [...html.matchAll(/https:\/\/([a-z0-9.]+)(\/o\/[^"|]+)/g)];
      for (const [, host, path] of urls) {
        assert.ok(names.has(host!), host);
        assert.match(path!, /^\/o\/\d+\/\d+\/[a-z0-9]+\.(css|js|svg|json)$/);
      }
    }
  }
  const all = await Promise.all(
    Object.entries(SITES).map(([site, kind]) =>
      answer(new Request(`http://x/page/${kind}/1`, { headers: { host: `www.${site}.test` } }))
    ),
  );
  for (const response of all) assert.equal(response.status, 200);
});

Deno.test("apps: an object is as large as its address says, whatever its kind", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 100, max: 200_000 }),
      fc.constantFrom("css", "js", "svg", "json", "bin"),
      async (bytes, ending) => {
        const response = await answer(
          new Request(`http://x${objectPath(bytes, 0, `a.${ending}`)}`),
        );
        assert.equal((await response.arrayBuffer()).byteLength, bytes);
      },
    ),
    { numRuns: 30 },
  );
  assert.equal(JSON.parse(content(50, "json")).length, 48);
});

Deno.test("apps: the backend bounds what it is asked for, and knows no other paths", async () => {
  const large = await answer(new Request("http://x/o/99999999999/0/a.js"));
  assert.ok((await large.arrayBuffer()).byteLength <= 8_000_000);
  for (const path of ["/", "/page/constructor/1", "/page/nothing/1", "/etc/passwd"]) {
    assert.equal((await answer(new Request(`http://x${path}`))).status, 404);
  }
});

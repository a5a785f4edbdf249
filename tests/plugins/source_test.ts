import assert from "node:assert/strict";
import { bundlePlugin, PluginError, specifierKind } from "../../plugins/host/mod.ts";

const PLUGIN = `import { twice } from "./lib/twice.ts";
export default { contract: 1, value: twice(21) as number };
`;
const LIBRARY = "export const twice = (n: number): number => 2 * n;\n";

async function withPlugin(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${folder}/lib`);
    await Deno.writeTextFile(`${folder}/plugin.ts`, PLUGIN);
    await Deno.writeTextFile(`${folder}/lib/twice.ts`, LIBRARY);
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Loads what was bundled, which the tests' own plugins do not mind. */
async function load(code: Uint8Array<ArrayBuffer>): Promise<{ value: number }> {
  return (await import(`data:application/javascript;base64,${code.toBase64()}`)).default;
}

Deno.test("specifiers are told apart", () => {
  assert.equal(specifierKind("knn"), "name");
  assert.equal(specifierKind("./knn.ts"), "path");
  assert.equal(specifierKind("knn.ts"), "path");
  assert.equal(specifierKind("folder/knn"), "path");
  assert.equal(specifierKind("file:///a.ts"), "file");
  assert.equal(specifierKind("https://example.com/a.ts"), "https");
  assert.equal(specifierKind("http://127.0.0.1:8000/a.ts"), "https");
  assert.equal(specifierKind("npm:attack@1"), "npm");
  assert.equal(specifierKind("jsr:@a/b"), "jsr");
  assert.throws(() => specifierKind("http://example.com/a.ts"), PluginError);
  assert.throws(() => specifierKind("data:text/javascript,1"), PluginError);
});

Deno.test("a plugin of several files becomes one module with one digest, wherever it lies", async () => {
  let first: string | undefined;
  for (const form of ["path", "file"]) {
    await withPlugin(async (folder) => {
      const path = `${folder}/plugin.ts`;
      const { code, sha256 } = await bundlePlugin(form === "path" ? path : `file://${path}`);
      assert.equal((await load(code)).value, 42);
      assert.match(sha256, /^[0-9a-f]{64}$/);
      assert.equal(sha256, first ??= sha256);
    });
  }
});

Deno.test("integrity admits the pinned source only", async () => {
  await withPlugin(async (folder) => {
    const path = `${folder}/plugin.ts`;
    const { sha256 } = await bundlePlugin(path);
    const base64 = Uint8Array.fromHex(sha256).toBase64();
    for (const integrity of [`sha256-${sha256}`, `sha256-${base64}`]) {
      assert.equal((await bundlePlugin(path, { integrity })).sha256, sha256);
    }
    await Deno.writeTextFile(`${folder}/lib/twice.ts`, "export const twice = (n: number) => n;");
    await assert.rejects(
      bundlePlugin(path, { integrity: `sha256-${sha256}` }),
      (error: PluginError) => error.fault === "integrity" && /nothing was run/.test(error.message),
    );
  });
});

Deno.test("a plugin by address is fetched by the host with what it imports", async () => {
  const files: Record<string, string> = { "/plugin.ts": PLUGIN, "/lib/twice.ts": LIBRARY };
  const headers = { "content-type": "application/typescript" };
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request) => {
      const body = files[new URL(request.url).pathname];
      return new Response(body ?? "", { status: body === undefined ? 404 : 200, headers });
    },
  );
  const base = `http://127.0.0.1:${server.addr.port}`;
  const { code } = await bundlePlugin(`${base}/plugin.ts`);
  assert.equal((await load(code)).value, 42);
  await assert.rejects(bundlePlugin(`${base}/none.ts`), /cannot be loaded: Module not found/);
});

Deno.test("a plugin may import from npm, resolved by the host", async () => {
  await withPlugin(async (folder) => {
    await Deno.writeTextFile(
      `${folder}/plugin.ts`,
      `import { xoroshiro128plus } from "npm:pure-rand@^7.0.1";
       export default { value: xoroshiro128plus(1).next().length };`,
    );
    assert.equal((await load((await bundlePlugin(`${folder}/plugin.ts`)).code)).value, 2);
  });
});

Deno.test("what cannot be loaded is named in one line", async () => {
  await withPlugin(async (folder) => {
    await Deno.writeTextFile(`${folder}/broken.ts`, "export default {");
    await Deno.writeTextFile(`${folder}/lost.ts`, `import "./nowhere.ts"; export default {};`);
    for (const name of ["none.ts", "broken.ts", "lost.ts", "lib"]) {
      await assert.rejects(bundlePlugin(`${folder}/${name}`), (error: PluginError) => {
        assert.ok(error instanceof PluginError);
        assert.match(error.message, /^plugin [^\n]+$/);
        return true;
      });
    }
  });
});

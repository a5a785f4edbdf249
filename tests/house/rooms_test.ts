import assert from "node:assert/strict";
import { join, relative } from "node:path";
import { fileURLToPath as fromFileUrl } from "node:url";

/** What each room may import besides itself and npm packages. `types` are for `import type` only. */
const ROOMS: Record<string, { imports: string[]; types?: string[] }> = {
  "base": { imports: [] },
  // Low down, so that every room can ask it; what it holds lies higher up, so only types.
  "protocols": { imports: ["base"], types: ["capture", "transports/carriers"] },
  "capture": { imports: ["base", "protocols"] },
  "models": { imports: ["base", "protocols"] },
  "models/learn": { imports: ["base", "capture", "models", "protocols"] },
  "playback": { imports: ["base", "models", "plugins/host"] },
  "transports/pt": { imports: ["base"] },
  "transports/carriers": { imports: ["base", "protocols"], types: ["playback"] },
  "transports/doors": { imports: ["base"], types: ["playback"] },
  "transports/mimic": {
    imports: [
      "base",
      "models",
      "playback",
      "protocols",
      "transports/carriers",
      "transports/doors",
      "transports/pt",
    ],
  },
  "plugins": { imports: ["base", "models", "plugins/attacks", "plugins/host"] },
  "plugins/host": { imports: ["base"], types: ["plugins"] },
  "plugins/attacks": { imports: ["base", "capture", "plugins"] },
  // Splits, metrics and the attacks' learners are shared with the laboratory of attacks.
  "classifier": {
    imports: ["base", "capture", "evaluation", "plugins/attacks"],
    types: ["plugins"],
  },
  "evaluation": {
    imports: [
      "base",
      "capture",
      "models",
      "plugins",
      "plugins/attacks",
      "plugins/host",
      "playback",
      "lab",
    ],
    types: ["report"],
  },
  "report": {
    imports: ["base"],
    types: ["capture", "evaluation", "lab", "models", "playback", "plugins"],
  },
  "lab": { imports: ["base", "capture"] },
  "packaging": { imports: ["base"] },
  "gateway": { imports: ["base"] },
};

const root = fromFileUrl(new URL("../../", import.meta.url));

function roomOf(file: string): string {
  const folders = file.split("/").slice(0, -1);
  while (folders.length > 0 && !(folders.join("/") in ROOMS)) folders.pop();
  return folders.join("/");
}

async function* sources(folder: string): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory) yield* sources(path);
    else if (entry.name.endsWith(".ts")) yield path;
  }
}

const IMPORT = /^\s*(?:import|export)\s+(type\s)?[^;"]*?from\s+"(\.[^"]+)"|import\("(\.[^"]+)"\)/gm;

/** The relative imports of a source text: what, and whether for types only. */
function importsOf(text: string): { specifier: string; typeOnly: boolean }[] {
  const code = text.replaceAll(/\/\*[\s\S]*?\*\//g, "");
  return [...code.matchAll(IMPORT)].map((match) => ({
    specifier: (match[2] ?? match[3])!,
    typeOnly: match[1] !== undefined,
  }));
}

Deno.test("rooms import only along the arrows of the design", async () => {
  const wrong: string[] = [];
  let arrows = 0;
  for (const top of new Set(Object.keys(ROOMS).map((room) => room.split("/")[0]!))) {
    const folder = join(root, top);
    if (!await Deno.stat(folder).then((stat) => stat.isDirectory, () => false)) continue;
    for await (const path of sources(folder)) {
      const from = relative(root, path);
      const room = roomOf(from);
      if (room === "") {
        wrong.push(`${from} is in no room`);
        continue;
      }
      for (const { specifier, typeOnly } of importsOf(await Deno.readTextFile(path))) {
        const to = relative(root, fromFileUrl(new URL(specifier, new URL(`file://${path}`))));
        const target = roomOf(to);
        arrows++;
        if (target === room) continue;
        const rule = ROOMS[room]!;
        if (rule.imports.includes(target)) continue;
        if (typeOnly && rule.types?.includes(target)) continue;
        wrong.push(`${from} imports ${to}${typeOnly ? " (types)" : ""}`);
      }
    }
  }
  assert.deepEqual(wrong, []);
  assert.ok(arrows > 20, `only ${arrows} imports were found: the pattern no longer matches`);
});

Deno.test("the arrow test sees an import that is not allowed", () => {
  assert.deepEqual(importsOf('import type { A } from "../a.ts";\nawait import("../b/c.ts");'), [
    { specifier: "../a.ts", typeOnly: true },
    { specifier: "../b/c.ts", typeOnly: false },
  ]);
  assert.equal(roomOf("transports/mimic/tm_client.ts"), "transports/mimic");
  assert.equal(roomOf("plugins/attack.ts"), "plugins");
});

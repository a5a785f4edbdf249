/**
 * Writes `path` whole or not at all: the bytes go to a temporary name in the same folder, which is
 * then renamed over `path`. An interrupted run leaves no half-written file under the asked-for name.
 *
 * @example
 * ```ts
 * import { writeFileAtomically } from "./atomic_file.ts";
 * const folder = await Deno.makeTempDir();
 * await writeFileAtomically(`${folder}/model.json`, "{}");
 * if (await Deno.readTextFile(`${folder}/model.json`) !== "{}") throw new Error("not written");
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function writeFileAtomically(
  path: string,
  data: string | Uint8Array,
  options: { mode?: number } = {},
): Promise<void> {
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  try {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    await Deno.writeFile(temporary, bytes, { createNew: true, ...options });
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
}

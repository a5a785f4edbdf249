import { fileURLToPath } from "node:url";

/** The folder of the project, with a slash behind it. */
export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** How a command ended and what it said. */
export interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs Deno to its end, in the project's folder unless told otherwise, with `input` to read from. */
export async function runDeno(
  args: readonly string[],
  { cwd = ROOT, input }: { readonly cwd?: string; readonly input?: Uint8Array } = {},
): Promise<Said> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd,
    env: { NO_COLOR: "1" },
    stdin: input === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  if (input !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(input);
    await writer.close();
  }
  const { code, stdout, stderr } = await child.output();
  const text = new TextDecoder();
  return { code, out: text.decode(stdout), err: text.decode(stderr) };
}

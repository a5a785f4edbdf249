import { UserError } from "../../base/mod.ts";

/** Where each program is, and its package in Debian. */
const PROGRAMS = {
  ssh: { path: "/usr/bin/ssh", debian: "openssh-client" },
  sshd: { path: "/usr/sbin/sshd", debian: "openssh-server" },
};

/** A program of OpenSSH that cannot be started. */
export class ProgramError extends UserError {
  /** `program` is its name. */
  constructor(readonly program: keyof typeof PROGRAMS, why: string, cause?: unknown) {
    super(`the carrier ssh needs OpenSSH's ${program}: ${why}`, { cause });
  }
}

/** Environment of the programs: nothing of ours, so that neither an agent nor a locale gets in. */
const ENV = { PATH: "/usr/bin:/bin", LANG: "C" };

/**
 * Starts a program of OpenSSH; nothing is known of it yet but that it runs.
 *
 * @throws {ProgramError} if it is not installed, or starting it is not allowed.
 */
export function startProgram(
  program: keyof typeof PROGRAMS,
  args: readonly string[],
  stdio: Pick<Deno.CommandOptions, "stdin" | "stdout">,
): Deno.ChildProcess {
  const { debian, path } = PROGRAMS[program];
  try {
    return new Deno.Command(path, {
      args: [...args],
      clearEnv: true,
      env: ENV,
      cwd: "/",
      stderr: "piped",
      ...stdio,
    }).spawn();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw new ProgramError(program, `there is no ${path}: install ${debian}`, error);
    }
    if (error instanceof Deno.errors.NotCapable) {
      throw new ProgramError(program, `allow it by --allow-run=${path}`, error);
    }
    throw new ProgramError(program, (error as Error).message, error);
  }
}

/** Ends a program; one that has ended already is none of ours any more. */
export function killProgram(child: Deno.ChildProcess, signal: "SIGKILL" | "SIGTERM"): void {
  try {
    child.kill(signal);
  } catch (error) {
    if (!(error instanceof TypeError) && !(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Hands each line of `stream` to `onLine`; resolves at its end. Lines are cut at 4096 characters. */
export async function readLines(
  stream: ReadableStream<Uint8Array>,
  onLine: (line: string) => void,
): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split(/\r?\n/);
    rest = lines.pop()!.slice(0, 4096);
    for (const line of lines) onLine(line);
  }
  if (rest !== "") onLine(rest);
}

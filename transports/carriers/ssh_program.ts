import { attend, UserError } from "../../base/mod.ts";
import { LAUNCHER } from "./ssh_launcher.ts";

/** Where each program is, and its package in Debian. */
const PROGRAMS = {
  ssh: { path: "/usr/bin/ssh", debian: "openssh-client" },
  sshd: { path: "/usr/sbin/sshd", debian: "openssh-server" },
};

/** Has a program end when its parent is no more, however that ended; util-linux has it. */
const SETPRIV = "/usr/bin/setpriv";

/** Runs the forced command and the launcher: part of every Debian system (perl-base). */
export const PERL = "/usr/bin/perl";

/** A program of OpenSSH that cannot be started. */
export class ProgramError extends UserError {
  /** `program` is its name. */
  constructor(readonly program: keyof typeof PROGRAMS, why: string, cause?: unknown) {
    super(`the carrier ssh needs OpenSSH's ${program}: ${why}`, { cause });
  }
}

/** Environment of the programs: nothing of ours, so that neither an agent nor a locale gets in. */
const ENV = { PATH: "/usr/bin:/bin", LANG: "C" };

function notAllowed(program: keyof typeof PROGRAMS, cause?: unknown): ProgramError {
  return new ProgramError(
    program,
    "this command may start no program: use client:ssh, server:ssh or pt:ssh instead",
    cause,
  );
}

/**
 * Asks whether a program of OpenSSH may be started, so that a command without the right to ends at once.
 *
 * @throws {ProgramError} if not.
 */
export function checkAllowed(program: keyof typeof PROGRAMS): void {
  const { path: command } = PROGRAMS[program];
  if (Deno.permissions.querySync({ name: "run", command }).state !== "granted") {
    throw notAllowed(program);
  }
}

/**
 * Starts a program of OpenSSH; nothing is known of it yet but that it runs.
 *
 * @throws {ProgramError} if it is not installed, or starting it is not allowed.
 */
export function startProgram(
  program: keyof typeof PROGRAMS,
  args: readonly string[],
  stdio: Pick<Deno.CommandOptions, "cwd" | "stdin" | "stdout">,
): Deno.ChildProcess {
  const { debian, path } = PROGRAMS[program];
  const options: Deno.CommandOptions = {
    clearEnv: true,
    env: ENV,
    cwd: "/",
    stderr: "piped",
    ...stdio,
  };
  // A listening program that outlived us would keep its port.
  if (program === "sshd") {
    try {
      Deno.statSync(path);
      return new Deno.Command(SETPRIV, {
        ...options,
        args: ["--pdeathsig", "TERM", path, ...args],
      }).spawn();
    } catch {
      // Without it, or without being allowed to start it, or there is no sshd: as below.
    }
  }
  try {
    return new Deno.Command(path, { ...options, args: [...args] }).spawn();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw new ProgramError(program, `there is no ${path}: install ${debian}`, error);
    }
    if (error instanceof Deno.errors.NotCapable) throw notAllowed(program, error);
    throw new ProgramError(program, (error as Error).message, error);
  }
}

/**
 * Asks whether sessions of sshd can be joined to a server, so that it says so at once where they cannot: what the
 * forced command says is heard by nobody.
 *
 * @param perl where it is looked for.
 * @throws {ProgramError} if there is no perl.
 */
export async function checkPerl(perl = PERL): Promise<void> {
  // Who may not look cannot know: sshd starts it, not we.
  const there = await Deno.stat(perl)
    .then(({ isFile }) => isFile, (error) => !(error instanceof Deno.errors.NotFound));
  if (!there) {
    throw new ProgramError(
      "sshd",
      `there is no ${perl}, that its sessions need: install perl-base`,
    );
  }
}

/**
 * Starts a client's `ssh` in the folder `cwd`, with pipes: by the launcher, where that may be had, so that each frame written to it is one
 * packet; else by itself.
 *
 * @throws {ProgramError} if it is not installed, or starting it is not allowed.
 */
export function launchSsh(
  args: readonly string[],
  cwd: string,
): { readonly child: Deno.ChildProcess; readonly launched: boolean } {
  const { path } = PROGRAMS.ssh;
  try {
    Deno.statSync(path);
    const child = new Deno.Command(PERL, {
      args: ["-e", LAUNCHER, path, ...args],
      clearEnv: true,
      env: ENV,
      cwd,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    return { child, launched: true };
  } catch {
    // No perl, or it may not be started, or there is no ssh: as below.
    return {
      child: startProgram("ssh", args, { cwd, stdin: "piped", stdout: "piped" }),
      launched: false,
    };
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
    attend();
    const lines = (rest + text).split(/\r?\n/);
    rest = lines.pop()!.slice(0, 4096);
    for (const line of lines) onLine(line);
  }
  if (rest !== "") onLine(rest);
}

import { UserError, writeFileAtomically } from "../base/mod.ts";
import { join } from "node:path";

/** The programs that a gateway is made with: no other is ever run. */
export const PROGRAMS = ["ip", "nft", "sysctl", "dnsmasq", "pgrep", "pkill"] as const;

/** One of {@linkcode PROGRAMS}. */
export type Program = typeof PROGRAMS[number];

/** How a program ended. */
export interface Outcome {
  /** Its exit code. */
  readonly code: number;
  /** What it wrote to standard output. */
  readonly output: string;
  /** What it wrote to standard error. */
  readonly errors: string;
}

/** What the gateway needs of a machine; the tests bring one of their own that crashes when told to. */
export interface Machine {
  /** Runs a program to its end. */
  run(program: Program, args: readonly string[], input?: string): Promise<Outcome>;
  /** Reads a file of the state folder; undefined if there is none. */
  read(name: string): Promise<string | undefined>;
  /** Writes a file of the state folder whole or not at all. */
  write(name: string, text: string): Promise<void>;
  /** Removes a file of the state folder, if there is one. */
  remove(name: string): Promise<void>;
  /** Runs `work` while no other process works on this state folder. */
  exclusively<T>(work: () => Promise<T>): Promise<T>;
  /** Path of a file of the state folder, for other programs. */
  path(name: string): string;
  /** Waits. */
  sleep(milliseconds: number): Promise<void>;
}

/** A program is missing or may not do what it was asked to. */
export class GatewayNeeds extends UserError {}

const PACKAGES: Record<Program, string> = {
  ip: "iproute2",
  nft: "nftables",
  sysctl: "procps",
  dnsmasq: "dnsmasq-base",
  pgrep: "procps",
  pkill: "procps",
};

const LOCK = "lock";

/** The machine that this process runs on (of its network namespace), with its state in `folder`. */
export class SystemMachine implements Machine {
  /** `folder` is made when first needed, for root's eyes and dnsmasq's. */
  constructor(readonly folder: string) {}

  /** See {@linkcode Machine.run}. Throws {@linkcode GatewayNeeds} if the program is not there. */
  async run(program: Program, args: readonly string[], input?: string): Promise<Outcome> {
    let child: Deno.ChildProcess;
    try {
      child = new Deno.Command(program, {
        args: [...args],
        stdin: input === undefined ? "null" : "piped",
        stdout: "piped",
        stderr: "piped",
        env: { LC_ALL: "C" },
      }).spawn();
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotCapable) {
        throw new GatewayNeeds(`${program} is missing: apt-get install ${PACKAGES[program]}`);
      }
      throw error;
    }
    if (input !== undefined) {
      const writer = child.stdin.getWriter();
      // A program that ends without reading says why itself.
      await writer.write(new TextEncoder().encode(input)).then(() => writer.close())
        .catch(() => {});
    }
    const { code, stdout, stderr } = await child.output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code, output: text(stdout), errors: text(stderr) };
  }

  /** See {@linkcode Machine.read}. */
  async read(name: string): Promise<string | undefined> {
    try {
      return await Deno.readTextFile(this.path(name));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw this.#readable(error);
    }
  }

  /** See {@linkcode Machine.write}. */
  async write(name: string, text: string): Promise<void> {
    await writeFileAtomically(this.path(name), text, { mode: 0o644 });
  }

  /** See {@linkcode Machine.remove}. */
  async remove(name: string): Promise<void> {
    await Deno.remove(this.path(name)).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }

  /** See {@linkcode Machine.exclusively}: a lock that a crash releases. */
  async exclusively<T>(work: () => Promise<T>): Promise<T> {
    let file: Deno.FsFile;
    try {
      await Deno.mkdir(this.folder, { recursive: true, mode: 0o755 });
      file = await Deno.open(this.path(LOCK), { create: true, write: true });
    } catch (error) {
      throw this.#readable(error);
    }
    using _closed = file;
    await file.lock(true);
    return await work();
  }

  /** See {@linkcode Machine.path}. */
  path(name: string): string {
    return join(this.folder, name);
  }

  /** See {@linkcode Machine.sleep}. */
  sleep(milliseconds: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, milliseconds));
  }

  #readable(error: unknown): unknown {
    if (!(error instanceof Deno.errors.PermissionDenied)) return error;
    return new GatewayNeeds(`${this.folder}: not permitted: run it as root`);
  }
}

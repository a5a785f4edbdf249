import { run, sleep } from "./process.ts";

/**
 * What everything of the laboratory is called that outlives a crash: namespaces and temporary files. The
 * owner's process id follows.
 */
export const NAMESPACE_PREFIX = "tmlab-";

/** Prefix of this process's temporary files and folders. */
export function temporaryPrefix(): string {
  return `${NAMESPACE_PREFIX}${Deno.pid}-`;
}

/**
 * Makes a folder for temporary files of this process whose path is short (21 letters at most in `/tmp`), for files
 * whose path shows on the wire.
 */
export async function makeShortFolder(): Promise<string> {
  const path = `${temporaryFolder()}/tm${Deno.pid}-${crypto.randomUUID().slice(0, 6)}`;
  await Deno.mkdir(path, { mode: 0o700 });
  return path;
}

/** Something that a run left behind. */
export interface Leftover {
  /** What it is. */
  readonly kind: "namespace" | "file";
  /** The namespace's name, or the path. */
  readonly name: string;
  /** Process id of the run. */
  readonly owner: number;
}

const OWNED = new RegExp(
  `^(?:${NAMESPACE_PREFIX}(?<owner>\\d+)-\\w*(?:\\.pcap)?|tm(?<owner>\\d+)-[0-9a-f]{6})$`,
);

/** Whether the process that made something is still at work. */
async function atWork(owner: number): Promise<boolean> {
  if (owner === Deno.pid) return true;
  const command = await run(["cat", `/proc/${owner}/cmdline`]).catch(() => "");
  return command.includes("deno");
}

function temporaryFolder(): string {
  return Deno.env.get("TMPDIR") ?? "/tmp";
}

/** What runs left behind whose process has ended; with `owner`, all that this process has. */
export async function leftovers(owner?: number): Promise<Leftover[]> {
  const found: Leftover[] = [];
  const consider = async (kind: Leftover["kind"], name: string, path: string) => {
    const id = Number(OWNED.exec(name)?.groups?.["owner"] ?? NaN);
    if (Number.isNaN(id)) return;
    if (owner === undefined ? !await atWork(id) : id === owner) {
      found.push({ kind, name: path, owner: id });
    }
  };
  for (const line of (await run(["ip", "netns", "list"])).split("\n")) {
    const name = line.split(" ")[0]!;
    await consider("namespace", name, name);
  }
  for await (const { name } of Deno.readDir(temporaryFolder())) {
    await consider("file", name, `${temporaryFolder()}/${name}`);
  }
  return found;
}

/** Removes a leftover; what runs in a namespace is ended first. */
export async function removeLeftover({ kind, name }: Leftover): Promise<void> {
  if (kind === "file") {
    await Deno.remove(name, { recursive: true }).catch(() => {});
  } else {
    await endAllIn(name);
    await removeNamespace(name);
  }
}

/**
 * Ends every process in one of the laboratory's namespaces, by process id: nobody else has any reason to
 * be in there.
 */
export async function endAllIn(namespace: string, except?: number): Promise<void> {
  for (const signal of ["TERM", "TERM", "KILL", "KILL"]) {
    const text = await run(["ip", "netns", "pids", namespace]).catch(() => "");
    const ids = text.split("\n").filter((line) => line !== "").map(Number)
      .filter((id) => id !== except && id !== Deno.pid);
    if (ids.length === 0) return;
    await run(["kill", `-${signal}`, ...ids.map(String)]).catch(() => "");
    await sleep(200);
  }
}

/** Removes a namespace; one that is gone already is no error. */
export async function removeNamespace(name: string): Promise<void> {
  await run(["ip", "netns", "del", name]).catch(() => "");
}

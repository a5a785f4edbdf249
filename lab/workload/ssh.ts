import type { Random } from "../random.ts";
import {
  between,
  type LogNormal,
  logNormal,
  pick,
  prose,
  uniform,
  weighted,
  wholeLogNormal,
  word,
} from "./distribution.ts";
import { userPauses } from "./pauses.ts";

/** A key press, or a few that come as one (a paste, an arrow key). */
export interface KeyStroke {
  /** Milliseconds since the one before. */
  readonly after: number;
  /** What is sent. */
  readonly text: string;
}

/** Something a person does over ssh: one connection. */
export type SshTask =
  | { readonly kind: "shell"; readonly keys: readonly KeyStroke[] }
  | { readonly kind: "command"; readonly command: string; readonly input: string }
  | {
    readonly kind: "copy";
    /** Which program copies. */
    readonly program: "scp" | "sftp";
    /** What it copies, one after another. */
    readonly transfers: readonly {
      readonly direction: "up" | "down";
      readonly file: string;
      /** Milliseconds before it is asked for (sftp). */
      readonly after: number;
    }[];
  };

/** One person: tasks, one after another, each after a pause of `after` milliseconds. */
export interface SshUser {
  /** What to do, and when. */
  readonly tasks: readonly { readonly after: number; readonly task: SshTask }[];
}

/** What a run needs: files on both sides, and people. */
export interface SshWorkload {
  /** Files in the home folder on the server, by name. */
  readonly serverFiles: ReadonlyMap<string, string>;
  /** Files at the client, by name. */
  readonly clientFiles: ReadonlyMap<string, string>;
  /** People. */
  readonly users: readonly SshUser[];
}

/** Gaps between keys after Dhakal et al., "Observations on typing from 136 million keystrokes" (2018). */
const KEY_GAP: LogNormal = { median: 150, sigma: 0.45, min: 45, max: 900 };
const THINK: LogNormal = { median: 1100, sigma: 0.6, min: 300, max: 4000 };
const SESSION = { shortest: 5_000, longest: 13_000 };
const COPY: LogNormal = { median: 45_000, sigma: 1.1, min: 5_000, max: 500_000 };
const TEXT: LogNormal = { median: 1_800, sigma: 1.1, min: 60, max: 30_000 };
const INPUT: LogNormal = { median: 2_000, sigma: 1.2, min: 40, max: 40_000 };

const TEXTS = Array.from({ length: 24 }, (_, index) => `notes-${index}.txt`);
const DOWNLOADS = Array.from({ length: 40 }, (_, index) => `data-${index}.bin`);
const UPLOADS = Array.from({ length: 40 }, (_, index) => `report-${index}.bin`);

function commandLine(random: Random): string {
  const text = pick(random, TEXTS);
  return pick<() => string>(random, [
    () => "ls",
    () => "ls -la",
    () => "ls -lh --sort=size",
    () => `cat ${text}`,
    () => `head -n ${between(random, 5, 60)} ${text}`,
    () => `tail -n ${between(random, 5, 60)} ${text}`,
    () => `grep -n ${pick(random, ["ta", "sen", "ver", "pi"])} ${text}`,
    () => `wc ${text} ${pick(random, TEXTS)}`,
    () => "ps aux | head -40",
    () => "ps -ef",
    () => "df -h",
    () => "uptime",
    () => "date",
    () => "env | sort",
    () => `echo ${word(random, between(random, 3, 30))} >> log.txt`,
    () => "free -m",
    () => `sort ${text} | uniq -c | sort -rn | head -30`,
    () => `find . -size +${between(random, 1, 60)}k`,
    () => `sha256sum ${pick(random, DOWNLOADS)}`,
  ])();
}

function typed(random: Random, line: string): KeyStroke[] {
  const keys: KeyStroke[] = [];
  const press = (text: string) => keys.push({ after: logNormal(random, KEY_GAP), text });
  for (const letter of line) {
    if (random.float() < 0.02) {
      press(word(random, 1));
      press("\x7f");
    }
    press(letter);
  }
  press("\r");
  return keys;
}

function shell(random: Random): SshTask {
  const length = uniform(random, SESSION.shortest, SESSION.longest);
  const keys: KeyStroke[] = [];
  let time = 0;
  while (true) {
    // Now and then a command of before is called back instead of typed again.
    const recalled = keys.length > 0 && random.float() < 0.12;
    const line = recalled
      ? [
        { after: logNormal(random, KEY_GAP), text: "\x1b[A" },
        { after: logNormal(random, KEY_GAP), text: "\r" },
      ]
      : typed(random, commandLine(random));
    const think = logNormal(random, THINK);
    const lasts = line.reduce((sum, { after }) => sum + after, think);
    if (time + lasts > length && keys.length > 0) break;
    keys.push({ ...line[0]!, after: think + line[0]!.after }, ...line.slice(1));
    time += lasts;
    if (time > length) break;
  }
  const [first, ...rest] = random.float() < 0.5
    ? [{ after: 100, text: "\x04" }]
    : typed(random, "exit");
  keys.push({ ...first!, after: logNormal(random, THINK) }, ...rest);
  return { kind: "shell", keys };
}

function copy(random: Random): SshTask {
  const program = pick(random, ["scp", "sftp"] as const);
  const count = program === "scp" ? between(random, 1, 2) : between(random, 1, 4);
  const up = random.float() < 0.5;
  return {
    kind: "copy",
    program,
    transfers: Array.from({ length: count }, () => {
      const direction = (program === "scp" ? up : random.float() < 0.5) ? "up" : "down";
      const file = pick(random, direction === "up" ? UPLOADS : DOWNLOADS);
      return { direction, file, after: logNormal(random, { ...THINK, median: 800 }) } as const;
    }),
  };
}

function task(random: Random): SshTask {
  const kind = weighted(random, { shell: 0.4, copy: 0.35, command: 0.25 });
  if (kind === "shell") return shell(random);
  if (kind === "copy") return copy(random);
  if (random.float() < 0.3) {
    const input = prose(random, wholeLogNormal(random, INPUT));
    return { kind, command: `cat > upload-${word(random, 4)}.txt`, input };
  }
  return { kind, command: commandLine(random), input: "" };
}

/** Tasks of one person in a hurry. */
const MOST_TASKS = 30;

/**
 * People at work, with more tasks than fit in a run, which ends by time: three in a hurry, or `people` with
 * {@linkcode userPauses}.
 */
export function sshWorkload(random: Random, people?: number): SshWorkload {
  const files = (names: readonly string[], shape: LogNormal) =>
    new Map(names.map((name) => [name, prose(random, wholeLogNormal(random, shape))] as const));
  return {
    serverFiles: new Map([...files(TEXTS, TEXT), ...files(DOWNLOADS, COPY)]),
    clientFiles: files(UPLOADS, COPY),
    users: Array.from({ length: people ?? 3 }, () => ({
      tasks: people === undefined
        ? Array.from({ length: MOST_TASKS }, () => ({
          after: uniform(random, 100, 3000),
          task: task(random),
        }))
        : userPauses(random).map((after) => ({ after, task: task(random) })),
    })),
  };
}

import { LAB_LINK, type LinkProfile } from "./link_profile.ts";
import { LabNetwork, type LinkKind } from "./network.ts";
import { type Running, sleep, type StartOptions } from "./process.ts";
import { type CaptureCounts, Tcpdump } from "./tcpdump.ts";
import type { TunLinkReport } from "./tun_link.ts";

/** A command to run at one end of the link, and when the next one may start. */
export interface PlayCommand {
  /** Where it runs: the client's address is 10.99.0.1, the server's 10.99.0.2. */
  readonly end: "client" | "server";
  /** The program and its arguments; a function of what the commands before have said so far, if they depend on it. */
  readonly argv: readonly string[] | ((before: readonly Started[]) => readonly string[]);
  /**
   * When to go on: `said` a pattern on standard output or error, it `listens` on a TCP port, something
   * `holds` (asked ten times a second), it `exits`, or at once. Where patience ends, `said` and `listens`
   * throw, `exit` ends the program, and `holds` goes on.
   */
  readonly until:
    | { readonly said: RegExp; readonly stream?: "output" | "errors" }
    | { readonly listens: number }
    | { readonly holds: (before: readonly Started[]) => Promise<boolean> }
    | "exit"
    | "started";
  /** Milliseconds to wait for that at most (default 30,000). */
  readonly patience?: number;
  /** Milliseconds that it may take to end when it is told to (default 3000). */
  readonly ending?: number;
  /** Its standard input, which then ends; left open where absent. */
  readonly input?: string;
  /** Environment and working folder. */
  readonly options?: StartOptions;
  /** Whether it has `much` to compute: see {@linkcode LabNetwork.inside}. */
  readonly computes?: "little" | "much";
}

/** A command that was started earlier. */
export interface Started {
  /** What it has written to standard output, the last 64 KiB. */
  readonly output: string;
  /** What it has written to standard error, the last 64 KiB. */
  readonly errors: string;
  /** Its exit code; undefined while it runs. */
  readonly code: number | undefined;
}

/** How to play commands over a link. */
export interface PlayOptions {
  /** Where tcpdump's recording goes; nothing is recorded where absent. */
  readonly path?: string;
  /** The link (default {@linkcode LAB_LINK}). */
  readonly link?: LinkProfile;
  /** Which kind of link; probed where left out. */
  readonly kind?: LinkKind;
  /** Share of packets lost at random, from 0 to 1 (default: the link's). */
  readonly loss?: number;
  /** What else is to be there before the commands start. */
  readonly prepare?: (network: LabNetwork) => Promise<void>;
  /** Commands in the order in which they start. Those that still run when the last is through are ended. */
  readonly commands: readonly PlayCommand[];
}

/** How one command ended. */
export interface PlayedCommand {
  /** What ran. */
  readonly argv: readonly string[];
  /** Its exit code; undefined if it still ran when all was over, and was ended. */
  readonly code: number | undefined;
  /** The last 64 KiB of its standard output. */
  readonly output: string;
  /** The last 64 KiB of its standard error. */
  readonly errors: string;
}

/** What a play came to. */
export interface PlayReport {
  /** One entry a command, in order. */
  readonly commands: readonly PlayedCommand[];
  /** tcpdump's counts; absent where nothing was recorded. */
  readonly packets: CaptureCounts | undefined;
  /** How the link was made. */
  readonly linkKind: LinkKind;
  /** What a `tun` link forwarded and dropped. */
  readonly link: TunLinkReport | undefined;
  /** How commands and tcpdump ran before others of the machine. */
  readonly priority: string;
}

/**
 * Runs commands at the two ends of a laboratory link, with tcpdump at the client's end: how our own
 * tm-client and tm-server are recorded on the same link as the samples. Needs what
 * {@linkcode missingFor} says of no protocol. Everything started is ended before it returns or throws.
 *
 * ```ts ignore
 * const { commands } = await play({
 *   path: "cover.pcap",
 *   commands: [
 *     { end: "server", argv: ["my-server", "10.99.0.2"], until: { listens: 443 } },
 *     { end: "client", argv: ["my-client", "10.99.0.2"], until: "exit", patience: 60_000 },
 *   ],
 * });
 * ```
 */
export async function play(options: PlayOptions): Promise<PlayReport> {
  const { path, link = LAB_LINK, kind, loss, commands } = options;
  const network = await LabNetwork.up({
    link,
    ...(kind === undefined ? {} : { kind }),
    ...(loss === undefined ? {} : { loss }),
  });
  const running: Running[] = [];
  const argvs: (readonly string[])[] = [];
  let codes: (number | undefined)[] = [];
  let packets: CaptureCounts | undefined;
  try {
    await options.prepare?.(network);
    const tcpdump = path === undefined ? undefined : await Tcpdump.start(network, path);
    for (const command of commands) {
      const { end, argv, options, computes } = command;
      argvs.push(typeof argv === "function" ? argv(running) : argv);
      const program = network.start(end, argvs.at(-1)!, options, computes);
      running.push(program);
      await follow(network, running, command);
    }
    // Those that ended in the meantime keep their codes; the rest is ended now, the clients first.
    codes = running.map(({ code }) => code);
    for (const [index, program] of [...running.entries()].toReversed()) {
      await program.stop("SIGTERM", commands[index]!.ending);
    }
    await network.quiet(3000);
    packets = await tcpdump?.stop();
  } finally {
    await network[Symbol.asyncDispose]();
  }
  return {
    commands: running.map(({ output, errors }, index) => ({
      argv: argvs[index]!,
      code: codes[index],
      output,
      errors,
    })),
    packets,
    linkKind: network.kind,
    link: network.report,
    priority: network.priority,
  };
}

async function follow(
  network: LabNetwork,
  running: readonly Running[],
  { until, input, end, patience = 30_000 }: PlayCommand,
): Promise<void> {
  const program = running.at(-1)!;
  if (input !== undefined) {
    await program.write(input);
    await program.closeInput();
  }
  if (until === "exit") await program.ended(patience);
  else if (until !== "started") {
    if ("said" in until) await program.said(until.said, patience, until.stream);
    else if ("listens" in until) await network.listening(until.listens, patience, end);
    else {
      const deadline = performance.now() + patience;
      while (!await until.holds(running) && performance.now() < deadline) await sleep(100);
    }
  }
}

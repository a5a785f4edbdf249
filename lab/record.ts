import { type Random, seededRandom } from "./random.ts";
import { LAB_LINK, type LinkProfile } from "./link_profile.ts";
import type { LabProtocol } from "./needs.ts";
import { LabNetwork, type LinkKind, type UserEnds } from "./network.ts";
import { temporaryPrefix } from "./leftovers.ts";
import { recordHttps } from "./record_https.ts";
import { recordSmtp } from "./record_smtp.ts";
import { recordSsh } from "./record_ssh.ts";
import { type CaptureCounts, Tcpdump } from "./tcpdump.ts";
import type { TunLinkReport } from "./tun_link.ts";

/** A stage that a workload plays on. */
export interface Stage {
  /** The two ends and the link between them. */
  readonly network: LabNetwork;
  /** A folder for configuration, state and files; removed afterwards. */
  readonly folder: string;
  /** Where the workload draws from. */
  readonly random: Random;
  /** Milliseconds for which users begin new things. */
  readonly milliseconds: number;
  /** Where each of several users talks from and to; undefined where all share the two ends. */
  readonly users: readonly UserEnds[] | undefined;
}

/** A workload ready to play: servers run, and `play` has the users use them. */
export interface Workload {
  /** Has the users do what they do; returns what they did, as counts for people to read. */
  play(): Promise<Record<string, number>>;
}

const WORKLOADS: Record<LabProtocol, (stage: Stage) => Promise<Workload>> = {
  https: recordHttps,
  ssh: recordSsh,
  smtp: recordSmtp,
};

/**
 * Milliseconds for which users of each protocol begin new things in one run: enough for 25 connections or
 * more, and little enough that six runs of each stay within the size of the samples.
 */
export const RUN_LENGTH: Readonly<Record<LabProtocol, number>> = {
  https: 30_000,
  ssh: 52_000,
  smtp: 36_000,
};

/** How to record one run. */
export interface RecordOptions {
  /** What to record. */
  readonly protocol: LabProtocol;
  /** Where the capture goes (libpcap format). */
  readonly path: string;
  /** Seeds the run; the same seed draws the same workload. */
  readonly seed: string;
  /** Milliseconds for which users begin new things (default {@linkcode RUN_LENGTH}). */
  readonly milliseconds?: number;
  /** The link (default {@linkcode LAB_LINK}). */
  readonly link?: LinkProfile;
  /** Which kind of link; probed where left out. */
  readonly kind?: LinkKind;
  /**
   * People with addresses of their own, who pause as people do: long enough that episodes and sessions end.
   * Where left out, two or three without pauses share one address.
   */
  readonly users?: number;
}

/** What one run was. */
export interface RunReport {
  /** What was recorded. */
  readonly protocol: LabProtocol;
  /** Its seed. */
  readonly seed: string;
  /** When it began, ISO 8601. */
  readonly date: string;
  /** How the link was made. */
  readonly linkKind: LinkKind;
  /** What users did. */
  readonly did: Readonly<Record<string, number>>;
  /** How programs and tcpdump ran before others of the machine; nice -20 where absent. */
  readonly priority?: string;
  /** Users with addresses and pauses of their own; absent where all shared one address. */
  readonly users?: number;
  /** tcpdump's counts. */
  readonly packets: CaptureCounts;
  /** What the link did; absent where the kernel made it. */
  readonly link?: TunLinkReport;
}

/** Records one run of real programs. All that it starts is ended before it returns or throws. */
export async function recordRun(options: RecordOptions): Promise<RunReport> {
  const { protocol, seed, path } = options;
  const date = new Date().toISOString();
  const folder = await Deno.makeTempDir({ prefix: temporaryPrefix() });
  let network: LabNetwork | undefined;
  try {
    // Servers that give up root must still reach their files.
    await Deno.chmod(folder, 0o711);
    network = await LabNetwork.up({
      link: options.link ?? LAB_LINK,
      ...(options.kind === undefined ? {} : { kind: options.kind }),
      ...(options.users === undefined ? {} : { users: options.users }),
    });
    const workload = await WORKLOADS[protocol]({
      network,
      folder,
      random: seededRandom("run", protocol, seed),
      milliseconds: options.milliseconds ?? RUN_LENGTH[protocol],
      users: options.users === undefined ? undefined : network.users,
    });
    const tcpdump = await Tcpdump.start(network, path);
    const did = await workload.play();
    await network.quiet(12_000);
    const packets = await tcpdump.stop();
    await network[Symbol.asyncDispose]();
    const link = network.report;
    const linkKind = network.kind;
    return {
      protocol,
      seed,
      date,
      linkKind,
      did,
      packets,
      priority: network.priority,
      ...(options.users === undefined ? {} : { users: options.users }),
      ...(link === undefined ? {} : { link }),
    };
  } finally {
    await network?.[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true }).catch(() => {});
  }
}

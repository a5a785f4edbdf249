import { UserError } from "../base/mod.ts";
import { hasNetem } from "./network.ts";
import { run } from "./process.ts";

/** The laboratory cannot run here; the message has one line for each thing that is missing. */
export class LabNeeds extends UserError {
  /** `missing`: one clear line each. */
  constructor(readonly missing: readonly string[]) {
    super(missing.join("\nerror: "));
  }
}

/** Traffic that the laboratory can record. */
export type LabProtocol = "https" | "ssh" | "smtp";

/** Every {@linkcode LabProtocol}. */
export const LAB_PROTOCOLS: readonly LabProtocol[] = ["https", "ssh", "smtp"];

const PACKAGES: Record<string, string> = {
  ip: "iproute2",
  iperf: "iperf",
  ss: "iproute2",
  tcpdump: "tcpdump",
  openssl: "openssl",
  nginx: "nginx-light",
  chromium: "chromium",
  sshd: "openssh-server",
  ssh: "openssh-client",
  scp: "openssh-client",
  sftp: "openssh-client",
  "ssh-keygen": "openssh-client",
  postfix: "postfix",
  swaks: "swaks",
  curl: "curl",
  dnsmasq: "dnsmasq-base",
  ffmpeg: "ffmpeg",
  nft: "nftables",
  perl: "perl-base",
  setpriv: "util-linux",
  udhcpc: "udhcpc",
};

const FOR_LINK = ["ip", "ss"];
const FOR_RECORDING = [...FOR_LINK, "tcpdump"];
const FOR_PROTOCOL: Record<LabProtocol, readonly string[]> = {
  https: ["nginx", "openssl", "chromium"],
  ssh: ["sshd", "ssh", "scp", "sftp", "ssh-keygen"],
  smtp: ["postfix", "swaks", "curl", "openssl"],
};

/** What drives bulk transfers through a tunnel. */
export const FOR_TRANSFERS: readonly string[] = ["iperf"];

const FOLDERS = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** Programs that a recording of applications behind a gateway needs. */
export const FOR_APPS: readonly string[] = [
  ...["chromium", "dnsmasq", "ffmpeg", "nft", "nginx", "openssl", "udhcpc"],
];

/** Where a program is installed; undefined if it is not. */
export async function findProgram(name: string): Promise<string | undefined> {
  for (const folder of FOLDERS) {
    try {
      if ((await Deno.stat(`${folder}/${name}`)).isFile) return `${folder}/${name}`;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return undefined;
}

/** Whether this process may make network namespaces: CAP_NET_ADMIN and CAP_SYS_ADMIN (root has both). */
export async function mayMakeNamespaces(): Promise<boolean> {
  // Asked of a child: this process may be kept from reading /proc, and a child has the same rights.
  const status = await run(["cat", "/proc/self/status"]).catch(() => "");
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? "0"}`);
  return (effective >> 12n & 1n) === 1n && (effective >> 21n & 1n) === 1n;
}

/**
 * What is missing for a recording of `protocols` (or, with none, for a link and tcpdump alone) and for what
 * needs `more` programs: one line each, empty if nothing is.
 */
export async function missingFor(
  protocols: readonly LabProtocol[],
  more: readonly string[] = [],
): Promise<string[]> {
  const missing: string[] = [];
  if (Deno.build.os !== "linux") return ["the laboratory needs Linux: use the samples that ship"];
  if (!await mayMakeNamespaces()) {
    missing.push(
      "the laboratory makes network namespaces: run it as root (it needs CAP_NET_ADMIN and CAP_SYS_ADMIN)",
    );
  }
  const tun = await run(["test", "-c", "/dev/net/tun"]).then(() => true, () => false);
  if (!tun && !(missing.length === 0 && await hasNetem().catch(() => false))) {
    missing.push("there is no /dev/net/tun, and no netem in the kernel: modprobe tun");
  }
  const programs = new Set(
    [...FOR_RECORDING, ...protocols.flatMap((name) => FOR_PROTOCOL[name]), ...more],
  );
  for (const program of programs) {
    if (await findProgram(program) === undefined) {
      missing.push(`${program} is missing: apt-get install ${PACKAGES[program]}`);
    }
  }
  return missing;
}

/** Throws {@linkcode LabNeeds} if anything that `protocols` need, or any of `more` programs, is missing. */
export async function demand(
  protocols: readonly LabProtocol[],
  more: readonly string[] = [],
): Promise<void> {
  const missing = await missingFor(protocols, more);
  if (missing.length > 0) throw new LabNeeds(missing);
}

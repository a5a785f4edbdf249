import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import hls from "hls.js/package.json" with { type: "json" };
import playwright from "playwright-core/package.json" with { type: "json" };
import { createGzip } from "node:zlib";
import { UserError, writeFileAtomically } from "../../base/mod.ts";
import { readCapture } from "../../capture/mod.ts";
import { temporaryPrefix } from "../leftovers.ts";
import { LAB_LINK, type LinkProfile } from "../link_profile.ts";
import { findProgram } from "../needs.ts";
import { denoCache } from "../network.ts";
import { ProgramFailed, run, Running, sleep } from "../process.ts";
import { startNameServer } from "../servers/names.ts";
import { startWebFarm } from "../servers/web_farm.ts";
import { type CaptureCounts, parseCounts } from "../tcpdump.ts";
import type { TunLinkReport } from "../tun_link.ts";
import { type Application, ORIGINS } from "./applications.ts";
import { makeMedia, type Media } from "./media.ts";
import { AppsNetwork, LAN_DEVICE } from "./network.ts";
import type { VisitorSettings } from "./visitor.ts";

/** A round went wrong in a way that would make a bad recording. */
export class BadRound extends UserError {}

/** Bytes kept of each packet: link layer, IP and TCP headers with any options, and next to no payload. */
const SNAP_LENGTH = 96;

/** How long an application may take to come to an end after its time, in milliseconds. */
const LAST_THINGS = 60_000;

/** What to record. */
export interface AppsOptions {
  /** Folder: `<out>/round-<k>/<application>.pcap.gz` and `<out>/PROVENANCE.json`. */
  readonly out: string;
  /** Which applications, at the same time, each behind an address of its own. */
  readonly applications: readonly Application[];
  /** How many rounds, each with servers, gateway, browsers and a seed of its own. */
  readonly rounds: number;
  /** Number of the first round (default 1). */
  readonly first?: number;
  /** Minutes for which people begin new things in a round. */
  readonly minutes: number;
  /** Seed; round k uses `<seed>/<k>`. */
  readonly seed: string;
  /** Films and clips that the rounds choose among (default 6 and 8). */
  readonly media?: Media;
  /** A folder that keeps films and clips for the next run; otherwise they are made anew. */
  readonly mediaFolder?: string;
  /** The link between the gateway and the hosts outside (default {@linkcode LAB_LINK}). */
  readonly link?: LinkProfile;
  /** Called when something begins: what, and how many rounds are done. */
  readonly onStage?: (what: string, done: number) => void;
}

/** What is known of one recording. */
export interface AppRecording {
  /** File, relative to the folder of PROVENANCE.json. */
  readonly file: string;
  /** SHA-256 of the file. */
  readonly sha256: string;
  /** Bytes of the file. */
  readonly bytes: number;
  /** What was used. */
  readonly application: Application;
  /** Number of the round. */
  readonly round: number;
  /** Its seed. */
  readonly seed: string;
  /** When the round began, ISO 8601. */
  readonly date: string;
  /** Minutes for which the person began new things. */
  readonly minutes: number;
  /** The client's address on the LAN, from DHCP. */
  readonly client: string;
  /** What the person did. */
  readonly did: Readonly<Record<string, number>>;
  /** tcpdump's counts. */
  readonly packets: CaptureCounts;
  /** Connections and conversations by the addresses and ports of both ends; UDP's are DNS. */
  readonly conversations: { readonly tcp: number; readonly udp: number };
  /** Bytes on the wire, IP headers included. */
  readonly wireBytes: number;
}

/** PROVENANCE.json. */
export interface AppsProvenance {
  /** Version of this format. */
  readonly schema: 1;
  /** Programs and their versions. */
  readonly programs: Readonly<Record<string, string>>;
  /** The link between the gateway and the hosts outside; the LAN has none. */
  readonly link: LinkProfile;
  /** Bytes kept of each packet. */
  readonly snapLength: number;
  /** What the link did in each round. */
  readonly links: Readonly<Record<string, TunLinkReport>>;
  /** One entry a file, sorted by file. */
  readonly recordings: readonly AppRecording[];
}

const VERSIONS: Record<string, readonly string[]> = {
  system: ["uname", "-sr"],
  chromium: ["chromium", "--version"],
  nginx: ["nginx", "-v"],
  dnsmasq: ["dnsmasq", "--version"],
  nft: ["nft", "--version"],
  ffmpeg: ["ffmpeg", "-version"],
  tcpdump: ["tcpdump", "--version"],
};

async function versions(): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const [name, argv] of Object.entries(VERSIONS)) {
    const program = new Running(argv, { env: { HOME: "/nonexistent" } });
    await program.closeInput();
    await program.ended(10_000);
    found[name] = (program.output.trim() || program.errors.trim()).split("\n")[0]!.trim();
  }
  return { ...found, "playwright-core": playwright.version, "hls.js": hls.version };
}

/** tcpdump on the gateway's interface towards the clients, for one of them. */
async function startCapture(
  network: AppsNetwork,
  path: string,
  address: string,
): Promise<Running> {
  const program = network.start(network.gateway, [
    ...["tcpdump", "-i", LAN_DEVICE, "-Z", "root", "-s", `${SNAP_LENGTH}`, "-U", "-n"],
    ...["-B", "16384", "--immediate-mode", "-w", path],
    ...["host", address, "and", "(tcp or udp)", "and", "not", "port", "67"],
  ]);
  await program.said(/listening on/, 10_000, "errors");
  return program;
}

/** Starts one person with one application. */
async function startVisitor(
  network: AppsNetwork,
  folder: string,
  settings: VisitorSettings,
): Promise<Running> {
  const home = `${folder}/${settings.application}`;
  await Deno.mkdir(home);
  const program = fileURLToPath(new URL("visitor.ts", import.meta.url));
  const argv = [
    ...[Deno.execPath(), "run", "--quiet", "--no-prompt", "--no-remote", "--cached-only"],
    // playwright-core looks at the machine and writes profiles; all of it stays in the folder.
    ...["--allow-read", `--allow-write=${folder}`, "--allow-env", "--allow-sys"],
    ...[`--allow-run=${settings.chromium}`, program, JSON.stringify(settings)],
  ];
  return new Running(network.asClient(settings.application, argv), {
    env: {
      NO_COLOR: "1",
      DENO_NO_UPDATE_CHECK: "1",
      HOME: home,
      TMPDIR: home,
      LC_ALL: "C.UTF-8",
      ...denoCache(),
    },
  });
}

/** What a recording holds. */
async function measure(path: string): Promise<Pick<AppRecording, "conversations" | "wireBytes">> {
  const seen = { tcp: new Set<string>(), udp: new Set<string>() };
  let wireBytes = 0;
  await readCapture(path, (packet) => {
    wireBytes += packet.ipLength;
    const { addresses, sourcePort, destinationPort } = packet;
    const ends = [
      `${addresses.subarray(0, 4).join(".")}:${sourcePort}`,
      `${addresses.subarray(16, 20).join(".")}:${destinationPort}`,
    ].sort().join(" ");
    if (packet.protocol === 6) seen.tcp.add(ends);
    else if (packet.protocol === 17) seen.udp.add(ends);
  });
  return { conversations: { tcp: seen.tcp.size, udp: seen.udp.size }, wireBytes };
}

async function compress(from: string, to: string): Promise<string> {
  const temporary = `${to}.${crypto.randomUUID()}.tmp`;
  try {
    await pipeline(createReadStream(from), createGzip({ level: 6 }), createWriteStream(temporary));
    await Deno.rename(temporary, to);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
  const digest = createHash("sha256");
  await pipeline(createReadStream(to), digest);
  return digest.digest("hex");
}

/** Records one round; all that it starts is ended before it returns or throws. */
async function recordRound(
  options: AppsOptions,
  round: number,
  shared: { readonly media: Media; readonly folder: string; readonly chromium: string },
): Promise<{ readonly recordings: AppRecording[]; readonly link?: TunLinkReport }> {
  const { applications, minutes } = options;
  const seed = `${options.seed}/${round}`;
  const date = new Date().toISOString();
  const folder = await Deno.makeTempDir({ prefix: temporaryPrefix() });
  let network: AppsNetwork | undefined;
  try {
    await Deno.chmod(folder, 0o711);
    await run(["ln", "-s", shared.folder, `${folder}/media`]);
    network = await AppsNetwork.up({
      link: options.link ?? LAB_LINK,
      outside: ORIGINS.map(({ address }) => address),
      clients: applications,
      folder,
    });
    await startWebFarm(network, folder, ORIGINS);
    await startNameServer(network, folder, ORIGINS);
    await network.setUpGateway();
    const started = [];
    for (const application of applications) {
      const client = await network.lease(application);
      const raw = `${folder}/${application}.pcap`;
      started.push({ application, client, raw, tcpdump: await startCapture(network, raw, client) });
    }
    const visitors = await Promise.all(
      applications.map((application) =>
        startVisitor(network!, folder, {
          application,
          seed,
          milliseconds: minutes * 60_000,
          media: shared.media,
          chromium: shared.chromium,
        })
      ),
    );
    await Promise.all(visitors.map((visitor) => visitor.ended(minutes * 60_000 + LAST_THINGS)));
    await sleep(1500);
    const recordings: AppRecording[] = [];
    await Deno.mkdir(`${options.out}/round-${round}`, { recursive: true });
    for (const [index, { application, client, raw, tcpdump }] of started.entries()) {
      await tcpdump.stop("SIGINT", 10_000);
      const visitor = visitors[index]!;
      const file = `round-${round}/${application}.pcap.gz`;
      if (visitor.code !== 0) {
        throw new ProgramFailed(`${file}: the visitor failed`, visitor.errors);
      }
      const packets = parseCounts(tcpdump.errors);
      if (packets.dropped > 0) {
        throw new BadRound(`${file}: tcpdump missed ${packets.dropped} packets: try again`);
      }
      const measured = await measure(raw);
      const sha256 = await compress(raw, `${options.out}/${file}`);
      const { size } = await Deno.stat(`${options.out}/${file}`);
      recordings.push({
        ...{ file, sha256, bytes: size, application, round, seed, date, minutes, client },
        did: JSON.parse(visitor.output) as Record<string, number>,
        packets,
        ...measured,
      });
    }
    await network[Symbol.asyncDispose]();
    const link = network.report;
    return { recordings, ...(link === undefined ? {} : { link }) };
  } finally {
    await network?.[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true }).catch(() => {});
  }
}

async function readProvenance(path: string): Promise<AppsProvenance | undefined> {
  try {
    return JSON.parse(await Deno.readTextFile(path)) as AppsProvenance;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Makes films and clips, unless the folder has those of the same seed and number. */
async function haveMedia(folder: string, seed: string, media: Media): Promise<void> {
  const made = JSON.stringify({ seed, ...media });
  if (await Deno.readTextFile(`${folder}/made.json`).catch(() => "") === made) return;
  await Deno.mkdir(folder, { recursive: true });
  await makeMedia(folder, seed, media);
  await Deno.writeTextFile(`${folder}/made.json`, made);
}

/**
 * Records people who use applications behind a gateway, round after round, and writes the captures (headers only)
 * with their provenance: PROVENANCE.json in the same folder keeps its entries about other files.
 */
export async function recordApps(options: AppsOptions): Promise<AppRecording[]> {
  const first = options.first ?? 1;
  const media = options.media ?? { films: 6, clips: 8 };
  const chromium = await findProgram("chromium") ?? "chromium";
  const programs = await versions();
  const all: AppRecording[] = [];
  await Deno.mkdir(options.out, { recursive: true });
  const folder = await Deno.makeTempDir({ prefix: temporaryPrefix() });
  const films = options.mediaFolder ?? folder;
  try {
    await Deno.chmod(folder, 0o711);
    options.onStage?.("films", 0);
    await haveMedia(films, options.seed, media);
    const player = fileURLToPath(import.meta.resolve("hls.js/dist/hls.min.js"));
    await Deno.copyFile(player, `${films}/hls.js`);
    for (let round = first; round < first + options.rounds; round++) {
      options.onStage?.(`round ${round}`, round - first);
      const { recordings, link } = await recordRound(options, round, {
        media,
        folder: films,
        chromium,
      });
      all.push(...recordings);
      const path = `${options.out}/PROVENANCE.json`;
      const before = await readProvenance(path);
      const kept = (before?.recordings ?? [])
        .filter(({ file }) => !recordings.some((each) => each.file === file));
      const provenance: AppsProvenance = {
        schema: 1,
        programs,
        link: options.link ?? LAB_LINK,
        snapLength: SNAP_LENGTH,
        links: { ...before?.links, ...(link === undefined ? {} : { [`round-${round}`]: link }) },
        recordings: [...kept, ...recordings].sort((a, b) => a.file < b.file ? -1 : 1),
      };
      await writeFileAtomically(path, `${JSON.stringify(provenance, undefined, 2)}\n`);
    }
  } finally {
    await Deno.remove(folder, { recursive: true }).catch(() => {});
  }
  return all;
}

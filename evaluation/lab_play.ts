import { LinkType } from "../capture/link_type.ts";
import type { Connection } from "../capture/connection.ts";
import { PROTOCOL_TCP } from "../capture/packet.ts";
import { readCapture } from "../capture/read_capture.ts";
import { readConnections } from "../capture/read_connections.ts";
import { type CaptureRecord, writeCaptureFile } from "../capture/write_capture.ts";
import type { LinkProfile } from "../lab/link_profile.ts";
import { temporaryPrefix } from "../lab/leftovers.ts";
import { demand } from "../lab/needs.ts";
import { denoCache, type LabNetwork, type LinkKind, SERVER_ADDRESS } from "../lab/network.ts";
import { play, type PlayCommand } from "../lab/play.ts";
import { sleep } from "../lab/process.ts";
import { frontingNginx, WEB_BEHIND, WEB_HOST } from "../lab/servers/nginx.ts";
import { MAIL_BEHIND, startPostfix } from "../lab/servers/postfix.ts";
import type { CaptureCounts } from "../lab/tcpdump.ts";
import type { TunLinkReport } from "../lab/tun_link.ts";
import { Lateness, type LatenessSummary } from "../playback/lateness.ts";
import type { WireEvent } from "../playback/wire_log.ts";
import { loadModel } from "../models/mod.ts";
import { UsageError, UserError } from "../base/mod.ts";
import { readWireLog } from "./demo/nodes.ts";
import { coverSeed } from "./demo/play.ts";
import type { CarriedTransfers } from "./lab_transfer.ts";

/** A play over the laboratory's link did not come to its end. */
export class LabPlayFailed extends UserError {
  /** `part` is what failed, `words` the last that it said. */
  constructor(readonly part: string, words: string) {
    super(`${part} failed: ${words.trim().split("\n").at(-1) || "it said nothing"}`);
  }
}

/** How one model is played over the laboratory's link. */
export interface LabPlayOptions {
  /** Name or path of the model. */
  readonly model: string;
  /** Where the recording goes (libpcap format). */
  readonly out: string;
  /** Folder for keys, logs and the whole recording; it exists and is empty. An absolute path. */
  readonly folder: string;
  /** What is carried, each way. */
  readonly payload: Uint8Array;
  /** Simulated users: model sessions played at once. */
  readonly sessions: number;
  /** Cover connections to record. */
  readonly connections: number;
  /** Milliseconds that transfers and recording may take at most. */
  readonly patience: number;
  /**
   * `own`: the carrier that the model is for, with the genuine programs around it, so that a recording has its
   * handshake. `tls` (the default): in TLS whatever the model, as the demo and the simulation play it. `fronted`:
   * in TLS with a genuine nginx in front.
   */
  readonly carrier?: "own" | "tls" | "fronted";
  /** Seed of the cover: the demo's play with the same seed plays the same connections. */
  readonly seed: string;
  /** The link between the two ends (default the laboratory's). */
  readonly link?: LinkProfile;
  /** Which kind of link; probed where left out. */
  readonly kind?: LinkKind;
  /** Cover connections that ended so far. */
  readonly onProgress?: (connections: number) => void;
}

/** What playing one model over the laboratory's link showed. */
export interface LabPlayed extends CarriedTransfers {
  /** The recording: the connections chosen, whole, and nothing else. */
  readonly capture: string;
  /** The model's digest. */
  readonly digest: string;
  /** The carrier that it was played in, or `fronted`. */
  readonly carrier: string;
  /** When recording began, ISO 8601. */
  readonly date: string;
  /** Connections chosen: the first that began. */
  readonly recorded: number;
  /** Those of them that were still open when time was up, and are left out. */
  readonly unfinished: number;
  /** tcpdump's counts. */
  readonly packets: CaptureCounts;
  /** How the link was made. */
  readonly linkKind: LinkKind;
  /** What a `tun` link forwarded and dropped. */
  readonly link: TunLinkReport | undefined;
  /** How the nodes and tcpdump ran before others of the machine. */
  readonly priority: string;
  /** Milliseconds by which each node's records left it later than planned. */
  readonly lateness: { readonly client: LatenessSummary; readonly server: LatenessSummary };
}

/** What stands around our server, so that the outside is the genuine one. */
interface Outside {
  /** The server's port: that of the protocol's samples. */
  readonly port: number;
  /** Programs that must be installed. */
  readonly programs: readonly string[];
  /** Programs that the nodes start. */
  readonly starts?: { readonly server: readonly string[]; readonly client: readonly string[] };
  /** Starts or prepares what strangers meet. */
  readonly prepare?: (network: LabNetwork, folders: Folders) => Promise<Around>;
}

interface Folders {
  /** For the files of what strangers meet. */
  readonly own: string;
  /** Our server reads and writes it. */
  readonly folder: string;
  /** Our server's state. */
  readonly state: string;
}

/** What {@linkcode Outside.prepare} leaves to do. */
interface Around {
  /** What the server is told of it. */
  readonly told: readonly string[];
  /** What is to be started when the server is there: it has the server's port. */
  readonly front?: readonly string[];
}

const PLAIN: Outside = { port: 443, programs: [] };

const OUTSIDES: Readonly<Record<string, Outside>> = {
  tls: PLAIN,
  fronted: {
    ...PLAIN,
    programs: ["nginx", "openssl"],
    prepare: async (_, { own, folder, state }) => {
      const { certificate, argv } = await frontingNginx(own, `${state}/nginx.conf`);
      await Deno.copyFile(certificate, `${folder}/web.crt`);
      const { host, port } = WEB_BEHIND;
      return {
        told: [
          ...["--front", `--cert=${folder}/web.crt`, `--name=${WEB_HOST}`],
          ...[`--listen=${host}:${port}`, `--advertise=${SERVER_ADDRESS}:${PLAIN.port}`],
        ],
        front: argv,
      };
    },
  },
  smtp: {
    port: 25,
    programs: ["postfix", "openssl"],
    prepare: async (network, { own, folder }) => {
      // Postfix gives up root, and must still reach its files.
      await Deno.chmod(own, 0o711);
      const { certificate, key } = await startPostfix(network, own, true);
      await Deno.copyFile(certificate, `${folder}/mail.crt`);
      await Deno.copyFile(key, `${folder}/mail.key`);
      const { host, port } = MAIL_BEHIND;
      return {
        told: [
          ...[`--listen=${SERVER_ADDRESS}:25`, `--decoy=${host}:${port}`],
          ...[`--cert=${folder}/mail.crt`, `--key=${folder}/mail.key`],
        ],
      };
    },
  },
  ssh: {
    port: 22,
    programs: ["ssh", "sshd", "setpriv"],
    starts: {
      server: ["/usr/bin/ssh", "/usr/sbin/sshd", "/usr/bin/setpriv"],
      client: ["/usr/bin/ssh"],
    },
  },
};

const DOOR_PORT = 1080;
const DESTINATION_PORT = 9000;
/** Places in the list of commands. */
const SERVER = 1;
const CLIENT = 3;
const CARRY = 4;
/** Milliseconds in which the last packets of a connection that ended are recorded as well. */
const FAREWELL = 500;

const root = decodeURIComponent(new URL("../", import.meta.url).pathname);

function program(
  file: string,
  rights: Record<string, readonly string[]>,
  ...args: string[]
): string[] {
  return [
    Deno.execPath(),
    ...["run", "--quiet", "--no-prompt", "--no-remote", "--cached-only"],
    ...Object.entries(rights).map(([right, names]) => `--allow-${right}=${names.join(",")}`),
    `${root}${file}`,
    ...args,
  ];
}

/** The connections that began first, from a client's log, and whether they have ended. */
function chosenOf(events: readonly WireEvent[], most: number): Map<string, boolean> {
  const chosen = new Map<string, boolean>();
  for (const { what, session, serial } of events) {
    const name = `${session}/${serial}`;
    if (what === "open" && chosen.size < most) chosen.set(name, false);
    if (what === "close" && chosen.has(name)) chosen.set(name, true);
  }
  return chosen;
}

function latenessOf(events: readonly WireEvent[]): LatenessSummary {
  const lateness = new Lateness();
  for (const { what, time, planned } of events) {
    if (what === "record") lateness.add(time - planned);
  }
  return lateness.summary();
}

/**
 * Finds the connections that began first in a recording, and which of them were over at `time`. Not by the ports of
 * a node's log: over ssh the TCP connection is not the node's own.
 */
async function firstConnections(file: string, serverPort: number, most: number, time: number) {
  const all: Connection[] = [];
  await readConnections(file, {
    onConnection: (connection) => {
      if (connection.serverPort === serverPort) all.push(connection);
    },
  });
  const first = all.sort((a, b) => a.startTime - b.startTime).slice(0, most);
  const over = first.filter(({ end, endTime }) =>
    (end.how === "fin" || end.how === "rst") && endTime <= time
  );
  return { all, first, over };
}

/** Copies the packets of `chosen` among all connections of a recording, which may have a port in turn. */
async function copyConnections(
  from: string,
  to: string,
  serverPort: number,
  all: readonly Connection[],
  chosen: readonly Connection[],
) {
  const wanted = new Set(chosen);
  const byPort = Map.groupBy(all, ({ clientPort }) => clientPort);
  const records: CaptureRecord[] = [];
  await readCapture(from, (packet) => {
    const { time, protocol, sourcePort, destinationPort, data, ipLength } = packet;
    const port = destinationPort === serverPort ? sourcePort : destinationPort;
    if (protocol !== PROTOCOL_TCP) return;
    const connection = byPort.get(port)?.findLast(({ startTime }) => startTime <= time);
    if (connection === undefined || !wanted.has(connection)) return;
    const start = packet.payloadStart + packet.payloadLength - ipLength;
    records.push({ time, data: data.slice(start, start + ipLength) });
  });
  await writeCaptureFile(to, records, { format: "pcap", linkType: LinkType.raw });
}

/**
 * Plays a model between a tm-server and a tm-client in two network namespaces, over the laboratory's
 * link, carries the payload each way, and has tcpdump record the first cover connections at the client's
 * end. As in the demo they are chosen by when they began, and their ends are waited for. Everything started
 * is ended before it returns or throws.
 *
 * @throws {UsageError} for a carrier that is not known here.
 * @throws {LabNeeds} where a program that the carrier needs is missing.
 * @throws {ProgramFailed} if a program does not start.
 * @throws {LabPlayFailed} if a node ends early, or not all user data was carried in time.
 */
export async function playOverLab(options: LabPlayOptions): Promise<LabPlayed> {
  const { folder, model, connections, onProgress } = options;
  const raw = `${folder}/all.pcap`;
  const payloadFile = `${folder}/payload`;
  const clientLog = `${folder}/client.jsonl`;
  // Before anything starts: whatever is wrong with the model is one clear line.
  const { description } = await loadModel(model);
  const carrier = options.carrier === "own" ? description.carrier : options.carrier ?? "tls";
  const outside = OUTSIDES[carrier];
  if (outside === undefined) {
    throw new UsageError(
      `the laboratory cannot play carrier ${carrier} of ${model}: only ${
        Object.keys(OUTSIDES).join(", ")
      }`,
    );
  }
  await demand([], outside.programs);
  const { port: serverPort, starts } = outside;
  const own = await Deno.makeTempDir({ prefix: temporaryPrefix() });
  // sshd tells its clients the path of their key: of one length with that in the samples, or it would show.
  const state = own.slice(0, -"/ssh".length);
  await Deno.mkdir(state, { mode: 0o700 });
  await Deno.writeFile(payloadFile, options.payload);
  const env = { NO_COLOR: "1", HOME: "/nonexistent", TMPDIR: folder, ...denoCache() };
  const read = [root, folder, state, ...(/[./\\]/.test(model) ? [await Deno.realPath(model)] : [])];
  const rights = { read, write: [folder, state], env: ["NO_COLOR,FORCE_COLOR,CLICOLOR_FORCE"] };
  const shared = [`--model=${model}`, `--carrier=${carrier === "fronted" ? "tls" : carrier}`];
  // Over ssh the nodes talk to their programs on ports of this machine.
  const local = (door: string) => starts === undefined ? door : "127.0.0.1";
  let around: Around = { told: [`--listen=${SERVER_ADDRESS}:${serverPort}`] };
  let deadline = 0;
  let over = 0;
  const commands: PlayCommand[] = [{
    end: "server",
    argv: program(
      "evaluation/lab_transfer.ts",
      { net: [`127.0.0.1:${DESTINATION_PORT}`], read: [payloadFile] },
      ...["serve", "127.0.0.1", `${DESTINATION_PORT}`, payloadFile],
    ),
    until: { listens: DESTINATION_PORT },
  }, {
    end: "server",
    argv: () =>
      program(
        "cli/main.ts",
        {
          ...rights,
          net: [`${SERVER_ADDRESS}:${serverPort}`, "127.0.0.1"],
          ...(starts === undefined ? {} : { run: starts.server }),
        },
        "server",
        ...shared,
        ...around.told,
        `--state=${state}`,
        `--wire-log=${folder}/server.jsonl`,
        "--allow-private",
      ),
    until: { said: /^mimic .*\n/ },
    ending: 8000,
  }, {
    end: "server",
    argv: () => around.front ?? ["true"],
    until: outside === OUTSIDES["fronted"] ? { listens: serverPort } : "started",
  }, {
    end: "client",
    argv: (before) =>
      program(
        "cli/main.ts",
        {
          ...rights,
          net: [`${SERVER_ADDRESS}:${serverPort}`, local(`127.0.0.1:${DOOR_PORT}`)],
          ...(starts === undefined ? {} : { run: starts.client }),
        },
        "client",
        `--line=${before[SERVER]!.output.trim()}`,
        `--forward=127.0.0.1:${DOOR_PORT}=127.0.0.1:${DESTINATION_PORT}`,
        ...shared,
        `--sessions=${options.sessions}`,
        `--seed=${coverSeed(options.seed, model)}`,
        `--wire-log=${clientLog}`,
      ),
    until: { said: /^ready: / },
    ending: 8000,
  }, {
    end: "client",
    argv: () => {
      deadline = performance.now() + options.patience;
      return program(
        "evaluation/lab_transfer.ts",
        { net: [`127.0.0.1:${DOOR_PORT}`], read: [payloadFile] },
        ...["carry", "127.0.0.1", `${DOOR_PORT}`, payloadFile],
      );
    },
    until: "exit",
    patience: options.patience,
  }, {
    end: "client",
    argv: ["true"],
    until: {
      holds: async (before) => {
        const chosen = chosenOf(await readWireLog(clientLog), connections);
        const done = chosen.values().filter((closed) => closed).toArray().length;
        onProgress?.(done);
        if (done === connections) await sleep(FAREWELL);
        // Connections that end from now on are ended by us.
        over = Date.now();
        // Without the user data it has failed; without its client, or in time, nothing more comes.
        return done === connections || before[CARRY]!.code !== 0 ||
          before[CLIENT]!.code !== undefined || performance.now() > deadline;
      },
    },
    patience: options.patience,
  }];
  const date = new Date().toISOString();
  const { commands: ended, packets, linkKind, link, priority } = await play({
    path: raw,
    prepare: async (network) => {
      around = await outside.prepare?.(network, { own, folder, state }) ?? around;
    },
    ...(options.link === undefined ? {} : { link: options.link }),
    ...(options.kind === undefined ? {} : { kind: options.kind }),
    commands: commands.map((command) => ({ ...command, options: { env } })),
  }).finally(async () => {
    for (const path of [own, state]) await Deno.remove(path, { recursive: true });
  });
  for (const [index, node] of [[SERVER, "tm-server"], [CLIENT, "tm-client"]] as const) {
    const { code, errors } = ended[index]!;
    if (code !== undefined) throw new LabPlayFailed(`the ${node} of ${model}`, errors);
  }
  const { code, output, errors } = ended[CARRY]!;
  if (code !== 0) {
    throw new LabPlayFailed(
      `the transfer under ${model}`,
      errors || "not all had been carried when time was up",
    );
  }
  const recorded = await firstConnections(raw, serverPort, connections, over);
  await copyConnections(raw, options.out, serverPort, recorded.all, recorded.over);
  return {
    ...JSON.parse(output) as CarriedTransfers,
    capture: options.out,
    digest: description.digest,
    carrier,
    date,
    recorded: recorded.first.length,
    unfinished: recorded.first.length - recorded.over.length,
    packets: packets!,
    linkKind,
    link,
    priority,
    lateness: {
      client: latenessOf(await readWireLog(clientLog)),
      server: latenessOf(await readWireLog(`${folder}/server.jsonl`)),
    },
  };
}

import { LinkType } from "../capture/link_type.ts";
import type { Connection } from "../capture/connection.ts";
import { PROTOCOL_TCP } from "../capture/packet.ts";
import { readCapture } from "../capture/read_capture.ts";
import { readConnections } from "../capture/read_connections.ts";
import { type CaptureRecord, writeCaptureFile } from "../capture/write_capture.ts";
import type { LinkKind } from "../lab/network.ts";
import { play, type PlayCommand } from "../lab/play.ts";
import { sleep } from "../lab/process.ts";
import type { CaptureCounts } from "../lab/tcpdump.ts";
import type { TunLinkReport } from "../lab/tun_link.ts";
import { Lateness, type LatenessSummary } from "../playback/lateness.ts";
import type { WireEvent } from "../playback/wire_log.ts";
import { readWireLog } from "./demo/nodes.ts";
import { coverSeed } from "./demo/play.ts";
import {
  type LabCarrier,
  type LabLinkOptions,
  LabNodes,
  LabPlayFailed,
  playEnvironment,
  projectProgram,
} from "./lab_nodes.ts";
import type { CarriedTransfers } from "./lab_transfer.ts";

/** How one model is played over the laboratory's link. */
export interface LabPlayOptions extends LabLinkOptions {
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
  /** What the outside looks like: see {@linkcode LabNodesOptions.carrier}. */
  readonly carrier?: LabCarrier;
  /** Seed of the cover: the demo's play with the same seed plays the same connections. */
  readonly seed: string;
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

const DOOR_PORT = 1080;
const DESTINATION_PORT = 9000;
/** Places in the list of commands. */
const SERVER = 1;
const CLIENT = 3;
const CARRY = 4;
/** Milliseconds in which the last packets of a connection that ended are recorded as well. */
const FAREWELL = 500;

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
  // Before anything starts: whatever is wrong with the model is one clear line.
  await using nodes = await LabNodes.make({
    ...{ model, folder, sessions: options.sessions, seed: coverSeed(options.seed, model) },
    ...(options.carrier === undefined ? {} : { carrier: options.carrier }),
    ports: { door: DOOR_PORT, destination: DESTINATION_PORT },
  });
  await Deno.writeFile(payloadFile, options.payload);
  const env = playEnvironment(folder);
  let deadline = 0;
  let over = 0;
  const commands: PlayCommand[] = [
    {
      end: "server",
      argv: projectProgram(
        "evaluation/lab_transfer.ts",
        { net: [`127.0.0.1:${DESTINATION_PORT}`], read: [payloadFile] },
        ...["serve", "127.0.0.1", `${DESTINATION_PORT}`, payloadFile],
      ),
      until: { listens: DESTINATION_PORT },
    },
    ...await nodes.commands(SERVER),
    {
      end: "client",
      argv: () => {
        deadline = performance.now() + options.patience;
        return projectProgram(
          "evaluation/lab_transfer.ts",
          { net: [`127.0.0.1:${DOOR_PORT}`], read: [payloadFile] },
          ...["carry", "127.0.0.1", `${DOOR_PORT}`, payloadFile],
        );
      },
      until: "exit",
      patience: options.patience,
    },
    {
      end: "client",
      argv: ["true"],
      until: {
        holds: async (before) => {
          const chosen = chosenOf(await readWireLog(nodes.wireLog("client")), connections);
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
    },
  ];
  const date = new Date().toISOString();
  const { commands: ended, packets, linkKind, link, priority } = await play({
    path: raw,
    prepare: (network) => nodes.prepare(network),
    ...(options.link === undefined ? {} : { link: options.link }),
    ...(options.kind === undefined ? {} : { kind: options.kind }),
    commands: commands.map((command) => ({ options: { env }, ...command })),
  });
  nodes.check(ended, SERVER);
  const { code, output, errors } = ended[CARRY]!;
  if (code !== 0) {
    throw new LabPlayFailed(
      `the transfer under ${model}`,
      errors || "not all had been carried when time was up",
    );
  }
  const recorded = await firstConnections(raw, nodes.port, connections, over);
  await copyConnections(raw, options.out, nodes.port, recorded.all, recorded.over);
  return {
    ...JSON.parse(output) as CarriedTransfers,
    capture: options.out,
    digest: nodes.description.digest,
    carrier: nodes.carrier,
    date,
    recorded: recorded.first.length,
    unfinished: recorded.first.length - recorded.over.length,
    packets: packets!,
    linkKind,
    link,
    priority,
    lateness: {
      client: latenessOf(await readWireLog(nodes.wireLog("client"))),
      server: latenessOf(await readWireLog(nodes.wireLog("server"))),
    },
  };
}

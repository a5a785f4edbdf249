import { LinkType } from "../capture/link_type.ts";
import { PROTOCOL_TCP } from "../capture/packet.ts";
import { readCapture } from "../capture/read_capture.ts";
import { type CaptureRecord, writeCaptureFile } from "../capture/write_capture.ts";
import type { LinkProfile } from "../lab/link_profile.ts";
import { denoCache, type LinkKind, SERVER_ADDRESS } from "../lab/network.ts";
import { play, type PlayCommand } from "../lab/play.ts";
import { sleep } from "../lab/process.ts";
import type { CaptureCounts } from "../lab/tcpdump.ts";
import type { TunLinkReport } from "../lab/tun_link.ts";
import type { WireEvent } from "../playback/wire_log.ts";
import { loadModel } from "../models/mod.ts";
import { UserError } from "../base/mod.ts";
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
}

const SERVER_PORT = 443;
const DOOR_PORT = 1080;
const DESTINATION_PORT = 9000;
/** Places in the list of commands. */
const SERVER = 1;
const CLIENT = 2;
const CARRY = 3;
/** Milliseconds in which the last packets of a connection that ended are recorded as well. */
const FAREWELL = 500;

const root = decodeURIComponent(new URL("../", import.meta.url).pathname);

function program(file: string, rights: Record<string, string[]>, ...args: string[]): string[] {
  return [
    Deno.execPath(),
    ...["run", "--quiet", "--no-prompt", "--no-remote", "--cached-only"],
    ...Object.entries(rights).map(([right, names]) => `--allow-${right}=${names.join(",")}`),
    `${root}${file}`,
    ...args,
  ];
}

/** The connections that began first, from a client's log, and whether they have ended. */
function chosenOf(events: readonly WireEvent[], most: number): Map<number, boolean> {
  const chosen = new Map<number, boolean>();
  for (const { what, connection } of events) {
    const port = Number(connection);
    if (what === "open" && chosen.size < most) chosen.set(port, false);
    if (what === "close" && chosen.has(port)) chosen.set(port, true);
  }
  return chosen;
}

/** Copies the packets of the connections from these client ports. */
async function copyConnections(from: string, to: string, ports: ReadonlySet<number>) {
  const records: CaptureRecord[] = [];
  await readCapture(from, (packet) => {
    const { time, protocol, sourcePort, destinationPort, data, ipLength } = packet;
    const port = destinationPort === SERVER_PORT ? sourcePort : destinationPort;
    if (protocol !== PROTOCOL_TCP || !ports.has(port)) return;
    const start = packet.payloadStart + packet.payloadLength - ipLength;
    records.push({ time, data: data.slice(start, start + ipLength) });
  });
  await writeCaptureFile(to, records, { format: "pcap", linkType: LinkType.raw });
}

/**
 * Plays a model between a tm-server and a tm-client in two network namespaces, over the laboratory's
 * link, carries the payload each way, and has tcpdump record the first cover connections at the client's
 * end. As in the demo they are chosen by when they began, and their ends are waited for. Needs what
 * {@linkcode missingFor} says of no protocol. Everything started is ended before it returns or throws.
 *
 * @throws {ProgramFailed} if a program does not start.
 * @throws {LabPlayFailed} if a node ends early, or not all user data was carried in time.
 */
export async function playOverLab(options: LabPlayOptions): Promise<LabPlayed> {
  const { folder, model, connections, onProgress } = options;
  const raw = `${folder}/all.pcap`;
  const payloadFile = `${folder}/payload`;
  const clientLog = `${folder}/client.jsonl`;
  // Before anything starts: whatever is wrong with the model is one clear line.
  await loadModel(model);
  await Deno.writeFile(payloadFile, options.payload);
  const env = { NO_COLOR: "1", HOME: "/nonexistent", ...denoCache() };
  const read = [root, folder, ...(/[./\\]/.test(model) ? [await Deno.realPath(model)] : [])];
  const rights = { read, write: [folder], env: ["NO_COLOR,FORCE_COLOR,CLICOLOR_FORCE"] };
  const shared = [`--model=${model}`, "--carrier=tls"];
  let whole: ReadonlySet<number> = new Set();
  let deadline = 0;
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
    argv: program(
      "cli/main.ts",
      { ...rights, net: [`${SERVER_ADDRESS}:${SERVER_PORT}`, "127.0.0.1"] },
      "server",
      `--listen=${SERVER_ADDRESS}:${SERVER_PORT}`,
      ...shared,
      `--state=${folder}/state`,
      `--wire-log=${folder}/server.jsonl`,
      "--allow-private",
    ),
    until: { said: /^mimic .*\n/ },
    ending: 8000,
  }, {
    end: "client",
    argv: (before) =>
      program(
        "cli/main.ts",
        { ...rights, net: [`${SERVER_ADDRESS}:${SERVER_PORT}`, `127.0.0.1:${DOOR_PORT}`] },
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
        whole = new Set([...chosen].filter(([, over]) => over).map(([port]) => port));
        onProgress?.(whole.size);
        if (whole.size === connections) await sleep(FAREWELL);
        // Without the user data it has failed; without its client, or in time, nothing more comes.
        return whole.size === connections || before[CARRY]!.code !== 0 ||
          before[CLIENT]!.code !== undefined || performance.now() > deadline;
      },
    },
    patience: options.patience,
  }];
  const { commands: ended, packets, linkKind, link } = await play({
    path: raw,
    ...(options.link === undefined ? {} : { link: options.link }),
    ...(options.kind === undefined ? {} : { kind: options.kind }),
    commands: commands.map((command) => ({ ...command, options: { env } })),
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
  const chosen = [...chosenOf(await readWireLog(clientLog), connections)];
  const finished = new Set(chosen.filter(([port]) => whole.has(port)).map(([port]) => port));
  await copyConnections(raw, options.out, finished);
  return {
    ...JSON.parse(output) as CarriedTransfers,
    capture: options.out,
    recorded: chosen.length,
    unfinished: chosen.length - finished.size,
    packets: packets!,
    linkKind,
    link,
  };
}

import { PROTOCOL_TCP } from "../capture/packet.ts";
import { readCapture } from "../capture/read_capture.ts";
import { constantRateFile, loadModel, serialiseModel } from "../models/mod.ts";
import { LINKS } from "../lab/link_profile.ts";
import { demand, FOR_TRANSFERS } from "../lab/needs.ts";
import { play, type PlayCommand } from "../lab/play.ts";
import { run } from "../lab/process.ts";
import { constantRateNamed } from "./constant_rates.ts";
import { coverSeed } from "./demo/play.ts";
import { type LabCarrier, type LabLinkOptions, LabNodes, LabPlayFailed } from "./lab_nodes.ts";
import {
  type IperfLine,
  parseIperf,
  type RecordedTransfer,
  type TransferCase,
} from "./recorded_transfers.ts";

/** How one bulk transfer is driven. */
export interface LabBulkTransferOptions extends TransferCase, Pick<LabLinkOptions, "kind"> {
  /** User bytes. */
  readonly bytes: number;
  /** The outside: the model's own carrier unless told. */
  readonly carrier?: LabCarrier;
  /** Seconds that the cover plays before the transfer begins. */
  readonly warmUp: number;
  /** Seconds that the transfer may take. */
  readonly patience: number;
  /** An empty folder for keys, logs and the recording. An absolute path. */
  readonly folder: string;
}

const DOOR_PORT = 1080;
const DESTINATION_PORT = 5001;
/** Places in the list of commands. */
const IPERF_SERVER = 0;
const SERVER = 1;
const CLIENT = 3;
const IPERF_CLIENT = 5;
/** An iperf of before version 2.1 sends no header; that of today leaves four bytes of such a client uncounted. */
const UNCOUNTED = 4;

/**
 * The name or path that nodes find a model by: constant rate at a rate of its own is written into `folder`.
 *
 * @throws {ModelFileError} where there is no such model.
 */
export async function playableModel(
  model: string,
  folder: string,
): Promise<{ readonly name: string; readonly digest: string; readonly carrier: string }> {
  const constant = constantRateNamed(model);
  const name = constant === undefined ? model : `${folder}/constant-rate.json`;
  if (constant !== undefined) {
    await Deno.writeTextFile(name, serialiseModel(constantRateFile(constant)).text);
  }
  const { carrier, digest } = (await loadModel(name)).description;
  return { name, digest, carrier };
}

/**
 * What drives one direction: iperf 2, for it needs one connection and nothing but it, where iperf 3 talks over a
 * second one all the while. From the client it speaks as versions before 2.1 did, and its server never answers; the
 * other way its client asks in 60 bytes.
 */
export function iperfClient(from: "client" | "server", bytes: number): string[] {
  return [
    ...["iperf", "-c", "127.0.0.1", "-p", `${DOOR_PORT}`, "-n", `${bytes}`, "-y", "C"],
    from === "client" ? "-C" : "-R",
  ];
}

/** Bytes of a recording's TCP packets from `start` to `end`, both ways, without and with their headers. */
async function bytesBetween(path: string, start: number, end: number) {
  let payloadBytes = 0;
  let wireBytes = 0;
  await readCapture(path, ({ ipLength, payloadLength, protocol, time }) => {
    if (protocol !== PROTOCOL_TCP || time < start || time > end) return;
    payloadBytes += payloadLength;
    wireBytes += ipLength;
  });
  return { payloadBytes, wireBytes };
}

/**
 * Drives one bulk transfer by iperf through a tunnel over the laboratory's link, one direction by itself, under
 * cover of one session in `strict`; tcpdump counts at the client's end what it cost. Bandwidth is what iperf's
 * receiving end says. Everything started is ended before it returns or throws.
 *
 * @throws {LabNeeds} where a program is missing, or the right to make namespaces.
 * @throws {LabPlayFailed} if a node or iperf ends early, or other bytes arrive than were sent.
 */
export async function bulkTransferOverLab(
  options: LabBulkTransferOptions,
): Promise<RecordedTransfer> {
  const { bytes, folder, from, link, model, patience, seed, warmUp } = options;
  await demand([], FOR_TRANSFERS);
  const { name } = await playableModel(model, folder);
  await using nodes = await LabNodes.make({
    ...{ model: name, folder, sessions: 1, seed: coverSeed(seed, model) },
    carrier: options.carrier ?? "own",
    ports: { door: DOOR_PORT, destination: DESTINATION_PORT },
  });
  let start = 0;
  let end = 0;
  let found: IperfLine | undefined;
  const receiver = from === "client" ? IPERF_SERVER : IPERF_CLIENT;
  const commands: PlayCommand[] = [
    {
      end: "server",
      argv: ["iperf", "-s", "-B", "127.0.0.1", "-p", `${DESTINATION_PORT}`, "-y", "C"],
      until: { listens: DESTINATION_PORT },
    },
    ...await nodes.commands(SERVER),
    {
      end: "client",
      argv: ["sleep", `${warmUp}`],
      until: "exit",
      patience: warmUp * 1000 + 10_000,
    },
    {
      end: "client",
      argv: () => {
        start = Date.now();
        return iperfClient(from, bytes);
      },
      until: {
        holds: (before) => {
          found = parseIperf(before[receiver]!.output)[0];
          end = Date.now();
          const { code } = before[IPERF_CLIENT]!;
          const over = [SERVER, CLIENT].some((at) => before[at]!.code !== undefined) ||
            (from === "client" ? (code ?? 0) !== 0 : code !== undefined);
          return Promise.resolve(over || found !== undefined);
        },
      },
      patience: patience * 1000,
    },
  ];
  const load = Number((await run(["cat", "/proc/loadavg"])).split(" ")[0]);
  const path = `${folder}/all.pcap`;
  const date = new Date().toISOString();
  const { commands: ended } = await play({
    path,
    link: LINKS[link]!,
    ...(options.kind === undefined ? {} : { kind: options.kind }),
    prepare: (network) => nodes.prepare(network),
    commands,
  });
  nodes.check(ended, SERVER);
  const { code, errors } = ended[IPERF_CLIENT]!;
  if (found === undefined && code !== undefined && (code !== 0 || from === "server")) {
    throw new LabPlayFailed(`iperf under ${model}`, errors);
  }
  if (found !== undefined && (found.bytes > bytes || found.bytes < bytes - UNCOUNTED)) {
    throw new LabPlayFailed(`iperf under ${model}`, `${found.bytes} bytes came of ${bytes}`);
  }
  return {
    ...{ model, link, from, seed, date, load },
    digest: nodes.description.digest,
    carrier: nodes.carrier,
    ...(found === undefined ? {} : { kbps: found.kbps }),
    seconds: (end - start) / 1000,
    ...await bytesBetween(path, start, end),
  };
}

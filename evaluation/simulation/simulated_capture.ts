import { LinkType } from "../../capture/link_type.ts";
import { type CaptureRecord, encodeCapture } from "../../capture/write_capture.ts";
import type { CaptureSource } from "../../capture/read_capture.ts";
import { CLIENT_ADDRESS, SERVER_ADDRESS } from "../../lab/network.ts";
import { pathRecords } from "../../lab/path_capture.ts";
import type { LinkProfile } from "../../lab/link_profile.ts";
import type { CoverModel, End } from "../../models/mod.ts";
import type { EngineStats, Scheduling } from "../../playback/mod.ts";
import { SimulatedTunnel } from "./simulated_tunnel.ts";

/** When a simulated recording begins: 1 January 2025, 00:00 UTC, in milliseconds since the Unix epoch. */
const EPOCH = Date.UTC(2025, 0, 1);
/** Client ports, used again once all were. */
const FIRST_PORT = 32_768;
const PORTS = 28_000;
/** Milliseconds after the last end: its last packets. */
const FAREWELL = 2000;
/** Milliseconds of virtual time a connection may take on average. */
const PATIENCE = 600_000;

/** What {@linkcode simulateCapture} plays. */
export interface SimulatedCaptureOptions {
  /** The model. */
  readonly model: CoverModel;
  /** The link. */
  readonly link: LinkProfile;
  /** Everything is drawn from it: 32 bytes, as a tm-client's `--seed` has them. */
  readonly seed: Uint8Array;
  /** Cover connections to record: the first that begin, to their ends. */
  readonly connections: number;
  /** Model sessions played at once; 1 if absent. */
  readonly sessions?: number;
  /** Who decides when episodes start; `strict` if absent. */
  readonly schedule?: Scheduling;
  /** Who is master; the client if absent. */
  readonly master?: End;
  /** How late packets are: quantiles in milliseconds; see `linkLateness`. Never if absent. */
  readonly lateness?: readonly number[];
  /** Port of the server; 443 if absent. */
  readonly serverPort?: number;
  /** How many connections have ended. */
  readonly onProgress?: (ended: number) => void;
}

/** A simulated recording. */
export interface SimulatedCapture {
  /** Connections recorded. */
  readonly connections: number;
  /** Those of them that were still open when patience ended. */
  readonly unfinished: number;
  /** Packets recorded. */
  readonly packets: number;
  /** Virtual milliseconds that it took. */
  readonly duration: number;
  /** Client port of each connection, and its session and serial number in the model. */
  readonly names: ReadonlyMap<number, string>;
  /** What each end counted. */
  readonly stats: Readonly<Record<End, EngineStats>>;
  /** What went wrong: cover connections that were given up, refusals. */
  readonly faults: readonly unknown[];
  /** The packets as a recorder at the client's end has them (raw IP). */
  records(): Generator<CaptureRecord>;
}

/**
 * Plays a model in virtual time over a link's model, without a user, and records the first connections as tcpdump
 * at the client's end would have them: the same engine, plans and sizes as on sockets, a model's times.
 *
 * Payload is a skeleton: a TLS handshake that our reader recognises, headers of records, zeros.
 *
 * @example
 * ```ts
 * import { simulateCapture } from "./simulated_capture.ts";
 * import { SIMULATED_LINKS } from "./links.ts";
 * import { ConstantRate } from "../../models/mod.ts";
 * const { connections, packets } = simulateCapture({
 *   model: new ConstantRate(),
 *   link: SIMULATED_LINKS["canada-uk"]!,
 *   seed: new Uint8Array(32),
 *   connections: 5,
 * });
 * if (connections !== 5 || packets < 100) throw new Error("not the seed's constant rate");
 * ```
 */
export function simulateCapture(options: SimulatedCaptureOptions): SimulatedCapture {
  const { connections, link, model, seed } = options;
  const wanted = (id: string) => Number(id.slice(1)) < connections;
  const open = new Set<string>();
  const names = new Map<number, string>();
  let ended = 0;
  const tunnel = new SimulatedTunnel({
    model,
    link,
    seed,
    sessions: options.sessions ?? 1,
    ...(options.schedule === undefined ? {} : { schedule: options.schedule }),
    ...(options.master === undefined ? {} : { master: options.master }),
    ...(options.lateness === undefined ? {} : { lateness: options.lateness }),
    keep: (connection) => connection < connections,
    onWire: ({ what, connection, session, serial }) => {
      if (!wanted(connection)) return;
      if (what === "open") {
        open.add(connection);
        names.set(portOf(Number(connection.slice(1))), `${session}/${serial}`);
      }
      if (what === "close" && open.delete(connection)) {
        ended++;
        if (ended % 64 === 0) options.onProgress?.(ended);
      }
    },
  });
  tunnel.run(PATIENCE * connections, () => ended >= connections);
  const duration = tunnel.clock.now();
  tunnel.run(FAREWELL + 4 * link.oneWayDelayMs);
  tunnel.stop();
  const { path } = tunnel;
  const recorded = Array.from({ length: names.size }, (_, id) => ({
    clientPort: portOf(id),
    payload: path.payload.bind(path, id),
  }));
  return {
    connections: recorded.length,
    unfinished: open.size,
    packets: path.packets.length,
    duration,
    names,
    stats: tunnel.stats,
    faults: tunnel.faults,
    records: () =>
      pathRecords(path.packets, recorded, {
        clientAddress: CLIENT_ADDRESS,
        serverAddress: SERVER_ADDRESS,
        serverPort: options.serverPort ?? 443,
        epoch: EPOCH,
        oneWayDelayMs: link.oneWayDelayMs,
        mss: link.mss,
      }),
  };
}

function portOf(connection: number): number {
  return FIRST_PORT + connection % PORTS;
}

/** A simulated recording as a capture to read, under `name`. */
export function simulatedSource(capture: SimulatedCapture, name: string): CaptureSource {
  return { name, stream: encoded(capture) };
}

/** The bytes of a pcap file. */
function encoded(capture: SimulatedCapture): ReadableStream<Uint8Array<ArrayBuffer>> {
  return ReadableStream.from(capture.records())
    .pipeThrough(encodeCapture({ format: "pcap", linkType: LinkType.raw }));
}

/** Writes a simulated recording, whole or not at all (libpcap format; gzipped where `path` ends in `.gz`). */
export async function writeSimulatedCapture(
  capture: SimulatedCapture,
  path: string,
): Promise<void> {
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  try {
    const file = await Deno.open(temporary, { write: true, createNew: true });
    const stream = path.endsWith(".gz")
      ? encoded(capture).pipeThrough(new CompressionStream("gzip"))
      : encoded(capture);
    await stream.pipeTo(file.writable);
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
}

import {
  type Connection,
  messageSequence,
  readConnections,
  SEED_FEATURES,
  seedFeatures,
} from "../capture/mod.ts";
import { largestGap } from "../base/largest_gap.ts";
import { readWireLog } from "./demo/nodes.ts";
import { spreadOf } from "./metrics.ts";

/** A recording of cover, and the log of the tm-client in it. */
export interface LoggedRecording {
  /** The recording. */
  readonly capture: string;
  /** The tm-client's wire log: it tells which connection of the model each one is. */
  readonly clientLog: string;
}

/** One cover connection in a recording, by what an attack reads of it. */
export interface RecordedCover {
  /** The seed's features, in the order of {@linkcode SEED_FEATURES}. */
  readonly features: readonly number[];
  /** Segments with payload after the handshake, `[client, server]`. */
  readonly segments: readonly [number, number];
  /** Messages after the handshake: bytes, positive from the client and negative from the server. */
  readonly messages: readonly number[];
  /** Bytes missing from the recording: 0, or it is not whole. */
  readonly missingBytes: number;
}

/** The same connection of the model in two recordings. */
export interface CoverPair {
  /** Session and serial number in the model. */
  readonly name: string;
  /** As the first recording has it, and as the second does. */
  readonly both: readonly [RecordedCover, RecordedCover];
}

async function coverOf(recording: LoggedRecording): Promise<Map<string, RecordedCover>> {
  const names = new Map<number, string>();
  for (const { what, connection, session, serial } of await readWireLog(recording.clientLog)) {
    if (what === "open") names.set(Number(connection), `${session}/${serial}`);
  }
  const cover = new Map<string, RecordedCover>();
  const add = (connection: Connection) => {
    const name = names.get(connection.clientPort);
    if (name === undefined) return;
    const features = [...seedFeatures(connection)];
    const [sent, received, sizeSent, sizeReceived] = features as [number, number, number, number];
    cover.set(name, {
      features,
      segments: [Math.round(sent / (sizeSent || 1)), Math.round(received / (sizeReceived || 1))],
      messages: [...messageSequence(connection).sizes],
      missingBytes: connection.missingBytes[0] + connection.missingBytes[1],
    });
  };
  await readConnections(recording.capture, { onConnection: add });
  return cover;
}

/**
 * Pairs the connections of two recordings of one model, one seed and one number of sessions: plans are
 * drawn from the seed, the session and the serial number, so that equal names mean equal plans.
 * Connections that only one recording has are left out.
 */
export async function pairRecordings(
  first: LoggedRecording,
  second: LoggedRecording,
): Promise<CoverPair[]> {
  const others = await coverOf(second);
  return [...await coverOf(first)].flatMap(([name, one]) => {
    const other = others.get(name);
    return other === undefined ? [] : [{ name, both: [one, other] as const }];
  });
}

/** One feature in two recordings. */
export interface FeatureLikeness {
  /** Its name. */
  readonly name: string;
  /** Medians over the paired connections, in bytes, or milliseconds for `duration`. */
  readonly medians: readonly [number, number];
  /** Distance between the two distributions, from 0 to 1 (Kolmogorov-Smirnov). */
  readonly ks: number;
}

/** Compares the seed's features of paired connections. */
export function compareCover(pairs: readonly CoverPair[]): FeatureLikeness[] {
  return SEED_FEATURES.map((name, column) => {
    const [first, second] = [0, 1].map((which) =>
      Float64Array.from(pairs, ({ both }) => both[which]!.features[column]!)
    ) as [Float64Array, Float64Array];
    return {
      name,
      medians: [spreadOf([...first]).median, spreadOf([...second]).median],
      ks: largestGap(first, second),
    };
  });
}

import { createHash } from "node:crypto";
import type { Connection } from "../../capture/connection.ts";
import { readMergedConnections } from "../../capture/read_connections.ts";
import { substream } from "../random.ts";
import { hashedSource } from "./hashed_source.ts";
import {
  forLayersOnly,
  type LearnedModel,
  learnModel,
  NothingToLearnError,
  plainName,
} from "./learn.ts";
import { type CaptureCounts, type LeftOut, Observer } from "./observer.ts";
import type { LearnableProtocol } from "./protocols.ts";

/** What to learn from captures. */
export interface LearnCapturesOptions {
  /** The protocols to look for; one model is made of each that is found. */
  readonly protocols: readonly LearnableProtocol[];
  /** Label connections by their server's well-known port, as the seed did. */
  readonly byPort: boolean;
  /** `conditional` or `structural`. */
  readonly kind: string;
  /** A number: the same captures with the same number give the same bytes. */
  readonly seed: number;
  /** The models' name; only for a single protocol. */
  readonly name?: string | undefined;
  /** The carrier that the models are for, if not the protocol's own. */
  readonly carrier?: string | undefined;
  /** Accept captures that end in the middle of a packet. */
  readonly allowTruncated?: boolean;
  /** All captures are parts of one trace, such as one direction each: read them in order of time. */
  readonly merge?: boolean;
  /**
   * Captures of users over hours: episodes and sessions are learned from these, connections from the others. Of the
   * others, too, if absent.
   */
  readonly users?: readonly string[];
  /** Called as reading goes on: a file's name and the bytes read of it. */
  readonly onProgress?: (name: string, done: number) => void;
}

/** One capture as it was read, or several that were read as one trace. */
export interface CaptureRead {
  /** File name without folders; of several, joined by ` + `. */
  readonly name: string;
  /** SHA-256 of the file; of several, that of their digests in hex, a line each. */
  readonly sha256: string;
  /** Packets of every kind. */
  readonly packets: number;
  /** Where a capture that is cut short ends; undefined for whole ones. */
  readonly truncatedAt: number | undefined;
  /** TCP connections. */
  readonly connections: number;
}

/** What became of one protocol. */
export interface ProtocolLearned {
  /** The protocol. */
  readonly protocol: LearnableProtocol;
  /** Its model; undefined where nothing could be used. */
  readonly model: LearnedModel | undefined;
  /** Connections of it seen in each capture, and how many were used. */
  readonly captures: readonly CaptureCounts[];
  /** Connections left out, by reason. */
  readonly leftOut: ReadonlyMap<LeftOut, number>;
}

/** The result of {@linkcode learnFromCaptures}. */
export interface LearnReport {
  /** The captures in the order given. */
  readonly captures: readonly CaptureRead[];
  /** The protocols in the order given. */
  readonly protocols: readonly ProtocolLearned[];
}

/**
 * Reads captures (paths, `-` for standard input; gzip is recognised) once, in bounded memory, and learns
 * a model of each protocol asked for that they hold. With `merge` they are one trace.
 *
 * @throws CaptureError where a capture cannot be read.
 * @throws NothingToLearnError where no connection of any of the protocols can be used.
 */
export async function learnFromCaptures(
  paths: readonly string[],
  options: LearnCapturesOptions,
): Promise<LearnReport> {
  const seed = substream(new Uint8Array(32), "learn", options.seed);
  const observers = options.protocols.map((protocol) =>
    new Observer({ protocol, byPort: options.byPort, seed })
  );
  const users = options.protocols.map((protocol) =>
    new Observer({ protocol, byPort: options.byPort, seed })
  );
  const captures: CaptureRead[] = [];
  const read = async (trace: readonly string[], observers: readonly Observer[]) => {
    const hashed = trace.map(hashedSource);
    const { packets, connections } = await readMergedConnections(
      hashed.map(({ source }) => source),
      {
        onConnection(connection: Connection) {
          for (const observer of observers) observer.add(connection);
        },
        allowTruncated: options.allowTruncated ?? false,
        onProgress: (name, done) => options.onProgress?.(name, done),
      },
    );
    for (const observer of observers) observer.endCapture();
    const digests = hashed.map(({ sha256 }) => sha256());
    captures.push({
      name: trace.map(plainName).join(" + "),
      sha256: digests.length === 1 ? digests[0]! : createHash("sha256")
        .update(digests.map((digest) => `${digest}\n`).join("")).digest("hex"),
      packets: packets.reduce((sum, { packets }) => sum + packets, 0),
      truncatedAt: packets.find(({ truncatedAt }) => truncatedAt !== undefined)?.truncatedAt,
      connections: connections.connections,
    });
  };
  for (const trace of options.merge === true ? [paths] : paths.map((path) => [path])) {
    await read(trace, observers);
  }
  for (const path of options.users ?? []) await read([path], users);
  const protocols = observers.map((observer, index): ProtocolLearned => {
    const protocol = options.protocols[index]!;
    const model = observer.observations().length === 0 ? undefined : learnModel(observer, {
      protocol,
      ...(options.users === undefined ? {} : { users: users[index]! }),
      kind: options.kind,
      ...(options.name === undefined ? {} : { name: options.name }),
      ...(options.carrier === undefined ? {} : { carrier: options.carrier }),
      captures,
      seedNumber: options.seed,
      seed,
    });
    return {
      protocol,
      model,
      captures: [...observer.captures, ...forLayersOnly(users[index]!.captures)],
      leftOut: observer.leftOut,
    };
  });
  if (protocols.every(({ model }) => model === undefined)) {
    throw new NothingToLearnError(
      options.protocols.map(({ name }) => name).join(" or "),
      merged(protocols),
      paths.length,
    );
  }
  return { captures, protocols };
}

/** Why nothing of several protocols could be used, each connection counted once. */
function merged(protocols: readonly ProtocolLearned[]): ReadonlyMap<string, number> {
  if (protocols.length === 1) return protocols[0]!.leftOut;
  const all = protocols[0]!.captures.reduce((sum, { connections }) => sum + connections, 0);
  const reasons = new Map<string, number>([["another protocol", all]]);
  for (const { leftOut } of protocols) {
    for (const [reason, count] of leftOut) {
      if (reason === "another protocol") continue;
      reasons.set(reason, (reasons.get(reason) ?? 0) + count);
      reasons.set("another protocol", reasons.get("another protocol")! - count);
    }
  }
  if (reasons.get("another protocol") === 0) reasons.delete("another protocol");
  return reasons;
}

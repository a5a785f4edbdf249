import type { CaptureSummary } from "./capture_summary.ts";
import type { Connection } from "./connection.ts";
import { type CaptureSource, readCapture, type ReadCaptureOptions } from "./read_capture.ts";
import { mergeCaptures } from "./stream_merge.ts";
import {
  TcpAssembler,
  type TcpAssemblerOptions,
  type TcpAssemblerSummary,
} from "./tcp_assembler.ts";

/** Options of {@linkcode readConnections}. */
export interface ReadConnectionsOptions
  extends
    Omit<ReadCaptureOptions, "onProgress" | "comments">,
    Omit<TcpAssemblerOptions, "capture"> {
  /** Called with every connection, in the order in which they finish. */
  readonly onConnection: (connection: Connection) => void;
  /** Called after each chunk with the source's name, the bytes read of it, and its size where known. */
  readonly onProgress?: (name: string, done: number, total: number | undefined) => void;
}

/** What one source held. */
export interface ReadConnectionsResult {
  /** The name under which its connections were grouped. */
  readonly capture: string;
  /** What the reader saw. */
  readonly packets: CaptureSummary;
  /** What the assembler made of it. */
  readonly connections: TcpAssemblerSummary;
}

/**
 * Reads captures one after the other and hands over their connections; memory stays bounded however large
 * they are. Each source is a group of its own: {@linkcode Connection.capture} is its name from
 * {@linkcode captureNames}. Throws as {@linkcode readCapture} does; connections that were finished before
 * the place have been handed over by then.
 *
 * @example
 * ```ts
 * import { readConnections } from "./read_connections.ts";
 * const empty = new Uint8Array(24); // a pcap header without packets
 * new DataView(empty.buffer).setUint32(0, 0xa1b2c3d4);
 * empty.set([0, 2, 0, 4], 4);
 * empty[22] = 0;
 * empty[23] = 1;
 * let count = 0;
 * const [result] = await readConnections(
 *   [{ name: "empty.pcap", stream: new Blob([empty]).stream() }],
 *   { onConnection: () => count++ },
 * );
 * if (count !== 0 || result?.capture !== "empty") throw new Error("not empty");
 * ```
 */
export async function readConnections(
  sources: CaptureSource | readonly CaptureSource[],
  options: ReadConnectionsOptions,
): Promise<ReadConnectionsResult[]> {
  const list = isList(sources) ? sources : [sources];
  const names = captureNames(list.map(nameOf));
  const results: ReadConnectionsResult[] = [];
  for (const [i, source] of list.entries()) {
    const capture = names[i]!;
    const assembler = new TcpAssembler(options.onConnection, { ...options, capture });
    const packets = await readCapture(source, (packet) => assembler.push(packet), {
      allowTruncated: options.allowTruncated,
      onProgress: (done, total) => options.onProgress?.(nameOf(source), done, total),
    });
    results.push({ capture, packets, connections: assembler.finish() });
  }
  return results;
}

/** What several sources read as one trace held. */
export interface MergedConnectionsResult {
  /** The name under which the connections were grouped. */
  readonly capture: string;
  /** What the reader saw, source by source. */
  readonly packets: readonly CaptureSummary[];
  /** What the assembler made of it. */
  readonly connections: TcpAssemblerSummary;
}

/**
 * Like {@linkcode readConnections}, but reads all sources as one trace in order of time: for captures with
 * one direction a file. `capture` names the trace; without it, the first source does. See
 * {@linkcode mergeCaptures} for what is held in memory.
 */
export async function readMergedConnections(
  sources: readonly CaptureSource[],
  options: ReadConnectionsOptions & { readonly capture?: string },
): Promise<MergedConnectionsResult> {
  const [first = "none"] = captureNames(sources.map(nameOf));
  const capture = options.capture ?? first;
  const assembler = new TcpAssembler(options.onConnection, { ...options, capture });
  const packets = await mergeCaptures(sources, (packet) => assembler.push(packet), {
    allowTruncated: options.allowTruncated,
    onProgress: (name, done) => options.onProgress?.(name, done, undefined),
  });
  return { capture, packets, connections: assembler.finish() };
}

function isList(
  sources: CaptureSource | readonly CaptureSource[],
): sources is readonly CaptureSource[] {
  return Array.isArray(sources);
}

function nameOf(source: CaptureSource): string {
  return typeof source === "string" ? source : source.name;
}

/**
 * Group names for capture files: the file name without extensions (`.pcap.gz` and the like), with as many
 * folders before it as it takes to tell the files apart, and `#2`, `#3` behind a file named twice.
 *
 * @example
 * ```ts
 * import { captureNames } from "./read_connections.ts";
 * const names = captureNames(["samples/https/run-1.pcap.gz", "samples/ssh/run-1.pcap.gz", "a/b.pcapng"]);
 * if (names.join() !== "https/run-1,ssh/run-1,b") throw new Error(names.join());
 * ```
 */
export function captureNames(paths: readonly string[]): string[] {
  const parts = paths.map((path) => {
    const stem = path.replace(/(\.(pcap|pcapng|cap|dmp|snoop|ntar))?(\.gz)?$/i, "");
    const words = (stem === "" ? path : stem).split(/[/\\]+/).filter((word) => word !== "");
    return words.length === 0 ? [path] : words;
  });
  const names = parts.map((words) => words.at(-1)!);
  for (let depth = 2;; depth++) {
    const seen = new Map<string, number[]>();
    for (const [i, name] of names.entries()) seen.set(name, [...(seen.get(name) ?? []), i]);
    let grown = false;
    for (const group of seen.values()) {
      if (group.length === 1) continue;
      for (const i of group) {
        if (parts[i]!.length < depth) continue;
        names[i] = parts[i]!.slice(-depth).join("/");
        grown = true;
      }
    }
    if (!grown) break;
  }
  const times = new Map<string, number>();
  return names.map((name) => {
    const count = (times.get(name) ?? 0) + 1;
    times.set(name, count);
    return count === 1 ? name : `${name}#${count}`;
  });
}

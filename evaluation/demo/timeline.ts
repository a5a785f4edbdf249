import type { PathPacket } from "../../lab/tcp_path.ts";
import type { Annotate, LinkConnection } from "../../lab/userspace_link.ts";
import type { Timeline, TimelineRecord } from "../../report/result.ts";

/**
 * The connection of a recording that carried most user data, segment by segment as it was recorded, with
 * what only its two ends know; undefined where none carried any.
 */
export function busiestTimeline(
  model: string,
  connections: readonly LinkConnection[],
  packets: readonly PathPacket[],
  annotate: Annotate,
): Timeline | undefined {
  const byIndex = new Map(connections.map((connection) => [connection.index, connection]));
  const found = new Map<number, { data: number; segments: TimelineRecord[] }>();
  for (const { connection: index, side, offset, length, time } of packets) {
    const connection = byIndex.get(index);
    if (length === 0 || connection === undefined) continue;
    const held = annotate({ connection, side, start: offset, end: offset + length });
    if (held === undefined) continue;
    const own = found.get(index) ?? { data: 0, segments: [] };
    found.set(index, own);
    own.data += held.data;
    own.segments.push({ time, from: side === 0 ? "client" : "server", ...held });
  }
  let best: { data: number; segments: TimelineRecord[] } | undefined;
  for (const own of found.values()) if (own.data > (best?.data ?? 0)) best = own;
  if (best === undefined) return undefined;
  const begin = best.segments[0]!.time;
  return {
    model,
    records: best.segments.map((segment) => ({ ...segment, time: segment.time - begin })),
  };
}

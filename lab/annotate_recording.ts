import { CLIENT, SERVER } from "../capture/side.ts";
import type { Composition } from "./path_capture.ts";
import type { StreamRecord } from "./recorded_stream.ts";
import type { Annotate, LinkConnection } from "./userspace_link.ts";

/** A record that a node wrote, as its wire log has it. */
export interface LoggedRecord extends Composition {
  /** The client's port as the node saw it: its own at the client, the peer's at the server. */
  readonly connection: string;
  /** Only events called `record` count. */
  readonly what: string;
  /** Bytes on the wire. */
  readonly size: number;
}

/** A logged record and where it stands in its stream. */
interface Placed {
  readonly offset: number;
  readonly record: LoggedRecord;
}

const APPLICATION_DATA = 23;
const RECORD_HEADER = 5;

/**
 * Tells what each segment of a {@linkcode UserspaceLink}'s recording is made of, from the wire logs of
 * the two nodes. Logged records are found among the TLS records of the connection by their sizes: the
 * carrier's own (handshake, tickets, alerts) stand around them. Segments of connections and
 * directions whose logs do not fit are left without a comment, rather than with a wrong one.
 *
 * Inside a record the bytes stand in this order: header, control, data, padding, and the carrier's rest.
 *
 * @param connections the link's
 * @param logs events of the node at the client's end and of the one at the server's
 */
export function annotateFromLogs(
  connections: readonly LinkConnection[],
  logs: { readonly client: readonly LoggedRecord[]; readonly server: readonly LoggedRecord[] },
): Annotate {
  const byPort: readonly [Map<string, LoggedRecord[]>, Map<string, LoggedRecord[]>] = [
    recordsByConnection(logs.client),
    recordsByConnection(logs.server),
  ];
  const placed = connections.map((connection) =>
    ([CLIENT, SERVER] as const).map((side) => {
      const port = side === CLIENT ? connection.clientPort : connection.targetPort;
      return place(connection.records(side), byPort[side].get(String(port)) ?? []);
    })
  );
  return ({ connection, side, start, end }) => {
    const records = placed[connection.index]?.[side];
    return records === undefined ? undefined : compose(records, start, end);
  };
}

function recordsByConnection(events: readonly LoggedRecord[]): Map<string, LoggedRecord[]> {
  const byConnection = new Map<string, LoggedRecord[]>();
  for (const event of events) {
    if (event.what !== "record") continue;
    const list = byConnection.get(event.connection);
    if (list === undefined) byConnection.set(event.connection, [event]);
    else list.push(event);
  }
  return byConnection;
}

/** Finds the logged records in a row among a stream's; undefined where they do not fit. */
function place(
  stream: readonly StreamRecord[],
  logged: readonly LoggedRecord[],
): Placed[] | undefined {
  if (logged.length === 0) return undefined;
  const candidates = stream.filter(({ type }) => type === APPLICATION_DATA);
  for (let first = 0; first < candidates.length; first++) {
    // A connection may have been cut before all that was logged had left.
    const length = Math.min(logged.length, candidates.length - first);
    let fits = 0;
    while (fits < length && candidates[first + fits]!.size === logged[fits]!.size) fits++;
    if (fits < length) continue;
    return logged.slice(0, length).map((record, i) => ({
      offset: candidates[first + i]!.offset,
      record,
    }));
  }
  return undefined;
}

/** What bytes `[start, end)` are; undefined where none of them is in a logged record. */
function compose(
  records: readonly Placed[],
  start: number,
  end: number,
): Composition | undefined {
  let low = 0;
  let high = records.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const { offset, record } = records[middle]!;
    if (offset + record.size <= start) low = middle + 1;
    else high = middle;
  }
  if (low === records.length || records[low]!.offset >= end) return undefined;
  const sum = { control: 0, data: 0, padding: 0 };
  for (; low < records.length && records[low]!.offset < end; low++) {
    const { offset, record } = records[low]!;
    let at = offset + RECORD_HEADER;
    for (const kind of ["control", "data", "padding"] as const) {
      sum[kind] += Math.max(0, Math.min(end, at + record[kind]) - Math.max(start, at));
      at += record[kind];
    }
  }
  return sum;
}

import { linearTable, stepTable } from "../quantile_table.ts";
import { type CloseTable, MOST_PAIRS, type StructuralContent } from "../structural.ts";
import type { ObservedConnection, ObservedLayers, ObservedMessage } from "./observation.ts";
import { swingLayersOf } from "./timeline.ts";

/** The record sizes of messages, each counted once for each record; runs are kept short. */
function recordSizes(messages: readonly ObservedMessage[]): number[] {
  const sizes: number[] = [];
  for (const { records } of messages) {
    for (let i = 0; i < records.length; i += 2) {
      for (let left = Math.min(records[i + 1]!, 1_000); left > 0; left--) sizes.push(records[i]!);
    }
  }
  return sizes;
}

/** Learns Swing's empirical distributions, each by itself. `connections` must not be empty. */
export function learnStructural(
  connections: readonly ObservedConnection[],
  layers: ObservedLayers,
): StructuralContent {
  const exchanges = connections.flatMap((connection) => connection.exchanges);
  const requests = exchanges.map(({ request }) => request);
  const responses = exchanges.flatMap((exchange) => exchange.responses);
  const laterThinks = connections.flatMap((connection) =>
    connection.exchanges.slice(1).map(({ request }) => request.think)
  );
  const serverThinks = exchanges.flatMap(({ responses }) => responses[0]?.think ?? []);
  const clientRecords = recordSizes(requests);
  const serverRecords = recordSizes(responses);
  const closes: CloseTable[] = [];
  for (const by of ["client", "server"] as const) {
    for (const how of ["fin", "rst"] as const) {
      const times = connections.filter(({ close }) => close.by === by && close.how === how)
        .map(({ close }) => close.time);
      if (times.length > 0) closes.push({ by, how, n: times.length, time: linearTable(times) });
    }
  }
  return {
    // Each variable by itself: no clicks, which are drawn whole.
    layers: swingLayersOf(layers),
    pairs: stepTable(connections.map(({ exchanges }) => Math.min(exchanges.length, MOST_PAIRS))),
    requestSize: stepTable(requests.map(({ size }) => size)),
    responseSize: stepTable(
      exchanges.map(({ responses }) => responses.reduce((sum, { size }) => sum + size, 0)),
    ),
    firstThink: linearTable(connections.map(({ exchanges }) => exchanges[0]!.request.think)),
    ...(laterThinks.length > 0 ? { requestThink: linearTable(laterThinks) } : {}),
    ...(serverThinks.length > 0 ? { serverThink: linearTable(serverThinks) } : {}),
    ...(clientRecords.length > 0 ? { clientRecord: stepTable(clientRecords) } : {}),
    ...(serverRecords.length > 0 ? { serverRecord: stepTable(serverRecords) } : {}),
    closes,
  };
}

import type { ConditionalContent, MessageRow } from "../conditional.ts";
import { SeededRandom, substream } from "../random.ts";
import { LEAST_SIZE } from "../records.ts";
import type {
  ObservedConnection,
  ObservedExchange,
  ObservedLayers,
  ObservedMessage,
} from "./observation.ts";
import { layersOf } from "./timeline.ts";

/** Neighbours of an exchange, itself included. */
export const NEIGHBOURS = 8;

/**
 * What two exchanges are compared by, and how much each counts after every feature was scaled to a
 * deviation of 1. Sizes and times count by their logarithms.
 */
const FEATURES: readonly { weight: number; of: (state: State) => number }[] = [
  { weight: 1, of: ({ position }) => Math.log2(1 + position) },
  { weight: 1, of: ({ now }) => Math.log2(now.request.size) },
  { weight: 1, of: ({ now }) => Math.log2(1 + answered(now)) },
  { weight: 0.5, of: ({ now }) => now.responses.length },
  { weight: 0.5, of: ({ now }) => Math.log2(1 + now.request.think) },
  { weight: 0.5, of: ({ now }) => Math.log2(1 + (now.responses[0]?.think ?? 0)) },
  { weight: 0.5, of: ({ before }) => before === undefined ? 0 : Math.log2(before.request.size) },
  { weight: 0.5, of: ({ before }) => before === undefined ? 0 : Math.log2(1 + answered(before)) },
  { weight: 0.5, of: ({ sent }) => Math.log2(1 + sent) },
  { weight: 0.5, of: ({ received }) => Math.log2(1 + received) },
  { weight: 1, of: ({ remaining }) => Math.log2(1 + remaining) },
  { weight: 0.5, of: ({ toReceive }) => Math.log2(1 + toReceive) },
];

interface State {
  readonly position: number;
  readonly now: ObservedExchange;
  readonly before: ObservedExchange | undefined;
  /** Bytes that the client has sent, this exchange included. */
  readonly sent: number;
  /** Bytes that the server has sent, this exchange included. */
  readonly received: number;
  /** Exchanges still to come. */
  readonly remaining: number;
  /** The server's bytes still to come. */
  readonly toReceive: number;
}

function answered({ responses }: ObservedExchange): number {
  return responses.reduce((sum, { size }) => sum + size, 0);
}

function statesOf(connections: readonly ObservedConnection[]): State[] {
  const states: State[] = [];
  for (const { exchanges } of connections) {
    const total = exchanges.reduce((sum, exchange) => sum + answered(exchange), 0);
    let sent = 0;
    let received = 0;
    for (const [position, now] of exchanges.entries()) {
      sent += now.request.size;
      received += answered(now);
      states.push({
        position,
        now,
        before: exchanges[position - 1],
        sent,
        received,
        remaining: exchanges.length - 1 - position,
        toReceive: total - received,
      });
    }
  }
  return states;
}

/** The features of all states as columns, each scaled to a deviation of its weight. */
function columnsOf(states: readonly State[]): Float64Array[] {
  return FEATURES.map(({ weight, of }) => {
    const column = Float64Array.from(states, of);
    const mean = column.reduce((sum, x) => sum + x, 0) / column.length;
    const variance = column.reduce((sum, x) => sum + (x - mean) ** 2, 0) / column.length;
    const scale = variance > 0 ? weight / Math.sqrt(variance) : 0;
    return column.map((x) => x * scale);
  });
}

/**
 * For each state the numbers of the {@linkcode NEIGHBOURS} nearest, itself first. Only those at about
 * the same position compete, exactly the same for the first four and within a quarter of it later; and
 * likewise only those with about as many exchanges still to come, so that connections end as they did.
 * Ties are broken by `seed`, so that no capture is preferred.
 */
function neighboursOf(states: readonly State[], count: number, seed: Uint8Array): number[][] {
  const columns = columnsOf(states);
  const random = new SeededRandom(substream(seed, "ties"));
  const tie = Float64Array.from(states, () => random.float() * 1e-9);
  const order = states.map((_, index) => index).sort((a, b) =>
    states[a]!.position - states[b]!.position || a - b
  );
  let from = 0;
  let to = 0;
  const neighbours: number[][] = [];
  for (const index of order) {
    const { position, remaining } = states[index]!;
    const reach = Math.floor(position / 4);
    while (states[order[from]!]!.position < position - reach) from++;
    while (to < order.length && states[order[to]!]!.position <= position + reach) to++;
    const nearest: number[] = [];
    const distances: number[] = [];
    for (let at = from; at < to; at++) {
      const other = order[at]!;
      if (Math.abs(states[other]!.remaining - remaining) > Math.floor(remaining / 4)) continue;
      let distance = other === index ? -1 : tie[other]!;
      const most = nearest.length === count ? distances[count - 1]! : Infinity;
      for (const column of columns) {
        distance += (column[other]! - column[index]!) ** 2;
        if (distance >= most) break;
      }
      if (distance >= most) continue;
      let place = nearest.length === count ? count - 1 : nearest.length;
      while (place > 0 && distances[place - 1]! > distance) {
        nearest[place] = nearest[place - 1]!;
        distances[place] = distances[place - 1]!;
        place--;
      }
      nearest[place] = other;
      distances[place] = distance;
    }
    neighbours[index] = nearest;
  }
  return neighbours;
}

/** The greatest step that all sizes keep to, counted from the least of them; 1 where there is none. */
function stepOf(sizes: readonly number[]): number {
  const least = sizes.reduce((a, b) => Math.min(a, b), Infinity);
  let step = 0;
  for (const size of sizes) {
    for (let a = size - least; a > 0;) [step, a] = [a, step % a];
  }
  return step === 0 ? 1 : Math.min(step, 4096);
}

function largest(messages: readonly ObservedMessage[]): number {
  let most = LEAST_SIZE;
  for (const { records } of messages) {
    for (let i = 0; i < records.length; i += 2) most = Math.max(most, records[i]!);
  }
  return most;
}

/**
 * Learns a chain over whole exchanges: the observed connections, and for each exchange its nearest
 * neighbours. `connections` must not be empty; `seed` (32 bytes) breaks ties.
 */
export function learnConditional(
  connections: readonly ObservedConnection[],
  layers: ObservedLayers,
  seed: Uint8Array,
): ConditionalContent {
  const states = statesOf(connections);
  const neighbours = neighboursOf(states, NEIGHBOURS, seed);
  const requests = states.map(({ now }) => now.request);
  const responses = states.flatMap(({ now }) => now.responses);
  const tuple = ({ size, think, lead, records }: ObservedMessage): MessageRow => [
    size,
    think,
    lead,
    records,
  ];
  let row = 0;
  return {
    layers: layersOf(layers),
    observations: { connections: connections.length, exchanges: states.length },
    interpolation: "between neighbours",
    sizeStep: {
      client: stepOf(requests.map(({ size }) => size)),
      server: stepOf(responses.map(({ size }) => size)),
    },
    largestRecord: { client: largest(requests), server: largest(responses) },
    connections: connections.map(({ exchanges, close }) => ({
      ...close,
      exchanges: exchanges.map(({ request, responses }) => [
        tuple(request),
        responses.map(tuple),
        neighbours[row++]!,
      ]),
    })),
  };
}

import type { ConditionalContent, MessageRow } from "../conditional.ts";
import { roundTime } from "../quantile_table.ts";
import { SeededRandom, substream } from "../random.ts";
import { LEAST_SIZE } from "../records.ts";
import type {
  ObservedConnection,
  ObservedExchange,
  ObservedLayers,
  ObservedMessage,
} from "./observation.ts";
import { layersOf } from "./timeline.ts";

/**
 * Neighbours of an exchange, itself included. More make fewer verbatim repeats and coarser connections;
 * 5 to 8 were the best on the samples.
 */
export const NEIGHBOURS = 8;

/**
 * How often a drawn connection hops to another observed one. Fewer hops keep together what belongs together in a
 * connection; more hide the observed ones better. On the samples 0.2 to 0.6 told attackers alike.
 */
export const HOPS = 0.3;

/**
 * How often an exchange is played by one that is near to it. With hops alone, as much variety cost more: what belongs
 * together came apart.
 */
export const VISITS = 0.5;

/**
 * What two exchanges are compared by, and how much each counts: position and what was said now count
 * most, and what is still to come, so that a connection stays of its kind (a download, a typed session).
 */
const FEATURES: readonly { weight: number; of: (state: State) => number }[] = [
  { weight: 1, of: ({ position }) => position },
  { weight: 1, of: ({ now }) => now.request.size },
  { weight: 1, of: ({ now }) => answered(now) },
  { weight: 0.5, of: ({ now }) => now.responses.length },
  { weight: 0.5, of: ({ now }) => now.request.think },
  { weight: 0.5, of: ({ now }) => now.responses[0]?.think ?? 0 },
  { weight: 0.5, of: ({ before }) => before?.request.size ?? 0 },
  { weight: 0.5, of: ({ before }) => before === undefined ? 0 : answered(before) },
  { weight: 0.5, of: ({ sent }) => sent },
  { weight: 0.5, of: ({ received }) => received },
  { weight: 1, of: ({ remaining }) => remaining },
  { weight: 1, of: ({ toSend }) => toSend },
  { weight: 1, of: ({ toReceive }) => toReceive },
  { weight: 0.5, of: ({ toThink }) => toThink },
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
  /** The client's bytes still to come. */
  readonly toSend: number;
  /** The server's bytes still to come. */
  readonly toReceive: number;
  /** Milliseconds of the client's think time still to come. */
  readonly toThink: number;
}

function answered({ responses }: ObservedExchange): number {
  return responses.reduce((sum, { size }) => sum + size, 0);
}

function statesOf(connections: readonly ObservedConnection[]): State[] {
  const states: State[] = [];
  for (const { exchanges } of connections) {
    let sent = 0;
    let received = 0;
    let toSend = 0;
    let toReceive = 0;
    let toThink = 0;
    for (const exchange of exchanges) {
      toSend += exchange.request.size;
      toReceive += answered(exchange);
      toThink += exchange.request.think;
    }
    for (const [position, now] of exchanges.entries()) {
      sent += now.request.size;
      received += answered(now);
      toSend -= now.request.size;
      toReceive -= answered(now);
      toThink = roundTime(Math.max(0, toThink - now.request.think));
      states.push({
        position,
        now,
        before: exchanges[position - 1],
        sent,
        received,
        remaining: exchanges.length - 1 - position,
        toSend,
        toReceive,
        toThink,
      });
    }
  }
  return states;
}

/**
 * The features of all states as columns of ranks from 0 to 1, ties in their middle, times the weight: two
 * values are as far apart as there are observations between them, whatever their scale.
 */
function columnsOf(states: readonly State[]): Float64Array[] {
  return FEATURES.map(({ weight, of }) => {
    const values = Float64Array.from(states, of);
    const order = Array.from(values.keys()).sort((a, b) => values[a]! - values[b]!);
    const column = new Float64Array(values.length);
    for (let from = 0; from < order.length;) {
      let to = from + 1;
      while (to < order.length && values[order[to]!] === values[order[from]!]) to++;
      const rank = weight * (from + to - 1) / (2 * order.length);
      for (; from < to; from++) column[order[from]!] = rank;
    }
    return column;
  });
}

/**
 * For each state the numbers of the {@linkcode NEIGHBOURS} nearest, itself first. Only those at about
 * the same position compete, exactly the same for the first four and within a quarter of it later; and
 * likewise only those with about as many exchanges still to come, so that connections end as they did.
 * Ties are broken by `seed`, so that no capture is preferred.
 *
 * Where one is among the nearest of another but not the other way round, the other stands in its own
 * list once more: then a walk over the lists visits each exchange equally often, and kinds of connection
 * stay as frequent as they were observed.
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
  return neighbours.map((nearest, index) =>
    nearest.map((other) => neighbours[other]!.includes(index) ? other : index)
  );
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
    layers: layersOf(layers, connections),
    observations: { connections: connections.length, exchanges: states.length },
    hops: HOPS,
    visits: VISITS,
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

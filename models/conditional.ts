import * as v from "valibot";
import type {
  ConnectionPlan,
  DataRequest,
  End,
  ModelDescription,
  ModelRequest,
} from "./cover_model.ts";
import { LayeredModel } from "./layered_model.ts";
import { drawPause, type Layers, layersSchema } from "./layers.ts";
import { countSchema, timeSchema } from "./quantile_table.ts";
import type { Random } from "./random.ts";
import {
  layRecords,
  LEAST_SIZE,
  MOST_SIZE,
  patternSchema,
  type RecordPattern,
  sizeSchema,
  stretchPattern,
} from "./records.ts";

/** A message: bytes on the wire, think time (ms), lead (bytes), records. */
export type MessageRow = readonly [
  size: number,
  think: number,
  lead: number,
  records: RecordPattern,
];

/** An exchange: the request, the responses, and the numbers of its nearest exchanges. */
export type ExchangeRow = readonly [
  request: MessageRow,
  responses: readonly MessageRow[],
  nearest: readonly number[],
];

/** A connection that was observed. */
export interface ConnectionRow {
  /** Who closed it. */
  readonly by: End;
  /** By what. */
  readonly how: "fin" | "rst";
  /** Milliseconds from the last message to the close. */
  readonly time: number;
  /** Whether the peer answered the `fin` by a reset. */
  readonly answer?: "rst" | undefined;
  /** Its exchanges, in order. */
  readonly exchanges: readonly ExchangeRow[];
}

/** Content of a model file of kind `conditional`. */
export interface ConditionalContent {
  /** The layers above connections. */
  readonly layers: Layers;
  /** What the chain rests on. */
  readonly observations: { readonly connections: number; readonly exchanges: number };
  /**
   * How often the chain goes on from one of the nearest exchanges; else from the very exchange. Always if absent.
   */
  readonly hops?: number | undefined;
  /** How often one of the nearest exchanges is played in an exchange's place, before the chain goes on. Never if absent. */
  readonly visits?: number | undefined;
  /** How sizes and times between the observed ones are drawn. */
  readonly interpolation: "between neighbours";
  /** Sizes of a side differ by multiples of this: the block of a cipher, 1 for TLS 1.3. */
  readonly sizeStep: { readonly client: number; readonly server: number };
  /** The largest record of each side, in bytes on the wire. */
  readonly largestRecord: { readonly client: number; readonly server: number };
  /**
   * Observed connections, in an order that means nothing. Their exchanges are numbered through from 0,
   * and named by these numbers.
   */
  readonly connections: readonly ConnectionRow[];
}

const rowNumber = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const leadSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(2 ** 40));
const stepSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(4096));
const shareSchema = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
const messageSchema = v.strictTuple([sizeSchema, timeSchema, leadSchema, patternSchema]);
const rowSchema = v.strictTuple([
  messageSchema,
  v.pipe(v.array(messageSchema), v.maxLength(1000)),
  v.pipe(v.array(rowNumber), v.minLength(1), v.maxLength(64)),
]);

/** Validates {@linkcode ConditionalContent}. */
export const conditionalSchema: v.GenericSchema<unknown, ConditionalContent> = v.pipe(
  v.strictObject({
    layers: layersSchema,
    observations: v.strictObject({ connections: countSchema, exchanges: countSchema }),
    hops: v.optional(shareSchema),
    visits: v.optional(shareSchema),
    interpolation: v.literal("between neighbours"),
    sizeStep: v.strictObject({ client: stepSchema, server: stepSchema }),
    largestRecord: v.strictObject({ client: sizeSchema, server: sizeSchema }),
    connections: v.pipe(
      v.array(v.strictObject({
        by: v.picklist(["client", "server"]),
        how: v.picklist(["fin", "rst"]),
        time: timeSchema,
        answer: v.optional(v.literal("rst")),
        exchanges: v.pipe(v.array(rowSchema), v.minLength(1)),
      })),
      v.minLength(1),
    ),
  }),
  v.check((content) => {
    const rows = content.connections.reduce((sum, { exchanges }) => sum + exchanges.length, 0);
    return content.connections.every(({ exchanges }) =>
      exchanges.every(([, , near]) => near.every((row) => row < rows))
    );
  }, "a neighbour names an exchange that is not there"),
  v.check(
    ({ connections, layers }) =>
      layers.click?.members?.flat().every((row) => row === null || row < connections.length) ??
        true,
    "a click names a connection that is not there",
  ),
);

/** How far from an observed value a drawn one may lie. */
interface Reach {
  /** As a share of the way to the next value that was observed. */
  readonly most: number;
  /** As a share of the value itself. */
  readonly reach: number;
}

/** Half way, so that what stands out as one of a few sizes still does. */
const SIZE_REACH: Reach = { most: 1 / 2, reach: 1 / 8 };

/** All the way: times have no gaps to keep, and lumps between few observed ones would tell. */
const TIME_REACH: Reach = { most: 1, reach: 1 / 2 };

/** The same where nothing else was observed, neither below nor above. */
const ALONE_REACH = 1 / 64;

/** How often a size must have been seen to be one that the protocol fixes. */
const LEAST_PEAK = 3;

/** How many steps around such a size are looked at. */
const PEAK_REACH = 8;

/**
 * A number near `x`: at most `most` of the way to the next lower or higher of `others`, and at most `reach` of `x` away.
 * At the edge of what was observed it goes as far outwards as inwards.
 */
function nearby(
  x: number,
  others: readonly number[],
  { most, reach }: Reach,
  random: Random,
): number {
  let below = Infinity;
  let above = Infinity;
  for (const other of others) {
    if (other < x && x - other < below) below = x - other;
    if (other > x && other - x < above) above = other - x;
  }
  const way = 2 * random.float() - 1;
  let gap = way < 0 ? below : above;
  if (gap === Infinity) gap = way < 0 ? above : below;
  return x + way * (gap === Infinity ? ALONE_REACH * x : Math.min(most * gap, reach * x));
}

/** Sizes that were seen `least` times or more, and more often than all around them together. */
function peaks(seen: ReadonlyMap<number, number>, step: number, least: number): Set<number> {
  const sizes = [...seen].filter(([, count]) => count >= least).filter(([size, count]) => {
    let around = 0;
    for (let away = step; away <= PEAK_REACH * step; away += step) {
      around += (seen.get(size - away) ?? 0) + (seen.get(size + away) ?? 0);
    }
    return count > around;
  });
  return new Set(sizes.map(([size]) => size));
}

/** Positions in a connection whose sizes are looked at by themselves: what programs say first is fixed more often. */
const PLACES = 16;

/** A place in connections: the client's message of an exchange, or one of the server's answers to it. */
function placeOf(side: End, position: number, response: number): string {
  return `${side} ${position} ${response}`;
}

/** Whether several and more than a quarter of `others` are of this size: one of a few that exist here. */
function isUsual(size: number, others: readonly number[]): boolean {
  const same = others.filter((other) => other === size).length;
  return same >= LEAST_PEAK && 4 * same > others.length;
}

function total(messages: readonly { readonly size: number }[]): number {
  return messages.reduce((sum, { size }) => sum + size, 0);
}

/** `lead` of `observed` bytes, carried over to `drawn` bytes: the same share, or the same surplus. */
function carriedLead(lead: number, observed: number, drawn: number): number {
  if (lead >= observed) return drawn + lead - observed;
  return Math.floor(lead * drawn / observed);
}

/**
 * A chain over whole exchanges. The state is an observed exchange; the next is the successor of one of
 * the exchanges nearest to it, chosen evenly, or its own where the chain does not hop: those at about the same position in their connections,
 * alike in sizes and times, in what came before and in how much was still to come. Where the chosen one
 * was its connection's last, the connection ends, as that one did. The learner has written each
 * exchange's neighbours into the model file, so that drawing needs no distances and no transcendental
 * functions: all machines draw alike.
 *
 * Captured connections are not replayed: besides the hops from one to another, an exchange may be played by another one
 * that is near to it while the chain stays where it is, so that connections stay of their kind; and sizes and times move
 * between those of the neighbours' successors. Sizes that stand out in the captures stay exact, for real
 * protocols hold many fixed: those seen more often than all around them together, anywhere or in the same place of
 * connections, or by more than a
 * quarter of the neighbours. What was seen twice by chance moves. All sizes keep to the protocol's step
 * (SSH's blocks).
 */
export class ConditionalModel extends LayeredModel {
  readonly #content: ConditionalContent;
  readonly #rows: ExchangeRow[] = [];
  /** For each row, the connection that it belongs to. */
  readonly #owner: ConnectionRow[] = [];
  /** For each row, whether it is its connection's last. */
  readonly #last: boolean[] = [];
  /** For each row, whether it is its connection's first. */
  readonly #opens: boolean[] = [];
  /** The rows that are the first of their connections. */
  readonly #first: number[] = [];
  readonly #fixed: { readonly client: Set<number>; readonly server: Set<number> };
  /** Sizes that stand out among those in the same place of connections, by place. */
  readonly #fixedAt = new Map<string, Set<number>>();
  /** For each row, its position in its connection. */
  readonly #position: number[] = [];
  readonly #most: number;

  /** A model of validated `content`. */
  constructor(content: ConditionalContent, description: ModelDescription) {
    super(content.layers, description);
    this.#content = content;
    const seen = { client: new Map<number, number>(), server: new Map<number, number>() };
    const seenAt = new Map<string, Map<number, number>>();
    const count = (sizes: Map<number, number>, size: number) =>
      sizes.set(size, (sizes.get(size) ?? 0) + 1);
    const note = (side: End, size: number, position: number, response: number) => {
      count(seen[side], size);
      if (position >= PLACES) return;
      const place = placeOf(side, position, response);
      let sizes = seenAt.get(place);
      if (sizes === undefined) seenAt.set(place, sizes = new Map());
      count(sizes, size);
    };
    let longest = 0;
    for (const connection of content.connections) {
      this.#first.push(this.#rows.length);
      longest = Math.max(longest, connection.exchanges.length);
      for (const [index, row] of connection.exchanges.entries()) {
        this.#rows.push(row);
        this.#owner.push(connection);
        this.#opens.push(index === 0);
        this.#position.push(index);
        this.#last.push(index === connection.exchanges.length - 1);
        note("client", row[0][0], index, 0);
        for (const [at, response] of row[1].entries()) note("server", response[0], index, at);
      }
    }
    this.#most = 2 * longest + 8;
    const least = Math.max(LEAST_PEAK, Math.floor(content.connections.length / 50));
    this.#fixed = {
      client: peaks(seen.client, content.sizeStep.client, least),
      server: peaks(seen.server, content.sizeStep.server, least),
    };
    for (const [place, sizes] of seenAt) {
      const side = place.startsWith("client") ? "client" : "server";
      this.#fixedAt.set(place, peaks(sizes, content.sizeStep[side], least));
    }
  }

  /** How long a person who goes on takes until the next thing; undefined where the captures did not show it. */
  pause(random: Random): number | undefined {
    return drawPause(this.#content.layers, random);
  }

  /** One connection; one that begins as the observed one of number `like` did, if there is such. */
  connection(random: Random, _kind?: string, like?: number): ConnectionPlan {
    const exchanges: ModelRequest[] = [];
    const sent = { client: 0, server: 0 };
    const { hops = 1, visits = 0 } = this.#content;
    const drawn = random.integer(this.#first.length);
    let row = this.#first[like ?? drawn] ?? this.#first[drawn]!;
    let candidates: readonly number[] = this.#first;
    for (;;) {
      const near = this.#rows[row]![2];
      const visited = visits > 0 && random.float() < visits;
      const [played, alike] = visited
        ? [near[random.integer(near.length)]!, near]
        : [row, candidates];
      exchanges.push(this.#exchange(played, alike, exchanges.at(-1), sent, random));
      const chosen = random.float() < hops ? near[random.integer(near.length)]! : row;
      if (this.#last[chosen]! || exchanges.length === this.#most) {
        const { answer, by, how, time } = this.#owner[chosen]!;
        const times = near.filter((other) => this.#last[other]).map((other) =>
          this.#owner[other]!.time
        );
        const close = { by, how, time: nearby(time, times, TIME_REACH, random) };
        return { exchanges, close: answer === undefined ? close : { ...close, answer } };
      }
      row = chosen + 1;
      candidates = near.filter((other) => !this.#last[other]).map((other) => other + 1);
    }
  }

  /** Exchange `row`, moved between its alternatives; adds to the bytes `sent` by each side. */
  #exchange(
    row: number,
    alternatives: readonly number[],
    before: ModelRequest | undefined,
    sent: { client: number; server: number },
    random: Random,
  ): ModelRequest {
    const [asked, answers] = this.#rows[row]!;
    const others = [...new Set(alternatives)].map((other) => this.#rows[other]!);
    const answeredBefore = this.#opens[row]!
      ? 0
      : this.#rows[row - 1]![1].reduce((sum, [size]) => sum + size, 0);
    const request = this.#message(asked, others.map(([message]) => message), "client", random, {
      lead: carriedLead(asked[2], answeredBefore, total(before?.response ?? [])),
      most: sent.server,
      place: placeOf("client", this.#position[row]!, 0),
    });
    sent.client += request.size;
    const response: DataRequest[] = [];
    for (const [index, answer] of answers.entries()) {
      const alike = others.flatMap(([, messages]) => messages[index] ? [messages[index]] : []);
      const message = this.#message(answer, alike, "server", random, {
        lead: carriedLead(answer[2], asked[0], request.size),
        most: sent.client,
        place: placeOf("server", this.#position[row]!, index),
      });
      sent.server += message.size;
      response.push(message);
    }
    return { request, response };
  }

  #message(
    [observed, think, , pattern]: MessageRow,
    alternatives: readonly MessageRow[],
    side: "client" | "server",
    random: Random,
    { lead, most, place }: { lead: number; most: number; place: string },
  ): DataRequest {
    let size = observed;
    const sizes = alternatives.map(([other]) => other);
    const fixed = this.#fixed[side].has(observed) || this.#fixedAt.get(place)?.has(observed);
    if (!fixed && !isUsual(observed, sizes)) {
      const step = this.#content.sizeStep[side];
      const moved = nearby(observed, sizes, SIZE_REACH, random) - observed;
      size = Math.min(MOST_SIZE, observed + step * Math.round(moved / step));
      if (size < LEAST_SIZE) size = observed;
    }
    const time = nearby(think, alternatives.map(([, other]) => other), TIME_REACH, random);
    const request: DataRequest = { type: "data", size, time, lead: Math.min(lead, most) };
    if (pattern.length === 0) return request;
    const largest = this.#content.largestRecord[side];
    return {
      ...request,
      records: layRecords(stretchPattern(pattern, size - observed, largest), size),
    };
  }
}

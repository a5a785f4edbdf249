import * as v from "valibot";
import type {
  ConnectionPlan,
  DataRequest,
  End,
  ModelDescription,
  ModelRequest,
} from "./cover_model.ts";
import { LayeredModel } from "./layered_model.ts";
import { type Layers, layersSchema } from "./layers.ts";
import {
  countSchema,
  drawFrom,
  linearSchema,
  type LinearTable,
  stepSchema,
  type StepTable,
} from "./quantile_table.ts";
import type { Random } from "./random.ts";
import { LEAST_SIZE, MOST_RECORDS, MOST_SIZE } from "./records.ts";

/** Most exchanges in a connection that a structural model plays. */
export const MOST_PAIRS = 10_000;

/** How connections end: by whom, how, how often, and how long after the last message. */
export interface CloseTable {
  /** Who closes. */
  readonly by: End;
  /** By what. */
  readonly how: "fin" | "rst";
  /** Connections that ended so. */
  readonly n: number;
  /** Milliseconds from the last message to the close. */
  readonly time: LinearTable;
}

/** Content of a model file of kind `structural`: Swing's variables, each with a table of its own. */
export interface StructuralContent {
  /** The layers above connections. */
  readonly layers: Layers;
  /** Exchanges in a connection (Swing's numpairs). */
  readonly pairs: StepTable;
  /** Bytes on the wire of a request message (REQ). */
  readonly requestSize: StepTable;
  /** Bytes on the wire of all that answers a request (RESP); 0: no answer. */
  readonly responseSize: StepTable;
  /** Milliseconds from the end of the handshake to the first request. */
  readonly firstThink: LinearTable;
  /** Milliseconds from a response's end to the next request (reqthink); absent: never seen. */
  readonly requestThink?: LinearTable | undefined;
  /** Milliseconds from a request's arrival to its response: what Swing leaves out. */
  readonly serverThink?: LinearTable | undefined;
  /** Bytes on the wire of the client's records (Swing's packet size), where records were seen. */
  readonly clientRecord?: StepTable | undefined;
  /** As `clientRecord`, for the server. */
  readonly serverRecord?: StepTable | undefined;
  /** How connections end. */
  readonly closes: readonly CloseTable[];
}

/** Validates {@linkcode StructuralContent}. */
export const structuralSchema: v.GenericSchema<unknown, StructuralContent> = v.strictObject({
  layers: layersSchema,
  pairs: stepSchema(1, MOST_PAIRS),
  requestSize: stepSchema(LEAST_SIZE, MOST_SIZE),
  responseSize: stepSchema(0, MOST_SIZE),
  firstThink: linearSchema,
  requestThink: v.optional(linearSchema),
  serverThink: v.optional(linearSchema),
  clientRecord: v.optional(stepSchema(LEAST_SIZE, MOST_SIZE)),
  serverRecord: v.optional(stepSchema(LEAST_SIZE, MOST_SIZE)),
  closes: v.pipe(
    v.array(v.strictObject({
      by: v.picklist(["client", "server"]),
      how: v.picklist(["fin", "rst"]),
      n: countSchema,
      time: linearSchema,
    })),
    v.minLength(1),
    v.maxLength(4),
  ),
});

/** Cuts `size` bytes into records drawn from a table. */
function drawRecords(table: StepTable, size: number, random: Random): number[] {
  const records: number[] = [];
  let left = size;
  while (left > 0) {
    const drawn = drawFrom(table, random);
    const record = left - drawn < LEAST_SIZE || records.length === MOST_RECORDS ? left : drawn;
    records.push(record);
    left -= record;
  }
  return records;
}

/**
 * Swing's structural model (SIGCOMM 2006, Table 1), as the seed used it: every variable is drawn from
 * an empirical distribution of its own, independently of all others and of the position in the
 * connection. Server think time is included, network features are left out. It is the baseline that
 * the conditional model is measured against.
 */
export class StructuralModel extends LayeredModel {
  readonly #content: StructuralContent;

  /** A model of validated `content`. */
  constructor(content: StructuralContent, description: ModelDescription) {
    super(content.layers, description);
    this.#content = content;
  }

  #message(size: number, time: number, table: StepTable | undefined, random: Random): DataRequest {
    return table === undefined
      ? { type: "data", size, time }
      : { type: "data", size, time, records: drawRecords(table, size, random) };
  }

  /** One connection. */
  connection(random: Random): ConnectionPlan {
    const content = this.#content;
    const exchanges: ModelRequest[] = [];
    const pairs = drawFrom(content.pairs, random);
    for (let i = 0; i < pairs; i++) {
      const think = i === 0 ? content.firstThink : content.requestThink;
      const request = this.#message(
        drawFrom(content.requestSize, random),
        think === undefined ? 0 : drawFrom(think, random),
        content.clientRecord,
        random,
      );
      const size = drawFrom(content.responseSize, random);
      const response = size < LEAST_SIZE ? [] : [
        this.#message(
          size,
          content.serverThink === undefined ? 0 : drawFrom(content.serverThink, random),
          content.serverRecord,
          random,
        ),
      ];
      exchanges.push({ request, response });
    }
    let rank = Math.floor(random.float() * content.closes.reduce((sum, { n }) => sum + n, 0));
    const close = content.closes.find(({ n }) => (rank -= n) < 0)!;
    return {
      exchanges,
      close: { by: close.by, how: close.how, time: drawFrom(close.time, random) },
    };
  }
}

import type { ConnectionPlan, DataRequest, End, ModelRequest } from "../models/cover_model.ts";
import type { SizeGrid } from "./cover_connection.ts";
import { quantizeTime } from "./plan_codec.ts";
import { payloadSize, splitSize, wireSize } from "./size_grid.ts";

/** One message of a connection as it is played: sizes in payload bytes, what must have arrived before. */
export interface ScriptMessage {
  /** Who sends it. */
  readonly end: End;
  /** No user data may ride in it. */
  readonly padding: boolean;
  /** Milliseconds after its trigger. */
  readonly time: number;
  /** Payload bytes of each of its records. */
  readonly records: readonly number[];
  /** Payload bytes of all its records. */
  readonly payload: number;
  /** Payload bytes that the other end must have sent, in all, before this message's time runs. */
  readonly after: number;
}

/** Bytes of memory that a message and one of its records take, about. */
const MESSAGE_MEMORY = 160;
const RECORD_MEMORY = 16;

/** Sizes on the wire of the records of a request, as they exist on a grid. */
export function recordsOf(request: DataRequest, grid: SizeGrid): number[] {
  return (request.records ?? [request.size]).flatMap((asked) => splitSize(asked, grid));
}

/** A request as it is played on a grid: sizes that exist, times that {@linkcode quantizeTime} keeps. */
function settle(request: DataRequest, grid: SizeGrid): DataRequest {
  const records = recordsOf(request, grid);
  const size = records.reduce((sum, record) => sum + record, 0);
  const lead = request.lead !== undefined && request.lead > 0 ? Math.round(request.lead) : 0;
  const split = recordsOf({ type: "data", size, time: 0 }, grid);
  const usual = split.length === records.length &&
    split.every((record, i) => record === records[i]);
  return {
    type: request.type,
    size,
    time: quantizeTime(request.time),
    ...(usual ? {} : { records }),
    ...(lead === 0 ? {} : { lead }),
  };
}

/**
 * A plan as both ends play it on a grid: every record has a size that exists, requests larger than a
 * record are split, times are those that the codec keeps. Settling twice changes nothing.
 */
export function settlePlan(plan: ConnectionPlan, grid: SizeGrid): ConnectionPlan {
  return {
    exchanges: plan.exchanges.map(({ request, response }) => ({
      request: settle(request, grid),
      response: response.map((message) => settle(message, grid)),
    })),
    close: { ...plan.close, time: quantizeTime(plan.close.time) },
    ...(plan.free ? { free: true } : {}),
  };
}

/**
 * The messages of one cover connection in their order, in payload bytes. It may grow while it is played:
 * a slave may learn an exchange only with the message that begins it.
 */
export class Script {
  /** The messages known so far, both ends'. */
  readonly messages: ScriptMessage[] = [];
  /** How the connection ends, once the last exchange is known. */
  close: ConnectionPlan["close"] | undefined;
  /** After all that, both ends send what they have: see {@linkcode ConnectionPlan.free}. */
  free = false;
  /** Sizes that exist. */
  readonly grid: SizeGrid;
  readonly #payload: Record<End, number> = { client: 0, server: 0 };
  #memory = 0;
  readonly #records: Record<End, number[]> = { client: [], server: [] };

  /** An empty script on a grid; with `plan`, a complete one. */
  constructor(grid: SizeGrid, plan?: ConnectionPlan) {
    this.grid = grid;
    if (plan !== undefined) {
      for (const exchange of plan.exchanges) this.add(exchange);
      this.close = plan.close;
      this.free = plan.free ?? false;
    }
  }

  /** Adds the next exchange. */
  add({ request, response }: ModelRequest): void {
    this.#add("client", request);
    for (const message of response) this.#add("server", message);
  }

  #add(end: End, request: DataRequest): void {
    const peer = end === "client" ? "server" : "client";
    // Records of which any byte need not have arrived are not waited for: half a record tells nothing.
    let after = this.#payload[peer];
    let lead = request.lead ?? 0;
    const sent = this.#records[peer];
    for (let i = sent.length - 1; i >= 0 && lead > 0; i--) {
      lead -= wireSize(sent[i]!, this.grid);
      after -= sent[i]!;
    }
    const records = recordsOf(request, this.grid).map((size) => payloadSize(size, this.grid));
    const payload = records.reduce((sum, record) => sum + record, 0);
    for (const record of records) this.#records[end].push(record);
    this.#memory += MESSAGE_MEMORY + RECORD_MEMORY * records.length;
    this.#payload[end] += payload;
    this.messages.push({
      end,
      padding: request.type === "padding",
      time: request.time,
      records,
      payload,
      after,
    });
  }

  /** Bytes of memory that it takes, about. */
  get memory(): number {
    return this.#memory;
  }

  /** Payload bytes that an end sends in all, as far as known. */
  total(end: End): number {
    return this.#payload[end];
  }
}

import { BadPlanError } from "../models/bad_plan.ts";
import type { ConnectionPlan, DataRequest } from "../models/cover_model.ts";
import type { PlanSource } from "../models/plans.ts";
import { commandOf } from "./commands.ts";
import type { SizeGrid } from "./cover_connection.ts";
import { largestBody } from "./engine_frames.ts";
import { DRAWS, type Kinds, largest } from "./kinds.ts";
import { encodeExchange, MAX_PLANNED_SIZE } from "./plan_codec.ts";
import { recordsOf, settlePlan } from "./script.ts";
import { payloadSize, wireSize, withoutOpening } from "./size_grid.ts";

export { BadPlanError };

/**
 * How often a connection is drawn before its first message is enlarged instead. A server draws a tunnel's first one
 * while the client waits: where no first message fits, more would make the answer late by tens of milliseconds.
 */
export const MAX_ATTEMPTS = 16;

/** If so many draws all have the same first record, the model has no other: it is enlarged at once. */
const ALIKE = 8;

/** The least room of a record in which a piece of a plan fits, in bytes. */
const LEAST_ROOM = 5;

/**
 * Bytes that a connection's client messages hold besides its own plan, at least: the next connection's plan
 * travels there, so that tiny messages do not carry plans for ever and nothing else.
 */
const LEAST_SPARE = 64;

/** Models may be anybody's: throws {@linkcode BadPlanError} if `plan` cannot be played. */
function check(plan: ConnectionPlan, model: string): void {
  const fail = (reason: string): never => {
    throw new BadPlanError(model, reason);
  };
  if (plan.exchanges.length === 0) fail("it has no exchange");
  for (const { request, response } of plan.exchanges) {
    for (const { size, records } of [request, ...response]) {
      if (!(size > 0 && size <= MAX_PLANNED_SIZE)) fail(`a message of ${size} bytes`);
      for (const record of records ?? []) {
        if (!(record > 0 && record <= size)) fail(`a record of ${record} bytes`);
      }
    }
  }
}

/** A plan that is played, and what had to be done to it. */
export interface DrawnPlan {
  /** Settled on the grid. */
  readonly plan: ConnectionPlan;
  /** It is not the first draw. */
  readonly redrawn: boolean;
  /** A message was made larger than it was drawn. */
  readonly enlarged: boolean;
  /** It opens as a command does: bytes on the wire of the request for that. */
  readonly command?: number;
}

/** A request whose first record has `size` bytes on the wire. */
function growFirst(request: DataRequest, size: number, grid: SizeGrid): DataRequest {
  const records = recordsOf(request, grid);
  records[0] = size;
  return { ...request, size: records.reduce((sum, record) => sum + record, 0), records };
}

function grow(request: DataRequest, by: number): DataRequest {
  if (request.records === undefined) return { ...request, size: request.size + by };
  const records = [...request.records];
  records[records.length - 1]! += by;
  return { ...request, size: request.size + by, records };
}

function isAnswered({ exchanges }: ConnectionPlan): boolean {
  return exchanges.some(({ response }) => response.length > 0);
}

/**
 * The plan of a connection whose first record holds at least `minimum` payload bytes (the proof, a
 * set-up). Draws that are smaller are drawn again, up to {@linkcode MAX_ATTEMPTS} times; if none fits, the
 * first draw to which the server says anything is enlarged. With `kind`, the same for a connection of that one of
 * `kinds`: the attempts are then other ones, each the largest of some draws where the model does not name the kind.
 * With `commands` the first draw that opens as a command does is taken, if it comes before one that is large enough:
 * it has its proof in its opening.
 * A pure function: both ends get the same plan. Throws BadPlanError.
 */
export function drawPlan(
  plans: PlanSource,
  session: number,
  serial: number,
  minimum: number,
  grid: SizeGrid,
  kinds?: Kinds,
  kind = 0,
  commands = false,
): DrawnPlan {
  let first: ConnectionPlan | undefined;
  let only: number | undefined;
  let alike = true;
  const name = kinds?.nameFor(kind);
  const decides = kinds?.decides(kind);
  const draw = (attempt: number) => {
    const drawn = plans.connection(session, serial, attempt, name);
    check(drawn, plans.description.name);
    return drawn;
  };
  const from = name === undefined ? DRAWS * kind * MAX_ATTEMPTS : 0;
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const drawn = decides === undefined
      ? draw(from + attempt)
      : largest(Array.from({ length: DRAWS }, (_, i) => draw(from + DRAWS * attempt + i)), decides);
    const { carrier } = plans.description;
    const command = commands ? commandOf(drawn, carrier, grid) : undefined;
    if (command !== undefined) {
      const plan = settlePlan(withoutOpening(drawn, carrier, grid, true), grid);
      return { plan, redrawn: attempt > 0, enlarged: false, command };
    }
    const plan = withoutOpening(drawn, carrier, grid);
    first ??= plan;
    // A server that says nothing cannot prove itself: three such tunnels would be taken for a wrong secret.
    if (!isAnswered(first) && isAnswered(plan)) first = plan;
    const [record] = recordsOf(plan.exchanges[0]!.request, grid);
    if (payloadSize(record!, grid) >= minimum) {
      return { plan: settlePlan(plan, grid), redrawn: attempt > 0, enlarged: false };
    }
    only ??= record;
    alike &&= record === only;
    if (alike && attempt + 1 === ALIKE) break;
  }
  const chosen = first!;
  const [{ request, response }, ...rest] = chosen.exchanges as [
    ConnectionPlan["exchanges"][number],
    ...ConnectionPlan["exchanges"],
  ];
  const enlarged = { request: growFirst(request, wireSize(minimum, grid), grid), response };
  const plan = settlePlan({ ...chosen, exchanges: [enlarged, ...rest] }, grid);
  return { plan, redrawn: true, enlarged: true };
}

/**
 * A plan that fits into its own client messages: each exchange's part of the plan has been sent when the
 * message that begins it ends, as the seed has it. Messages too small for that are enlarged. `reserved`
 * payload bytes at the front are taken (proof, set-up). Returns the plan and its bytes.
 */
export function fitInline(
  settled: ConnectionPlan,
  grid: SizeGrid,
  reserved: number,
): { plan: ConnectionPlan; bytes: Uint8Array; enlarged: boolean } {
  const parts: Uint8Array[] = [];
  const exchanges = [...settled.exchanges];
  let enlarged = false;
  // The plan's first piece must lie in the first record: by it the slave knows that it comes this way.
  const [{ request, response }] = exchanges as [ConnectionPlan["exchanges"][number]];
  const [record] = recordsOf(request, grid);
  const least = wireSize(reserved + LEAST_ROOM, grid);
  if (record! < least) {
    const one = { request: growFirst(request, least, grid), response };
    exchanges[0] = settlePlan({ exchanges: [one], close: settled.close }, grid).exchanges[0]!;
    enlarged = true;
  }
  let room = 0;
  let need = 0;
  let taken = reserved;
  for (let i = 0; i < exchanges.length; i++) {
    const close = i === exchanges.length - 1 ? settled.close : undefined;
    for (;;) {
      const exchange = exchanges[i]!;
      const bytes = encodeExchange(exchange, close, { requestTimes: false });
      let capacity = 0;
      let head = taken;
      for (const record of recordsOf(exchange.request, grid)) {
        const payload = payloadSize(record, grid);
        capacity += Math.max(0, largestBody(payload - Math.min(head, payload)));
        head -= Math.min(head, payload);
      }
      const spare = i === exchanges.length - 1 ? LEAST_SPARE : 0;
      const missing = need + bytes.length + spare - room - capacity;
      if (missing <= 0) {
        parts.push(bytes);
        need += bytes.length;
        room += capacity;
        taken = head;
        break;
      }
      enlarged = true;
      const one = { request: grow(exchange.request, missing), response: exchange.response };
      exchanges[i] = settlePlan({ exchanges: [one], close: settled.close }, grid).exchanges[0]!;
    }
  }
  const bytes = new Uint8Array(need);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return { plan: { exchanges, close: settled.close }, bytes, enlarged };
}

import type { Agreement } from "./agreement.ts";
import { type ConnectionStart, kindFrames } from "./connection_start.ts";
import type { SizeGrid } from "./cover_connection.ts";
import { frameOverhead } from "./engine_frames.ts";
import { BadPlanError, fitInline } from "./first_message.ts";
import type { Lead } from "./lead.ts";
import type { PlanSender } from "./plans_sent.ts";
import type { OpenRequest } from "./schedule.ts";
import { Script } from "./script.ts";
import type { EngineStats } from "./stats.ts";

/** Starts connections from the lead of the end that opens them. */
export class OwnStarts {
  readonly #lead: Lead;
  readonly #agreement: Agreement;
  readonly #stats: EngineStats;

  /** Starts by `lead`; the other end is told what `agreement` says. */
  constructor(lead: Lead, agreement: Agreement, stats: EngineStats) {
    this.#lead = lead;
    this.#agreement = agreement;
    this.#stats = stats;
  }

  /** What a connection is to open with, if both ends know that its plan opens as a command does. */
  command(
    sender: PlanSender | undefined,
    { kind, serial, session }: OpenRequest,
    grid: SizeGrid,
  ): number | undefined {
    if (kind > 0) return undefined;
    if (sender !== undefined) return sender.command(session, serial);
    return this.#lead.command(session, serial, this.#agreement.begin(0, 0).minimum, grid);
  }

  /** A connection that has opened as a command does; undefined if its plan has been lost meanwhile. */
  asCommand(
    sender: PlanSender | undefined,
    request: OpenRequest,
    grid: SizeGrid,
  ): ConnectionStart | undefined {
    if (sender !== undefined) return this.ahead(sender, { ...request, kind: 0 }, grid, true);
    const { serial, session } = request;
    const { minimum } = this.#agreement.begin(0, 0);
    const drawn = this.#lead.draw(session, serial, 0, minimum, grid, true);
    if (drawn.command === undefined) return undefined;
    if (drawn.redrawn) this.#stats.redrawn++;
    return { kind: 0, script: new Script(grid, drawn.plan), first: [] };
  }

  /**
   * A connection whose plan `sender` has sent ahead of time; undefined if the other end is not known to have it, or if
   * that opens otherwise than this connection (`command`: as a command does). It is sent no more in any case.
   */
  ahead(
    sender: PlanSender,
    { kind, serial, session }: OpenRequest,
    grid: SizeGrid,
    command = false,
  ): ConnectionStart | undefined {
    const ahead = sender.take(session, serial, kind);
    if (!ahead?.acked || ahead.plan === undefined) return undefined;
    if (command !== (ahead.command !== undefined)) return undefined;
    if (ahead.redrawn) this.#stats.redrawn++;
    if (ahead.enlarged) this.#stats.enlarged++;
    return { kind, script: new Script(grid, ahead.plan), first: kindFrames(kind) };
  }

  /**
   * A connection that is drawn now, and whose proof takes `prefix` bytes: the other end draws the same, or is sent the
   * plan in the connection's own messages. Throws BadPlanError.
   */
  drawn({ kind, serial, session }: OpenRequest, grid: SizeGrid, prefix: number): ConnectionStart {
    const { first, minimum } = this.#agreement.begin(kind, prefix);
    const drawn = this.#agreement.ready
      ? this.#lead.usual(session, serial, kind, minimum, grid)
      : this.#lead.draw(session, serial, kind, minimum, grid);
    if (drawn.redrawn) this.#stats.redrawn++;
    if (this.#agreement.form === "derived") {
      if (drawn.enlarged) this.#stats.enlarged++;
      return { kind, script: new Script(grid, drawn.plan), first };
    }
    if (drawn.plan.free) {
      throw new BadPlanError(
        this.#lead.model.description.name,
        "without shape it is played only where the server holds the model, too",
      );
    }
    const reserved = first.reduce(
      (sum, { body }) => sum + body.length + frameOverhead(body.length),
      prefix,
    );
    const { plan, bytes, enlarged } = fitInline(drawn.plan, grid, reserved);
    this.#stats.inline++;
    if (drawn.enlarged || enlarged) this.#stats.enlarged++;
    return { kind, script: new Script(grid, plan), first, inline: bytes };
  }
}

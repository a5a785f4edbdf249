import type { End } from "../../models/mod.ts";
import type { PlanForm, Scheduling } from "../../playback/mod.ts";

/** One tunnel of the soak. */
export interface SoakTunnel {
  /** Its place among all. */
  readonly index: number;
  /** The carrier, and so the port of the server. */
  readonly carrier: "tls" | "smtp" | "ssh";
  /** The model that it plays. */
  readonly model: string;
  readonly master: End;
  readonly schedule: Scheduling;
  readonly form: PlanForm;
  /** Model sessions at once. */
  readonly sessions: number;
  /** Whether plans are drawn ahead in a worker, as `deno task client` does. */
  readonly ahead: boolean;
  /** The most bytes of one stream, up and down. */
  readonly most: { readonly up: number; readonly down: number };
}

/** The server's port for each carrier. */
export const PORTS: Readonly<Record<SoakTunnel["carrier"], number>> = {
  tls: 443,
  smtp: 587,
  ssh: 22,
};

/** Where the destination of the users' streams listens, at the server's end. */
export const FAR_PORT = 9000;

/** The first of the doors' ports: tunnel number i has the i-th after it. */
export const DOOR_PORT = 20_000;

/** Of every ten tunnels: the model and the carrier. */
const TEN: readonly [string, SoakTunnel["carrier"]][] = [
  ["https", "tls"],
  ["smtp", "smtp"],
  ["https", "tls"],
  ["ssh", "ssh"],
  ["https", "tls"],
  ["constant-rate", "tls"],
  ["https", "tls"],
  ["ssh", "tls"],
  ["https", "tls"],
  ["smtp", "tls"],
];

const SCHEDULES: readonly Scheduling[] = ["strict", "demand", "strict", "adaptive"];

/** The models that the server holds for a carrier. */
export const MODELS: Readonly<Record<SoakTunnel["carrier"], readonly string[]>> = {
  tls: ["https", "smtp", "ssh", "constant-rate"],
  smtp: ["smtp"],
  ssh: ["ssh"],
};

/** What `count` tunnels play: mixed, and the same for the same count. */
export function soakTunnels(count: number, carriers: ReadonlySet<string>): SoakTunnel[] {
  return Array.from({ length: count }, (_, index) => {
    const [model, wished] = TEN[index % TEN.length]!;
    return {
      index,
      model,
      carrier: carriers.has(wished) ? wished : "tls",
      master: Math.floor(index / 3) % 2 === 0 ? "client" : "server",
      schedule: SCHEDULES[Math.floor(index / 2) % SCHEDULES.length]!,
      form: index % 5 === 2 ? "embedded" : "derived",
      sessions: index % 7 === 0 ? 2 : 1,
      ahead: index % 5 === 0,
      most: model === "https" ? { up: 100_000, down: 2_000_000 } : { up: 20_000, down: 20_000 },
    };
  });
}

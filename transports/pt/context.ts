import type { Severity } from "./output.ts";

/** What every transport finds around it. */
export interface TransportContext {
  /** The transport's name. */
  readonly transport: string;
  /** Absolute path of the folder for keys and other state, mode 0700: nothing may be written elsewhere. */
  readonly stateFolder: string;
  /** Writes to tor's log; addresses are scrubbed unless the transport runs with unsafe logging. */
  log(severity: Severity, message: string): void;
  /** Tells tor's controllers something; `TRANSPORT` is added. */
  status(values: Readonly<Record<string, string>>): void;
  /** Aborted when the transport shall take no more connections. */
  readonly draining: AbortSignal;
}

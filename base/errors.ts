/**
 * An error whose message is meant for the person who ran the command: one line that names the file,
 * the offset or the option, says what is wrong, and what to do. The command line prints it without a
 * stack and exits with {@linkcode UserError.exitCode}.
 *
 * Rooms derive their own classes from it, each with the fact that helps as a field.
 *
 * @example
 * ```ts
 * import { UserError } from "./errors.ts";
 * class PortInUse extends UserError {
 *   constructor(readonly port: number) {
 *     super(`port ${port} is in use: choose another with --port`);
 *   }
 * }
 * const error = new PortInUse(1080);
 * if (error.exitCode !== 1 || error.name !== "PortInUse") throw error;
 * ```
 */
export class UserError extends Error {
  /** The process exit code: 1 for bad input, 2 for wrong usage. */
  readonly exitCode: 1 | 2 = 1;

  /** Wraps `message`; `options.cause` keeps the error underneath for `--verbose`. */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** Wrong usage of a command or of an option: exit code 2. */
export class UsageError extends UserError {
  /** Always 2. */
  override readonly exitCode = 2 as const;
}

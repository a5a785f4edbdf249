import { UserError } from "../../base/mod.ts";
import type { WireEvent } from "../../playback/mod.ts";

/** A wire log that cannot be written. */
export class WireLogError extends UserError {
  /** `file` is what `--wire-log` named. */
  constructor(readonly file: string, cause: unknown) {
    super(`--wire-log ${file}: cannot be written: ${(cause as Error).message.split("\n")[0]}`, {
      cause,
    });
  }
}

/** Writes wire events to a file, one JSON object a line, once a second and when it is closed. */
export class WireLogFile {
  readonly #file: string;
  readonly #handle: Deno.FsFile;
  readonly #timer: ReturnType<typeof setInterval>;
  #lines: string[] = [];
  #closed = false;
  #error: WireLogError | undefined;

  /** Creates `file`, or empties it. */
  constructor(file: string) {
    this.#file = file;
    try {
      this.#handle = Deno.openSync(file, {
        ...{ write: true, create: true, truncate: true },
        // When a person was there, and how much: nobody else's on this machine.
        mode: 0o600,
      });
    } catch (cause) {
      throw new WireLogError(file, cause);
    }
    this.#timer = setInterval(() => this.flush(), 1000);
    this.#timer.unref();
  }

  /** Adds an event; an arrow function, to be handed to an engine. */
  readonly add = (event: WireEvent): void => {
    if (!this.#closed) this.#lines.push(JSON.stringify(event));
  };

  /** Writes what has gathered. */
  flush(): void {
    if (this.#lines.length === 0 || this.#closed) return;
    const bytes = new TextEncoder().encode(`${this.#lines.join("\n")}\n`);
    this.#lines = [];
    try {
      for (let at = 0; at < bytes.length;) at += this.#handle.writeSync(bytes.subarray(at));
    } catch (cause) {
      // The tunnel goes on without its log; whoever closes the log hears of it.
      this.#error = new WireLogError(this.#file, cause);
      this.#end();
    }
  }

  /**
   * Writes the rest and closes the file.
   *
   * @throws {WireLogError} if something could not be written.
   */
  close(): void {
    this.flush();
    this.#end();
    if (this.#error !== undefined) throw this.#error;
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    this.#handle.close();
  }
}

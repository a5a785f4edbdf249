import { readSecrets } from "./server_state.ts";

/** What a {@linkcode UsersWatch} needs. */
export interface UsersWatchOptions {
  /** The file of the users' secrets, one a line. */
  readonly file: string;
  /** Those in use. */
  readonly secrets: readonly Uint8Array[];
  /** Takes others into use. */
  readonly onChanged: (secrets: readonly Uint8Array[]) => void | Promise<void>;
  /** Told, in words, of what the operator should know. */
  readonly onWarning: (text: string) => void;
}

/**
 * Looks after a server's users: takes those into use that its file of secrets holds, while tunnels go on. A file
 * that cannot be used changes nothing, and the operator is told once.
 */
export class UsersWatch implements Disposable {
  readonly #options: UsersWatchOptions;
  #known: string;
  #said = "";
  #timer: ReturnType<typeof setInterval> | undefined;
  #checking: Promise<void> = Promise.resolve();

  /** Prepares; {@linkcode UsersWatch.start} begins to look at the file. */
  constructor(options: UsersWatchOptions) {
    this.#options = options;
    this.#known = digestOf(options.secrets);
  }

  /** Looks at the file every `period` milliseconds; five seconds if absent. */
  start(period = 5_000): void {
    this.#timer ??= setInterval(() => void this.check(), period);
    this.#timer.unref();
  }

  /** Looks at the file now. */
  check(): Promise<void> {
    return this.#checking = this.#checking.then(() => this.#check());
  }

  async #check(): Promise<void> {
    const { file, onChanged } = this.#options;
    try {
      const secrets = await readSecrets(file);
      const digest = digestOf(secrets);
      if (digest !== this.#known) {
        await onChanged(secrets);
        this.#known = digest;
      }
      this.#said = "";
    } catch (error) {
      this.#say(`${(error as Error).message.split("\n")[0]}: the users before stay`);
    }
  }

  /** Stops looking. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  /** Says something once, until something else is to be said. */
  #say(text: string): void {
    if (text === this.#said) return;
    this.#said = text;
    this.#options.onWarning(text);
  }
}

function digestOf(secrets: readonly Uint8Array[]): string {
  return secrets.map((secret) => secret.toHex()).join();
}

import { SSH_GRID, type SshChannel, type SshChannelEvents } from "./ssh_connection.ts";

/** Milliseconds between two writes, so that the program reads the first before the second is there. */
const SPACING = 1;

/** A client's channel: the pipes of its `ssh`. One write is one packet as long as the program keeps up. */
export class PipeChannel implements SshChannel {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #kill: () => void;
  #events: SshChannelEvents | undefined;
  readonly #early: Uint8Array[] = [];
  #ended = false;
  #over = false;

  /** Takes over the pipes of `child`; `kill` ends it. */
  constructor(child: Deno.ChildProcess, kill: () => void) {
    this.#child = child;
    this.#input = child.stdin.getWriter();
    this.#kill = kill;
    this.#input.closed.catch(() => {});
    this.#read().then(() => {
      this.#ended = true;
      this.#events?.onEnd();
    }, () => this.#fail());
  }

  async #read(): Promise<void> {
    for await (const bytes of this.#child.stdout) {
      if (this.#events === undefined) this.#early.push(bytes);
      else this.#events.onData(bytes);
    }
  }

  start(events: SshChannelEvents): void {
    this.#events = events;
    for (const bytes of this.#early.splice(0)) events.onData(bytes);
    if (this.#ended) events.onEnd();
    if (this.#over) events.onClose();
  }

  get writable(): boolean {
    return !this.#over;
  }

  write(payload: Uint8Array, taken: () => void): void {
    // As much as the program reads at a time is never joined with what follows.
    const full = payload.length === SSH_GRID.maxPayload;
    const after = full ? taken : () => void setTimeout(taken, SPACING);
    this.#input.write(payload).then(after, () => this.#fail());
  }

  /** The program has ended. */
  gone(): void {
    if (this.#over) return;
    this.#over = true;
    this.#events?.onClose();
  }

  end(): void {
    this.#input.close().catch(() => {});
  }

  drop(): void {
    this.#kill();
  }

  #fail(): void {
    if (!this.#over) this.#events?.onError();
  }
}

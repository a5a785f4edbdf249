import { Buffer } from "node:buffer";
import { SSH_GRID, type SshChannel, type SshChannelEvents } from "./ssh_connection.ts";

/** Milliseconds between two writes where nobody knows what the program has read. */
const SPACING = 1;

/**
 * A client's channel: the pipes of its `ssh`. One write is one packet: the launcher sees to that, or without it the
 * time between two, as long as the program keeps up.
 */
export class PipeChannel implements SshChannel {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #launched: boolean;
  readonly #kill: () => void;
  #events: SshChannelEvents | undefined;
  readonly #early: Uint8Array[] = [];
  #taken: (() => void) | undefined;
  #ended = false;
  #over = false;

  /** Takes over the pipes of `child`, which came from a launcher if `launched`; `kill` ends it. */
  constructor(child: Deno.ChildProcess, launched: boolean, kill: () => void) {
    this.#child = child;
    this.#input = child.stdin.getWriter();
    this.#launched = launched;
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

  write(payload: Uint8Array, written: () => void): void {
    if (this.#launched) {
      const frame = Buffer.allocUnsafe(4 + payload.length);
      frame.writeUInt32BE(payload.length);
      frame.set(payload, 4);
      this.#input.write(frame).then(written, () => this.#fail());
      return;
    }
    // As much as the program reads at a time is never joined with what follows.
    const full = payload.length === SSH_GRID.maxPayload;
    const after = full ? written : () => void setTimeout(written, SPACING);
    this.#input.write(payload).then(after, () => this.#fail());
  }

  flush(taken: () => void): void {
    if (!this.#launched) return taken();
    this.#taken = taken;
    this.#input.write(new Uint8Array(4)).catch(taken);
  }

  /** The launcher says that the program has taken all. */
  taken(): void {
    this.#taken?.();
    this.#taken = undefined;
  }

  /** The program has ended; what it has said may not have been read. */
  programEnded(): void {
    this.#input.close().catch(() => {});
  }

  /** Nothing follows. */
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

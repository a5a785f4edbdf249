import type { CoverListener } from "../../playback/cover_connection.ts";
import { Inbox } from "./inbox.ts";
import type { Outbox } from "./outbox.ts";

/** What every carrier's connection does with its two boxes; how bytes come and leave is the carrier's. */
export abstract class BufferedConnection {
  /** What has come, for the listener. */
  protected readonly inbox = new Inbox(() => this.close("rst"));
  /** What is to leave. */
  protected abstract readonly outbox: Outbox;

  /** Who is told of what comes; first of what came before. */
  get listener(): CoverListener | undefined {
    return this.inbox.listener;
  }

  set listener(listener: CoverListener | undefined) {
    this.inbox.listener = listener;
  }

  /** Bytes that have not left. */
  get queued(): number {
    return this.outbox.queued;
  }

  /** Closes once all has left, or by RST at once. */
  close(how: "fin" | "rst"): void {
    this.outbox.close(how);
  }

  /** Gives bytes back, to be reported first to the listener that is set next. */
  unread(bytes: Uint8Array): void {
    this.inbox.unread(bytes);
  }
}

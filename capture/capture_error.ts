import { UserError } from "../base/errors.ts";

/** A capture that cannot be read: the line names the file and, where there is one, the offset. */
export class CaptureError extends UserError {
  /** The file's name, or `-` for standard input. */
  readonly file: string;
  /** Byte offset in the (uncompressed) file where reading stopped; undefined before the first byte. */
  readonly offset: number | undefined;

  /** `what` completes "FILE: ..." and says what is wrong and, where possible, what to do. */
  constructor(file: string, what: string, offset?: number, options?: ErrorOptions) {
    super(
      `${file === "-" ? "standard input" : file}: ${what}` +
        (offset === undefined ? "" : ` (at byte ${offset})`),
      options,
    );
    this.file = file;
    this.offset = offset;
  }
}

/** The file could not be opened or read, or holds no bytes. */
export class UnreadableCaptureError extends CaptureError {}

/** The bytes are not those of a capture that this reader knows. */
export class NotACaptureError extends CaptureError {}

/** A capture that contradicts itself; what came before `offset` was delivered. */
export class DamagedCaptureError extends CaptureError {}

/** The file ends in the middle of a packet; all whole packets before were delivered. */
export class TruncatedCaptureError extends CaptureError {}

import { expiryOf, readFrontIdentity, readIdentity, type ServerIdentity } from "../carriers/mod.ts";

const DAY = 86_400_000;
/** Days before its end from which a certificate is announced to end. */
const AHEAD = 30;

/** What a {@linkcode CertificateWatch} needs. */
export interface CertificateWatchOptions {
  /** File of the certificate (chain), PEM. */
  readonly cert: string;
  /** File of the private key, PEM; a server in front keeps it if absent. */
  readonly key?: string;
  /** What is in use. */
  readonly identity: ServerIdentity;
  /** Takes a renewed certificate into use. */
  readonly onRenewed: (identity: ServerIdentity) => void;
  /** Told, in words, of what the operator should know. */
  readonly onWarning: (text: string) => void;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/**
 * Watches a server's certificate: takes a renewed one into use as long as its key is the same, which
 * clients' lines pin, and announces 30 days ahead, once a day, when it ends.
 */
export class CertificateWatch implements Disposable {
  readonly #options: CertificateWatchOptions;
  readonly #now: () => number;
  #identity: ServerIdentity;
  #said = "";
  #announced = Number.NEGATIVE_INFINITY;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Announces the end if it is near; {@linkcode CertificateWatch.start} begins to look at the files. */
  constructor(options: CertificateWatchOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#identity = options.identity;
    this.#announce();
  }

  /** Looks at the files every `period` milliseconds; a minute if absent. */
  start(period = 60_000): void {
    this.#timer ??= setInterval(() => void this.check(), period);
    this.#timer.unref();
  }

  /** Looks at the files once. */
  async check(): Promise<void> {
    const { cert, key, onRenewed } = this.#options;
    const present = this.#identity;
    try {
      const found = await (key === undefined ? readFrontIdentity(cert) : readIdentity(cert, key));
      if (found.pin !== present.pin) {
        this.#say(
          `${cert}: the new certificate has another key, and clients know this server by its key: the ` +
            `one before stays in use. Renew with the same key, or restart the server and give out its new line`,
        );
      } else {
        if (found.certificate !== present.certificate) {
          onRenewed(found);
          this.#identity = found;
          this.#announced = Number.NEGATIVE_INFINITY;
          const until = new Date(expiryOf(found)).toISOString().slice(0, 10);
          this.#say(`${cert}: the renewed certificate is in use, until ${until}; lines stay valid`);
        }
        this.#said = "";
      }
    } catch (error) {
      this.#say(`${(error as Error).message}: the certificate before stays in use`);
    }
    this.#announce();
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

  #announce(): void {
    const now = this.#now();
    const expiry = expiryOf(this.#identity);
    if (expiry - now > AHEAD * DAY || now - this.#announced < DAY) return;
    this.#announced = now;
    const day = new Date(expiry).toISOString().slice(0, 10);
    const left = Math.floor((expiry - now) / DAY);
    this.#options.onWarning(
      `${this.#options.cert}: the certificate ${
        left < 0 ? `ended on ${day}` : `ends on ${day}, in ${left} days`
      }: renew it with the same key`,
    );
  }
}

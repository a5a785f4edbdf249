import type { Browser, BrowserContext, Page } from "playwright-core";
import type { Random } from "../../random.ts";
import { type LogNormal, logNormal, normal } from "../../workload/distribution.ts";
import { operatorOf } from "../operators.ts";
import type { PageKind } from "../page.ts";

/** Where time comes from and how it passes, in milliseconds. */
export interface Clock {
  /** The time. */
  now(): number;
  /** Waits. */
  sleep(milliseconds: number): Promise<void>;
}

/** Somebody who uses an application for a while: what they draw, how long they take, what they did. */
export class Person {
  /** How slow this person is: drawn for each round, so that rounds differ. */
  readonly #pace: number;
  /** What was done, for people to read. */
  readonly did: Record<string, number> = {};

  readonly #deadline: number;

  /** Begins now, and begins nothing new after `milliseconds`. */
  constructor(
    readonly browser: Browser,
    readonly random: Random,
    readonly clock: Clock,
    milliseconds: number,
  ) {
    this.#pace = Math.exp(0.2 * normal(random));
    this.#deadline = clock.now() + milliseconds;
  }

  /** Whether there is time left. */
  get busy(): boolean {
    return this.clock.now() < this.#deadline;
  }

  /** Counts something. */
  count(what: string): void {
    this.did[what] = (this.did[what] ?? 0) + 1;
  }

  /** Waits as long as drawn, in milliseconds, and no longer than there is time. */
  async pause(shape: LogNormal): Promise<void> {
    const drawn = this.#pace * logNormal(this.random, shape);
    await this.clock.sleep(Math.max(0, Math.min(drawn, this.#deadline - this.clock.now())));
  }

  /** A window with no memory of what was seen before. */
  newWindow(): Promise<BrowserContext> {
    return this.browser.newContext();
  }

  /** Goes to a page of a kind; the same `page` number is the same page again. */
  async open(page: Page, host: string, kind: PageKind, number: number | string): Promise<void> {
    await this.patient(
      page.goto(`https://${host}/page/${kind}/${number}`, { waitUntil: "load", timeout: 20_000 }),
    );
    this.count(`${kind} pages`);
  }

  /** Has the page fetch `paths` of a host at once, with POST where `upload` bytes are sent. */
  async call(page: Page, host: string, paths: readonly string[], upload = 0): Promise<void> {
    const asked = paths.map((path) => path + operatorOf(host).query);
    await this.patient(page.evaluate(
      `Promise.all(${JSON.stringify(asked)}.map((path) => get(${
        JSON.stringify(host)
      }, path, ${upload})))`,
    ));
    this.count("calls");
  }

  /** Has the page show images of a host. */
  async show(page: Page, host: string, paths: readonly string[]): Promise<void> {
    const asked = paths.map((path) => path + operatorOf(host).query);
    await this.patient(page.evaluate(
      `for (const path of ${JSON.stringify(asked)}) {
        const image = new Image();
        image.src = "https://" + ${JSON.stringify(host)} + path;
        document.body.append(image);
      }`,
    ));
  }

  /** Has the page play a clip that is one file, to its end or to the end of patience. */
  async clip(page: Page, host: string, number: number): Promise<void> {
    await this.patient(page.evaluate(
      `new Promise((resolve) => {
        const video = document.createElement("video");
        video.muted = true; video.autoplay = true; video.width = 320;
        video.onended = video.onerror = () => { video.remove(); resolve(); };
        video.src = "https://${host}/media/clip${number}.mp4";
        document.body.append(video);
        setTimeout(video.onended, 30000);
      })`,
    ));
    this.count("clips");
  }

  /** Waits for something that may fail for the network's reasons: a person would go on. */
  async patient(work: Promise<unknown>): Promise<void> {
    try {
      await work;
    } catch (error) {
      // A browser that is gone is no reason of the network's.
      if (!this.browser.isConnected()) throw error;
      this.count("failed");
    }
  }
}

/** Shorthand for a {@linkcode LogNormal} of milliseconds. */
export function time(median: number, sigma: number, min: number, max: number): LogNormal {
  return { median, sigma, min, max };
}

/**
 * A program of its own: one person who uses one application with a real browser, Chromium driven by
 * playwright-core, for some time. Prints what they did as one line of JSON.
 *
 * @module
 */
import fs from "node:fs";
import type { Browser } from "playwright-core";
import { seededRandom } from "../random.ts";
import type { Application } from "./applications.ts";
import type { Media } from "./media.ts";
import { browser as browse } from "./users/browser.ts";
import { game } from "./users/game.ts";
import { news } from "./users/news.ts";
import { type Clock, Person } from "./users/person.ts";
import { video } from "./users/video.ts";
import { weather } from "./users/weather.ts";

/** What the program is given as its only argument, as JSON. */
export interface VisitorSettings {
  /** What is used. */
  readonly application: Application;
  /** Draws what the person does. */
  readonly seed: string;
  /** Milliseconds for which they begin new things. */
  readonly milliseconds: number;
  /** What there is to see. */
  readonly media: Media;
  /** Where Chromium is. */
  readonly chromium: string;
}

const USE: Record<Application, (person: Person, media: Media) => Promise<void>> = {
  video: (person, { films }) => video(person, films),
  browser: browse,
  news,
  game: (person, { clips }) => game(person, clips),
  weather: (person, { clips }) => weather(person, clips),
};

/** Has a person use the application with a browser; returns what they did. */
export async function use(
  settings: VisitorSettings,
  browser: Browser,
  clock: Clock,
): Promise<Record<string, number>> {
  const random = seededRandom("visitor", settings.application, settings.seed);
  const person = new Person(browser, random, clock, settings.milliseconds);
  await USE[settings.application](person, settings.media);
  return person.did;
}

/**
 * playwright-core looks for files under /proc, to which a program without all rights has no access: Node's
 * `existsSync` then says no, and Deno's throws.
 */
function existsOrNot(): void {
  const real = fs.existsSync;
  fs.existsSync = (path) => {
    try {
      return real(path);
    } catch {
      return false;
    }
  };
}

async function visit(settings: VisitorSettings): Promise<Record<string, number>> {
  existsOrNot();
  const { chromium } = await import("playwright-core");
  const instance = await chromium.launch({
    executablePath: settings.chromium,
    headless: true,
    args: [
      ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--mute-audio"],
      ...["--disable-sync", "--no-pings", "--autoplay-policy=no-user-gesture-required"],
      // By a switch, and not for each window: there, each new connection would fail once before it is trusted.
      "--ignore-certificate-errors",
      // The browser's own errands, such as looking for updates.
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE *.test",
    ],
  });
  try {
    const clock = {
      now: () => performance.now(),
      sleep: (milliseconds: number) =>
        new Promise<void>((resolve) => setTimeout(resolve, milliseconds)),
    };
    return await use(settings, instance, clock);
  } finally {
    await instance.close();
  }
}

if (import.meta.main) {
  const say = (text: string, to: { writeSync(bytes: Uint8Array): number }) =>
    to.writeSync(new TextEncoder().encode(`${text}\n`));
  try {
    const did = await visit(JSON.parse(Deno.args[0] ?? "") as VisitorSettings);
    say(JSON.stringify(did), Deno.stdout);
    Deno.exit(0);
  } catch (error) {
    say(`error: ${error instanceof Error ? error.message.split("\n")[0] : error}`, Deno.stderr);
    Deno.exit(1);
  }
}

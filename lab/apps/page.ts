import { type Random, seededRandom } from "../random.ts";
import {
  between,
  type LogNormal,
  logNormal,
  pick,
  weighted,
  wholeLogNormal,
  word,
} from "../workload/distribution.ts";

/** How pages of a kind are made up. */
interface PageShape {
  /** Bytes of HTML. */
  readonly html: LogNormal;
  /** How many objects of each kind. */
  readonly styles: readonly [number, number];
  readonly scripts: readonly [number, number];
  readonly images: readonly [number, number];
  /** Bytes of each image. */
  readonly image: LogNormal;
  /** Calls of its script when it has loaded. */
  readonly calls: readonly [number, number];
  /** Objects of hosts that others use too. */
  readonly shared: readonly [number, number];
}

const size = (median: number, sigma: number, min: number, max: number): LogNormal => ({
  ...{ median, sigma, min, max },
});

/**
 * Shapes after the HTTP Archive's medians and tails (page weight, requests by kind), scaled down so that a page
 * loads in a second or two over the laboratory's link.
 */
const SHAPES = {
  forum: shape(
    size(30_000, 0.6, 6_000, 120_000),
    [1, 2],
    [2, 5],
    [6, 24],
    size(3_000, 0.8, 400, 40_000),
    [0, 2],
    [1, 3],
  ),
  shop: shape(
    size(60_000, 0.6, 15_000, 200_000),
    [2, 4],
    [5, 12],
    [12, 36],
    size(14_000, 0.8, 1_500, 120_000),
    [1, 4],
    [2, 6],
  ),
  wiki: shape(
    size(45_000, 0.8, 8_000, 250_000),
    [1, 2],
    [1, 3],
    [0, 8],
    size(12_000, 1.0, 800, 150_000),
    [0, 1],
    [0, 0],
  ),
  gallery: shape(
    size(18_000, 0.5, 5_000, 60_000),
    [1, 2],
    [2, 5],
    [10, 30],
    size(45_000, 0.8, 6_000, 350_000),
    [1, 3],
    [1, 3],
  ),
  search: shape(
    size(28_000, 0.4, 10_000, 70_000),
    [1, 1],
    [1, 4],
    [0, 6],
    size(5_000, 0.8, 700, 30_000),
    [1, 4],
    [0, 1],
  ),
  blog: shape(
    size(22_000, 0.6, 5_000, 90_000),
    [1, 3],
    [2, 6],
    [2, 10],
    size(28_000, 1.0, 2_000, 300_000),
    [0, 1],
    [1, 4],
  ),
  social: shape(
    size(40_000, 0.5, 12_000, 140_000),
    [1, 3],
    [4, 9],
    [10, 26],
    size(18_000, 1.0, 1_000, 200_000),
    [3, 8],
    [1, 2],
  ),
  list: shape(
    size(50_000, 0.4, 20_000, 120_000),
    [1, 2],
    [3, 6],
    [14, 28],
    size(9_000, 0.6, 2_000, 40_000),
    [1, 3],
    [1, 4],
  ),
  article: shape(
    size(24_000, 0.5, 8_000, 80_000),
    [1, 2],
    [3, 6],
    [2, 7],
    size(48_000, 0.7, 8_000, 260_000),
    [1, 3],
    [2, 5],
  ),
  watch: shape(
    size(36_000, 0.4, 12_000, 100_000),
    [1, 2],
    [3, 6],
    [8, 18],
    size(8_000, 0.5, 2_000, 25_000),
    [1, 4],
    [0, 1],
  ),
  game: shape(
    size(9_000, 0.3, 4_000, 20_000),
    [1, 1],
    [3, 6],
    [14, 30],
    size(26_000, 1.0, 1_500, 250_000),
    [1, 2],
    [0, 1],
  ),
  weather: shape(
    size(16_000, 0.4, 6_000, 40_000),
    [1, 2],
    [3, 6],
    [4, 10],
    size(5_000, 0.7, 800, 30_000),
    [1, 3],
    [1, 3],
  ),
} satisfies Record<string, PageShape>;

function shape(
  html: LogNormal,
  styles: readonly [number, number],
  scripts: readonly [number, number],
  images: readonly [number, number],
  image: LogNormal,
  calls: readonly [number, number],
  shared: readonly [number, number],
): PageShape {
  return { html, styles, scripts, images, image, calls, shared };
}

/** A kind of page. */
export type PageKind = keyof typeof SHAPES;

/** Whether there is such a kind of page. */
export function isPageKind(text: string): text is PageKind {
  return Object.hasOwn(SHAPES, text);
}

const STYLE = size(14_000, 0.9, 800, 120_000);
const SCRIPT = size(24_000, 1.1, 600, 300_000);
const ANSWER = size(900, 1.0, 60, 20_000);
/** Milliseconds that a host takes to answer. */
const DELAY = size(25, 0.9, 3, 250);

/** What an object's address says: the host answers so many bytes after so many milliseconds. */
export function objectPath(bytes: number, delay: number, name: string): string {
  return `/o/${bytes}/${Math.round(delay)}/${name}`;
}

function drawObject(random: Random, bytes: number, ending: string): string {
  return objectPath(
    bytes,
    logNormal(random, DELAY),
    `${word(random, between(random, 5, 24))}.${ending}`,
  );
}

function sharedObject(random: Random): string {
  const kind = weighted(random, { ads: 0.35, cdn: 0.3, fonts: 0.15, stats: 0.2 });
  const [bytes, ending] = {
    ads: [wholeLogNormal(random, size(22_000, 0.9, 1_500, 150_000)), "js"],
    cdn: [wholeLogNormal(random, size(30_000, 0.7, 4_000, 120_000)), "js"],
    fonts: [wholeLogNormal(random, size(24_000, 0.3, 12_000, 60_000)), "css"],
    stats: [wholeLogNormal(random, size(18_000, 0.2, 9_000, 40_000)), "js"],
  }[kind] as [number, string];
  // The same few files for everybody: a browser that has one does not ask again.
  const index = random.integer(6);
  const again = seededRandom("shared", kind, index);
  return `https://${kind}.test${
    objectPath(Math.round(bytes), 5 + again.integer(40), `lib${index}.${ending}`)
  }`;
}

/**
 * The HTML of a page: links to objects whose addresses say how large they are and how long they take, and a
 * script that makes calls. The same kind, seed and hosts give the same page.
 *
 * @example
 * ```ts
 * import { pageHtml } from "./page.ts";
 * const hosts = { own: "www.news.test", files: "img.news.test" };
 * if (pageHtml("article", "1", hosts) !== pageHtml("article", "1", hosts)) throw new Error("differ");
 * ```
 */
export function pageHtml(
  kind: PageKind,
  seed: string,
  hosts: { readonly own: string; readonly files: string },
  extra = "",
): string {
  const random = seededRandom("page", hosts.own, kind, seed);
  // What belongs to the site and not to the page is fetched once, and then kept.
  const site = seededRandom("site", hosts.own, kind);
  const shape: PageShape = SHAPES[kind];
  const some = ([low, high]: readonly [number, number]) => between(random, low, high);
  const file = (from: Random, bytes: LogNormal, ending: string) =>
    `https://${hosts.files}${drawObject(from, wholeLogNormal(from, bytes), ending)}`;
  const repeat = <T>(count: number, make: () => T) => Array.from({ length: count }, make);
  const styles = repeat(between(site, ...shape.styles), () => file(site, STYLE, "css"));
  const scripts = repeat(
    between(site, ...shape.scripts),
    () => file(random.float() < 0.75 ? site : random, SCRIPT, "js"),
  );
  const images = repeat(some(shape.images), () => file(random, shape.image, "svg"));
  const shared = repeat(some(shape.shared), () => sharedObject(random));
  const calls = repeat(
    some(shape.calls),
    () =>
      pick(random, [hosts.own, hosts.own, "stats.test"]) + "|" +
      drawObject(random, wholeLogNormal(random, ANSWER), "json"),
  );
  const script = (source: string) => `<script async src="${source}"></script>`;
  const head = [
    ...styles.map((source) => `<link rel="stylesheet" href="${source}">`),
    ...scripts.map(script),
    ...shared.map((source) =>
      source.endsWith(".css") ? `<link rel="stylesheet" href="${source}">` : script(source)
    ),
  ];
  const body = images.map((source, at) =>
    `<p>text</p><img alt="" ${
      at > 8 ? 'loading="lazy" ' : ""
    }width="300" height="200" src="${source}">`
  );
  const code = `const calls=${JSON.stringify(calls)};` +
    `const get=(host,path,body)=>fetch("https://"+host+path,body?{method:"POST",body:"x".repeat(body)}:{})` +
    `.then((answer)=>answer.arrayBuffer()).then((bytes)=>bytes.byteLength).catch(()=>0);` +
    `addEventListener("load",async()=>{for(const call of calls)await get(...call.split("|"))});`;
  const html =
    `<!doctype html><html><head><title>${kind}</title><link rel="icon" href="data:,">\n` +
    `${head.join("\n")}\n<script>${code}</script>${extra}</head>\n<body>\n${body.join("\n")}\n`;
  return html.padEnd(wholeLogNormal(random, shape.html), "word ") + "\n</body></html>";
}

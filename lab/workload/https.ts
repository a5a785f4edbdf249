import type { Random } from "../random.ts";
import { between, logNormal, pick, weighted, wholeLogNormal, word } from "./distribution.ts";
import { userPauses } from "./pauses.ts";

/** Something a page is made of, fetched with GET. */
export interface WebObject {
  /** Path on the server. */
  readonly path: string;
  /** What it is. */
  readonly kind: "style" | "script" | "image";
  /** Bytes of content. */
  readonly size: number;
  /** Milliseconds the application takes to answer; undefined for a file on the server's disk. */
  readonly delay: number | undefined;
}

/** A call that a page's script makes while the page is read. */
export interface WebCall {
  /** Path on the server. */
  readonly path: string;
  /** Bytes sent with POST; 0 for a GET. */
  readonly upload: number;
  /** Bytes of the answer. */
  readonly size: number;
  /** Milliseconds the application takes to answer. */
  readonly delay: number;
  /** Milliseconds the script waits before it makes the call. */
  readonly after: number;
}

/** One page and all that loads with it. */
export interface WebPage {
  /** Path on the server. */
  readonly path: string;
  /** Bytes of HTML at least; the links to its objects may take more. */
  readonly size: number;
  /** Milliseconds the application takes to make it. */
  readonly delay: number;
  /** What it is made of, in the order it names them. */
  readonly objects: readonly WebObject[];
  /** What its script calls, one after another. */
  readonly calls: readonly WebCall[];
  /** Milliseconds that it is read before the next page is asked for or the window is closed. */
  readonly read: number;
}

/** A look at the site in a window of its own, which is closed at the end, and its connections with it. */
export interface WebVisit {
  /** Milliseconds after the visit before. */
  readonly after: number;
  /** Value of the cookie that the browser sends along. */
  readonly cookie: string;
  /** Pages, one after another. */
  readonly pages: readonly WebPage[];
}

/** One person with a browser. */
export interface WebUser {
  /** Visits, one after another. */
  readonly visits: readonly WebVisit[];
}

/**
 * Shapes after published statistics of the web (HTTP Archive, and Pries et al., "An HTTP web traffic
 * model based on the top one million visited web pages", 2012: heavy-tailed, log-normal or Weibull
 * object counts and sizes), scaled down so that a connection lasts seconds.
 */
const SHAPES = {
  objects: { median: 11, sigma: 0.6, min: 4, max: 40 },
  html: { median: 14_000, sigma: 0.8, min: 2_000, max: 120_000 },
  style: { median: 9_000, sigma: 1.0, min: 600, max: 120_000 },
  script: { median: 14_000, sigma: 1.2, min: 400, max: 250_000 },
  image: { median: 7_000, sigma: 1.35, min: 300, max: 300_000 },
  upload: { median: 4_000, sigma: 1.0, min: 1_000, max: 40_000 },
  beacon: { median: 300, sigma: 0.7, min: 60, max: 2_000 },
  answer: { median: 350, sigma: 0.9, min: 20, max: 4_000 },
  list: { median: 3_000, sigma: 1.1, min: 200, max: 60_000 },
  delay: { median: 35, sigma: 0.9, min: 5, max: 200 },
  pause: { median: 350, sigma: 0.9, min: 30, max: 2_500 },
  read: { median: 1_700, sigma: 0.5, min: 800, max: 3_500 },
  gap: { median: 800, sigma: 0.8, min: 100, max: 3_000 },
  cookie: { median: 90, sigma: 0.8, min: 16, max: 400 },
} as const;

/** Visits of one person in a hurry. */
const VISITS = 30;

const ENDING = { style: "css", script: "js", image: "svg" } as const;

function object(random: Random): WebObject {
  const kind = weighted(random, { style: 0.12, script: 0.22, image: 0.66 });
  const name = word(random, between(random, 6, 40));
  const folder = pick(random, ["assets", "media", "static/build", "img", "uploads/2024/06"]);
  const version = random.float() < 0.5 ? `?v=${word(random, between(random, 4, 40))}` : "";
  const dynamic = random.float() < 0.15;
  return {
    path: `${dynamic ? "/app" : ""}/${folder}/${name}.${ENDING[kind]}${version}`,
    kind,
    size: wholeLogNormal(random, SHAPES[kind]),
    delay: dynamic ? logNormal(random, SHAPES.delay) : undefined,
  };
}

function call(random: Random): WebCall {
  const kind = weighted(random, { upload: 0.3, beacon: 0.3, list: 0.4 });
  const query = random.float() < 0.5 ? `?q=${word(random, between(random, 3, 120))}` : "";
  return {
    path: `/app/api/${kind}/${word(random, between(random, 6, 24))}${query}`,
    upload: kind === "list" ? 0 : wholeLogNormal(random, SHAPES[kind]),
    size: wholeLogNormal(random, kind === "list" ? SHAPES.list : SHAPES.answer),
    delay: logNormal(random, SHAPES.delay),
    after: logNormal(random, SHAPES.pause),
  };
}

function page(random: Random): WebPage {
  const count = wholeLogNormal(random, SHAPES.objects);
  const calls = between(random, 0, 3);
  return {
    path: `/app/${pick(random, ["news", "shop", "wiki", "mail"])}/${
      word(random, between(random, 4, 60))
    }`,
    size: wholeLogNormal(random, SHAPES.html),
    delay: logNormal(random, SHAPES.delay),
    objects: Array.from({ length: count }, () => object(random)),
    calls: Array.from({ length: calls }, () => call(random)),
    read: logNormal(random, SHAPES.read),
  };
}

function visits(random: Random, pauses: readonly (number | undefined)[]): WebUser {
  return {
    visits: pauses.map((pause) => {
      const pages = Number(weighted(random, { "1": 0.45, "2": 0.35, "3": 0.2 }));
      return {
        after: pause ?? logNormal(random, SHAPES.gap),
        cookie: word(random, wholeLogNormal(random, SHAPES.cookie)),
        pages: Array.from({ length: pages }, () => page(random)),
      };
    }),
  };
}

/**
 * People who browse, more than fits in a run, which ends by time: two in a hurry, or `people` with
 * {@linkcode userPauses}.
 */
export function webWorkload(random: Random, people?: number): WebUser[] {
  return Array.from(
    { length: people ?? 2 },
    () =>
      visits(
        random,
        people === undefined ? Array.from({ length: VISITS }, () => undefined) : userPauses(random),
      ),
  );
}

/** All pages of all visits of all users. */
export function pagesOf(users: readonly WebUser[]): WebPage[] {
  return users.flatMap(({ visits }) => visits).flatMap(({ pages }) => pages);
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll('"', "&quot;");
}

/** The page's HTML: links to its objects, a script that makes its calls, and words up to its size. */
export function htmlOf(page: WebPage): string {
  const tags = page.objects.map(({ kind, path }) => {
    const link = escape(path);
    if (kind === "style") return `<link rel="stylesheet" href="${link}">`;
    if (kind === "script") return `<script defer src="${link}"></script>`;
    return `<img alt="" src="${link}">`;
  });
  const calls = page.calls.map(({ path, upload, after }) => [path, upload, Math.round(after)]);
  const script =
    `addEventListener("load",()=>{done=(async()=>{for(const [p,n,t] of ${JSON.stringify(calls)}){` +
    `await new Promise(r=>setTimeout(r,t));` +
    `await (await fetch(p,n?{method:"POST",body:"x".repeat(n)}:{})).arrayBuffer()}})()})`;
  const head = tags.filter((tag) => !tag.startsWith("<img")).join("\n");
  const body = tags.filter((tag) => tag.startsWith("<img")).join("\n<p>text</p>\n");
  const html = `<!doctype html><html><head><title>Page</title>\n` +
    `<link rel="icon" href="data:,">\n${head}\n<script>${script}</script></head>\n<body>${body}\n`;
  return html.padEnd(page.size - 15, "word ") + "\n</body></html>";
}

/** Content of an object, of exactly its size where the size leaves room for its frame. */
export function contentOf(object: WebObject): string {
  const [head, foot] = object.kind === "image"
    ? ['<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><!--', "--></svg>"]
    : ["/*", "*/"];
  return head! + "x".repeat(Math.max(0, object.size - head!.length - foot!.length)) + foot;
}

/** Content type of an object. */
export const CONTENT_TYPE: Readonly<Record<WebObject["kind"], string>> = {
  style: "text/css",
  script: "text/javascript",
  image: "image/svg+xml",
};

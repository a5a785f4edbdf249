import { CLIENT, SERVER } from "../../capture/side.ts";
import {
  between,
  type LogNormal,
  logNormal,
  uniform,
  wholeLogNormal,
} from "../../lab/workload/distribution.ts";
import {
  pagesOf,
  type WebCall,
  type WebObject,
  type WebPage,
  webWorkload,
} from "../../lab/workload/https.ts";
import { type Random, seededRandom } from "../../lab/random.ts";
import type { Process, Stage, Talk } from "./stage.ts";
import { drawHandshake, recordBytes } from "./tls_sizes.ts";

/** Connections that a browser opens to one site with HTTP/1.1. */
const CONNECTIONS = 6;
/** Bytes of a browser's request besides path and cookie, and of an answer's headers. */
const REQUEST = 560;
const ANSWER = 260;
/** Of two visits one has a part of the page in the browser's cache. */
const RETURNING = 0.5;
/** Share of what may be cached that such a visit does not fetch. */
const CACHED = 0.75;
/** How much a page that an application makes, or an answer of it, differs from visit to visit. */
const CHANGING = 0.12;
/** Others' objects of the visit: advertisements. */
const ADVERTISEMENT: LogNormal = { median: 12_000, sigma: 1, min: 400, max: 120_000 };
/** Milliseconds in which a server finds a file. */
const FILE: LogNormal = { median: 1.5, sigma: 0.8, min: 0.2, max: 40 };
/** Milliseconds in which a browser makes a request of what it has read. */
const BROWSER: LogNormal = { median: 6, sigma: 0.9, min: 0.5, max: 90 };

/** So many pages, the same for a seed: made after published statistics, as the laboratory's workloads are. */
export function drawPages(count: number, seed: number): WebPage[] {
  const pages: WebPage[] = [];
  for (let part = 0; pages.length < count; part++) {
    pages.push(...pagesOf(webWorkload(seededRandom("content pages", seed, part))));
  }
  return pages.slice(0, count);
}

/** What differs from visit to visit. */
interface Visit {
  readonly stage: Stage;
  readonly random: Random;
  /** Factor of the server's times: how busy it is. */
  readonly slow: number;
  readonly cookie: number;
}

/** A browser's connection: its handshake, then requests one after the other. */
function* fetchOne(
  { cookie, random, slow, stage }: Visit,
  talk: Talk,
  path: string,
  upload: number,
  size: number,
  delay: number | undefined,
): Process {
  yield stage.pause(logNormal(random, BROWSER));
  talk.send(CLIENT, recordBytes(REQUEST + path.length + cookie + upload));
  yield talk.arrived(SERVER);
  yield stage.pause(
    delay === undefined
      ? logNormal(random, FILE)
      : slow * delay * Math.exp(0.4 * (random.float() - 0.5)),
  );
  talk.send(SERVER, recordBytes(ANSWER + random.integer(24) + size));
  yield talk.arrived(CLIENT);
}

function* handshake({ random, stage }: Visit, talk: Talk, resumed: boolean): Process {
  const { finished, flight, hello, tickets } = drawHandshake(random, resumed);
  talk.send(CLIENT, hello);
  yield talk.arrived(SERVER);
  yield stage.pause(uniform(random, 1, 4));
  talk.send(SERVER, flight);
  yield talk.arrived(CLIENT);
  yield stage.pause(uniform(random, 0.3, 3));
  talk.send(CLIENT, finished);
  // Tickets come when the server has that, while the client goes on.
  function* answer(): Process {
    yield talk.arrived(SERVER);
    talk.send(SERVER, tickets);
  }
  stage.run(answer());
}

/** The objects that this visit fetches, in an order that a browser might choose. */
function fetched({ random }: Visit, page: WebPage): WebObject[] {
  const returning = random.float() < RETURNING;
  const wanted = page.objects.filter(({ delay }) =>
    !(returning && delay === undefined && random.float() < CACHED)
  );
  for (let left = between(random, 0, 3); left > 0; left--) {
    wanted.push({
      path: "/ad",
      kind: "image",
      size: wholeLogNormal(random, ADVERTISEMENT),
      delay: uniform(random, 10, 80),
    });
  }
  // Styles and scripts first, as browsers do, and some disorder, as what is parsed when depends on timing.
  const rank = ({ kind }: WebObject) => kind === "style" ? 0 : kind === "script" ? 4 : 8;
  return wanted
    .map((object, i) => ({ object, at: rank(object) + i + uniform(random, 0, 4) }))
    .sort((a, b) => a.at - b.at)
    .map(({ object }) => object);
}

/** A size as it is in this visit. */
function changing(random: Random, size: number): number {
  return Math.round(size * Math.exp(CHANGING * 2 * (random.float() - 0.5)));
}

/**
 * One visit of a page: the page, its objects over as many as six connections, what its scripts call. From visit to
 * visit differ the cookie, what the cache holds, the order, the advertisements, what applications answer, and every
 * pause.
 */
export function* visitPage(stage: Stage, page: WebPage, random: Random): Process {
  const visit: Visit = {
    stage,
    random,
    slow: Math.exp(0.8 * (random.float() - 0.5)),
    cookie: 40 + random.integer(160),
  };
  const known = random.float() < 0.5;
  const first = stage.connect();
  yield* handshake(visit, first, known);
  yield* fetchOne(visit, first, page.path, 0, changing(random, page.size), page.delay);
  const queue = fetched(visit, page);
  const talks = [first];
  function* work(own: Talk | undefined): Process {
    let talk = own;
    while (queue.length > 0) {
      const { delay, path, size } = queue.shift()!;
      if (talk === undefined) {
        talk = stage.connect();
        talks.push(talk);
        yield* handshake(visit, talk, true);
      }
      const actual = delay === undefined ? size : changing(random, size);
      yield* fetchOne(visit, talk, path, 0, actual, delay);
    }
  }
  const workers = Math.min(CONNECTIONS, queue.length);
  yield stage.all(Array.from({ length: workers }, (_, i) => work(i === 0 ? first : undefined)));
  for (const call of page.calls) yield* callOnce(visit, first, call);
  for (const { pipe } of talks) pipe.close();
}

function* callOnce(visit: Visit, talk: Talk, call: WebCall): Process {
  const { random, stage } = visit;
  yield stage.pause(call.after * Math.exp(0.5 * (random.float() - 0.5)));
  const { delay, path, size, upload } = call;
  yield* fetchOne(visit, talk, path, upload, changing(random, size), delay);
}

/** Somebody who goes from page to page. */
export function* browse(stage: Stage, random: Random): Process {
  for (;;) {
    for (const page of drawPages(20, random.integer(1e9))) {
      yield* visitPage(stage, page, random);
      yield stage.pause(page.read * uniform(random, 0.5, 2));
    }
  }
}

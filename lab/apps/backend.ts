/**
 * What answers behind nginx for all hosts: pages, objects of any size after any time, calls and WebSockets. A
 * program of its own, with no right but to listen on one address; it keeps no state, for each address says what
 * the answer is.
 *
 * @module
 */
import { isPageKind, pageHtml } from "./page.ts";

/** Where it listens, for nginx only. */
export const BACKEND = { hostname: "127.0.0.1", port: 9000 };

const LARGEST = 8_000_000;
const LONGEST = 5_000;

const TYPES: Record<string, string> = {
  css: "text/css",
  js: "text/javascript",
  json: "application/json",
  svg: "image/svg+xml",
};
const FRAMES: Record<string, readonly [string, string]> = {
  css: ["/*", "*/"],
  js: ["/*", "*/"],
  json: ['"', '"'],
  svg: ['<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><!--', "--></svg>"],
};

/** Content of `bytes` bytes that a browser takes for what its ending says. */
export function content(bytes: number, ending: string): string {
  const [head, foot] = FRAMES[ending] ?? ["", ""];
  return head + "x".repeat(Math.max(0, bytes - head.length - foot.length)) + foot;
}

const sleep = (milliseconds: number) =>
  new Promise<void>((resolve) => setTimeout(resolve, Math.min(milliseconds, LONGEST)));

const OPEN = { "access-control-allow-origin": "*", "timing-allow-origin": "*" };

function webSocket(request: Request): Response {
  const { socket, response } = Deno.upgradeWebSocket(request);
  socket.onmessage = async ({ data }) => {
    // BYTES DELAY and whatever follows: what a turn says.
    const [bytes, delay] = String(data).split(" ", 2).map(Number);
    await sleep(delay || 0);
    if (socket.readyState === WebSocket.OPEN) {
      socket.send("x".repeat(Math.min(bytes || 0, LARGEST)));
    }
  };
  return response;
}

/** Answers one request. */
export async function answer(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  const [, what, first = "", second = "", name = ""] = pathname.split("/");
  if (what === "ws") return webSocket(request);
  await request.arrayBuffer();
  if (what === "o") {
    const ending = name.slice(name.lastIndexOf(".") + 1);
    await sleep(Number(second) || 0);
    return new Response(content(Math.min(Number(first) || 0, LARGEST), ending), {
      headers: {
        ...OPEN,
        "content-type": TYPES[ending] ?? "application/octet-stream",
        "cache-control": ending === "json" ? "no-store" : "public, max-age=86400",
      },
    });
  }
  if (what === "page" && isPageKind(first)) {
    await sleep(20 + (second.length * 7) % 60);
    const own = request.headers.get("host") ?? "";
    const files = FILES[own] ?? own.replace(/^www\./, "static.");
    return new Response(pageHtml(first, second, { own, files }, EXTRA[first]), {
      headers: { "content-type": "text/html", "cache-control": "no-store" },
    });
  }
  return new Response("not found", { status: 404, headers: OPEN });
}

const FILES: Record<string, string> = {
  "www.video.test": "thumbs.video.test",
  "www.news.test": "img.news.test",
  "www.game.test": "assets.game.test",
  "www.weather.test": "api.weather.test",
};

const EXTRA: Record<string, string> = {
  watch: '<script src="https://www.video.test/media/hls.js"></script>',
};

if (import.meta.main) Deno.serve({ ...BACKEND, onListen() {} }, answer);

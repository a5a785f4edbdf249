import { findProgram } from "../needs.ts";
import { SERVER_ADDRESS } from "../network.ts";
import { ProgramFailed, sleep, within } from "../process.ts";
import type { Stage } from "../record.ts";
import { WEB_HOST } from "../servers/nginx.ts";
import type { WebUser, WebVisit } from "../workload/https.ts";

/** Milliseconds after which a visit goes on to no further page, so that its connections stay short. */
const LONGEST_VISIT = 4500;

interface Reply {
  readonly id?: number;
  readonly method?: string;
  readonly sessionId?: string;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

/** Chromium without a window, driven through a pipe (the DevTools protocol, NUL-separated JSON). */
class Browser implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  readonly #loaded = new Map<string, () => void>();
  #serial = 0;

  constructor(argv: readonly string[], env: Record<string, string>) {
    this.#child = new Deno.Command("env", {
      args: [...argv],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
      clearEnv: true,
      env,
    }).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#writer.closed.catch(() => {});
    this.#read();
  }

  async #read(): Promise<void> {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const bytes of this.#child.stdout) {
      const parts = (rest + decoder.decode(bytes, { stream: true })).split("\0");
      rest = parts.pop()!;
      for (const part of parts) {
        const reply = JSON.parse(part) as Reply;
        if (reply.id !== undefined) {
          this.#waiting.get(reply.id)?.(reply);
          this.#waiting.delete(reply.id);
        } else if (reply.method === "Page.loadEventFired") {
          this.#loaded.get(reply.sessionId ?? "")?.();
        }
      }
    }
    for (const settle of this.#waiting.values()) settle({ error: { message: "Chromium ended" } });
  }

  async ask(
    method: string,
    params: Record<string, unknown> = {},
    sessionId?: string,
  ): Promise<Record<string, unknown>> {
    const id = ++this.#serial;
    const answer = new Promise<Reply>((resolve) => this.#waiting.set(id, resolve));
    const text = JSON.stringify({ id, method, params, ...(sessionId ? { sessionId } : {}) });
    await this.#writer.write(new TextEncoder().encode(`${text}\0`)).catch(() => {});
    const reply = await within(
      answer,
      20_000,
      { error: { message: "no answer in 20 s" } } as Reply,
    );
    if (reply.error !== undefined) {
      throw new ProgramFailed(`Chromium: ${method}`, reply.error.message);
    }
    return reply.result ?? {};
  }

  /** Settles when the page of `sessionId` has loaded next, or after `milliseconds`. */
  async loads(sessionId: string, milliseconds: number): Promise<void> {
    const loaded = new Promise<void>((resolve) => this.#loaded.set(sessionId, resolve));
    await within(loaded, milliseconds, undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await within(this.ask("Browser.close").catch(() => {}), 3000, undefined);
    if (await within(this.#child.status, 3000, undefined) === undefined) {
      this.#child.kill("SIGKILL");
      await this.#child.status;
    }
    await this.#writer.close().catch(() => {});
  }
}

/** A name for the site that is as long as {@linkcode WEB_HOST}, for user `k` of several. */
function hostOf(k: number): string {
  return `u${String(k).padStart(2, "0")}.example.com`;
}

async function visit(
  browser: Browser,
  host: string,
  { cookie, pages }: WebVisit,
): Promise<number> {
  const { browserContextId } = await browser.ask("Target.createBrowserContext");
  const { targetId } = await browser.ask("Target.createTarget", {
    url: "about:blank",
    browserContextId,
  });
  const { sessionId } = await browser.ask("Target.attachToTarget", { targetId, flatten: true });
  const session = String(sessionId);
  await browser.ask("Page.enable", {}, session);
  await browser.ask("Storage.setCookies", {
    browserContextId,
    cookies: [{ name: "session", value: cookie, url: `https://${host}/` }],
  });
  const begun = performance.now();
  let visited = 0;
  for (const page of pages) {
    if (performance.now() - begun > LONGEST_VISIT) break;
    const loaded = browser.loads(session, 8000);
    await browser.ask("Page.navigate", { url: `https://${host}${page.path}` }, session);
    await loaded;
    visited++;
    // Nobody leaves while the page's script still sends.
    const calls = browser.ask("Runtime.evaluate", {
      expression: "globalThis.done",
      awaitPromise: true,
    }, session);
    await Promise.all([sleep(page.read), within(calls.catch(() => {}), 8000, undefined)]);
  }
  await browser.ask("Target.disposeBrowserContext", { browserContextId });
  return visited;
}

async function browse(
  browser: Browser,
  host: string,
  { visits }: WebUser,
  deadline: number,
): Promise<number> {
  let visited = 0;
  for (const one of visits) {
    if (performance.now() + one.after > deadline) break;
    await sleep(one.after);
    visited += await visit(browser, host, one);
  }
  return visited;
}

/** Has `users` browse for the stage's time, each visit in a profile of its own; returns pages visited. */
export async function browseAll(
  { network, folder, milliseconds, users: ends }: Stage,
  users: readonly WebUser[],
): Promise<number> {
  const hosts = users.map((_, k) => ends === undefined ? WEB_HOST : hostOf(k));
  const names = ends === undefined
    ? [`MAP ${WEB_HOST} ${SERVER_ADDRESS}`]
    : ends.map(({ server }, k) => `MAP ${hostOf(k)} ${server}`);
  const chromium = await findProgram("chromium");
  const options = [
    ...["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
    ...["--no-first-run", "--disable-background-networking", "--disable-component-update"],
    ...["--disable-sync", "--disable-extensions", "--disable-default-apps", "--mute-audio"],
    ...["--disable-quic", "--ignore-certificate-errors", "--remote-debugging-pipe"],
    `--host-resolver-rules=${names.join(", ")}, MAP * ~NOTFOUND`,
    `--user-data-dir=${folder}/chromium`,
    "about:blank",
  ];
  // Chromium listens on file 3 and answers on file 4: they become our ends of the usual pipes.
  const argv = network.inside("client", [
    ...["sh", "-c", 'exec "$@" 3<&0 4>&1 0</dev/null 1>/dev/null', "sh", chromium ?? "chromium"],
    ...options,
  ], "much");
  await using browser = new Browser(argv, {
    PATH: "/usr/local/bin:/usr/bin:/bin",
    HOME: folder,
    TMPDIR: folder,
    LC_ALL: "C.UTF-8",
  });
  await browser.ask("Browser.getVersion");
  const deadline = performance.now() + milliseconds;
  const visited = await Promise.all(
    users.map((user, k) => browse(browser, hosts[k]!, user, deadline)),
  );
  return visited.reduce((sum, count) => sum + count, 0);
}

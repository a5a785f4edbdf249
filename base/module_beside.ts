/**
 * The URL of a module beside the module at `url`, `name` without its ending. In a build, where each module
 * that is started by its URL is a bundle of its own, both end in `.js`.
 *
 * @example
 * ```ts
 * import { moduleBeside } from "./module_beside.ts";
 * const { href } = moduleBeside("./worker", "file:///lib/main.js");
 * if (href !== "file:///lib/worker.js") throw new Error("a bundle beside a bundle");
 * ```
 */
export function moduleBeside(name: string, url: string): URL {
  return new URL(`${name}.${url.endsWith(".js") ? "js" : "ts"}`, url);
}

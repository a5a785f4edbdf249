/**
 * A host as it stands in a URL or before a port: IPv6 addresses in brackets.
 *
 * @example
 * ```ts
 * import { bracketed } from "./address_text.ts";
 * if (bracketed("::1") !== "[::1]" || bracketed("example.org") !== "example.org") throw new Error();
 * ```
 */
export function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

/** HOST:PORT, with brackets around an IPv6 address. */
export function formatAddress(
  { host, port }: { readonly host: string; readonly port: number },
): string {
  return `${bracketed(host)}:${port}`;
}

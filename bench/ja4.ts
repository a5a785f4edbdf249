import { createHash } from "node:crypto";
import type { ClientHello } from "../transports/carriers/client_hello.ts";

/** Values that clients send to keep servers tolerant (RFC 8701). */
function isGrease(value: number): boolean {
  return (value & 0x0f0f) === 0x0a0a && value >> 8 === (value & 255);
}

const hex = (value: number) => value.toString(16).padStart(4, "0");
const brief = (text: string) =>
  text === "" ? "000000000000" : createHash("sha256").update(text).digest("hex").slice(0, 12);
const two = (count: number) => String(Math.min(count, 99)).padStart(2, "0");

/**
 * The JA4 fingerprint of a TLS client over TCP, by its published specification (FoxIO, "JA4: TLS client
 * fingerprinting"): the order of suites and extensions does not matter, and GREASE is left out.
 *
 * @example
 * ```ts
 * import { ja4 } from "./ja4.ts";
 * const fingerprint = ja4({
 *   ...{ recordVersion: 0x0301, version: 0x0303, random: new Uint8Array(32), sessionIdLength: 32 },
 *   ...{ cipherSuites: [0x0a0a, 0x1301], extensions: [0, 16, 43], alpn: ["h2"], versions: [0x0304] },
 *   ...{ groups: [], keyShares: [], signatureAlgorithms: [0x0403], pointFormats: [] },
 * });
 * if (!fingerprint.startsWith("t13d0103h2_")) throw new Error(fingerprint);
 * ```
 */
export function ja4(hello: ClientHello): string {
  const suites = hello.cipherSuites.filter((value) => !isGrease(value));
  const extensions = hello.extensions.filter((value) => !isGrease(value));
  const version = Math.max(0, ...hello.versions.filter((value) => !isGrease(value)));
  const names: Record<number, string> = { 0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10" };
  const [first] = hello.alpn ?? [];
  const alpn = first === undefined || first === "" ? "00" : `${first[0]}${first.at(-1)}`;
  const algorithms = hello.signatureAlgorithms.filter((value) => !isGrease(value)).map(hex);
  const sorted = extensions.filter((kind) => kind !== 0 && kind !== 16).map(hex).sort().join(",");
  return `t${names[version] ?? "00"}${extensions.includes(0) ? "d" : "i"}` +
    `${two(suites.length)}${two(extensions.length)}${alpn}_` +
    `${brief(suites.map(hex).sort().join(","))}_` +
    brief(algorithms.length === 0 ? sorted : `${sorted}_${algorithms.join(",")}`);
}

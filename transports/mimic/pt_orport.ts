import type { Destination } from "../../playback/mod.ts";

/**
 * Where every stream of a Tor client's tunnel goes: to the bridge's tor, wherever that is. A server under tor
 * connects no stream to anything else, a standalone one knows no such host.
 */
export const ORPORT: Destination = { host: "orport", port: 1 };

/** Whether a stream asks for {@linkcode ORPORT}. */
export function isOrPort({ host, port }: Destination): boolean {
  return host === ORPORT.host && port === ORPORT.port;
}

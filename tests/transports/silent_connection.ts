import type { CarrierConnection } from "../../transports/carriers/mod.ts";

/** A connection to a peer that takes all that is said, and says nothing; with `changes`. */
export function silentConnection(changes: Partial<CarrierConnection> = {}): CarrierConnection {
  return {
    certificateDigest: new Uint8Array(32),
    localPort: 1,
    remoteAddress: "192.0.2.1",
    remotePort: 443,
    grid: { overhead: 22, maxPayload: 16_384 },
    id: "1",
    listener: undefined,
    queued: 0,
    write: () => {},
    close: () => {},
    unread: () => {},
    ...changes,
  };
}

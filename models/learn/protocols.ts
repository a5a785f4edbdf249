import type { Connection } from "../../capture/connection.ts";
import { labelByPort } from "../../capture/label_by_port.ts";
import { type Protocol, REGISTERED } from "../../protocols/mod.ts";

/** What the learner needs to know of a protocol: part of its registration. */
export type LearnableProtocol = Pick<Protocol, "name" | "carrier" | "handshakes" | "portLabels">;

/** The protocols that can be learned: all that are registered. */
export const LEARNABLE_PROTOCOLS: readonly LearnableProtocol[] = REGISTERED;

/**
 * Whether a connection is of `protocol`: by its handshake or, `byPort`, by its server's well-known port
 * (as the seed labelled its trace), whatever its handshake.
 */
export function isOf(
  connection: Connection,
  protocol: LearnableProtocol,
  byPort: boolean,
): boolean {
  const label = labelByPort(connection);
  if (byPort) return label === protocol.name;
  return protocol.handshakes.includes(connection.handshake.carrier) &&
    (label === undefined || protocol.portLabels === undefined ||
      protocol.portLabels.includes(label));
}

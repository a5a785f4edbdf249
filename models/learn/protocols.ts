import type { Connection } from "../../capture/connection.ts";
import { labelByPort } from "../../capture/label_by_port.ts";

/** What the learner needs to know of a protocol. Adding one is adding an entry, no code. */
export interface LearnableProtocol {
  /** Its name, its label by port, and the default name of models learned of it. */
  readonly name: string;
  /** The carrier that a model of it fits. */
  readonly carrier: string;
  /** What the reader calls its handshake ({@linkcode Connection.handshake}). */
  readonly handshakes: readonly string[];
  /**
   * Where the handshake is shared with other protocols: labels of the ports that count as this one,
   * besides ports without a label. Absent: the handshake tells.
   */
  readonly portLabels?: readonly string[];
}

/** The protocols that can be learned. */
export const LEARNABLE_PROTOCOLS: readonly LearnableProtocol[] = [
  { name: "https", carrier: "tls", handshakes: ["tls"], portLabels: ["https", "http"] },
  { name: "smtp", carrier: "smtp", handshakes: ["smtp-starttls"] },
  { name: "ssh", carrier: "ssh", handshakes: ["ssh"] },
];

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

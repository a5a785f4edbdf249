import type { Connection } from "../../capture/connection.ts";

/** What the learner needs to know of a protocol. Adding one is adding an entry, no code. */
export interface LearnableProtocol {
  /** Its name, and the default name of models learned of it. */
  readonly name: string;
  /** The carrier that a model of it fits. */
  readonly carrier: string;
  /** What the reader calls its handshake ({@linkcode Connection.handshake}). */
  readonly handshakes: readonly string[];
  /** Well-known server ports: the label of `--label-by port`. */
  readonly ports: readonly number[];
}

/** The protocols that can be learned. */
export const LEARNABLE_PROTOCOLS: readonly LearnableProtocol[] = [
  { name: "https", carrier: "tls", handshakes: ["tls"], ports: [443, 8443] },
  {
    name: "smtp",
    carrier: "smtp",
    handshakes: ["smtp-starttls"],
    ports: [25, 587, 2525],
  },
  { name: "ssh", carrier: "ssh", handshakes: ["ssh"], ports: [22, 2222] },
];

/** Ports of other well-known protocols inside TLS: what runs there is not https. */
const OTHER_TLS_PORTS = new Set([465, 563, 636, 853, 989, 990, 992, 993, 995, 5061, 5223]);

/** The protocol that a connection's server port is known for. */
export function protocolOfPort(port: number): LearnableProtocol | undefined {
  return LEARNABLE_PROTOCOLS.find(({ ports }) => ports.includes(port));
}

/**
 * Whether a connection is of `protocol`: by its handshake, on any port that is not known for something
 * else; `byPort`: by its port, and its handshake must not be another's.
 */
export function isOf(
  connection: Connection,
  protocol: LearnableProtocol,
  byPort: boolean,
): boolean {
  if (byPort) return protocol.ports.includes(connection.serverPort);
  const known = protocolOfPort(connection.serverPort);
  return protocol.handshakes.includes(connection.handshake.carrier) &&
    !OTHER_TLS_PORTS.has(connection.serverPort) && (known ?? protocol) === protocol;
}

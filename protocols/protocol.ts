import type { ProtocolRecogniser } from "../capture/handshake_recogniser.ts";
import type { Carrier } from "../transports/carriers/carrier.ts";

/**
 * A protocol, as everything that the rooms need to know of it: how captures are recognised, what is
 * learned, what carries it, what strangers meet. Our own https, smtp and ssh are registered by the same
 * type as a protocol that is loaded from a file.
 *
 * @example
 * ```ts
 * import type { Protocol } from "./protocol.ts";
 * const pop3: Protocol = {
 *   name: "pop3",
 *   ports: [110, 995],
 *   carrier: "tls",
 *   handshakes: ["tls"],
 *   portLabels: ["pop3"],
 * };
 * if (pop3.portLabels?.includes("https")) throw new Error("these would be learned as well");
 * ```
 */
export interface Protocol {
  /** Its name: that of its label, of models learned of it, and of `--protocol`. */
  readonly name: string;
  /** Well-known ports of its servers: captures are labelled by them. */
  readonly ports: readonly number[];
  /** The carrier that a model of it fits. */
  readonly carrier: string;
  /** What recognisers call its handshake: {@linkcode ProtocolRecogniser.carrier}, or what it becomes. */
  readonly handshakes: readonly string[];
  /**
   * Where the handshake is shared with other protocols: labels of the ports that count as this one,
   * besides ports without a label. Absent: the handshake tells.
   */
  readonly portLabels?: readonly string[];
  /** Application protocols that clients offer inside TLS; none if absent. */
  readonly alpn?: {
    /** Where our server ends TLS itself. */
    readonly native: readonly string[];
    /** Where a genuine server in front does; `native` if absent. */
    readonly fronted?: readonly string[];
  };
  /** HOST:PORT of the genuine server that strangers meet where the operator names none. */
  readonly decoy?: string;
  /** The model file that the protocol's name stands for; our own lie in models/learned. */
  readonly model?: URL;
  /** Finds its handshake in captures, where none of the others does. */
  readonly recogniser?: ProtocolRecogniser;
  /** Its carrier, where it is none of the others. Carriers hold sockets: whoever registers one is trusted. */
  readonly transport?: Carrier;
}

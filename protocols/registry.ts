import { UserError } from "../base/mod.ts";
import type { ProtocolRecogniser } from "../capture/handshake_recogniser.ts";
import type { Carrier } from "../transports/carriers/carrier.ts";
import { HTTPS, SMTP, SSH } from "./built_in.ts";
import type { Protocol } from "./protocol.ts";

/** What a protocol registers is taken already. */
export class ProtocolTaken extends UserError {
  /** `what` says what, in words. */
  constructor(readonly protocol: string, what: string) {
    super(`protocol ${protocol}: ${what} is registered already: give it a name of its own`);
  }
}

const protocols: Protocol[] = [];
const recognisers: ProtocolRecogniser[] = [];
const carriers = new Map<string, Carrier>();
const labels = new Map<number, string>();

/** All protocols, those registered later included. */
export const REGISTERED: readonly Protocol[] = protocols;
/** The recognisers of all protocols, in the order in which they are tried. */
export const RECOGNISERS: readonly ProtocolRecogniser[] = recognisers;
/** The carriers of all protocols, by name. */
export const REGISTERED_CARRIERS: ReadonlyMap<string, Carrier> = carriers;
/** Labels of the ports of all protocols. */
export const REGISTERED_PORTS: ReadonlyMap<number, string> = labels;

/** The protocol of that name, if it is registered. */
export function protocolOf(name: string): Protocol | undefined {
  return protocols.find((protocol) => protocol.name === name);
}

/**
 * Adds the code of protocols: for the rooms that our own lie in, each of which can be used without the
 * others. What is loaded from a file comes whole, by {@linkcode registerProtocol}.
 */
export function provide(
  { recogniser, transport }: Pick<Protocol, "recogniser" | "transport">,
): void {
  if (recogniser !== undefined) recognisers.push(recogniser);
  if (transport !== undefined) carriers.set(transport.name, transport);
}

/**
 * Registers a protocol: from now on every room knows it.
 *
 * @throws {ProtocolTaken} if its name, its recogniser's or its carrier's is another one's.
 */
export function registerProtocol(protocol: Protocol): void {
  const { name, ports, recogniser, transport } = protocol;
  const taken = (what: string): never => {
    throw new ProtocolTaken(name, what);
  };
  if (protocolOf(name) !== undefined) taken("its name");
  if (transport !== undefined && carriers.has(transport.name)) taken(`a carrier ${transport.name}`);
  if (recognisers.some(({ carrier }) => carrier === recogniser?.carrier)) {
    taken(`a recogniser of ${recogniser!.carrier}`);
  }
  protocols.push(protocol);
  for (const port of ports) labels.set(port, labels.get(port) ?? name);
  provide(protocol);
}

for (const protocol of [HTTPS, SMTP, SSH]) registerProtocol(protocol);

import { readCapture } from "../../capture/read_capture.ts";
import { PROTOCOL_TCP } from "../../capture/packet.ts";
import { formatIpv4, formatIpv6 } from "../../transports/pt/mod.ts";

/** What crossed the link, as a recording shows it. */
export interface LinkBytes {
  /** Bytes of TCP payload that left a port of the bridges, by port. */
  readonly from: ReadonlyMap<number, number>;
  /** Bytes of TCP payload that went there, by port. */
  readonly to: ReadonlyMap<number, number>;
  /** Packets of IP that belong to none of those ports (neighbour discovery aside). */
  readonly strangers: number;
  /** The addresses from which a port of the bridges was connected to, by port. */
  readonly clients: ReadonlyMap<number, ReadonlySet<string>>;
}

const ICMPV6 = 58;

/** Counts a recording by the bridges' ports. */
export async function countLinkBytes(file: string, ports: readonly number[]): Promise<LinkBytes> {
  const from = new Map(ports.map((port) => [port, 0]));
  const to = new Map(from);
  const clients = new Map(ports.map((port) => [port, new Set<string>()]));
  let strangers = 0;
  const add = (map: Map<number, number>, port: number, bytes: number) =>
    map.set(port, map.get(port)! + bytes);
  await readCapture(file, (packet) => {
    if (packet.protocol === PROTOCOL_TCP && from.has(packet.sourcePort)) {
      add(from, packet.sourcePort, packet.payloadLength);
    } else if (packet.protocol === PROTOCOL_TCP && to.has(packet.destinationPort)) {
      add(to, packet.destinationPort, packet.payloadLength);
      const { addresses, version } = packet;
      clients.get(packet.destinationPort)!.add(
        version === 4
          ? formatIpv4(addresses.subarray(0, 4))
          : formatIpv6(addresses.subarray(0, 16)),
      );
    } else if (packet.version !== 0 && packet.protocol !== ICMPV6 && packet.protocol !== 0) {
      strangers++;
    }
  }, { allowTruncated: true });
  return { from, to, strangers, clients };
}

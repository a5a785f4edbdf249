import { formatIpv4, netmaskOf, parseSubnet } from "./ipv4.ts";
import type { Machine } from "./machine.ts";
import type { GatewaySettings } from "./settings.ts";

/** dnsmasq's files in the state folder. */
export const DNSMASQ_FILES = ["dnsmasq.conf", "dnsmasq.pid", "dnsmasq.leases"] as const;

/** dnsmasq's configuration: DHCP on the LAN, and DNS there too if clients are told of no other server. */
export function dnsmasqConfiguration(settings: GatewaySettings, path: Machine["path"]): string {
  const { lan, router, dns, domain, rangeStart, rangeEnd, leaseSeconds } = settings;
  const subnet = parseSubnet(settings.address, "--address");
  const own = formatIpv4(subnet.address);
  return [
    `interface=${lan}`,
    "except-interface=lo",
    // Not on the wildcard address: another dnsmasq or resolver of this machine keeps its own.
    "bind-dynamic",
    "no-hosts",
    ...(dns.length === 0 ? ["domain-needed", "bogus-priv"] : ["port=0", "no-resolv"]),
    "dhcp-authoritative",
    `dhcp-range=${rangeStart},${rangeEnd},${netmaskOf(subnet)},${leaseSeconds}`,
    `dhcp-option=option:router,${router}`,
    `dhcp-option=option:dns-server,${dns.length === 0 ? own : dns.join(",")}`,
    `domain=${domain}`,
    `dhcp-leasefile=${path("dnsmasq.leases")}`,
    `pid-file=${path("dnsmasq.pid")}`,
    "",
  ].join("\n");
}

/** A client that DHCP gave an address to. */
export interface Lease {
  /** The address. */
  readonly address: string;
  /** The client's hardware address. */
  readonly hardware: string;
  /** What the client calls itself, if it says so. */
  readonly name: string | undefined;
  /** When the lease ends, in milliseconds since the Unix epoch; undefined if never. */
  readonly ends: number | undefined;
}

/** Reads dnsmasq's file of leases; lines of another form (IPv6, half written) are passed over. */
export function parseLeases(text: string): Lease[] {
  const leases: Lease[] = [];
  for (const line of text.split("\n")) {
    const [ends, hardware, address, name] = line.split(" ");
    if (name === undefined || !/^\d+$/.test(ends!) || !/^\d+(\.\d+){3}$/.test(address!)) continue;
    leases.push({
      address: address!,
      hardware: hardware!,
      name: name === "*" ? undefined : name,
      ends: Number(ends) === 0 ? undefined : Number(ends) * 1000,
    });
  }
  return leases;
}

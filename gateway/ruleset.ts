import { formatSubnet, parseSubnet } from "./ipv4.ts";
import type { GatewaySettings } from "./settings.ts";

/** The nftables table that is ours alone. */
export const TABLE = "trafficmimic_gateway";

/** What forwarded before the gateway was there. */
export interface Forwarding {
  /** Whether the LAN's interface did. */
  readonly lan: boolean;
  /** Whether the WAN's interface did. */
  readonly wan: boolean;
}

/**
 * The rules, for `nft -f -`. Clients' packets leave under the WAN's address; from outside only answers come in.
 * An interface that did not forward before does so between LAN and WAN only: the gateway opens no other way
 * through the machine. IPv6 of the LAN is not forwarded.
 */
export function ruleset(settings: GatewaySettings, before: Forwarding): string {
  const { lan, wan, address } = settings;
  const subnet = formatSubnet(parseSubnet(address, "--address"));
  const only = [
    ...(before.lan ? [] : [`    meta nfproto ipv4 iifname "${lan}" oifname != "${wan}" drop`]),
    ...(before.wan ? [] : [`    meta nfproto ipv4 iifname "${wan}" oifname != "${lan}" drop`]),
  ];
  return [
    `table inet ${TABLE} {`,
    "  chain forward {",
    "    type filter hook forward priority filter; policy accept;",
    `    meta nfproto ipv6 iifname "${lan}" drop`,
    `    meta nfproto ipv6 oifname "${lan}" drop`,
    `    iifname "${lan}" oifname "${wan}" ip saddr != ${subnet} drop`,
    `    iifname "${wan}" oifname "${lan}" ct state established,related accept`,
    `    iifname "${wan}" oifname "${lan}" drop`,
    ...only,
    "  }",
    "  chain postrouting {",
    "    type nat hook postrouting priority srcnat; policy accept;",
    `    ip saddr ${subnet} oifname "${wan}" masquerade`,
    "  }",
    "}",
    "",
  ].join("\n");
}

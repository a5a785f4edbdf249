import { UsageError } from "../base/mod.ts";
import {
  formatInterfaceAddress,
  formatIpv4,
  formatSubnet,
  isHostOf,
  parseIpv4,
  parseSubnet,
} from "./ipv4.ts";

/** Settings that contradict each other or cannot be read. */
export class BadSettings extends UsageError {}

/** What a gateway is asked to be, checked; kept in the journal. */
export interface GatewaySettings {
  /** Interface towards the clients. */
  readonly lan: string;
  /** Interface towards the Internet. */
  readonly wan: string;
  /** Address of the gateway on the LAN and its subnet, such as 192.168.12.1/24. */
  readonly address: string;
  /** First address that DHCP gives out. */
  readonly rangeStart: string;
  /** Last address that DHCP gives out. */
  readonly rangeEnd: string;
  /** Router that clients are told of. */
  readonly router: string;
  /** Name servers that clients are told of; with none, the gateway itself answers for its own. */
  readonly dns: readonly string[];
  /** Domain name that clients are told of. */
  readonly domain: string;
  /** Seconds that a lease lasts. */
  readonly leaseSeconds: number;
}

/** What a person says of a {@linkcode GatewaySettings}; the rest follows. */
export interface GatewayOptions {
  /** Interface towards the clients. */
  readonly lan: string;
  /** Interface towards the Internet. */
  readonly wan: string;
  /** Default {@linkcode DEFAULT_ADDRESS}. */
  readonly address?: string;
  /** `FIRST-LAST`; by default the 100th to the 200th address, or all of a smaller subnet. */
  readonly range?: string;
  /** Default: the gateway itself. */
  readonly router?: string;
  /** Addresses parted by commas; default: the gateway itself. */
  readonly dns?: string;
  /** Default `lan`. */
  readonly domain?: string;
  /** Seconds, or a number with `m`, `h` or `d`; default 12h. */
  readonly lease?: string;
}

/** The LAN's address unless told otherwise. */
export const DEFAULT_ADDRESS = "192.168.12.1/24";

/** Shortest lease that dnsmasq gives. */
const SHORTEST_LEASE = 120;
const UNIT: Record<string, number> = { "": 1, s: 1, m: 60, h: 3600, d: 86400 };
// What the kernel, nft and dnsmasq read alike; no wildcard, no quote, no line end.
const INTERFACE = /^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,14}$/;
const DOMAIN =
  /^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/;

function leaseSeconds(text: string): number {
  const [, count, unit] = /^(\d{1,9})([smhd]?)$/.exec(text) ?? [];
  const seconds = Number(count) * (UNIT[unit ?? ""] ?? NaN);
  if (!(seconds >= SHORTEST_LEASE && seconds < 2 ** 31)) {
    throw new BadSettings(`--lease ${text}: two minutes or more, such as 120, 45m, 12h or 7d`);
  }
  return seconds;
}

/**
 * Checks what was asked for and fills in the rest. Throws {@linkcode BadSettings} or `BadAddress`.
 *
 * @example
 * ```ts
 * import { gatewaySettings } from "./settings.ts";
 * const settings = gatewaySettings({ lan: "eth1", wan: "eth0" });
 * if (settings.rangeStart !== "192.168.12.100") throw new Error(settings.rangeStart);
 * ```
 */
export function gatewaySettings(options: GatewayOptions): GatewaySettings {
  const { lan, wan } = options;
  for (const [option, name] of [["--lan", lan], ["--wan", wan]] as const) {
    if (!INTERFACE.test(name)) throw new BadSettings(`${option} ${name}: no name of an interface`);
  }
  if (lan === wan) {
    throw new BadSettings(
      `--lan ${lan} and --wan ${wan} are the same: a gateway joins two interfaces`,
    );
  }
  if (lan === "lo" || wan === "lo") {
    throw new BadSettings(
      `${lan === "lo" ? "--lan" : "--wan"} lo: nobody is behind the loopback interface`,
    );
  }
  const subnet = parseSubnet(options.address ?? DEFAULT_ADDRESS, "--address");
  const where = formatSubnet(subnet);
  if (subnet.prefix < 8 || subnet.prefix > 29) {
    throw new BadSettings(`--address ${options.address}: the prefix is from 8 to 29`);
  }
  if (!isHostOf(subnet, subnet.address)) {
    throw new BadSettings(`--address ${options.address}: not the address of a host in ${where}`);
  }
  const large = subnet.last - subnet.first >= 255;
  const range = options.range ?? [
    formatIpv4(subnet.first + (large ? 100 : 1)),
    formatIpv4(large ? subnet.first + 200 : subnet.last - 1),
  ].join("-");
  const ends = range.split("-");
  if (ends.length !== 2) {
    throw new BadSettings(`--range ${range}: two addresses such as 192.168.12.100-192.168.12.200`);
  }
  const [start, end] = ends.map((text) => parseIpv4(text, "--range")) as [number, number];
  if (start > end || !isHostOf(subnet, start) || !isHostOf(subnet, end)) {
    throw new BadSettings(`--range ${range}: not a range of hosts in ${where}`);
  }
  const router = formatIpv4(
    options.router === undefined ? subnet.address : parseIpv4(options.router, "--router"),
  );
  if (!isHostOf(subnet, parseIpv4(router, "--router"))) {
    throw new BadSettings(`--router ${router}: clients of ${where} cannot reach it`);
  }
  const domain = options.domain ?? "lan";
  if (!DOMAIN.test(domain)) {
    throw new BadSettings(`--domain ${JSON.stringify(domain)}: no domain name`);
  }
  return {
    lan,
    wan,
    address: formatInterfaceAddress(subnet),
    rangeStart: formatIpv4(start),
    rangeEnd: formatIpv4(end),
    router,
    dns: (options.dns ?? "").split(",").filter((text) => text !== "")
      .map((text) => formatIpv4(parseIpv4(text, "--dns"))),
    domain,
    leaseSeconds: leaseSeconds(options.lease ?? "12h"),
  };
}

import { UsageError } from "../base/mod.ts";

/** An IPv4 address or subnet that cannot be read, or does not fit. */
export class BadAddress extends UsageError {}

/** An interface's address with the subnet around it; addresses are 32-bit unsigned integers. */
export interface Subnet {
  /** The address itself, such as 192.168.12.1. */
  readonly address: number;
  /** Bits of the netmask. */
  readonly prefix: number;
  /** First address of the subnet. */
  readonly first: number;
  /** Last address of the subnet: its broadcast address. */
  readonly last: number;
}

/**
 * Reads an IPv4 address in dotted decimal as a 32-bit unsigned integer; `what` names it in the error.
 *
 * @example
 * ```ts
 * import { formatIpv4, parseIpv4 } from "./ipv4.ts";
 * if (formatIpv4(parseIpv4("192.168.12.1", "--address") + 1) !== "192.168.12.2") throw new Error();
 * ```
 */
export function parseIpv4(text: string, what: string): number {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number);
  if (parts === undefined || parts.some((part) => part > 255)) {
    throw new BadAddress(`${what} ${text}: not an IPv4 address such as 192.168.12.1`);
  }
  return parts.reduce((sum, part) => sum * 256 + part, 0);
}

/** Dotted decimal. */
export function formatIpv4(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
}

/** The subnet with `prefix` bits around `address`. */
export function subnetOf(address: number, prefix: number): Subnet {
  const size = 2 ** (32 - prefix);
  const first = Math.floor(address / size) * size;
  return { address, prefix, first, last: first + size - 1 };
}

/** Reads `ADDRESS/PREFIX`; `what` names it in the error. */
export function parseSubnet(text: string, what: string): Subnet {
  const [, address, bits] = /^([^/]*)\/(\d{1,2})$/.exec(text) ?? [];
  if (address === undefined || Number(bits) > 32) {
    throw new BadAddress(`${what} ${text}: not an address with a prefix such as 192.168.12.1/24`);
  }
  return subnetOf(parseIpv4(address, what), Number(bits));
}

/** `ADDRESS/PREFIX` of an interface, such as 192.168.12.1/24. */
export function formatInterfaceAddress({ address, prefix }: Subnet): string {
  return `${formatIpv4(address)}/${prefix}`;
}

/** `NETWORK/PREFIX`, such as 192.168.12.0/24. */
export function formatSubnet({ first, prefix }: Subnet): string {
  return `${formatIpv4(first)}/${prefix}`;
}

/** The netmask, such as 255.255.255.0. */
export function netmaskOf({ first, last }: Subnet): string {
  return formatIpv4(2 ** 32 - (last - first + 1));
}

/** Whether two subnets share an address. */
export function overlap(a: Subnet, b: Subnet): boolean {
  return a.first <= b.last && b.first <= a.last;
}

/** Whether an address is in a subnet and may belong to a host of it. */
export function isHostOf(subnet: Subnet, address: number): boolean {
  return address > subnet.first && address < subnet.last;
}

/** Link types that {@linkcode PacketDecoder} reads, by their number in capture files. */
export const LinkType = {
  /** BSD loopback: four bytes of address family in the recorder's byte order. */
  null: 0,
  /** Ethernet, with any depth of VLAN tags, MPLS labels and PPPoE. */
  ethernet: 1,
  /** PPP. */
  ppp: 9,
  /** Raw IP, as FreeBSD numbers it. */
  rawFreeBsd: 12,
  /** Raw IP, as OpenBSD numbers it. */
  rawOpenBsd: 14,
  /** PPP in HDLC framing. */
  pppHdlc: 50,
  /** PPPoE session, from its header on. */
  pppoe: 51,
  /** Raw IP, version by its first four bits. */
  raw: 101,
  /** Cisco HDLC. */
  ciscoHdlc: 104,
  /** OpenBSD loopback: four bytes of address family, big-endian. */
  loop: 108,
  /** Linux cooked capture, version 1 (`tcpdump -i any`). */
  linuxCooked: 113,
  /** PPP as pppd records it. */
  pppd: 166,
  /** PPP after one byte of direction. */
  pppWithDirection: 204,
  /** Raw IPv4. */
  ipv4: 228,
  /** Raw IPv6. */
  ipv6: 229,
  /** Linux cooked capture, version 2. */
  linuxCooked2: 276,
} as const;

const NAMES = new Map<number, string>([
  ...Object.entries(LinkType).map(([name, number]): [number, string] => [number, name]),
  [105, "802.11"],
  [107, "frame relay"],
  [119, "802.11 with Prism header"],
  [127, "802.11 with radiotap"],
  [149, "user 2"],
  [189, "USB"],
  [195, "802.15.4"],
  [220, "USB"],
  [227, "SocketCAN"],
  [239, "NFLOG"],
  [258, "PKTAP"],
]);

/** A link type for people: its name where known, and its number. */
export function linkTypeName(linkType: number): string {
  const name = NAMES.get(linkType);
  return name === undefined ? String(linkType) : `${name} (${linkType})`;
}

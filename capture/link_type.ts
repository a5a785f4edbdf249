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

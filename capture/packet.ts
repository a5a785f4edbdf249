/** TCP flag bits as they stand in the header. */
export const TCP_FIN = 0x01;
/** Opens a connection. */
export const TCP_SYN = 0x02;
/** Aborts a connection. */
export const TCP_RST = 0x04;
/** The sender asks for delivery at once. */
export const TCP_PSH = 0x08;
/** The acknowledgement number is valid. */
export const TCP_ACK = 0x10;

/** {@linkcode Packet.protocol} of TCP. */
export const PROTOCOL_TCP = 6;
/** {@linkcode Packet.protocol} of UDP. */
export const PROTOCOL_UDP = 17;
/** {@linkcode Packet.protocol} of every IP fragment, of IPv4 too: its ports cannot be trusted. */
export const PROTOCOL_FRAGMENT = 44;
/** {@linkcode Packet.protocol} where no transport header could be read: not IP, cut or malformed. */
export const PROTOCOL_NONE = 255;

/**
 * One decoded packet. A reader fills the same object again for every packet, so that nothing is
 * allocated per packet: copy what must outlive the call.
 *
 * A consumer of TCP needs one test, `packet.protocol === PROTOCOL_TCP`: then ports, numbers, flags and
 * lengths are all valid. Fragments, packets that are not IP and packets whose transport header is cut
 * or malformed are delivered too, with another `protocol`. Of IP in IP, 6in4 and GRE the innermost
 * packet is described.
 */
export interface Packet {
  /** Position in the capture, from 0, counting packets of every kind. */
  index: number;
  /** Milliseconds since the Unix epoch; that of the packet before where the file has no time for it. */
  time: number;
  /** IP version, 4 or 6; 0 where the packet is not IP or its IP header could not be read. */
  version: 0 | 4 | 6;
  /**
   * IP protocol number after extension headers: 6 TCP, 17 UDP;
   * {@linkcode PROTOCOL_FRAGMENT} for a fragment, {@linkcode PROTOCOL_NONE} where there is none.
   */
  protocol: number;
  /**
   * Source address in bytes 0 to 15 and destination in 16 to 31; IPv4 in the first four bytes of each
   * half, the rest zero. Undefined content where `version` is 0.
   */
  readonly addresses: Uint8Array;
  /** TCP or UDP source port, else 0. */
  sourcePort: number;
  /** TCP or UDP destination port, else 0. */
  destinationPort: number;
  /** TCP sequence number, unsigned 32 bits, else 0. */
  sequence: number;
  /** TCP acknowledgement number, unsigned 32 bits, else 0. */
  acknowledgement: number;
  /** TCP flags, else 0. */
  flags: number;
  /** TCP or UDP payload bytes by the IP header's length, also where the snap length cut the packet. */
  payloadLength: number;
  /** Bytes of IP packet by its own header; 0 where `version` is 0. */
  ipLength: number;
  /** Bytes of the frame as it was on the wire, before the snap length cut it. */
  wireLength: number;
  /** The buffer that holds the packet; valid during the call only. */
  data: Uint8Array;
  /** Where the payload starts in `data`. */
  payloadStart: number;
  /** Payload bytes that were captured: at most `payloadLength`. */
  payloadCaptured: number;
  /** The pcapng comment of the packet; always `""` unless the reader was asked for comments. */
  comment: string;
}

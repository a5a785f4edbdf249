/** TCP flag bits as they stand in the header. */
export const TCP_FIN = 0x01;
/** Opens a connection. */
export const TCP_SYN = 0x02;
/** Aborts a connection. */
export const TCP_RST = 0x04;
/** The acknowledgement number is valid. */
export const TCP_ACK = 0x10;

/**
 * One decoded IP packet. A reader fills the same object again for every packet, so that nothing is
 * allocated per packet: copy what must outlive the call.
 */
export interface Packet {
  /** Position in the capture, from 0, counting packets of every kind. */
  index: number;
  /** Milliseconds since the Unix epoch. */
  time: number;
  /** IP version, 4 or 6; 0 where the packet is not IP. */
  version: 0 | 4 | 6;
  /** IP protocol number after extension headers: 6 TCP, 17 UDP. */
  protocol: number;
  /**
   * Source address in bytes 0 to 15 and destination in 16 to 31; IPv4 in the first four bytes of each
   * half, the rest zero.
   */
  readonly addresses: Uint8Array;
  /** TCP or UDP source port. */
  sourcePort: number;
  /** TCP or UDP destination port. */
  destinationPort: number;
  /** TCP sequence number, unsigned 32 bits. */
  sequence: number;
  /** TCP acknowledgement number, unsigned 32 bits. */
  acknowledgement: number;
  /** TCP flags. */
  flags: number;
  /** TCP or UDP payload bytes by the IP header's length, also where the snap length cut the packet. */
  payloadLength: number;
  /** Bytes of IP packet by its own header. */
  ipLength: number;
  /** The buffer that holds the packet; valid during the call only. */
  data: Uint8Array;
  /** Where the payload starts in `data`. */
  payloadStart: number;
  /** Payload bytes that were captured: at most `payloadLength`. */
  payloadCaptured: number;
}

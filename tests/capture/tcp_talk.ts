import { formatAddress } from "../../capture/address.ts";
import type { Connection } from "../../capture/connection.ts";
import { type EncodedLinkType, encodeTcpPacket } from "../../capture/encode_tcp.ts";
import { type Packet, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "../../capture/packet.ts";
import type { Side } from "../../capture/side.ts";
import { TcpAssembler, type TcpAssemblerOptions } from "../../capture/tcp_assembler.ts";

/** Where and how a {@linkcode Talk} takes place. */
export interface TalkOptions {
  clientPort?: number;
  serverPort?: number;
  /** Initial sequence numbers, `[client, server]`. */
  isn?: readonly [number, number];
  start?: number;
  /** Last byte of the client's address. */
  host?: number;
}

/** Writes the packets of one TCP connection, as a capture would show them. */
export class Talk {
  readonly packets: Packet[] = [];
  time: number;
  readonly next: [number, number];
  /** Bytes of each side's stream that the other has acknowledged so far. */
  readonly heard: [number, number];
  readonly #ports: readonly [number, number];
  readonly #host: number;

  constructor(options: TalkOptions = {}) {
    this.time = options.start ?? 1_600_000_000_000;
    this.next = [...(options.isn ?? [1000, 5000])] as [number, number];
    this.heard = [this.next[0], this.next[1]];
    this.#ports = [options.clientPort ?? 50000, options.serverPort ?? 443];
    this.#host = options.host ?? 1;
  }

  /** Lets time pass. */
  wait(milliseconds: number): this {
    this.time += milliseconds;
    return this;
  }

  /** SYN, SYN-ACK, ACK with the given round trips from the capture point. */
  open(serverRtt = 0, clientRtt = 0): this {
    this.packet(0, TCP_SYN);
    this.next[0] = (this.next[0] + 1) >>> 0;
    this.heard[0] = this.next[0];
    this.wait(serverRtt).packet(1, TCP_SYN | TCP_ACK);
    this.next[1] = (this.next[1] + 1) >>> 0;
    this.heard[1] = this.next[1];
    return this.wait(clientRtt).packet(0, TCP_ACK);
  }

  /** A payload segment; by default it acknowledges all that the peer has sent. */
  send(side: Side, payload: Uint8Array | number, heard?: number): this {
    const bytes = typeof payload === "number" ? new Uint8Array(payload).fill(7) : payload;
    this.heard[1 - side as Side] = heard ?? this.next[1 - side as Side];
    this.packet(side, TCP_ACK, bytes);
    this.next[side] = (this.next[side] + bytes.length) >>> 0;
    return this;
  }

  /** A pure acknowledgement of all that the peer has sent. */
  ack(side: Side): this {
    this.heard[1 - side as Side] = this.next[1 - side as Side];
    return this.packet(side, TCP_ACK);
  }

  /** FIN of one side. */
  fin(side: Side): this {
    this.heard[1 - side as Side] = this.next[1 - side as Side];
    this.packet(side, TCP_FIN | TCP_ACK);
    this.next[side] = (this.next[side] + 1) >>> 0;
    return this;
  }

  /** RST of one side. */
  rst(side: Side): this {
    return this.packet(side, TCP_RST | TCP_ACK);
  }

  /** FIN of the client, FIN of the server, last ACK. */
  close(): this {
    return this.fin(0).fin(1).ack(0);
  }

  /** Any packet at the current place of the streams. */
  packet(
    side: Side,
    flags: number,
    payload: Uint8Array = new Uint8Array(0),
    change: Partial<Packet> = {},
  ): this {
    const peer = 1 - side as Side;
    const addresses = new Uint8Array(32);
    addresses.set([10, 0, 0, side === 0 ? this.#host : 200], 0);
    addresses.set([10, 0, 0, side === 0 ? 200 : this.#host], 16);
    this.packets.push({
      index: this.packets.length,
      time: this.time,
      version: 4,
      protocol: 6,
      addresses,
      sourcePort: this.#ports[side],
      destinationPort: this.#ports[peer],
      sequence: this.next[side],
      acknowledgement: (flags & TCP_ACK) === 0 ? 0 : this.heard[peer],
      flags,
      payloadLength: payload.length,
      ipLength: 40 + payload.length,
      wireLength: 54 + payload.length,
      data: payload,
      payloadStart: 0,
      payloadCaptured: payload.length,
      comment: "",
      ...change,
    });
    return this;
  }
}

/** Runs packets through an assembler and returns the connections by index. */
export function assemble(
  packets: readonly Packet[],
  options: Partial<TcpAssemblerOptions> = {},
): Connection[] {
  const connections: Connection[] = [];
  const assembler = new TcpAssembler((connection) => connections.push(connection), {
    capture: "test",
    ...options,
  });
  for (const packet of packets) assembler.push(packet);
  assembler.finish();
  return connections.sort((a, b) => a.index - b.index);
}

/** Like {@linkcode assemble}, for exactly one connection. */
export function assembleOne(
  packets: readonly Packet[],
  options: Partial<TcpAssemblerOptions> = {},
): Connection {
  const connections = assemble(packets, options);
  if (connections.length !== 1) throw new Error(`${connections.length} connections`);
  return connections[0]!;
}

/** Bytes of each side that a connection's rows hold. */
export function totals(connection: Connection): [number, number] {
  const sums: [number, number] = [0, 0];
  const { segments } = connection;
  for (let row = 0; row < segments.length; row++) {
    const side = segments.side[row] as Side;
    sums[side] += segments.size[row]!;
  }
  return sums;
}

/** The frame of a packet, as it stands in a capture. */
export function frameOf(packet: Packet, linkType: EncodedLinkType): Uint8Array {
  return encodeTcpPacket(linkType, {
    source: { address: formatAddress(packet.addresses, 0, 4), port: packet.sourcePort },
    destination: {
      address: formatAddress(packet.addresses, 16, 4),
      port: packet.destinationPort,
    },
    sequence: packet.sequence,
    acknowledgement: packet.acknowledgement,
    flags: packet.flags,
    payload: packet.data,
  });
}

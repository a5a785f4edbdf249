import type { DecodeCounts } from "./decode.ts";

/** One interface of a capture; a pcap file has exactly one. */
export interface CaptureInterface {
  /** Link type by its number in capture files. */
  readonly linkType: number;
  /** Longest record kept, in bytes; 0 for no limit. */
  readonly snapLength: number;
  /** Packets recorded on it. */
  packets: number;
}

/** What a capture held, and what could not be used of it. Counters are of packets. */
export interface CaptureSummary extends Readonly<DecodeCounts> {
  /** The file's name, `-` for standard input. */
  readonly name: string;
  /** File format. */
  readonly format: "pcap" | "pcapng" | "snoop";
  /** Bytes read, uncompressed. */
  readonly bytes: number;
  /** Packets of every kind. */
  readonly packets: number;
  /** Packets whose record carries no time (simple packet blocks): they took the time before. */
  readonly untimed: number;
  /** Packets older than the packet before them. */
  readonly backwards: number;
  /** Least time in milliseconds since the Unix epoch; undefined without timed packets. */
  readonly firstTime: number | undefined;
  /** Greatest time likewise. */
  readonly lastTime: number | undefined;
  /** Interfaces in order, over all sections. */
  readonly interfaces: readonly CaptureInterface[];
  /** Offset where the file ends in the middle of a packet; undefined for a whole file. */
  readonly truncatedAt: number | undefined;
}

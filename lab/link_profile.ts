/** A path between two hosts, the same in both directions. */
export interface LinkProfile {
  /** What tables and reports call it. */
  readonly name: string;
  /** Milliseconds a packet travels one way, queueing excluded. */
  readonly oneWayDelayMs: number;
  /** Megabits (10^6) a second, IP headers included. */
  readonly rateMbit: number;
  /** Kilobytes (1024 bytes) that wait at the slow hop before packets are dropped. */
  readonly queueKB: number;
  /** Largest TCP payload of one segment in bytes: the MTU less IP, TCP and timestamp headers. */
  readonly mss: number;
}

/** The laboratory's link: the samples were recorded over it and the demo plays over it. */
export const LAB_LINK: LinkProfile = {
  name: "lab",
  oneWayDelayMs: 20,
  rateMbit: 20,
  queueKB: 256,
  mss: 1448,
};

/**
 * The laboratory: real programs, and ours, recorded on one shaped link between two network namespaces.
 *
 * @module
 */
export * from "./leftovers.ts";
export * from "./link_profile.ts";
export * from "./measure.ts";
export * from "./needs.ts";
export * from "./network.ts";
export * from "./outline.ts";
export * from "./play.ts";
export * from "./record.ts";
export * from "./record_samples.ts";
export * from "./scrub.ts";
export type { LinkProbe } from "./link_probe.ts";
export type { Running, StartOptions } from "./process.ts";
export type { Random } from "./random.ts";
export type { CaptureCounts } from "./tcpdump.ts";
export type { TunLinkReport } from "./tun_link.ts";

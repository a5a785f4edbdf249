/**
 * TrafficMimic learns how a real protocol behaves from captures, plays that behaviour between two nodes
 * with real data inside, and attacks itself to say how often the cover is told from the real thing.
 *
 * The rooms have entry points of their own: `./capture`, `./models`, `./playback`, `./plugins`.
 *
 * @module
 */
export * from "./base/mod.ts";

/**
 * The command line of an installed copy: what users and operators of tunnels and gateways need.
 *
 * @module
 */
import { type Commands, runCommand } from "./run.ts";

/** The commands that are installed. */
export const INSTALLED: Commands = {
  "attack": {
    summary: "train an attack on real captures and let it judge cover",
    load: () => import("./attack.ts"),
    protocols: true,
  },
  "bridge-line": {
    summary: "print the lines of a server's users again",
    load: () => import("./bridge_line.ts"),
  },
  "capture": {
    summary: "record an interface to files, by tcpdump",
    load: () => import("./capture.ts"),
  },
  "classify": {
    summary: "name the applications of flows, from captures and live, or say how well",
    load: () => import("./classify.ts"),
  },
  "client": {
    summary: "carry connections through a tunnel in cover traffic",
    load: () => import("./client.ts"),
    protocols: true,
  },
  "client:plugin": {
    summary: "the same, and may start processes for models that are code, sandboxed",
    load: () => import("./client.ts"),
    protocols: true,
  },
  "client:ssh": {
    summary: "the same, and may start OpenSSH: the carrier ssh",
    load: () => import("./client.ts"),
  },
  "features": {
    summary: "make the table of flows that a classifier is trained on",
    load: () => import("./features.ts"),
  },
  "flows": {
    summary: "sort packets into flows within bursts, from captures or live",
    load: () => import("./flows.ts"),
  },
  "gateway": {
    summary: "make this machine the gateway of the clients behind it (needs root)",
    load: () => import("./gateway.ts"),
  },
  "keygen": {
    summary: "make a secret for a user",
    load: () => import("./keygen.ts"),
  },
  "learn": {
    summary: "learn models of cover traffic from captures",
    load: () => import("./learn.ts"),
    protocols: true,
  },
  "pt": {
    summary: "the pluggable transport mimic, started by tor",
    load: () => import("./pt.ts"),
  },
  "pt:ssh": {
    summary: "the same, and may start OpenSSH: the carrier ssh",
    load: () => import("./pt.ts"),
  },
  "server": {
    summary: "serve as the far end of tunnels in cover traffic",
    load: () => import("./server.ts"),
    protocols: true,
  },
  "server:ssh": {
    summary: "the same, and may start OpenSSH: the carrier ssh",
    load: () => import("./server.ts"),
  },
  "train": {
    summary: "learn to name the applications of flows",
    load: () => import("./train.ts"),
  },
};

if (import.meta.main) Deno.exit(await runCommand("trafficmimic", INSTALLED, Deno.args));

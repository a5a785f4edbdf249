import { createHash } from "node:crypto";
import { annotateFromLogs } from "../../lab/annotate_recording.ts";
import { LAB_LINK, type LinkProfile } from "../../lab/link_profile.ts";
import { startUserspaceLink, type UserspaceLink } from "../../lab/userspace_link.ts";
import type { Timeline } from "../../report/result.ts";
import { Node, NodeFailed, readWireLog } from "./nodes.ts";
import { busiestTimeline } from "./timeline.ts";
import { Destination, type Transfer } from "./transfer.ts";

/** How one model is played. */
export interface PlayOptions {
  /** Name or path of the model. */
  readonly model: string;
  /** Folder for keys, logs and the recording; it exists and is empty. */
  readonly folder: string;
  /** What is carried, each way. */
  readonly payload: Uint8Array;
  /** Simulated users: model sessions played at once. */
  readonly sessions: number;
  /** Cover connections to record. */
  readonly connections: number;
  /** Milliseconds that the play may take at most. */
  readonly patience: number;
  /** Seed of the cover. */
  readonly seed: string;
  /** The link between the two ends. */
  readonly profile?: LinkProfile;
  /** Cover connections begun so far. */
  readonly onProgress?: (connections: number) => void;
}

/** What playing one model showed. */
export interface Played {
  /** The recording (pcapng). */
  readonly capture: string;
  /** User data from the client. */
  readonly up: Transfer;
  /** User data to the client. */
  readonly down: Transfer;
  /** Bytes on the wire, both ways, handshakes included, while user data was carried. */
  readonly wireBytes: number;
  /** Cover connections in the recording, and how many of them were still open when time was up. */
  readonly recorded: number;
  /** Recorded connections that were still open when time was up. */
  readonly unfinished: number;
  /** Milliseconds that the user-space link ran behind its model: mean and largest. */
  readonly linkLateness: { readonly mean: number; readonly max: number };
  /** The connection that carried most user data. */
  readonly timeline: Timeline | undefined;
}

const POLL = 50;

function wireBytes({ connections }: UserspaceLink): number {
  return connections.reduce((sum, { bytes: [client, server] }) => sum + client + server, 0);
}

/** The `--seed` of a tm-client that plays `model`, so that each model has one of its own. */
export function coverSeed(seed: string, model: string): string {
  return createHash("sha256").update(`${seed} ${model}`).digest("hex");
}

/**
 * Plays a model between a tm-server and a tm-client in processes of their own, over a user-space link,
 * carries the payload each way, and records the first cover connections. They are chosen by when they
 * began, and their ends are waited for: choosing by when they ended would favour short ones.
 *
 * @throws {NodeFailed} if one of the nodes does not start.
 */
export async function play(options: PlayOptions): Promise<Played> {
  const { folder, model } = options;
  const deadline = performance.now() + options.patience;
  const readable = /[./\\]/.test(model) ? [folder, model] : [folder];
  await using destination = new Destination(options.payload);
  const server = new Node(
    `tm-server (${model})`,
    [
      "server",
      "--listen=127.0.0.1:0",
      `--model=${model}`,
      "--carrier=tls",
      `--state=${folder}/state`,
      `--wire-log=${folder}/server.jsonl`,
      "--allow-private",
    ],
    folder,
    readable,
  );
  let client: Node | undefined;
  let link: UserspaceLink | undefined;
  try {
    const line = await server.line();
    const port = Number(/^mimic 127\.0\.0\.1:(\d+) /.exec(line)?.[1]);
    link = await startUserspaceLink({
      target: { port },
      serverPort: 443,
      profile: options.profile ?? LAB_LINK,
    });
    client = new Node(
      `tm-client (${model})`,
      [
        "client",
        `--line=${line}`,
        `--connect=127.0.0.1:${link.port}`,
        `--forward=127.0.0.1:0=127.0.0.1:${destination.port}`,
        `--model=${model}`,
        "--carrier=tls",
        `--sessions=${options.sessions}`,
        `--seed=${coverSeed(options.seed, model)}`,
        `--wire-log=${folder}/client.jsonl`,
        "--json",
      ],
      folder,
      readable,
    );
    const ready = JSON.parse(await client.line()) as { doors: { port: number }[] };
    const door = ready.doors[0]!.port;
    const before = wireBytes(link);
    const { up, down } = await within(
      deadline - performance.now(),
      async () => ({ up: await destination.upload(door), down: await destination.download(door) }),
      () => new NodeFailed(`transfer (${model})`, "not all had been carried when time was up"),
    );
    const carried = wireBytes(link) - before;
    while (link.connections.length < options.connections && performance.now() < deadline) {
      options.onProgress?.(link.connections.length);
      await sleep(POLL);
    }
    const chosen = link.connections.slice(0, options.connections);
    while (chosen.some(({ closed }) => !closed) && performance.now() < deadline) {
      options.onProgress?.(chosen.length);
      await sleep(POLL);
    }
    // The nodes' logs are whole once the nodes have ended, and that cuts what is unfinished.
    const finished = new Set(chosen.filter(({ closed }) => closed));
    await client.stop();
    await server.stop();
    const annotate = annotateFromLogs(link.connections, {
      client: await readWireLog(`${folder}/client.jsonl`),
      server: await readWireLog(`${folder}/server.jsonl`),
    });
    const capture = `${folder}/${model.replaceAll(/[^A-Za-z0-9-]/g, "_")}.pcapng`;
    await link.writeCapture(
      capture,
      annotate,
      (connection) => finished.has(connection),
    );
    return {
      capture,
      up,
      down,
      wireBytes: carried,
      recorded: chosen.length,
      unfinished: chosen.length - finished.size,
      linkLateness: link.lateness,
      timeline: busiestTimeline(model, chosen, link.packets, annotate),
    };
  } finally {
    await client?.stop();
    await server.stop();
    await link?.stop();
  }
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

async function within<T>(
  milliseconds: number,
  run: () => Promise<T>,
  late: () => Error,
): Promise<T> {
  const timeout = Promise.withResolvers<never>();
  const timer = setTimeout(() => timeout.reject(late()), milliseconds);
  try {
    return await Promise.race([run(), timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
}

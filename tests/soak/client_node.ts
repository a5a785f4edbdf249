/**
 * A client process of the soak, in the client's namespace: several tunnels, each with a door that leads to
 * the destination. Its argument is JSON; says `ready`, then its memory whenever it reads a line, and ends
 * with its standard input.
 *
 * @module
 */
import { loadModelText, modelFromFile, PlansAhead } from "../../models/mod.ts";
import {
  giveMemoryBack,
  parseLine,
  type StandaloneClient,
  startClient,
} from "../../transports/mimic/mod.ts";
import { createHash } from "node:crypto";
import { say, serveLines } from "./node_lines.ts";
import { memoryNow } from "./memory.ts";
import { DOOR_PORT, FAR_PORT, type SoakTunnel } from "./plan.ts";

/** What a client process is given. */
export interface ClientTask {
  readonly seed: string;
  readonly tunnels: readonly { readonly tunnel: SoakTunnel; readonly line: string }[];
}

/** Milliseconds between the beginnings of tunnels. */
const APART = 500;

const notes: string[] = [];
const clients: StandaloneClient[] = [];

async function begin(task: ClientTask): Promise<void> {
  await Promise.all(task.tunnels.map(async ({ line, tunnel }, place) => {
    await new Promise((resolve) => setTimeout(resolve, place * APART));
    const text = await loadModelText(tunnel.model);
    const client = await startClient({
      line: parseLine(line),
      model: modelFromFile(text, tunnel.model),
      ...(tunnel.ahead ? { plans: (key: Uint8Array) => new PlansAhead(text, key) } : {}),
      insistOnCarrier: true,
      seed: new Uint8Array(createHash("sha256").update(`${task.seed}/${tunnel.index}`).digest()),
      master: tunnel.master,
      schedule: tunnel.schedule,
      form: tunnel.form,
      sessions: tunnel.sessions,
      attempts: 100,
      forwards: [{
        local: { host: "127.0.0.1", port: DOOR_PORT + tunnel.index },
        destination: { host: "127.0.0.1", port: FAR_PORT },
      }],
      onNote: (note) => notes.push(`tunnel ${tunnel.index}: ${note}`),
    });
    client.done.catch((error: Error) =>
      notes.push(`tunnel ${tunnel.index} ENDED: ${error.message}`)
    );
    clients.push(client);
    say({ tunnel: tunnel.index });
  }));
}

if (import.meta.main) {
  giveMemoryBack();
  try {
    await begin(JSON.parse(Deno.args[0]!) as ClientTask);
    say({ ready: true });
    await serveLines((line) => ({
      memory: memoryNow(line === "collect"),
      stats: clients.map(({ stats }) => stats),
      notes: notes.splice(0),
    }));
  } finally {
    await Promise.all(clients.map((client) => client.close()));
  }
  Deno.exit(0);
}

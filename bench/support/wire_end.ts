/**
 * One process of the benchmark `wire`: a tm-server, a tm-client, or a user or destination that wants all that a
 * tunnel carries. Its argument is JSON; it says one line when it is ready, one more for each line that it reads, and
 * ends with its standard input.
 *
 * @module
 */
import { connect, createServer, type Socket } from "node:net";
import { loadModel, loadModelText, modelFromFile, PlansAhead } from "../../models/mod.ts";
import { alpnOf, parseLine, startClient, startServer } from "../../transports/mimic/mod.ts";

/** What a process is told to be. */
export type WireTask =
  | {
    readonly is: "server";
    readonly host: string;
    readonly port: number;
    readonly model: string;
    readonly carrier: string;
    readonly state: string;
    readonly seed: string;
    readonly log?: string;
    readonly decoy?: number;
    readonly certificate?: { readonly cert: string; readonly key: string };
  }
  | {
    readonly is: "client";
    readonly line: string;
    readonly model: string;
    readonly master: "client" | "server";
    readonly seed: string;
    readonly door: number;
    readonly far: number;
    readonly log?: string;
  }
  | { readonly is: "far" | "user"; readonly port: number };

const say = (object: unknown) => {
  Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(object)}\n`));
};

const bytesOf = (hex: string) => new Uint8Array(hex.match(/../g)!.map((two) => parseInt(two, 16)));

/** Says something else each line, until standard input ends. */
async function answer(of: () => unknown): Promise<void> {
  for await (const _ of Deno.stdin.readable) say(of());
}

function flood(socket: Socket): void {
  const bytes = new Uint8Array(16_384);
  const more = () => {
    while (!socket.destroyed && socket.write(bytes));
  };
  socket.on("drain", more).on("error", () => socket.destroy()).resume();
  more();
}

async function run(task: WireTask): Promise<void> {
  if (task.is === "server") {
    const model = await loadModel(task.model);
    const alpn = alpnOf(model.description.protocol);
    const { decoy, certificate, carrier, host, port, seed, state } = task;
    const running = await startServer({
      listen: { host, port },
      models: [model],
      carrier,
      state,
      allowPrivate: true,
      leadSeed: bytesOf(seed),
      ...(task.log === undefined ? {} : { wireLog: task.log }),
      ...(alpn === undefined ? {} : { alpn }),
      ...(decoy === undefined ? {} : { decoy: { host: "127.0.0.1", port: decoy } }),
      ...(certificate === undefined ? {} : { certificate }),
    });
    say({ line: running.line });
    await answer(() => running.server.stats);
    await running.close();
  } else if (task.is === "client") {
    const text = await loadModelText(task.model);
    const model = modelFromFile(text, task.model);
    const running = await startClient({
      line: parseLine(task.line),
      model,
      plans: (key) => new PlansAhead(text, key, { model }),
      insistOnCarrier: true,
      seed: bytesOf(task.seed),
      master: task.master,
      schedule: "strict",
      form: "derived",
      sessions: 1,
      ...(task.log === undefined ? {} : { wireLog: task.log }),
      forwards: [{
        local: { host: "127.0.0.1", port: task.door },
        destination: { host: "127.0.0.1", port: task.far },
      }],
    });
    say({ ready: true });
    await answer(() => running.stats);
    await running.close();
  } else if (task.is === "far") {
    const server = createServer((socket) => flood(socket));
    await new Promise<void>((resolve) => server.listen(task.port, "127.0.0.1", () => resolve()));
    say({ ready: true });
    await answer(() => ({}));
  } else {
    // Again whenever it breaks.
    const begin = () => {
      const socket = connect(task.port, "127.0.0.1", () => flood(socket));
      socket.on("error", () => {}).on("close", () => setTimeout(begin, 1000));
    };
    begin();
    say({ ready: true });
    await answer(() => ({}));
  }
}

if (import.meta.main) {
  await run(JSON.parse(Deno.args[0]!) as WireTask);
  Deno.exit(0);
}

/**
 * Ten clients of three users, each a process, through one server for a minute; every byte is compared.
 * Not a part of the tests: `deno task soak:clients [SECONDS]`. Prints one JSON object.
 *
 * @module
 */
import { note, print, printJson } from "../../cli/output.ts";
import { readLines } from "../../transports/mimic/mod.ts";
import { CROWD_MODEL_FILE, crowdServer, stateWithUsers, transfers } from "./crowd.ts";
import { CommandProcess } from "./processes.ts";
import { noise } from "./world.ts";

const CLIENTS = 10;

if (Deno.args.includes("--help") || Deno.args.includes("-h")) {
  print(`Usage: deno task soak:clients [SECONDS]

Ten clients of three users, each a process, through one server on loopback for
SECONDS (default: 60). Every byte is compared. Prints one JSON object.`);
  Deno.exit(0);
}
const seconds = Number(Deno.args[0] ?? 60);
if (!(seconds > 0 && seconds < 86_400)) {
  note(`error: ${JSON.stringify(Deno.args[0])} is no number of seconds: see --help`);
  Deno.exit(2);
}

async function soak(folder: string, cleanup: AsyncDisposableStack): Promise<void> {
  const run = (command: string, ...args: string[]) => {
    const process = new CommandProcess(command, args);
    cleanup.defer(async () => void await process.stop().catch(() => {}));
    return process;
  };
  const [model, state] = [`${folder}/crowd.json`, `${folder}/state`];
  await Deno.writeTextFile(model, CROWD_MODEL_FILE);
  await stateWithUsers(state, 3);
  const blobs = Array.from({ length: CLIENTS }, () => noise(500_000));
  const web = crowdServer(blobs);
  cleanup.defer(() => web.shutdown());
  const server = run(
    "server",
    ...["--listen", "127.0.0.1:0", "--model", model, "--state", state, "--allow-private"],
  );
  await server.line();
  const lines = await readLines(state);
  const clients = blobs.map((_, index) =>
    run(
      "client",
      ...["--line", lines[index % lines.length]!, "--model", model, "--json"],
      ...["--forward", `127.0.0.1:0=127.0.0.1:${web.addr.port}`],
    )
  );
  const ports = await Promise.all(
    clients.map(async (client) => JSON.parse(await client.line()).doors[0].port as number),
  );
  const start = performance.now();
  const bytes = await Promise.all(
    ports.map((port, index) =>
      transfers(port, index, blobs[index]!, () => performance.now() - start < 1000 * seconds)
    ),
  );
  const took = (performance.now() - start) / 1000;
  const ended = [...await Promise.all(clients.map((client) => client.stop())), await server.stop()];
  const said = await Promise.all([...clients, server].map(({ stderr }) => stderr));
  printJson({
    clients: clients.length,
    users: lines.length,
    seconds: Math.round(took),
    bytesCompared: bytes.reduce((sum, count) => sum + count, 0),
    bytesOfEach: bytes,
    exitCodes: ended.map(({ code }) => code),
    standardError: said.filter((text) => text !== ""),
  });
}

const folder = await Deno.makeTempDir();
{
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => Deno.remove(folder, { recursive: true }));
  await soak(folder, cleanup);
}

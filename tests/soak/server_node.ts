/**
 * The server of the soak, a process in the server's namespace: one listener for each carrier, and the
 * destination of all streams. Says its lines, then its memory whenever it reads a line, and ends with its
 * standard input.
 *
 * @module
 */
import { loadModel } from "../../models/mod.ts";
import { CLIENT_ADDRESS, SERVER_ADDRESS } from "../../lab/network.ts";
import {
  alpnOf,
  giveMemoryBack,
  readLines,
  type StandaloneServer,
  startServer,
} from "../../transports/mimic/mod.ts";
import { startGenuinePostfix } from "../transports/genuine_postfix.ts";
import { stateWithUsers } from "../transports/crowd.ts";
import { say, serveLines } from "./node_lines.ts";
import { memoryNow } from "./memory.ts";
import { MODELS, PORTS, type SoakTunnel } from "./plan.ts";

const [folder, users, ...carriers] = Deno.args as [string, string, ...SoakTunnel["carrier"][]];
const servers: StandaloneServer[] = [];
let postfix: Awaited<ReturnType<typeof startGenuinePostfix>> | undefined;
const notes: string[] = [];
giveMemoryBack();
try {
  const lines: Record<string, string[]> = {};
  for (const carrier of carriers) {
    const state = `${folder}/${carrier}`;
    await stateWithUsers(state, Number(users));
    const [first, ...others] = await Promise.all(MODELS[carrier].map(loadModel));
    const alpn = alpnOf(first!.description.protocol);
    if (carrier === "smtp") {
      postfix = await startGenuinePostfix(`${CLIENT_ADDRESS}/32`);
      await Deno.writeTextFile(`${folder}/mail.pem`, postfix.identity.certificate);
      await Deno.writeTextFile(`${folder}/mail.key`, postfix.identity.key, { mode: 0o600 });
    }
    servers.push(
      await startServer({
        listen: { host: SERVER_ADDRESS, port: PORTS[carrier] },
        models: [first!, ...others],
        carrier,
        state,
        allowPrivate: true,
        ...(alpn === undefined ? {} : { alpn }),
        ...(postfix === undefined || carrier !== "smtp" ? {} : {
          decoy: { host: "127.0.0.1", port: postfix.behind },
          certificate: { cert: `${folder}/mail.pem`, key: `${folder}/mail.key` },
        }),
        onWarning: (text) => notes.push(text),
        onNote: (text) => notes.push(text),
      }),
    );
    lines[carrier] = await readLines(state);
  }
  say({ ready: true, lines });
  await serveLines((line) => {
    const sum = (of: (server: StandaloneServer) => number) =>
      servers.reduce((total, server) => total + of(server), 0);
    return {
      memory: memoryNow(line === "collect"),
      tunnels: sum(({ server }) => server.tunnels),
      connections: sum(({ server }) => server.connections),
      streams: sum(({ server }) => server.streams),
      strangers: sum(({ server }) => server.strangers),
      stats: servers.map(({ server: { stats } }) => stats),
      notes: notes.splice(0),
    };
  });
} finally {
  for (const server of servers) await server.close();
  await postfix?.stop();
}
Deno.exit(0);

/**
 * A long run of the https model in `strict` under the real tor: clients that fetch again and again, every byte
 * compared, every log watched for tunnels that were lost. By hand: `deno task soak:tor [MINUTES]` (root, tor,
 * curl, iproute2). Prints one JSON object; exits 1 if a fetch failed or a tunnel was lost.
 *
 * @module
 */
import { sleep } from "../../lab/process.ts";
import { printJson } from "../../cli/output.ts";
import { installIn, textOf, TorNetwork } from "./tor_network.ts";
import { ADDRESSES } from "./two_ends.ts";

const minutes = Number(Deno.args[0] ?? 15);
const BYTES = 262_144;
/** Milliseconds between two fetches of a client. */
const PAUSE = 2_000;
/** What a client's transport says when a tunnel is lost. */
const LOST = /forgotten the tunnel|no longer answers|a tunnel ended|given up|a connection broke/;

/** Clients by their number of simulated users. */
const SESSIONS = [1, 4];

async function soak(): Promise<boolean> {
  const page = new Uint8Array(BYTES);
  for (let at = 0; at < BYTES; at += 65_536) crypto.getRandomValues(page.subarray(at, at + 65_536));
  await using network = await TorNetwork.up(page);
  const command = `${await installIn(network.folder)} pt`;
  const bridge = await network.startBridge("bridge", {
    transport: "mimic",
    command,
    listen: `${ADDRESSES.relays.v4}:5300`,
    orPort: 5200,
    lines: ["ExtORPort auto"],
  });
  const line = (await textOf(`${bridge.folder}/pt_state/mimic/bridge_line`)).trim();
  const began = performance.now();
  const left = () => 60_000 * minutes - (performance.now() - began);
  const clients = await Promise.all(SESSIONS.map(async (sessions, index) => {
    const socksPort = 9050 + index;
    const client = await network.startClient(`client-${sessions}`, {
      transport: "mimic",
      command,
      socksPort,
      bridge: `${line} sessions=${sessions}`,
      patience: 120_000,
    });
    const times: number[] = [];
    const failures: string[] = [];
    while (left() > 0) {
      const start = performance.now();
      const { success, body } = await network.fetch(socksPort, BYTES, 120);
      const took = performance.now() - start;
      const at = `at ${((performance.now() - began) / 1000).toFixed(0)} s`;
      if (!success) failures.push(`${at}: not whole after ${(took / 1000).toFixed(0)} s`);
      else if (!body.every((byte, i) => byte === page[i]) || body.length !== BYTES) {
        failures.push(`${at}: other bytes`);
      } else times.push(took);
      await sleep(PAUSE);
    }
    times.sort((a, b) => a - b);
    const log = await textOf(`${client.folder}/net.log`);
    return {
      sessions,
      bootstrapSeconds: Math.round(client.bootstrap / 100) / 10,
      fetches: times.length,
      bytesCompared: times.length * BYTES,
      medianSeconds: Math.round((times[times.length >> 1] ?? 0) / 100) / 10,
      slowestSeconds: Math.round((times.at(-1) ?? 0) / 100) / 10,
      failures,
      lost: log.split("\n").filter((text) => / MESSAGE="/.test(text) && LOST.test(text)),
      orConnectionsBroken: [...log.matchAll(/tls error .* from OR connection/g)].length,
    };
  }));
  const said = (await textOf(`${bridge.folder}/net.log`)).split("\n")
    .filter((text) => / MESSAGE="/.test(text) && !/bridge line is in/.test(text));
  printJson({ minutes, model: "https", schedule: "strict", clients, bridge: said.slice(-50) });
  return clients.every(({ failures, lost, orConnectionsBroken }) =>
    failures.length === 0 && lost.length === 0 && orConnectionsBroken === 0
  );
}

Deno.exit(await soak() ? 0 : 1);

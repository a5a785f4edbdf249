import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { formatSecret, newSecret } from "../../transports/mimic/mod.ts";
import { noise } from "./world.ts";

/** A model for many clients on one machine: 12,000 bytes each way every 40 ms, ten a connection. */
export const CROWD_MODEL_FILE = JSON.stringify({
  schema: "trafficmimic-model",
  version: 1,
  name: "crowd",
  kind: "constant-rate",
  protocol: "constant-rate",
  carrier: "tls",
  content: { size: 12_000, period: 40, exchanges: 10 },
});

/** Makes a state folder with the secrets of `users` users. */
export async function stateWithUsers(folder: string, users: number): Promise<void> {
  await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
  const secrets = Array.from({ length: users }, () => `${formatSecret(newSecret())}\n`);
  await Deno.writeTextFile(`${folder}/secrets`, secrets.join(""), { mode: 0o600 });
}

/** A web server that gives each `/blob/N` bytes of its own, and echoes what is posted. */
export function crowdServer(
  blobs: readonly Uint8Array<ArrayBuffer>[],
): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    if (request.method === "POST") return new Response(request.body);
    const blob = blobs[Number(/^\/blob\/(\d+)$/.exec(new URL(request.url).pathname)?.[1])];
    return blob === undefined ? new Response(null, { status: 404 }) : new Response(blob);
  });
}

/**
 * Transfers both ways through a forwarding door, again and again while `more` says so, comparing every
 * byte. Returns how many bytes came back.
 */
export async function transfers(
  port: number,
  index: number,
  blob: Uint8Array,
  more: (round: number) => boolean,
): Promise<number> {
  const base = `http://127.0.0.1:${port}`;
  let bytes = 0;
  for (let round = 0; more(round); round++) {
    const down = new Uint8Array(await (await fetch(`${base}/blob/${index}`)).arrayBuffer());
    assert.ok(Buffer.compare(down, blob) === 0, `client ${index}, download ${round}`);
    const sent = noise(blob.length >> 1);
    const echo = await fetch(`${base}/echo`, { method: "POST", body: sent });
    const back = new Uint8Array(await echo.arrayBuffer());
    assert.ok(Buffer.compare(back, sent) === 0, `client ${index}, echo ${round}`);
    bytes += down.length + back.length;
  }
  return bytes;
}

/**
 * What tcpdump sees of what a server writes: native and fronted by nginx, one write after the other and in bursts of
 * eight. For each: records that are on the wire as written (payload + 22 bytes), and records that hold several
 * writes.
 *
 * ```sh
 * deno run -A bench/tls_records.ts [--busy]        # root; tcpdump, tshark, nginx
 * ```
 *
 * @module
 */
import { Table } from "../base/table.ts";
import { print } from "../cli/output.ts";
import {
  type CarrierConnection,
  carrierOf,
  readFrontIdentity,
} from "../transports/carriers/mod.ts";
import { freePort, startNginx } from "./nginx.ts";
import { recorded } from "./support/loopback_recording.ts";

const WRITES = 2000;
const BURST = 8;
const PATH = "/bench-path-0123";

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

interface Ends {
  readonly client: CarrierConnection;
  readonly server: CarrierConnection;
  /** Resolves when the client has `bytes` in all. */
  readonly received: (bytes: number) => Promise<void>;
}

async function recordsOf(port: number, act: () => Promise<void>): Promise<number[]> {
  const file = await Deno.makeTempFile({ suffix: ".pcap" });
  await recorded(file, ["tcp", "src", "port", String(port)], act);
  const { stdout } = await new Deno.Command("tshark", {
    args: [
      ...["-r", file, "-Y", "tls.record.opaque_type==23", "-T", "fields"],
      ...["-e", "tls.record.length", "-E", "occurrence=a"],
    ],
    stderr: "null",
  }).output();
  await Deno.remove(file);
  return new TextDecoder().decode(stdout).split(/[\n,]/).filter((text) => text !== "")
    .map((text) => Number(text) + 5);
}

const table = new Table({
  head: ["", "writes", "as written", "writes in shared records", "bytes added to each"],
  style: { head: [], border: [] },
});

async function measure(name: string, port: number, open: () => Promise<Ends>): Promise<void> {
  for (const burst of [1, BURST]) {
    const sizes = Array.from({ length: WRITES }, (_, i) => 1 + (i * 7919 + 13) % 16_384);
    const records = await recordsOf(port, async () => {
      const { client, received, server } = await open();
      let total = 0;
      for (const [i, size] of sizes.entries()) {
        server.write(new Uint8Array(size));
        total += size;
        if (i % burst === burst - 1) await received(total);
      }
      await received(total);
      client.close("rst");
      server.close("rst");
    });
    // The handshake's records come before: ours are the last ones that hold all that was written.
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const payloads = records.map((record) => record - 22);
    const bounds = new Set([0]);
    let from = payloads.length;
    for (let sum = 0; from > 0 && sum < total;) sum += payloads[--from]!;
    let end = 0;
    for (const payload of payloads.slice(from)) bounds.add(end += payload);
    let exact = 0;
    let at = 0;
    let inside = 0;
    for (const size of sizes) {
      // Between the bounds of a write there is no other, for a record holds at most as much as a write may.
      if (bounds.has(at) && bounds.has(at + size)) exact++;
      else inside++;
      at += size;
    }
    const best = { exact: end === total ? exact : 0, shared: inside };
    table.push([
      `${name}, ${burst === 1 ? "one at a time" : `bursts of ${burst}`}`,
      String(WRITES),
      String(best.exact),
      String(best.shared),
      "22",
    ]);
  }
}

const tls = carrierOf("tls");
const site = await startNginx();
const behind = freePort();
const front = await startNginx({ like: site, front: { path: PATH, port: behind } });

for (const mode of ["native", "fronted"]) {
  const accepted: CarrierConnection[] = [];
  const server = await tls.listen({
    hostname: "127.0.0.1",
    port: mode === "native" ? 0 : behind,
    identity: mode === "native" ? site.identity : await readFrontIdentity(site.cert),
    secrets: [],
    state: site.folder,
    ...(mode === "native" ? { genuine: { host: "127.0.0.1", port: site.port } } : { path: PATH }),
  }, (connection) => accepted.push(connection));
  const port = mode === "native" ? server.port : front.port;
  await measure(mode, port, async () => {
    const carrier = await tls.client({
      hostname: "127.0.0.1",
      port,
      pin: site.identity.pin,
      secret: new Uint8Array(32),
      alpn: ["http/1.1"],
      ...(mode === "native" ? {} : { path: PATH }),
    });
    const client = await carrier.connect();
    while (accepted.length === 0) await pause(1);
    let have = 0;
    let wake = () => {};
    client.listener = {
      onData: (bytes) => {
        have += bytes.length;
        wake();
      },
      onClose: () => {},
    };
    const connection = accepted.shift()!;
    connection.listener = { onData: () => {}, onClose: () => {} };
    return {
      client,
      server: connection,
      received: async (bytes) => {
        while (have < bytes) await new Promise<void>((resolve) => wake = resolve);
      },
    };
  });
  await server.close();
}
print(table.toString());
print(`load ${Deno.loadavg().map((value) => value.toFixed(1)).join(" ")}`);
await front[Symbol.asyncDispose]();
await site[Symbol.asyncDispose]();
Deno.exit();

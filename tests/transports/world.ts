import { modelFromFile } from "../../models/mod.ts";

/** A model made for tests: a message of 12,000 bytes each way every 10 ms, ten a connection. */
export const FAST_MODEL_FILE = JSON.stringify({
  schema: "trafficmimic-model",
  version: 1,
  name: "fast",
  kind: "constant-rate",
  protocol: "constant-rate",
  carrier: "tls",
  content: { size: 12_000, period: 10, exchanges: 10 },
});

/** The same as a model. */
export const FAST_MODEL = modelFromFile(FAST_MODEL_FILE);

/** Bytes that no compression or repetition could reproduce by accident. */
export function noise(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65_536) {
    crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  }
  return bytes;
}

/** A web server for the far end: `/blob` gives `blob`, a POST is echoed. */
export function webServer(
  hostname: string,
  blob: Uint8Array<ArrayBuffer>,
): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve({ hostname, port: 0, onListen: () => {} }, (request) => {
    if (request.method === "POST") return new Response(request.body);
    return new URL(request.url).pathname === "/blob"
      ? new Response(blob)
      : new Response("nothing here", { status: 404 });
  });
}

/** A TCP relay to `target` that cuts each connection after as many bytes as `life` says. */
export function cuttingRelay(target: { host: string; port: number }, life: () => number) {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  let cuts = 0;
  const open = new Set<Deno.Conn>();
  const relays: Promise<void>[] = [];
  const accepting = (async () => {
    for await (const near of listener) {
      relays.push((async () => {
        const far = await Deno.connect({ hostname: target.host, port: target.port })
          .catch(() => undefined);
        if (far === undefined) return near.close();
        open.add(near).add(far);
        let left = life();
        const cut = () => {
          for (const conn of [near, far]) {
            if (open.delete(conn)) conn.close();
          }
        };
        const pump = async (from: Deno.Conn, to: Deno.Conn) => {
          const buffer = new Uint8Array(4096);
          try {
            for (;;) {
              const count = await from.read(buffer);
              if (count === null) {
                await to.closeWrite();
                return;
              }
              left -= count;
              if (left < 0) {
                if (open.has(near)) cuts++;
                cut();
                return;
              }
              for (let at = 0; at < count;) at += await to.write(buffer.subarray(at, count));
            }
          } catch {
            cut();
          }
        };
        await Promise.all([pump(near, far), pump(far, near)]);
        cut();
      })());
    }
  })();
  return {
    port: listener.addr.port,
    cuts: () => cuts,
    close: async () => {
      listener.close();
      await accepting.catch(() => {});
      for (const conn of [...open]) {
        open.delete(conn);
        conn.close();
      }
      await Promise.all(relays);
    },
  };
}

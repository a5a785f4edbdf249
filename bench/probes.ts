/**
 * What an active prober sends to a web server's TLS port, and how the server takes it: the same to a genuine nginx
 * and to ours. Used by `bench/probe_table.ts` and by the tests.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import net from "node:net";
import { denoTls } from "../transports/carriers/tls_deno.ts";
import type { TlsEngine } from "../transports/carriers/tls_engine.ts";
import { openSslClient } from "../transports/carriers/tls_openssl.ts";
import { Meter, noise, type Outcome, pause, type Probe, program, raw } from "./probe_meter.ts";

export type { Outcome, Probe } from "./probe_meter.ts";

const SERVER_NAME = "www.example.com";

/** A probe by OpenSSL's own client; `input` is sent inside TLS. */
function openssl(name: string, args: readonly string[], input: string, drip?: number): Probe {
  return program(`openssl: ${name}`, {
    command: "openssl",
    args: (port) => [
      ...["s_client", "-quiet", "-ign_eof", "-connect", `127.0.0.1:${port}`],
      ...(args.includes("-noservername") || args.includes("-servername")
        ? []
        : ["-servername", SERVER_NAME]),
      ...(args.includes("-alpn") ? [] : ["-alpn", "http/1.1"]),
      ...args,
    ],
    input,
    ...(drip === undefined ? {} : { drip }),
  });
}

/** A probe inside TLS by a client that has the TLS stack of our own clients. */
function runtime(
  name: string,
  input: string | Uint8Array,
  { close = false, drip, serverName = SERVER_NAME }: {
    readonly close?: boolean;
    readonly drip?: number;
    readonly serverName?: string;
  } = {},
): Probe {
  return {
    name: `own stack: ${name}`,
    send: async (port, patience) => {
      const meter = new Meter(port);
      const chunks: Uint8Array[] = [];
      const raw = net.connect({
        host: "127.0.0.1",
        port: await meter.open(),
        allowHalfOpen: true,
        noDelay: true,
      });
      raw.on("error", () => {});
      await new Promise<void>((resolve) => raw.once("connect", resolve));
      const socket = ownTls().client(raw, { serverName, alpn: ["http/1.1"] }, async () => {
        const bytes = typeof input === "string" ? Buffer.from(input, "latin1") : input;
        if (drip === undefined) {
          if (bytes.length > 0) socket.write(bytes, () => {});
        } else {
          for (const byte of bytes) {
            if (socket.writable) socket.write(new Uint8Array([byte]), () => {});
            await pause(drip);
          }
        }
        if (close) socket.end();
      });
      socket.on("error", () => {});
      socket.on("data", (bytes: Uint8Array) => chunks.push(new Uint8Array(bytes)));
      socket.on("end", () => socket.end());
      const text = () => Buffer.concat(chunks).toString("latin1");
      const outcome = await meter.outcome(text, patience * 2 + 3000);
      socket.destroy();
      return outcome;
    },
  };
}

const get = (path: string, more = "", method = "GET") =>
  `${method} ${path} HTTP/1.1\r\nHost: ${SERVER_NAME}\r\n${more}\r\n`;
const CLOSE = "Connection: close\r\n";

/** The TLS stack of our own clients: the system's OpenSSL where it may be used. */
export const ownTls = (): TlsEngine => openSslClient() ?? denoTls;

/** The ClientHello of our own clients, as it would go to a server; an empty name is not asked for. */
export async function ownHello(
  alpn: readonly string[] = ["http/1.1"],
  serverName = SERVER_NAME,
): Promise<Uint8Array> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  const seen = new Promise<Uint8Array>((resolve) => {
    server.once("connection", (socket) => {
      socket.on("error", () => {});
      socket.once("data", (bytes: Uint8Array) => {
        resolve(new Uint8Array(bytes));
        socket.destroy();
      });
    });
  });
  const raw = net.connect({ host: "127.0.0.1", port });
  raw.on("error", () => {});
  await new Promise<void>((resolve) => raw.once("connect", resolve));
  const client = ownTls().client(raw, {
    ...(serverName === "" ? {} : { serverName }),
    ...(alpn.length === 0 ? {} : { alpn }),
  }, () => {});
  client.on("error", () => {});
  const hello = await seen;
  client.destroy();
  server.close();
  return hello;
}

/** Shapes of a hello, each time with another random: one that was seen before is taken for a replay. */
export function helloShapes(hello: Uint8Array): {
  readonly fresh: () => Uint8Array;
  readonly half: () => Uint8Array;
  readonly malformed: () => Uint8Array;
} {
  const fresh = () => {
    const bytes = hello.slice();
    crypto.getRandomValues(bytes.subarray(11, 43));
    return bytes;
  };
  return {
    fresh,
    half: () => fresh().subarray(0, hello.length >> 1),
    malformed: () => {
      const bytes = fresh();
      bytes[8] = 255;
      return bytes;
    },
  };
}

/**
 * The probes. `hello` is a ClientHello of our own clients' shape, `replayed` a first flight that one of them has
 * sent before (hello, and what followed), `wrong` the first bytes of a client with a wrong secret.
 */
export function probes(
  { hello, replayed, wrong }: {
    readonly hello: Uint8Array;
    readonly replayed: Uint8Array;
    readonly wrong: Uint8Array;
  },
): Probe[] {
  const { fresh, half, malformed } = helloShapes(hello);
  const requests: [string, string][] = [
    ["GET, then silence", get("/")],
    ["GET, closing", get("/", CLOSE)],
    ["HEAD", get("/", CLOSE, "HEAD")],
    ["OPTIONS", get("/", CLOSE, "OPTIONS")],
    ["404", get("/nothing", CLOSE)],
    ["HTTP/1.0", "GET / HTTP/1.0\r\n\r\n"],
    ["pipelined", get("/") + get("/nothing") + get("/", CLOSE)],
    ["a header of 40 KB", get("/", `X: ${"x".repeat(40_000)}\r\n${CLOSE}`)],
    ["a request line of 10 KB", get(`/${"a".repeat(10_000)}`, CLOSE)],
    ["no request", "\x01\x02\x03 what is this\r\n\r\n"],
    ["half a request, then silence", "GET / HT"],
    ["3 MB", get("/big", CLOSE)],
  ];
  return [
    raw("connect and close", new Uint8Array(0), { close: true }),
    raw("silence", new Uint8Array(0)),
    raw("half a hello, then silence", half),
    raw("half a hello, then half close", half, { close: true }),
    raw("a hello, then silence", fresh),
    raw("a hello, then half close", fresh, { close: true }),
    raw("a hello, a byte each 2 ms, then silence", fresh, { drip: 2 }),
    raw("a hello, a byte each second", fresh, { drip: 1000 }),
    raw("a malformed hello", malformed),
    raw("a hello in two records", () => {
      const hello = fresh();
      const cut = 100;
      const second = [22, 3, 1, hello.length - 5 - cut >> 8, (hello.length - 5 - cut) & 255];
      return new Uint8Array([
        ...[22, 3, 1, 0, cut, ...hello.subarray(5, 5 + cut)],
        ...[...second, ...hello.subarray(5 + cut)],
      ]);
    }),
    raw("a hello and garbage", () => new Uint8Array([...fresh(), ...noise(100, 3)])),
    raw("a replayed first flight", replayed),
    raw("garbage, 200 bytes", noise(200, 1)),
    raw("garbage, 20 KB", noise(20_000, 2)),
    raw("a record too long", new Uint8Array([22, 3, 1, 255, 255, ...noise(300, 4)])),
    raw("an alert", new Uint8Array([21, 3, 1, 0, 2, 2, 40])),
    raw("SSLv2", new Uint8Array([0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10, ...noise(40, 5)])),
    raw("HTTP without TLS", new TextEncoder().encode(get("/"))),
    openssl("TLS 1.0", ["-tls1", "-cipher", "DEFAULT@SECLEVEL=0"], get("/", CLOSE)),
    openssl("TLS 1.1", ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"], get("/", CLOSE)),
    openssl("TLS 1.2", ["-tls1_2"], get("/", CLOSE)),
    openssl("no server name", ["-noservername"], get("/", CLOSE)),
    openssl("another server name", ["-servername", "other.example.org"], get("/", CLOSE)),
    openssl("alien ALPN", ["-alpn", "foo"], get("/", CLOSE)),
    openssl("h2 and http/1.1", ["-alpn", "h2,http/1.1"], get("/", CLOSE)),
    openssl("nothing after the handshake", [], ""),
    openssl("GET, a byte each 2 ms", [], get("/", CLOSE), 2),
    ...requests.map(([name, request]) => openssl(name, [], request)),
    runtime("nothing after the handshake", ""),
    runtime("close after the handshake", "", { close: true }),
    runtime("a wrong secret", wrong),
    runtime("a wrong secret, cut short", wrong.subarray(0, 20)),
    runtime("GET, a byte each 5 ms", get("/", CLOSE), { drip: 5 }),
    runtime("GET, then half close", get("/"), { close: true }),
    runtime("another server name", get("/", CLOSE), { serverName: "other.example.org" }),
    ...requests.map(([name, request]) => runtime(name, request)),
  ];
}

/** Records in words: runs of equal ones are counted. */
export function recordText(records: readonly string[]): string {
  const runs: { record: string; count: number }[] = [];
  for (const record of records) {
    const last = runs.at(-1);
    if (last?.record === record) last.count++;
    else runs.push({ record, count: 1 });
  }
  return runs.map(({ count, record }) => count === 1 ? record : `${count} x ${record}`).join(" ");
}

/**
 * What an outcome differs in from those of the genuine server; empty if in nothing. Handshake records may differ
 * by the few bytes of an ECDSA signature; the end and its time lie within the genuine server's own spread, and
 * `tolerance` milliseconds.
 */
export function differences(real: readonly Outcome[], ours: Outcome, tolerance = 150): string[] {
  const found: string[] = [];
  const first = real[0]!;
  if (real.every(({ answer }) => answer !== ours.answer)) {
    found.push(`answers ${brief(ours.answer)} for ${brief(first.answer)}`);
  }
  const same = real.some(({ records }) =>
    records.length === ours.records.length && records.every((record, i) => {
      const [type, length] = record.split(":").map(Number);
      const [otherType, otherLength] = ours.records[i]!.split(":").map(Number);
      return type === otherType && Math.abs(length! - otherLength!) <= 4;
    })
  );
  if (!same) {
    found.push(`records ${recordText(ours.records)} for ${recordText(first.records)}`);
  }
  if (real.every(({ end }) => end !== ours.end)) {
    found.push(`ends by ${ours.end} for ${first.end}`);
  }
  const times = real.map(({ after }) => after);
  const [from, to] = [Math.min(...times) - tolerance, Math.max(...times) + tolerance];
  if (ours.end !== "open" && (ours.after < from || ours.after > to)) {
    found.push(`ends after ${Math.round(ours.after)} ms for ${Math.round(first.after)}`);
  }
  return found;
}

function brief(answer: string): string {
  if (answer === "") return "nothing";
  const line = answer.split("\r\n")[0]!;
  return line.length > 40 ? `${line.slice(0, 40)}...` : line;
}

/**
 * What an active prober sends to a web server's TLS port, and how the server takes it: the same to a genuine nginx
 * and to ours. Used by `bench/probe_table.ts` and by the tests.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import net from "node:net";
import tls from "node:tls";
import { wasReset } from "../transports/carriers/tls_first_flight.ts";

/** How a server took a probe. */
export interface Outcome {
  /** What it answered: text inside TLS, or bytes outside; dates are taken out. */
  readonly answer: string;
  /** Type and length of each TLS record that it sent, such as `22:122`. */
  readonly records: readonly string[];
  /** How its direction ended; `open` if it had not by the prober's deadline. */
  readonly end: "fin" | "rst" | "open";
  /** Milliseconds from connecting to that end. */
  readonly after: number;
}

/** One thing to try. `patience` is the web server's own timeout in milliseconds. */
export interface Probe {
  /** What is tried, in a few words. */
  readonly name: string;
  /** Sends it to a port on 127.0.0.1. */
  readonly send: (port: number, patience: number) => Promise<Outcome>;
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** A relay that sees what a server sends and how it ends. */
class Meter {
  readonly #server: net.Server;
  readonly #bytes: Uint8Array[] = [];
  readonly #ended = Promise.withResolvers<"fin" | "rst">();
  #began = performance.now();
  #endedAt = 0;
  #near: net.Socket | undefined;

  constructor(port: number, drip?: number) {
    this.#server = net.createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
      this.#near = near;
      const far = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
      this.#began = performance.now();
      let sending: Promise<unknown> = Promise.resolve();
      near.on("data", (bytes: Uint8Array) => {
        sending = sending.then(async () => {
          const step = drip === undefined ? bytes.length : 1;
          // What the prober says to a server's end is not the question.
          for (let at = 0; at < bytes.length && this.#endedAt === 0; at += step) {
            far.write(bytes.subarray(at, at + step));
            if (drip !== undefined) await pause(drip);
          }
        });
      });
      near.on("end", () => sending = sending.then(() => far.end()));
      near.on("error", () => far.destroy());
      far.on("data", (bytes: Uint8Array) => {
        this.#bytes.push(new Uint8Array(bytes));
        near.write(bytes);
      });
      const ended = (how: "fin" | "rst") => {
        this.#endedAt ||= performance.now();
        this.#ended.resolve(how);
      };
      far.on("end", () => {
        ended(wasReset(far) ? "rst" : "fin");
        near.end();
      });
      far.on("error", () => {
        ended("rst");
        near.destroy();
      });
    });
  }

  async open(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return (this.#server.address() as net.AddressInfo).port;
  }

  /** Waits for the server's end, at most until the deadline. */
  async outcome(answer: () => string | undefined, deadline: number): Promise<Outcome> {
    const end = await Promise.race([
      this.#ended.promise,
      pause(deadline).then(() => "open" as const),
    ]);
    if (end !== "open") await pause(30);
    const bytes = new Uint8Array(Buffer.concat(this.#bytes));
    this.#near?.destroy();
    this.#server.close();
    return {
      answer: normal(answer() ?? outside(bytes)),
      records: recordsIn(bytes),
      end,
      after: end === "open" ? deadline : this.#endedAt - this.#began,
    };
  }
}

/** Text without what a clock puts into it. */
function normal(text: string): string {
  return text.replace(/date: [^\r\n]*/gi, "date: -");
}

function recordsIn(bytes: Uint8Array): string[] {
  const records: string[] = [];
  for (let at = 0; at + 5 <= bytes.length;) {
    if (bytes[at]! < 20 || bytes[at]! > 23 || bytes[at + 1] !== 3) return [];
    const length = bytes[at + 3]! * 256 + bytes[at + 4]!;
    records.push(`${bytes[at]}:${length + 5}`);
    at += 5 + length;
  }
  return records;
}

/** Bytes outside TLS as they are; after a ServerHello they are random, and only their lengths are compared. */
function outside(bytes: Uint8Array): string {
  if (bytes[0] === 22 && bytes[5] === 2) return "a handshake";
  if (bytes[0] === 21) return `alert ${Buffer.from(bytes).toString("hex")}`;
  return Buffer.from(bytes).toString("latin1");
}

/** A probe by plain bytes. With `close`, the prober ends its direction after them. */
function raw(
  name: string,
  bytes: Uint8Array | (() => Uint8Array),
  { close = false, drip }: { readonly close?: boolean; readonly drip?: number } = {},
): Probe {
  return {
    name,
    send: async (port, patience) => {
      const meter = new Meter(port, drip);
      const socket = net.connect({
        host: "127.0.0.1",
        port: await meter.open(),
        allowHalfOpen: true,
        noDelay: true,
      });
      socket.on("error", () => {});
      socket.on("data", () => {});
      socket.on("end", () => socket.end());
      await new Promise<void>((resolve) => socket.once("connect", resolve));
      const sent = typeof bytes === "function" ? bytes() : bytes;
      if (sent.length > 0) socket.write(sent);
      if (close) socket.end();
      const outcome = await meter.outcome(() => undefined, patience * 2 + 3000);
      socket.destroy();
      return outcome;
    },
  };
}

const SERVER_NAME = "www.example.com";

/** A probe by OpenSSL's own client; `input` is sent inside TLS. */
function openssl(
  name: string,
  args: readonly string[],
  input: string,
  drip?: number,
): Probe {
  return {
    name: `openssl: ${name}`,
    send: async (port, patience) => {
      const meter = new Meter(port, drip);
      const child = new Deno.Command("openssl", {
        args: [
          ...["s_client", "-quiet", "-ign_eof", "-connect", `127.0.0.1:${await meter.open()}`],
          ...(args.includes("-noservername") || args.includes("-servername")
            ? []
            : ["-servername", SERVER_NAME]),
          ...(args.includes("-alpn") ? [] : ["-alpn", "http/1.1"]),
          ...args,
        ],
        stdin: "piped",
        stdout: "piped",
        stderr: "null",
      }).spawn();
      const writer = child.stdin.getWriter();
      if (input !== "") await writer.write(new TextEncoder().encode(input)).catch(() => {});
      const chunks: Uint8Array[] = [];
      const reading = (async () => {
        for await (const chunk of child.stdout) chunks.push(chunk);
      })();
      const outcome = await meter.outcome(() => undefined, patience * 2 + 3000);
      if (outcome.end !== "open") await Promise.race([child.status, pause(2000)]);
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended already.
      }
      await child.status;
      await reading;
      await writer.close().catch(() => {});
      const text = Buffer.concat(chunks).toString("latin1");
      return text === "" ? outcome : { ...outcome, answer: normal(text) };
    },
  };
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
      const socket = tls.connect({
        host: "127.0.0.1",
        port: await meter.open(),
        servername: serverName,
        ALPNProtocols: ["http/1.1"],
        rejectUnauthorized: false,
        allowHalfOpen: true,
      } as tls.ConnectionOptions);
      socket.on("error", () => {});
      socket.on("data", (bytes: Uint8Array) => chunks.push(new Uint8Array(bytes)));
      socket.on("end", () => socket.end());
      socket.once("secureConnect", async () => {
        const bytes = typeof input === "string" ? Buffer.from(input, "latin1") : input;
        if (drip === undefined) {
          if (bytes.length > 0) socket.write(bytes);
        } else {
          for (const byte of bytes) {
            if (socket.writable) socket.write(new Uint8Array([byte]));
            await pause(drip);
          }
        }
        if (close) socket.end();
      });
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

/** Bytes that look like nothing, the same each time. */
function noise(length: number, seed: number): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state = Math.imul(state, 1664525) + 1013904223 | 0;
    return state >>> 24;
  });
}

/** The ClientHello of this runtime's TLS, as it would go to a server. */
export async function ownHello(alpn: readonly string[] = ["http/1.1"]): Promise<Uint8Array> {
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
  const client = tls.connect({
    host: "127.0.0.1",
    port,
    servername: SERVER_NAME,
    ALPNProtocols: [...alpn],
    rejectUnauthorized: false,
  });
  client.on("error", () => {});
  const hello = await seen;
  client.destroy();
  server.close();
  return hello;
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
  const malformed = hello.slice();
  malformed[8] = 255;
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
    raw("half a hello, then silence", hello.subarray(0, hello.length >> 1)),
    raw("half a hello, then half close", hello.subarray(0, hello.length >> 1), { close: true }),
    raw("a hello, then silence", hello),
    raw("a hello, then half close", hello, { close: true }),
    raw("a hello, a byte each 2 ms, then silence", hello, { drip: 2 }),
    raw("a malformed hello", malformed),
    raw("a hello in two records", () => {
      const cut = 100;
      const second = [22, 3, 1, hello.length - 5 - cut >> 8, (hello.length - 5 - cut) & 255];
      return new Uint8Array([
        ...[22, 3, 1, 0, cut, ...hello.subarray(5, 5 + cut)],
        ...[...second, ...hello.subarray(5 + cut)],
      ]);
    }),
    raw("a hello and garbage", () => new Uint8Array([...hello, ...noise(100, 3)])),
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

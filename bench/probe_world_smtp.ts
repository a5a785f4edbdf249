/**
 * What an active prober says to a mail server, and a genuine Postfix with our carrier `smtp` beside it.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import net from "node:net";
import { ConstantRate } from "../models/mod.ts";
import { startGenuinePostfix } from "../tests/transports/genuine_postfix.ts";
import { carrierOf } from "../transports/carriers/mod.ts";
import type { SecureSocket } from "../transports/carriers/tls_engine.ts";
import { startServer } from "../transports/mimic/mod.ts";
import { Meter, noise, pause, type Probe, program, type Reading, readTls } from "./probe_meter.ts";
import { firstFlight, type ProbeWorld, wrongProof } from "./probe_world.ts";
import { helloShapes, ownHello, ownTls } from "./probes.ts";

const GO_AHEAD = "220 2.0.0 Ready to start TLS\r\n";
const EHLO = "EHLO stranger.example\r\n";
const STARTTLS = "STARTTLS\r\n";

/** A dialogue in plaintext, and TLS after the go-ahead. */
const read: Reading = (bytes) => {
  const text = Buffer.from(bytes).toString("latin1").replace(/queued as \w+/, "queued as -");
  const at = text.indexOf(GO_AHEAD);
  if (at < 0) return { answer: text, records: [] };
  const inside = readTls(bytes.subarray(at + GO_AHEAD.length));
  return { answer: text.slice(0, at) + GO_AHEAD + inside.answer, records: inside.records };
};

/** A line, or bytes, perhaps other ones each time. */
type Said = string | Uint8Array | (() => Uint8Array);

interface DialogueOptions {
  /** The prober ends its direction after the last line. */
  readonly close?: boolean;
  /** A byte each so many milliseconds. */
  readonly drip?: number;
  /** What is said inside TLS, by the TLS stack of our own clients, after the lines. */
  readonly inside?: readonly Said[];
}

/** A probe that says each line after the answer to the one before. */
function dialogue(
  name: string,
  lines: readonly Said[],
  { close = false, drip, inside }: DialogueOptions = {},
): Probe {
  return {
    name,
    send: async (port, patience) => {
      const meter = new Meter(port, drip);
      const raw = net.connect({
        host: "127.0.0.1",
        port: await meter.open(),
        allowHalfOpen: true,
        noDelay: true,
      });
      let heard = "";
      let all = "";
      let over = false;
      let wake = () => {};
      const listen = (socket: Pick<SecureSocket, "end" | "on">) => {
        socket.on("error", () => {});
        socket.on("data", (bytes: Uint8Array) => {
          const text = Buffer.from(bytes).toString("latin1");
          heard += text;
          all += text;
          wake();
        });
        const ended = () => {
          over = true;
          wake();
          socket.end();
        };
        socket.on("end", ended);
        socket.on("close", ended);
      };
      const say = async (socket: Pick<SecureSocket, "write">, what: readonly Said[]) => {
        for (const line of what) {
          while (!over && !/^\d{3}(?: .*)?\r\n$/m.test(heard)) {
            await new Promise<void>((resolve) => wake = resolve);
          }
          heard = "";
          if (!over) {
            const said = typeof line === "function" ? line() : line;
            socket.write(typeof said === "string" ? Buffer.from(said, "latin1") : said, () => {});
          }
        }
      };
      const done = (socket: Pick<SecureSocket, "end">) => {
        if (close && !over) socket.end();
      };
      listen(raw);
      const talk = async () => {
        await say(raw, lines);
        if (inside === undefined) return done(raw);
        while (!over && !all.endsWith(GO_AHEAD)) {
          await new Promise<void>((resolve) => wake = resolve);
        }
        raw.removeAllListeners("data");
        raw.removeAllListeners("end");
        const { promise: secured, resolve: secure } = Promise.withResolvers<void>();
        const socket = ownTls().client(raw, {}, () => secure());
        listen(socket);
        await secured;
        // Nobody greets inside TLS.
        heard = "250 \r\n";
        await say(socket, inside);
        done(socket);
      };
      talk();
      const said = () =>
        inside === undefined ? undefined : all.replace(/queued as \w+/, "queued as -");
      const outcome = await meter.outcome(said, patience * 2 + 3000, read);
      raw.destroy();
      return outcome;
    },
  };
}

/** A probe by OpenSSL's client, which asks for STARTTLS itself. */
function openssl(name: string, args: readonly string[], input: string, drip?: number): Probe {
  return program(`openssl: ${name}`, {
    command: "openssl",
    args: (port) => [
      ...["s_client", "-quiet", "-ign_eof", "-starttls", "smtp", "-name", "stranger.example"],
      ...["-connect", `127.0.0.1:${port}`, ...args],
    ],
    input,
    said: (stdout) => stdout.replace(/queued as \w+/, "queued as -"),
    read,
    ...(drip === undefined ? {} : { drip }),
  });
}

function probesOf(
  { hello, replayed, wrong }: {
    readonly hello: Uint8Array;
    readonly replayed: Uint8Array;
    readonly wrong: Uint8Array;
  },
): Probe[] {
  const { fresh, half, malformed } = helloShapes(hello);
  const up = [EHLO, STARTTLS];
  const after = (name: string, bytes: Said, options?: DialogueOptions) =>
    dialogue(`after STARTTLS: ${name}`, bytes === "" ? up : [...up, bytes], options);
  const mail = (size: number) => [
    EHLO,
    "MAIL FROM:<a@example.com>\r\n",
    "RCPT TO:<b@example.org>\r\n",
    "DATA\r\n",
    `Subject: x\r\n\r\n${`${"x".repeat(70)}\r\n`.repeat(size / 72)}.\r\n`,
    "QUIT\r\n",
  ];
  const inside: [string, string[]][] = [
    ["QUIT", ["QUIT\r\n"]],
    ["EHLO and QUIT", [EHLO, "QUIT\r\n"]],
    ["commands", [EHLO, "VRFY root\r\n", "HELP\r\n", "NOOP\r\n", "AUTH PLAIN x\r\n", "QUIT\r\n"]],
    ["STARTTLS again", [EHLO, STARTTLS, "QUIT\r\n"]],
    ["an HTTP request", ["GET / HTTP/1.1\r\n"]],
    ["half a command, then silence", ["EHLO stran"]],
    ["a line of 10 KB", [`EHLO ${"a".repeat(10_000)}\r\n`, "QUIT\r\n"]],
    ["a mail of 300 KB", mail(300_000)],
  ];
  return [
    dialogue("connect and close", [], { close: true }),
    dialogue("silence", []),
    dialogue("QUIT", ["QUIT\r\n"]),
    dialogue("EHLO, then silence", [EHLO]),
    dialogue("EHLO, then half close", [EHLO], { close: true }),
    dialogue("EHLO, a byte each 5 ms, QUIT", [EHLO, "QUIT\r\n"], { drip: 5 }),
    dialogue("EHLO, a byte each second", [EHLO], { drip: 1000 }),
    dialogue("half a command, then silence", ["EHLO stran"]),
    dialogue("commands", [
      ...["HELO stranger.example\r\n", "VRFY root\r\n", "EXPN x\r\n", "HELP\r\n", "RSET\r\n"],
      ...["AUTH PLAIN x\r\n", "NONSENSE\r\n", "QUIT\r\n"],
    ]),
    dialogue("a mail without TLS", mail(7200)),
    dialogue("an HTTP request", ["GET / HTTP/1.1\r\n"]),
    dialogue("garbage, 200 bytes", [noise(200, 1)]),
    dialogue("garbage, 20 KB, then half close", [noise(20_000, 2)], { close: true }),
    dialogue("a line of 10 KB", [`EHLO ${"a".repeat(10_000)}\r\n`, "QUIT\r\n"]),
    dialogue("a TLS hello at once", [fresh], { close: true }),
    dialogue("STARTTLS without EHLO", [STARTTLS, fresh], { close: true }),
    dialogue("STARTTLS with an argument", [EHLO, "STARTTLS now\r\n", "QUIT\r\n"]),
    dialogue("EHLO and STARTTLS at once", [`${EHLO}${STARTTLS}`, fresh], { close: true }),
    dialogue(
      "STARTTLS and a hello at once",
      [EHLO, () => Buffer.concat([Buffer.from(STARTTLS), fresh()])],
      {
        close: true,
      },
    ),
    after("close", "", { close: true }),
    after("silence", ""),
    after("half a hello, then silence", half),
    after("half a hello, then half close", half, { close: true }),
    after("a hello, then silence", fresh),
    after("a hello, then half close", fresh, { close: true }),
    after("a hello, a byte each 2 ms, then silence", fresh, { drip: 2 }),
    after("a malformed hello", malformed),
    after("a hello and garbage", () => Buffer.concat([fresh(), noise(100, 3)])),
    after("a replayed first flight", replayed),
    after("garbage, 200 bytes", noise(200, 1)),
    after("garbage, 20 KB", noise(20_000, 2)),
    after("an alert", new Uint8Array([21, 3, 1, 0, 2, 2, 40])),
    after("SSLv2", new Uint8Array([0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10, ...noise(40, 5)])),
    after("EHLO without TLS", EHLO),
    openssl("TLS 1.0", ["-tls1", "-cipher", "DEFAULT@SECLEVEL=0"], "QUIT\r\n"),
    openssl("TLS 1.2", ["-tls1_2"], "QUIT\r\n"),
    openssl("a server name", ["-servername", "mail.example.net"], "QUIT\r\n"),
    openssl("alien ALPN", ["-alpn", "foo"], "QUIT\r\n"),
    openssl("nothing after the handshake", [], ""),
    openssl("a byte each 2 ms", [], "QUIT\r\n", 2),
    ...inside.map(([name, lines]) => openssl(name, [], lines.join(""))),
    ...([
      ["nothing after the handshake", []],
      ["a wrong secret", [wrong]],
      ["a wrong secret, cut short", [wrong.subarray(0, 20)]],
      ...inside,
    ] as [string, Said[]][]).map(([name, lines]) =>
      dialogue(`own stack: ${name}`, up, { inside: lines })
    ),
    dialogue("own stack: close after the handshake", up, { inside: [], close: true }),
    dialogue("own stack: EHLO, then half close", up, { inside: [EHLO], close: true }),
  ];
}

/** Starts a Postfix whose timeouts are `patience` seconds, and our server before it. Root. */
export async function startSmtpProbeWorld(patience: number): Promise<ProbeWorld> {
  const postfix = await startGenuinePostfix(
    "",
    `smtpd_timeout = ${patience}s\nsmtpd_starttls_timeout = ${patience}s`,
  );
  const folder = await Deno.makeTempDir({ prefix: "probes-" });
  try {
    const { certificate, digest, key } = postfix.identity;
    await Deno.writeTextFile(`${folder}/mail.pem`, certificate);
    await Deno.writeTextFile(`${folder}/mail.key`, key);
    const server = await startServer({
      listen: { host: "127.0.0.1", port: 0 },
      models: [new ConstantRate()],
      carrier: "smtp",
      state: `${folder}/state`,
      decoy: { host: "127.0.0.1", port: postfix.behind },
      certificate: { cert: `${folder}/mail.pem`, key: `${folder}/mail.key` },
    });
    const { cert: pin, secret } = server.parts;
    const { port } = server.address;
    const connect = async (port: number) => {
      const client = await carrierOf("smtp").client({ hostname: "127.0.0.1", port, pin, secret });
      return await client.connect();
    };
    const flight = Buffer.from(await firstFlight(port, connect, secret));
    const replayed = flight.subarray(flight.indexOf(STARTTLS) + STARTTLS.length);
    await pause(200);
    return {
      genuine: "Postfix",
      told: "last",
      patience,
      real: postfix,
      ours: new Map([["smtp", port]]),
      probes: probesOf({ hello: await ownHello([], ""), replayed, wrong: wrongProof(digest) }),
      [Symbol.asyncDispose]: async () => {
        await server.close();
        await postfix.stop();
        await Deno.remove(folder, { recursive: true });
      },
    };
  } catch (error) {
    await postfix.stop();
    throw error;
  }
}

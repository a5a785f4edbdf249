import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import net from "node:net";
import tls from "node:tls";
import { carrierOf, ConnectError, MailServerError } from "../../transports/carriers/mod.ts";
import { modelFromFile } from "../../models/mod.ts";
import {
  CarrierMismatch,
  newSecret,
  parseLine,
  startClient,
  startServer,
  WrongSecret,
} from "../../transports/mimic/mod.ts";
import { HAS_POSTFIX, startGenuinePostfix } from "./genuine_postfix.ts";
import { FAST_MODEL, FAST_MODEL_FILE, noise } from "./world.ts";

const ignore = !HAS_POSTFIX;
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const MODEL = modelFromFile(FAST_MODEL_FILE.replace(`"carrier":"tls"`, `"carrier":"smtp"`));
const LOOPBACK = { host: "127.0.0.1", port: 0 };

/** A Postfix, and a server of ours in front of it with the same certificate. */
async function world(settings = "") {
  const postfix = await startGenuinePostfix("", settings);
  const state = await Deno.makeTempDir();
  await Deno.writeTextFile(`${state}/mail.pem`, postfix.identity.certificate);
  await Deno.writeTextFile(`${state}/mail.key`, postfix.identity.key);
  const notes: string[] = [];
  const far = await startServer({
    listen: LOOPBACK,
    models: [MODEL],
    state,
    allowPrivate: true,
    decoy: { host: "127.0.0.1", port: postfix.behind },
    certificate: { cert: `${state}/mail.pem`, key: `${state}/mail.key` },
    onNote: (text) => notes.push(text),
  });
  return {
    postfix,
    far,
    notes,
    close: async () => {
      await far.close();
      await postfix.stop();
      await Deno.remove(state, { recursive: true });
    },
  };
}

/**
 * Speaks as a stranger: sends each line after the answer to the one before, STARTTLS included, and returns
 * all that was answered and how it ended.
 */
async function talk(
  port: number,
  lines: readonly string[],
  localAddress = "127.0.0.1",
): Promise<string[]> {
  const host = "127.0.0.1";
  const raw = net.connect({ host, port, localAddress, allowHalfOpen: true, noDelay: true });
  let socket: net.Socket = raw;
  const heard: string[] = [];
  let text = "";
  let wake = () => {};
  let over: string | undefined;
  const listen = (on: net.Socket) => {
    on.on("data", (bytes) => {
      text += bytes.toString();
      wake();
    });
    on.on("end", () => {
      over ??= "end";
      wake();
    });
    on.on("error", (error: { code?: string }) => {
      over ??= error.code ?? "error";
      wake();
    });
  };
  listen(raw);
  const answer = async () => {
    while (over === undefined && !/^\d{3}(?: .*)?\r?\n$/m.test(text)) {
      await new Promise<void>((resolve) => wake = resolve);
    }
    heard.push(text || over!);
    text = "";
  };
  await answer();
  for (const line of lines) {
    if (over !== undefined) break;
    socket.write(line);
    await answer();
    if (/^STARTTLS\r\n$/i.test(line) && heard.at(-1)!.startsWith("220")) {
      raw.removeAllListeners("data");
      raw.removeAllListeners("end");
      socket = tls.connect(
        { socket: raw, rejectUnauthorized: false, allowHalfOpen: true } as never,
      );
      await new Promise((resolve) => socket.once("secureConnect", resolve));
      heard.push((socket as tls.TLSSocket).getPeerCertificate().fingerprint256);
      listen(socket);
    }
  }
  socket.end();
  if (over === undefined) await new Promise<void>((resolve) => wake = resolve);
  raw.destroy();
  heard.push(over!);
  return heard;
}

Deno.test({
  name:
    "smtp: a tunnel through the carrier, with the real Postfix in front (needs root and postfix)",
  ignore,
  fn: async () => {
    const { close, far, notes, postfix } = await world();
    const echo = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const echoing = (async () => {
      for await (const conn of echo) conn.readable.pipeTo(conn.writable).catch(() => {});
    })();
    const line = parseLine(far.line);
    assert.deepEqual([line.carrier, line.cert], ["smtp", postfix.identity.pin]);
    const near = await startClient({
      line,
      model: MODEL,
      seed: crypto.getRandomValues(new Uint8Array(32)),
      sessions: 2,
      forwards: [{
        local: LOOPBACK,
        destination: { host: "127.0.0.1", port: (echo.addr as Deno.NetAddr).port },
      }],
    });
    const sent = noise(300_000);
    const conn = await Deno.connect({ hostname: "127.0.0.1", port: near.doors[0]!.port });
    const back = new Response(conn.readable).arrayBuffer();
    for (let at = 0; at < sent.length;) at += await conn.write(sent.subarray(at));
    await conn.closeWrite();
    assert.equal(sha256(new Uint8Array(await back)), sha256(sent));
    await near.close();
    const other = { ...line, secret: newSecret() };
    await assert.rejects(
      startClient({ line: other, model: MODEL, seed: new Uint8Array(32), socks: LOOPBACK }),
      WrongSecret,
    );
    await assert.rejects(
      startClient({ line, model: FAST_MODEL, seed: new Uint8Array(32), socks: LOOPBACK }),
      CarrierMismatch,
    );
    assert.deepEqual(notes, []);
    echo.close();
    await echoing.catch(() => {});
    await close();
  },
});

Deno.test({
  name: "smtp: strangers get the genuine server's answers, word for word (needs root and postfix)",
  ignore,
  fn: async () => {
    const { close, far, postfix } = await world();
    const inside = [
      "EHLO stranger.example\r\n",
      "MAIL FROM:<a@example.com>\r\n",
      "RCPT TO:<b@example.net>\r\n",
      "VRFY root\r\n",
      "NONSENSE\r\n",
      "QUIT\r\n",
    ];
    const talks = [
      ["QUIT\r\n"],
      ["EHLO stranger.example\r\n", "QUIT\r\n"],
      ["HELO stranger.example\r\n", "HELP\r\n", "NOOP\r\n", "RSET\r\n", "EXPN x\r\n", "QUIT\r\n"],
      ["STARTTLS now\r\n", "STARTTLS\r\n"],
      ["EHLO stranger.example\r\n", "STARTTLS\r\n", ...inside],
      ["GET / HTTP/1.1\r\n"],
      ["EHLO a b\r\n", "MAIL FROM:<>\r\n", "DATA\r\n", "QUIT\r\n"],
      ["EHLO stranger.example\r\n", "STARTTLS\r\n", "MAIL FROM:<>\r\n", "STARTTLS\r\n", "QUIT\r\n"],
    ];
    for (const lines of talks) {
      const [ours, theirs] = [
        await talk(far.address.port, lines),
        await talk(postfix.port, lines),
      ];
      assert.deepEqual(ours, theirs, lines.join(""));
    }
    assert.equal(far.server.tunnels, 0);
    await close();
  },
});

Deno.test({
  name:
    "smtp: who says nothing inside TLS is sent away in Postfix's words (needs root and postfix)",
  ignore,
  fn: async () => {
    const { close, far, postfix } = await world("smtpd_timeout = 1s\nsmtpd_starttls_timeout = 30s");
    const up = ["EHLO stranger.example\r\n", "STARTTLS\r\n"];
    /** What comes inside TLS without a word of ours. */
    const silent = async (port: number): Promise<string> => {
      const raw = net.connect({ host: "127.0.0.1", port, allowHalfOpen: true, noDelay: true });
      let heard = "";
      for (const line of [...up, ""]) {
        while (!/^\d{3} .*\r\n$/m.test(heard)) {
          heard += await new Promise<string>((resolve) =>
            raw.once("data", (bytes) => resolve(bytes.toString()))
          );
        }
        heard = "";
        if (line !== "") raw.write(line);
      }
      const socket = tls.connect(
        { socket: raw, rejectUnauthorized: false, allowHalfOpen: true } as never,
      );
      socket.on("data", (bytes) => heard += bytes.toString());
      await new Promise((resolve) => socket.once("end", resolve));
      socket.end();
      raw.destroy();
      return heard;
    };
    const real = await silent(postfix.port);
    assert.match(real, /^421 .*timeout exceeded\r\n$/);
    assert.equal(await silent(far.address.port), real);
    await close();
  },
});

Deno.test({
  name:
    "smtp: what is no handshake of ours after STARTTLS is Postfix's to answer (needs root and postfix)",
  ignore,
  fn: async () => {
    const { close, far, postfix } = await world();
    /** Goes up to STARTTLS, sends `bytes`, ends, and returns what came back and how it closed. */
    const probe = async (port: number, bytes: Uint8Array): Promise<string> => {
      const raw = net.connect({ host: "127.0.0.1", port, allowHalfOpen: true, noDelay: true });
      let heard = "";
      let wake = () => {};
      let over: string | undefined;
      raw.on("data", (data) => {
        heard += data.toString("latin1");
        wake();
      });
      raw.on("end", () => {
        over ??= "end";
        wake();
      });
      raw.on("error", (error: { code?: string }) => {
        over ??= error.code ?? "error";
        wake();
      });
      const until = async (pattern: RegExp) => {
        while (over === undefined && !pattern.test(heard)) {
          await new Promise<void>((resolve) => wake = resolve);
        }
        heard = "";
      };
      await until(/^220 .*\r\n$/);
      raw.write("EHLO stranger.example\r\n");
      await until(/^250 .*\r\n$/m);
      raw.write("STARTTLS\r\n");
      await until(/^220 .*\r\n$/);
      raw.end(bytes);
      while (over === undefined) await new Promise<void>((resolve) => wake = resolve);
      raw.destroy();
      return `${over}: ${heard}`;
    };
    const hello = Uint8Array.from([22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3]);
    const old = Uint8Array.from([0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10]);
    const probes = [
      new TextEncoder().encode("EHLO again\r\n"),
      new Uint8Array(300),
      hello,
      old,
      new Uint8Array(0),
    ];
    for (const bytes of probes) {
      const [ours, theirs] = [
        await probe(far.address.port, bytes),
        await probe(postfix.port, bytes),
      ];
      assert.equal(ours, theirs);
    }
    await close();
  },
});

Deno.test({
  name: "smtp: strangers have their own address, not the trusted relay's (needs root and postfix)",
  ignore,
  fn: async () => {
    const { close, far, postfix } = await world();
    const mail = [
      "EHLO a.example\r\n",
      "MAIL FROM:<>\r\n",
      "RCPT TO:<b@example.net>\r\n",
      "QUIT\r\n",
    ];
    const inside = [mail[0]!, "STARTTLS\r\n", ...mail];
    for (const lines of [mail, inside]) {
      const answers = await talk(far.address.port, lines, "127.0.0.2");
      assert.match(answers.at(-3)!, /^[45]54 [45]\.7\.1 .*: Relay access denied/);
      assert.match((await talk(far.address.port, lines)).at(-3)!, /^250 2\.1\.5 Ok/);
    }
    assert.match(postfix.log(), /connect from unknown\[127\.0\.0\.2\]/);
    await close();
  },
});

Deno.test("smtp: what is no mail server is told in one line, at the start", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    for await (const conn of listener) {
      await conn.write(new TextEncoder().encode("220 hi\r\n"));
      const buffer = new Uint8Array(100);
      while (await conn.read(buffer) !== null) {
        await conn.write(new TextEncoder().encode("250 no more than this\r\n"));
      }
      conn.close();
    }
  })();
  const { port } = listener.addr as Deno.NetAddr;
  const state = await Deno.makeTempDir();
  const start = (decoy?: { host: string; port: number }) =>
    startServer({ listen: LOOPBACK, models: [MODEL], state, ...(decoy ? { decoy } : {}) });
  await assert.rejects(start({ host: "127.0.0.1", port }), (error: Error) => {
    assert.ok(error instanceof MailServerError);
    assert.match(error.message, /it offers no STARTTLS/);
    return true;
  });
  await assert.rejects(start(), /needs a genuine mail server.*--decoy/);
  const client = await carrierOf("smtp").client({
    hostname: "127.0.0.1",
    port,
    pin: "A".repeat(43),
    secret: newSecret(),
  });
  await assert.rejects(client.connect(), (error: Error) => {
    assert.ok(error instanceof ConnectError);
    assert.match(error.message, /it offers no STARTTLS/);
    return true;
  });
  await client.close();
  listener.close();
  await serving.catch(() => {});
  await Deno.remove(state, { recursive: true });
});

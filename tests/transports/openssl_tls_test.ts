import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import net from "node:net";
import fc from "fast-check";
import { ja4 } from "../../bench/ja4.ts";
import { makeIdentity } from "../../transports/carriers/certificate.ts";
import { connectTls, listenTls } from "../../transports/carriers/tls.ts";
import { ConnectError } from "../../transports/carriers/errors.ts";
import { openSslSession } from "../../transports/carriers/tls_openssl.ts";
import { readClientHello } from "../../transports/carriers/client_hello.ts";
import { OPENSSL_PATHS, openSslFunctions } from "../../transports/carriers/openssl_library.ts";
import { OpenSslSocket } from "../../transports/carriers/openssl_socket.ts";
import {
  CLOSED,
  NOTHING,
  OpenSslError,
  TlsContext,
  TlsSession,
} from "../../transports/carriers/openssl_tls.ts";

const ignore = openSslFunctions() === undefined;
const identity = await makeIdentity("session");
const room = new Uint8Array(16_384);
const contexts = ignore ? undefined : {
  curl: TlsContext.client("curl"),
  swaks: TlsContext.client("swaks"),
  server: TlsContext.server({
    ...identity,
    alpn: ["http/1.1"],
    ticketKeys: crypto.getRandomValues(new Uint8Array(80)),
  }),
};

/** Types and lengths of records. */
function records(bytes: Uint8Array): string[] {
  const found: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = 5 + bytes[at + 3]! * 256 + bytes[at + 4]!;
    found.push(`${bytes[at]}:${length}`);
    at += length;
  }
  return found;
}

/** Two sessions after their handshake, and what the server sent in it. */
function pair(
  wishes: { serverName: string; alpn: string[] } = {
    serverName: "www.example.com",
    alpn: ["h2", "http/1.1"],
  },
) {
  const client = new TlsSession(contexts!.curl, wishes);
  const server = new TlsSession(contexts!.server);
  const flights: string[][] = [];
  for (let turn = 0; turn < 3; turn++) {
    client.handshake();
    server.feed(client.take() ?? new Uint8Array());
    server.handshake();
    const flight = server.take();
    if (flight !== undefined) flights.push(records(flight));
    client.feed(flight ?? new Uint8Array());
  }
  assert.ok(client.handshake() && server.handshake());
  assert.equal(client.read(room), NOTHING);
  return { client, server, flights };
}

Deno.test({
  name: "openssl: a handshake has nginx's records, and data one record of 22 bytes more",
  ignore,
  fn: () => {
    const { client, server, flights } = pair();
    const [first, tickets] = flights;
    assert.equal(first!.length, 6);
    assert.deepEqual(first!.slice(0, 3), ["22:127", "20:6", "23:47"]);
    assert.equal(first![5], "23:74");
    assert.deepEqual(tickets, ["23:303", "23:303"]);
    assert.ok(client.isTls13 && server.isTls13);
    assert.equal(server.peerCertificate, undefined);
    assert.equal(
      `-----BEGIN CERTIFICATE-----${Buffer.from(client.peerCertificate!).toString("base64")}`,
      identity.certificate.replaceAll("\n", "").replace("-----END CERTIFICATE-----", ""),
    );
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.array(fc.integer({ min: 1, max: 40_000 }), { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 1, max: 20_000 }),
        (fromClient, lengths, cut) => {
          const [from, to] = fromClient ? [client, server] : [server, client];
          const sent = lengths.map((length) => crypto.getRandomValues(new Uint8Array(length)));
          for (const payload of sent) from.write(payload);
          const wire = from.take()!;
          const expected = lengths.flatMap((length) => {
            const pieces: string[] = [];
            for (let left = length; left > 0; left -= 16_384) {
              pieces.push(`23:${Math.min(left, 16_384) + 22}`);
            }
            return pieces;
          });
          assert.deepEqual(records(wire), expected);
          const got: Uint8Array[] = [];
          for (let at = 0; at < wire.length; at += cut) {
            to.feed(wire.slice(at, at + cut));
            // A ticket that came before is nothing, too, and the data is behind it.
            for (let n; (n = to.read(room)) !== NOTHING || to.waiting;) got.push(room.slice(0, n));
          }
          assert.ok(Buffer.concat(got).equals(Buffer.concat(sent)));
        },
      ),
      { numRuns: 60 },
    );
    client.shutdown();
    client.shutdown();
    const closing = client.take()!;
    assert.deepEqual(records(closing), ["23:24"]);
    server.feed(closing);
    assert.equal(server.read(room), CLOSED);
    assert.equal(server.read(room), CLOSED);
    // The other direction is still open.
    server.write(new Uint8Array(7));
    client.feed(server.take()!);
    assert.equal(client.read(room), 7);
    assert.throws(() => client.write(new Uint8Array(1)), OpenSslError);
    for (const session of [client, server]) {
      session.free();
      session.free();
      session.feed(new Uint8Array(3));
      session.write(new Uint8Array(3));
      session.shutdown();
      assert.equal(session.read(room), NOTHING);
      assert.equal(session.handshake(), false);
      assert.equal(session.take(), undefined);
      assert.equal(session.peerCertificate, undefined);
      assert.ok(session.freed && !session.isTls13);
    }
  },
});

Deno.test({
  name: "openssl: garbage at any point of any session is an error, never more",
  ignore,
  fn: () => {
    const step = (session: TlsSession, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => {
      try {
        session.feed(bytes);
        if (session.handshake()) { while (session.read(room) > 0); }
      } catch (error) {
        assert.ok(error instanceof OpenSslError);
      }
      return session.take() ?? new Uint8Array();
    };
    const change = fc.record({
      flight: fc.nat(5),
      at: fc.nat(2000),
      with: fc.uint8Array({ minLength: 1, maxLength: 40 }),
      how: fc.constantFrom("over", "insert", "cut", "repeat"),
    });
    fc.assert(
      fc.property(change, fc.boolean(), (change, free) => {
        const client = new TlsSession(contexts!.curl, { alpn: ["http/1.1"] });
        const server = new TlsSession(contexts!.server);
        let flight = 0;
        const damaged = (bytes: Uint8Array<ArrayBuffer>) => {
          if (flight++ !== change.flight) return bytes;
          const at = Math.min(change.at, bytes.length);
          const added = new Uint8Array(change.with);
          const all = Buffer.from(bytes);
          switch (change.how) {
            case "over":
              all.set(added.subarray(0, bytes.length - at), at);
              return new Uint8Array(all);
            case "insert":
              return new Uint8Array(Buffer.concat([all.subarray(0, at), added, all.subarray(at)]));
            case "cut":
              return bytes.slice(0, at);
            default:
              return new Uint8Array(Buffer.concat([all, all]));
          }
        };
        for (let turn = 0; turn < 4; turn++) {
          if (turn === 2) {
            for (const end of [client, server]) {
              try {
                end.write(new Uint8Array(1000));
              } catch (error) {
                assert.ok(error instanceof OpenSslError);
              }
            }
          }
          const bytes = step(client, new Uint8Array());
          const answer = step(server, damaged(bytes));
          step(client, damaged(answer));
        }
        if (free) client.free();
        server.free();
        client.free();
      }),
      { numRuns: 1500 },
    );
  },
});

Deno.test({
  name:
    "openssl: who offers none of our protocols is refused with nginx's alert, who offers none is not",
  ignore,
  fn: () => {
    const refused = new TlsSession(contexts!.server);
    const alien = new TlsSession(contexts!.curl, { alpn: ["alien"] });
    alien.handshake();
    refused.feed(alien.take()!);
    assert.throws(() => refused.handshake(), OpenSslError);
    assert.equal(Buffer.from(refused.take()!).toString("hex"), "15030300020278");
    const plain = new TlsSession(contexts!.swaks);
    const server = new TlsSession(contexts!.server);
    plain.handshake();
    server.feed(plain.take()!);
    server.handshake();
    assert.deepEqual(records(server.take()!).slice(0, 3), ["22:127", "20:6", "23:28"]);
    for (const session of [refused, alien, plain, server]) session.free();
    // A mail server's, as Postfix's: one ticket, without what nginx has in it.
    const mail = new TlsSession(TlsContext.server(identity));
    const swaks = new TlsSession(contexts!.swaks);
    swaks.handshake();
    mail.feed(swaks.take()!);
    mail.handshake();
    swaks.feed(mail.take()!);
    assert.ok(swaks.handshake());
    mail.feed(swaks.take()!);
    assert.ok(mail.handshake());
    assert.deepEqual(records(mail.take()!), ["23:255"]);
    mail.free();
    swaks.free();
    assert.throws(() => new TlsSession(contexts!.curl, { alpn: [""] }), OpenSslError);
    assert.throws(() => new TlsSession(contexts!.curl, { serverName: "a\0b" }), OpenSslError);
    const key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert.throws(() => TlsContext.server({ ...identity, key }), OpenSslError);
    assert.throws(() => TlsContext.server({ ...identity, certificate: "none" }), OpenSslError);
  },
});

/** What a program says first. */
async function firstFlight(run: (port: number) => string[]): Promise<Uint8Array> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const [program, ...args] = run(listener.addr.port);
  const child = new Deno.Command(program!, {
    args,
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const conn = await listener.accept();
  const buffer = new Uint8Array(4096);
  const count = await conn.read(buffer);
  conn.close();
  listener.close();
  await child.status;
  return buffer.slice(0, count ?? 0);
}

/** A hello without what differs each time: random, session id, key share. */
function constant(hello: Uint8Array): string {
  const text = Buffer.from(hello).toString("hex");
  const share = text.indexOf("003300260024001d0020") + 20;
  assert.ok(share > 20);
  return text.slice(0, 22) + text.slice(86, 88) + text.slice(152, share) + text.slice(share + 64);
}

function helloOf(context: TlsContext, wishes: { serverName?: string; alpn?: string[] }) {
  const session = new TlsSession(context, wishes);
  session.handshake();
  const hello = session.take()!;
  session.free();
  return hello;
}

const installed = (program: string) => {
  try {
    new Deno.Command(program, { args: ["--version"], stdout: "null", stderr: "null" }).outputSync();
    return true;
  } catch {
    return false;
  }
};

Deno.test({
  name: "openssl: clients say hello as curl does, byte for byte (needs curl)",
  ignore: ignore || !installed("curl"),
  fn: async () => {
    const name = "www.example.com";
    const real = await firstFlight((port) => [
      ...["curl", "-sk", "-m", "5", "--resolve", `${name}:${port}:127.0.0.1`],
      `https://${name}:${port}/`,
    ]);
    const ours = helloOf(contexts!.curl, { serverName: name, alpn: ["h2", "http/1.1"] });
    assert.equal(constant(ours), constant(real));
    const read = readClientHello(ours);
    assert.ok(typeof read === "object");
    assert.equal(ja4(read), ja4(readClientHello(real) as typeof read));
  },
});

Deno.test({
  name: "openssl: clients of mail servers say hello as swaks does, byte for byte (needs swaks)",
  ignore: ignore || !installed("swaks"),
  fn: async () => {
    const real = await firstFlight((port) => [
      ...["swaks", "--to", "a@b.example", "--server", `127.0.0.1:${port}`],
      ...["--tls-on-connect", "--quit-after", "EHLO", "--timeout", "5"],
    ]);
    assert.equal(constant(helloOf(contexts!.swaks, {})), constant(real));
  },
});

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const DAY = 86_400_000;

/** A certificate for good.example and 127.0.0.1, by `issuer` or by itself, until tomorrow if not told otherwise. */
async function certificate(
  name: string,
  issuer?: { name: string; keys: CryptoKeyPair },
  ends = DAY,
) {
  const x509 = await import("@peculiar/x509");
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const authority = issuer === undefined && name !== "alone";
  const made = await x509.X509CertificateGenerator.create({
    serialNumber: "01",
    subject: `CN=${name}`,
    issuer: `CN=${issuer?.name ?? name}`,
    notBefore: new Date(Date.now() - 3 * DAY),
    notAfter: new Date(Date.now() + ends),
    signingAlgorithm: algorithm,
    signingKey: (issuer?.keys ?? keys).privateKey,
    publicKey: keys.publicKey,
    extensions: [
      new x509.BasicConstraintsExtension(authority, undefined, true),
      new x509.SubjectAlternativeNameExtension([
        { type: "dns", value: "good.example" },
        { type: "ip", value: "127.0.0.1" },
      ]),
    ],
  });
  const pkcs8 = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
  return {
    name,
    keys,
    certificate: made.toString("pem"),
    key: x509.PemConverter.encode(pkcs8, "PRIVATE KEY"),
  };
}

Deno.test({
  name: "openssl: without a pin, a wrong name, an old certificate and a strange root are refused",
  ignore,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    const before = Deno.env.get("SSL_CERT_FILE");
    try {
      const root = await certificate("root");
      const good = TlsContext.server(await certificate("good", root));
      const old = TlsContext.server(await certificate("old", root, -DAY));
      const foreign = TlsContext.server(await certificate("foreign", await certificate("other")));
      const alone = TlsContext.server(await certificate("alone"));
      await Deno.writeTextFile(`${folder}/root.pem`, root.certificate);
      Deno.env.set("SSL_CERT_FILE", `${folder}/root.pem`);
      const context = TlsContext.client("curl");
      const outcome = (serverContext: TlsContext, verify: string) => {
        const client = new TlsSession(context, { verify });
        const server = new TlsSession(serverContext);
        try {
          for (let turn = 0; turn < 3; turn++) {
            if (client.handshake()) return "trusted";
            server.feed(client.take() ?? new Uint8Array());
            server.handshake();
            client.feed(server.take() ?? new Uint8Array());
          }
          return "stuck";
        } catch (error) {
          assert.ok(error instanceof OpenSslError);
          assert.deepEqual(records(client.take()!).at(-1)!.slice(0, 3), "21:");
          return error.message;
        } finally {
          client.free();
          server.free();
        }
      };
      const no = "its certificate cannot be trusted: it ";
      assert.equal(outcome(good, "good.example"), "trusted");
      assert.equal(outcome(good, "127.0.0.1"), "trusted");
      assert.equal(outcome(good, "other.example"), `${no}is for another name`);
      assert.equal(outcome(good, "127.0.0.2"), `${no}is for another address`);
      assert.equal(outcome(old, "good.example"), `${no}has expired`);
      assert.match(outcome(foreign, "good.example"), /^its certificate cannot be trusted: its/);
      assert.equal(outcome(alone, "good.example"), `${no}is self-signed`);
    } finally {
      if (before === undefined) Deno.env.delete("SSL_CERT_FILE");
      else Deno.env.set("SSL_CERT_FILE", before);
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: "openssl: s_server changes its keys in the middle, and the bytes go on (needs openssl)",
  ignore: ignore || !installed("openssl"),
  fn: async () => {
    const folder = await Deno.makeTempDir();
    await Deno.writeTextFile(`${folder}/both.pem`, identity.certificate + identity.key);
    const probe = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = probe.addr;
    probe.close();
    const child = new Deno.Command("openssl", {
      args: ["s_server", "-accept", `127.0.0.1:${port}`, "-cert", `${folder}/both.pem`],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const writer = child.stdin.getWriter();
    const output = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const shows = async (wanted: string) => {
      for (let seen = ""; !seen.includes(wanted);) {
        const { value, done } = await output.read();
        if (done) throw new Error(`no ${wanted}`);
        seen += value;
      }
    };
    const say = (text: string) => writer.write(new TextEncoder().encode(text));
    // It drops what it reads together with a command.
    const saysUntil = async (text: string, heard: Promise<void>) => {
      const saying = setInterval(() => void say(text).catch(() => {}), 100);
      await heard;
      clearInterval(saying);
    };
    try {
      await shows("ACCEPT");
      const raw = net.connect({ host: "127.0.0.1", port, allowHalfOpen: true });
      await new Promise((resolve) => raw.once("connect", resolve));
      const secure = Promise.withResolvers<void>();
      const session = new TlsSession(contexts!.curl);
      const socket = new OpenSslSocket(raw, session, () => secure.resolve());
      let got = "";
      const waits: [string, () => void][] = [];
      socket.on("data", (bytes: Uint8Array) => {
        got += new TextDecoder().decode(bytes);
        for (const [text, resolve] of waits) if (got.includes(text)) resolve();
      });
      const hears = (text: string) =>
        new Promise<void>((resolve) =>
          got.includes(text) ? resolve() : waits.push([text, resolve])
        );
      const ended = new Promise<void>((resolve) => socket.once("end", resolve));
      await secure.promise;
      await say("one\n");
      await hears("one\n");
      // K: a change of keys that asks for ours.
      await say("K\n");
      await saysUntil("two\n", hears("two\n"));
      socket.write(new TextEncoder().encode("three\n"), () => {});
      await shows("three");
      await saysUntil("Q\n", ended);
      const closed = new Promise<void>((resolve) => socket.once("close", resolve));
      socket.end();
      socket.end();
      socket.write(new Uint8Array(3), () => {});
      await closed;
      assert.ok(session.freed);
      socket.destroy();
    } finally {
      await writer.close().catch(() => {});
      await output.cancel();
      await child.status;
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: "openssl: a listener that destroys the socket while it is told, and many that come and go",
  ignore,
  fn: async () => {
    const sessions: TlsSession[] = [];
    const server = net.createServer({ allowHalfOpen: true }, (raw) => {
      const session = new TlsSession(contexts!.server);
      sessions.push(session);
      const socket = new OpenSslSocket(raw, session, () => {
        // Several records that arrive together.
        for (let i = 0; i < 5; i++) socket.write(new Uint8Array(50 + i), () => {});
      });
      socket.on("error", () => raw.destroy());
      socket.on("end", () => socket.end());
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as net.AddressInfo;
    const one = (how: number) =>
      new Promise<void>((resolve) => {
        const raw = net.connect({ host: "127.0.0.1", port, allowHalfOpen: true });
        raw.on("error", () => {});
        raw.once("connect", () => {
          const session = new TlsSession(contexts!.swaks);
          sessions.push(session);
          const socket = new OpenSslSocket(raw, session, () => {
            if (how === 0) socket.destroy();
          });
          let told = 0;
          socket.on("data", () => {
            assert.equal(++told, 1);
            if (how === 1) socket.destroy();
            if (how === 2) raw.resetAndDestroy();
            socket.removeAllListeners("data");
            if (how === 3) socket.end();
            if (how === 4) raw.write(new Uint8Array(400));
          });
          socket.on("error", () => raw.destroy());
          socket.on("end", () => socket.end());
          socket.on("close", () => resolve());
        });
      });
    for (let round = 0; round < 10; round++) {
      await Promise.all([0, 1, 2, 3, 4].map(one));
    }
    server.close();
    await new Promise<void>((resolve) => server.once("close", () => resolve()));
    assert.equal(sessions.length, 100);
    assert.ok(sessions.every((session) => session.freed));
  },
});

Deno.test("openssl: where it is not allowed, Deno's TLS is used and one line says so", async () => {
  const module = new URL("../../transports/carriers/tls_openssl.ts", import.meta.url).href;
  const program = `import { clientNote, openSslClient, openSslServer, serverNote } from "${module}";
    console.log(openSslClient()?.name, openSslServer(["h"])?.name, openSslServer()?.name);
    console.log(clientNote());
    console.log(serverNote(["h"]));
    console.log(serverNote());`;
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  await Deno.writeTextFile(file, program);
  const said = async (...flags: string[]) => {
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-check", "--no-prompt", "--allow-read", ...flags, file],
      env: { NO_COLOR: "1" },
      stderr: "inherit",
    }).output();
    return new TextDecoder().decode(stdout).trimEnd().split("\n");
  };
  const nothing = await said();
  assert.equal(nothing[0], "undefined undefined undefined");
  assert.match(nothing[1]!, /^hellos are Deno's, .*--allow-ffi=\/usr\//);
  assert.match(nothing[2]!, /^handshakes are Deno's/);
  assert.match(nothing[3]!, /^handshakes are Deno's/);
  if (!ignore) {
    const path = await said(`--allow-ffi=${OPENSSL_PATHS.join(",")}`);
    assert.deepEqual([path[0], path[1], path[3]], [
      "openssl undefined openssl",
      ...["undefined", "undefined"],
    ]);
    assert.match(path[2]!, /^handshakes are Deno's/);
    assert.deepEqual(await said("--allow-ffi"), [
      "openssl openssl openssl",
      ...["undefined", "undefined", "undefined"],
    ]);
  }
  await Deno.remove(file);
});

Deno.test("openssl: the client's task allows the libraries that are looked for, and no others", async () => {
  const { tasks } = JSON.parse(
    await Deno.readTextFile(new URL("../../deno.json", import.meta.url)),
  );
  const allowed = (task: string) => / --allow-ffi(\S*) /.exec(task)?.[1];
  assert.equal(allowed(tasks.client), `=${OPENSSL_PATHS.join(",")}`);
  assert.equal(allowed(tasks.server), "");
});

Deno.test({
  name:
    "openssl: who comes back with a ticket of ours is let in by it, as nginx does (needs openssl)",
  ignore: ignore || !installed("openssl"),
  fn: async () => {
    const folder = await Deno.makeTempDir();
    let met = 0;
    const genuine = net.createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", () => met++);
    });
    await new Promise<void>((resolve) => genuine.listen(0, "127.0.0.1", resolve));
    const server = await listenTls({
      hostname: "127.0.0.1",
      port: 0,
      identity,
      genuine: { host: "127.0.0.1", port: (genuine.address() as net.AddressInfo).port },
    }, (connection) => {
      connection.listener = {
        onData: () => connection.close("fin"),
        onClose: () => connection.close("fin"),
      };
      connection.write(new TextEncoder().encode("220 here\r\n"));
    });
    const ask = async (...args: string[]) => {
      const child = new Deno.Command("openssl", {
        args: ["s_client", "-connect", `127.0.0.1:${server.port}`, ...args],
        stdin: "piped",
        stdout: "piped",
        stderr: "null",
      }).spawn();
      const writer = child.stdin.getWriter();
      await writer.write(new TextEncoder().encode("hello\n"));
      const { stdout } = await child.output();
      await writer.close().catch(() => {});
      return new TextDecoder().decode(stdout);
    };
    try {
      assert.match(await ask("-sess_out", `${folder}/session`), /^New, TLSv1.3/m);
      assert.match(await ask("-sess_in", `${folder}/session`), /^Reused, TLSv1.3/m);
      server.renew(await makeIdentity("renewed"));
      assert.match(await ask("-sess_in", `${folder}/session`), /^Reused, TLSv1.3/m);
      assert.equal(met, 0);
    } finally {
      await server.close();
      genuine.close();
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name:
    "openssl: names that are none end their own connection with OpenSSL's alert, and nothing else",
  ignore,
  fn: async () => {
    const genuine = net.createServer((socket) => void socket.on("error", () => {}).resume());
    await new Promise<void>((resolve) => genuine.listen(0, "127.0.0.1", resolve));
    const server = await listenTls({
      hostname: "127.0.0.1",
      port: 0,
      identity,
      genuine: { host: "127.0.0.1", port: (genuine.address() as net.AddressInfo).port },
    }, () => assert.fail("nobody gets in"));
    try {
      const hello = Buffer.from(helloOf(contexts!.swaks, { serverName: "name.example" }));
      hello[hello.indexOf("name.example") + 4] = 0;
      const conn = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
      await conn.write(hello);
      const buffer = new Uint8Array(100);
      const count = await conn.read(buffer);
      assert.equal(Buffer.from(buffer.subarray(0, count!)).toString("hex"), "15030300020270");
      conn.close();
      // The same as a client: a name from outside is never thrown where nobody catches it.
      for (const name of ["a\0b", "x".repeat(300)]) {
        assert.equal(openSslSession({ serverName: name }), undefined);
        await assert.rejects(
          connectTls({ hostname: "127.0.0.1", port: server.port, pin: "", serverName: name }),
          ConnectError,
        );
      }
    } finally {
      await server.close();
      genuine.close();
    }
  },
});

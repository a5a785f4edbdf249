import assert from "node:assert/strict";
import net from "node:net";
import { Buffer } from "node:buffer";
import { makeIdentity, readIdentity } from "../../transports/carriers/certificate.ts";
import { CertificateError, ConnectError } from "../../transports/carriers/errors.ts";
import { openSslFunctions } from "../../transports/carriers/openssl_library.ts";
import { OpenSslSocket } from "../../transports/carriers/openssl_socket.ts";
import { OpenSslError, TlsContext, TlsSession } from "../../transports/carriers/openssl_tls.ts";
import { connectTls, listenTls, tlsFace } from "../../transports/carriers/tls.ts";
import { denoTls } from "../../transports/carriers/tls_deno.ts";
import { openSslClient } from "../../transports/carriers/tls_openssl.ts";
import { answerWithoutKey, contextWith, HostileClient } from "./openssl_hostile.ts";

const ignore = openSslFunctions() === undefined;
const identity = await makeIdentity("hostile");
const contexts = ignore ? undefined : {
  client: TlsContext.client("curl"),
  server: TlsContext.server({ ...identity, alpn: ["http/1.1"] }),
};

const installed = (program: string) => {
  try {
    new Deno.Command(program, { args: ["--version"], stdout: "null", stderr: "null" }).outputSync();
    return true;
  } catch {
    return false;
  }
};

const wait = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function openssl(...args: string[]): Promise<string> {
  const { success, stdout } = await new Deno.Command("openssl", { args, stderr: "null" }).output();
  assert.ok(success, args.join(" "));
  return new TextDecoder().decode(stdout);
}

Deno.test({
  name:
    "openssl: a server's key that this runtime cannot read is a refusal, not the end of the client (needs openssl)",
  ignore: ignore || !installed("openssl"),
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      const make = ["req", "-x509", "-nodes", "-subj", "/CN=x", "-keyout", `${folder}/key`];
      const certificate = await openssl(
        ...[...make, "-newkey", "rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048"],
      );
      const key = await Deno.readTextFile(`${folder}/key`);
      const server = await listenTls({
        hostname: "127.0.0.1",
        port: 0,
        identity: { ...identity, certificate, key },
      }, () => {});
      try {
        await assert.rejects(
          connectTls({ hostname: "127.0.0.1", port: server.port, pin: identity.pin }),
          (error: Error) => error instanceof ConnectError && /cannot be read/.test(error.message),
        );
      } finally {
        await server.close();
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: "tls: a server's certificate that this runtime cannot read is a refusal as well",
  ignore,
  fn: async () => {
    const der = Buffer.from(identity.certificate.replace(/-----.*-----/g, ""), "base64");
    // The month 32.
    der.set(Buffer.from("993225616161Z"), der.indexOf(Buffer.from([0x17, 13])) + 2);
    const lines = der.toString("base64").replace(/.{64}/g, "$&\n");
    const certificate = `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
    const server = await listenTls({
      hostname: "127.0.0.1",
      port: 0,
      identity: { ...identity, certificate },
    }, () => {});
    try {
      for (const engine of [openSslClient()!, denoTls]) {
        await assert.rejects(
          connectTls({ hostname: "127.0.0.1", port: server.port, pin: identity.pin, engine }),
          ConnectError,
        );
      }
    } finally {
      await server.close();
    }
  },
});

Deno.test({
  name: "certificate: a key that cannot be used is told in one line (needs openssl)",
  ignore: !installed("openssl"),
  fn: async () => {
    const folder = await Deno.makeTempDir();
    const [cert, key] = [`${folder}/cert`, `${folder}/key`];
    try {
      const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1"];
      await openssl(
        ...["req", "-x509", "-nodes", "-subj", "/CN=x", "-keyout", key, "-out", cert, ...curve],
      );
      await assert.rejects(
        readIdentity(cert, key),
        (error: Error) => error instanceof CertificateError && error.message.startsWith(cert),
      );
      await openssl(
        ...["req", "-x509", "-nodes", "-subj", "/CN=x", "-keyout", key, "-out", cert],
        ...["-newkey", "rsa:512"],
      );
      const short = await readIdentity(cert, key);
      assert.throws(() => tlsFace(short), CertificateError);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: "openssl: an encrypted key is refused at once, and nobody is asked for what opens it",
  ignore: ignore || !installed("openssl"),
  fn: async () => {
    const file = await Deno.makeTempFile();
    try {
      await Deno.writeTextFile(file, identity.key);
      const key = await openssl("pkey", "-in", file, "-aes128", "-passout", "pass:secret");
      // A password was tried, the empty one: asking would have failed here, without a terminal, in other words.
      assert.throws(() => TlsContext.server({ ...identity, key }), /decrypt/);
    } finally {
      await Deno.remove(file);
    }
  },
});

Deno.test({
  name: "openssl: who has no name to verify is not taken for who wants none verified",
  ignore,
  fn: () => {
    for (const verify of ["", ".", ".example.com"]) {
      assert.throws(() => new TlsSession(contexts!.client, { verify }), OpenSslError);
    }
  },
});

Deno.test({
  name: "openssl: where everybody's hellos come, none costs a hundred times what others do",
  ignore,
  fn: () => {
    const exposed = TlsContext.server({ ...identity, alpn: ["http/1.1"], exposed: true });
    const answer = (context: TlsContext, groups: string) => {
      const client = new HostileClient(contextWith(groups));
      const server = new TlsSession(context);
      try {
        client.handshake();
        server.feed(client.take());
        server.handshake();
        return "answered";
      } catch (error) {
        assert.ok(error instanceof OpenSslError);
        return Buffer.from(server.take()!).toString("hex");
      } finally {
        client.free();
        server.free();
      }
    };
    for (const groups of ["X25519", "P-256", "X448", "P-384:X25519"]) {
      assert.equal(answer(exposed, groups), "answered");
    }
    for (const groups of ["ffdhe8192", "ffdhe4096:ffdhe6144"]) {
      assert.equal(answer(exposed, groups), "15030300020228");
    }
    // nginx's own default, behind which the genuine server stands.
    assert.equal(answer(contexts!.server, "ffdhe2048"), "answered");
  },
});

/** A client of OpenSSL's own on a connection to a server's socket. */
async function connected(eachRecord = false): Promise<
  { client: HostileClient; raw: net.Socket; socket: OpenSslSocket; session: TlsSession } & {
    under: net.Socket;
    close: () => Promise<void>;
  }
> {
  const session = new TlsSession(contexts!.server);
  const taken = Promise.withResolvers<{ socket: OpenSslSocket; under: net.Socket }>();
  const secure = Promise.withResolvers<void>();
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (under) => {
    const socket = new OpenSslSocket(under, session, () => secure.resolve(), eachRecord);
    taken.resolve({ socket, under });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  const client = new HostileClient(contexts!.client);
  const raw = net.connect({ host: "127.0.0.1", port, allowHalfOpen: true, noDelay: true });
  raw.on("error", () => {});
  client.handshake();
  raw.write(client.take());
  const hear = (bytes: Uint8Array<ArrayBuffer>) => {
    if (!client.handshake(bytes)) return;
    raw.removeListener("data", hear);
    raw.pause();
    raw.write(client.take());
  };
  raw.on("data", hear);
  await secure.promise;
  const { socket, under } = await taken.promise;
  return {
    client,
    raw,
    socket,
    session,
    under,
    close: async () => {
      const closed = new Promise<void>((resolve) => socket.once("close", resolve));
      raw.destroy();
      socket.destroy();
      await closed;
      client.free();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      assert.ok(session.freed);
    },
  };
}

Deno.test({
  name: "openssl: some changes of keys are taken as they come, and what follows them arrives",
  ignore,
  fn: async () => {
    const { client, raw, socket, close } = await connected();
    const heard = new Promise<string>((resolve) =>
      socket.on("data", (bytes: Uint8Array) => resolve(new TextDecoder().decode(bytes)))
    );
    // More than is taken at once: some rests are in between.
    client.changeKeys(100, true);
    client.write(new TextEncoder().encode("after them"));
    raw.write(client.take());
    assert.equal(await heard, "after them");
    await close();
  },
});

Deno.test({
  name:
    "openssl: a flood of changes of keys takes neither the processor nor memory, together or one by one",
  ignore,
  fn: async () => {
    for (const together of [true, false]) {
      const { client, raw, socket, under, close } = await connected();
      const before = under.bytesWritten;
      socket.on("error", (error) => assert.fail(error));
      for (let i = 0; i < 40; i++) {
        client.changeKeys(50, true);
        const bytes = client.take();
        if (together) raw.write(bytes);
        else {
          for (let at = 0; at < bytes.length; at += 27) {
            raw.write(bytes.slice(at, at + 27));
            await wait(0);
            if (at > 300 && i > 3) break;
          }
          if (i > 3) break;
        }
      }
      await wait(150);
      const most = under.bytesWritten - before;
      // 32, and some times 16: of 2000 or 250.
      assert.ok(most >= 27 * 31 && most < 27 * 250, `${most} bytes of answers`);
      assert.equal(under.writableLength, 0);
      if (together) assert.ok(under.isPaused());
      await close();
    }
  },
});

Deno.test({
  name: "openssl: a peer that goes on and on with changes of keys is given up",
  ignore,
  fn: async () => {
    const { client, raw, socket, close } = await connected();
    const reported = new Promise<Error>((resolve) => socket.once("error", resolve));
    const rests: number[] = [];
    const { setTimeout } = globalThis;
    globalThis.setTimeout = ((run: () => void, milliseconds: number) => {
      rests.push(milliseconds);
      return setTimeout(run, 0);
    }) as typeof setTimeout;
    try {
      client.changeKeys(1000, false);
      raw.write(client.take());
      assert.match((await reported).message, /too many/);
    } finally {
      globalThis.setTimeout = setTimeout;
    }
    const doubled = rests.filter((rest) => Number.isInteger(Math.log2(rest)));
    assert.deepEqual(doubled, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096]);
    await close();
  },
});

Deno.test({
  name: "openssl: a peer that says goodbye within the handshake has not ended it well",
  ignore,
  fn: async () => {
    for (const level of [0, 1, 2]) {
      const goodbye = new Uint8Array([21, 3, 3, 0, 2, level, 0]);
      const client = new TlsSession(contexts!.client);
      const server = new TlsSession(contexts!.server);
      assert.equal(client.handshake(), false);
      server.feed(client.take()!);
      assert.equal(server.handshake(), false);
      for (const session of [client, server]) {
        session.feed(goodbye);
        const expected = level === 1 ? /^OpenSslError: it ended/ : OpenSslError;
        assert.throws(() => session.handshake(), expected);
        assert.throws(() => session.write(new Uint8Array(1)), OpenSslError);
        session.free();
      }
    }
    const rude = net.createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => void socket.write(new Uint8Array([21, 3, 3, 0, 2, 1, 0])));
    });
    await new Promise<void>((resolve) => rude.listen(0, "127.0.0.1", resolve));
    const { port } = rude.address() as net.AddressInfo;
    await assert.rejects(
      connectTls({ hostname: "127.0.0.1", port, pin: identity.pin }),
      (error: Error) => error instanceof ConnectError && /it ended during/.test(error.message),
    );
    rude.close();
  },
});

Deno.test({
  name:
    "openssl: who shows the pinned certificate without its key, and says goodbye, is not the server",
  ignore,
  fn: async () => {
    const der = Buffer.from(identity.certificate.replace(/-----.*-----/g, ""), "base64");
    for (const alert of [[1, 0], [2, 0], [1, 90], [2, 40]] as const) {
      const middle = net.createServer((socket) => {
        socket.on("error", () => {});
        socket.once("data", (hello: Uint8Array) => {
          socket.write(answerWithoutKey(hello, der, alert));
          if (alert[1] === 90) socket.end();
        });
      });
      await new Promise<void>((resolve) => middle.listen(0, "127.0.0.1", resolve));
      const { port } = middle.address() as net.AddressInfo;
      await assert.rejects(
        connectTls({ hostname: "127.0.0.1", port, pin: identity.pin }),
        (error: Error) => error instanceof ConnectError,
      );
      middle.close();
    }
    // It got as far as that: the certificate has been read.
    const client = new TlsSession(contexts!.client);
    client.handshake();
    client.feed(answerWithoutKey(client.take()!, der, [1, 0]));
    assert.throws(() => client.handshake(), /^OpenSslError: it ended/);
    assert.ok(client.isTls13 && Buffer.from(client.peerCertificate!).equals(der));
    client.free();
  },
});

Deno.test({
  name: "openssl: a record that comes in pieces is told whole where records are to be kept",
  ignore,
  fn: async () => {
    const { client, raw, socket, close } = await connected(true);
    const told: number[] = [];
    const all = new Promise<void>((resolve) =>
      socket.on("data", ({ length }: Uint8Array) => {
        if (told.push(length) > 1) resolve();
      })
    );
    client.write(new Uint8Array(16_384));
    client.write(new Uint8Array(100));
    const bytes = client.take();
    // The last piece of the first record is small.
    for (const piece of [bytes.slice(0, 16_400), bytes.slice(16_400, 16_406)]) {
      raw.write(piece);
      await wait(30);
    }
    raw.write(bytes.slice(16_406));
    await all;
    assert.deepEqual(told, [16_384, 100]);
    await close();
  },
});

Deno.test({
  name: "openssl: a peer that does not read our alert is not waited for",
  ignore,
  fn: async () => {
    const { raw, socket, under, close } = await connected();
    const reported = new Promise<Error>((resolve) => socket.once("error", resolve));
    // It reads nothing: the way to it fills up.
    while (under.writableLength < 1_000_000) {
      socket.write(new Uint8Array(16_384), () => {});
      if (under.writableLength === 0) await wait(0);
    }
    raw.write(new Uint8Array(100).fill(23));
    assert.ok(await reported instanceof OpenSslError);
    await close();
  },
});

Deno.test({
  name: "openssl: a session on a socket that has closed before is given back",
  ignore,
  fn: async () => {
    const raw = new net.Socket();
    const gone = new Promise<void>((resolve) => raw.once("close", () => resolve()));
    raw.destroy();
    await gone;
    const session = new TlsSession(contexts!.client);
    const socket = new OpenSslSocket(raw, session, () => assert.fail("no handshake"));
    await new Promise<void>((resolve) => socket.once("close", resolve));
    assert.ok(session.freed);
  },
});

Deno.test({
  name: "openssl: sessions that nobody frees are freed when nobody has them any more",
  ignore,
  fn: async () => {
    const url = (path: string) =>
      new URL(`../../transports/carriers/${path}`, import.meta.url).href;
    const program = `import { TlsContext, TlsSession } from "${url("openssl_tls.ts")}";
      const context = TlsContext.client("curl");
      let first = 0;
      for (let i = 0; i <= 30_000; i++) {
        new TlsSession(context);
        if (i % 1000 === 0) {
          gc();
          await new Promise((resolve) => setTimeout(resolve, 0));
        }
        if (i === 5000) first = Deno.memoryUsage().rss;
      }
      console.log((Deno.memoryUsage().rss - first) / 1e6);`;
    const file = await Deno.makeTempFile({ suffix: ".ts" });
    try {
      await Deno.writeTextFile(file, program);
      const { stdout } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "--no-check", "--no-prompt", "--v8-flags=--expose-gc", "--allow-ffi", file],
        stderr: "inherit",
      }).output();
      const grown = Number(new TextDecoder().decode(stdout));
      // 25,000 of them are 250 MB.
      assert.ok(grown < 60, `${grown} MB`);
    } finally {
      await Deno.remove(file);
    }
  },
});

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import tls from "node:tls";
import * as x509 from "@peculiar/x509";
import { createHash } from "node:crypto";
import { makeIdentity, type ServerIdentity } from "../../transports/carriers/mod.ts";
import {
  CertificateWatch,
  formatSecret,
  newSecret,
  parseLine,
  readLines,
  startClient,
  startServer,
} from "../../transports/mimic/mod.ts";
import { CommandProcess, curl, HAS_CURL } from "./processes.ts";
import { FAST_MODEL, FAST_MODEL_FILE, noise, webServer } from "./world.ts";

const DAY = 86_400_000;

/** A certificate for an identity's key, as a renewal makes one. */
async function renewed(identity: ServerIdentity, days: number): Promise<string> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const der = x509.PemConverter.decode(identity.key)[0]!;
  const privateKey = await crypto.subtle.importKey("pkcs8", der, algorithm, true, ["sign"]);
  const publicKey = new x509.X509Certificate(identity.certificate).publicKey;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: "0123",
    name: "CN=renewed.test",
    notBefore: new Date(Date.now() - DAY),
    notAfter: new Date(Date.now() + days * DAY),
    signingAlgorithm: algorithm,
    keys: { privateKey, publicKey: await publicKey.export() },
  });
  return `${certificate.toString("pem")}\n`;
}

async function write(folder: string, { certificate, key }: ServerIdentity) {
  await Deno.writeTextFile(`${folder}/my.pem`, certificate);
  await Deno.writeTextFile(`${folder}/my.key`, key);
}

/** SHA-256 of the certificate that a server shows. */
function shownBy(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: "127.0.0.1", port, rejectUnauthorized: false }, () => {
      resolve(createHash("sha256").update(socket.getPeerCertificate().raw).digest("hex"));
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

Deno.test("upkeep: a renewed certificate is taken with the same key, under a running tunnel", async () => {
  const folder = await Deno.makeTempDir();
  const identity = await makeIdentity("first.test");
  await write(folder, identity);
  const warnings: string[] = [];
  const server = await startServer({
    listen: { host: "127.0.0.1", port: 0 },
    models: [FAST_MODEL],
    state: `${folder}/state`,
    certificate: { cert: `${folder}/my.pem`, key: `${folder}/my.key` },
    allowPrivate: true,
    onWarning: (text) => warnings.push(text),
  });
  assert.equal(await shownBy(server.address.port), identity.digest.toHex());
  const blob = noise(400_000);
  const web = webServer("127.0.0.1", blob);
  const notes: string[] = [];
  const client = await startClient({
    line: parseLine(server.line),
    model: FAST_MODEL,
    seed: new Uint8Array(32),
    forwards: [{
      local: { host: "127.0.0.1", port: 0 },
      destination: { host: "127.0.0.1", port: web.addr.port },
    }],
    onNote: (text) => notes.push(text),
  });
  const url = `http://127.0.0.1:${client.doors[0]!.port}/blob`;
  const download = async () => {
    const got = new Uint8Array(await (await fetch(url)).arrayBuffer());
    assert.deepEqual(got, new Uint8Array(blob));
  };
  await download();

  // Renewed in the middle of a download: the tunnel goes on with the new certificate.
  const certificate = await renewed(identity, 90);
  const during = download();
  await Deno.writeTextFile(`${folder}/my.pem`, certificate);
  await server.watch.check();
  const digest = createHash("sha256").update(new X509Certificate(certificate).raw).digest("hex");
  assert.equal(await shownBy(server.address.port), digest);
  await during;
  await download();
  assert.deepEqual(warnings.length, 1);
  assert.match(warnings[0]!, /the renewed certificate is in use, until .*lines stay valid/);

  // Another key is not taken, and said once; neither is half a renewal.
  const other = await makeIdentity("other.test");
  await write(folder, other);
  await server.watch.check();
  await server.watch.check();
  assert.equal(await shownBy(server.address.port), digest);
  assert.equal(warnings.length, 2);
  assert.match(warnings[1]!, /another key.*same key/);
  await Deno.writeTextFile(`${folder}/my.key`, identity.key);
  await server.watch.check();
  assert.match(warnings[2]!, /not the key of .*my.pem: the certificate before stays in use/);
  await Deno.remove(`${folder}/my.key`);
  await server.watch.check();
  assert.match(warnings[3]!, /cannot be read: the certificate before stays in use/);
  await download();
  await client.close();
  await server.close();

  // A restart takes the other key and says that lines are new.
  await write(folder, other);
  const again = await startServer({
    listen: { host: "127.0.0.1", port: 0 },
    models: [FAST_MODEL],
    state: `${folder}/state`,
    certificate: { cert: `${folder}/my.pem`, key: `${folder}/my.key` },
    onWarning: (text) => warnings.push(text),
  });
  assert.match(warnings[4]!, /the key is another than at the last start/);
  assert.notEqual(parseLine(again.line).cert, parseLine(server.line).cert);
  await again.close();
  await web.shutdown();
  await Deno.remove(folder, { recursive: true });
});

Deno.test("upkeep: the end of a certificate is announced 30 days ahead, once a day", async () => {
  const folder = await Deno.makeTempDir();
  const identity = await makeIdentity("first.test");
  const certificate = await renewed(identity, 40);
  const mine = { ...identity, certificate };
  await write(folder, mine);
  let now = Date.now();
  const warnings: string[] = [];
  using watch = new CertificateWatch({
    cert: `${folder}/my.pem`,
    key: `${folder}/my.key`,
    identity: mine,
    onRenewed: () => {},
    onWarning: (text) => warnings.push(text),
    now: () => now,
  });
  assert.deepEqual(warnings, []);
  now += 11 * DAY;
  await watch.check();
  await watch.check();
  assert.equal(warnings.length, 1);
  assert.match(
    warnings[0]!,
    /my.pem: the certificate ends on \d{4}-\d\d-\d\d, in 2[89] days: renew/,
  );
  now += DAY;
  await watch.check();
  assert.equal(warnings.length, 2);
  now += 30 * DAY;
  await watch.check();
  assert.match(warnings[2]!, /ended on/);
  await Deno.writeTextFile(`${folder}/my.pem`, await renewed(identity, 300));
  await watch.check();
  await watch.check();
  assert.match(warnings[3]!, /the renewed certificate is in use/);
  assert.equal(warnings.length, 4);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("upkeep: lines of all users are printed again without a server", async () => {
  const folder = await Deno.makeTempDir();
  const state = `${folder}/state`;
  const secrets = [newSecret(), newSecret(), newSecret()];
  await Deno.mkdir(state);
  await assert.rejects(readLines(state), /state: cannot be used as state: no server was started/);
  await Deno.writeTextFile(`${state}/secrets`, secrets.map(formatSecret).join("\n"));
  const server = await startServer({
    listen: { host: "127.0.0.1", port: 0 },
    models: [FAST_MODEL],
    state,
  });
  await server.close();
  const lines = await readLines(state);
  assert.equal(lines[0], server.line);
  assert.deepEqual(lines.map((line) => parseLine(line).secret), secrets);
  const elsewhere = { host: "192.0.2.7", port: 443 };
  for (const line of await readLines(state, elsewhere)) {
    assert.deepEqual(parseLine(line), {
      ...parseLine(lines[0]!),
      secret: parseLine(line).secret,
      address: elsewhere,
    });
  }
  const all = new CommandProcess("bridge-line", ["--state", state]);
  assert.deepEqual((await all.ended()).rest, lines);
  const second = new CommandProcess("bridge-line", [
    ...["--state", state, "--user", "2", "--advertise", "[2001:db8::1]:443", "--json"],
  ]);
  const [{ user, line }] = JSON.parse((await second.ended()).rest[0]!);
  assert.equal(user, 2);
  assert.equal(line, lines[1]!.replace(/^mimic \S+/, "mimic [2001:db8::1]:443"));
  const none = new CommandProcess("bridge-line", ["--state", state, "--user", "4"]);
  assert.equal((await none.ended()).code, 2);
  assert.match(await none.stderr, /^error: --user 4: .*secrets has 3\n$/);
  await Deno.remove(folder, { recursive: true });
});

Deno.test({
  name: "upkeep: logs name no client and no destination unless asked",
  ignore: !HAS_CURL,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    const model = `${folder}/fast.json`;
    await Deno.writeTextFile(model, FAST_MODEL_FILE);
    const closed = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    closed.close();
    const told: Record<string, { server: string; client: string }> = {};
    for (const flag of ["", "--unsafe-logging"]) {
      const flags = flag === "" ? [] : [flag];
      const server = new CommandProcess("server", [
        ...["--listen", "127.0.0.1:0", "--model", model, "--state", `${folder}/state`],
        ...["--allow-private", "--verbose", ...flags],
      ]);
      const line = await server.line();
      const client = new CommandProcess("client", [
        ...[line, "--model", model, "--http", "127.0.0.1:0", "--json", ...flags],
      ]);
      const { doors } = JSON.parse(await client.line());
      const proxy = ["--proxy", `http://127.0.0.1:${doors[0].port}`];
      await curl(...proxy, `http://127.0.0.1:${closed.addr.port}/`);
      await curl(...proxy, "http://no-such-host.invalid/");
      await client.stop();
      await server.stop();
      told[flag] = { server: await server.stderr, client: await client.stderr };
    }
    const safe = told[""]!;
    assert.match(
      safe.server,
      /^(a destination was not reached: (connectionRefused|hostUnreachable)\n){2}$/,
    );
    assert.equal(safe.client, "");
    const unsafe = told["--unsafe-logging"]!;
    assert.match(unsafe.server, /user 1 begins a tunnel from 127\.0\.0\.1/);
    for (const text of [unsafe.server, unsafe.client]) {
      assert.match(text, new RegExp(`127.0.0.1:${closed.addr.port} was not reached`));
      assert.match(text, /no-such-host.invalid:80 was not reached/);
    }
    await Deno.remove(folder, { recursive: true });
  },
});

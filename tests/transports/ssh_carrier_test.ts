import assert from "node:assert/strict";
import net from "node:net";
import fc from "fast-check";
import { ListenError } from "../../base/mod.ts";
import { type Connection, messagesOf, readConnections } from "../../capture/mod.ts";
import { modelFromFile } from "../../models/mod.ts";
import { payloadSize, splitSize } from "../../playback/mod.ts";
import type { CarrierConnection, CarrierServer } from "../../transports/carriers/carrier.ts";
import { ConnectError, WrongCertificate } from "../../transports/carriers/errors.ts";
import { SecretRefused, SSH_GRID, sshCarrier } from "../../transports/carriers/ssh.ts";
import { digestOf, newHostKey, userKeyOf } from "../../transports/carriers/ssh_keys.ts";
import { parseLine, startClient, startServer } from "../../transports/mimic/mod.ts";
import { Collector } from "./helpers.ts";
import { cuttingRelay, noise, webServer } from "./world.ts";

const works = (command: string, ...args: string[]) =>
  new Deno.Command(command, { args, stdin: "null", stdout: "null", stderr: "null" }).output()
    .then(({ success }) => success, () => false);
const HAS_SSH = await works("/usr/bin/ssh", "-V") && await works("test", "-x", "/usr/sbin/sshd");
const CAN_RECORD = HAS_SSH && Deno.uid() === 0 && await works("tcpdump", "--version");
const CAN_NAME = CAN_RECORD && await works("tshark", "-v") && await works("ndpiReader", "-h");

const identity = undefined as never;
const HOST = "127.0.0.1";

/** A listening carrier in a state folder of its own. */
async function listen(
  onConnection: (connection: CarrierConnection) => void,
  secrets: readonly Uint8Array[] = [noise(32)],
  state?: string,
) {
  const own = state ?? await Deno.makeTempDir();
  const server = await sshCarrier.listen(
    { hostname: HOST, port: 0, identity, secrets, state: own },
    onConnection,
  );
  return { server, secrets, state: own };
}

function clientOf(
  { login, pin, port }: CarrierServer,
  secret: Uint8Array,
  other: { pin?: string; port?: number; open?: () => Promise<net.Socket> } = {},
) {
  return sshCarrier.client({
    hostname: HOST,
    port,
    pin,
    secret,
    ...(login === undefined ? {} : { login }),
    ...other,
  });
}

/** Connects, lets `use` do what it likes with both ends, and ends everything. */
async function withPair(
  use: (client: CarrierConnection, server: CarrierConnection, at: CarrierServer) => Promise<void>,
  open?: (port: number) => () => Promise<net.Socket>,
): Promise<void> {
  const accepted = Promise.withResolvers<CarrierConnection>();
  const { secrets, server, state } = await listen(accepted.resolve);
  const client = await clientOf(server, secrets[0]!, {
    ...(open === undefined ? {} : { open: open(server.port) }),
  });
  try {
    const connection = await client.connect();
    await use(connection, await accepted.promise, server);
  } finally {
    await client.close();
    await server.close();
    await Deno.remove(state, { recursive: true });
  }
}

async function failure<T>(promise: Promise<unknown>, kind: new (...args: never[]) => T) {
  const error = await promise.then(() => undefined, (error: unknown) => error);
  assert.ok(error instanceof kind, String(error));
  assert.ok(!(error as unknown as Error).message.includes("\n"));
  return error as T;
}

Deno.test("ssh: a secret's key is always the same, and another secret's another", () => {
  fc.assert(fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (secret) => {
    const key = userKeyOf(secret);
    assert.deepEqual(userKeyOf(secret), key);
    assert.deepEqual(digestOf(key.publicKey), key.digest);
    const other = secret.slice();
    other[7]! ^= 1;
    assert.notEqual(userKeyOf(other).publicKey, key.publicKey);
  }));
  assert.throws(() => digestOf("ssh-rsa AAAA"), /no ssh-ed25519 key/);
});

Deno.test({
  name: "ssh: OpenSSH reads the keys that are written (needs ssh-keygen)",
  ignore: !HAS_SSH,
  fn: async () => {
    const file = await Deno.makeTempFile();
    for (const key of [userKeyOf(noise(32)), newHostKey()]) {
      await Deno.writeTextFile(file, key.privateKey);
      const { stdout } = await new Deno.Command("ssh-keygen", { args: ["-y", "-f", file] })
        .output();
      assert.equal(new TextDecoder().decode(stdout).trim(), key.publicKey);
      await Deno.writeTextFile(file, key.publicKey);
      const shown = await new Deno.Command("ssh-keygen", { args: ["-l", "-f", file] }).output();
      const digest = btoa(String.fromCharCode(...key.digest)).replace(/=+$/, "");
      assert.ok(new TextDecoder().decode(shown.stdout).includes(`SHA256:${digest} `));
    }
    await Deno.remove(file);
  },
});

Deno.test({
  name:
    "ssh: bytes both ways, both ends agree on the host key, nothing stays behind (needs OpenSSH)",
  ignore: !HAS_SSH,
  fn: () =>
    withPair(async (client, server, { pin }) => {
      const [atClient, atServer] = [new Collector(client), new Collector(server)];
      assert.deepEqual(client.certificateDigest, server.certificateDigest);
      assert.equal(digestText(client.certificateDigest), pin);
      assert.equal(server.genuine, "none");
      const [up, down] = [noise(100_000), noise(100_000)];
      for (let at = 0; at < up.length; at += 9_999) client.write(up.subarray(at, at + 9_999));
      for (let at = 0; at < down.length; at += 777) server.write(down.subarray(at, at + 777));
      assert.deepEqual(await atServer.waitFor(up.length), up);
      assert.deepEqual(await atClient.waitFor(down.length), down);
      client.close("fin");
      client.write(new Uint8Array(5));
      assert.equal(await atServer.closed, "fin");
      assert.equal(await atClient.closed, "fin");
      assert.deepEqual(atServer.bytes(), up);
      server.close("fin");
    }),
});

Deno.test({
  name:
    "ssh: all that was written arrives before the end, also when much is under way (needs OpenSSH)",
  ignore: !HAS_SSH,
  fn: () =>
    withPair(async (client, server) => {
      const [atClient, atServer] = [new Collector(client), new Collector(server)];
      const up = noise(3_000_000);
      for (let at = 0; at < up.length; at += 30_000) client.write(up.subarray(at, at + 30_000));
      client.close("fin");
      assert.equal(await atServer.closed, "fin");
      assert.deepEqual(atServer.bytes(), up);
      server.write(new TextEncoder().encode("after the client's end"));
      server.close("fin");
      await atClient.closed;
      assert.equal(new TextDecoder().decode(atClient.bytes()), "after the client's end");
    }),
});

Deno.test({
  name: "ssh: a connection that is reset at either end ends at the other (needs OpenSSH)",
  ignore: !HAS_SSH,
  fn: async () => {
    await withPair(async (client, server) => {
      const [atClient, atServer] = [new Collector(client), new Collector(server)];
      client.write(noise(30_000));
      client.close("rst");
      await atServer.closed;
      await atClient.closed;
      server.close("fin");
    });
    await withPair(async (client, server) => {
      const [atClient, atServer] = [new Collector(client), new Collector(server)];
      server.write(noise(30_000));
      server.close("rst");
      await atServer.closed;
      await atClient.closed;
      client.close("fin");
    });
  },
});

Deno.test({
  name: "ssh: somebody else may open the TCP connection (needs OpenSSH)",
  ignore: !HAS_SSH,
  fn: async () => {
    let opened = 0;
    await withPair(async (client, server) => {
      const [atClient, atServer] = [new Collector(client), new Collector(server)];
      client.write(noise(50_000).subarray(0, 30_000));
      await atServer.waitFor(30_000);
      server.write(noise(20_000));
      await atClient.waitFor(20_000);
      assert.equal(opened, 1);
      client.close("fin");
      await atServer.closed;
      server.close("fin");
    }, (port) => () =>
      new Promise((resolve, reject) => {
        opened++;
        const socket = net.connect({ host: HOST, port, noDelay: true, allowHalfOpen: true });
        socket.once("connect", () => resolve(socket));
        socket.once("error", reject);
      }));
  },
});

Deno.test({
  name:
    "ssh: a connection is there when its channel is open, also on a slow network (needs OpenSSH)",
  ignore: !HAS_SSH,
  fn: async () => {
    const accepted: CarrierConnection[] = [];
    const { secrets, server, state } = await listen((connection) => accepted.push(connection));
    const delayed = (from: net.Socket, to: net.Socket) => {
      from.on("error", () => to.destroy());
      from.on("data", (bytes: Uint8Array) => setTimeout(() => to.write(bytes), 20));
      from.on("end", () => setTimeout(() => to.end(), 20));
    };
    const { port } = server;
    const listener = net.createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
      const far = net.connect({ host: HOST, port, noDelay: true, allowHalfOpen: true });
      delayed(near, far);
      delayed(far, near);
    });
    await new Promise<void>((resolve) => listener.listen(0, HOST, resolve));
    const client = await clientOf(server, secrets[0]!, {
      port: (listener.address() as net.AddressInfo).port,
    });
    try {
      const connection = await client.connect();
      assert.equal(accepted.length, 1);
      const atServer = new Collector(accepted[0]!);
      // A plan may be nothing but a farewell.
      connection.write(noise(26));
      connection.write(noise(2));
      connection.close("fin");
      await atServer.waitFor(28);
      await atServer.closed;
      accepted[0]!.close("fin");
    } finally {
      await client.close();
      await server.close();
      listener.close();
      await Deno.remove(state, { recursive: true });
    }
  },
});

Deno.test({
  name: "ssh: writes in a row, both ways at once, are never joined (needs OpenSSH)",
  ignore: !HAS_SSH,
  fn: async () => {
    const relayed = { up: 0, down: 0 };
    await withPair(async (client, server) => {
      const [atClient, atServer] = [new Collector(client), new Collector(server)];
      const before = { ...relayed };
      const packets = 40;
      for (let i = 0; i < packets; i++) {
        client.write(noise(2));
        server.write(noise(2));
      }
      await atServer.waitFor(2 * packets);
      await atClient.waitFor(2 * packets);
      // A packet of 36 bytes each: of two that were joined 8 or 44 would be missing.
      assert.deepEqual(relayed, {
        up: before.up + 36 * packets,
        down: before.down + 36 * packets,
      });
      client.close("fin");
      await atServer.closed;
      server.close("fin");
    }, (port) => async () => {
      const listener = net.createServer({ noDelay: true }, (near) => {
        const far = net.connect({ host: HOST, port, noDelay: true });
        near.on("data", (bytes: Uint8Array) => relayed.up += bytes.length);
        far.on("data", (bytes: Uint8Array) => relayed.down += bytes.length);
        for (const socket of [near, far]) socket.on("error", () => {});
        near.pipe(far);
        far.pipe(near);
        near.on("close", () => far.destroy());
        listener.close();
      });
      await new Promise<void>((resolve) => listener.listen(0, HOST, resolve));
      const { port: near } = listener.address() as net.AddressInfo;
      const socket = net.connect({ host: HOST, port: near, noDelay: true, allowHalfOpen: true });
      await new Promise((resolve) => socket.once("connect", resolve));
      return socket;
    });
  },
});

Deno.test({
  name:
    "ssh: the server's key is kept after the first connection, and a stranger's is not (needs OpenSSH)",
  ignore: !HAS_SSH,
  fn: async () => {
    const { secrets: [secret], server, state } = await listen(() => {});
    const folder = await Deno.makeTempDir();
    const { pin, port } = server;
    const options = { hostname: HOST, port, secret: secret!, folder };
    const known = () =>
      [...Deno.readDirSync(folder)].map(({ name }) => `${folder}/${name}/known`)
        .filter((file) => {
          try {
            return Deno.statSync(file).isFile;
          } catch {
            return false;
          }
        });
    const wrong = await sshCarrier.client({ ...options, pin: "A".repeat(43) });
    await failure(wrong.connect(), WrongCertificate);
    assert.deepEqual(known(), []);
    await wrong.close();
    const login = server.login === undefined ? {} : { login: server.login };
    const right = await sshCarrier.client({ ...options, pin, ...login });
    for (let i = 0; i < 2; i++) {
      const connection = await right.connect();
      connection.listener = { onData: () => {}, onClose: () => {} };
      connection.close("rst");
      assert.equal(known().length, 1);
      const line = await Deno.readTextFile(known()[0]!);
      assert.match(line, /^server ssh-ed25519 \S+$/m);
    }
    await right.close();
    await server.close();
    await Deno.remove(state, { recursive: true });
    await Deno.remove(folder, { recursive: true });
  },
});

Deno.test({
  name: "ssh: what goes wrong is one clear line (needs OpenSSH)",
  ignore: !HAS_SSH,
  fn: async () => {
    const { secrets: [secret], server, state } = await listen(() => assert.fail("nobody gets in"));
    const cases: [Parameters<typeof clientOf>, new (...args: never[]) => Error, RegExp][] = [
      [[server, noise(32)], SecretRefused, /check secret=/],
      [[server, secret!, { pin: "A".repeat(43) }], WrongCertificate, /shows another key \(/],
      [[server, secret!, { port: 1 }], ConnectError, /refused/],
      [
        [server, secret!, { open: () => Promise.reject(new Error("no way out")) }],
        ConnectError,
        /no way out/,
      ],
    ];
    for (const [args, kind, message] of cases) {
      const client = await clientOf(...args);
      assert.match((await failure(client.connect(), kind)).message, message);
      await client.close();
    }
    const taken = net.createServer().listen(0, HOST);
    await new Promise((resolve) => taken.once("listening", resolve));
    const { port } = taken.address() as net.AddressInfo;
    const other = await Deno.makeTempDir();
    await failure(
      sshCarrier.listen(
        { hostname: HOST, port, identity, secrets: [secret!], state: other },
        () => {},
      ),
      ListenError,
    );
    taken.close();
    await server.close();
    await Deno.remove(state, { recursive: true });
    await Deno.remove(other, { recursive: true });
  },
});

Deno.test({
  name: "ssh: the host key stays across restarts, users come and go (needs OpenSSH)",
  ignore: !HAS_SSH,
  fn: async () => {
    const [first, second] = [noise(32), noise(32)];
    const one = await listen(() => {}, [first]);
    await one.server.close();
    const two = await listen(() => {}, [first], one.state);
    assert.equal(two.server.pin, one.server.pin);
    two.server.renewUsers!([second]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const connects = async (secret: Uint8Array) => {
      const client = await clientOf(two.server, secret);
      const connection = await client.connect().catch(() => undefined);
      if (connection !== undefined) {
        const ended = new Collector(connection);
        connection.close("rst");
        await ended.closed;
      }
      await client.close();
      return connection !== undefined;
    };
    assert.deepEqual([await connects(first), await connects(second)], [false, true]);
    await two.server.close();
    await Deno.remove(one.state, { recursive: true });
  },
});

/** A model whose connections are those of the carrier `ssh`, fast. */
const MODEL = modelFromFile(JSON.stringify({
  schema: "trafficmimic-model",
  version: 1,
  name: "fast-ssh",
  kind: "constant-rate",
  protocol: "ssh",
  carrier: "ssh",
  content: { size: 12_004, period: 10, exchanges: 20 },
}));

Deno.test({
  name: "ssh: 100 KB both ways through a tunnel whose connections are cut (needs OpenSSH)",
  ignore: !HAS_SSH,
  fn: async () => {
    const state = await Deno.makeTempDir();
    const blob = noise(100_000);
    const web = webServer(HOST, blob);
    const server = await startServer({
      listen: { host: HOST, port: 0 },
      models: [MODEL],
      state,
      allowPrivate: true,
    });
    let lives = 0;
    // What is left of the transfer after the first connection begins on two that break in their middle.
    const relay = cuttingRelay(server.address, () => [1, 2].includes(lives++) ? 150_000 : Infinity);
    const client = await startClient({
      line: parseLine(server.line),
      connect: { host: HOST, port: relay.port },
      model: MODEL,
      seed: new Uint8Array(32),
      forwards: [{
        local: { host: HOST, port: 0 },
        destination: { host: HOST, port: web.addr.port },
      }],
    });
    try {
      const url = `http://${HOST}:${client.doors[0]!.port}`;
      const [down, echoed] = await Promise.all([
        fetch(`${url}/blob`).then((response) => response.bytes()),
        fetch(`${url}/`, { method: "POST", body: blob }).then((response) => response.bytes()),
      ]);
      assert.deepEqual(down, blob);
      assert.deepEqual(echoed, blob);
      assert.ok(relay.cuts() > 0, "nothing was cut");
    } finally {
      await client.close();
      await server.close();
      await relay.close();
      await web.shutdown();
      await Deno.remove(state, { recursive: true });
    }
  },
});

/** Records a port of this machine while `work` runs; returns the file. */
async function record(port: number, work: () => Promise<void>): Promise<string> {
  const path = await Deno.makeTempFile({ suffix: ".pcap" });
  const tcpdump = new Deno.Command("tcpdump", {
    args: ["-i", "lo", "-U", "-n", "--immediate-mode", "-Z", "root", "-w", path, `port ${port}`],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const said = tcpdump.stderr.getReader();
  let log = "";
  while (!log.includes("listening on")) {
    const { value, done } = await said.read();
    assert.ok(!done, log);
    log += new TextDecoder().decode(value);
  }
  await work();
  await new Promise((resolve) => setTimeout(resolve, 300));
  tcpdump.kill("SIGINT");
  await said.cancel();
  await tcpdump.status;
  return path;
}

async function connectionsIn(path: string): Promise<Connection[]> {
  const connections: Connection[] = [];
  await readConnections(path, { onConnection: (connection) => connections.push(connection) });
  return connections;
}

async function output(command: string, ...args: string[]): Promise<string> {
  const { stdout } = await new Deno.Command(command, { args, stderr: "null" }).output();
  return new TextDecoder().decode(stdout);
}

Deno.test({
  name:
    "ssh: sizes on the wire are the planned ones, and tshark and nDPI see SSH (needs root, tcpdump, OpenSSH, tshark, nDPI)",
  ignore: !CAN_NAME,
  fn: async () => {
    // Client, server, client, ... as a plan has them: sizes of one packet and of several; below 96 KB each way,
    // where the receiving program speaks for itself.
    const plan = [
      52,
      356,
      68,
      76,
      60,
      72,
      112,
      120,
      36,
      1004,
      16_420,
      44,
      1000,
      32_804,
      44,
      40_000,
    ];
    const accepted = Promise.withResolvers<CarrierConnection>();
    const { secrets, server, state } = await listen(accepted.resolve);
    const path = await record(server.port, async () => {
      const client = await clientOf(server, secrets[0]!);
      const near = await client.connect();
      const ends = { near, far: await accepted.promise };
      const heard = { near: new Collector(ends.near), far: new Collector(ends.far) };
      const sent = { near: 0, far: 0 };
      for (const [i, size] of plan.entries()) {
        const [from, to] = i % 2 === 0 ? ["near", "far"] as const : ["far", "near"] as const;
        for (const record of splitSize(size, SSH_GRID)) {
          const payload = payloadSize(record, SSH_GRID);
          ends[from].write(noise(payload));
          sent[from] += payload;
        }
        await heard[to].waitFor(sent[from]);
      }
      near.close("fin");
      await heard.far.closed;
      ends.far.close("fin");
      await client.close();
    });
    await server.close();
    const [connection, ...others] = await connectionsIn(path);
    assert.deepEqual(others, []);
    assert.equal(connection!.handshake.carrier, "ssh");
    assert.deepEqual([connection!.end.how, connection!.end.by], ["fin", 0]);
    const sizes = messagesOf(connection!).map(({ side, size }) => [side, size]);
    // What the genuine programs say first: six exchanges of theirs, and SFTP's first in its own sizes.
    const login = server.login ?? "root";
    if (login === "root") {
      assert.deepEqual(
        sizes.filter(([side]) => side === 0).slice(0, 7).map(([, size]) => size),
        [44, 60, 140, 308, 112, 52, 44],
      );
    }
    assert.deepEqual(sizes.slice(12, 14), [[0, 44], [1, 356]]);
    assert.deepEqual(sizes.slice(14), plan.map((size, i) => [i % 2, size]));
    // tshark goes by the port, which is not 22 here: told that, it must be able to read what is in the clear.
    const read = await output("tshark", "-r", path, "-d", `tcp.port==${server.port},ssh`);
    assert.match(read, /SSHv2 .*Protocol \(SSH-2\.0-OpenSSH/);
    assert.match(read, /SSHv2 .*Elliptic Curve Diffie-Hellman Key Exchange|SSHv2 .*New Keys/);
    assert.doesNotMatch(read, /Malformed/);
    assert.match(await output("ndpiReader", "-i", path), /\sSSH\s.*flows: 1\s/);
    await Deno.remove(path);
    await Deno.remove(state, { recursive: true });
  },
});

/** Everything that a server says to `bytes` until it closes or 300 ms pass without a word. */
function answer(port: number, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect({ host: HOST, port });
    let said = "";
    let timer: ReturnType<typeof setTimeout>;
    const silence = () => {
      clearTimeout(timer);
      timer = setTimeout(() => over("silence"), 300);
    };
    const over = (how: string) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(`${said} ${how}`);
    };
    socket.on("connect", () => {
      silence();
      socket.write(bytes);
    });
    socket.on("data", (chunk: Uint8Array) => {
      said += Array.from(chunk, (byte) => String.fromCharCode(byte)).join("");
      silence();
    });
    socket.on("end", () => over("end"));
    // What is sent to a socket that is closed already is answered by a reset.
    socket.on("error", () => over("reset"));
  });
}

Deno.test({
  name: "ssh: a stranger meets what any sshd of that configuration shows (needs OpenSSH)",
  ignore: !HAS_SSH,
  fn: async () => {
    const { server, state } = await listen(() => assert.fail("nobody gets in"));
    const plain = await Deno.makeTempDir();
    const free = Deno.listen({ hostname: HOST, port: 0 });
    const { port } = free.addr;
    free.close();
    await Deno.writeTextFile(`${plain}/key`, newHostKey().privateKey, { mode: 0o600 });
    await Deno.writeTextFile(
      `${plain}/config`,
      `ListenAddress ${HOST}:${port}\nHostKey ${plain}/key\nPidFile none\nStrictModes no\n` +
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\n",
    );
    const sshd = new Deno.Command("/usr/sbin/sshd", {
      args: ["-D", "-e", "-f", `${plain}/config`],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const said = sshd.stderr.getReader();
    await said.read();
    try {
      for (
        const probe of [
          "",
          "GET / HTTP/1.1\r\n\r\n",
          "\0\0\0\0",
          "SSH-1.5-old\r\n",
          "SSH-2.0-probe\r\n",
          `SSH-2.0-${"x".repeat(300)}\r\n`,
          "SSH-2.0-probe\r\n\xff\xff\xff\xff garbage",
        ]
      ) {
        const [ours, theirs] = await Promise.all([answer(server.port, probe), answer(port, probe)]);
        assert.equal(withoutCookie(ours), withoutCookie(theirs), JSON.stringify(probe));
      }
      const methods = async (port: number) => {
        const { stderr } = await new Deno.Command("/usr/bin/ssh", {
          args: [
            ...["-F", "none", "-v", "-p", String(port), "-o", "BatchMode=yes", "-l", "admin"],
            ...[
              "-o",
              "StrictHostKeyChecking=no",
              "-o",
              "UserKnownHostsFile=/dev/null",
              HOST,
              "true",
            ],
          ],
        }).output();
        return new TextDecoder().decode(stderr).split("\n")
          .filter((line) => /kex: |continue: |Permission denied|ext_info/.test(line));
      };
      const seen = await methods(server.port);
      assert.ok(seen.length > 4);
      assert.deepEqual(seen, await methods(port));
    } finally {
      sshd.kill("SIGTERM");
      await sshd.status;
      await said.cancel();
      await server.close();
      await Deno.remove(state, { recursive: true });
      await Deno.remove(plain, { recursive: true });
    }
  },
});

/** The 16 random bytes of a KEXINIT are nobody's mark. */
function withoutCookie(said: string): string {
  const at = said.indexOf("\n") + 1 + 6;
  return said.charCodeAt(at - 1) === 20 ? said.slice(0, at) + said.slice(at + 16) : said;
}

function digestText(digest: Uint8Array): string {
  return btoa(String.fromCharCode(...digest)).replaceAll("+", "-").replaceAll("/", "_")
    .replace(/=+$/, "");
}

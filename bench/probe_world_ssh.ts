/**
 * What an active prober says to an SSH server, and a genuine sshd with our carrier `ssh` beside it.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { ConstantRate } from "../models/mod.ts";
import { carrierOf } from "../transports/carriers/mod.ts";
import { newHostKey } from "../transports/carriers/ssh_keys.ts";
import { startServer } from "../transports/mimic/mod.ts";
import { freePort } from "./nginx.ts";
import { noise, pause, type Probe, program, raw, type Reading } from "./probe_meter.ts";
import { firstFlight, type ProbeWorld } from "./probe_world.ts";

/** Milliseconds after which sshd gives up who does not log in (`LoginGraceTime`), and some more. */
const GRACE = 126_000;

/** The server's version, its KEXINIT without its cookie, and the number of bytes that follow. */
const read: Reading = (bytes) => {
  const text = Buffer.from(bytes).toString("latin1");
  const at = text.indexOf("\r\n") + 2;
  // A packet's length, its padding's, and its type.
  if (at < 2 || bytes.length < at + 22 || bytes[at + 5] !== 20) {
    return { answer: text, records: [] };
  }
  const length = 4 + Buffer.from(bytes).readUInt32BE(at);
  const kex = bytes.slice(at, at + length);
  const padding = kex[4]!;
  kex.fill(0, 6, 22);
  kex.fill(0, kex.length - padding);
  const digest = createHash("sha256").update(kex).digest("hex").slice(0, 8);
  const after = bytes.length - at - length;
  return { answer: `${text.slice(0, at)}KEXINIT ${length} ${digest}, then ${after}`, records: [] };
};

/** A probe by OpenSSH's own client, without our key. */
function ssh(name: string, folder: string, ...args: string[]): Probe {
  return program(`ssh: ${name}`, {
    command: "/usr/bin/ssh",
    args: (port) => [
      ...["-F", "none", "-v", "-p", String(port), "-o", "BatchMode=yes"],
      ...["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"],
      ...["-o", "IdentitiesOnly=yes", "-o", `IdentityFile=${folder}/no_key`],
      ...[...args, "127.0.0.1", "true"],
    ],
    said: (_, stderr, outside) =>
      outside + "\n" +
      stderr.split(/\r?\n/).filter((line) =>
        /kex: |Server host key|continue: |denied|ext_info|closed|reset|[Uu]nable|Remote protocol/
          .test(line)
      ).map((line) => line.replaceAll(/ port \d+/g, "")).join("\n"),
    read,
  });
}

function probesOf(folder: string, replayed: Uint8Array): Probe[] {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const say = (name: string, said: string | Uint8Array, close = false, drip?: number) =>
    raw(name, typeof said === "string" ? bytes(said) : said, {
      close,
      read,
      ...(drip === undefined ? {} : { drip }),
    });
  const version = "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n";
  const packet = (length: number, rest: Uint8Array) => {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(length);
    return new Uint8Array(Buffer.concat([bytes(version), head, rest]));
  };
  // Version and KEXINIT of a genuine client, without what follows.
  const at = Buffer.from(replayed).indexOf("\n") + 1;
  const kex = replayed.subarray(0, at + 4 + Buffer.from(replayed).readUInt32BE(at));
  return [
    say("connect and close", "", true),
    say("silence", ""),
    raw("silence, until it gives up", new Uint8Array(0), { read, deadline: GRACE }),
    raw("a version, until it gives up", bytes(version), { read, deadline: GRACE }),
    say("a version, then silence", version),
    say("a version, then half close", version, true),
    say("a version, a byte each 5 ms", version, false, 5),
    say("a version, a byte each second", version, false, 1000),
    say("a version without an end", "SSH-2.0-probe"),
    say("a version of 300 characters", `SSH-2.0-${"x".repeat(300)}\r\n`),
    say("an endless version", `SSH-2.0-${"x".repeat(20_000)}`),
    say("a version with LF only", "SSH-2.0-probe\n"),
    say("SSH-1.5", "SSH-1.5-old\r\n"),
    say("SSH-1.99", "SSH-1.99-old\r\n"),
    say("SSH-3.0", "SSH-3.0-new\r\n"),
    say("a line before the version", `hello\r\n${version}`),
    say("an HTTP request", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    say("EHLO", "EHLO stranger.example\r\n"),
    say("a TLS hello", new Uint8Array([22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3, ...noise(194, 6)])),
    say("four zeros", new Uint8Array(4)),
    say("garbage, 200 bytes", noise(200, 1)),
    say("garbage, 20 KB", noise(20_000, 2)),
    say("a version and a KEXINIT", kex),
    say("a version and a KEXINIT, then half close", kex, true),
    say("a version and a KEXINIT, a byte each 2 ms", kex, false, 2),
    say("half a KEXINIT", kex.subarray(0, kex.length >> 1)),
    say("half a KEXINIT, then half close", kex.subarray(0, kex.length >> 1), true),
    say("a KEXINIT, then garbage", new Uint8Array([...kex, ...noise(400, 3)])),
    say("a packet too long", packet(0xffffffff, noise(100, 4))),
    say("a packet of nothing", packet(0, noise(100, 5))),
    say(
      "a packet that is no KEXINIT",
      packet(12, new Uint8Array([4, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
    ),
    say("a replayed first flight", replayed),
    ssh("no key", folder),
    ssh("no key, root", folder, "-l", "root"),
    ssh("no key, an account that is not there", folder, "-l", "nobody-here"),
    ssh("a wrong key", folder, "-i", `${folder}/wrong_key`, "-l", "root"),
    ssh("a password only", folder, "-o", "PreferredAuthentications=password"),
    ssh("keyboard-interactive only", folder, "-o", "PreferredAuthentications=keyboard-interactive"),
    ssh("an old cipher only", folder, "-c", "3des-cbc"),
    ssh("an old key exchange only", folder, "-o", "KexAlgorithms=diffie-hellman-group1-sha1"),
    ssh("another kind of host key only", folder, "-o", "HostKeyAlgorithms=rsa-sha2-512"),
    ssh("AES-GCM", folder, "-c", "aes128-gcm@openssh.com"),
    ssh("compression", folder, "-C"),
    program("ssh-keyscan: Ed25519", {
      command: "ssh-keyscan",
      args: (port) => ["-p", String(port), "-T", "3", "-t", "ed25519", "127.0.0.1"],
      said: (stdout, stderr) => `${stderr}${stdout}`.replaceAll(/(?<=127\.0\.0\.1\]?):\d+/g, ""),
      read,
    }),
  ];
}

/** Starts a plain sshd, and our server with the same host key. */
export async function startSshProbeWorld(): Promise<ProbeWorld> {
  const folder = await Deno.makeTempDir({ prefix: "probes-" });
  const started: (() => Promise<unknown>)[] = [
    () => Deno.remove(folder, { recursive: true }),
  ];
  const stop = async () => {
    for (const end of started.toReversed()) await end();
  };
  try {
    const server = await startServer({
      listen: { host: "127.0.0.1", port: 0 },
      models: [new ConstantRate()],
      carrier: "ssh",
      state: `${folder}/state`,
    });
    started.push(() => server.close());
    const port = freePort();
    await Deno.writeTextFile(`${folder}/authorized_keys`, "");
    await Deno.writeTextFile(`${folder}/wrong_key`, newHostKey().privateKey, { mode: 0o600 });
    await Deno.writeTextFile(
      `${folder}/sshd_config`,
      `ListenAddress 127.0.0.1:${port}
HostKey ${folder}/state/ssh/host_key
PidFile none
StrictModes no
AuthorizedKeysFile ${folder}/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
UseDNS no
Subsystem sftp internal-sftp
`,
    );
    const sshd = new Deno.Command("/usr/sbin/sshd", {
      args: ["-D", "-e", "-f", `${folder}/sshd_config`],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    started.push(async () => {
      sshd.kill("SIGTERM");
      await sshd.status;
    });
    const { cert: pin, login, secret } = server.parts;
    const connect = async (port: number) => {
      const client = await carrierOf("ssh").client({
        hostname: "127.0.0.1",
        port,
        pin,
        secret,
        folder,
        ...(login === undefined ? {} : { login }),
      });
      return await client.connect();
    };
    const replayed = await firstFlight(server.address.port, connect, secret);
    await pause(300);
    return {
      genuine: "sshd",
      told: "last",
      patience: 1,
      real: { port },
      ours: new Map([["ssh", server.address.port]]),
      probes: probesOf(folder, replayed),
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

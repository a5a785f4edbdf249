import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import net from "node:net";
import tls from "node:tls";
import { fileURLToPath } from "node:url";
import { hasDovecot, startDovecot } from "../../examples/imap/dovecot.ts";
import { recordMailbox, recordPort } from "../../examples/imap/record.ts";
import { noise } from "../transports/world.ts";

const has = (command: string, ...args: string[]) =>
  new Deno.Command(command, { args, stdout: "null", stderr: "null" }).output()
    .then(({ success }) => success, () => false);
const ignore = !(await hasDovecot() && await has("tcpdump", "--version") &&
  await has("/usr/bin/python3", "--version"));
const main = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));
const plugin = fileURLToPath(new URL("../../examples/imap/protocol.ts", import.meta.url));

/** Runs a command to its end with the protocol from outside. */
async function run(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "-A", main, ...args, "--protocol-plugin", plugin],
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  assert.equal(code, 0, decoder.decode(stderr));
  return decoder.decode(stdout);
}

/** Starts a command that goes on, and resolves with the first line that it prints. */
async function start(...args: string[]) {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "-A", main, ...args, "--protocol-plugin", plugin],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const said = new Response(child.stderr).text();
  const reader = child.stdout.getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { value } = await reader.read();
    if (value === undefined) assert.fail(`${args[0]} ended: ${await said}`);
    text += new TextDecoder().decode(value);
  }
  return {
    line: text.split("\n")[0]!,
    stop: async () => {
      child.kill("SIGTERM");
      while (!(await reader.read()).done);
      await child.status;
      await said;
    },
  };
}

/** Speaks as a stranger, line by line, STARTTLS included; what was answered, addresses and times cut out. */
async function talk(port: number, lines: readonly string[]): Promise<string> {
  const raw = net.connect({ host: "127.0.0.1", port, allowHalfOpen: true, noDelay: true });
  let socket: net.Socket = raw;
  let heard = "";
  let fresh = "";
  let wake = () => {};
  let over = false;
  const listen = (on: net.Socket) => {
    on.on("data", (bytes) => {
      fresh += bytes.toString();
      wake();
    });
    for (const event of ["end", "error", "close"]) {
      on.on(event, () => {
        over = true;
        wake();
      });
    }
  };
  const answer = async (until: RegExp) => {
    while (!over && !until.test(fresh)) await new Promise<void>((resolve) => wake = resolve);
    heard += fresh;
    fresh = "";
  };
  listen(raw);
  await answer(/^\* OK.*\r\n$/m);
  for (const line of lines) {
    if (over) break;
    socket.write(`${line}\r\n`);
    await answer(/^(?:\w+|\*) (?:OK|NO|BAD)[^\n]*\r\n$/m);
    if (/STARTTLS$/.test(line) && / OK /.test(heard.split("\r\n").at(-2)!)) {
      raw.removeAllListeners("data");
      socket = tls.connect({ socket: raw, rejectUnauthorized: false } as never);
      await new Promise((resolve) => socket.once("secureConnect", resolve));
      heard += (socket as tls.TLSSocket).getPeerCertificate().fingerprint256;
      listen(socket);
    }
  }
  socket.end();
  raw.destroy();
  return heard.replaceAll(/\(\d+\.\d+ [^)]*\)|<[^>]*>|\[[^\]]*UNSEEN[^\]]*\]/g, "");
}

Deno.test({
  name:
    "IMAP from a folder: recognised, learned, played before a real Dovecot, attacked (needs root, dovecot-imapd, tcpdump, python3)",
  ignore,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    await Deno.chmod(folder, 0o777);
    const dovecot = await startDovecot();
    try {
      const real = `${folder}/real.pcap`;
      await recordMailbox(dovecot.port, real, 14, 3);
      const model = `${folder}/imap.json`;
      const learned = JSON.parse(
        await run("learn", real, "--protocol", "imap", "--out", model, "--json"),
      );
      assert.equal(learned.models[0].connections, 14);
      assert.equal(learned.models[0].carrier, "imap");

      await Deno.writeTextFile(`${folder}/cert.pem`, dovecot.identity.certificate);
      await Deno.writeTextFile(`${folder}/key.pem`, dovecot.identity.key);
      const listen = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const { port } = listen.addr;
      listen.close();
      const server = await start(
        ...["server", "--listen", `127.0.0.1:${port}`, "--model", model, "--allow-private"],
        ...["--state", `${folder}/state`, "--decoy", `127.0.0.1:${dovecot.port}`],
        ...["--cert", `${folder}/cert.pem`, "--key", `${folder}/key.pem`],
      );
      assert.match(server.line, / carrier=imap/);

      for (
        const lines of [
          ["a CAPABILITY", "b NOOP", "c LOGOUT"],
          ["a STARTTLS", "b CAPABILITY", "c LOGIN x wrong", "d LOGOUT"],
          ["a STARTTLS now", "b LOGIN x secret", "nonsense", "c LOGOUT"],
        ]
      ) {
        const [ours, theirs] = [await talk(port, lines), await talk(dovecot.port, lines)];
        assert.equal(ours, theirs, lines.join(", "));
      }

      const echo = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const echoing = (async () => {
        for await (const conn of echo) conn.readable.pipeTo(conn.writable).catch(() => {});
      })();
      const cover = `${folder}/cover.pcap`;
      await recordPort(port, cover, async () => {
        const client = await start(
          ...["client", server.line, "--json", "--model", model, "--sessions", "6"],
          ...["--forward", `127.0.0.1:0=127.0.0.1:${echo.addr.port}`],
        );
        const sent = noise(20_000);
        const door = JSON.parse(client.line).doors[0].port;
        const conn = await Deno.connect({ hostname: "127.0.0.1", port: door });
        const back = new Response(conn.readable).bytes();
        for (let at = 0; at < sent.length;) at += await conn.write(sent.subarray(at));
        await conn.closeWrite();
        const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
        assert.equal(sha256(await back), sha256(sent));
        await client.stop();
      });
      echo.close();
      await echoing.catch(() => {});
      await server.stop();

      const verdict = JSON.parse(
        await run(
          ...["attack", "--plugin", "random-forest", "--set", "trees=10", "--folds", "2", "--json"],
          ...["--real", `imap=${real}`, "--real", `ssh=${samples("ssh")}`],
          ...["--cover", `imap=${cover}`],
        ),
      );
      assert.equal(verdict.real.labels.imap.n, 14);
      assert.ok(verdict.cover.imap.n >= 1, "cover connections were recognised and judged");
    } finally {
      await dovecot.stop();
      await Deno.remove(folder, { recursive: true });
    }
  },
});

function samples(protocol: string): string {
  return fileURLToPath(new URL(`../../samples/${protocol}/run-1.pcap.gz`, import.meta.url));
}

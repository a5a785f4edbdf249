// The transport `mimic` in the carrier `ssh`, as processes that the test starts as tor does.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { encodeClientArgs, PT_VARIABLES } from "../../transports/pt/mod.ts";
import { serveTcp, Wire } from "./pt/harness.ts";
import { TextLineStream } from "./text_lines.ts";

const MAIN = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));
const RUN = "--allow-run=/usr/bin/perl,/usr/bin/ssh,/usr/sbin/sshd,/usr/bin/setpriv";

const works = (command: string, ...args: string[]) =>
  new Deno.Command(command, { args, stdin: "null", stdout: "null", stderr: "null" }).output()
    .then(({ success }) => success, () => false);
const HAS_SSH = await works("/usr/bin/ssh", "-V") && await works("test", "-x", "/usr/sbin/sshd");

/** `main.ts pt` with the rights of its task; what it has said is in `lines`. */
function transport(state: string, env: Record<string, string>) {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--no-prompt", "--no-check", "--quiet", "--allow-net", "--allow-read", RUN],
      `--allow-write=${state}`,
      `--allow-env=${["NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", ...PT_VARIABLES].join(",")}`,
      ...[MAIN, "pt"],
    ],
    env: {
      NO_COLOR: "1",
      TOR_PT_MANAGED_TRANSPORT_VER: "1",
      TOR_PT_EXIT_ON_STDIN_CLOSE: "1",
      TOR_PT_STATE_LOCATION: state,
      ...env,
    },
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const lines: string[] = [];
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream())
    .getReader();
  const until = async (pattern: RegExp): Promise<string> => {
    for (;;) {
      const { done, value } = await reader.read();
      assert.ok(!done, lines.join("\n"));
      lines.push(value);
      if (pattern.test(value)) return value;
    }
  };
  const stop = async () => {
    await child.stdin.close().catch(() => {});
    while (!(await reader.read()).done);
    return (await child.status).code;
  };
  return { until, stop };
}

Deno.test({
  name:
    "mimic under tor in the carrier ssh: what goes into SOCKS comes out at the ORPort (needs OpenSSH)",
  ignore: !HAS_SSH,
  fn: async () => {
    const folder = await Deno.makeTempDir({ prefix: "mimic-ssh-" });
    await using tor = await serveTcp((wire: Wire) => {
      wire.socket.pipe(wire.socket);
    });
    const bridge = transport(`${folder}/server`, {
      TOR_PT_SERVER_TRANSPORTS: "mimic",
      TOR_PT_SERVER_BINDADDR: "mimic-127.0.0.1:0",
      TOR_PT_ORPORT: `127.0.0.1:${tor.port}`,
      TOR_PT_SERVER_TRANSPORT_OPTIONS: "mimic:model=ssh;mimic:sessions=4",
    });
    const method = await bridge.until(/^SMETHOD(-ERROR)? /);
    const [, port, text] = /^SMETHOD mimic 127\.0\.0\.1:(\d+) ARGS:(\S+)$/.exec(method)!;
    const args = Object.fromEntries(text!.split(",").map((pair) => pair.split("=", 2)));
    assert.equal(args.carrier, "ssh");
    const client = transport(`${folder}/client`, { TOR_PT_CLIENT_TRANSPORTS: "mimic" });
    try {
      const socks = Number(/:(\d+)$/.exec(await client.until(/^CMETHOD /))![1]);
      const wire = await Wire.open("127.0.0.1", socks);
      const given = new TextEncoder().encode(encodeClientArgs(args));
      const [user, password] = [given.subarray(0, 255), given.subarray(255)];
      wire.send([5, 1, 2]);
      assert.deepEqual(await wire.read(2), [5, 2]);
      wire.send([1, user.length, ...user, Math.max(1, password.length)]);
      wire.send(password.length > 0 ? password : [0]);
      assert.deepEqual(await wire.read(2), [1, 0]);
      wire.send([5, 1, 0, 1, 127, 0, 0, 1, Number(port) >> 8, Number(port) & 255]);
      assert.equal((await wire.read(10))[1], 0);
      const bytes = crypto.getRandomValues(new Uint8Array(3000));
      wire.send(bytes);
      assert.deepEqual(await wire.read(bytes.length), [...bytes]);
      wire.socket.end();
      assert.deepEqual(await wire.all(), []);
    } finally {
      assert.equal(await client.stop(), 0);
      assert.equal(await bridge.stop(), 0);
    }
    const left = [...Deno.readDirSync(`${folder}/client`)].map(({ name }) => name);
    assert.deepEqual(left.filter((name) => name.startsWith("tm-ssh-")), []);
    await Deno.remove(folder, { recursive: true });
  },
});

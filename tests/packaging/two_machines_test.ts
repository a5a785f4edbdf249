// The operator's page on two machines: an installed copy at each end of a link, without the source it was built
// from; curl, git and ssh go through the doors of the one to services that only the other reaches.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { run, type Running } from "../../lab/process.ts";
import { makeIdentity } from "../../transports/carriers/mod.ts";
import { installIn } from "../tor/tor_network.ts";
import { ADDRESSES, type End, TwoEnds } from "../tor/two_ends.ts";
import { noise } from "../transports/world.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const works = (...argv: string[]) => run(argv).then(() => true, () => false);

async function canTry(): Promise<boolean> {
  for (const name of ["curl", "git", "ssh", "ip"]) if (!await works("which", name)) return false;
  if (!await works("test", "-x", "/usr/sbin/sshd")) return false;
  const name = `tmlab-${Deno.pid}-two`;
  return await works("ip", "netns", "add", name) && await works("ip", "netns", "del", name);
}

/** Starts a program at one end, in a place where the source is gone. */
function startInstalled(ends: TwoEnds, end: End, ...argv: string[]): Running {
  const hide = 'mount -t tmpfs none "$1" && shift && cd / && exec "$@"';
  return ends.start(end, ["sh", "-c", hide, "sh", root, ...argv], { env: { NO_COLOR: "1" } });
}

Deno.test({
  name: "two machines: server, users and doors of an installed copy; curl, git over HTTPS, ssh" +
    " (needs root, git, curl, ssh, sshd and iproute2)",
  ignore: !await canTry(),
  fn: async (t) => {
    const folder = await Deno.makeTempDir();
    await using cleanup = new AsyncDisposableStack();
    cleanup.defer(() => Deno.remove(folder, { recursive: true }));
    const program = await installIn(folder);
    const ends = cleanup.use(await TwoEnds.up());
    const { v4 } = ADDRESSES.relays;
    const blob = noise(150_000);

    // What only the server's machine reaches: the services listen on another address of its own.
    const far = "10.98.0.1";
    await run(ends.inside("relays", ["ip", "addr", "add", `${far}/32`, "dev", "lo"]));
    await Deno.mkdir(`${folder}/site`);
    await Deno.writeFile(`${folder}/site/blob`, blob);
    const git = (...args: string[]) =>
      run(["git", "-c", "user.name=a", "-c", "user.email=a@example.org", ...args], 60_000, {
        env: { GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_NOSYSTEM: "1" },
      });
    await git("init", "--quiet", `${folder}/work`);
    await Deno.writeFile(`${folder}/work/blob`, blob);
    await git("-C", `${folder}/work`, "add", "blob");
    await git("-C", `${folder}/work`, "commit", "--quiet", "--no-gpg-sign", "-m", "one");
    await git("clone", "--quiet", "--bare", `${folder}/work`, `${folder}/site/project.git`);
    await git("-C", `${folder}/site/project.git`, "update-server-info");
    const { certificate, key } = await makeIdentity("far.test");
    await Deno.writeTextFile(`${folder}/cert.pem`, certificate);
    await Deno.writeTextFile(`${folder}/key.pem`, key);
    const site = ends.start("relays", [
      ...[Deno.execPath(), "run", "--no-prompt", "--no-check", "--quiet", "--allow-net"],
      ...["--allow-read", fileURLToPath(new URL("https_files.ts", import.meta.url))],
      ...[far, "8443", `${folder}/site`, `${folder}/cert.pem`, `${folder}/key.pem`],
    ]);
    await site.said(/listening/, 20_000);
    for (const name of ["host", "user"]) {
      await run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", `${folder}/${name}`]);
    }
    await Deno.writeTextFile(
      `${folder}/sshd`,
      [
        ...["Port 22", `ListenAddress ${far}`, `HostKey ${folder}/host`, "UsePAM no", ""],
        ...[`AuthorizedKeysFile ${folder}/user.pub`, "StrictModes no", "PidFile none", ""],
      ].join("\n"),
    );
    const sshd = ends.start("relays", [
      ...["sh", "-c", "mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec $0 -D -e -f $1"],
      ...["/usr/sbin/sshd", `${folder}/sshd`],
    ]);
    await sshd.said(/listening/, 10_000, "errors");

    const server = startInstalled(
      ends,
      "relays",
      ...[program, "server", "--listen", "[::]:443", "--advertise", `${v4}:443`],
      ...["--state", `${folder}/state`, "--allow-private"],
    );
    await server.said(/^mimic .*\n/, 20_000);
    let line = "";
    await t.step("a user is added while it runs", async () => {
      const at = ["--state", `${folder}/state`];
      await run([program, "keygen", "--append", `${folder}/state/secrets`]);
      line = (await run([program, "bridge-line", ...at, "--user", "2"])).trim();
      assert.equal(`${await run([program, "bridge-line", ...at, "--user", "1"])}`, server.output);
      assert.match(line, new RegExp(`^mimic ${v4}:443 cert=`));
      // The server looks for users every five seconds: the client asks again and again.
    });
    await Deno.writeTextFile(`${folder}/line`, `${line}\n`, { mode: 0o600 });
    const startClient = async (): Promise<Running> => {
      const client = startInstalled(
        ends,
        "clients",
        ...[program, "client", "--line-file", `${folder}/line`, "--sessions", "8"],
        ...["--schedule", "demand", "--socks", "127.0.0.1:1080", "--http", "127.0.0.1:8118"],
        ...["--forward", `2222=${far}:22`],
      );
      // What ends before it says so does not say it.
      if (await client.said(/ready/, 60_000).then(() => true, () => false)) return client;
      await client.stop();
      assert.match(client.errors, /does not know this secret/);
      return await startClient();
    };
    const client = await startClient();
    const here = (argv: string[], seconds = 60) =>
      new Deno.Command("env", {
        args: ends.inside("clients", ["timeout", `${seconds}`, ...argv]),
        env: { GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_NOSYSTEM: "1" },
        stdin: "null",
      }).output();
    const said = ({ stderr }: { stderr: Uint8Array }) => new TextDecoder().decode(stderr);

    await t.step("the services cannot be reached without the tunnel", async () => {
      assert.ok(!(await here(["curl", "-sk", "-m", "2", `https://${far}:8443/blob`])).success);
    });
    await t.step("curl, by SOCKS and by HTTP proxy", async () => {
      for (
        const door of [["--socks5-hostname", "127.0.0.1:1080"], ["-x", "http://127.0.0.1:8118"]]
      ) {
        const answer = await here(["curl", "-sSk", ...door, `https://${far}:8443/blob`]);
        assert.ok(answer.success, said(answer));
        assert.deepEqual(answer.stdout, new Uint8Array(blob));
      }
    });
    await t.step("git clone over HTTPS", async () => {
      const answer = await here([
        ...["git", "-c", "http.proxy=http://127.0.0.1:8118", "-c", "http.sslVerify=false"],
        ...["clone", "--quiet", `https://${far}:8443/project.git`, `${folder}/clone`],
      ]);
      assert.ok(answer.success, said(answer));
      assert.deepEqual(await Deno.readFile(`${folder}/clone/blob`), new Uint8Array(blob));
    });
    await t.step("an SSH session", async () => {
      const answer = await here([
        ...["ssh", "-F", "none", "-p", "2222", "-i", `${folder}/user`, "-o", "IdentitiesOnly=yes"],
        ...["-o", `UserKnownHostsFile=${folder}/known`, "-o", "StrictHostKeyChecking=accept-new"],
        ...["-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "root@127.0.0.1"],
        `cat ${folder}/site/blob; exit 7`,
      ]);
      assert.equal(answer.code, 7, said(answer));
      assert.deepEqual(answer.stdout, new Uint8Array(blob));
    });
    await t.step("a stranger meets a web page", async () => {
      const answer = await here(["curl", "-sSk", `https://${v4}/`]);
      assert.match(new TextDecoder().decode(answer.stdout), /^<!DOCTYPE html>/);
    });
    await t.step("both end when they are told to, and have nothing to complain of", async () => {
      for (const program of [client, server]) {
        await program.stop("SIGTERM", 10_000);
        assert.deepEqual([program.code, program.errors.replace(/^ready.*\n/gm, "")], [0, ""]);
      }
    });
  },
});

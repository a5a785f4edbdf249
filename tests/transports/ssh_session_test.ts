import assert from "node:assert/strict";
import { parseLine, startClient, startServer } from "../../transports/mimic/mod.ts";
import { FAST_MODEL, noise } from "./world.ts";

const works = (command: string, ...args: string[]) =>
  new Deno.Command(command, { args, stdin: "null", stdout: "null", stderr: "null" }).output()
    .then(({ success }) => success, () => false);
const HAS_SSH = await works("ssh", "-V") && await works("test", "-x", "/usr/sbin/sshd") &&
  await works("unshare", "-m", "true");

/** sshd with keys of its own, whose traces in /run and /var/log nobody else sees. */
async function startSshd(folder: string) {
  for (const name of ["host", "user"]) {
    const file = `${folder}/${name}`;
    assert.ok(await works("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", file));
  }
  const free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = free.addr;
  free.close();
  await Deno.writeTextFile(
    `${folder}/config`,
    [
      ...["Port " + port, "ListenAddress 127.0.0.1", `HostKey ${folder}/host`, "UsePAM no"],
      ...[`AuthorizedKeysFile ${folder}/user.pub`, "StrictModes no", "PidFile none"],
      ...["PermitRootLogin prohibit-password", "PasswordAuthentication no", "UseDNS no", ""],
    ].join("\n"),
  );
  const script = "mount -t tmpfs none /run && mkdir -m 755 /run/sshd && " +
    "mount -t tmpfs none /var/log && exec /usr/sbin/sshd -D -e -f $1";
  const child = new Deno.Command("unshare", {
    args: ["-m", "sh", "-c", script, "sh", `${folder}/config`],
    stderr: "piped",
  }).spawn();
  const said = child.stderr.getReader();
  let log = "";
  while (!log.includes("listening")) {
    const { value, done } = await said.read();
    if (done) throw new Error(log);
    log += new TextDecoder().decode(value);
  }
  await said.cancel();
  return { port, child };
}

Deno.test({
  name: "ssh: a session through a door, in and out compared",
  ignore: !HAS_SSH,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    const sshd = await startSshd(folder);
    const server = await startServer({
      listen: { host: "127.0.0.1", port: 0 },
      models: [FAST_MODEL],
      state: `${folder}/state`,
      allowPrivate: true,
    });
    const client = await startClient({
      line: parseLine(server.line),
      model: FAST_MODEL,
      seed: new Uint8Array(32),
      forwards: [{
        local: { host: "127.0.0.1", port: 0 },
        destination: { host: "127.0.0.1", port: sshd.port },
      }],
    });
    const ssh = new Deno.Command("ssh", {
      args: [
        ...["-F", "none", "-p", String(client.doors[0]!.port), "-i", `${folder}/user`],
        ...["-o", `UserKnownHostsFile=${folder}/known`, "-o", "StrictHostKeyChecking=accept-new"],
        ...["-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"],
        ...["root@127.0.0.1", "cat; echo over >&2; exit 7"],
      ],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const sent = noise(300_000);
    const [{ code, stdout, stderr }] = await Promise.all([
      ssh.output(),
      new Blob([sent]).stream().pipeTo(ssh.stdin),
    ]);
    assert.equal(new TextDecoder().decode(stderr), "over\n");
    assert.equal(code, 7);
    assert.deepEqual(new Uint8Array(stdout), sent);
    await client.close();
    await server.close();
    sshd.child.kill("SIGTERM");
    await sshd.child.status;
    await Deno.remove(folder, { recursive: true });
  },
});

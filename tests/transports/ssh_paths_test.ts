import assert from "node:assert/strict";
import type { CarrierConnection } from "../../transports/carriers/carrier.ts";
import { sshCarrier } from "../../transports/carriers/ssh.ts";
import { checkPerl, ProgramError } from "../../transports/carriers/ssh_program.ts";
import { noise } from "./world.ts";

const works = (command: string, ...args: string[]) =>
  new Deno.Command(command, { args, stdin: "null", stdout: "null", stderr: "null" }).output()
    .then(({ success }) => success, () => false);
const HAS_SSH = await works("/usr/bin/ssh", "-V") && await works("test", "-x", "/usr/sbin/sshd");

Deno.test({
  name: "ssh: folders may have names that shells, ssh and sshd read otherwise (needs OpenSSH)",
  ignore: !HAS_SSH,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    const name = `a b's %h \${X} $(exit 1) "q" \\ # é`;
    const secret = noise(32);
    let accepted = 0;
    const server = await sshCarrier.listen({
      hostname: "127.0.0.1",
      port: 0,
      identity: undefined as never,
      secrets: [secret],
      state: `${folder}/${name}`,
    }, (connection: CarrierConnection) => {
      accepted++;
      connection.listener = { onData: () => {}, onClose: () => connection.close("fin") };
    });
    const { login, pin, port } = server;
    const client = await sshCarrier.client({
      hostname: "127.0.0.1",
      port,
      pin,
      secret,
      folder: `${folder}/client of ${name}`,
      ...(login === undefined ? {} : { login }),
    });
    try {
      for (let i = 1; i <= 2; i++) {
        const connection = await client.connect();
        // The first answer comes before the server hears of the session.
        while (accepted < i) await new Promise((resolve) => setTimeout(resolve, 1));
        connection.listener = { onData: () => {}, onClose: () => {} };
        connection.close("fin");
      }
      // What the server is known by was kept where it was looked for.
      const [own] = await Array.fromAsync(Deno.readDir(`${folder}/client of ${name}`));
      const known = await Deno.readTextFile(`${folder}/client of ${name}/${own!.name}/known`);
      assert.match(known, /^server ssh-ed25519 /);
    } finally {
      await client.close();
      await server.close();
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test("ssh: a server without perl says what to install, for its sessions could not", async () => {
  await checkPerl(new URL(import.meta.url).pathname);
  const error = await checkPerl("/nowhere/perl").then(() => undefined, (error: unknown) => error);
  assert.ok(error instanceof ProgramError);
  assert.match(error.message, /no \/nowhere\/perl, .*install perl-base$/);
});

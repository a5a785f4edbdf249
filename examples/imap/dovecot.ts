import { makeIdentity, type ServerIdentity } from "../../transports/carriers/mod.ts";

/** A Dovecot on loopback, for recordings and tests. */
export interface Dovecot {
  /** Its port on 127.0.0.1. */
  readonly port: number;
  /** Its certificate and key. */
  readonly identity: ServerIdentity;
  /** Ends it and removes its files. */
  stop(): Promise<void>;
}

/** Whether Dovecot can be started here: it wants root to begin with. */
export async function hasDovecot(): Promise<boolean> {
  return Deno.uid() === 0 &&
    await Deno.stat("/usr/sbin/dovecot").then(() => true, () => false);
}

const CONFIGURATION = (folder: string, port: number) => `
base_dir = ${folder}/run
state_dir = ${folder}/state
log_path = ${folder}/log
protocols = imap
listen = 127.0.0.1
ssl = required
ssl_cert = <${folder}/cert.pem
ssl_key = <${folder}/key.pem
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=65534 gid=65534 home=${folder}/mail/%u
}
first_valid_uid = 1
mail_location = maildir:~/Maildir
mail_max_userip_connections = 100
service imap-login {
  inet_listener imap {
    port = ${port}
  }
  inet_listener imaps {
    port = 0
  }
}
namespace inbox {
  inbox = yes
}
`;

/** Starts Dovecot with STARTTLS; anybody's password is `secret`. */
export async function startDovecot(): Promise<Dovecot> {
  const folder = await Deno.makeTempDir({ prefix: "dovecot-" });
  await Deno.chmod(folder, 0o755);
  await Deno.mkdir(`${folder}/mail`);
  await Deno.chown(`${folder}/mail`, 65_534, 65_534);
  const identity = await makeIdentity("mail.example.net");
  await Deno.writeTextFile(`${folder}/cert.pem`, identity.certificate);
  await Deno.writeTextFile(`${folder}/key.pem`, identity.key, { mode: 0o600 });
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  await Deno.writeTextFile(`${folder}/dovecot.conf`, CONFIGURATION(folder, port));
  const child = new Deno.Command("/usr/sbin/dovecot", {
    args: ["-F", "-c", `${folder}/dovecot.conf`],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const stop = async () => {
    try {
      child.kill("SIGTERM");
    } catch {
      // It has ended.
    }
    await child.status;
    await Deno.remove(folder, { recursive: true });
  };
  for (let attempt = 0; attempt < 200; attempt++) {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port }).catch(() => undefined);
    if (conn !== undefined) {
      const greeting = new Uint8Array(64);
      const count = await conn.read(greeting).catch(() => null);
      conn.close();
      if (count !== null) return { port, identity, stop };
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const log = await Deno.readTextFile(`${folder}/log`).catch(() => "");
  await stop();
  throw new Error(`Dovecot did not start: ${log.slice(-300)}`);
}

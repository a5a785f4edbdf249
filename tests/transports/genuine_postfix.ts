import { makeIdentity, type ServerIdentity } from "../../transports/carriers/mod.ts";

/** Whether Postfix can be started here. */
export const HAS_POSTFIX = await (async () => {
  if (Deno.uid() !== 0) return false;
  return await Deno.stat("/usr/sbin/postfix").then(() => true, () => false);
})();

const MAIN = (folder: string, networks: string, settings: string) => `
compatibility_level = 3.6
queue_directory = ${folder}/queue
data_directory = ${folder}/data
maillog_file = /dev/stdout
myhostname = mail.example.net
mydomain = example.net
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
disable_dns_lookups = yes
notify_classes =
mynetworks = 127.0.0.1/32 ${networks}
default_transport = discard:
relay_transport = discard:
smtpd_peername_lookup = no
smtpd_delay_reject = no
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = may
smtpd_tls_cert_file = ${folder}/cert.pem
smtpd_tls_key_file = ${folder}/key.pem
${settings}
`;

const MASTER = (port: number, behind: number) => `
127.0.0.1:${port} inet n - n - - smtpd
127.0.0.1:${behind} inet n - n - - smtpd -o smtpd_upstream_proxy_protocol=haproxy
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
anvil unix - - n - 1 anvil
discard unix - - n - - discard
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
`;

/** A Postfix that a test has started. */
export interface GenuinePostfix {
  /** Where it is met as anybody does. */
  readonly port: number;
  /** Where it expects the PROXY protocol. */
  readonly behind: number;
  /** Its certificate and key. */
  readonly identity: ServerIdentity;
  /** What it has logged. */
  log(): string;
  /** Ends it. */
  stop(): Promise<void>;
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  listener.close();
  return listener.addr.port;
}

/**
 * Starts Postfix on two loopback ports: it offers STARTTLS, takes mail from loopback (and other `networks`, whose
 * clients it then does not count either) only, and discards it. `settings` are further lines of its `main.cf`.
 */
export async function startGenuinePostfix(
  networks = "",
  settings = "",
): Promise<GenuinePostfix> {
  const folder = await Deno.makeTempDir();
  await Deno.chmod(folder, 0o755);
  for (const name of ["etc", "queue", "data"]) await Deno.mkdir(`${folder}/${name}`);
  const identity = await makeIdentity("mail.example.net");
  await Deno.writeTextFile(`${folder}/cert.pem`, identity.certificate);
  await Deno.writeTextFile(`${folder}/key.pem`, identity.key, { mode: 0o600 });
  const [port, behind] = [freePort(), freePort()];
  await Deno.writeTextFile(`${folder}/etc/main.cf`, MAIN(folder, networks, settings));
  await Deno.writeTextFile(`${folder}/etc/master.cf`, MASTER(port, behind));
  await new Deno.Command("chown", { args: ["postfix", `${folder}/data`] }).output();
  const process = new Deno.Command("postfix", {
    args: ["-c", `${folder}/etc`, "start-fg"],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  let log = "";
  const started = Promise.withResolvers<void>();
  const reading = (async () => {
    for await (const text of process.stdout.pipeThrough(new TextDecoderStream())) {
      log += text;
      if (/daemon started/.test(log)) started.resolve();
    }
    started.reject(new Error(`postfix did not start: ${log}`));
  })();
  started.promise.catch(() => {});
  await started.promise;
  return {
    port,
    behind,
    identity,
    log: () => log,
    stop: async () => {
      // The program that we started is a script; this ends the master that it started.
      await new Deno.Command("postfix", { args: ["-c", `${folder}/etc`, "stop"], stderr: "null" })
        .output();
      await process.status;
      await reading;
      await Deno.remove(folder, { recursive: true });
    },
  };
}

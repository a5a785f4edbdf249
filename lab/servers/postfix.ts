import { type LabNetwork, SERVER_ADDRESS } from "../network.ts";
import { run } from "../process.ts";
import { makeCertificate } from "./certificate.ts";

/** The name that the mail server calls itself. */
export const MAIL_HOST = "mail.example.net";

const SERVICES = `
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
tlsproxy  unix  -       -       n       -       0       tlsproxy
postlog   unix-dgram n  -       n       -       1       postlogd
`;

const common = (folder: string, name: string) => `
compatibility_level = 3.6
queue_directory = ${folder}/queue
data_directory = ${folder}/data
maillog_file = /dev/stdout
myhostname = ${name}
mydomain = example.net
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
inet_protocols = ipv4
disable_dns_lookups = yes
smtp_host_lookup = native
notify_classes =
`;

async function startInstance(
  network: LabNetwork,
  end: "client" | "server",
  folder: string,
  configuration: string,
  services: string,
): Promise<void> {
  for (const name of ["", "/etc", "/queue", "/data"]) {
    await Deno.mkdir(`${folder}${name}`, { recursive: true, mode: 0o755 });
  }
  await run(["chown", "postfix", `${folder}/data`]);
  await Deno.writeTextFile(`${folder}/etc/main.cf`, configuration);
  await Deno.writeTextFile(`${folder}/etc/master.cf`, services);
  const program = network.start(end, ["postfix", "-c", `${folder}/etc`, "start-fg"]);
  await program.said(/daemon started/, 20_000);
}

/** Where a Postfix behind our server is met, inside the server's namespace. */
export const MAIL_BEHIND = { host: "127.0.0.1", port: 10025 } as const;

/**
 * Starts Postfix on port 25: it offers STARTTLS, accepts mail for anybody, and discards it. With `behind` it
 * listens at {@linkcode MAIL_BEHIND} instead, where it is told each client's address by the PROXY protocol.
 * Returns the paths of its key and certificate.
 */
export async function startPostfix(
  network: LabNetwork,
  folder: string,
  behind = false,
): Promise<{ key: string; certificate: string }> {
  const own = `${folder}/server`;
  const { key, certificate } = await makeCertificate(folder, MAIL_HOST, "rsa");
  const configuration = `${common(own, MAIL_HOST)}
inet_interfaces = ${behind ? MAIL_BEHIND.host : network.serverAddresses.join(", ")}
mynetworks = 10.99.0.0/24
default_transport = discard:
relay_transport = discard:
smtpd_peername_lookup = no
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = encrypt
smtpd_tls_cert_file = ${certificate}
smtpd_tls_key_file = ${key}
`;
  const port = behind ? MAIL_BEHIND.port : 25;
  const proxied = behind ? " -o smtpd_upstream_proxy_protocol=haproxy" : "";
  const services = `${port} inet n - n - - smtpd${proxied}\n${SERVICES}`;
  await startInstance(network, "server", own, configuration, services);
  await network.listening(port);
  return { key, certificate };
}

/**
 * Starts a Postfix at the client's end that relays all mail to the server, over connections that it
 * keeps for a moment and uses again: to the address that `routes` has for the mail's sender. Returns its
 * configuration folder, for \`sendmail -C\`.
 */
export async function startRelay(
  network: LabNetwork,
  folder: string,
  routes: ReadonlyMap<string, string>,
): Promise<string> {
  const own = `${folder}/relay`;
  const lines = [...routes].map(([sender, address]) => `${sender} [${address}]\n`);
  await Deno.writeTextFile(`${folder}/routes`, lines.join(""));
  const configuration = `${common(own, "relay.example.com")}
inet_interfaces = loopback-only
mynetworks = 127.0.0.1/32
relayhost = [${SERVER_ADDRESS}]
sender_dependent_relayhost_maps = texthash:${folder}/routes
smtp_tls_security_level = encrypt
smtp_tls_connection_reuse = yes
smtp_connection_cache_destinations = ${network.serverAddresses.join(", ")}
smtp_connection_cache_time_limit = 2s
smtp_connection_reuse_time_limit = 4s
smtp_destination_concurrency_limit = 2
`;
  await startInstance(network, "client", own, configuration, SERVICES);
  return `${own}/etc`;
}

import type { LabNetwork } from "../network.ts";
import { run } from "../process.ts";

/** Where the keys of a run are. */
export interface SshKeys {
  /** The client's private key. */
  readonly identity: string;
  /** The server's public key, as a known_hosts file. */
  readonly knownHosts: string;
}

const configuration = (folder: string, addresses: readonly string[]) => `
Port 22
${addresses.map((address) => `ListenAddress ${address}`).join("\n")}
HostKey ${folder}/host_key
PidFile ${folder}/sshd.pid
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
UsePAM no
UseDNS no
PrintMotd no
MaxStartups 50
Subsystem sftp /usr/lib/openssh/sftp-server
`;

/**
 * Starts sshd on port 22, with keys of its own. It sees a home folder made for it instead of the real
 * one, and nothing that it notes about logins leaves it: those folders are private to it.
 */
export async function startSshd(
  network: LabNetwork,
  folder: string,
  homeFiles: ReadonlyMap<string, string>,
): Promise<SshKeys> {
  for (const name of ["host_key", "identity"]) {
    await run([
      "ssh-keygen",
      "-q",
      "-t",
      "ed25519",
      "-N",
      "",
      "-C",
      "lab",
      "-f",
      `${folder}/${name}`,
    ]);
  }
  const hostKey = await Deno.readTextFile(`${folder}/host_key.pub`);
  const addresses = network.serverAddresses;
  await Deno.writeTextFile(`${folder}/known_hosts`, `${addresses.join(",")} ${hostKey}`);
  await Deno.writeTextFile(`${folder}/sshd_config`, configuration(folder, addresses));
  const home = `${folder}/home`;
  // Where everybody has them: sshd tells clients the path, so that its length shows.
  await Deno.mkdir(`${home}/.ssh`, { recursive: true });
  await Deno.copyFile(`${folder}/identity.pub`, `${home}/.ssh/authorized_keys`);
  for (const [name, text] of homeFiles) await Deno.writeTextFile(`${home}/${name}`, text);
  await Deno.writeTextFile(`${home}/.bashrc`, "PS1='user@server:\\w$ '\nunset MAILCHECK\n");
  await Deno.writeTextFile(`${home}/.profile`, ". ~/.bashrc\n");
  const script = "mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && " +
    'mount -t tmpfs tmpfs /var/log && touch /var/log/lastlog /var/log/wtmp && mount --bind "$1" "$HOME" && ' +
    'exec /usr/sbin/sshd -D -e -f "$2"';
  network.start("server", ["sh", "-c", script, "sh", home, `${folder}/sshd_config`], {
    env: { HOME: Deno.env.get("HOME") ?? "/root" },
  });
  await network.listening(22);
  return { identity: `${folder}/identity`, knownHosts: `${folder}/known_hosts` };
}

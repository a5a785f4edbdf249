/**
 * The carrier `ssh`: the system's own OpenSSH. `sshd` listens on the public address, so that a stranger meets
 * the genuine server from the first byte; a user logs in with a key drawn from the secret and begins the session
 * that `sftp` and `scp` begin, whose forced command joins it to our server.
 *
 * Measured with OpenSSH 9.2: what is written at once becomes one packet (up to 32768 bytes), if what was written
 * before has been read; a receiver adds a packet of 36 bytes (window adjust) for about every 96 KB.
 *
 * @module
 */
import type { Carrier } from "./carrier.ts";
import { sshClient } from "./ssh_client.ts";
import { listenSsh } from "./ssh_server.ts";

export { SecretRefused, SshStateError } from "./ssh_errors.ts";
export { SSH_ADJUSTMENT, SSH_GRID } from "./ssh_connection.ts";
export { ProgramError } from "./ssh_program.ts";

/** The carrier `ssh`, for the registry. The secret is the user's key; playback proves it once more inside. */
export const sshCarrier: Carrier = {
  name: "ssh",
  alpn: false,
  client: sshClient,
  listen: listenSsh,
};

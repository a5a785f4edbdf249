import { workAll } from "./clients/ssh.ts";
import type { Stage, Workload } from "./record.ts";
import { startSshd } from "./servers/sshd.ts";
import { sshWorkload } from "./workload/ssh.ts";

/** OpenSSH's server, and people who type, copy and run commands with OpenSSH's clients. */
export async function recordSsh(stage: Stage): Promise<Workload> {
  const { network, folder } = stage;
  const { serverFiles, clientFiles, users } = sshWorkload(stage.random, stage.users?.length);
  const keys = await startSshd(network, folder, serverFiles);
  await Deno.mkdir(`${folder}/client`);
  for (const [name, text] of clientFiles) {
    await Deno.writeTextFile(`${folder}/client/${name}`, text);
  }
  return { play: () => workAll(stage, keys, users) };
}

import { type LabNetwork, SERVER_ADDRESS } from "../network.ts";
import { sleep } from "../process.ts";
import type { Stage } from "../record.ts";
import type { SshKeys } from "../servers/sshd.ts";
import type { SshTask, SshUser } from "../workload/ssh.ts";

const PATIENCE = 20_000;

function options({ identity, knownHosts }: SshKeys): string[] {
  return [
    ...["-F", "none", "-i", identity, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"],
    ...["-o", `UserKnownHostsFile=${knownHosts}`, "-o", "GlobalKnownHostsFile=none"],
    ...["-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=10"],
  ];
}

async function perform(
  network: LabNetwork,
  keys: SshKeys,
  folder: string,
  target: string,
  task: SshTask,
): Promise<boolean> {
  const flags = options(keys);
  const begin = (argv: string[]) =>
    network.start("client", argv, { cwd: folder, env: { TERM: "xterm" } });
  if (task.kind === "shell") {
    const program = begin(["ssh", ...flags, "-tt", "-e", "none", target]);
    await program.said(/\$ $/, 10_000);
    for (const { after, text } of task.keys) {
      await sleep(after);
      if (!await program.write(text)) break;
    }
    return (await program.ended(PATIENCE)).success;
  }
  if (task.kind === "command") {
    const program = begin(["ssh", ...flags, target, task.command]);
    if (task.input !== "") await program.write(task.input);
    await program.closeInput();
    return (await program.ended(PATIENCE)).success;
  }
  if (task.program === "scp") {
    const up = task.transfers[0]!.direction === "up";
    const files = task.transfers.map(({ file }) => up ? file : `${target}:${file}`);
    const program = begin(["scp", "-q", ...flags, ...files, up ? `${target}:.` : "."]);
    await program.closeInput();
    return (await program.ended(PATIENCE)).success;
  }
  const program = begin(["sftp", "-q", ...flags, "-b", "-", target]);
  for (const { direction, file, after } of task.transfers) {
    await sleep(after);
    await program.write(`${direction === "up" ? "put" : "get"} ${file}\n`);
  }
  await program.closeInput();
  return (await program.ended(PATIENCE)).success;
}

/** Has `users` work for the stage's time; returns how many tasks of each kind went well or failed. */
export async function workAll(
  { network, folder, milliseconds, users: ends }: Stage,
  keys: SshKeys,
  users: readonly SshUser[],
): Promise<Record<string, number>> {
  const did: Record<string, number> = {};
  const deadline = performance.now() + milliseconds;
  await Promise.all(users.map(async ({ tasks }, user) => {
    const own = `${folder}/user-${user}`;
    const target = `root@${ends?.[user]?.server ?? SERVER_ADDRESS}`;
    await Deno.mkdir(own);
    for await (const file of Deno.readDir(`${folder}/client`)) {
      await Deno.symlink(`${folder}/client/${file.name}`, `${own}/${file.name}`);
    }
    for (const { after, task } of tasks) {
      if (performance.now() + after > deadline) return;
      await sleep(after);
      const what = await perform(network, keys, own, target, task)
        ? task.kind
        : `${task.kind} failed`;
      did[what] = (did[what] ?? 0) + 1;
    }
  }));
  return did;
}

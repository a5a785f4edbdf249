import { type LabNetwork, SERVER_ADDRESS } from "../network.ts";
import { run, Running, sleep } from "../process.ts";
import type { Stage } from "../record.ts";
import { startRelay } from "../servers/postfix.ts";
import type { Mail, MailSender, MailTask } from "../workload/smtp.ts";

const PATIENCE = 20_000;

/** One mail, one connection. */
async function swaks(
  network: LabNetwork,
  folder: string,
  server: string,
  mail: Mail,
): Promise<boolean> {
  await Deno.writeTextFile(`${folder}/mail`, mail.text);
  const program = network.start("client", [
    ...[
      "swaks",
      "--server",
      server,
      "--port",
      "25",
      "--tls",
      "--helo",
      "client.example.com",
    ],
    ...["--from", mail.from, "--to", mail.to.join(","), "--data", `@${folder}/mail`],
    ...["--suppress-data"],
  ], { env: { HOME: folder } });
  await program.closeInput();
  return (await program.ended(PATIENCE)).success;
}

/**
 * Several mails over one connection. curl opens a mail's file when its turn has come, so a named pipe
 * filled later makes the pause before it.
 */
async function curl(
  network: LabNetwork,
  folder: string,
  server: string,
  mails: readonly Mail[],
): Promise<boolean> {
  const args: string[] = [];
  for (const [index, mail] of mails.entries()) {
    if (index > 0) args.push("--next");
    const path = `${folder}/mail-${index}`;
    args.push(
      "--silent",
      "--ssl-reqd",
      "--insecure",
      `smtp://${server}/client.example.com`,
    );
    args.push("--mail-from", mail.from, ...mail.to.flatMap((to) => ["--mail-rcpt", to]));
    args.push("--upload-file", path);
    await Deno.remove(path).catch(() => {});
    await Deno.writeTextFile(
      index === 0 ? path : `${path}.later`,
      mail.text.replaceAll("\n", "\r\n"),
    );
    if (index > 0) await run(["mkfifo", path]);
  }
  // The pauses: each pipe's writer starts its wait when curl has opened the pipe.
  const feed = mails.slice(1).map(({ after }, index) => {
    const path = `${folder}/mail-${index + 1}`;
    return `{ sleep ${(after / 1000).toFixed(3)}; cat '${path}.later'; } > '${path}'`;
  }).join("; ");
  const feeder = feed === ""
    ? undefined
    : new Running(network.inside("client", ["sh", "-c", feed]));
  const program = network.start("client", ["curl", ...args], { env: { HOME: folder } });
  await program.closeInput();
  const { success } = await program.ended(PATIENCE);
  await feeder?.stop("SIGTERM");
  return success;
}

/** Mails given to a mail server, which relays them as it sees fit. */
async function relay(
  network: LabNetwork,
  configuration: string,
  mails: readonly Mail[],
): Promise<boolean> {
  let well = true;
  for (const [index, mail] of mails.entries()) {
    if (index > 0) await sleep(mail.after);
    const program = network.start("client", [
      ...["sendmail", "-C", configuration, "-i", "-f", mail.from, ...mail.to],
    ]);
    await program.write(mail.text);
    await program.closeInput();
    well = (await program.ended(PATIENCE)).success && well;
  }
  return well;
}

/** Has `senders` send for the stage's time; returns how many tasks of each program went well or failed. */
export async function sendAll(
  { network, folder, milliseconds, users: ends }: Stage,
  senders: readonly MailSender[],
): Promise<Record<string, number>> {
  const serverOf = (sender: number) => ends?.[sender]?.server ?? SERVER_ADDRESS;
  const routes = senders.flatMap(({ tasks }, sender) =>
    tasks.flatMap(({ task }) => task.mails.map(({ from }) => [from, serverOf(sender)] as const))
  );
  const configuration = await startRelay(network, folder, new Map(routes));
  const did: Record<string, number> = {};
  const deadline = performance.now() + milliseconds;
  const perform = (own: string, server: string, { program, mails }: MailTask) => {
    if (program === "swaks") return swaks(network, own, server, mails[0]!);
    if (program === "curl") return curl(network, own, server, mails);
    return relay(network, configuration, mails);
  };
  await Promise.all(senders.map(async ({ tasks }, sender) => {
    const own = `${folder}/sender-${sender}`;
    await Deno.mkdir(own);
    for (const { after, task } of tasks) {
      if (performance.now() + after > deadline) return;
      await sleep(after);
      const what = await perform(own, serverOf(sender), task)
        ? task.program
        : `${task.program} failed`;
      did[what] = (did[what] ?? 0) + 1;
    }
  }));
  return did;
}

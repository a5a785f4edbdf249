import { sendAll } from "./clients/mail.ts";
import type { Stage, Workload } from "./record.ts";
import { startPostfix } from "./servers/postfix.ts";
import { mailWorkload } from "./workload/smtp.ts";

/** Postfix with STARTTLS, and mail programs that send to it. */
export async function recordSmtp(stage: Stage): Promise<Workload> {
  const { network, folder } = stage;
  const senders = mailWorkload(stage.random, stage.users?.length);
  await startPostfix(network, folder);
  return { play: () => sendAll(stage, senders) };
}

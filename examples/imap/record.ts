/**
 * Records a user of a real Dovecot on loopback (root; dovecot-imapd, tcpdump, python3):
 *
 *     deno run -A examples/imap/record.ts mail.pcap 40 1
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { startDovecot } from "./dovecot.ts";

/** Records what goes over `port` on loopback while `body` runs. */
export async function recordPort(
  port: number,
  file: string,
  body: () => Promise<void>,
): Promise<void> {
  const child = new Deno.Command("tcpdump", {
    args: ["-i", "lo", "-U", "--immediate-mode", "-B", "8192", "-w", file, `tcp port ${port}`],
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const reader = child.stderr.getReader();
  let said = "";
  while (!said.includes("listening")) {
    const { value } = await reader.read();
    if (value === undefined) throw new Error(`tcpdump: ${said.trim()}`);
    said += new TextDecoder().decode(value);
  }
  try {
    await body();
    // What is on its way to the file.
    await new Promise((resolve) => setTimeout(resolve, 500));
  } finally {
    child.kill("SIGINT");
    while (!(await reader.read()).done);
    await child.status;
  }
}

/** Records `connections` of a user of Dovecot, who is decided by `seed`. */
export async function recordMailbox(
  port: number,
  file: string,
  connections: number,
  seed: number,
): Promise<void> {
  const script = fileURLToPath(new URL("./mailbox.py", import.meta.url));
  await recordPort(port, file, async () => {
    const { code, stderr } = await new Deno.Command("/usr/bin/python3", {
      args: [script, String(port), String(seed), String(connections)],
      stdout: "null",
    }).output();
    if (code !== 0) throw new Error(new TextDecoder().decode(stderr).trim().split("\n").at(-1));
  });
}

if (import.meta.main) {
  const [file, connections, seed] = Deno.args;
  if (file === undefined) throw new Error("usage: record.ts FILE CONNECTIONS SEED");
  const dovecot = await startDovecot();
  try {
    await recordMailbox(dovecot.port, file, Number(connections ?? 40), Number(seed ?? 1));
  } finally {
    await dovecot.stop();
  }
}

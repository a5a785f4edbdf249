import type { LabProtocol } from "./needs.ts";
import { Running } from "./process.ts";

const VERSION_OF: Record<LabProtocol, Record<string, readonly string[]>> = {
  https: { nginx: ["nginx", "-v"], chromium: ["chromium", "--version"] },
  ssh: { openssh: ["ssh", "-V"] },
  smtp: {
    postfix: ["postconf", "-d", "-h", "mail_version"],
    curl: ["curl", "--version"],
    swaks: ["swaks", "--version"],
  },
};

async function firstLine(argv: readonly string[]): Promise<string> {
  const program = new Running(argv, { env: { HOME: "/nonexistent" } });
  await program.closeInput();
  await program.ended(10_000);
  return (program.output.trim() || program.errors.trim()).split("\n")[0]!.trim();
}

/** Names and versions of the programs that a recording of `protocol` is made with. */
export async function versionsFor(protocol: LabProtocol): Promise<Record<string, string>> {
  const versions: Record<string, string> = { system: await firstLine(["uname", "-sr"]) };
  const programs = { ...VERSION_OF[protocol], tcpdump: ["tcpdump", "--version"] };
  for (const [name, argv] of Object.entries(programs)) versions[name] = await firstLine(argv);
  return versions;
}

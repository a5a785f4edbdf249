/** Whether this machine can try the gateway for real; else one line that says why not. */
export async function whyNoNamespaces(): Promise<string | undefined> {
  const run = (program: string, ...args: string[]) =>
    new Deno.Command(program, { args, stdout: "null", stderr: "null", stdin: "null" }).output()
      .then(() => true, () => false);
  for (
    const [program, flag] of [
      ["ip", "-V"],
      ["nft", "--version"],
      ["dnsmasq", "--version"],
      ["udhcpc", "--help"],
      ["sysctl", "--version"],
      ["pgrep", "--version"],
      ["curl", "--version"],
      ["tcpdump", "--version"],
      ["ss", "-V"],
    ] as const
  ) {
    if (!await run(program, flag)) return `${program} is missing`;
  }
  const name = `tmgw-${Deno.pid}-probe`;
  const made = await new Deno.Command("ip", {
    args: ["netns", "add", name],
    stdout: "null",
    stderr: "null",
  }).output();
  if (!made.success) return "no right to make network namespaces";
  await run("ip", "netns", "del", name);
  return undefined;
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Has tcpdump record what `filter` lets pass on loopback into `file` while `act` runs. Root. */
export async function recorded<T>(
  file: string,
  filter: readonly string[],
  act: () => Promise<T>,
): Promise<T> {
  const child = new Deno.Command("tcpdump", {
    // The buffer is in KB: a machine that is busy must not cost packets.
    args: ["-i", "lo", "--immediate-mode", "-U", "-s", "0", "-B", "65536", "-w", file, ...filter],
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const stderr = child.stderr.getReader();
  try {
    await stderr.read();
    await pause(300);
    return await act();
  } finally {
    await pause(500);
    child.kill("SIGINT");
    await child.status;
    await stderr.cancel();
  }
}

import { run } from "../../lab/process.ts";

/** Clock ticks a second in /proc/PID/stat, on every Linux. */
const TICKS = 100;

/** Seconds of processor time that processes have used so far, all threads, user and system. */
export async function processorSeconds(pids: readonly number[]): Promise<number[]> {
  const text = await run(["cat", ...pids.map((pid) => `/proc/${pid}/stat`)]);
  return text.trim().split("\n").map((line) => {
    const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / TICKS;
  });
}

/** Memory of processes in bytes: resident now, and the most so far. */
export async function memoryOf(
  pids: readonly number[],
): Promise<{ resident: number; peak: number }[]> {
  const result = [];
  for (const pid of pids) {
    const text = await run(["cat", `/proc/${pid}/status`]);
    const of = (name: string) =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0) * 1024;
    result.push({ resident: of("VmRSS"), peak: of("VmHWM") });
  }
  return result;
}

/** The machine's load: running processes averaged over 1, 5 and 15 minutes. */
export async function load(): Promise<string> {
  return (await run(["cat", "/proc/loadavg"])).split(" ").slice(0, 3).join(", ");
}

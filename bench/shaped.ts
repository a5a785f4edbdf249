/**
 * Transports that shape what they send, side by side on loopback, in turns: ours under cover beside obfs4 with
 * iat-mode 1 and 2, each run as tor runs it. What is compared is what they carry, not how well they hide.
 *
 * @module
 */
import { type Benchmark, type BenchmarkOptions, median } from "./benchmark.ts";
import { driveThrough, installed, ownPt, startApplication, startPt } from "./support/transports.ts";

interface Contender {
  readonly name: string;
  readonly transport: "mimic" | "obfs4";
  readonly options: readonly string[];
}

const mimic = (name: string, ...options: string[]): Contender => ({
  name: `mimic, ${name}`,
  transport: "mimic",
  options,
});

const CONTENDERS: readonly Contender[] = [
  mimic("https, 1 session", "model=https"),
  mimic("https, 4 sessions", "model=https", "sessions=4"),
  mimic("https, 16 sessions", "model=https", "sessions=16"),
  mimic("https, 16 sessions, adaptive", "model=https", "sessions=16", "schedule=adaptive"),
  { name: "obfs4, iat-mode 1", transport: "obfs4", options: ["iat-mode=1"] },
  { name: "obfs4, iat-mode 2", transport: "obfs4", options: ["iat-mode=2"] },
];

const CAP = 120_000;
/** Bytes of one transfer. */
const AMOUNTS = { down: 4e6, up: 4e5 } as const;
/** Milliseconds in which all sessions begin to play. */
const WARM_UP = 8000;

/** The benchmark. */
export const benchmark: Benchmark = {
  about: "transfer under cover beside obfs4 with iat-mode 1 and 2",
  run,
};

async function run({ note, quick }: BenchmarkOptions) {
  const rounds = quick ? 1 : 5;
  const hasObfs4 = await installed("obfs4proxy");
  const contenders = CONTENDERS.filter(({ transport }) => transport === "mimic" || hasObfs4);
  const rates = new Map<string, number[]>();
  const add = (key: string, rate: number) => rates.set(key, [...rates.get(key) ?? [], rate]);
  const notes = hasObfs4 ? [] : ["obfs4proxy is not installed"];
  for (let round = 0; round < rounds; round++) {
    for (const { name, options, transport } of contenders) {
      note(`round ${round + 1} of ${rounds}: ${name}`);
      await using application = await startApplication();
      const command = transport === "mimic" ? ownPt() : ["obfs4proxy"];
      await using running = await startPt({
        name: transport,
        command,
        options,
        orPort: application.port,
      });
      const { way } = running;
      try {
        const first = { test: "echo", amount: 1, connections: 1, cap: CAP } as const;
        await driveThrough(way, first);
        await new Promise((resolve) => setTimeout(resolve, WARM_UP));
        for (const test of ["down", "up"] as const) {
          const amount = AMOUNTS[test];
          const { ms } = await driveThrough(way, { test, amount, connections: 1, cap: CAP });
          add(`${name}/${test}`, amount / 1000 / ms);
        }
        const echo = { test: "echo", amount: quick ? 10 : 40, connections: 1, cap: CAP } as const;
        const { echoes } = await driveThrough(way, echo);
        add(`${name}/echo`, median(echoes));
      } catch (error) {
        notes.push(`${name}, round ${round + 1}: ${(error as Error).message.split("\n")[0]}`);
      }
    }
  }
  const cell = (key: string, digits: number) => {
    const own = rates.get(key);
    if (own === undefined) return "none finished";
    const text = (value: number) => value.toFixed(digits);
    return `${text(median(own))} (${text(Math.min(...own))}-${text(Math.max(...own))})`;
  };
  return {
    tables: [{
      title: `Shaped transports on loopback, MB/s of user data, median of ${rounds} (extremes)`,
      head: ["", "down", "up", "echo ms"],
      rows: contenders.map(({ name }) => [
        name,
        cell(`${name}/down`, 3),
        cell(`${name}/up`, 3),
        cell(`${name}/echo`, 1),
      ]),
    }],
    notes,
    data: Object.fromEntries(rates),
  };
}

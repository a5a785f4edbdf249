/**
 * The path without a shape (model `bulk`) beside obfs4proxy and stunnel, on loopback, in turns: every transport
 * runs as tor runs it, the application's ends are processes of their own. So four busy processes share the
 * machine, as they would with tor.
 *
 * @module
 */
import { type Benchmark, type BenchmarkOptions, median } from "./benchmark.ts";
import { processorSeconds } from "./support/processor.ts";
import {
  direct,
  driveThrough,
  installed,
  ownPt,
  startApplication,
  startPt,
  startStunnel,
  type Transport,
} from "./support/transports.ts";

interface Contender {
  readonly name: string;
  readonly needs?: string;
  readonly start: (port: number) => Promise<Transport>;
}

const mimic = (name: string, ...options: string[]): Contender => ({
  name,
  start: (orPort) => startPt({ name: "mimic", command: ownPt(), options, orPort }),
});

const CONTENDERS: readonly Contender[] = [
  mimic("mimic, bulk", "model=bulk"),
  mimic("mimic, bulk, 4 cover connections", "model=bulk", "sessions=4"),
  {
    name: "obfs4",
    needs: "obfs4proxy",
    start: (orPort) => startPt({ name: "obfs4", command: ["obfs4proxy"], orPort }),
  },
  { name: "stunnel", needs: "stunnel4", start: startStunnel },
  { name: "direct", start: (port) => Promise.resolve(direct(port)) },
];

interface Measured {
  readonly rates: number[];
  readonly processor: number[];
}

const CONNECTIONS = [1, 4] as const;
const CAP = 60_000;

/** The benchmark. */
export const benchmark: Benchmark = { about: "bulk transfer beside obfs4proxy and stunnel", run };

async function run({ note, quick }: BenchmarkOptions) {
  const amount = quick ? 64e6 : 256e6;
  const rounds = quick ? 1 : 5;
  const left: string[] = [];
  const contenders: Contender[] = [];
  for (const contender of CONTENDERS) {
    if (contender.needs === undefined || await installed(contender.needs)) {
      contenders.push(contender);
    } else left.push(`${contender.name}: ${contender.needs} is not installed`);
  }
  const results = new Map<string, Measured>();
  const echoes = new Map<string, number[]>();
  for (let round = 0; round < rounds; round++) {
    for (const { name, start } of contenders) {
      note(`round ${round + 1} of ${rounds}: ${name}`);
      await using application = await startApplication();
      await using transport = await start(application.port);
      // The first use starts the tunnel and compiles what will be hot.
      await driveThrough(transport.way, { test: "down", amount: 16e6, connections: 1, cap: CAP });
      const echo = await driveThrough(
        transport.way,
        { test: "echo", amount: 300, connections: 1, cap: CAP },
      );
      echoes.set(name, [...echoes.get(name) ?? [], median(echo.echoes)]);
      for (const test of ["down", "up"] as const) {
        for (const connections of CONNECTIONS) {
          const key = `${name}/${test}/${connections}`;
          const before = await processorSeconds(transport.pids);
          const { ms } = await driveThrough(transport.way, { test, amount, connections, cap: CAP });
          const after = await processorSeconds(transport.pids);
          const used = after.map((seconds, i) => seconds - before[i]!);
          const measured = results.get(key) ?? { rates: [], processor: [] };
          measured.rates.push(amount / 1000 / ms);
          measured.processor.push(used.reduce((sum, seconds) => sum + seconds, 0) * 1e9 / amount);
          results.set(key, measured);
        }
      }
    }
  }
  const cell = (key: string) => {
    const { rates } = results.get(key)!;
    return `${median(rates).toFixed(0)} (${Math.min(...rates).toFixed(0)}-${
      Math.max(...rates).toFixed(0)
    })`;
  };
  const processor = (key: string) => median(results.get(key)!.processor).toFixed(1);
  return {
    tables: [{
      title: `Bulk on loopback, MB/s of user data, median of ${rounds} (extremes); ${
        amount / 1e6
      } MB a transfer; processor seconds a GB of both ends together`,
      head: ["", "down, 1", "down, 4", "up, 1", "up, 4", "s/GB down", "s/GB up", "echo ms"],
      rows: contenders.map(({ name }) => [
        name,
        ...["down", "up"].flatMap((test) =>
          CONNECTIONS.map((connections) => cell(`${name}/${test}/${connections}`))
        ),
        ...(name === "direct"
          ? ["", ""]
          : [processor(`${name}/down/1`), processor(`${name}/up/1`)]),
        median(echoes.get(name)!).toFixed(2),
      ]),
    }],
    notes: left,
    data: { results: Object.fromEntries(results), echoes: Object.fromEntries(echoes) },
  };
}

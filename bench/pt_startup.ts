// The transport beside obfs4proxy, in one run, in turns: time from exec to `CMETHODS DONE` and memory when idle;
// with --tor also the time that a tor client takes to bootstrap through each (needs root and tor).
//
//   deno run --no-prompt --allow-read --allow-write --allow-run --allow-env --allow-sys bench/pt_startup.ts \
//     [--tor] [--mimic=COMMAND] [RUNS]
//
// `mimic` is an installed copy, built for this, unless COMMAND says otherwise.
import { run } from "../lab/process.ts";
import { installIn, textOf, TorNetwork } from "../tests/tor/tor_network.ts";

const OBFS4 = "/usr/bin/obfs4proxy";
const runs = Number(Deno.args.find((arg) => /^\d+$/.test(arg)) ?? 15);
const folder = await Deno.makeTempDir({ prefix: "pt-bench-" });
const commands: Record<string, string> = {
  mimic: Deno.args.find((arg) => arg.startsWith("--mimic="))?.slice(8) ??
    `${await installIn(folder)} pt`,
  obfs4: OBFS4,
};
const encoder = new TextEncoder();
const print = (line: string) => Deno.stdout.writeSync(encoder.encode(`${line}\n`));

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

function summary(values: readonly number[], unit: string): string {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return `median ${median(values).toFixed(0)} ${unit} (${low.toFixed(0)} to ${high.toFixed(0)})`;
}

/** Resident and proportional memory of a process, in MB. */
async function memory(pid: number): Promise<{ rss: number; pss: number }> {
  const text = await run(["cat", `/proc/${pid}/smaps_rollup`]);
  const of = (name: string) =>
    Number(new RegExp(`^${name}: +(\\d+) kB`, "m").exec(text)![1]) / 1024;
  return { rss: of("Rss"), pss: of("Pss") };
}

/** Starts a client transport as tor does; milliseconds to `CMETHODS DONE`, then its memory. */
async function start(name: string): Promise<{ time: number; rss: number; pss: number }> {
  const state = `${folder}/${name}`;
  const [program, ...args] = commands[name]!.split(" ");
  const began = performance.now();
  const child = new Deno.Command(program!, {
    args,
    env: {
      TOR_PT_MANAGED_TRANSPORT_VER: "1",
      TOR_PT_STATE_LOCATION: state,
      TOR_PT_EXIT_ON_STDIN_CLOSE: "1",
      TOR_PT_CLIENT_TRANSPORTS: name,
    },
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  let said = "";
  const reader = child.stdout.getReader();
  while (!said.includes("CMETHODS DONE")) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`${name} ended: ${said}`);
    said += new TextDecoder().decode(value);
  }
  const time = performance.now() - began;
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const used = await memory(child.pid);
  await child.stdin.close();
  await reader.cancel();
  await child.status;
  return { time, ...used };
}

const results: Record<string, { time: number; rss: number; pss: number }[]> = {
  mimic: [],
  obfs4: [],
};
for (let turn = 0; turn <= runs; turn++) {
  for (const name of Object.keys(commands)) {
    const result = await start(name);
    // The first start of each fills caches.
    if (turn > 0) results[name]!.push(result);
  }
}
for (const [name, list] of Object.entries(results)) {
  print(
    `${name}: exec to CMETHODS DONE ${summary(list.map(({ time }) => time), "ms")}; ` +
      `idle: resident ${summary(list.map(({ rss }) => rss), "MB")}, ` +
      `proportional ${summary(list.map(({ pss }) => pss), "MB")}`,
  );
}

if (Deno.args.includes("--tor")) {
  await using network = await TorNetwork.up(new Uint8Array(1 << 20));
  const bridges = [
    { label: "mimic, https, demand", transport: "mimic", lines: ["schedule=demand"] },
    { label: "mimic, https, strict", transport: "mimic", lines: [] },
    {
      label: "mimic, constant rate x 16",
      transport: "mimic",
      lines: ["model=constant-rate sessions=16"],
    },
    { label: "obfs4", transport: "obfs4", lines: [] },
  ];
  const lines: string[] = [];
  for (const [i, { transport, lines: options }] of bridges.entries()) {
    const bridge = await network.startBridge(`bridge${i}`, {
      transport,
      command: commands[transport]!,
      listen: `10.97.0.1:${5300 + i}`,
      orPort: 5200 + i,
      lines: options.map((line) => `ServerTransportOptions ${transport} ${line}`),
    });
    lines.push(
      (await textOf(`${bridge.folder}/bridgelines`)).split("\n")
        .find((line) => line.startsWith(`Bridge ${transport} `))!,
    );
  }
  const times = bridges.map(() => ({
    bootstrap: [] as number[],
    fetch: [] as number[],
    rss: [] as number[],
  }));
  const rounds = 4;
  for (let round = 0; round < rounds; round++) {
    for (const [i, { transport }] of bridges.entries()) {
      const client = await network.startClient(`client${round}-${i}`, {
        transport,
        command: commands[transport]!,
        socksPort: 9100 + 10 * round + i,
        bridge: lines[i]!,
        patience: 120_000,
      });
      times[i]!.bootstrap.push(client.bootstrap);
      const began = performance.now();
      const { success } = await network.fetch(9100 + 10 * round + i, 1 << 20, 120);
      if (success) times[i]!.fetch.push(performance.now() - began);
      const { pid } = client.program;
      const [child] = (await run(["cat", `/proc/${pid}/task/${pid}/children`])).trim().split(" ");
      times[i]!.rss.push((await memory(Number(child))).rss);
      await client.program.stop();
    }
  }
  for (const [i, { label }] of bridges.entries()) {
    const { bootstrap, fetch, rss } = times[i]!;
    print(
      `${label}: bootstrap ${summary(bootstrap, "ms")}, then 1 MiB in ${summary(fetch, "ms")}, ` +
        `${fetch.length} of ${rounds} whole; client transport then resident ${summary(rss, "MB")}`,
    );
  }
}
await Deno.remove(folder, { recursive: true });

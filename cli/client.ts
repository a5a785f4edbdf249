import { Command, Option } from "./command_line.ts";
import { randomBytes } from "node:crypto";
import { UsageError, UserError } from "../base/mod.ts";
import {
  type CoverModel,
  loadModelText,
  modelFromFile,
  PlansAhead,
  type PlanSource,
} from "../models/mod.ts";
import { isModelPlugin, loadModelPlugin } from "../plugins/mod.ts";
import { CARRIERS } from "../transports/carriers/mod.ts";
import {
  formatAddress,
  type Forward,
  parseAddress,
  parseForward,
} from "../transports/doors/mod.ts";
import { giveMemoryBack, MAX_SESSIONS, parseLine, startClient } from "../transports/mimic/mod.ts";
import { note, print } from "./output.ts";
import { untilSignal } from "./signals.ts";
import { numberOf, seedOf } from "./tunnel_options.ts";

interface Options {
  readonly line?: string;
  readonly lineFile?: string;
  readonly connect?: string;
  readonly socks?: string;
  readonly http?: string;
  readonly forward?: Forward[];
  readonly model?: string;
  readonly integrity?: string;
  readonly carrier?: string;
  readonly master?: "client" | "server";
  readonly schedule?: "strict" | "demand" | "adaptive";
  readonly sessions?: number;
  readonly plan?: "derived" | "embedded";
  readonly seed?: Uint8Array;
  readonly attempts: number;
  readonly wireLog?: string;
  readonly unsafeLogging?: boolean;
  readonly json?: boolean;
}

/** `deno task client`: the tunnel's near end. */
export function command(): Command {
  return new Command("deno task client")
    .usage("LINE [options]")
    .description(
      "Carries connections through a tunnel in cover traffic. LINE is what `deno task server` printed. Says `ready` when the server has proved itself, and runs until SIGINT or SIGTERM.",
    )
    .argument("[line...]", "the server's line: mimic HOST:PORT cert=... secret=... ...")
    .option("--line <line>", "the same as an option")
    .option("--line-file <file>", "read it from a file: arguments show in the list of processes")
    .option("--connect <host:port>", "connect here instead of to the line's address")
    .option("--socks <host:port>", "SOCKS 5 door (default without other doors: 127.0.0.1:1080)")
    .option("--http <host:port>", "HTTP proxy door: CONNECT, and http:// addresses")
    .option(
      "--forward <local=host:port>",
      "a door that leads to one destination (repeatable)",
      (value: string, before: Forward[] | undefined) => [...before ?? [], parseForward(value)],
    )
    .option(
      "--model <name|file>",
      "the model to play (default: the one that the line names); a .ts or .js file or a specifier is code, runs sandboxed, and needs deno task client:plugin",
    )
    .option("--integrity <sha256-digest>", "refuse a model that is code with another digest")
    .addOption(
      new Option(
        "--carrier <name>",
        "insist on the line's carrier for a model learned for another",
      ).choices([...CARRIERS.keys()]),
    )
    .addOption(
      new Option(
        "--master <end>",
        "which end draws the cover from its model (default: as the line says, or client)",
      ).choices(["client", "server"]),
    )
    .addOption(
      new Option(
        "--schedule <mode>",
        "who decides when episodes start, and of what kind (default: as the line says, or strict)",
      ).choices(["strict", "demand", "adaptive"]),
    )
    .option(
      "--sessions <n>",
      `model sessions played at once, 1 to ${MAX_SESSIONS} (default: as the line says, or 1)`,
      numberOf(1, MAX_SESSIONS),
    )
    .addOption(
      new Option(
        "--plan <form>",
        "how plans reach the end that is not master (default: derived where it can)",
      )
        .choices(["derived", "embedded"]),
    )
    .option("--seed <hex>", "repeat the cover of another run; secret and random by default", seedOf)
    .option(
      "--attempts <n>",
      "failed attempts at the start before giving up",
      numberOf(1, 1_000_000),
      5,
    )
    .option("--wire-log <file>", "write everything done on the wire, one JSON object a line")
    .option("--unsafe-logging", "also say which destinations were not reached, by address")
    .option("--json", "print what is ready, and what was done, as JSON")
    .action(run);
}

async function lineOf(words: string[], { line, lineFile }: Options): Promise<string> {
  if ([words.length > 0, line !== undefined, lineFile !== undefined].filter(Boolean).length !== 1) {
    throw new UsageError("give the server's line once: as arguments, by --line or by --line-file");
  }
  if (lineFile === undefined) return line ?? words.join(" ");
  try {
    return await Deno.readTextFile(lineFile);
  } catch (cause) {
    throw new UserError(`--line-file ${lineFile}: cannot be read`, { cause });
  }
}

/** The model by name or file; by code, in a sandbox that lives as long as this process. */
async function modelOf(
  name: string,
  integrity: string | undefined,
): Promise<{ model: CoverModel; plans: (key: Uint8Array) => PlanSource & Disposable }> {
  if (isModelPlugin(name)) {
    const model = await loadModelPlugin(name, integrity === undefined ? {} : { integrity });
    return { model, plans: (key) => model.plans(key) };
  }
  if (integrity !== undefined) {
    throw new UsageError("--integrity pins a model that is code: model files are data only");
  }
  const text = await loadModelText(name);
  const model = modelFromFile(text, name);
  return { model, plans: (key) => new PlansAhead(text, key, { model }) };
}

async function run(words: string[], options: Options): Promise<void> {
  const { forward, http, plan, wireLog } = options;
  const line = parseLine(await lineOf(words, options));
  const socks = options.socks ??
    (forward === undefined && http === undefined ? "127.0.0.1:1080" : undefined);
  const name = options.model ?? line.model;
  if (options.carrier !== undefined && options.carrier !== line.carrier) {
    throw new UsageError(
      `--carrier ${options.carrier}: the line's carrier is ${line.carrier}: only that can be insisted on`,
    );
  }
  const { model, plans } = await modelOf(name, options.integrity);
  const asked = untilSignal();
  const running = await startClient({
    line,
    asked,
    model,
    plans,
    insistOnCarrier: options.carrier !== undefined,
    seed: options.seed ?? new Uint8Array(randomBytes(32)),
    ...(options.master === undefined ? {} : { master: options.master }),
    ...(options.schedule === undefined ? {} : { schedule: options.schedule }),
    ...(options.sessions === undefined ? {} : { sessions: options.sessions }),
    attempts: options.attempts,
    ...(options.connect === undefined
      ? {}
      : { connect: parseAddress(options.connect, "--connect") }),
    ...(socks === undefined ? {} : { socks: parseAddress(socks, "--socks", "127.0.0.1") }),
    ...(http === undefined ? {} : { http: parseAddress(http, "--http", "127.0.0.1") }),
    ...(forward === undefined ? {} : { forwards: forward }),
    ...(plan === undefined ? {} : { form: plan }),
    ...(wireLog === undefined ? {} : { wireLog }),
    onNote: (text) => note(`note: ${text}`),
    unsafeNotes: options.unsafeLogging ?? false,
  });
  const doors = running.doors.map(({ kind, hostname, port }) => ({ kind, hostname, port }));
  if (options.json) {
    const { name, digest } = model.description;
    print(JSON.stringify({ ready: true, doors, model: { name, digest } }));
  } else {
    const text = doors.map(({ kind, hostname: host, port }) =>
      `${kind} on ${formatAddress({ host, port })}`
    );
    print(`ready: ${text.join(", ")}`);
  }
  const giving = giveMemoryBack();
  const failed = await Promise.race([asked, running.done])
    .then(() => undefined, (error: unknown) => error);
  await giving.stop();
  await running.close();
  if (failed !== undefined) throw failed;
  if (options.json) {
    print(JSON.stringify({ stopped: true, stats: running.stats }));
  }
}

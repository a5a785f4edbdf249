import { fileURLToPath } from "node:url";
import { ProgramFailed, run, Running, sleep } from "../../lab/process.ts";
import { V8_FLAGS } from "../../transports/mimic/freed_memory.ts";
import type { Drive, Driven } from "./application.ts";

const ROOT = new URL("../../", import.meta.url);
const APPLICATION = fileURLToPath(new URL("./application.ts", import.meta.url));
const BESIDE = ["run", "--no-prompt", "--no-config", "--quiet", "--allow-net=127.0.0.1"];

/** How the application reaches its server through a transport. */
export type Way = Pick<Drive, "to" | "socks" | "args">;

/** A transport that runs, or the direct way. */
export interface Transport extends AsyncDisposable {
  /** The way through it. */
  readonly way: Way;
  /** Process ids of its server and its client; none for the direct way. */
  readonly pids: readonly number[];
}

/** Starts the application's server; `port` is where it listens. */
export async function startApplication(): Promise<AsyncDisposable & { readonly port: number }> {
  const program = new Running([Deno.execPath(), ...BESIDE, APPLICATION, "serve"], HOME);
  await program.said(/^\d+\n/, 10_000);
  return {
    port: Number(program.output),
    async [Symbol.asyncDispose]() {
      await program.stop();
    },
  };
}

/** Where the programs keep what they keep, away from the user's own. */
const HOME = { env: { HOME: "/nonexistent", DENO_NO_UPDATE_CHECK: "1" } };

/** Runs the application's client, in a process of its own. */
export async function driveThrough(way: Way, job: Omit<Drive, keyof Way>): Promise<Driven> {
  const words = [
    Deno.execPath(),
    ...BESIDE,
    APPLICATION,
    "drive",
    JSON.stringify({ ...way, ...job }),
  ];
  return JSON.parse(await run(words, job.cap + 10_000, HOME)) as Driven;
}

/** The direct way. */
export function direct(port: number): Transport {
  return {
    way: { to: { host: "127.0.0.1", port } },
    pids: [],
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** How a pluggable transport is started. */
export interface PtOptions {
  /** Its method name. */
  readonly name: string;
  /** Its program and arguments. */
  readonly command: readonly string[];
  /** Options of the server's, as `ServerTransportOptions` has them: `model=bulk`. */
  readonly options?: readonly string[];
  /** Port that its server connects to. */
  readonly orPort: number;
  /** Milliseconds that each end may take to start; 20,000 if absent. */
  readonly patience?: number;
}

/** The command of our own transport, with the permissions that it needs and V8 as its task has it. */
export function ownPt(): string[] {
  return [
    Deno.execPath(),
    "run",
    "--no-prompt",
    "--no-check",
    "--quiet",
    `--v8-flags=${V8_FLAGS}`,
    "--allow-net",
    "--allow-read",
    "--allow-write",
    "--allow-env",
    "--allow-ffi",
    fileURLToPath(new URL("cli/main.ts", ROOT)),
    "pt",
  ];
}

/** Starts both ends of a pluggable transport as tor does. */
export async function startPt(options: PtOptions): Promise<Transport> {
  const { name, orPort } = options;
  const patience = options.patience ?? 20_000;
  const state = await Deno.makeTempDir({ prefix: "tm-bench-" });
  const started: Running[] = [];
  const stop = async () => {
    for (const program of started.toReversed()) {
      await program.closeInput();
      await program.ended(2000);
    }
    await Deno.remove(state, { recursive: true });
  };
  const start = (end: string, env: Record<string, string>) => {
    const program = new Running(options.command, {
      env: {
        ...cacheEnvironment(),
        TOR_PT_MANAGED_TRANSPORT_VER: "1",
        TOR_PT_STATE_LOCATION: `${state}/${end}`,
        TOR_PT_EXIT_ON_STDIN_CLOSE: "1",
        ...env,
      },
    });
    started.push(program);
    return program;
  };
  try {
    const words = (options.options ?? []).map((option) => `${name}:${option}`).join(";");
    const server = start("server", {
      TOR_PT_SERVER_TRANSPORTS: name,
      TOR_PT_SERVER_BINDADDR: `${name}-127.0.0.1:0`,
      TOR_PT_ORPORT: `127.0.0.1:${orPort}`,
      ...(words === "" ? {} : { TOR_PT_SERVER_TRANSPORT_OPTIONS: words }),
    });
    await server.said(/SMETHODS DONE/, patience);
    const method = /^SMETHOD \S+ ([\d.]+):(\d+)(?: ARGS:(\S+))?/m.exec(server.output);
    if (method === null) throw new ProgramFailed(`${name} does not serve`, server.output);
    const client = start("client", { TOR_PT_CLIENT_TRANSPORTS: name });
    await client.said(/CMETHODS DONE/, patience);
    const socks = /^CMETHOD \S+ socks5 [\d.]+:(\d+)/m.exec(client.output);
    if (socks === null) throw new ProgramFailed(`${name} has no client`, client.output);
    return {
      way: {
        to: { host: method[1]!, port: Number(method[2]) },
        socks: Number(socks[1]),
        args: (method[3] ?? "").replaceAll(/(?<!\\),/g, ";"),
      },
      pids: [server.pid, client.pid],
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Where our own program finds the packages that it was installed with. */
function cacheEnvironment(): Record<string, string> {
  const env: Record<string, string> = {};
  for (const name of ["HOME", "DENO_DIR"]) {
    const value = Deno.env.get(name);
    if (value !== undefined) env[name] = value;
  }
  return env;
}

/** Starts stunnel at both ends: TLS by a C program, no transport of Tor's. */
export async function startStunnel(port: number): Promise<Transport> {
  const folder = await Deno.makeTempDir({ prefix: "tm-bench-" });
  const started: Running[] = [];
  const stop = async () => {
    for (const program of started) await program.stop();
    await Deno.remove(folder, { recursive: true });
  };
  try {
    const [serverPort, clientPort] = [freePort(), freePort()];
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    await run(
      ["openssl", "req", "-x509", ...curve, "-subj", "/CN=bench", "-days", "2"]
        .concat(["-keyout", `${folder}/key.pem`, "-out", `${folder}/cert.pem`]),
    );
    const pem = await Deno.readTextFile(`${folder}/key.pem`) +
      await Deno.readTextFile(`${folder}/cert.pem`);
    await Deno.writeTextFile(`${folder}/both.pem`, pem, { mode: 0o600 });
    const common = [
      "foreground = yes",
      "pid =",
      "syslog = no",
      "debug = 0",
      "output = /dev/null",
      "socket = l:TCP_NODELAY=1",
      "socket = r:TCP_NODELAY=1",
    ];
    const ends = {
      server: [
        "[bench]",
        `accept = 127.0.0.1:${serverPort}`,
        `connect = 127.0.0.1:${port}`,
        `cert = ${folder}/both.pem`,
      ],
      client: [
        "[bench]",
        "client = yes",
        `accept = 127.0.0.1:${clientPort}`,
        `connect = 127.0.0.1:${serverPort}`,
      ],
    };
    for (const [end, lines] of Object.entries(ends)) {
      const file = `${folder}/${end}.conf`;
      await Deno.writeTextFile(file, [...common, ...lines, ""].join("\n"));
      started.push(new Running(["stunnel4", file]));
    }
    await sleep(1000);
    for (const program of started) {
      if (!program.alive) throw new ProgramFailed("stunnel4 ended", program.errors);
    }
    return {
      way: { to: { host: "127.0.0.1", port: clientPort } },
      pids: started.map(({ pid }) => pid),
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  return port;
}

/** Whether a program is installed. */
export async function installed(program: string): Promise<boolean> {
  try {
    await run(["sh", "-c", `command -v ${program}`]);
    return true;
  } catch {
    return false;
  }
}

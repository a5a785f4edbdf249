import { AssertionError } from "node:assert/strict";
import net, { type AddressInfo, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { TextLineStream } from "../text_lines.ts";
import { PT_VARIABLES } from "../../../transports/pt/environment.ts";

const TOY = fileURLToPath(new URL("toy.ts", import.meta.url));

/** Variables for a client, without a state folder. */
export const CLIENT = {
  TOR_PT_MANAGED_TRANSPORT_VER: "1",
  TOR_PT_CLIENT_TRANSPORTS: "rot",
};

/** Variables for a server, without a state folder. */
export const SERVER = {
  TOR_PT_MANAGED_TRANSPORT_VER: "1",
  TOR_PT_SERVER_TRANSPORTS: "rot",
  TOR_PT_SERVER_BINDADDR: "rot-127.0.0.1:0",
  TOR_PT_ORPORT: "127.0.0.1:9",
};

/** A transport that runs as a process, with nothing but what tor gives it. */
export class PtProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  readonly #folder: string;
  /** The folder for state that it was told. */
  readonly state: string;
  /** All of standard error, when it has ended. */
  readonly stderr: Promise<string>;
  /** Its end. */
  readonly status: Promise<Deno.CommandStatus>;

  private constructor(
    env: Record<string, string>,
    folder: string,
    { program = TOY, args = [] }: { program?: string; args?: string[] },
  ) {
    this.#folder = folder;
    this.state = `${folder}/pt_state/`;
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--no-prompt",
        "--no-check",
        "--quiet",
        "--allow-net",
        `--allow-env=${PT_VARIABLES.join(",")}`,
        `--allow-read=${folder}`,
        `--allow-write=${folder}`,
        program,
        ...args,
      ],
      clearEnv: true,
      env: {
        PATH: Deno.env.get("PATH")!,
        ...passed("HOME"),
        ...passed("DENO_DIR"),
        TOR_PT_STATE_LOCATION: this.state,
        ...env,
      },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#lines = this.#child.stdout.pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream()).getReader();
    this.#stdin = this.#child.stdin.getWriter();
    this.stderr = new Response(this.#child.stderr).text();
    this.status = this.#child.status;
  }

  /** Starts one; `folder` keeps state between processes, and is then not removed. */
  static async start(
    env: Record<string, string>,
    options: { program?: string; args?: string[]; folder?: string } = {},
  ): Promise<PtProcess> {
    const folder = options.folder ?? await Deno.makeTempDir({ prefix: "pt-" });
    const started = new PtProcess(env, folder, options);
    started.#keep = options.folder !== undefined;
    return started;
  }

  #keep = false;

  /** The next line of standard output; undefined at its end. */
  async line(): Promise<string | undefined> {
    return (await this.#lines.read()).value;
  }

  /** Lines up to the first that matches, which is included. */
  async until(end: RegExp): Promise<string[]> {
    const lines = [];
    for (;;) {
      const line = await this.line();
      if (line === undefined) throw new Error(`ended after ${lines}: ${await this.stderr}`);
      lines.push(line);
      if (end.test(line)) return lines;
    }
  }

  /** All lines up to the end of the process, and its exit code. */
  async rest(): Promise<{ lines: string[]; code: number }> {
    const lines = [];
    for (let line; (line = await this.line()) !== undefined;) lines.push(line);
    return { lines, code: (await this.status).code };
  }

  /** The address of a method, once it is told. */
  async method(): Promise<{ host: string; port: number; line: string }> {
    const lines = await this.until(/METHODS DONE/);
    const line = lines.find((line) => /^[CS]METHOD /.test(line))!;
    const [, v6, v4, port] = / (?:\[([^\]]*)\]|([0-9.]+)):(\d+)/.exec(line)!;
    return { host: v6 ?? v4!, port: Number(port), line };
  }

  /** Sends a signal. */
  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /** Writes to standard input. */
  async type(text: string): Promise<void> {
    await this.#stdin.write(new TextEncoder().encode(text));
  }

  /** Ends standard input. */
  async closeStdin(): Promise<void> {
    await this.#stdin.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stdin.close().catch(() => {});
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#lines.cancel();
    await this.stderr;
    await this.status;
    if (!this.#keep) await Deno.remove(this.#folder, { recursive: true });
  }
}

function passed(name: string): Record<string, string> {
  const value = Deno.env.get(name);
  return value === undefined ? {} : { [name]: value };
}

/** A socket to read from in exact portions. */
export class Wire implements Disposable {
  readonly #chunks: Uint8Array[] = [];
  #length = 0;
  #ended = false;
  #wake = () => {};

  /** Takes over a socket. */
  constructor(readonly socket: Socket) {
    socket.on("data", (bytes: Uint8Array) => {
      this.#chunks.push(bytes.slice());
      this.#length += bytes.length;
      this.#wake();
    });
    const end = () => {
      this.#ended = true;
      this.#wake();
    };
    socket.on("end", end);
    socket.on("close", end);
    socket.on("error", () => {});
    socket.resume();
  }

  /** Connects. */
  static open(host: string, port: number): Promise<Wire> {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ host, port, allowHalfOpen: true });
      socket.once("error", reject);
      socket.once("connect", () => resolve(new Wire(socket)));
    });
  }

  /** Sends bytes or text. */
  send(bytes: ArrayLike<number> | string): this {
    this.socket.write(typeof bytes === "string" ? bytes : Uint8Array.from(bytes));
    return this;
  }

  /** Exactly `count` bytes. */
  async read(count: number): Promise<number[]> {
    while (this.#length < count) {
      if (this.#ended) throw new Error(`ended with ${this.#take(this.#length)}`);
      await this.#more();
    }
    return this.#take(count);
  }

  /** Everything up to the end. */
  async all(): Promise<number[]> {
    while (!this.#ended) await this.#more();
    return this.#take(this.#length);
  }

  /** How many bytes wait. */
  get waiting(): number {
    return this.#length;
  }

  #more(): Promise<void> {
    return new Promise((resolve) => this.#wake = resolve);
  }

  #take(count: number): number[] {
    const all = new Uint8Array(this.#length);
    let at = 0;
    for (const chunk of this.#chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    this.#chunks.length = 0;
    this.#chunks.push(all.subarray(count));
    this.#length -= count;
    return [...all.subarray(0, count)];
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

/** A server of the test's own; each connection goes to `serve`. */
export async function serveTcp(
  serve: (wire: Wire) => Promise<void> | void,
  host = "127.0.0.1",
): Promise<AsyncDisposable & { port: number }> {
  const wires: Wire[] = [];
  const failures: unknown[] = [];
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    const wire = new Wire(socket);
    wires.push(wire);
    void Promise.resolve(serve(wire)).catch((error) => {
      // A peer that leaves early is for the test to judge; what it said wrongly is not.
      if (error instanceof AssertionError) failures.push(error);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      for (const wire of wires) wire.socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      if (failures.length > 0) throw failures[0];
    },
  };
}

/** Serves what comes, as it comes. */
export async function echo(wire: Wire): Promise<void> {
  wire.socket.write(Uint8Array.from(await wire.all()));
  wire.socket.end();
}

/** Bytes of a text. */
export const bytesOf = (text: string): number[] => [...new TextEncoder().encode(text)];

/** A CONNECT request to an IP or a name. */
export function connectRequest(host: string, port: number): number[] {
  const address = net.isIPv4(host)
    ? [1, ...host.split(".").map(Number)]
    : host === "::1"
    ? [4, ...Array(15).fill(0), 1]
    : [3, host.length, ...bytesOf(host)];
  return [5, 1, 0, ...address, port >> 8, port & 255];
}

/** What tor sends as user name and password for arguments. */
export function credentials(args: string): number[] {
  const bytes = bytesOf(args);
  const [user, password] = [bytes.slice(0, 255), bytes.slice(255)];
  const second = password.length === 0 ? [0] : password;
  return [1, user.length, ...user, second.length, ...second];
}

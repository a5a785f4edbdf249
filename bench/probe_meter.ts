/**
 * How one probe of a server is made and what is seen of it: what the server sent, and how and when it ended.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import net from "node:net";
import { wasReset } from "../transports/carriers/tls_first_flight.ts";

/** How a server took a probe. */
export interface Outcome {
  /** What it answered: text inside TLS, or bytes outside; dates are taken out. */
  readonly answer: string;
  /** Type and length of each TLS record that it sent, such as `22:122`. */
  readonly records: readonly string[];
  /** How its direction ended; `open` if it had not by the prober's deadline. */
  readonly end: "fin" | "rst" | "open";
  /** Milliseconds from connecting to that end. */
  readonly after: number;
}

/** One thing to try. `patience` is the web server's own timeout in milliseconds. */
export interface Probe {
  /** What is tried, in a few words. */
  readonly name: string;
  /** It takes so long that each server meets it once. */
  readonly once?: boolean;
  /** Sends it to a port on 127.0.0.1. */
  readonly send: (port: number, patience: number) => Promise<Outcome>;
}

/** Resolves after so many milliseconds. */
export const pause = (milliseconds: number) =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

/** What the bytes that a server sent mean. */
export type Reading = (bytes: Uint8Array) => Pick<Outcome, "answer" | "records">;

/** A relay that sees what a server sends and how it ends. */
export class Meter {
  readonly #server: net.Server;
  readonly #bytes: Uint8Array[] = [];
  readonly #ended = Promise.withResolvers<"fin" | "rst">();
  #began = performance.now();
  #endedAt = 0;
  #near: net.Socket | undefined;
  #far: net.Socket | undefined;

  /** Leads to `port`; with `drip` a byte each so many milliseconds. */
  constructor(port: number, drip?: number) {
    this.#server = net.createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
      this.#near = near;
      const far = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
      this.#far = far;
      this.#began = performance.now();
      let sending: Promise<unknown> = Promise.resolve();
      near.on("data", (bytes: Uint8Array) => {
        sending = sending.then(async () => {
          const step = drip === undefined ? bytes.length : 1;
          // What the prober says to a server's end is not the question.
          for (
            let at = 0;
            at < bytes.length && this.#endedAt === 0 && !far.destroyed;
            at += step
          ) {
            far.write(bytes.subarray(at, at + step));
            if (drip !== undefined) await pause(drip);
          }
        });
      });
      near.on("end", () => sending = sending.then(() => far.end()));
      near.on("error", () => far.destroy());
      far.on("data", (bytes: Uint8Array) => {
        this.#bytes.push(new Uint8Array(bytes));
        near.write(bytes);
      });
      const ended = (how: "fin" | "rst") => {
        this.#endedAt ||= performance.now();
        this.#ended.resolve(how);
      };
      far.on("end", () => {
        ended(wasReset(far) ? "rst" : "fin");
        near.end();
      });
      far.on("error", () => {
        ended("rst");
        near.destroy();
      });
    });
  }

  /** Listens, and returns the port that a prober is to connect to. */
  async open(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return (this.#server.address() as net.AddressInfo).port;
  }

  /**
   * Waits for the server's end, at most until the deadline. `answer` is what the prober makes of the answer, if it
   * sees more than the bytes outside.
   */
  async outcome(
    answer: () => string | undefined,
    deadline: number,
    read: Reading = readTls,
  ): Promise<Outcome> {
    const end = await Promise.race([
      this.#ended.promise,
      pause(deadline).then(() => "open" as const),
    ]);
    if (end !== "open") await pause(30);
    const bytes = new Uint8Array(Buffer.concat(this.#bytes));
    this.#near?.destroy();
    this.#far?.destroy();
    this.#server.close();
    const seen = read(bytes);
    return {
      answer: normal(answer() ?? seen.answer),
      records: seen.records,
      end,
      after: end === "open" ? deadline : this.#endedAt - this.#began,
    };
  }
}

/** Text without what a clock puts into it. */
export function normal(text: string): string {
  return text.replace(/date: [^\r\n]*/gi, "date: -");
}

/** Bytes that are TLS from the first one on. */
export const readTls: Reading = (bytes) => ({ answer: outside(bytes), records: recordsIn(bytes) });

function recordsIn(bytes: Uint8Array): string[] {
  const records: string[] = [];
  for (let at = 0; at + 5 <= bytes.length;) {
    if (bytes[at]! < 20 || bytes[at]! > 23 || bytes[at + 1] !== 3) return [];
    const length = bytes[at + 3]! * 256 + bytes[at + 4]!;
    records.push(`${bytes[at]}:${length + 5}`);
    at += 5 + length;
  }
  return records;
}

/** Bytes outside TLS as they are; after a ServerHello they are random, and only their lengths are compared. */
function outside(bytes: Uint8Array): string {
  if (bytes[0] === 22 && bytes[5] === 2) return "a handshake";
  if (bytes[0] === 21) return `alert ${Buffer.from(bytes).toString("hex")}`;
  return Buffer.from(bytes).toString("latin1");
}

/** How a probe is made. */
export interface ProbeOptions {
  /** The prober ends its direction after what it says. */
  readonly close?: boolean;
  /** A byte each so many milliseconds. */
  readonly drip?: number;
  /** What the server's bytes mean; TLS if absent. */
  readonly read?: Reading;
  /** Milliseconds after which the server is taken to keep the connection open; by the patience if absent. */
  readonly deadline?: number;
}

const deadlineFor = (patience: number) => patience * 2 + 3000;

/** A probe by plain bytes. */
export function raw(
  name: string,
  bytes: Uint8Array | (() => Uint8Array),
  { close = false, deadline, drip, read }: ProbeOptions = {},
): Probe {
  return {
    name,
    once: deadline !== undefined,
    send: async (port, patience) => {
      const meter = new Meter(port, drip);
      const socket = net.connect({
        host: "127.0.0.1",
        port: await meter.open(),
        allowHalfOpen: true,
        noDelay: true,
      });
      socket.on("error", () => {});
      socket.on("data", () => {});
      socket.on("end", () => socket.end());
      await new Promise<void>((resolve) => socket.once("connect", resolve));
      const sent = typeof bytes === "function" ? bytes() : bytes;
      if (sent.length > 0) socket.write(sent);
      if (close) socket.end();
      const outcome = await meter.outcome(
        () => undefined,
        deadline ?? deadlineFor(patience),
        read,
      );
      socket.destroy();
      return outcome;
    },
  };
}

/** A probe by a program. */
export function program(
  name: string,
  { args, command, drip, input = "", read, said }: Pick<ProbeOptions, "drip" | "read"> & {
    readonly command: string;
    readonly args: (port: number) => string[];
    /** Its standard input. */
    readonly input?: string;
    /** What it says of the answer; its standard output if absent. `outside` is what the bytes say. */
    readonly said?: (stdout: string, stderr: string, outside: string) => string;
  },
): Probe {
  return {
    name,
    send: async (port, patience) => {
      const meter = new Meter(port, drip);
      const child = new Deno.Command(command, {
        args: args(await meter.open()),
        stdin: "piped",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      const writer = child.stdin.getWriter();
      if (input !== "") await writer.write(new TextEncoder().encode(input)).catch(() => {});
      const collect = async (stream: ReadableStream<Uint8Array>) => {
        const chunks: Uint8Array[] = [];
        for await (const chunk of stream) chunks.push(chunk);
        return Buffer.concat(chunks).toString("latin1");
      };
      const reading = Promise.all([collect(child.stdout), collect(child.stderr)]);
      const outcome = await meter.outcome(() => undefined, deadlineFor(patience), read);
      if (outcome.end !== "open") await Promise.race([child.status, pause(2000)]);
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended already.
      }
      await child.status;
      const [stdout, stderr] = await reading;
      await writer.close().catch(() => {});
      const text = said?.(stdout, stderr, outcome.answer) ?? stdout;
      return text === "" ? outcome : { ...outcome, answer: normal(text) };
    },
  };
}

/** Bytes that look like nothing, the same each time. */
export function noise(length: number, seed: number): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state = Math.imul(state, 1664525) + 1013904223 | 0;
    return state >>> 24;
  });
}

import { createHash, type Hash } from "node:crypto";
import type {
  ConnectionPlan,
  CoverModel,
  DataRequest,
  End,
  EpisodePlan,
  ModelDescription,
  ModelRequest,
  SessionPlan,
} from "../../models/cover_model.ts";
import { type Random, SeededRandom, substream } from "../../models/random.ts";
import type { PlanForm, Scheduling } from "../../playback/engine_frames.ts";
import { Opener, type OpenerOptions } from "../../playback/opener.ts";
import { Acceptor, type AcceptorOptions } from "../../playback/acceptor.ts";
import type { DialRequest } from "../../playback/dials.ts";
import type { TunnelStream } from "../../playback/stream.ts";
import { ReliableTunnel } from "../../playback/tunnel.ts";
import { VirtualClock } from "../../playback/virtual_clock.ts";
import { type LinkModel, VirtualNetwork } from "../../playback/virtual_network.ts";
import { WireLog } from "./wire_log.ts";

/** What a {@linkcode TestModel} draws from. */
export interface TestModelOptions {
  layers?: boolean;
  clientSizes?: [least: number, most: number];
  serverSizes?: [least: number, most: number];
  exchanges?: number;
  think?: number;
  digest?: string;
  gap?: number | "close";
  /** How long a person who goes on takes; the model does not say if absent. */
  pause?: number;
  /** Whether connections of an episode share ends. */
  ends?: boolean;
}

/** A model of every feature that plans have: records, leads, paddings, resets, empty responses. */
export class TestModel implements CoverModel {
  readonly description: ModelDescription;
  readonly #options: Required<Omit<TestModelOptions, "ends" | "pause">> & TestModelOptions;

  constructor(options: TestModelOptions = {}) {
    this.#options = {
      layers: true,
      clientSizes: [60, 900],
      serverSizes: [23, 40_000],
      exchanges: 6,
      think: 200,
      digest: "0123456789abcdef".repeat(4),
      gap: 700,
      ...options,
    };
    this.description = {
      name: "test",
      kind: "test",
      protocol: "test",
      carrier: "tls",
      digest: this.#options.digest,
    };
  }

  session(random: Random): SessionPlan | undefined {
    if (!this.#options.layers) return undefined;
    return { pauses: Array.from({ length: 1 + random.integer(3) }, () => random.float() * 3000) };
  }

  episode(random: Random): EpisodePlan | undefined {
    if (!this.#options.layers) return undefined;
    const starts = Array.from({ length: 1 + random.integer(4) }, () => random.float() * 100);
    if (!this.#options.ends) return { starts };
    return { starts, ends: starts.map(() => random.integer(4) === 0 ? null : random.integer(2)) };
  }

  connectionGap(): number | "close" {
    return this.#options.gap;
  }

  pause(): number | undefined {
    return this.#options.pause;
  }

  connection(random: Random): ConnectionPlan {
    const { clientSizes, serverSizes, think } = this.#options;
    const between = ([least, most]: [number, number]) => least + random.integer(most - least + 1);
    const message = (sizes: [number, number], lead: number): DataRequest => {
      const size = between(sizes);
      const first = 23 + random.integer(Math.max(1, size - 60));
      return {
        type: random.integer(8) === 0 ? "padding" : "data",
        size,
        time: random.integer(3) === 0 ? 0 : random.float() * think,
        ...(random.integer(4) === 0 && size - first >= 23
          ? { records: [first, size - first] }
          : {}),
        ...(lead > 0 && random.integer(4) === 0 ? { lead: 1 + random.integer(lead) } : {}),
      };
    };
    const exchanges: ModelRequest[] = [];
    let server = 0;
    for (let i = 1 + random.integer(this.#options.exchanges); i > 0; i--) {
      const request = message(clientSizes, server);
      const response = Array.from({ length: random.integer(3) }, () => message(serverSizes, 0));
      server = response.reduce((sum, { size }) => sum + size, 0);
      exchanges.push({ request, response });
    }
    return {
      exchanges,
      close: {
        by: random.integer(2) === 0 ? "client" : "server",
        how: random.integer(5) === 0 ? "rst" : "fin",
        time: random.float() * think,
      },
    };
  }
}

/** Who may be master, how plans reach the other end, and who decides when episodes start. */
export const ROLES: readonly { lead: End; form: PlanForm; schedule: Scheduling }[] =
  (["client", "server"] as const).flatMap((lead) =>
    (["derived", "embedded"] as const).flatMap((form) =>
      (["strict", "demand", "adaptive"] as const).map((schedule) => ({ lead, form, schedule }))
    )
  );

/** Those of them that never look at demand. */
export const STRICT_ROLES: typeof ROLES = ROLES.filter(({ schedule }) => schedule === "strict");

/** Two ends over a virtual network. */
export interface World {
  clock: VirtualClock;
  network: VirtualNetwork;
  tunnels: { client: ReliableTunnel; server: ReliableTunnel };
  opener: Opener;
  acceptor: Acceptor;
  logs: { client: WireLog; server: WireLog };
  faults: unknown[];
}

/** What a {@linkcode makeWorld} is made of. */
export interface WorldOptions {
  model?: CoverModel;
  models?: readonly CoverModel[];
  link?: LinkModel;
  seed?: number;
  prefix?: { client: number; server: number };
  /** Seal the client's side: with a toy that still needs every byte in order. */
  sealed?: boolean;
  opener?: Partial<OpenerOptions>;
  acceptor?: Partial<AcceptorOptions>;
  /** Who is master; the client if absent. */
  lead?: End;
  /** Called for every dial; false lets it fail. */
  mayDial?: () => boolean;
  /** Told of every dial. */
  onDial?: (request: DialRequest) => void;
}

/** Adds a running number to each byte, or takes it away. */
function toyCipher(sign: 1 | -1): (bytes: Uint8Array) => Uint8Array {
  let position = 0;
  return (bytes) => bytes.map((byte) => byte + sign * (position++ * 7 + 99));
}

/** The 16 bytes that the plans of whoever leads a world are drawn from. */
export function leadSeed(lead: End, seed = 0): Uint8Array {
  const own = substream(new Uint8Array(32), lead === "client" ? "test" : "server", seed);
  return substream(own, "setup").subarray(0, 16);
}

/** Both ends with real tunnels; proofs are zero bytes of the given lengths. */
export function makeWorld(options: WorldOptions = {}): World {
  const clock = new VirtualClock();
  const network = new VirtualNetwork(clock, options.link ?? { delay: 15 });
  const model = options.model ?? new TestModel();
  const tunnels = {
    client: new ReliableTunnel({ end: "client", clock }),
    server: new ReliableTunnel({ end: "server", clock }),
  };
  const logs = { client: new WireLog(), server: new WireLog() };
  const faults: unknown[] = [];
  const { client, server } = options.prefix ?? { client: 16, server: 16 };
  const acceptor = new Acceptor({
    clock,
    tunnel: tunnels.server,
    models: options.models ?? [model],
    lead: { seed: substream(new Uint8Array(32), "server", options.seed ?? 0) },
    onWire: logs.server.add,
    onFault: (fault) => faults.push(fault.report.error),
    ...options.acceptor,
  });
  const opener = new Opener({
    clock,
    tunnel: tunnels.client,
    model,
    seed: substream(new Uint8Array(32), "test", options.seed ?? 0),
    minFirstPayload: client + 2,
    master: options.lead ?? "client",
    onWire: logs.client.add,
    onFault: (fault) => faults.push(fault.report.error),
    onError: (error) => faults.push(error),
    dial: (request) => {
      const { command, session, serial, done, failed } = request;
      options.onDial?.(request);
      if (options.mayDial?.() === false) {
        clock.at(clock.now() + 10, () => failed(new Error("refused")));
        return;
      }
      network.dial(
        (connection) =>
          done({
            connection,
            ...(command === undefined
              ? {
                prefix: new Uint8Array(client).fill(1),
                peerPrefix: server,
                onPeerPrefix: (proof: Uint8Array) => proof.every((byte) => byte === 2),
              }
              : { command: true }),
            ...(options.sealed ? { seal: toyCipher(1) } : {}),
          }),
        (connection) =>
          acceptor.accept(connection, {
            session,
            serial,
            ...(command === undefined
              ? { peerPrefix: client, prefix: new Uint8Array(server).fill(2) }
              : { command: true }),
            ...(options.sealed ? { unseal: toyCipher(-1) } : {}),
          }),
      );
    },
    ...options.opener,
  });
  return { clock, network, tunnels, opener, acceptor, logs, faults };
}

/** Random bytes of a known length for one direction, and what has arrived of the other's. */
export class Pump {
  readonly sent: Hash = createHash("sha256");
  readonly received: Hash = createHash("sha256");
  arrived = 0;
  ended = false;
  error: unknown;
  readonly #stream: TunnelStream;
  readonly #random: SeededRandom;
  #left: number;
  #rest = new Uint8Array(0);

  constructor(stream: TunnelStream, bytes: number, seed: number) {
    this.#stream = stream;
    this.#left = bytes;
    this.#random = new SeededRandom(substream(new Uint8Array(32), "pump", seed));
    stream.opened.catch(() => {});
    stream.closed.catch(() => {});
    stream.onReadable = () => this.#read();
    stream.onWritable = () => this.#write();
    this.#write();
    this.#read();
  }

  #read(): void {
    try {
      for (;;) {
        const bytes = this.#stream.read();
        if (bytes === undefined) return;
        if (bytes === null) {
          this.ended = true;
          return;
        }
        this.arrived += bytes.length;
        this.received.update(bytes);
      }
    } catch (error) {
      this.error = error;
    }
  }

  #write(): void {
    try {
      for (;;) {
        if (this.#rest.length === 0) {
          if (this.#left === 0) return this.#stream.end();
          const words = new Uint32Array(1024);
          for (let i = 0; i < words.length; i++) words[i] = this.#random.integer(2 ** 32);
          this.#rest = new Uint8Array(words.buffer).subarray(0, Math.min(this.#left, 4096));
          this.#left -= this.#rest.length;
          this.sent.update(this.#rest);
        }
        const taken = this.#stream.write(this.#rest);
        this.#rest = this.#rest.subarray(taken);
        if (taken === 0) return;
      }
    } catch (error) {
      this.error = error;
    }
  }
}

/** Carries `bytes` random bytes each way on a new stream. */
export function pump(world: World, bytes: number, seed = 0): { here: Pump; there: () => Pump } {
  let there: Pump | undefined;
  world.tunnels.server.onStream = (stream) => {
    stream.accept();
    there = new Pump(stream, bytes, seed + 1000);
  };
  const here = new Pump(world.tunnels.client.open({ host: "example.com", port: 80 }), bytes, seed);
  return { here, there: () => there! };
}

/** Keeps both directions full of bytes of no interest. */
export function saturate(world: World): void {
  const chunk = new Uint8Array(65536).fill(7);
  const fill = (stream: TunnelStream) => {
    stream.opened.catch(() => {});
    stream.closed.catch(() => {});
    const write = () => {
      while (stream.write(chunk) > 0);
    };
    stream.onWritable = write;
    stream.onReadable = () => {
      while (stream.read());
    };
    write();
  };
  world.tunnels.server.onStream = (stream) => {
    stream.accept();
    fill(stream);
  };
  fill(world.tunnels.client.open({ host: "example.com", port: 80 }));
}

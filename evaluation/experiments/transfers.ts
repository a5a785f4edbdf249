import { Buffer } from "node:buffer";
import { ConstantRate, type CoverModel, type End, loadModel } from "../../models/mod.ts";
import type { TunnelStream } from "../../playback/mod.ts";
import { coverSeed } from "../demo/play.ts";
import { SIMULATED_LINKS } from "../simulation/links.ts";
import { SimulatedTunnel } from "../simulation/simulated_tunnel.ts";

/** Milliseconds before the transfer starts. */
const WARM_UP = 60_000;
/** Milliseconds that it may take. */
const PATIENCE = 4 * 3_600_000;
const CHUNK = new Uint8Array(65_536).fill(7);

/** One transfer, or several with seeds of their own. */
export interface TransferJob {
  /** The model, by name or path; `constant-rate:28` is constant rate of as many kbit/s each way. */
  readonly model: string;
  /** Name of the link. */
  readonly link: string;
  /** Who sends. */
  readonly from: End;
  /** User bytes. */
  readonly bytes: number;
  /** Transfers, each in a tunnel of its own. */
  readonly times: number;
  /** Text that seeds are drawn from. */
  readonly seed: string;
}

/** What it came to; arrays hold one figure a transfer. */
export interface TransferResult {
  /** User data delivered, in kbit/s. */
  readonly kbps: readonly number[];
  /** Bytes on the wire both ways (TCP payload, handshakes included) for each user byte. */
  readonly overhead: readonly number[];
  /** Transfers that were not through in four hours. */
  readonly unfinished: number;
}

/** Message size of constant rate, in bytes on the wire. */
const SIZE = 1448;

/** The model of this name, or constant rate at some kbit/s. */
export async function modelNamed(name: string): Promise<CoverModel> {
  const rate = /^constant-rate:(\d+)$/.exec(name);
  if (rate === null) return await loadModel(name);
  const period = SIZE * 8 / Number(rate[1]);
  return new ConstantRate({ size: SIZE, period, exchanges: 10 });
}

/** Carries bytes one way under a model, in virtual time. */
export async function transfer(job: TransferJob): Promise<TransferResult> {
  const { bytes, from, times } = job;
  const model = await modelNamed(job.model);
  const kbps: number[] = [];
  const overhead: number[] = [];
  for (let time = 0; time < times; time++) {
    const tunnel = new SimulatedTunnel({
      model,
      link: SIMULATED_LINKS[job.link]!,
      seed: new Uint8Array(
        Buffer.from(coverSeed(`${job.seed} transfer ${time}`, job.model), "hex"),
      ),
      keep: true,
    });
    tunnel.run(WARM_UP);
    const before = tunnel.path.packets.length;
    const start = tunnel.clock.now();
    let received = 0;
    const drain = (stream: TunnelStream) => {
      const read = () => {
        for (let piece = stream.read(); piece; piece = stream.read()) received += piece.length;
      };
      stream.onReadable = read;
      read();
    };
    const near = tunnel.open((far) => from === "server" ? send(far, bytes) : drain(far));
    if (from === "client") send(near, bytes);
    else drain(near);
    if (tunnel.run(PATIENCE, () => received === bytes)) {
      let wire = 0;
      for (const { length } of tunnel.path.packets.slice(before)) wire += length;
      kbps.push(bytes * 8 / (tunnel.clock.now() - start));
      overhead.push(wire / bytes);
    }
    tunnel.stop();
  }
  return { kbps, overhead, unfinished: times - kbps.length };
}

function send(stream: TunnelStream, bytes: number): void {
  let left = bytes;
  const write = () => {
    while (left > 0) {
      const taken = stream.write(CHUNK.subarray(0, Math.min(left, CHUNK.length)));
      if (taken === 0) return;
      left -= taken;
    }
  };
  stream.onWritable = write;
  write();
}

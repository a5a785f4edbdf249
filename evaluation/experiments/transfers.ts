import { Buffer } from "node:buffer";
import type { End } from "../../models/mod.ts";
import { modelNamed } from "../constant_rates.ts";
import { coverSeed } from "../demo/play.ts";
import { SIMULATED_LINKS } from "../simulation/links.ts";
import { SimulatedTunnel } from "../simulation/simulated_tunnel.ts";
import { drain, send } from "../simulation/streams.ts";

/** Milliseconds before the transfer starts. */
const WARM_UP = 60_000;
/** Milliseconds that it may take. */
const PATIENCE = 4 * 3_600_000;

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
    let received = { bytes: 0 };
    const near = tunnel.open((far) => {
      if (from === "server") send(far, bytes);
      else received = drain(far);
    });
    if (from === "client") send(near, bytes);
    else received = drain(near);
    if (tunnel.run(PATIENCE, () => received.bytes === bytes)) {
      let wire = 0;
      for (const { length } of tunnel.path.packets.slice(before)) wire += length;
      kbps.push(bytes * 8 / (tunnel.clock.now() - start));
      overhead.push(wire / bytes);
    }
    tunnel.stop();
  }
  return { kbps, overhead, unfinished: times - kbps.length };
}

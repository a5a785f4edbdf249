/**
 * What a tunnel carries under cover: each shipped model and each schedule over links of 20 and 80 ms of round
 * trip, in virtual time.
 *
 * @module
 */
import { drain, fill, send, SimulatedTunnel } from "../evaluation/simulation/mod.ts";
import { LAB_LINK, type LinkProfile } from "../lab/link_profile.ts";
import { builtinModel, type CoverModel, type End, substream } from "../models/mod.ts";
import { SeededRandom } from "../models/random.ts";
import type { Scheduling } from "../playback/mod.ts";
import { type Benchmark, median, type ResultTable } from "./benchmark.ts";

const MODELS = ["https", "smtp", "ssh", "https-structural", "smtp-structural", "ssh-structural"];
const SCHEDULES: readonly Scheduling[] = ["strict", "demand", "adaptive"];
const BYTE = new Uint8Array(1);
/** Milliseconds before anything is measured. */
const WARM_UP = 60_000;
/** Milliseconds that a transfer may take. */
const PATIENCE = 4 * 3_600_000;

const round = (value: number, digits = 3) => Number(value.toPrecision(digits));

/** Sends `bytes` from one end and waits until the other has them. Returns milliseconds; NaN if it takes too long. */
function transfer(tunnel: SimulatedTunnel, from: End, bytes: number): number {
  const start = tunnel.clock.now();
  let received: { bytes: number } | undefined;
  const near = tunnel.open((far) => {
    if (from === "server") send(far, bytes, () => far.end());
    else {
      received = drain(far);
      far.end();
    }
  });
  if (from === "client") send(near, bytes, () => near.end());
  else {
    received = drain(near);
    near.end();
  }
  const done = tunnel.run(PATIENCE, () => received?.bytes === bytes);
  const took = tunnel.clock.now() - start;
  // A pause before the next, in which acknowledgements get home.
  tunnel.run(20_000);
  return done ? took : NaN;
}

/** Milliseconds from writing one byte to its echo, each after a pause. */
function echoes(tunnel: SimulatedTunnel, count: number, random: SeededRandom): number[] {
  let came = 0;
  const near = tunnel.open((far) => {
    far.onReadable = () => {
      let bytes = far.read();
      for (; bytes; bytes = far.read()) far.write(bytes);
      if (bytes === null) far.end();
    };
  });
  near.onReadable = () => {
    for (let bytes = near.read(); bytes; bytes = near.read()) came += bytes.length;
  };
  const times: number[] = [];
  for (let i = 1; i <= count; i++) {
    tunnel.run(2000 + random.float() * 10_000);
    const start = tunnel.clock.now();
    near.write(BYTE);
    if (!tunnel.run(600_000, () => came === i)) break;
    times.push(tunnel.clock.now() - start);
  }
  near.end();
  tunnel.run(60_000);
  return times.sort((a, b) => a - b);
}

interface Cell {
  readonly model: string;
  readonly schedule: Scheduling;
  readonly rtt: number;
  /** kbit/s, user bytes. */
  readonly down: number;
  readonly up: number;
  /** Share of the room in data slots that held user bytes, while that direction was full. */
  readonly efficiency: number;
  /** Bytes on the wire, both ways, for each user byte, while both directions were full. */
  readonly overhead: number;
  /** Milliseconds. */
  readonly echo: { readonly p50: number; readonly p95: number };
  /** Seconds. */
  readonly down100K: number;
  readonly up100K: number;
  readonly down10M: number;
  /** Cover connections that were given up. */
  readonly faults: number;
}

function measure(
  model: CoverModel,
  schedule: Scheduling,
  rtt: number,
  seed: string,
  quick: boolean,
): Cell {
  const link: LinkProfile = { ...LAB_LINK, name: `${rtt} ms`, oneWayDelayMs: rtt / 2 };
  const { name } = model.description;
  const key = substream(new TextEncoder().encode(seed.padEnd(16)), name, schedule, rtt);
  const make = (part: string) => {
    const tunnel = new SimulatedTunnel({ model, link, schedule, seed: substream(key, part) });
    tunnel.run(WARM_UP);
    return tunnel;
  };
  const full = make("saturated");
  let far: { bytes: number } = { bytes: 0 };
  const near = full.open((stream) => {
    far = drain(stream);
    fill(stream);
  });
  fill(near);
  const nearCount = drain(near);
  full.run(WARM_UP);
  const before = { down: nearCount.bytes, up: far.bytes, ...counts(full) };
  const span = quick ? 300_000 : 3_600_000;
  full.run(span);
  const after = { down: nearCount.bytes, up: far.bytes, ...counts(full) };
  full.stop();
  const [down, up] = [after.down - before.down, after.up - before.up];
  const idle = make("idle");
  const echo = echoes(idle, quick ? 20 : 200, new SeededRandom(substream(key, "echo")));
  const small = quick ? 3 : 15;
  const repeat = (times: number, from: End, bytes: number) =>
    median(Array.from({ length: times }, () => transfer(idle, from, bytes)));
  const down100K = repeat(small, "server", 100_000);
  const up100K = repeat(small, "client", 100_000);
  const expected = 10_000_000 * span / down;
  const down10M = expected > PATIENCE
    ? Infinity
    : repeat(quick || expected > 600_000 ? 1 : 3, "server", 10_000_000);
  idle.stop();
  return {
    model: name,
    schedule,
    rtt,
    down: round(down * 8 / span),
    up: round(up * 8 / span),
    efficiency: round((after.data - before.data) / (after.room - before.room), 4),
    overhead: round((after.wire - before.wire) / (down + up)),
    echo: { p50: round(at(echo, 0.5)), p95: round(at(echo, 0.95)) },
    down100K: round(down100K / 1000),
    up100K: round(up100K / 1000),
    down10M: round(down10M / 1000),
    faults: full.faults.length + idle.faults.length,
  };
}

function at(sorted: readonly number[], share: number): number {
  return sorted[Math.floor(share * (sorted.length - 1))] ?? NaN;
}

/** Of both ends together: user bytes sent, room in data slots, bytes on the wire. */
function counts({ stats: { client, server } }: SimulatedTunnel) {
  const data = client.data + server.data;
  return {
    data,
    room: data + client.padding + server.padding + client.control + server.control,
    wire: client.wire + server.wire,
  };
}

function table(cells: readonly Cell[], rtt: number): ResultTable {
  return {
    title: `Under cover, round trip ${rtt} ms, 20 Mbit/s, one session (virtual time)`,
    head: [
      "model",
      "schedule",
      "down kbit/s",
      "up kbit/s",
      "efficiency",
      "overhead",
      "echo p50 s",
      "p95 s",
      "100 KB down s",
      "100 KB up s",
      "10 MB down s",
    ],
    rows: cells.filter((cell) => cell.rtt === rtt).map((cell) =>
      [
        cell.model,
        cell.schedule,
        cell.down,
        cell.up,
        cell.efficiency,
        cell.overhead,
        round(cell.echo.p50 / 1000),
        round(cell.echo.p95 / 1000),
        cell.down100K,
        cell.up100K,
        cell.down10M === Infinity ? "over 4 h" : cell.down10M,
      ].map(String)
    ),
  };
}

/** Throughput, overhead and delay under each model and schedule. */
export const benchmark: Benchmark = {
  about: "what a tunnel carries under each model and schedule, in virtual time",
  async run({ note, quick, seed }) {
    const cells: Cell[] = [];
    const rtts = [20, 80];
    const names = quick ? MODELS.slice(0, 3) : MODELS;
    for (const name of [...names, "constant-rate"]) {
      const model = await builtinModel(name);
      for (const schedule of name === "constant-rate" ? SCHEDULES.slice(0, 1) : SCHEDULES) {
        for (const rtt of rtts) {
          cells.push(measure(model, schedule, rtt, seed, quick));
          note(JSON.stringify(cells.at(-1)));
        }
      }
    }
    return { tables: rtts.map((rtt) => table(cells, rtt)), data: cells };
  },
};

import type { DemoResult, ModelResult, Rate } from "../../report/result.ts";
import type { TimelineRecord } from "../../report/result.ts";

/** Repeatable draws from [0, 1). */
export function generator(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 4294967296;
  };
}

/** A rate with a rough interval. */
export function rate(count: number, n: number): Rate {
  const share = count / n;
  const half = 1.96 * Math.sqrt(share * (1 - share) / n + 0.0005);
  return { share, count, n, low: Math.max(0, share - half), high: Math.min(1, share + half) };
}

function lognormal(draw: () => number, middle: number, spread: number, n: number): number[] {
  return Array.from({ length: n }, () => {
    const normal = Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
    return Math.round(middle * Math.exp(spread * normal));
  });
}

function model(name: string, kind: string, claimed: number): ModelResult {
  return {
    model: name,
    kind,
    protocol: name === "constant-rate" ? "any" : name,
    connections: 60 + claimed,
    goodputKbps: 12.3 * (claimed + 1),
    goodput: { upKbps: 4.56 * (claimed + 1), downKbps: 7.74 * (claimed + 1) },
    overhead: 3.5 + claimed / 10,
    asClaimed: rate(claimed, 64),
    anomalous: rate(62 - claimed, 64),
    kmeansFlagged: rate(name === "constant-rate" ? 63 : 3, 64),
    auc: { value: 0.97 - claimed / 150, floor: 0.52 },
    sha256Match: true,
  };
}

/** A result with every part filled, as a demo makes it; the same each time. */
export function fixture(): DemoResult {
  const draw = generator(7);
  const features = [
    { name: "bytesSent", unit: "bytes" },
    { name: "bytesReceived", unit: "bytes" },
    { name: "packetSizeSent", unit: "bytes" },
    { name: "packetSizeReceived", unit: "bytes" },
    { name: "duration", unit: "ms" },
  ];
  const series = (name: string, shift: number, n: number) => ({
    name,
    values: [
      lognormal(draw, 2500 * shift, 0.9, n),
      lognormal(draw, 60_000 * shift, 1.4, n),
      lognormal(draw, 310 * shift, 0.4, n),
      lognormal(draw, 1200 * shift, 0.15, n),
      lognormal(draw, 3400 * shift, 1.1, n),
    ],
  });
  const records: TimelineRecord[] = [];
  for (let exchange = 0, time = 40; exchange < 14; exchange++) {
    const up = Math.floor(200 + 900 * draw());
    records.push({
      time,
      from: "client",
      data: up >> 2,
      control: 24,
      padding: up - (up >> 2) - 24,
    });
    time += 45 + 60 * draw();
    for (let left = Math.floor(40_000 * draw()); left > 0; left -= 8192) {
      const size = Math.min(left, 8192);
      const data = exchange < 8 ? Math.floor(size * 0.9) : 0;
      const control = Math.min(size - data, 30);
      records.push({ time, from: "server", data, control, padding: size - data - control });
      time += 4;
    }
    time += 400 * draw();
  }
  const constant = series("constant-rate", 1, 60);
  return {
    madeAt: "2026-07-26T12:34:56.000Z",
    version: "0.1.0",
    seed: 20260726,
    transfer: { sha256Match: true, bytesUp: 100_000, bytesDown: 100_000 },
    link: { name: "lab", oneWayDelayMs: 20, rateMbit: 20, queueKB: 256, mss: 1448 },
    recording: "user-space recording",
    crossValidation: {
      attack: "knn",
      accuracy: 0.931,
      folds: [0.912, 0.958, 0.924],
      n: 372,
      groupedBy: "capture",
    },
    realAsClaimed: [
      { protocol: "https", rate: rate(56, 61) },
      { protocol: "smtp", rate: rate(59, 62) },
      { protocol: "ssh", rate: rate(51, 60) },
    ],
    models: [
      model("https", "conditional", 53),
      model("https", "structural", 39),
      model("smtp", "conditional", 51),
      model("ssh", "conditional", 46),
      {
        ...model("constant-rate", "constant-rate", 9),
        note: "Judged against all three protocols.",
      },
    ],
    features: ["https", "smtp", "ssh"].map((protocol) => ({
      protocol,
      features,
      real: series("real", 1, 62),
      cover: protocol === "https"
        ? [series("conditional", 1.1, 61), series("structural", 1.8, 63)]
        : [series("conditional", 1.2, 60)],
    })).concat({
      protocol: "constant-rate",
      features,
      real: series("real (all)", 1, 180),
      cover: [{
        ...constant,
        values: [14480, 14480, 1448, 1448, 4512].map((v) => Array(60).fill(v)),
      }],
    }),
    confusion: {
      attack: "knn",
      verdicts: ["https", "smtp", "ssh", "unknown"],
      rows: [
        { truth: "https", source: "real", counts: [56, 2, 1, 2] },
        { truth: "smtp", source: "real", counts: [1, 59, 0, 2] },
        { truth: "ssh", source: "real", counts: [4, 1, 51, 4] },
        { truth: "https", source: "cover", counts: [53, 5, 1, 5] },
        { truth: "smtp", source: "cover", counts: [3, 51, 4, 6] },
        { truth: "ssh", source: "cover", counts: [8, 1, 46, 9] },
        { truth: "constant-rate", source: "cover", counts: [2, 6, 1, 55] },
      ],
    },
    timeline: { model: "https", carried: "a download of 100 KB", records },
    method: [
      {
        title: "What was compared",
        text: "Cover connections played in this run against real connections of runs 4 to 6.",
      },
      {
        title: "Splits",
        text: "Models learned from runs 1 to 3; the attack trained on runs 4 and 5.",
      },
      { title: "Limits", text: "The laboratory's programs and link are not the Internet's." },
    ],
  };
}

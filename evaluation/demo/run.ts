import { randomBytes } from "node:crypto";
import { LAB_LINK } from "../../lab/link_profile.ts";
import { loadModel } from "../../models/mod.ts";
import type { DemoResult, ModelResult, Timeline } from "../../report/result.ts";
import type { LabelledCaptures } from "../samples.ts";
import { type Judgements, judgeRecordings } from "./judge.ts";
import { play, type Played } from "./play.ts";

/** One model in the demo. */
export interface DemoModel {
  /** Name or path of the model. */
  readonly model: string;
  /** Simulated users that play it side by side. */
  readonly sessions: number;
}

/**
 * What the demo plays unless told. As few users as carry 100 KB each way in the time: a mail client
 * hears little from its server, so that what flows down has little room. The more users share the link,
 * the less it looks like the laboratory's, where one to three did.
 */
export const DEMO_MODELS: readonly DemoModel[] = [
  { model: "https", sessions: 2 },
  { model: "smtp", sessions: 8 },
  { model: "ssh", sessions: 4 },
  { model: "constant-rate", sessions: 8 },
];

/** How the demo is run. */
export interface DemoOptions {
  /** What is played. */
  readonly models: readonly DemoModel[];
  /** Real captures that no model was learned from. */
  readonly real: readonly LabelledCaptures[];
  /** A folder for keys, logs and recordings: empty, and writable. */
  readonly folder: string;
  /** User bytes each way under each model. */
  readonly bytes: number;
  /** Cover connections to record of each model. */
  readonly connections: number;
  /** Unsigned 32-bit seed of the cover and of the attacks. */
  readonly seed: number;
  /** Milliseconds that one model may be played at most. */
  readonly patience: number;
  /** How many models are played at once. */
  readonly parallel: number;
  /** How far it is: a share from 0 to 1, and what is done now. */
  readonly onProgress?: (share: number, what: string) => void;
}

/** What the demo found. */
export interface DemoRun {
  /** For the report. */
  readonly result: DemoResult;
  /** What the attacks said, in full. */
  readonly judgements: Judgements;
  /** What was played, by model. */
  readonly played: ReadonlyMap<string, Played>;
}

/** Most of the time goes to playing. */
const PLAYING = 0.85;

/**
 * Plays each model, records it, lets the attacks judge the recordings and puts it all together.
 *
 * @throws {NodeFailed} if a node fails or the time runs out before all user data was carried.
 */
export async function runDemo(options: DemoOptions): Promise<DemoRun> {
  const { models, connections } = options;
  const payload = new Uint8Array(randomBytes(options.bytes));
  const played = new Map<string, Played>();
  const begun = new Map<string, number>();
  const waiting = [...models];
  const worker = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const { model, sessions } = next;
      const folder = `${options.folder}/${played.size + waiting.length}-${crypto.randomUUID()}`;
      await Deno.mkdir(folder, { mode: 0o700 });
      const one = await play({
        model,
        sessions,
        folder,
        payload,
        connections,
        patience: options.patience,
        seed: String(options.seed),
        onProgress: (count) => {
          begun.set(model, count);
          const sum = [...begun.values()].reduce((a, b) => a + b, 0);
          const share = PLAYING * sum / (models.length * connections);
          options.onProgress?.(share, `playing ${[...begun.keys()].join(", ")}`);
        },
      });
      played.set(model, one);
      begun.set(model, connections);
    }
  };
  await Promise.all(Array.from({ length: options.parallel }, worker));
  const descriptions = new Map(
    await Promise.all(
      models.map(async ({ model }) => [model, (await loadModel(model)).description] as const),
    ),
  );
  const claimOf = (model: string) => {
    const { protocol } = descriptions.get(model)!;
    return options.real.some(({ label }) => label === protocol) ? protocol : "https";
  };
  const judgements = await judgeRecordings({
    real: options.real,
    cover: models.map(({ model }) => ({
      model,
      claims: claimOf(model),
      capture: played.get(model)!.capture,
    })),
    seed: options.seed,
    onProgress: (done, total, what) =>
      options.onProgress?.(PLAYING + (1 - PLAYING) * done / total, what),
  });
  const results = models.map(({ model, sessions }): ModelResult => {
    const { up, down, wireBytes, recorded, unfinished } = played.get(model)!;
    const description = descriptions.get(model)!;
    const kbps = (bytes: number, milliseconds: number) => bytes * 8 / milliseconds;
    const note = [
      `${sessions} users`,
      ...(description.carrier === "tls" ? [] : [`inside TLS, not ${description.carrier}`]),
      ...(unfinished === 0 ? [] : [`${unfinished} of ${recorded} unfinished, left out`]),
    ].join("; ");
    return {
      ...judgements.models.find((judged) => judged.model === model)!,
      kind: description.kind,
      protocol: claimOf(model),
      goodputKbps: kbps(up.bytes + down.bytes, up.duration + down.duration),
      goodput: {
        upKbps: kbps(up.bytes, up.duration),
        downKbps: kbps(down.bytes, down.duration),
      },
      overhead: wireBytes / (up.bytes + down.bytes),
      sha256Match: up.sha256Match && down.sha256Match,
      note,
    };
  });
  return { result: resultOf(options, judgements, results, played), judgements, played };
}

function resultOf(
  options: DemoOptions,
  judgements: Judgements,
  models: readonly ModelResult[],
  played: ReadonlyMap<string, Played>,
): DemoResult {
  const { crossValidation } = judgements.knn;
  const timeline = timelineOf(options.models, played);
  return {
    title: "TrafficMimic: the demo",
    madeAt: new Date().toISOString(),
    seed: options.seed,
    transfer: {
      sha256Match: models.every(({ sha256Match }) => sha256Match === true),
      bytesUp: options.bytes,
      bytesDown: options.bytes,
    },
    link: LAB_LINK,
    recording: "user-space recording",
    crossValidation: {
      attack: judgements.knn.plugin.name,
      accuracy: crossValidation.accuracy,
      folds: crossValidation.folds.map(({ accuracy }) => accuracy),
      n: crossValidation.n,
      groupedBy: "capture",
    },
    realAsClaimed: judgements.realAsClaimed,
    models,
    features: judgements.features,
    confusion: judgements.confusion,
    ...(timeline === undefined ? {} : { timeline }),
    method: methodOf(options, judgements),
  };
}

/** The first model's connection that carried most; the models come with the most telling one first. */
function timelineOf(
  models: readonly DemoModel[],
  played: ReadonlyMap<string, Played>,
): Timeline | undefined {
  for (const { model } of models) {
    const { timeline } = played.get(model)!;
    if (timeline !== undefined) return { ...timeline, carried: "part of the transfer" };
  }
  return undefined;
}

function methodOf(
  options: DemoOptions,
  { smtpAgainstConstantRate: pair, knn }: Judgements,
): { title: string; text: string }[] {
  const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
  const runs = options.real.map(({ label, captures }) => `${captures.length} of ${label}`);
  return [
    {
      title: "Recording",
      text:
        "A tm-server and a tm-client in processes of their own met through a user-space link with the " +
        "delay, rate and segment size of the network that the real traffic was recorded on. It is a model " +
        "of a path, not tcpdump: it timestamps every segment as seen at the client's end. The first " +
        `${options.connections} connections of each model were recorded to their ends.`,
    },
    {
      title: "Real traffic",
      text:
        `Recordings of real programs in the laboratory, by run (${runs.join(", ")}). The models ` +
        "were learned from other runs. No run is ever both trained on and tested on.",
    },
    {
      title: "Attacks",
      text:
        "knn and kmeans see the seed paper's five features of each connection, after the carrier's " +
        "handshake, and have seen real traffic only; their thresholds are tuned without any cover " +
        `(t = ${
          Number(knn.training.t).toPrecision(3)
        }). The random forest behind the AUC is a much ` +
        "stronger attacker: it is trained on this very cover as well, with sizes and times of the first " +
        "messages. Beside it stands the same attack on real runs against real runs.",
    },
    {
      title: "Constant rate",
      text: "Runs inside TLS and so claims to be https. " +
        (pair === undefined
          ? ""
          : `kmeans, given real SMTP alone, tells the two apart in ${
            percent(pair.accuracy)
          } of the cases (flagged: ${percent(pair.flagged.share)} of constant rate, ${
            percent(pair.realFlagged.share)
          } of real SMTP).`),
    },
    {
      title: "Carriers",
      text:
        "All models ran inside the carrier tls, which needs no other program: an observer who looks at the " +
        "first bytes sees TLS where SMTP or SSH should be. The attacks here look at what follows the " +
        "handshake. The carriers smtp and ssh, which are what they claim, need Postfix and OpenSSH " +
        "(docs/carriers.md).",
    },
    {
      title: "Goodput and overhead",
      text:
        `${options.bytes} random bytes up, then as many down, over all simulated users of the model ` +
        "together. Overhead counts TCP payload both ways, handshakes included, while these were carried.",
    },
  ];
}

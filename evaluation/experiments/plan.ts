import type { Scheduling } from "../../playback/mod.ts";
import type { RecordedTransfers } from "../recorded_transfers.ts";
import type { LabelledCaptures } from "../samples.ts";
import { CONTENT_SIZES, planContent, type PlannedContent } from "../content/plan.ts";
import type { Job, JobKind, JobResults } from "./jobs.ts";
import { ROUGH_LINKS } from "./rough_link.ts";
import type { Named } from "./seed_attacks.ts";
import type { Traffic } from "./traffic.ts";

/** What is evaluated. */
export interface EvaluationPlan {
  /** Real traffic for attackers, by protocol: no run that a model has learned. */
  readonly real: readonly LabelledCaptures[];
  /**
   * Real traffic of other hours, which no model has learned either: the seed's attacks, whose threshold takes the
   * widest view of what is real, have it besides. Others do not, for the hour of a recording shows in it.
   */
  readonly moreReal?: readonly LabelledCaptures[];
  /** Real traffic that the models were learned from, by protocol. */
  readonly learned: readonly LabelledCaptures[];
  /** Recordings of cover by the name of their model, in place of simulations. */
  readonly recorded: readonly LabelledCaptures[];
  /** More captures of real TLS connections, of headers if there is no more; none if absent. */
  readonly tls?: readonly string[];
  /** Models, and what they claim to be. */
  readonly models: readonly {
    readonly model: string;
    readonly claims: string;
    /** The model's digest: what was recorded of another version of it is said to be so. Not looked at if absent. */
    readonly digest?: string;
  }[];
  /** Real users over long times, by the name of a model that plays such users; not looked at when it is quick. */
  readonly users?: readonly LabelledCaptures[];
  /** Bulk transfers that iperf drove, to stand before the simulated ones; none if absent. */
  readonly recordedTransfers?: RecordedTransfers;
  /** Whether it is asked what content shows: users who are watched, the longest part; asked if absent. */
  readonly content?: boolean;
  /** Whether it shall be done in ten minutes. */
  readonly quick: boolean;
  /** The seed. */
  readonly seed: number;
}

/** A transfer's place in figure 1. */
export interface TransferCell {
  /** The model. */
  readonly model: string;
  /** The link. */
  readonly link: string;
  /** Who sends. */
  readonly from: "client" | "server";
}

/** A place in the table of modern attackers. */
export interface ToldApartCell {
  /** The model; undefined for the floor. */
  readonly model: string | undefined;
  /** The protocol. */
  readonly protocol: string;
  /** The attack. */
  readonly attack: string;
  /** Whether the handshake is seen. */
  readonly handshake: "excluded" | "included";
  /** Whether the cover is simulated. */
  readonly simulated: boolean;
  /** Milliseconds to which times are read; 0 for as they are. */
  readonly clock: number;
}

/** The jobs of an evaluation and what each is for. */
export interface PlannedJobs {
  /** All jobs. */
  readonly jobs: readonly Job[];
  /** The seed's attacks, where there is real traffic of two protocols or more. */
  readonly seedAttacks: number;
  /** Figure 1. */
  readonly transfers: readonly { readonly cell: TransferCell; readonly job: number }[];
  /** Modern attackers. */
  readonly toldApart: readonly { readonly cell: ToldApartCell; readonly job: number }[];
  /** Verbatim repeats, by model. */
  readonly repeats: readonly { readonly model: string; readonly job: number }[];
  /** Fidelity, by model. */
  readonly fidelity: readonly {
    readonly model: string;
    readonly protocol: string;
    readonly job: number;
  }[];
  /** Users over half an hour, by model. */
  readonly longScales: readonly { readonly model: string; readonly job: number }[];
  /** Playback over rough links. */
  readonly roughLinks: readonly {
    readonly model: string;
    readonly link: string;
    readonly job: number;
  }[];
  /** What schedules reveal. */
  readonly leaks: readonly {
    readonly model: string;
    readonly schedule: Scheduling;
    readonly job: number;
  }[];
  /** What content shows; undefined if it is not asked. */
  readonly content: PlannedContent | undefined;
}

/** Results in the order of the planned jobs. */
export type Results = readonly JobResults[JobKind][];

/** The attacks of today, the seed's first. */
export const ATTACKS = ["knn", "random-forest", "gradient-boosting", "first-messages"] as const;

/**
 * Attacks that are run with a coarse clock as well, and how coarse, in milliseconds: what is left is what sizes and
 * pauses tell, not what a simulation lacks of a machine's jitter.
 */
export const COARSE = { attacks: ["gradient-boosting", "first-messages"], clock: 20 } as const;

/** The links of the seed's figure 1. */
export const FIGURE_LINKS = ["canada-uk", "illinois-california"] as const;

/** The seed's bulk transfer, in bytes. */
export const TRANSFER = 100_000;

/** Constant rate at the seed's 1448 bytes every 500 ms, and at the 28 kbit/s of its poster. */
export const CONSTANT_RATES = ["constant-rate", "constant-rate:28"] as const;

/** Schedules that an attacker watches. */
export const SCHEDULES: readonly Scheduling[] = ["strict", "demand", "adaptive"];

/** How much of everything; `leaking` is how many models are watched under each schedule. */
const SIZES = {
  quick: { runs: 3, connections: 80, transfers: 3, most: 3, users: 3, minutes: 1, leaking: 1 },
  full: { runs: 4, connections: 100, transfers: 7, most: 4, users: 4, minutes: 2, leaking: 3 },
} as const;

/** Plans the jobs of an evaluation. */
export function planJobs(plan: EvaluationPlan): PlannedJobs {
  const { models, quick, seed } = plan;
  const size = SIZES[quick ? "quick" : "full"];
  const jobs: Job[] = [];
  const add = (job: Job): number => jobs.push(job) - 1;
  const filesOf = (list: readonly LabelledCaptures[], label: string): Traffic | undefined => {
    const files = list.find((one) => one.label === label)?.captures.map(String) ?? [];
    return files.length === 0 ? undefined : { files };
  };
  const simulated = (model: string, claims: string): Traffic => {
    const learned = filesOf(plan.learned, claims);
    return {
      model,
      link: "lab",
      runs: size.runs,
      connections: size.connections,
      sessions: 1,
      seed: `evaluate ${seed}`,
      ...(learned !== undefined && "files" in learned ? { lateAs: learned.files } : {}),
    };
  };
  const coverOf = (model: string, claims: string): Traffic =>
    filesOf(plan.recorded, model) ?? simulated(model, claims);
  const cover: Named[] = models.map(({ claims, model }) => ({
    name: model,
    claims,
    traffic: coverOf(model, claims),
  }));
  const seedAttacks = add({
    kind: "seed-attacks",
    name: "the seed's attacks",
    args: {
      real: plan.real.map(({ captures, label }) => {
        const more = plan.moreReal?.find((one) => one.label === label)?.captures ?? [];
        return { name: label, traffic: { files: [...captures, ...more].map(String) } };
      }),
      cover,
      seed,
    },
  });
  const transfers = [...models.map(({ model }) => model), CONSTANT_RATES[1]].flatMap((model) =>
    FIGURE_LINKS.flatMap((link) =>
      (["client", "server"] as const).map((from) => ({
        cell: { model, link, from },
        job: add({
          kind: "transfer",
          name: `transfer under ${model} over ${link} from the ${from}`,
          args: {
            model,
            link,
            from,
            bytes: TRANSFER,
            times: size.transfers,
            seed: `evaluate ${seed}`,
          },
        }),
      }))
    )
  );
  const toldApart: { cell: ToldApartCell; job: number }[] = [];
  const tell = (
    cell: ToldApartCell,
    real: Traffic,
    other: Traffic,
  ) =>
    toldApart.push({
      cell,
      job: add({
        kind: "told-apart",
        name: `${cell.attack} on ${cell.model ?? `real ${cell.protocol}`}${
          cell.handshake === "included" ? ", with the handshake" : ""
        }${cell.clock > 0 ? `, clock of ${cell.clock} ms` : ""}`,
        args: {
          attack: cell.attack,
          protocol: cell.protocol,
          real,
          other,
          handshake: cell.handshake,
          seed,
          most: size.most,
          ...(cell.clock > 0 ? { clock: cell.clock } : {}),
        },
      }),
    });
  const repeats: { model: string; job: number }[] = [];
  const fidelity: { model: string; protocol: string; job: number }[] = [];
  const handshakes = (attack: string) =>
    quick && attack !== "gradient-boosting"
      ? ["excluded"] as const
      : ["excluded", "included"] as const;
  for (const { claims: protocol, name: model, traffic } of cover) {
    const real = filesOf(plan.real, protocol!);
    if (real === undefined) continue;
    for (const attack of ATTACKS) {
      for (const handshake of handshakes(attack)) {
        const simulated = !("files" in traffic);
        tell({ model, protocol: protocol!, attack, handshake, simulated, clock: 0 }, real, traffic);
      }
    }
    for (const attack of COARSE.attacks) {
      const simulated = !("files" in traffic);
      const { clock } = COARSE;
      tell(
        { model, protocol: protocol!, attack, handshake: "excluded", simulated, clock },
        real,
        traffic,
      );
    }
    const learned = filesOf(plan.learned, protocol!);
    if (learned !== undefined && !model.startsWith("constant-rate")) {
      const args = { protocol: protocol!, learned, real, cover: traffic };
      repeats.push({ model, job: add({ kind: "repeats", name: `repeats in ${model}`, args }) });
    }
    fidelity.push({
      model,
      protocol: protocol!,
      job: add({
        kind: "fidelity",
        name: `fidelity of ${model}`,
        args: { real, cover: traffic },
      }),
    });
  }
  for (const { label: protocol } of plan.real) {
    const real = filesOf(plan.real, protocol)!;
    const learned = filesOf(plan.learned, protocol);
    if (learned === undefined || learned === real) continue;
    for (const attack of ATTACKS) {
      for (const handshake of handshakes(attack)) {
        const cell = { model: undefined, protocol, attack, handshake, simulated: false, clock: 0 };
        tell(cell, real, learned);
      }
    }
    for (const attack of COARSE.attacks) {
      tell(
        {
          model: undefined,
          protocol,
          attack,
          handshake: "excluded",
          simulated: false,
          clock: COARSE.clock,
        },
        real,
        learned,
      );
    }
  }
  const usual = models.map(({ model }) => model)
    .filter((model) => !model.startsWith("constant-rate") && !model.endsWith("-structural"));
  const text = `evaluate ${seed}`;
  const roughLinks = usual.flatMap((model) =>
    Object.keys(ROUGH_LINKS).map((link) => ({
      model,
      link,
      job: add({
        kind: "rough-link",
        name: `playback of ${model} over a rough link (${link})`,
        args: { model, link, connections: size.connections, seed: text },
      }),
    }))
  );
  const longScales = (quick ? [] : plan.users ?? []).map(({ captures, label: model }) => ({
    model,
    job: add({
      kind: "long-scales",
      name: `users of ${model} over half an hour`,
      args: { real: captures.map(String), model, seed: text },
    }),
  }));
  const leaks = usual.slice(0, size.leaking).flatMap((model) =>
    SCHEDULES.map((schedule) => ({
      model,
      schedule,
      job: add({
        kind: "schedule-leak",
        name: `what ${schedule} tells of users under ${model}`,
        args: { model, schedule, users: size.users, minutes: size.minutes, seed: text },
      }),
    }))
  );
  const content = plan.content === false ? undefined : planContent({
    models: quick ? usual.slice(0, size.leaking) : usual,
    real: plan.real,
    learned: plan.learned,
    tls: plan.tls ?? [],
    sizes: CONTENT_SIZES[quick ? "quick" : "full"],
    seed,
  }, add);
  return {
    jobs,
    seedAttacks,
    transfers,
    toldApart,
    repeats,
    fidelity,
    longScales,
    roughLinks,
    leaks,
    content,
  };
}

import { drawDistributions, drawRates, drawTimeline, KINDS, seriesStyle } from "./charts.ts";
import { largestGap } from "../base/largest_gap.ts";
import { escapeHtml, formatBytes, formatLink, formatNumber, formatRate } from "./format.ts";
import { renderPage } from "./page.ts";
import type {
  Confusion,
  DemoResult,
  FeatureComparison,
  ModelResult,
  Rate,
  Timeline,
} from "./result.ts";

const KIND_NAMES = { data: "user data", control: "control", padding: "padding" } as const;

/** `packetSizeSent` as `packet size sent`. */
function words(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`).replaceAll(/[-_]/g, " ");
}

/** A model's name, with how it draws unless that says the same. */
function modelName({ model, kind }: ModelResult): string {
  return model === kind ? model : `${model}, ${kind}`;
}

function rateCell(rate: Rate): string {
  if (rate.n === 0) return `<td class="n">–</td>`;
  return `<td class="n">${formatRate(rate)}<small>${(100 * rate.low).toFixed(0)}–${
    (100 * rate.high).toFixed(0)
  }, n = ${rate.n}</small></td>`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

/** A box that scrolls sideways by itself, reachable by keyboard. */
function scrolling(label: string, content: string): string {
  return `<div class="scroll" role="region" aria-label="${label}" tabindex="0">${content}</div>`;
}

async function summary(result: DemoResult): Promise<string> {
  const { transfer, crossValidation } = result;
  const sent = `${formatBytes(transfer.bytesUp)} up and ${formatBytes(transfer.bytesDown)} down`;
  const count = result.models.length;
  const models = `each of ${count} cover model${count === 1 ? "" : "s"}`;
  const facts = [
    transfer.sha256Match
      ? `<strong class="good">Intact.</strong> ${sent} arrived under ${models} with equal SHA-256.`
      : `<strong class="bad">Not intact.</strong> ${sent} were sent under ${models}, and what arrived differs.`,
  ];
  if (crossValidation !== undefined) {
    const { attack, accuracy, folds, n, groupedBy } = crossValidation;
    const spread = folds.length > 0
      ? ` (folds from ${percent(Math.min(...folds))} to ${percent(Math.max(...folds))})`
      : "";
    facts.push(
      `<strong>The judge.</strong> ${escapeHtml(attack)} labels ${
        percent(accuracy)
      }${spread} of ${n} real ` +
        `connections rightly; no ${escapeHtml(groupedBy)} is in both training and test.`,
    );
  }
  const rows = [
    ...(result.realAsClaimed ?? []).map(({ protocol, rate }) => ({
      name: `${protocol}, real`,
      protocol,
      real: true,
      rate,
    })),
    ...result.models.map((model) => ({
      name: modelName(model),
      protocol: model.protocol,
      real: false,
      rate: model.asClaimed,
    })),
  ].filter(({ rate }) => rate.n > 0);
  // Cover stands under the real traffic that it is held to.
  const order = [...new Set(rows.map(({ protocol }) => protocol))];
  rows.sort((a, b) => order.indexOf(a.protocol) - order.indexOf(b.protocol));
  let figure = "";
  if (rows.length > 0) {
    const text = rows.map(({ name, rate }) =>
      `${name}: ${formatRate(rate)} (${(100 * rate.low).toFixed(0)} to ${
        (100 * rate.high).toFixed(0)
      })`
    ).join("; ");
    const svg = await drawRates(
      rows,
      escapeHtml(
        `Share taken for the protocol that it claims to be, with 95 % intervals. ${text}.`,
      ),
    );
    figure =
      `<figure class="rates">${svg}<figcaption>Share of connections that the attack takes for ` +
      `the protocol they claim: <span class="key ring"></span>real, ` +
      `<span class="key dot"></span>cover. Lines are 95 % intervals.</figcaption></figure>`;
  }
  return `<section><h2>In short</h2><ul class="facts">${
    facts.map((fact) => `<li>${fact}</li>`).join("")
  }</ul>${figure}</section>`;
}

function modelTable(result: DemoResult): string {
  const { models } = result;
  if (models.length === 0) return "";
  const withAuc = models.some(({ auc }) => auc !== undefined);
  const rows = models.map((model) => {
    const { auc, goodput } = model;
    let aucCell = "";
    if (withAuc) {
      const interval = auc?.low !== undefined && auc.high !== undefined
        ? `${auc.low.toFixed(2)}–${auc.high.toFixed(2)}`
        : "";
      const floor = auc?.floor !== undefined ? `floor ${auc.floor.toFixed(2)}` : "";
      const notes = [interval, floor].filter((note) => note !== "").join(", ");
      aucCell = `<td class="n">${auc === undefined ? "–" : auc.value.toFixed(2)}${
        notes === "" ? "" : `<small>${notes}</small>`
      }</td>`;
    }
    const directions = goodput === undefined
      ? ""
      : `<small>up ${formatNumber(goodput.upKbps)}, down ${formatNumber(goodput.downKbps)}</small>`;
    const broken = model.sha256Match === false ? `<small class="bad">arrived broken</small>` : "";
    return `<tr><th scope="row">${escapeHtml(model.model)}<small>${
      escapeHtml(model.kind)
    }</small></th><td class="n">${model.connections}</td><td class="n">${
      formatNumber(model.goodputKbps)
    }${directions}${broken}</td><td class="n">${formatNumber(model.overhead)}×</td>${
      rateCell(model.asClaimed)
    }${rateCell(model.anomalous)}${rateCell(model.kmeansFlagged)}${aucCell}</tr>`;
  }).join("");
  const notes = models.filter(({ note }) => note !== undefined)
    .map((model) => `<li>${escapeHtml(modelName(model))}: ${escapeHtml(model.note!)}</li>`).join(
      "",
    );
  const table = `<table><thead><tr>` +
    `<th scope="col">Model</th><th scope="col" class="n">Cover connections</th>` +
    `<th scope="col" class="n">Goodput, kbit/s</th><th scope="col" class="n">Overhead</th>` +
    `<th scope="col" class="n">Taken for what it claims</th>` +
    `<th scope="col" class="n">Called unknown</th><th scope="col" class="n">Flagged by kmeans</th>${
      withAuc ? `<th scope="col" class="n">AUC</th>` : ""
    }</tr></thead><tbody>${rows}</tbody></table>`;
  return `<section><h2>Results</h2><p class="small">Goodput is user data delivered over this link: ${
    escapeHtml(formatLink(result.link))
  }. Overhead is wire bytes for each user byte. Small figures are 95 % intervals.</p>${
    scrolling("Results by model", table)
  }${notes === "" ? "" : `<ul class="notes">${notes}</ul>`}${
    withAuc
      ? `<p class="small">AUC is that of a stronger attacker; 0.5 means that cover and real traffic cannot be told apart. The floor is real traffic against real traffic.</p>`
      : ""
  }</section>`;
}

function legend(comparison: FeatureComparison): string {
  const items = [comparison.real, ...comparison.cover].map(({ name, values }, index) => {
    const { color, dash } = seriesStyle(index);
    const line = `<svg class="swatch" viewBox="0 0 28 8" aria-hidden="true"><path d="M0,4h28" ` +
      `stroke="${color}" stroke-width="2.5" stroke-dasharray="${dash.join(" ")}"/></svg>`;
    return `<li>${line}${escapeHtml(name)} <small>n = ${values[0]?.length ?? 0}</small></li>`;
  });
  return `<ul class="legend">${items.join("")}</ul>`;
}

async function distributions(result: DemoResult): Promise<string> {
  const parts: string[] = [];
  for (const comparison of result.features) {
    const figures: string[] = [];
    for (const [index, feature] of comparison.features.entries()) {
      const real = comparison.real.values[index] ?? [];
      const gaps = comparison.cover
        .filter(({ values }) => real.length > 0 && (values[index]?.length ?? 0) > 0)
        .map(({ name, values }) => `${name} ${largestGap(real, values[index]!).toFixed(2)}`)
        .join(", ");
      const title = `${words(feature.name)}, ${feature.unit}`;
      const label = `Distribution of ${title} for ${comparison.protocol}, real against cover.` +
        (gaps === "" ? "" : ` Largest gap between the curves: ${gaps}.`);
      const svg = await drawDistributions(comparison, index, escapeHtml(label));
      figures.push(
        `<figure><figcaption>${escapeHtml(title)}</figcaption>${svg}${
          gaps === "" ? "" : `<p class="gap">gap: ${escapeHtml(gaps)}</p>`
        }</figure>`,
      );
    }
    parts.push(
      `<h3>${escapeHtml(comparison.protocol)}</h3>${legend(comparison)}<div class="grid">${
        figures.join("")
      }</div>`,
    );
  }
  if (parts.length === 0) return "";
  return `<section><h2>Real against cover</h2><p>Each curve gives the share of connections at or below ` +
    `a value. The gap is the largest vertical distance from the real curve (Kolmogorov–Smirnov): 0 means ` +
    `equal, 1 wholly apart.</p>${parts.join("")}</section>`;
}

async function timelineSection(timeline: Timeline | undefined): Promise<string> {
  if (timeline === undefined || timeline.records.length === 0) return "";
  const parts: string[] = [];
  for (const from of ["client", "server"] as const) {
    const records = timeline.records.filter((record) => record.from === from);
    if (records.length === 0) continue;
    const sums = KINDS.map((kind) => {
      const sum = records.reduce((sum, record) => sum + record[kind], 0);
      return `${KIND_NAMES[kind]} ${formatBytes(sum)}`;
    }).join(", ");
    const title = from === "client" ? "Client to server" : "Server to client";
    const svg = await drawTimeline(
      timeline,
      from,
      escapeHtml(`${title} over time, in ${records.length} records: ${sums}.`),
    );
    parts.push(
      `<figure><figcaption><strong>${title}</strong>, ${records.length} records: ${sums}</figcaption>${
        scrolling(`${title}, timeline`, svg)
      }</figure>`,
    );
  }
  const keys = KINDS.map((kind) =>
    `<li><span class="key" style="background:var(--${kind})"></span>${KIND_NAMES[kind]}</li>`
  ).join("");
  const carried = timeline.carried === undefined
    ? ""
    : ` It carried ${escapeHtml(timeline.carried)}.`;
  return `<section class="timeline"><h2>One connection from the inside</h2><p>A connection of the model ${
    escapeHtml(timeline.model)
  }, as only its two ends know it: an observer sees the heights, not the colours.${carried}</p>` +
    `<ul class="legend">${keys}</ul>${parts.join("")}</section>`;
}

function confusionSection(confusion: Confusion | undefined): string {
  if (confusion === undefined || confusion.rows.length === 0) return "";
  const head = confusion.verdicts.map((verdict) =>
    `<th scope="col" class="n">${escapeHtml(verdict)}</th>`
  ).join("");
  let source = "";
  const rows = confusion.rows.map((row) => {
    const total = row.counts.reduce((sum, count) => sum + count, 0);
    const cells = confusion.verdicts.map((verdict, index) => {
      const count = row.counts[index] ?? 0;
      const share = total === 0 ? 0 : count / total;
      const right = verdict === row.truth ? " right" : "";
      return `<td class="n heat${right}" style="--share:${share.toFixed(3)}">${count}<small>${
        (100 * share).toFixed(0)
      } %</small></td>`;
    }).join("");
    const group = row.source === source
      ? ""
      : `<tr class="group"><th colspan="${confusion.verdicts.length + 1}" scope="rowgroup">${
        row.source === "real" ? "Real connections" : "Cover connections"
      }</th></tr>`;
    source = row.source;
    return `${group}<tr><th scope="row">${escapeHtml(row.truth)}</th>${cells}</tr>`;
  }).join("");
  const table = `<table class="confusion"><thead><tr>` +
    `<th scope="col">Truth</th>${head}</tr></thead><tbody>${rows}</tbody></table>`;
  return `<section><h2>Verdicts</h2><p class="small">Rows are what the connections were, columns what ${
    escapeHtml(confusion.attack)
  } says. For cover, being taken for the protocol it claims is success.</p>${
    scrolling("Verdicts against truth", table)
  }</section>`;
}

/**
 * The result as one HTML file that needs nothing else: no script, no font, no image from elsewhere.
 * Charts are inline SVG with text alternatives; it reads on phones and on paper, in light and dark.
 * Names in the result are escaped.
 *
 * @example
 * ```ts
 * import { renderReport } from "./html_report.ts";
 * const html = await renderReport({
 *   madeAt: "2026-01-01T00:00:00Z",
 *   seed: 1,
 *   transfer: { sha256Match: true, bytesUp: 100000, bytesDown: 100000 },
 *   link: { name: "lab", oneWayDelayMs: 20, rateMbit: 20, queueKB: 256, mss: 1448 },
 *   recording: "user-space recording",
 *   models: [],
 *   features: [],
 *   method: [],
 * });
 * if (!html.startsWith("<!DOCTYPE html>")) throw new Error(html);
 * ```
 */
export async function renderReport(result: DemoResult): Promise<string> {
  return renderPage({
    title: result.title ?? "TrafficMimic: cover traffic, measured",
    madeAt: result.madeAt,
    made: `${
      result.version === undefined ? "" : ` by version ${result.version}`
    }: ${result.recording}, seed ${result.seed}`,
    sections: [
      await summary(result),
      modelTable(result),
      await distributions(result),
      await timelineSection(result.timeline),
      confusionSection(result.confusion),
    ],
    method: [
      { title: "Recording", text: `${result.recording}; link: ${formatLink(result.link)}.` },
      { title: "Seed", text: String(result.seed) },
      ...result.method,
    ],
  });
}

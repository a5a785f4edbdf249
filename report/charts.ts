import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import type { FeatureComparison, Rate, Timeline } from "./result.ts";

/**
 * Charts are drawn by Vega when the report is made. Colours are CSS custom properties of the page, so
 * that one drawing serves light and dark.
 */
const CONFIG: TopLevelSpec["config"] = {
  background: "transparent",
  font: "inherit",
  view: { stroke: null },
  axis: {
    labelColor: "var(--soft)",
    titleColor: "var(--soft)",
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: "normal",
    gridColor: "var(--rule)",
    domainColor: "var(--line)",
    tickColor: "var(--line)",
  },
};

/** What tells the series of a comparison apart: colour and dashes, real traffic first. */
export const SERIES_STYLES: readonly { readonly color: string; readonly dash: number[] }[] = [
  { color: "var(--real)", dash: [] },
  { color: "var(--cover)", dash: [] },
  { color: "var(--cover-2)", dash: [5, 3] },
  { color: "var(--cover-3)", dash: [2, 2] },
];

/** Style of the series number `index`; those past the last look alike. */
export function seriesStyle(index: number): { readonly color: string; readonly dash: number[] } {
  return SERIES_STYLES[Math.min(index, SERIES_STYLES.length - 1)]!;
}

/** Remarks of the drawing library are of no use to who makes a report; what is wrong throws. */
const SILENT: NonNullable<NonNullable<Parameters<typeof compile>[1]>["logger"]> = {
  level() {
    return this as never;
  },
  error() {
    return this;
  },
  warn() {
    return this;
  },
  info() {
    return this;
  },
  debug() {
    return this;
  },
};

/** Draws a specification as an SVG element with a text alternative, as wide as its container. */
export async function draw(spec: TopLevelSpec, label: string): Promise<string> {
  const view = new View(parse(compile({ ...spec, config: CONFIG }, { logger: SILENT }).spec), {
    renderer: "none",
  });
  const svg = await view.toSVG();
  view.finalize();
  return svg
    // The parts of a picture with a label of its own are not announced one by one.
    .replaceAll(/ (?:aria-[a-z]+|role)="[^"]*"/g, "")
    .replaceAll(/ class="[^"]*"/g, "")
    .replaceAll(/ pointer-events="none"/g, "")
    .replaceAll(/ font-family="inherit"/g, "")
    .replaceAll(/<path d="M0,0h0v0h0Z"\/>/g, "")
    .replaceAll(/<path d="" display="none"\/>/g, "")
    // Two digits are enough for coordinates; what is written keeps its own.
    .replaceAll(/(\.\d\d)\d+(?=[^<>]*>)/g, "$1")
    .replace(
      /<svg [^>]*?(viewBox="[^"]*")>/,
      (_, box) => `<svg ${box} role="img" aria-label="${label}">`,
    );
}

/**
 * Points of an empirical distribution function, at most `most` of them: pairs of a value and the share
 * of values at or below it.
 */
export function distribution(values: readonly number[], most = 150): [number, number][] {
  const sorted = Float64Array.from(values).sort();
  const points: [number, number][] = [];
  const step = Math.max(1, sorted.length / most);
  for (let rank = step; rank < sorted.length + step / 2; rank += step) {
    const index = Math.min(sorted.length, Math.round(rank)) - 1;
    points.push([sorted[index]!, (index + 1) / sorted.length]);
  }
  return points;
}

/** About `most` ticks that are powers of ten, or those and their doubles and fives where there are few. */
export function logTicks(low: number, high: number, most = 3): number[] {
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  const factors = last - first > 2 ? [1] : [1, 2, 5];
  const step = Math.max(1, Math.ceil((last - first) / most));
  const ticks: number[] = [];
  for (let power = first; power <= last; power += step) {
    for (const factor of factors) ticks.push(factor * 10 ** power);
  }
  return ticks.filter((tick) => tick >= low && tick <= high);
}

/**
 * Distributions of feature number `feature`, real against cover, as an SVG element. The scale is
 * logarithmic where values spread over more than a decade and a half; then values under 1 are drawn at 1.
 */
export function drawDistributions(
  comparison: FeatureComparison,
  feature: number,
  label: string,
): Promise<string> {
  const series = [comparison.real, ...comparison.cover]
    .map(({ values }, index) => ({ values: values[feature] ?? [], style: seriesStyle(index) }))
    .filter(({ values }) => values.length > 0);
  let low = Infinity;
  let high = -Infinity;
  for (const { values } of series) {
    for (const value of values) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  const logarithmic = high > 30 * Math.max(1, low);
  if (logarithmic) low = Math.max(1, low);
  if (low === high) {
    low -= Math.max(1, Math.abs(low) / 10);
    high += Math.max(1, Math.abs(high) / 10);
  }
  const padding = logarithmic ? 1 : (high - low) / 20;
  const domain: [number, number] = logarithmic ? [low / 1.15, high * 1.15] : [
    Math.max(low - padding, low >= 0 ? 0 : -Infinity),
    high + padding,
  ];
  const ticks = logarithmic ? { values: logTicks(...domain) } : { tickCount: 3 };
  return draw({
    width: 165,
    height: 105,
    // The same outer size whatever the labels are, so that all charts of a row scale alike.
    autosize: { type: "none" },
    padding: { left: 42, right: 12, top: 8, bottom: 22 },
    layer: series.map(({ values, style }) => ({
      data: {
        values: [
          { x: domain[0], y: 0 },
          ...distribution(logarithmic ? values.map((value) => Math.max(1, value)) : values)
            .map(([x, y]) => ({ x, y })),
          { x: domain[1], y: 1 },
        ],
      },
      mark: {
        type: "line",
        interpolate: "step-after",
        color: style.color,
        strokeWidth: 2,
        strokeDash: style.dash,
      },
      encoding: {
        x: {
          field: "x",
          type: "quantitative",
          scale: logarithmic
            ? { type: "log", domain, nice: false }
            : { type: "linear", domain, nice: false, zero: false },
          axis: {
            title: null,
            labelExpr: "format(datum.value, '~s')",
            grid: false,
            labelFlush: true,
            ...ticks,
          },
        },
        y: {
          field: "y",
          type: "quantitative",
          scale: { domain: [0, 1] },
          axis: { title: null, values: [0, 0.5, 1], format: ".0%" },
        },
      },
    })),
  }, label);
}

/** A rate with its interval for each row: real traffic as rings, cover as dots. */
export function drawRates(
  rows: readonly { readonly name: string; readonly real: boolean; readonly rate: Rate }[],
  label: string,
): Promise<string> {
  const values = rows.map(({ name, real, rate }) => ({ name, real, ...rate }));
  const y = {
    field: "name",
    type: "nominal",
    sort: null,
    axis: { title: null, labelFontSize: 12, labelColor: "var(--ink)", ticks: false, domain: false },
  } as const;
  const x = {
    type: "quantitative" as const,
    scale: { domain: [0, 1] },
    axis: { title: null, format: ".0%", values: [0, 0.25, 0.5, 0.75, 1] },
  };
  const color = {
    condition: { test: "datum.real", value: "var(--real)" },
    value: "var(--cover)",
  };
  return draw({
    width: 250,
    height: { step: 22 },
    data: { values },
    layer: [
      {
        mark: { type: "rule", strokeWidth: 2.5 },
        encoding: { y, x: { ...x, field: "low" }, x2: { field: "high" }, color },
      },
      {
        mark: { type: "point", size: 70, strokeWidth: 2.5, opacity: 1 },
        encoding: {
          y,
          x: { ...x, field: "share" },
          color,
          fill: {
            condition: { test: "datum.real", value: "var(--page)" },
            value: "var(--cover)",
          },
        },
      },
    ],
  }, label);
}

/** What a record can hold, in the order in which it is stacked. */
export const KINDS = ["data", "control", "padding"] as const;

const BINS = 160;

/** Bytes of each kind that one end sent over the course of a connection. */
export function drawTimeline(
  timeline: Timeline,
  from: "client" | "server",
  label: string,
): Promise<string> {
  const end = Math.max(1, ...timeline.records.map(({ time }) => time));
  const width = end / BINS;
  const sums = new Map<number, [number, number, number]>();
  for (const record of timeline.records) {
    if (record.from !== from) continue;
    const bin = Math.min(BINS - 1, Math.floor(record.time / width));
    const sum = sums.get(bin) ?? [0, 0, 0];
    KINDS.forEach((kind, index) => sum[index]! += record[kind]);
    sums.set(bin, sum);
  }
  const values = [...sums].flatMap(([bin, sum]) => {
    let base = 0;
    return KINDS.map((kind, index) => {
      const low = base;
      base += sum[index]!;
      return { start: bin * width / 1000, end: (bin + 1) * width / 1000, low, high: base, kind };
    }).filter(({ low, high }) => high > low);
  });
  return draw({
    width: 960,
    height: 130,
    data: { values },
    mark: { type: "bar", stroke: null },
    encoding: {
      x: {
        field: "start",
        type: "quantitative",
        scale: { domain: [0, end / 1000], nice: false },
        axis: { title: "seconds", grid: false, format: "~g" },
      },
      x2: { field: "end" },
      y: {
        field: "low",
        type: "quantitative",
        axis: { title: "bytes", labelExpr: "format(datum.value, '~s')", tickCount: 3 },
      },
      y2: { field: "high" },
      color: {
        field: "kind",
        type: "nominal",
        scale: { domain: [...KINDS], range: KINDS.map((kind) => `var(--${kind})`) },
        legend: null,
      },
    },
  }, label);
}

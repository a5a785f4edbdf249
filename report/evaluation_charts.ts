import type { TopLevelSpec } from "vega-lite";
import { draw, logTicks, seriesStyle } from "./charts.ts";
import { escapeHtml } from "./format.ts";
import type { EvaluationFigure } from "./evaluation_result.ts";

/** A kind of figure. */
type Figure<Kind extends EvaluationFigure["kind"]> = Extract<EvaluationFigure, { kind: Kind }>;

/** Colour and dashes of each line of a figure: real traffic as such, the others as cover. */
export function lineStyles(
  series: Figure<"lines">["series"],
): { readonly color: string; readonly dash: number[] }[] {
  let others = 0;
  return series.map(({ real }) => seriesStyle(real ? 0 : ++others));
}

/** Size of a chart in pixels, axes and all, whatever its labels are: on a phone it is read as it is. */
const SIZE = {
  width: 400,
  autosize: { type: "fit-x", contains: "padding" },
  padding: 2,
} as const;

/** Labels of numbers: thousands as k, what is under 1 as it is. */
const SHORT = "datum.value < 1 ? format(datum.value, '~g') : format(datum.value, '~s')";

/** Draws a figure as an SVG element with a text alternative. */
export function drawFigure(figure: EvaluationFigure): Promise<string> {
  if (figure.kind === "lines") return drawLines(figure);
  return figure.kind === "bars" ? drawBars(figure) : drawIntervals(figure);
}

function drawLines(figure: Figure<"lines">): Promise<string> {
  const { log, marked, range, series, size } = figure;
  const styles = lineStyles(series);
  const small = size === "small";
  const shown = series.map(({ points }) =>
    points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y))
  );
  const xs = shown.flatMap((points) => points.map(([x]) => x));
  const positive = xs.filter((x) => x > 0);
  const low = log ? Math.max(Math.min(...positive), Math.max(...positive) / 1e6) : Math.min(...xs);
  const high = Math.max(...xs);
  const domain: [number, number] = low < high
    ? [low, high]
    : log
    ? [low / 2, low * 2]
    : [low - 1, low + 1];
  const x = {
    field: "x",
    type: "quantitative" as const,
    scale: log
      ? { type: "log" as const, domain, nice: false }
      : { type: "linear" as const, domain, nice: false, zero: false },
    axis: {
      title: small ? null : figure.x,
      labelExpr: SHORT,
      grid: false,
      ...(log ? { values: logTicks(...domain, small ? 3 : 6) } : { tickCount: small ? 3 : 6 }),
      labelFlush: true,
      labelOverlap: true,
    },
  };
  const y = {
    field: "y",
    type: "quantitative" as const,
    scale: range === undefined ? { zero: false } : { domain: [...range] },
    axis: { title: small ? null : figure.y, tickCount: small ? 3 : 5 },
  };
  const layer: unknown[] = series.map(({ steps }, i) => ({
    data: { values: shown[i]!.map(([x, y]) => ({ x: Math.max(domain[0], x), y })) },
    mark: {
      type: "line",
      color: styles[i]!.color,
      strokeWidth: 2,
      strokeDash: styles[i]!.dash,
      ...(steps ? { interpolate: "step-after" } : {}),
    },
    encoding: { x, y },
  }));
  if (marked !== undefined) {
    layer.push({
      data: { values: [{ x: marked.at, word: marked.word }] },
      mark: { type: "rule", color: "var(--soft)", strokeDash: [3, 3] },
      encoding: { x },
    });
  }
  const spec = {
    ...(small
      ? {
        width: 165,
        height: 105,
        autosize: { type: "none" },
        padding: { left: 42, right: 12, top: 8, bottom: 22 },
      }
      : { ...SIZE, height: 200 }),
    layer,
  };
  const names = series.map(({ name }) => name).join(", ");
  return draw(
    spec as unknown as TopLevelSpec,
    escapeHtml(`${figure.title}: ${figure.y} over ${figure.x}, for ${names}.`),
  );
}

/** Space above a bar or a row for its name, so that names of any length are read at any width. */
const NAME = "";

/** Names above what they name. */
const NAMES = {
  type: "text",
  align: "left",
  baseline: "middle",
  fontSize: 12,
  color: "var(--ink)",
};

/** No axis up: names stand above bars and rows. */
const nominal = (domain: readonly string[]) => ({
  field: "name",
  type: "nominal",
  scale: { domain: [...domain] },
  axis: null,
});

function drawBars({ bars, log, title, x }: Figure<"bars">): Promise<string> {
  const groups = [...new Set(bars.map(({ group }) => group))];
  const names = [...new Set(bars.map(({ name }) => name))];
  const values = bars.filter(({ value }) => Number.isFinite(value) && value > 0);
  // Several bars a name lie below each other; one a name takes one place whatever its group is.
  const several = bars.length > names.length;
  const place = (group: string) => several ? group : "bar";
  const places = [NAME, ...several ? groups : ["bar"]];
  const most = Math.max(...values.map(({ value }) => value));
  const least = log ? Math.min(...values.map(({ value }) => value)) / 2 : 0;
  const scale = log
    ? { type: "log", domain: [least, most], nice: false }
    : { type: "linear", domain: [0, most], nice: false };
  const along = (field: string) => ({
    field,
    type: "quantitative",
    scale,
    axis: {
      title: x,
      labelExpr: SHORT,
      labelOverlap: true,
      ...(log ? { values: logTicks(least, most, 6) } : { tickCount: 5 }),
    },
  });
  const y = {
    y: nominal(names),
    yOffset: { field: "place", type: "nominal", scale: { domain: places } },
  };
  const spec = {
    ...SIZE,
    height: { step: 15 },
    layer: [
      {
        data: {
          values: values.map((bar) => ({ ...bar, base: least, place: place(bar.group) })),
        },
        mark: { type: "bar", stroke: null },
        encoding: {
          ...y,
          x: along("base"),
          x2: { field: "value" },
          color: {
            field: "group",
            type: "nominal",
            scale: { domain: groups, range: groups.map((_, i) => seriesStyle(i + 1).color) },
            legend: null,
          },
        },
      },
      {
        data: { values: values.map((bar) => ({ ...bar, place: place(bar.group) })) },
        mark: { type: "text", align: "left", dx: 3, fontSize: 11, color: "var(--ink)" },
        encoding: {
          ...y,
          x: along("value"),
          text: { field: "value", type: "quantitative", format: ".3~r" },
        },
      },
      {
        data: { values: names.map((name) => ({ name, place: NAME, base: least })) },
        mark: NAMES,
        encoding: { ...y, x: along("base"), text: { field: "name" } },
      },
    ],
  };
  const words = values.map(({ group, name, value }) =>
    `${name} ${group} ${Number(value.toPrecision(3))}`
  );
  return draw(
    spec as unknown as TopLevelSpec,
    escapeHtml(`${title}, ${x}: ${words.join("; ")}.`),
  );
}

function drawIntervals({ range, rows, title, x }: Figure<"intervals">): Promise<string> {
  const names = rows.map(({ name }) => name);
  const at = (place: string) => rows.map((row) => ({ ...row, place, base: range[0] }));
  const along = (field: string) => ({
    field,
    type: "quantitative",
    scale: { domain: [...range], clamp: true },
    axis: { title: x, tickCount: 6, format: ".1f" },
  });
  const y = {
    y: nominal(names),
    yOffset: { field: "place", type: "nominal", scale: { domain: [NAME, "row"] } },
  };
  const layer = [
    {
      mark: { type: "rule", strokeWidth: 2.5, color: "var(--cover)" },
      encoding: { ...y, x: along("low"), x2: { field: "high" } },
    },
    {
      mark: { type: "point", filled: true, size: 60, opacity: 1, color: "var(--cover)" },
      encoding: { ...y, x: along("value") },
    },
    {
      transform: [{ filter: "isValid(datum.floor)" }],
      mark: { type: "point", size: 60, strokeWidth: 2, opacity: 1, color: "var(--real)" },
      encoding: { ...y, x: along("floor") },
    },
  ].map((own) => ({ data: { values: at("row") }, ...own }));
  const spec = {
    ...SIZE,
    height: { step: 14 },
    layer: [
      ...layer,
      {
        data: { values: at(NAME) },
        mark: NAMES,
        encoding: { ...y, x: along("base"), text: { field: "name" } },
      },
    ],
  };
  const words = rows.map(({ floor, high, low, name, value }) =>
    `${name} ${value.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})${
      floor === undefined ? "" : `, floor ${floor.toFixed(2)}`
    }`
  );
  return draw(spec as unknown as TopLevelSpec, escapeHtml(`${title}. ${words.join("; ")}.`));
}

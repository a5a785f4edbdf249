import assert from "node:assert/strict";
import type { EvaluationResult } from "../../report/evaluation_result.ts";
import { logTicks } from "../../report/charts.ts";
import { drawFigure } from "../../report/evaluation_charts.ts";
import { renderEvaluation, renderEvaluationText } from "../../report/mod.ts";

const NASTY = `<script>alert(1)</script>"'\u001b[31m`;

const RESULT: EvaluationResult = {
  title: `Evaluation ${NASTY}`,
  madeAt: "2026-01-01T10:20:30Z",
  seed: "1",
  quick: true,
  guide: [{ what: `section 3 ${NASTY}`, heading: "Rates" }, { what: "a chart", heading: "Over t" }],
  sections: [{
    title: "The seed's figures",
    text: [`What was done ${NASTY}`],
    facts: [{ text: "as asked", good: true }, { text: "not as asked", good: false }, {
      text: "plain",
    }],
    tables: [{
      title: "Rates",
      head: ["Question", "The seed", "Here"],
      rows: [["fooled", "73 %", { text: "95 %", note: "86–98", mark: "good" }], [NASTY, "", ""]],
      note: "Read it so.",
    }],
    figures: [
      {
        kind: "lines",
        title: "Over t",
        x: "t",
        y: "share",
        log: true,
        range: [0, 1],
        marked: { at: 3, word: "chosen" },
        series: [
          { name: "real", real: true, points: [[1, 0.2], [10, 0.8]] },
          { name: NASTY, points: [[1, NaN], [5, 0.4], [10, 0.5]] },
        ],
      },
      ...[1, 2].map((i) => ({
        kind: "lines" as const,
        size: "small" as const,
        row: "Side by side",
        title: `Small ${i}`,
        x: "bytes",
        y: "share",
        series: [{ name: "one", steps: true, points: [[5, 0], [5, 1]] as [number, number][] }],
      })),
      {
        kind: "bars",
        title: "Bandwidth",
        x: "kbit/s",
        log: true,
        bars: [
          { name: "https", group: "requests", value: 30 },
          { name: "https", group: "responses", value: 900 },
          { name: NASTY, group: "responses", value: NaN },
        ],
      },
      {
        kind: "intervals",
        title: "AUC",
        x: "AUC",
        range: [0.4, 1],
        rows: [
          { name: "https: knn", value: 0.6, low: 0.5, high: 0.7, floor: 0.55 },
          { name: "ssh: knn", value: 0.9, low: 0.8, high: 1 },
        ],
      },
    ],
  }],
  method: [{ title: "Splits", text: NASTY }],
};

Deno.test("evaluation report: one file, everything in it, nothing executed or fetched", async () => {
  const html = await renderEvaluation(RESULT);
  assert.ok(!html.includes("<script"), "names are escaped");
  assert.ok(!/(?:src|href)="(?!#)/.test(html), "nothing from elsewhere");
  assert.equal(html.match(/<svg [^>]*role="img"/g)?.length, 5);
  for (const text of ["73 %", "86–98", "Met.", "Missed.", "Read it so.", "chosen", "The seed"]) {
    assert.ok(html.includes(text), text);
  }
  assert.ok(html.includes(`<a href="#the-seed-s-figures">`));
  assert.ok(html.includes(`<section id="the-seed-s-figures">`));
  // Whatever the guide and the contents point to is there, once.
  for (const [, id] of html.matchAll(/href="#([^"]+)"/g)) {
    assert.equal(html.split(` id="${id}"`).length, 2, id);
  }
  assert.equal(html.match(/>Side by side</g)?.length, 1, "one heading for a row");
  // Each chart has a text alternative with its figures or axes.
  assert.match(html, /aria-label="Bandwidth, kbit\/s: https requests 30; https responses 900\."/);
  assert.ok(!html.includes("NaN"), "what is no number is not drawn");
});

Deno.test("evaluation report: numbers in charts keep their digits, coordinates do not", async () => {
  const svg = await drawFigure({
    kind: "bars",
    title: "Shares",
    x: "share",
    bars: [{
      name: "a name too long for any axis that stands beside a chart",
      group: "g",
      value: 0.137,
    }],
  });
  assert.match(svg, />0\.137</);
  assert.match(svg, />a name too long for any axis that stands beside a chart</);
  assert.ok(!/[dx]="[^"]*\.\d{3}/.test(svg));
});

Deno.test("ticks of a logarithmic axis: powers of ten within it, not too many", () => {
  assert.deepEqual(logTicks(0.03, 100, 6), [0.1, 1, 10, 100]);
  assert.deepEqual(logTicks(2, 60), [2, 5, 10, 20, 50]);
  assert.deepEqual(logTicks(1, 1e6, 3), [1, 100, 1e4, 1e6]);
});

Deno.test("evaluation text: tables and verdicts, no control characters", () => {
  const text = renderEvaluationText(RESULT);
  assert.ok(text.includes("met: as asked") && text.includes("MISSED: not as asked"));
  assert.ok(text.includes("95 % [86–98]"));
  assert.ok(!text.includes("\u001b[31m<") && !text.includes(NASTY));
});

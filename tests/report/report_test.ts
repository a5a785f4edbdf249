import assert from "node:assert/strict";
import { distribution } from "../../report/charts.ts";
import { largestGap } from "../../base/largest_gap.ts";
import { formatBytes, formatNumber, formatRate } from "../../report/format.ts";
import { type DemoResult, renderReport, renderTable } from "../../report/mod.ts";
import { fixture, rate } from "./fixture.ts";

const VOID = new Set(["meta", "br", "hr", "img", "input", "link"]);

/** Walks the tags of a document; throws where they do not nest or an attribute is not quoted. */
function checkWellFormed(html: string): void {
  const open: string[] = [];
  const body = html.replace(/<style>[\s\S]*?<\/style>/, "<style></style>");
  let at = 0;
  while ((at = body.indexOf("<", at)) >= 0) {
    const tag = /^<(\/?)([a-zA-Z][\w-]*)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/.exec(body.slice(at));
    if (tag === null) {
      assert.match(body.slice(at), /^<!DOCTYPE html>/, `at ${at}: ${body.slice(at, at + 80)}`);
      at++;
      continue;
    }
    const [whole, closing, name, , selfClosing] = tag;
    if (closing) assert.equal(open.pop(), name, `at ${at}`);
    else if (!selfClosing && !VOID.has(name!)) open.push(name!);
    at += whole.length;
  }
  assert.deepEqual(open, []);
}

function textOf(html: string): string {
  return html.replace(/<style>[\s\S]*?<\/style>/, "").replace(/<[^>]*>/g, " ").replaceAll(
    "&#39;",
    "'",
  )
    .replaceAll("&quot;", '"').replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll(
      "&amp;",
      "&",
    );
}

Deno.test("report: the file is well formed and needs nothing from elsewhere", async () => {
  const html = await renderReport(fixture());
  checkWellFormed(html);
  for (const outside of ["://", "src=", "href", "url(", "@import", "<script", "<link", "<img"]) {
    assert.ok(!html.includes(outside), outside);
  }
  assert.ok(html.length < 400_000, `${html.length} characters`);
  const ids = [...html.matchAll(/\sid="([^"]*)"/g)].map(([, id]) => id);
  assert.equal(new Set(ids).size, ids.length);
});

Deno.test("report: every value of the result is in it", async () => {
  const result = fixture();
  const html = await renderReport(result);
  const text = textOf(html);
  const expect = (value: string) => assert.ok(text.includes(value), `${value} is missing`);
  for (const model of result.models) {
    expect(model.model);
    expect(model.kind);
    expect(String(model.connections));
    expect(formatNumber(model.goodputKbps));
    expect(`up ${formatNumber(model.goodput!.upKbps)}`);
    expect(`${formatNumber(model.overhead)}×`);
    expect(model.auc!.value.toFixed(2));
    for (const rate of [model.asClaimed, model.anomalous, model.kmeansFlagged]) {
      expect(formatRate(rate));
      expect(`n = ${rate.n}`);
      expect(`${(100 * rate.low).toFixed(0)}–${(100 * rate.high).toFixed(0)}`);
    }
    if (model.note !== undefined) expect(model.note);
  }
  for (const row of result.confusion!.rows) row.counts.forEach((count) => expect(String(count)));
  for (const { protocol, real, cover } of result.features) {
    expect(protocol);
    for (const series of [real, ...cover]) expect(`n = ${series.values[0]!.length}`);
  }
  for (const { title, text } of result.method) {
    expect(title);
    expect(text);
  }
  for (
    const value of [
      formatBytes(result.transfer.bytesUp),
      String(result.seed),
      result.version!,
      result.recording,
      "93.1 %",
      "91.2 % to 95.8 %",
      "20 ms each way, 20 Mbit/s",
      result.timeline!.carried!,
      "user data",
      "control",
      "padding",
    ]
  ) expect(value);
});

Deno.test("report: every figure has a text alternative with its numbers", async () => {
  const result = fixture();
  const html = await renderReport(result);
  const pictures = [...html.matchAll(/<svg [^>]*>/g)].map(([tag]) => tag);
  const charts = pictures.filter((tag) => tag.includes('role="img"'));
  // Five features of four protocols, the rates, and the timeline of each direction.
  assert.equal(charts.length, 4 * 5 + 1 + 2);
  for (const tag of charts) assert.match(tag, /aria-label="[^"]{20,}"/);
  for (const tag of pictures) assert.match(tag, /role="img"|aria-hidden="true"/);
  assert.match(html, /aria-label="Distribution of duration, ms for https[^"]*conditional \d\.\d\d/);
  assert.match(html, /aria-label="Client to server over time, in 14 records: user data/);
});

/** Every text of the fixture replaced by `hostile`. */
function withNames(hostile: string): DemoResult {
  const replace = (value: unknown): unknown => {
    if (typeof value === "string") {
      // What is one of a fixed set of words stays.
      return ["client", "server", "real", "cover"].includes(value) ? value : hostile;
    }
    if (Array.isArray(value)) return value.map(replace);
    if (value !== null && typeof value === "object") {
      return Object.fromEntries(
        Object.entries(value).map(([key, entry]) => [key, replace(entry)]),
      );
    }
    return value;
  };
  return { ...replace(fixture()) as DemoResult, title: hostile };
}

Deno.test("report: names cannot break out of the page or of the terminal", async () => {
  const hostile = `<script>alert(1)</script>"onload='x' & $& $1 \u001b[31m\u202e`;
  const html = await renderReport(withNames(hostile));
  checkWellFormed(html);
  assert.ok(!html.includes("<script"));
  assert.ok(!html.includes("\u001b") && !html.includes("\u202e"));
  assert.ok(html.includes("&lt;script&gt;"));
  const table = renderTable(withNames(hostile), { color: false });
  assert.ok(!table.includes("\u001b") && !table.includes("\u202e"));
});

Deno.test("report: a failed transfer is said first and plainly", async () => {
  const result = fixture();
  const failed = { ...result, transfer: { ...result.transfer, sha256Match: false } };
  assert.ok(textOf(await renderReport(failed)).includes("Not intact."));
  assert.match(renderTable(failed, { color: false }), /^A transfer did NOT arrive intact/);
});

Deno.test("report: parts that were not measured are left out, odd values do not break it", async () => {
  const none = rate(0, 1);
  const result: DemoResult = {
    madeAt: "2026-01-01T00:00:00Z",
    seed: "abc",
    transfer: { sha256Match: true, bytesUp: 0, bytesDown: 999 },
    link: fixture().link,
    recording: "user-space recording",
    models: [{
      model: "https",
      kind: "conditional",
      protocol: "https",
      connections: 0,
      goodputKbps: Infinity,
      overhead: NaN,
      asClaimed: { ...none, n: 0, share: NaN, low: NaN, high: NaN },
      anomalous: none,
      kmeansFlagged: none,
    }],
    features: [{
      protocol: "https",
      features: [{ name: "constant", unit: "bytes" }, { name: "empty", unit: "ms" }, {
        name: "zeros",
        unit: "bytes",
      }],
      real: { name: "real", values: [[5, 5, 5], [], [0, 0, 100_000]] },
      cover: [{ name: "cover", values: [[5], [], [0]] }],
    }],
    timeline: { model: "https", records: [] },
    confusion: { attack: "knn", verdicts: [], rows: [] },
    method: [],
  };
  const html = await renderReport(result);
  checkWellFormed(html);
  assert.ok(!html.includes("NaN") && !html.includes("Infinity"), "no bare NaN");
  assert.ok(!html.includes("AUC"));
  assert.ok(!renderTable(result, { color: false }).includes("NaN"));
});

Deno.test("report: thousands of connections still make a small file", async () => {
  const result = fixture();
  const grown = {
    ...result,
    features: result.features.map((comparison) => ({
      ...comparison,
      real: {
        name: "real",
        values: comparison.real.values.map((values) =>
          Array.from({ length: 5000 }, (_, index) => values[index % values.length]! + index)
        ),
      },
    })),
    timeline: {
      model: "https",
      records: Array.from({ length: 20_000 }, (_, index) => ({
        ...result.timeline!.records[index % 50]!,
        time: index * 3,
      })),
    },
  };
  const html = await renderReport(grown);
  assert.ok(html.length < 1_000_000, `${html.length} characters`);
});

Deno.test("terminal table: all rates with their intervals, within 100 columns, plain without colour", () => {
  const result = fixture();
  const text = renderTable(result, { color: false });
  for (const { asClaimed, overhead, goodputKbps } of result.models) {
    assert.ok(text.includes(formatRate(asClaimed)));
    assert.ok(text.includes(`${formatRate(asClaimed, "interval")} of ${asClaimed.n}`));
    assert.ok(text.includes(`${formatNumber(overhead)}x`));
    assert.ok(text.includes(formatNumber(goodputKbps)));
  }
  assert.ok(!text.includes("\u001b"));
  const table = text.split("\n").slice(2, 14);
  for (const line of table) assert.ok(line.length <= 100, line);
  assert.ok(renderTable(result, { color: true }).includes("\u001b[1m"));
});

Deno.test("charts: the largest gap and the distribution of known values", () => {
  assert.equal(largestGap([1, 2, 3, 4], [1, 2, 3, 4]), 0);
  assert.equal(largestGap([1, 2], [3, 4]), 1);
  assert.equal(largestGap([1, 2, 3, 4], [3, 4, 5, 6]), 0.5);
  assert.equal(largestGap([1, 1, 1, 2], [1, 2, 2, 2]), 0.5);
  assert.deepEqual(distribution([3, 1, 2, 4]), [[1, 0.25], [2, 0.5], [3, 0.75], [4, 1]]);
  const many = distribution(Array.from({ length: 10_000 }, (_, index) => index), 100);
  assert.equal(many.length, 100);
  assert.deepEqual(many.at(-1), [9999, 1]);
});

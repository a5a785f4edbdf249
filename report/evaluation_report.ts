import { Table } from "../base/table.ts";
import { drawFigure, lineStyles } from "./evaluation_charts.ts";
import type {
  Cell,
  EvaluationFigure,
  EvaluationResult,
  EvaluationSection,
  EvaluationTable,
} from "./evaluation_result.ts";
import { escapeHtml, plain } from "./format.ts";
import { renderPage } from "./page.ts";
import { seriesStyle } from "./charts.ts";

/** What this report adds to the common style sheet. */
const OWN_STYLE = `
nav ul { padding-left: 1.1rem; } nav .contents { columns: 2 16rem; }
.wide { max-width: 30rem; }
.pair + .legend, .grid + .legend, p + .legend { margin-top: 1.5rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 0 2rem; } .grid figcaption { font-size: .84rem; }
td small, th small { white-space: normal; min-width: 7rem; } thead th { min-width: 4.5rem; }
td small { margin-left: auto; max-width: 18rem; }
h3 { scroll-margin-top: 1rem; } td.mark-good { color: var(--good); } td.mark-bad { color: var(--bad); }
@media (max-width: 40rem) {
  table { font-size: .84rem; } th, td { padding: .35rem .3rem; } tbody th, td small, th small { white-space: normal; }
  td small, th small, thead th { min-width: 0; } .scroll { -webkit-overflow-scrolling: touch; }
}
`;

function slug(title: string): string {
  return title.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-|-$/g, "");
}

function cellHtml(cell: Cell, first: boolean): string {
  const { text, note, mark }: Exclude<Cell, string> = typeof cell === "string"
    ? { text: cell }
    : cell;
  const content = escapeHtml(text) +
    (note === undefined ? "" : `<small>${note.split("\n").map(escapeHtml).join("<br>")}</small>`);
  if (first) return `<th scope="row">${content}</th>`;
  return `<td class="n${mark === undefined ? "" : ` mark-${mark}`}">${content}</td>`;
}

function tableHtml({ head, note, rows, title }: EvaluationTable): string {
  const heads = head.map((text, i) =>
    `<th scope="col"${i === 0 ? "" : ` class="n"`}>${escapeHtml(text)}</th>`
  ).join("");
  const body = rows.map((row) =>
    `<tr>${row.map((cell, i) => cellHtml(cell, i === 0)).join("")}</tr>`
  ).join("");
  return `<h3 id="${slug(title)}">${
    escapeHtml(title)
  }</h3><div class="scroll" role="region" aria-label="${
    escapeHtml(title)
  }" tabindex="0"><table><thead><tr>${heads}</tr></thead><tbody>${body}</tbody></table></div>${
    note === undefined ? "" : `<p class="small">${escapeHtml(note)}</p>`
  }`;
}

function legendHtml(figure: EvaluationFigure): string {
  if (figure.kind === "intervals") {
    return `<ul class="legend"><li><span class="key dot"></span>value, 95 % interval</li>${
      figure.rows.some(({ floor }) => floor !== undefined)
        ? `<li><span class="key ring"></span>${
          escapeHtml(figure.floor ?? "real traffic against real traffic")
        }</li>`
        : ""
    }</ul>`;
  }
  if (figure.kind === "bars") {
    const groups = [...new Set(figure.bars.map(({ group }) => group))];
    if (groups.length === 1) return "";
    return `<ul class="legend">${
      groups.map((group, i) =>
        `<li><span class="key" style="background:${seriesStyle(i + 1).color}"></span>${
          escapeHtml(group)
        }</li>`
      ).join("")
    }</ul>`;
  }
  const styles = lineStyles(figure.series);
  return `<ul class="legend">${
    figure.series.map(({ name }, i) => {
      const { color, dash } = styles[i]!;
      return `<li><svg class="swatch" viewBox="0 0 28 8" aria-hidden="true"><path d="M0,4h28" stroke="${color}" ` +
        `stroke-width="2.5" stroke-dasharray="${dash.join(" ")}"/></svg>${escapeHtml(name)}</li>`;
    }).join("")
  }</ul>`;
}

async function figuresHtml(figures: readonly EvaluationFigure[]): Promise<string> {
  const parts: string[] = [];
  let row: string[] = [];
  let pair: string[] = [];
  let rowLegend = "";
  let rowNote = "";
  const endPair = () => {
    if (pair.length > 0) parts.push(`<div class="pair">${pair.join("")}</div>`);
    pair = [];
  };
  const endRow = () => {
    if (row.length > 0) parts.push(`${rowLegend}<div class="grid">${row.join("")}</div>${rowNote}`);
    row = [];
  };
  for (const figure of figures) {
    const svg = await drawFigure(figure);
    const title = escapeHtml(figure.title);
    const legend = legendHtml(figure);
    if (figure.kind === "lines" && figure.size === "small") {
      endPair();
      const head = figure.row === undefined
        ? legend
        : `<h3 id="${slug(figure.row)}">${escapeHtml(figure.row)}</h3>${legend}`;
      if (head !== rowLegend) endRow();
      rowLegend = head;
      rowNote = `<p class="small">Along: what the caption names. Up: ${escapeHtml(figure.y)}.</p>`;
      row.push(`<figure><figcaption>${title}</figcaption>${svg}</figure>`);
      continue;
    }
    endRow();
    if (figure.kind === "intervals") endPair();
    const marked = figure.kind === "lines" && figure.marked !== undefined
      ? `<p class="small">Dashed: ${escapeHtml(figure.marked.word)}.</p>`
      : "";
    pair.push(
      `<div><h3 id="${
        slug(figure.title)
      }">${title}</h3>${legend}<figure class="wide scroll" role="region" aria-label="${title}" tabindex="0">` +
        `${svg}</figure>${marked}</div>`,
    );
    if (figure.kind === "intervals") endPair();
  }
  endRow();
  endPair();
  return parts.join("");
}

async function sectionHtml(section: EvaluationSection): Promise<string> {
  const { facts = [], figures, figuresFirst = false, tables, text, title } = section;
  const list = facts.length === 0
    ? ""
    : `<ul class="facts">${
      facts.map(({ good, text }) =>
        `<li>${
          good === undefined
            ? ""
            : `<strong class="${good ? "good" : "bad"}">${good ? "Met." : "Missed."}</strong> `
        }${escapeHtml(text)}</li>`
      ).join("")
    }</ul>`;
  const parts = [tables.map(tableHtml).join(""), await figuresHtml(figures)];
  return `<section id="${slug(title)}"><h2>${escapeHtml(title)}</h2>${
    text.map((words) => `<p>${escapeHtml(words)}</p>`).join("")
  }${list}${(figuresFirst ? parts.toReversed() : parts).join("")}</section>`;
}

/**
 * An evaluation as one HTML file that needs nothing else: no script, no font, no image from elsewhere. Charts are
 * inline SVG with text alternatives; it reads on phones and on paper, in light and dark. Names are escaped.
 *
 * @example
 * ```ts
 * import { renderEvaluation } from "./evaluation_report.ts";
 * const html = await renderEvaluation({
 *   title: "Evaluation",
 *   madeAt: "2026-01-01T00:00:00Z",
 *   seed: "1",
 *   quick: true,
 *   sections: [{ title: "A < B", text: [], tables: [], figures: [] }],
 *   method: [],
 * });
 * if (!html.includes("A &lt; B")) throw new Error("not escaped");
 * ```
 */
export async function renderEvaluation(result: EvaluationResult): Promise<string> {
  const sections: string[] = [];
  for (const section of result.sections) sections.push(await sectionHtml(section));
  const contents = result.sections.map((section) =>
    `<li><a href="#${slug(section.title)}">${escapeHtml(section.title)}</a></li>`
  ).join("");
  const guide = (result.guide ?? []).map(({ heading, what }) =>
    `<li><a href="#${slug(heading)}">${escapeHtml(heading)}</a>: ${escapeHtml(what)}</li>`
  ).join("");
  return renderPage({
    title: result.title,
    style: OWN_STYLE,
    madeAt: result.madeAt,
    made: `, seed ${result.seed}${
      result.quick ? ", the quick evaluation: fewer runs, wider intervals" : ""
    }`,
    navigation: `<nav aria-label="Contents"><ul class="contents">${contents}</ul>${
      guide === "" ? "" : `<p>Who has read the seed finds its figures here:</p><ul>${guide}</ul>`
    }</nav>`,
    sections,
    method: result.method,
  });
}

/** The tables and verdicts of an evaluation for a terminal. */
export function renderEvaluationText(result: EvaluationResult): string {
  const lines: string[] = [];
  for (const { facts = [], tables, title } of result.sections) {
    lines.push("", plain(title), "=".repeat(plain(title).length));
    for (const { good, text } of facts) {
      lines.push(`${good === undefined ? "" : good ? "met: " : "MISSED: "}${plain(text)}`);
    }
    for (const { head, rows, title } of tables) {
      const table = new Table({
        head: head.map(plain),
        style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
        chars: {
          ...{ top: "", "top-mid": "", "top-left": "", "top-right": "", left: "", right: "" },
          ...{ bottom: "", "bottom-mid": "", "bottom-left": "", "bottom-right": "", middle: "  " },
          ...{ mid: "", "mid-mid": "", "left-mid": "", "right-mid": "" },
        },
      });
      for (const row of rows) {
        table.push(
          row.map((cell) =>
            typeof cell === "string" ? plain(cell) : plain(cell.text) +
              (cell.note === undefined ? "" : ` [${plain(cell.note.replaceAll("\n", ", "))}]`)
          ),
        );
      }
      lines.push("", plain(title), table.toString());
    }
  }
  return lines.join("\n").trimStart();
}

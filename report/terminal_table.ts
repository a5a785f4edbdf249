import { Table } from "../base/table.ts";
import type { DemoResult, Rate } from "./result.ts";
import { formatBytes, formatLink, formatNumber, formatRate, plain } from "./format.ts";

/** How a terminal table looks. */
export interface TableOptions {
  /** Bold and colour; if absent, only where standard output is a terminal and NO_COLOR is not set. */
  readonly color?: boolean;
}

/**
 * The result as a table for the terminal, with what is needed to read it above and below. No line ends
 * in a newline; names are stripped of control characters.
 *
 * @example
 * ```ts
 * import { renderTable } from "./terminal_table.ts";
 * const text = renderTable({
 *   madeAt: "2026-01-01T00:00:00Z",
 *   seed: 1,
 *   transfer: { sha256Match: true, bytesUp: 100000, bytesDown: 100000 },
 *   link: { name: "lab", oneWayDelayMs: 20, rateMbit: 20, queueKB: 256, mss: 1448 },
 *   recording: "user-space recording",
 *   models: [],
 *   features: [],
 *   method: [],
 * }, { color: false });
 * if (!text.includes("SHA-256 equal")) throw new Error(text);
 * ```
 */
export function renderTable(result: DemoResult, options: TableOptions = {}): string {
  const color = options.color ?? (Deno.stdout.isTerminal() && !Deno.noColor);
  const paint = (code: number, text: string) => color ? `\x1b[${code}m${text}\x1b[0m` : text;
  const rate = (rate: Rate) =>
    rate.n === 0
      ? "-"
      : `${formatRate(rate)}\n${paint(2, `${formatRate(rate, "interval")} of ${rate.n}`)}`;
  const withAuc = result.models.some(({ auc }) => auc !== undefined);
  const table = new Table({
    head: [
      "model",
      "cover\nconnections",
      "goodput\nkbit/s",
      "overhead",
      "taken for\nits claim",
      "called\nunknown",
      "flagged\nby kmeans",
      ...(withAuc ? ["AUC\n(floor)"] : []),
    ].map((head) => paint(1, head)),
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
    // No rules, gaps between columns: it fits 100 columns.
    chars: {
      ...{ top: "", "top-mid": "", "top-left": "", "top-right": "", left: "", right: "" },
      ...{ bottom: "", "bottom-mid": "", "bottom-left": "", "bottom-right": "", middle: "  " },
      ...{ mid: "", "mid-mid": "", "left-mid": "", "right-mid": "" },
    },
    colAligns: ["left", "right", "right", "right", "right", "right", "right", "right"],
  });
  for (const model of result.models) {
    const auc = model.auc === undefined
      ? "-"
      : `${model.auc.value.toFixed(2)}\n${
        model.auc.floor === undefined ? "" : paint(2, `(${model.auc.floor.toFixed(2)})`)
      }`;
    table.push([
      model.kind === model.model
        ? plain(model.model)
        : `${plain(model.model)}\n${paint(2, plain(model.kind))}`,
      String(model.connections),
      formatNumber(model.goodputKbps),
      `${formatNumber(model.overhead)}x`,
      rate(model.asClaimed),
      rate(model.anomalous),
      rate(model.kmeansFlagged),
      ...(withAuc ? [auc] : []),
    ]);
  }
  const { transfer } = result;
  const lines = [
    transfer.sha256Match
      ? paint(32, "Every transfer arrived intact") +
        ` (${formatBytes(transfer.bytesUp)} up, ${
          formatBytes(transfer.bytesDown)
        } down, SHA-256 equal).`
      : paint(31, "A transfer did NOT arrive intact: SHA-256 differs."),
    "",
    table.toString(),
    "",
    `Link: ${plain(formatLink(result.link))}; ${plain(result.recording)}; seed ${
      plain(String(result.seed))
    }. Brackets: 95 % intervals.`,
  ];
  const { crossValidation } = result;
  if (crossValidation !== undefined) {
    lines.push(
      `${plain(crossValidation.attack)} labels ${
        (100 * crossValidation.accuracy).toFixed(1)
      } % of ${crossValidation.n} real connections rightly (cross-validated, no ${
        plain(crossValidation.groupedBy)
      } split).`,
    );
  }
  for (const { model, note } of result.models) {
    if (note !== undefined) lines.push(`${plain(model)}: ${plain(note)}`);
  }
  return lines.join("\n");
}

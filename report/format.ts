import type { LinkProfile } from "../lab/link_profile.ts";
import type { Rate } from "./result.ts";

/** A number with about three significant digits, thousands grouped; `-` for what is not finite. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return "-";
  const size = Math.abs(value);
  const digits = size >= 100 || Number.isInteger(value) ? 0 : size >= 10 ? 1 : 2;
  return value.toLocaleString("en", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

/** Bytes in the unit that suits (1 KB = 1000 bytes). */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1e6) return `${formatNumber(bytes / 1e3)} KB`;
  return `${formatNumber(bytes / 1e6)} MB`;
}

/** A share as `73 %`, or its interval as `[60-83]`; `-` where there were no cases. */
export function formatRate(rate: Rate, part: "share" | "interval" = "share"): string {
  if (rate.n === 0) return "-";
  const percent = (share: number) => (100 * share).toFixed(0);
  return part === "share"
    ? `${percent(rate.share)} %`
    : `[${percent(rate.low)}-${percent(rate.high)}]`;
}

/** A link in words. */
export function formatLink(link: LinkProfile): string {
  const rough = (link.jitterMs ? `, jitter up to ${link.jitterMs} ms` : "") +
    (link.loss ? `, ${100 * link.loss} % lost` : "");
  return `${link.name}, ${link.oneWayDelayMs} ms each way${rough}, ${link.rateMbit} Mbit/s, queue ${link.queueKB} KB, segments of ${link.mss} bytes`;
}

/** Text without control characters, so that a name cannot steer the terminal that shows it. */
export function plain(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
}

/** Text for HTML content and for attributes in double quotes. */
export function escapeHtml(text: string): string {
  return plain(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;").replaceAll("'", "&#39;");
}

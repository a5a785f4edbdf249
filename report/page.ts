import { escapeHtml } from "./format.ts";
import { STYLE } from "./style.ts";

/** What a page consists of; titles and texts are escaped here, markup is put in as it is. */
export interface Page {
  /** The title, as text. */
  readonly title: string;
  /** Rules that follow the common style sheet. */
  readonly style?: string;
  /** When the result was made, ISO 8601 in UTC. */
  readonly madeAt: string;
  /** What stands behind the time of making, as text. */
  readonly made: string;
  /** Markup at the end of the header: a table of contents. */
  readonly navigation?: string;
  /** The markup of each section; empty ones are left out. */
  readonly sections: readonly string[];
  /** How the result was made, as texts; the last section. */
  readonly method: readonly { readonly title: string; readonly text: string }[];
}

/** One HTML file that needs nothing else and, by its own policy, may fetch nothing. */
export function renderPage(page: Page): string {
  const title = escapeHtml(page.title);
  const method = page.method.map(({ title, text }) =>
    `<dt>${escapeHtml(title)}</dt><dd>${escapeHtml(text)}</dd>`
  ).join("");
  const sections = [
    ...page.sections,
    `<section><h2>How this was made</h2><dl>${method}</dl></section>`,
  ];
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${title}</title>
<style>${STYLE}${page.style ?? ""}</style>
</head>
<body>
<header><h1>${title}</h1><p class="small">Made <time datetime="${escapeHtml(page.madeAt)}">${
    escapeHtml(page.madeAt.replace("T", " ").replace(/:\d\d(\.\d+)?Z$/, " UTC"))
  }</time>${escapeHtml(page.made)}.</p>${page.navigation ?? ""}</header>
<main>
${sections.filter((section) => section !== "").join("\n")}
</main>
</body>
</html>
`;
}

/**
 * The report's style sheet. Text meets a contrast of 4.5 to 1 and chart marks of 3 to 1 on both grounds;
 * wide parts scroll inside their own box, never the page.
 */
export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #fff; --ink: #1c2126; --soft: #58616b; --rule: #e6e9ec; --line: #b9c0c7;
  --real: #3f4a55; --cover: #c2410c; --cover-2: #1d64c8; --cover-3: #7b3fb5;
  --data: #c2410c; --control: #1d64c8; --padding: #8b949e; --good: #17713a; --bad: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171a; --ink: #e4e7ea; --soft: #a0a9b2; --rule: #2a3036; --line: #4b545d;
    --real: #c6cdd4; --cover: #ff8f4d; --cover-2: #6cb0ff; --cover-3: #c49bff;
    --data: #ff8f4d; --control: #6cb0ff; --padding: #6f7983; --good: #63c98a; --bad: #ff8a80;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 2rem clamp(1rem, 4vw, 2.5rem) 4rem; max-width: 74rem;
  background: var(--page); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
h1 { font-size: clamp(1.5rem, 1.2rem + 1.5vw, 2.1rem); line-height: 1.2; margin: 0 0 .25rem; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 0 0 .75rem; }
h3 { font-size: 1rem; margin: 1.75rem 0 .25rem; }
section { margin-top: 2.75rem; padding-top: 1.25rem; border-top: 1px solid var(--rule); }
p, ul, dl { max-width: 44rem; margin: 0 0 1rem; }
small, .small, .gap, figcaption { font-size: .84rem; color: var(--soft); }
td small, th small { display: block; font-size: .76rem; font-weight: 400; white-space: nowrap; }
.good { color: var(--good); } .bad { color: var(--bad); }
.facts { padding: 0; list-style: none; } .facts li { margin-bottom: .5rem; }
.notes { padding-left: 1.1rem; margin-top: 1rem; font-size: .9rem; }
figure { margin: 0; min-width: 0; } figure svg { display: block; width: 100%; height: auto; }
.rates { max-width: 31rem; margin-top: 1.25rem; } .rates figcaption { margin-top: .35rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: 1.1rem 1rem; margin-top: .75rem; }
.grid figure { max-width: 18rem; } .grid figcaption { color: var(--ink); margin-bottom: .15rem; }
.gap { margin: .1rem 0 0; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; padding: 0; list-style: none; font-size: .9rem; }
.legend li { display: flex; align-items: center; gap: .45rem; } .swatch { width: 28px; height: 8px; flex: none; }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin: 0 .3em 0 .15em; vertical-align: -.05em; flex: none; }
.key.dot { border-radius: 50%; background: var(--cover); } .key.ring { border-radius: 50%; border: 2.5px solid var(--real); }
.scroll { overflow-x: auto; max-width: 100%; } .scroll:focus-visible { outline: 2px solid var(--cover-2); outline-offset: 3px; }
.timeline figure { margin-top: 1.25rem; } .timeline .scroll svg { min-width: 42rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .94rem; min-width: 100%; }
th, td { padding: .5rem .75rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--rule); }
th:first-child { padding-left: 0; } thead th { vertical-align: bottom; font-size: .84rem; line-height: 1.3; border-bottom-color: var(--line); }
.n { text-align: right; } tbody th { font-weight: 600; white-space: nowrap; }
.group th { font-size: .84rem; font-weight: 400; color: var(--soft); padding-top: 1rem; }
.confusion { min-width: 0; } .confusion td { min-width: 4.75rem; }
.heat { background: color-mix(in srgb, var(--cover) calc(var(--share) * 42%), transparent); }
.heat small { color: inherit; opacity: .85; } .right { box-shadow: inset 0 0 0 2px var(--line); }
dt { font-weight: 600; margin-top: .75rem; } dd { margin: 0; overflow-wrap: anywhere; }
@media print {
  :root {
    --page: #fff; --ink: #000; --soft: #444; --rule: #ddd; --line: #999; --real: #3f4a55; --cover: #c2410c;
    --cover-2: #1d64c8; --cover-3: #7b3fb5; --data: #c2410c; --control: #1d64c8; --padding: #8b949e;
    --good: #17713a; --bad: #b3261e; color-scheme: light;
  }
  th, td { padding: .25rem .35rem; font-size: 8pt; } td small, th small { font-size: 6.5pt; white-space: normal; }
  section { margin-top: 1.5rem; }
  body { max-width: none; padding: 0; font-size: 10pt; } .scroll { overflow: visible; }
  .timeline .scroll svg { min-width: 0; } .grid { grid-template-columns: repeat(5, 1fr); gap: .5rem; }
  figure, tr, dt { break-inside: avoid; } h2, h3, dt { break-after: avoid; }
  .heat { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
`;

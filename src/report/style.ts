/** How the report looks: light and dark, wide and narrow, on screen and on paper. */

export const style = `
:root {
  color-scheme: light dark;
  --paper: #fdfcfa; --raised: #f5f3ee; --ink: #20262b; --muted: #626d75; --line: #e4e0d8;
  --accent: #0a6f66; --second: #46659b; --warm: #a34a14; --warm-paper: #fbf0e6;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15181b; --raised: #1d2125; --ink: #e7e5e0; --muted: #9aa4ab; --line: #2e343a;
    --accent: #5fc7b8; --second: #8fadde; --warm: #e5a06c; --warm-paper: #2a211a;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0 auto; max-width: 69rem; padding: 4rem 2rem 3rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 Inter, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', Arial, sans-serif;
}
p { margin: 0 0 .8rem; max-width: 44rem; text-wrap: pretty; }
a { color: inherit; text-decoration-color: var(--muted); text-underline-offset: .15em; }
small { font-size: .8125rem; font-weight: 400; color: var(--muted); }
code { font: .875em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, 'Liberation Mono', monospace; }
bdi { overflow-wrap: anywhere; }

.run { color: var(--muted); margin-bottom: 1.2rem; }
.run strong { color: var(--accent); font-weight: 600; margin-right: .5em; }
h1 {
  font-size: clamp(1.6rem, 1.1rem + 2.2vw, 2.4rem); line-height: 1.2; font-weight: 600; letter-spacing: -.02em;
  max-width: 27em; margin: 0 0 1.4rem; text-wrap: balance;
}
h2 { font-size: 1.3rem; line-height: 1.3; font-weight: 600; letter-spacing: -.01em; margin: 0 0 1.1rem; }
h3 { font-size: 1rem; font-weight: 600; margin: 0 0 .6rem; }
h3 small { margin-left: .5em; }
section { margin-top: 4rem; }
.note { font-size: .875rem; color: var(--muted); margin-top: 1rem; }
.caution {
  font-size: .9375rem; line-height: 1.45; max-width: 46rem; margin-bottom: .8rem; padding: .55rem .9rem;
  background: var(--warm-paper); border-left: 3px solid var(--warm);
}
.caution p { margin: 0; max-width: none; }
.caution p + p { margin-top: .4rem; }
.chip {
  font-size: .75rem; font-weight: 500; white-space: nowrap; padding: .1em .6em;
  color: var(--warm); background: var(--warm-paper); border-radius: 1em;
}

table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .6rem 1rem .6rem 0; border-bottom: 1px solid var(--line); vertical-align: middle; }
th:last-child, td:last-child { padding-right: 0; }
thead th { font-size: .8125rem; font-weight: 500; color: var(--muted); padding-block: .4rem; vertical-align: bottom; }
tbody th { font-weight: 500; }
th small, td small { display: block; line-height: 1.4; }
.number { text-align: right; }
td.number { white-space: nowrap; }
tfoot th, tfoot td { border-bottom: 0; font-weight: 600; }

.results { table-layout: fixed; }
.results th.number { width: 8rem; }
.results th.intervals { width: 40%; }
.results td.number { font-size: 1.125rem; }
.results .intervals { position: relative; }
.intervals svg { position: absolute; inset: 0; width: 100%; height: 100%; }
thead .intervals svg { font-size: .75rem; fill: var(--muted); }
.intervals .grid { stroke: var(--line); }
.intervals .interval { stroke: var(--muted); stroke-width: 2; stroke-linecap: round; }
.intervals circle { fill: var(--paper); stroke: var(--muted); stroke-width: 2; }
.student th, .student td.number { font-weight: 600; }
.student .interval { stroke: var(--accent); }
.student circle { fill: var(--accent); stroke: var(--accent); }
.student td.number { color: var(--accent); }

article { margin-bottom: 2.6rem; }
.curves, .small-curves, .reliability { display: grid; grid-template-columns: 1fr 1fr; gap: .8rem 2rem; }
.small-curves { grid-template-columns: repeat(3, 1fr); margin-top: .9rem; }
.reliability { grid-template-columns: repeat(4, minmax(0, 13rem)); margin-top: 1.6rem; }
figure { margin: 0; }
.plot { display: block; width: 100%; height: auto; font-size: 11.5px; font-variant-numeric: tabular-nums; }
.plot text { fill: var(--muted); }
.plot path { fill: none; stroke: var(--line); }
.plot .axis { stroke: var(--muted); stroke-opacity: .55; }
.plot path:is(.top1, .top5, .loss, .validation, .lr, .speed, .memory), .swatch path { fill: none; stroke: var(--accent); stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
.plot path.top5, .swatch path.top5 { stroke-opacity: .5; stroke-dasharray: 5 4; }
.plot path:is(.loss, .lr, .speed, .memory), .swatch path.loss { stroke: var(--second); }
.plot path.validation, .swatch path.validation { stroke: var(--warm); }
.plot path.spread { fill: var(--second); fill-opacity: .16; stroke: none; }
.plot path.ideal { stroke: var(--muted); stroke-opacity: .6; stroke-dasharray: 3 4; }
.after path, .plot .after path { stroke: var(--accent); stroke-width: 1.2; }
.after circle { fill: var(--accent); fill-opacity: .85; }
.before path, .plot .before path { stroke: var(--warm); stroke-opacity: .6; stroke-dasharray: 2 3; }
.before circle { fill: none; stroke: var(--warm); stroke-width: 1.2; }
.dot { fill: var(--accent); }
.best { fill: var(--paper); stroke: var(--accent); stroke-width: 2; }
.plot .best-label { fill: var(--ink); font-weight: 600; }
.swatch { width: 22px; height: 10px; margin-right: .4em; }
figcaption { font-size: .8125rem; color: var(--muted); padding-left: 2.9rem; }
.legend { white-space: nowrap; margin-right: 1em; }
.small-curves figcaption { padding-left: 18.6%; }
.reliability figcaption { padding-left: 20.5%; }

.aside { margin-top: 2rem; }
.figures { width: auto; min-width: min(34rem, 100%); }
.figures th, .figures td, .settings th, .settings td { padding-block: .35rem; }
.scrolled { overflow-x: auto; }
.settings { width: auto; font-size: .875rem; }
.settings th, .settings td { padding-right: 2rem; }
.settings td { white-space: nowrap; }

.counts { display: grid; grid-template-columns: repeat(6, 1fr); gap: 1.2rem; margin: 0 0 2.2rem; }
dt { font-size: .8125rem; color: var(--muted); }
dd { margin: 0; font-size: 1.5rem; line-height: 1.35; font-weight: 500; letter-spacing: -.01em; font-variant-numeric: tabular-nums; }
dd small { display: block; letter-spacing: 0; }
.quarantine { width: auto; min-width: min(30rem, 100%); }

.classes { table-layout: fixed; margin-top: 1.4rem; }
.classes th, .classes td { padding-block: .4rem; }
.classes th:nth-child(2) { width: 43%; }
.classes th:nth-child(n + 3) { width: 9.5%; }
.classes th:nth-child(5) { width: 12.5%; }
.classes .chip { margin-left: .3em; }
.examples { display: grid; grid-template-columns: repeat(9, 1fr); gap: 3px; }
.examples img, .missing { display: block; width: 100%; height: auto; aspect-ratio: 1; border-radius: 3px; background: var(--raised); object-fit: cover; }
.missing { border: 1px dashed var(--line); }
#find { display: flex; flex-wrap: wrap; align-items: center; gap: .6rem 1.2rem; margin: 1.6rem 0 .4rem; font-size: .9375rem; }
#find input[type=search] {
  font: inherit; color: inherit; width: min(20rem, 100%); padding: .4rem .8rem;
  background: var(--raised); border: 1px solid var(--line); border-radius: .4rem;
}
#find input:focus-visible, summary:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
#find input[type=checkbox] { accent-color: var(--accent); }
output { color: var(--muted); }
summary { cursor: pointer; padding: .55rem 0; }
.group { border-bottom: 1px solid var(--line); }
.group[open] { border-bottom: 0; margin-bottom: 1rem; }
.group > summary { font-weight: 500; }
.group .classes { margin-top: 0; }
.range { font-weight: 400; color: var(--muted); margin-left: .6em; }

.time th:first-child { width: 50%; }
.bar { width: 22%; }
.bar span { display: block; height: .5rem; border-radius: .25rem; background: var(--accent); opacity: .75; min-width: 1px; }
pre { margin: .4rem 0 0; padding: 1.1rem 1.3rem; background: var(--raised); border-radius: .5rem; overflow-x: auto; }
footer { margin-top: 4rem; padding-top: 1.2rem; border-top: 1px solid var(--line); font-size: .875rem; color: var(--muted); }

@media (max-width: 60rem), print {
  .results th.intervals { width: 32%; }
  .classes { font-size: .9375rem; }
  .classes th, .classes td { padding-right: .6rem; }
  .classes th:nth-child(2) { width: 36%; }
  .classes th:nth-child(n + 3) { width: 11%; }
}
@media screen and (max-width: 46rem) {
  body { padding: 2rem 1.1rem; }
  section { margin-top: 3rem; }
  .curves, .small-curves { grid-template-columns: 1fr; gap: 1rem; }
  .small-curves { margin-top: 1rem; }
  .reliability { grid-template-columns: 1fr 1fr; gap: 1rem; }
  .plot { font-size: 13px; }
  .plot.small { font-size: 10px; }
  .plot.square { font-size: 14px; }
  .figures { font-size: .9375rem; }
  .figures :is(th, td):not(:last-child) { padding-right: .7rem; }
  .settings { font-size: .8125rem; }
  .settings :is(th, td) { padding-right: .7rem; }
  h3 small { display: block; margin-left: 0; }
  .counts { grid-template-columns: repeat(3, 1fr); }
  .results thead, .classes thead { display: none; }
  .results, .results tbody, .classes, .classes tbody { display: block; }
  .results tr { display: grid; grid-template-columns: 1fr auto auto; gap: 0 1.2rem; border-bottom: 1px solid var(--line); padding: .7rem 0; }
  .results th, .results td, .classes th, .classes td { border: 0; padding: 0; }
  .results th:first-child { grid-row: 1; padding-bottom: .3rem; grid-column: 1 / -1; }
  .results td.intervals { grid-row: 2; grid-column: 1; }
  .results td.number::before { content: attr(data-label) ' '; font-size: .8125rem; font-weight: 400; color: var(--muted); }
  .classes tr { display: grid; grid-template-columns: 1fr 1fr; gap: .1rem 1rem; padding: .8rem 0; border-bottom: 1px solid var(--line); }
  .classes th, .classes td:nth-child(2) { grid-column: 1 / -1; }
  .examples { margin: .3rem 0 .2rem; }
  .classes td.number { font-size: .8125rem; text-align: left; }
  .classes td.number::after { content: ' ' attr(data-label); color: var(--muted); }
  .time .bar, .time thead th:nth-child(3), .time tfoot td:nth-child(3) { display: none; }
}
@media print {
  @page { margin: 16mm; }
  :root { --paper: #fff; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  section { margin-top: 2rem; }
  #find { display: none; }
  .plot.wide { font-size: 13px; }
  .reliability { grid-template-columns: repeat(4, 1fr); gap: .6rem; }
  .settings { font-size: 8.5pt; }
  .settings th, .settings td { padding-right: 1rem; }
  h2, h3, summary { break-after: avoid; }
  tfoot { display: table-row-group; }
  tr, figure, article, dl, .time { break-inside: avoid; }
}
`;

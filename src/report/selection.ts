/**
 * The report's section on the selection: its counts, and for each class how many images, down to which score, and what
 * they look like.
 */
import {isCrowded} from '../ranking/selection-size.js';
import {count, crowdedWords, percent, plural} from '../words.js';
import {html, verbatim, type Markup} from './markup.js';
import type {ReportClass, ReportData} from './report-data.js';

/** Classes shown at once; more are folded into groups of so many. */
const GROUP = 50;
/** Names in a sentence before the rest is counted. */
const NAMES_SHOWN = 8;

/** The section `Selection` of the page. */
export function selectionSection({selection, classes}: ReportData): Markup {
  const {topP, topK, scored, candidates, selected, expectedPrecision} = selection;
  const groups = Array.from({length: Math.ceil(classes.length / GROUP)}, (_, group) =>
    classes.slice(group * GROUP, (group + 1) * GROUP),
  );
  return html`<section id="selection">
<h2>Selection</h2>
<p>The teacher scored ${plural(scored, 'unlabelled image')}. Each was a candidate for its <em>P</em>&nbsp;=&nbsp;${topP} best classes,
and each class kept its <em>K</em>&nbsp;=&nbsp;${count(topK)} best candidates:
<strong>${count(selected)}</strong> of ${count(candidates)} (class, image) pairs, on which the student was pre-trained.
By what the teacher’s probabilities are worth on validation, about ${percent(expectedPrecision)} of them are right.</p>
${isCrowded(selection) ? html`<p class="caution">${crowdedWords(selection)}</p>` : null}
${cutoffNote(classes)}
${shortNote(classes, topK)}
${groups.length > 1 ? [findClass(classes, topK), groups.map((group, position) => foldedGroup(group, position, topK))] : classTable(classes, topK)}
</section>`;
}

/** Fewer than K images: every candidate was kept, the doubtful ones too. */
const isShort = ({selected}: ReportClass, topK: number): boolean => selected < topK;

function shortNote(classes: readonly ReportClass[], topK: number): Markup | null {
  const short = classes.filter(entry => isShort(entry, topK));
  if (short.length === 0) return null;
  const shown = short.slice(0, NAMES_SHOWN);
  const named = shown.map(
    ({name, selected}, position) => html`${position > 0 ? ', ' : ''}<bdi>${name}</bdi> (${count(selected)})`,
  );
  return html`<p class="caution">${count(short.length)} of ${plural(classes.length, 'class', 'classes')} ${short.length === 1 ? 'is' : 'are'} short,
with fewer than <em>K</em> candidates, and kept all:
${named}${short.length > shown.length ? ` and ${count(short.length - shown.length)} more` : ''}.</p>`;
}

function cutoffNote(classes: readonly ReportClass[]): Markup | null {
  const sorted = classes
    .flatMap(({name, cutoff}) => (cutoff === null ? [] : [{name, cutoff}]))
    .sort((a, b) => a.cutoff - b.cutoff);
  const [lowest, middle, highest] = [sorted[0], sorted[Math.floor(sorted.length / 2)], sorted.at(-1)];
  if (!lowest || !middle || !highest) return null;
  return html`<p>The cut-off is the score of the last image that a class kept. By the teacher’s probability
it lies at ${probability(middle.cutoff)} in the median class, and between ${probability(lowest.cutoff)} (<bdi>${lowest.name}</bdi>)
and ${probability(highest.cutoff)} (<bdi>${highest.name}</bdi>).</p>`;
}

const classTable = (classes: readonly ReportClass[], topK: number): Markup => html`<table class="classes">
<thead><tr><th scope="col">Class</th><th scope="col">First to last rank</th>
<th scope="col" class="number">Candidates</th><th scope="col" class="number">Selected</th>
<th scope="col" class="number">Cut-off, log-prob</th><th scope="col" class="number">Probability</th></tr></thead>
<tbody>${classes.map(entry => classRow(entry, topK))}</tbody>
</table>`;

function classRow(entry: ReportClass, topK: number): Markup {
  const {name, candidates, selected, cutoff, examples} = entry;
  const short = isShort(entry, topK);
  return html`
<tr${short ? verbatim(' class="short"') : null}><th scope="row"><bdi>${name}</bdi>${short ? html` <span class="chip">short</span>` : null}</th>
<td><div class="examples">${examples.map(example)}</div></td>
<td class="number" data-label="candidates">${count(candidates)}</td><td class="number" data-label="selected">${count(selected)}</td>
<td class="number" data-label="log-prob">${cutoff === null ? '–' : logProbability(cutoff)}</td>
<td class="number" data-label="probability">${cutoff === null ? '–' : probability(cutoff)}</td></tr>`;
}

function example({rank, score, place, picture}: ReportClass['examples'][number]): Markup {
  const title = `rank ${count(rank)}, log-prob ${logProbability(score)}, probability ${probability(score)}\n${place}`;
  return picture === null
    ? html`<span class="missing" title="${title}" role="img" aria-label="rank ${count(rank)}, no picture"></span>`
    : html`<img src="${picture}" title="${title}" alt="rank ${count(rank)}" width="64" height="64" loading="lazy">`;
}

function foldedGroup(classes: readonly ReportClass[], position: number, topK: number): Markup {
  const first = position * GROUP + 1;
  const short = classes.filter(entry => isShort(entry, topK)).length;
  return html`<details class="group"${position === 0 ? verbatim(' open') : null}>
<summary>Classes ${count(first)} to ${count(first + classes.length - 1)}
<span class="range"><bdi>${classes[0]?.name ?? ''}</bdi> … <bdi>${classes.at(-1)?.name ?? ''}</bdi></span>
${short > 0 ? html`<span class="chip">${count(short)} short</span>` : null}</summary>
${classTable(classes, topK)}
</details>`;
}

/** Works once the page's script shows it; without the script every group still opens by hand. */
const findClass = (classes: readonly ReportClass[], topK: number): Markup => html`<form id="find" hidden>
<input type="search" placeholder="Find a class" aria-label="Find a class" autocomplete="off" spellcheck="false">
${classes.some(entry => isShort(entry, topK)) ? html`<label><input type="checkbox"> short only</label>` : null}
<output></output>
</form>`;

/** What stands in the page's script element: filters the rows by name, and opens the groups in which some are left. */
export const findScript = `
const form = document.querySelector('#find');
if (form) {
  const [name, short] = form.querySelectorAll('input');
  const groups = [...document.querySelectorAll('.group')].map(details => ({
    details,
    open: details.open,
    rows: [...details.querySelectorAll('tbody tr')].map(row => ({
      row,
      name: row.querySelector('bdi').textContent.toLowerCase(),
      short: row.matches('.short'),
    })),
  }));
  const filter = () => {
    const wanted = name.value.trim().toLowerCase();
    const shortOnly = Boolean(short?.checked);
    const filtering = wanted !== '' || shortOnly;
    let left = 0;
    for (const {details, open, rows} of groups) {
      const before = left;
      for (const entry of rows) {
        entry.row.hidden = !entry.name.includes(wanted) || (shortOnly && !entry.short);
        if (!entry.row.hidden) left++;
      }
      details.hidden = left === before;
      details.open = filtering || open;
    }
    form.querySelector('output').textContent = filtering ? left + (left === 1 ? ' class' : ' classes') : '';
  };
  form.addEventListener('input', filter);
  form.addEventListener('submit', event => event.preventDefault());
  form.hidden = false;
}
`;

/** -0.000123 -> "−0.000123"; three digits. */
const logProbability = (value: number): string => value.toPrecision(3).replaceAll('-', '−');

/** Of a log-probability: -0.113 -> "0.893". What rounding would call certain or impossible is not called so. */
function probability(logProb: number): string {
  const value = Math.exp(logProb);
  if (value > 0.9995 && value < 1) return '> 0.999';
  return value < 0.0005 ? '< 0.001' : value.toFixed(3);
}

/** The rounds of a run side by side, as a section of the report of the last one. */
import type {Results, SelectionCounts} from '../events.js';
import {count, percent} from '../words.js';
import {html, type Markup} from './markup.js';

export interface RoundData {
  readonly run: string;
  readonly results: Results;
  readonly selection: SelectionCounts;
}

/** The section `Rounds`; null where there is one. */
export function roundsSection(rounds: readonly RoundData[]): Markup | null {
  if (rounds.length < 2) return null;
  const accuracies = (
    [
      ['Teacher', 'teacher'],
      ['Supervised baseline', 'supervised'],
      ['Student, pre-trained', 'studentPretrained'],
      ['Student', 'student'],
    ] as const
  )
    .map(([name, key]) => ({name, cells: rounds.map(({results}) => (results[key] ? percent(results[key].top1) : ''))}))
    .filter(({cells}) => cells.some(cell => cell !== ''));
  const rows = [
    ...accuracies,
    {name: 'Pairs selected', cells: rounds.map(({selection}) => count(selection.selected))},
    {name: 'Short classes', cells: rounds.map(({selection}) => count(selection.shortClasses))},
  ];
  return html`<section id="rounds">
<h2>Rounds</h2>
<p>The student of a round is the teacher of the next. Accuracies are top-1.</p>
<table>
<thead><tr><th scope="col"></th>${rounds.map(({run}, index) => html`<th scope="col" class="number">Round ${index + 1}<small>${run}</small></th>`)}</tr></thead>
<tbody>${rows.map(({name, cells}) => html`<tr><th scope="row">${name}</th>${cells.map(cell => html`<td class="number">${cell}</td>`)}</tr>`)}</tbody>
</table>
</section>`;
}

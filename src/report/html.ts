/** The report of a run as one HTML file that needs nothing else: no network, no fonts, no second file. */
import {createHash} from 'node:crypto';
import {scaleLinear} from 'd3-scale';
import type {Accuracy, Results} from '../events.js';
import {count, duration, percent, plural, rate} from '../words.js';
import {armsStyle} from './experiment-plot.js';
import {experimentSection} from './experiment-section.js';
import {html, verbatim, type Markup} from './markup.js';
import {accuracyPlot, lossPlot, reliabilityPlot, smallPlots, swatch} from './plot.js';
import type {Curve, ReportCalibration, ReportData, UsedSettings} from './report-data.js';
import {roundsSection} from './rounds-section.js';
import {findScript, selectionSection} from './selection.js';
import {style} from './style.js';
import {verdict} from './verdict.js';
import {wilson} from './intervals.js';

/** Lets the page load nothing and run nothing but its own script, whatever a class name may hold. */
const contentSecurityPolicy = [
  "default-src 'none'",
  'img-src data:',
  "style-src 'unsafe-inline'",
  `script-src 'sha256-${createHash('sha256').update(findScript).digest('base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

/** The whole page. Everything in `data` is text to it, save the pictures' data URIs. */
export const renderReport = (data: ReportData): string =>
  html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${contentSecurityPolicy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${data.run}: pupil report</title>
<link rel="icon" href="data:,">
<style>${verbatim(data.experiment === null ? style : style + armsStyle)}</style>
</head>
<body>
${head(data)}
<main>
${resultsSection(data)}
${calibrationSection(data)}
${roundsSection(data.rounds)}
${data.experiment === null ? null : experimentSection(data.experiment)}
${curvesSection(data)}
${dataSection(data)}
${selectionSection(data)}
${timeSection(data)}
${configSection(data)}
</main>
${foot(data)}
<script>${verbatim(findScript)}</script>
</body>
</html>
`.toString();

function head(data: ReportData): Markup {
  const {sentence, caveats} = verdict(data);
  return html`<header>
<p class="run"><strong>${data.run}</strong>${data.about === '' ? null : html` <span>${data.about}</span>`}</p>
<h1>${sentence.replaceAll(' %', '\u00a0%')}</h1>
${caveats.length > 0 ? html`<div class="caution">${caveats.map(caveat => html`<p>${caveat}</p>`)}</div>` : null}
</header>`;
}

function foot({pupil, device, seed, finishedAt}: ReportData): Markup {
  const when = new Intl.DateTimeFormat('en-GB', {dateStyle: 'long', timeStyle: 'short', timeZone: 'UTC'}).format(
    new Date(finishedAt),
  );
  return html`<footer>pupil ${pupil} on ${device}, seed ${seed}. Written <time datetime="${finishedAt}">${when} UTC</time>.
The method is that of Yalniz et al., <cite>Billion-scale semi-supervised learning for image classification</cite>,
<a href="https://arxiv.org/abs/1905.00546">arXiv 1905.00546</a>.</footer>`;
}

// ---------------------------------------------------------------- results

function resultsSection({results, flipped, steps, set, evaluatedImages: images, counts, seed}: ReportData): Markup {
  const about: Readonly<Record<keyof Results, string>> = {
    teacher: 'scored the unlabelled images',
    supervised: `the student’s net on labels alone${steps ? `; ${count(steps.supervised)} steps, the student had ${count(steps.student)}` : ''}`,
    studentPretrained: 'on the selected images',
    student: 'fine-tuned on the labelled images',
  };
  const rows = evaluated(results).map(({key, accuracy}) => ({key, about: about[key], accuracy}));
  const across = intervalScale(
    rows.map(({accuracy}) => accuracy),
    images,
  );
  return html`<section id="results">
<h2>Results</h2>
<table class="results">
<thead><tr><th scope="col">Model</th><th scope="col" class="number">Top-1</th>
<th scope="col" class="intervals">${intervalAxis(across)}</th><th scope="col" class="number">Top-5</th></tr></thead>
<tbody>${rows.map(
    ({key, about, accuracy: {top1, top5}}) => html`
<tr${key === 'student' ? verbatim(' class="student"') : null}><th scope="row">${modelNames[key]}<small>${about}</small></th>
${accuracyCell('top-1', top1, images)}<td class="intervals">${intervalMark(across, top1, images)}</td>${accuracyCell('top-5', top5, images)}</tr>`,
  )}</tbody>
</table>
<p class="note">${
    set === 'test'
      ? `The test set of ${plural(images, 'image')} was read once, after every choice had been made on the validation set.`
      : `Measured on the validation set of ${plural(images, 'image')}, because no test set was given.`
  }
Small figures are 95&nbsp;% Wilson intervals: how far the draw of these images can move an accuracy. They say nothing of other seeds than ${seed}.${
    counts.classes <= 5 ? ` With ${plural(counts.classes, 'class', 'classes')}, top-5 is always 100 %.` : null
  }</p>
${flipped === null ? null : flippedTable(flipped)}
</section>`;
}

const modelNames: Readonly<Record<keyof Results, string>> = {
  teacher: 'Teacher',
  supervised: 'Supervised baseline',
  studentPretrained: 'Student, pre-trained',
  student: 'Student',
};
/** In the order of the tables. */
const modelKeys = ['teacher', 'supervised', 'studentPretrained', 'student'] as const;

/** The models that a run has. */
const evaluated = (results: Results): {key: keyof Results; accuracy: Accuracy}[] =>
  modelKeys.flatMap(key => {
    const accuracy = results[key];
    return accuracy === null ? [] : [{key, accuracy}];
  });

/** Figures that flatter beside those above must not be taken for them, so they stand apart and say so. */
const flippedTable = (
  flipped: Results,
): Markup => html`<h3 class="aside">With the mirror image as well <span class="chip">not the headline</span></h3>
<table class="figures">
<thead><tr><th scope="col">Model</th><th scope="col" class="number">Top-1</th><th scope="col" class="number">Top-5</th></tr></thead>
<tbody>${evaluated(flipped).map(
  ({key, accuracy: {top1, top5}}) => html`
<tr><th scope="row">${modelNames[key]}</th><td class="number">${percent(top1)}</td><td class="number">${percent(top5)}</td></tr>`,
)}</tbody>
</table>
<p class="note">The mean of the answers to a picture and to its mirror image (evaluate.flip): twice the work for each answer.</p>`;

function accuracyCell(label: string, accuracy: number, images: number): Markup {
  const {low, high} = wilson(accuracy, images);
  return html`<td class="number" data-label="${label}">${percent(accuracy)}<small>${(100 * low).toFixed(1)} – ${(100 * high).toFixed(1)}</small></td>`;
}

/** Places an accuracy at a share of the column's width, in percent. */
type Across = ReturnType<typeof intervalScale>;

function intervalScale(accuracies: readonly Accuracy[], images: number) {
  const ends = accuracies.flatMap(({top1}) => [wilson(top1, images).low, wilson(top1, images).high]);
  return scaleLinear([Math.min(...ends), Math.max(...ends)], [0, 100])
    .nice(4)
    .range([6, 94]);
}

const intervalAxis = (across: Across): Markup =>
  html`<svg aria-hidden="true">${across
    .ticks(4)
    .map(
      value =>
        html`<text x="${across(value).toFixed(2)}%" y="70%" text-anchor="middle">${Number((100 * value).toFixed(1))}</text>`,
    )}</svg>`;

function intervalMark(across: Across, accuracy: number, images: number): Markup {
  const {low, high} = wilson(accuracy, images);
  const at = (value: number) => `${across(value).toFixed(2)}%`;
  return html`<svg aria-hidden="true">${across.ticks(4).map(value => html`<line class="grid" x1="${at(value)}" x2="${at(value)}" y1="0" y2="100%"/>`)}
<line class="interval" x1="${at(low)}" x2="${at(high)}" y1="50%" y2="50%"/><circle cx="${at(accuracy)}" cy="50%" r="5"/></svg>`;
}

// ---------------------------------------------------------------- calibration

function calibrationSection({calibration, set}: ReportData): Markup | null {
  if (calibration.length === 0) return null;
  const fitted = calibration.some(({validation}) => validation !== null) && set !== 'validation';
  const moved = calibration.some(({temperature}) => temperature !== 1);
  const cell = (errors: ReportCalibration['validation']) =>
    errors === null
      ? html`<td class="number">–</td>`
      : html`<td class="number">${percent(errors.after)}${errors.before === errors.after ? null : html`<small>was ${percent(errors.before)}</small>`}</td>`;
  return html`<section id="calibration">
<h2>Calibration</h2>
<table class="figures">
<thead><tr><th scope="col">Model</th><th scope="col" class="number">Temperature</th>${fitted ? html`<th scope="col" class="number">Error on validation</th>` : null}<th scope="col" class="number">Error on ${set}</th></tr></thead>
<tbody>${calibration.map(
    ({model, temperature, validation, evaluated}) => html`
<tr><th scope="row">${modelNames[model]}</th><td class="number">${Number(temperature.toFixed(3))}</td>${fitted ? cell(validation) : null}${cell(evaluated)}</tr>`,
  )}</tbody>
</table>
<div class="reliability">${calibration.map(one => html`<figure><figcaption>${modelNames[one.model]}</figcaption>${reliabilityPlot(modelNames[one.model], one)}</figure>`)}</div>
<p class="note">Expected calibration errors, in 15 bins: by how much the probability of the best class misses the share of right answers, on average.
The diagrams show each bin on the ${set} set: its probability (across) and its share of right answers (up). On the diagonal the model keeps what it claims, below it the model claims too much.${
    moved ? html` ${legend('before', 'as trained')} ${legend('after', 'at its temperature')}` : null
  }</p>
</section>`;
}

// ---------------------------------------------------------------- curves

function curvesSection({curves, counts, settings}: ReportData): Markup | null {
  if (curves.length === 0) return null;
  return html`<section id="curves">
<h2>Training</h2>
${curves.map(curve => training(curve, counts.classes))}
${settingsUsed(settings)}
</section>`;
}

function training(curve: Curve, classes: number): Markup {
  const {title, steps, evaluations, bestEpoch} = curve;
  const best = evaluations.find(({epoch}) => epoch === bestEpoch);
  const last = steps.at(-1);
  const facts = [
    ...(best ? [`epoch ${best.epoch} kept: ${percent(best.top1)} top-1, ${percent(best.top5)} top-5`] : []),
    ...(last ? [plural(last.totalSteps, 'step')] : []),
  ];
  const top5 = classes > 5 ? legend('top5', 'top-5') : null;
  return html`<article>
<h3>${title} <small>${facts.join(' · ')}</small></h3>
<div class="curves"><figure>${accuracyPlot(curve, classes)}<figcaption>${legend('top1', 'validation top-1')} ${top5} ${legend('best', 'the epoch that was kept')}</figcaption></figure>
${steps.length === 0 ? null : html`<figure>${lossPlot(curve)}<figcaption>${legend('loss', 'training loss, its spread')} ${legend('validation', 'validation loss')}</figcaption></figure>`}</div>
${
  steps.length === 0
    ? null
    : html`<div class="small-curves"><figure><figcaption>Learning rate</figcaption>${smallPlots.rate(curve)}</figure>
<figure><figcaption>Images a second</figcaption>${smallPlots.speed(curve)}</figure>
<figure><figcaption>Memory</figcaption>${smallPlots.memory(curve)}</figure></div>`
}
</article>`;
}

/** A line's style and what it stands for, never torn apart. */
const legend = (kind: Parameters<typeof swatch>[0], text: string): Markup =>
  html`<span class="legend">${swatch(kind)}${text}</span>`;

function settingsUsed({steps, different, alike, off}: UsedSettings): Markup | null {
  if (steps.length === 0) return null;
  const keys = (list: readonly string[]) =>
    list.map((key, index) => html`${index === 0 ? null : ', '}<code>${key}</code>`);
  return html`<h3>Settings, as used</h3>
<div class="scrolled"><table class="settings">
<thead><tr><th scope="col">Key</th>${steps.map(step => html`<th scope="col">${step}</th>`)}</tr></thead>
<tbody>${different.map(
    ({key, values}) => html`
<tr><th scope="row"><code>${key}</code></th>${values.map(value => html`<td>${value ?? '–'}</td>`)}</tr>`,
  )}</tbody>
</table></div>
<p class="note">${alike.length === 0 ? null : html`Alike in all: ${alike.map(({key, value}, index) => html`${index === 0 ? null : ', '}<code>${key}</code> ${value}`)}. `}${
    off.length === 0 ? null : html`Off in all: ${keys(off)}.`
  }</p>`;
}

// ---------------------------------------------------------------- data, time, configuration

function dataSection({counts, quarantine}: ReportData): Markup {
  const facts = [
    {label: 'Classes', value: counts.classes, about: ''},
    {label: 'Train', value: counts.train, about: 'labelled'},
    {label: 'Validation', value: counts.validation, about: 'settles every choice'},
    {label: 'Test', value: counts.test, about: counts.test === 0 ? 'none was given' : 'read once'},
    {label: 'Pool', value: counts.pool, about: 'unlabelled'},
    {label: 'Leaks', value: counts.leaks, about: 'in two sets, so kept out'},
  ];
  return html`<section id="data">
<h2>Data</h2>
<dl class="counts">${facts.map(({label, value, about}) => html`<div><dt>${label}</dt><dd>${count(value)}<small>${about}</small></dd></div>`)}</dl>
${
  quarantine.length === 0
    ? html`<p class="note">No image was set aside.</p>`
    : html`<h3>Set aside</h3>
<table class="quarantine">
<thead><tr><th scope="col">Reason</th><th scope="col">Stage</th><th scope="col" class="number">Images</th></tr></thead>
<tbody>${quarantine.map(
        ({stage, code, images}) =>
          html`<tr><td><code>${code}</code></td><td>${stage}</td><td class="number">${count(images)}</td></tr>`,
      )}</tbody>
</table>`
}
</section>`;
}

function timeSection({stages}: ReportData): Markup {
  const total = stages.reduce((sum, {seconds}) => sum + seconds, 0);
  const longest = Math.max(...stages.map(({seconds}) => seconds), Number.MIN_VALUE);
  return html`<section id="time">
<h2>Time</h2>
<table class="time">
<thead><tr><th scope="col">Stage</th><th scope="col" class="number">Time</th><th scope="col"></th><th scope="col" class="number">Images/s</th></tr></thead>
<tbody>${stages.map(
    ({name, status, seconds, headline, imagesPerSecond}) => html`
<tr><th scope="row">${name}${status === 'done' ? null : html` <span class="chip">${status}</span>`}<small>${headline}</small></th>
<td class="number">${duration(seconds)}</td><td class="bar"><span style="width: ${((100 * seconds) / longest).toFixed(1)}%"></span></td>
<td class="number">${imagesPerSecond === null ? '–' : rate(imagesPerSecond)}</td></tr>`,
  )}</tbody>
<tfoot><tr><th scope="row">Total</th><td class="number">${duration(total)}</td><td></td><td></td></tr></tfoot>
</table>
</section>`;
}

const configSection = ({config}: ReportData): Markup => html`<section id="configuration">
<h2>Configuration</h2>
<details><summary>All settings of this run, as YAML</summary>
<pre><code>${config}</code></pre></details>
</section>`;

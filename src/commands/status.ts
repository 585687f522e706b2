/** `pupil status`: where each stage of a run stands, and why. */
import type {Stop} from '../children/child.js';
import {printable, printableJson} from '../printable.js';
import {openRun, type OpenRun, type RunName} from '../queries/open-run.js';
import {setAsideBy} from '../queries/set-aside.js';
import {standingsOf, type StageStanding} from '../queries/standing.js';
import {table} from '../report/table.js';
import {painter} from '../report/terminal.js';
import {widthOf} from '../report/wrap.js';
import {count, duration} from '../words.js';
import {tellOtherRounds} from './other-rounds.js';

const SET_ASIDE_SHOWN = 20;

export async function status(flags: RunName & {readonly json: boolean}, stop: Stop): Promise<void> {
  const run = openRun(flags);
  try {
    const standings = await standingsOf(run, stop);
    if (flags.json) {
      process.stdout.write(`${printableJson({run: run.paths.run, stages: standings.map(wire)})}\n`);
      return;
    }
    const paint = painter(process.stdout);
    const rows = standings.map(({name, status, seconds, headline, reason}) => [
      name,
      status,
      seconds === 0 ? '' : duration(seconds),
      status === 'fresh' && headline !== '' ? headline : reason,
    ]);
    const text = table(['stage', 'status', 'time', ''], rows, {
      align: ['left', 'left', 'right'],
      width: widthOf(process.stdout),
    });
    process.stdout.write(
      `${paint('bold', `Run ${run.paths.run} in ${printable(run.paths.home)}`)}\n${text}\n${setAside(run)}`,
    );
    tellOtherRounds(run.paths);
  } finally {
    run.store.close();
  }
}

const wire = ({name, status, reason, seconds, outputs}: StageStanding): object => ({
  name,
  status,
  reason,
  seconds,
  outputs: outputs.filter(output => output.path !== null).map(({path, sha256}) => ({path, sha256})),
});

function setAside({store}: OpenRun): string {
  const {images, reasons, examples} = setAsideBy(store, SET_ASIDE_SHOWN);
  if (images === 0) return '';
  const lines = reasons.map(({stage, code, images}) => `  ${count(images)} ${code} in ${stage}`);
  const shown = examples.map(row => `  ${row.code.padEnd(16)} ${printable(`${row.place}: ${row.detail}`)}`);
  const more =
    images > SET_ASIDE_SHOWN
      ? `  and ${count(images - SET_ASIDE_SHOWN)} more, in the table quarantine of the run's database\n`
      : '';
  return `\nImages set aside:\n${lines.join('\n')}\n${shown.join('\n')}\n${more}`;
}

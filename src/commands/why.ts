/** `pupil why IMAGE`: what the teacher thought of an image, and why each class selected it or did not. */
import {printable, printableJson} from '../printable.js';
import {openRun, type RunName} from '../queries/open-run.js';
import {storyOf, type ImageStory} from '../queries/why.js';
import {table} from '../report/table.js';
import {count} from '../words.js';
import {tellOtherRounds} from './other-rounds.js';

export async function why(flags: RunName & {readonly image: string; readonly json: boolean}): Promise<void> {
  const run = openRun(flags);
  try {
    const story = await storyOf(run, flags.image);
    const {image, places, classes, unscored} = story;
    if (flags.json) {
      process.stdout.write(
        `${printableJson({run: run.paths.run, image, places, classes, ...(unscored !== null && {reason: unscored})})}\n`,
      );
      return;
    }
    process.stdout.write(words(story));
    if (unscored === null) tellOtherRounds(run.paths);
  } finally {
    run.store.close();
  }
}

function words({image, places, classes, unscored}: ImageStory): string {
  const head = `image ${image}\n${places.map(place => `  ${printable(place)}\n`).join('')}`;
  if (unscored !== null) return `${head}${printable(unscored)}\n`;
  const rows = classes.map(row => [
    String(row.position),
    row.class,
    row.score.toFixed(5),
    row.rank === null ? '' : count(row.rank),
    row.cutoff?.toFixed(5) ?? '',
    row.reason,
  ]);
  return `${head}${table(['', 'class', 'score', 'rank', 'cut-off', ''], rows, {align: ['right', 'left', 'right', 'right', 'right']})}\n`;
}

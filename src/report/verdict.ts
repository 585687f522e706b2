/** What the accuracies of a run say, and how sure they are. */
import type {Accuracy} from '../events.js';
import {percent} from '../words.js';
import {Z} from './intervals.js';
import type {ReportData} from './report-data.js';

/** Without the baseline the student's extra steps are not accounted for. */
const UNCONTROLLED =
  'No equal-step supervised baseline was trained (evaluate.baseline), so a gain over the teacher may come from longer training alone.';

export interface Verdict {
  readonly sentence: string;
  /** What a reader must know before believing the sentence. */
  readonly caveats: readonly string[];
}

/**
 * One sentence on the student's top-1 against its teacher's and the equal-step baseline's, with what limits it. It
 * claims no difference that so many images cannot tell from chance.
 */
export function verdict({
  results,
  set,
  evaluatedImages: images,
}: Pick<ReportData, 'results' | 'set' | 'evaluatedImages'>): Verdict {
  const {student, studentPretrained: pretrained, teacher, supervised} = results;
  if (student === null) return {sentence: 'This run has no evaluated student.', caveats: []};
  const rivals = [
    ...(teacher ? [{name: 'its teacher', accuracy: teacher}] : []),
    ...(supervised ? [{name: 'the equal-step supervised baseline', accuracy: supervised}] : []),
  ];
  const gaps = rivals.map(({name, accuracy}) => gapOf(name, student, accuracy, images));
  return {
    sentence: `The student gets ${percent(student.top1)} of the ${set} images right${gaps.length === 0 ? '' : `: ${joined(gaps)}`}.`,
    caveats: [
      ...(set === 'test'
        ? []
        : [
            'No test set was given. The best epochs were chosen on these same validation images, so every accuracy here flatters.',
          ]),
      ...(supervised ? [] : [UNCONTROLLED]),
      ...(teacher ? [] : ['The teacher was not evaluated.']),
      ...(pretrained && pretrained.top1 >= student.top1
        ? [
            `Fine-tuning did not help on these images: before it the student got ${percent(pretrained.top1)} right${images === 0 || !isClear(gapOf('itself', student, pretrained, images)) ? ', which so few do not tell apart' : ''}.`,
          ]
        : []),
    ],
  };
}

/** To a tenth, as it is shown. */
const gapInPoints = (student: Accuracy, rival: Accuracy): number => Math.round(1000 * (student.top1 - rival.top1)) / 10;

/**
 * Half of the 95 % interval of a difference. Both saw the same images, which pairs them; counted as if they had not, so
 * rather too wide.
 */
function marginInPoints({top1: a}: Accuracy, {top1: b}: Accuracy, images: number): number {
  return images === 0 ? 100 : 100 * Z * Math.sqrt((a * (1 - a) + b * (1 - b)) / images);
}

interface Gap {
  readonly name: string;
  readonly points: number;
  readonly margin: number;
}

const gapOf = (name: string, student: Accuracy, rival: Accuracy, images: number): Gap => ({
  name,
  points: gapInPoints(student, rival),
  margin: marginInPoints(student, rival, images),
});

const isClear = ({points, margin}: Gap): boolean => Math.abs(points) >= margin;

function joined([first, second]: readonly Gap[]): string {
  if (!first) return '';
  if (!second) return worded(first);
  const opposed = first.points * second.points < 0 || isClear(first) !== isClear(second);
  return `${worded(first)}${opposed ? ', but' : ' and'} ${worded(second)}`;
}

function worded(gap: Gap): string {
  const {name, points, margin} = gap;
  if (points === 0) return `level with ${name}`;
  if (!isClear(gap))
    return `not told apart from ${name} (${signed(points)} points, 95 % interval ${signed(points - margin)} to ${signed(points + margin)})`;
  return `${Math.abs(points).toFixed(1)} points ${points > 0 ? 'above' : 'below'} ${name}`;
}

const signed = (points: number): string => `${points < 0 ? '-' : '+'}${Math.abs(points).toFixed(1)}`;

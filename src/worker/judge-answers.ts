/** Holds what an ONNX file from elsewhere really answers against what its graph tells or its user says of it. */
import {WorkerFailure} from './failure.js';
import type {ModelDescription} from './session.js';

export type Claim = NonNullable<ModelDescription['answers']>;

/**
 * By how much sums that should be equal may differ, as a share of them; half precision and rounded percentages stay
 * below.
 */
const SAME = 0.01;
/** Below zero, or above it, by no more than rounding makes. */
const ROUNDING = 1e-3;

/** The smallest and the largest of some values. */
class Range {
  least = Infinity;
  most = -Infinity;
  add(value: number): void {
    this.least = Math.min(this.least, value);
    this.most = Math.max(this.most, value);
  }
  get words(): string {
    const [least, most] = [this.least, this.most].map(value => Number(value.toPrecision(3)));
    return least === most ? String(least) : `${least} to ${most}`;
  }
}

/** What is to be known of answers: their values, and for each picture their sum and that of their exponentials. */
export class AnswersSeen {
  readonly values = new Range();
  readonly sums = new Range();
  /** Logarithms, which do not overflow. */
  readonly exponentialSums = new Range();

  /** `rows`: one after another, each with `outputs` values. */
  add(rows: Float32Array, outputs: number): void {
    for (let first = 0; first < rows.length; first += outputs) {
      const row = rows.subarray(first, first + outputs);
      const largest = row.reduce((most, value) => Math.max(most, value), -Infinity);
      row.forEach(value => this.values.add(value));
      this.sums.add(row.reduce((sum, value) => sum + value, 0));
      this.exponentialSums.add(largest + Math.log(row.reduce((sum, value) => sum + Math.exp(value - largest), 0)));
    }
  }
}

/**
 * Returns what people should know of answers that are taken as claimed; null where there is nothing. Throws a `model`
 * failure where they cannot be what is claimed, or where the graph told one thing and they tell another: then it is for
 * the user to say.
 */
export function judgeAnswers({kind, toldBy}: Claim, {values, sums, exponentialSums}: AnswersSeen): string | null {
  const refuse = (what: string): never => {
    const who =
      toldBy === 'graph' ? `The graph of the ONNX file tells of ${wordOf(kind)}` : `teacher.output is ${kind}`;
    throw new WorkerFailure(
      'model',
      `${who}, but on the validation images ${what}. Set teacher.output to what it answers: logits, probabilities or log_probabilities.`,
    );
  };
  /** What contradicts the graph is a question; what the user said stands. */
  const doubt = (what: string, taken: string) =>
    toldBy === 'graph' ? refuse(what) : `On the validation images ${what}; ${taken}, as teacher.output says ${kind}.`;
  const isEverySumTheSame = sums.most > 0 && sums.most - sums.least <= SAME * sums.most;

  switch (kind) {
    case 'probabilities':
      if (values.least < -ROUNDING * Math.max(1, values.most))
        return refuse(`some of its answers are below 0 (the least is ${values.least.toPrecision(3)})`);
      if (!isEverySumTheSame)
        return doubt(
          `its answers to a picture sum to ${sums.words}, and not always to the same`,
          'they are scaled to 1',
        );
      return Math.abs(sums.most - 1) <= SAME
        ? null
        : `Its answers to a picture sum to ${sums.words}: they are taken for probabilities, scaled to 1.`;
    case 'log_probabilities':
      if (values.most > ROUNDING && exponentialSums.most - exponentialSums.least > SAME)
        return refuse(`some of its answers are above 0 (the largest is ${values.most.toPrecision(3)})`);
      if (exponentialSums.most - exponentialSums.least > SAME)
        return doubt('the probabilities that it answers do not always sum to the same', 'they are scaled to 1');
      return null;
    case 'logits':
      if (values.least < 0 || !isEverySumTheSame) return null;
      return doubt(
        `its answers are never below 0 and sum to ${sums.words} for every picture, as probabilities do`,
        'they are taken for logits all the same',
      );
  }
}

const wordOf = (kind: Claim['kind']): string => kind.replace('_', '-');

/** The curves of a stage's training, put together from all that its attempts told. */
import type {StageName} from '../events.js';
import type {Store} from '../store/open.js';
import type {TrainingEvent} from '../store/events.js';

export interface Readings {
  readonly steps: readonly Extract<TrainingEvent, {type: 'step'}>[];
  readonly evaluations: readonly Extract<TrainingEvent, {type: 'evaluated'}>[];
}

/** What stands of the readings of a stage's part. */
export const readingsOf = (store: Store, stage: StageName, part: string): Readings =>
  standing(store.events.ofTrainings(stage).filter(event => event.part === part));

/**
 * One account of a training from those of its attempts: each holds up to where the next went on. An attempt that was
 * killed told of steps after its last checkpoint, which the next takes again; where one begins anew, nothing of those
 * before it stands.
 */
export function standing(events: readonly TrainingEvent[]): Readings {
  let steps: Readings['steps'][number][] = [];
  let evaluations: Readings['evaluations'][number][] = [];
  for (const event of events) {
    if (event.type === 'step') steps.push(event);
    // Told again by each attempt that goes on.
    else if (event.type === 'evaluated')
      evaluations = [...evaluations.filter(({epoch}) => epoch !== event.epoch), event];
    else {
      steps = steps.filter(({step}) => step <= event.step);
      evaluations = evaluations.filter(({epoch}) => epoch <= event.epoch);
    }
  }
  return {steps, evaluations};
}

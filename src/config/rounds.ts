/**
 * The rounds of a run: the student of one is the teacher of the next, and each is a run of its own, NAME.round2 after
 * NAME.
 */
import {configSchema, type Config} from './schema.js';
import {studentModel} from './rules.js';
import {runPaths} from '../home.js';

export const roundName = (run: string, round: number): string => (round === 1 ? run : `${run}.round${round}`);

/** The config of every round, in order. */
export function configsOfRounds(config: Config, home: string): Config[] {
  return Array.from({length: config.rounds}, (_, index) => (index === 0 ? config : nextRound(config, home, index + 1)));
}

function nextRound(config: Config, home: string, round: number): Config {
  const model = studentModel(config);
  const student = runPaths(home, roundName(config.run, round - 1)).model('student', 'model.safetensors');
  // What was said of the first teacher's file does not hold for ours, which knows its classes and its normalisation.
  const {classes, mean, std, input, output} = configSchema.shape.teacher.parse({});
  return {
    ...config,
    run: roundName(config.run, round),
    teacher: {...config.teacher, model, file: student, classes, mean, std, input, output},
    student: {...config.student, model},
  };
}

import {defineConfig} from 'vitest/config';
import {BaseSequencer, type TestSpecification} from 'vitest/node';

/**
 * The files that take minutes, longest first. A fresh clone knows no times yet, and one of these begun last would leave
 * the other cores idle.
 */
const LONGEST = [
  'real-pictures',
  'teachers',
  'orchestrate',
  'end-to-end',
  'commands/experiment',
  'score-shard',
  'torture',
  'package',
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({moduleId}: TestSpecification) => {
      const found = LONGEST.findIndex(name => moduleId.endsWith(`/${name}.test.ts`));
      return found === -1 ? LONGEST.length : found;
    };
    return (await super.sort(files)).toSorted((a, b) => place(a) - place(b));
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    sequence: {sequencer: LongestFirst},
    // Many tests start real child processes on few cores.
    maxWorkers: 2,
    // Tests that start the worker themselves send nothing to onnxruntime's makers either.
    env: {ORT_DISABLE_TELEMETRY: '1'},
    // How fast the machine is today is no matter of a test; this is for what hangs.
    testTimeout: 1_800_000,
    hookTimeout: 1_800_000,
  },
});

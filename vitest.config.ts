import {defineConfig} from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Many tests start real child processes on few cores.
    maxWorkers: 2,
    // Tests that start the worker themselves send nothing to onnxruntime's makers either.
    env: {ORT_DISABLE_TELEMETRY: '1'},
    // How fast the machine is today is no matter of a test; this is for what hangs.
    testTimeout: 1_800_000,
    hookTimeout: 1_800_000,
  },
});

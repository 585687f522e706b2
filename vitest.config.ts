import {defineConfig} from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Many tests start real child processes on few cores.
    maxWorkers: 2,
    // Tests that start the worker themselves send nothing to onnxruntime's makers either.
    env: {ORT_DISABLE_TELEMETRY: '1'},
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});

/**
 * The messages between the orchestrator and its two children, as zod schemas: what each task is told, and what it
 * answers.
 *
 * A task is a config file. The trainer is started with its path, for one task; the image worker reads on stdin of one
 * task after the other: the path as JSON, descriptors a line each, an empty line. Both answer with NDJSON events on file
 * descriptor 3. On the wire every key is snake_case; here and inside TypeScript camelCase. What the trainer is told is
 * written from here for Python (scripts/protocol.mjs).
 */
export {PROTOCOL} from './protocol/primitives.js';
export * from './protocol/terms.js';
export * from './protocol/worker-tasks.js';
export * from './protocol/trainer-tasks.js';
export * from './protocol/answers.js';
export * from './protocol/wire.js';

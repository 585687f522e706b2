/** What a child says on file descriptor 3 while it has a task: each line an event, and what its end is judged by. */
import {childEvent, fromWire, type ChildEvent} from './protocol.js';

/** How a child says that its task has ended. */
export type LastWord = Extract<ChildEvent, {type: 'finished' | 'failed' | 'interrupted'}>;

export interface Heard {
  /** Whether it said a word. */
  readonly greeted: boolean;
  /** What it said of its end, where it did. */
  readonly last: LastWord | undefined;
  /** What was wrong with what it said. */
  readonly protocolErrors: readonly string[];
}

/** Keeps what is said, and tells each event; `hear` takes a line. */
export function listenTo(onEvent: (event: ChildEvent) => void): {hear: (line: string) => void; heard: Heard} {
  const protocolErrors: string[] = [];
  const heard: {-readonly [Key in keyof Heard]: Heard[Key]} = {greeted: false, last: undefined, protocolErrors};
  return {
    heard,
    hear(line) {
      const event = eventIn(line, problem => protocolErrors.push(problem));
      if (event === null) return;
      heard.greeted ||= event.type === 'hello';
      if (event.type === 'finished' || event.type === 'failed' || event.type === 'interrupted') heard.last = event;
      onEvent(event);
    },
  };
}

const knownTypes = new Set<unknown>(childEvent.options.map(option => option.shape.type.value));
const isKnownType = (message: unknown): boolean =>
  typeof message === 'object' && message !== null && 'type' in message && knownTypes.has(message.type);

/**
 * The event in a line; null where it is none that we know. An unknown type is a newer child's; a known one of the wrong
 * shape is a bug.
 */
function eventIn(line: string, onProblem: (problem: string) => void): ChildEvent | null {
  let message: unknown;
  try {
    message = fromWire(line);
  } catch (error) {
    onProblem(
      `sent a line that is ${error instanceof SyntaxError ? 'no JSON' : 'nested too deeply'}: ${line.slice(0, 200)}`,
    );
    return null;
  }
  const event = childEvent.safeParse(message);
  if (event.success) return event.data;
  if (isKnownType(message)) onProblem(`sent a malformed event: ${line.slice(0, 200)}`);
  return null;
}

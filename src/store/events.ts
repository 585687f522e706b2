/** The event log: what happened, in order; its sequence numbers, not its times, are the truth. */
import type {Event} from '../events.js';
import {parseCell} from './cell.js';
import type {Connection} from './connection.js';

export type TrainingEvent = Extract<Event, {type: 'begun' | 'step' | 'evaluated'}>;

interface Row {
  body: string;
}

export function eventTable(connection: Connection) {
  const insert = connection.prepare<[string, string | null, string, string]>(
    'INSERT INTO events (at, stage, type, body) VALUES (?, ?, ?, ?)',
  );
  const ofStage = connection.prepare<[string, string], Row>(
    'SELECT body FROM events WHERE stage = ? AND type = ? ORDER BY sequence',
  );
  const ofTrainings = connection.prepare<[string], Row>(
    "SELECT body FROM events WHERE stage = ? AND type IN ('begun', 'step', 'evaluated') ORDER BY sequence",
  );
  const parse = (stage: string, {body}: Row): unknown => parseCell(connection, `an event of ${stage}`, body);
  return {
    add(event: Event): void {
      const stage = 'stage' in event ? event.stage : null;
      insert.run(new Date().toISOString(), stage, event.type, JSON.stringify(event));
    },
    /** Events of one type of a stage, oldest first. */
    of<Type extends Event['type']>(stage: string, type: Type): Extract<Event, {type: Type}>[] {
      return ofStage.all(stage, type).map(row => parse(stage, row) as Extract<Event, {type: Type}>);
    },
    /** All that was told of a stage's trainings, in order, attempts that were given up among it. */
    ofTrainings(stage: string): TrainingEvent[] {
      return ofTrainings.all(stage).map(row => parse(stage, row) as TrainingEvent);
    },
  };
}

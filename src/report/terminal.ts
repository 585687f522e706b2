/** Gives every event its words, and shows them: live lines on a terminal, plain lines in a pipe, NDJSON for scripts. */
import {stripVTControlCharacters, styleText} from 'node:util';
import {createLogUpdate} from 'log-update';
import {toWire} from '../children/protocol.js';
import type {Emit, Event} from '../events.js';
import {printableMessage} from '../printable.js';
import {busiestPart, bytes, count, duration, percent, rate} from '../words.js';

export interface View {
  readonly emit: Emit;
  /** Leaves the last lines standing. */
  close(): void;
}

/** Without a terminal a line of progress this often is enough. */
const PLAIN_INTERVAL_MS = 10_000;

type Colour = 'green' | 'yellow' | 'red' | 'dim' | 'bold' | 'cyan';
export type Paint = (colour: Colour, text: string) => string;

/** Colours where the stream is a terminal and NO_COLOR is not set. */
export const painter = (stream: NodeJS.WriteStream): Paint => {
  const coloured = stream.isTTY && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb';
  return (colour, text) => (coloured ? styleText(colour, text, {validateStream: false}) : text);
};

/** What others wrote: without their colours, and with nothing else that moves a cursor. */
const safe = (text: string): string => printableMessage(stripVTControlCharacters(text));
const name = (stage: string): string => stage.padEnd(9);
const of = ({stage, part}: {stage: string; part: string}): string => name(stage) + (part === '' ? '' : ` ${part}:`);

/** A line that stays. Null: the event is shown only while it is the latest, or not at all. */
export function lasting(event: Event, paint: Paint): string | null {
  switch (event.type) {
    case 'run_started':
      return `${paint('bold', `[${event.position} of ${event.total}] ${event.run}`)}${event.secondsLeft === null || event.secondsLeft === 0 ? '' : paint('dim', `, about ${duration(event.secondsLeft)} left`)}`;
    case 'run_failed':
      return `${paint('red', 'x')} ${event.run} failed: ${safe(event.message)}`;
    case 'started':
      return `${paint('bold', `pupil ${event.run}`)} ${paint('dim', `in ${safe(event.home)} on ${event.device}`)}`;
    case 'stage_fresh':
      return paint('dim', `= ${name(event.stage)} fresh: ${safe(event.reason)}`);
    case 'stage_skipped':
      return `${paint('green', '-')} ${name(event.stage)} skipped: ${safe(event.reason)}`;
    case 'stage_started':
      return paint('dim', `> ${name(event.stage)} ${safe(event.reason)}`);
    case 'stage_finished':
      return `${paint('green', '+')} ${name(event.stage)} ${safe(event.summary)} ${paint('dim', `(${duration(event.seconds)})`)}`;
    case 'dataset_started':
      return (
        `${paint('bold', event.title)}: ${event.contents}\n` +
        paint('dim', `  from ${event.address} (${bytes(event.bytes)})\n  into ${safe(event.path)}\n  ${event.terms}`)
      );
    case 'dataset_ready':
      return event.status === 'fetched' ? `${paint('green', '+')} ${event.dataset}: ${safe(event.path)}` : paint('dim', `= ${event.dataset} is there: ${safe(event.path)}`);
    case 'note':
      return paint('dim', `  ${event.stage === null ? '' : `${name(event.stage)} `}${safe(event.message)}`);
    case 'warning':
      return `${paint('yellow', '!')} ${event.stage === null ? '' : `${name(event.stage)} `}${safe(event.message)}`;
    case 'failed':
      return `${paint('red', 'x')} ${safe(event.message)}`;
    case 'device':
    case 'progress':
    case 'begun':
    case 'step':
    case 'evaluated':
    case 'checkpoint':
    case 'dataset_progress':
    case 'done':
      return null;
  }
}

/** A line about work under way; a newer one takes its place. Null for events that do not move anything. */
export function moving(event: Event): string | null {
  switch (event.type) {
    case 'progress': {
      const left = event.total === null || event.imagesPerSecond === 0 ? null : (event.total - event.done) / event.imagesPerSecond;
      const share = event.total === null || event.total === 0 ? '' : ` of ${count(event.total)} (${Math.floor((100 * event.done) / event.total)} %)`;
      return `${of(event)} ${count(event.done)}${share} images, ${rate(event.imagesPerSecond)}/s${left === null ? '' : `, ${duration(left)} left`}${event.busy ? `, ${busiestPart(event.busy)}` : ''}`;
    }
    case 'step':
      return `${of(event)} epoch ${event.epoch}, step ${count(event.step)} of ${count(event.totalSteps)} (${Math.floor((100 * event.step) / event.totalSteps)} %), loss ${event.loss.toFixed(3)}, ${rate(event.imagesPerSecond)} images/s`;
    case 'dataset_progress': {
      const amount = event.unit === 'bytes' ? bytes : (value: number) => `${count(value)} files`;
      const share = event.total === null ? '' : ` of ${amount(event.total)} (${Math.floor((100 * event.done) / event.total)} %)`;
      const left = event.total === null || event.perSecond === 0 ? '' : `, ${duration((event.total - event.done) / event.perSecond)} left`;
      return `${event.dataset}: ${event.part}, ${amount(event.done)}${share}, ${event.unit === 'bytes' ? bytes(event.perSecond) : rate(event.perSecond)}/s${left}`;
    }
    case 'evaluated':
      return `${of(event)} epoch ${event.epoch}, validation top-1 ${percent(event.top1)}`;
    case 'run_started':
    case 'run_failed':
    case 'started':
    case 'stage_fresh':
    case 'stage_skipped':
    case 'stage_started':
    case 'stage_finished':
    case 'device':
    case 'begun':
    case 'checkpoint':
    case 'dataset_started':
    case 'dataset_ready':
    case 'note':
    case 'warning':
    case 'done':
    case 'failed':
      return null;
  }
}

/** Seconds left of a training, from how far it came since it (re)started. */
function timeLeft() {
  let first: {step: number; at: number} | null = null;
  let key = '';
  return (event: Event): string => {
    if (event.type !== 'step') return '';
    const now = performance.now();
    const of = `${event.stage} ${event.part}`;
    if (key !== of || first === null || event.step < first.step) {
      key = of;
      first = {step: event.step, at: now};
      return '';
    }
    if (event.step === first.step) return '';
    return `, ${duration(((event.totalSteps - event.step) * (now - first.at)) / 1000 / (event.step - first.step))} left`;
  };
}

/** Live lines: what is done stands, what moves is redrawn below it, cut to the terminal's width. */
export function terminalView(stream: NodeJS.WriteStream): View {
  const paint = painter(stream);
  const left = timeLeft();
  const live = createLogUpdate(stream);
  let accuracy = '';
  return {
    emit(event) {
      const line = lasting(event, paint);
      if (event.type === 'stage_started') accuracy = '';
      if (event.type === 'evaluated') accuracy = `, validation ${percent(event.top1)}`;
      if (line !== null) {
        live.clear();
        stream.write(`${line}\n`);
        return;
      }
      const text = event.type === 'evaluated' ? null : moving(event);
      if (text === null) return;
      const whole = `~ ${text}${event.type === 'step' ? accuracy : ''}${left(event)}`;
      live(cut(whole, (stream.columns || 80) - 1));
    },
    close() {
      live.clear();
      live.done();
    },
  };
}

const cut = (text: string, width: number): string => (text.length <= width ? text : `${text.slice(0, width - 3)}...`);

/** Plain lines: everything lasting, every validation accuracy, and now and then how far the work is. */
export function plainView(stream: NodeJS.WriteStream): View {
  const paint: Paint = (_, text) => text;
  const left = timeLeft();
  let lastShown = -Infinity;
  return {
    emit(event) {
      const line = lasting(event, paint);
      const rest = left(event);
      if (line !== null) stream.write(`${line}\n`);
      else if (event.type === 'evaluated' || performance.now() - lastShown >= PLAIN_INTERVAL_MS) {
        const text = moving(event);
        if (text === null) return;
        if (event.type !== 'evaluated') lastShown = performance.now();
        stream.write(`~ ${text}${rest}\n`);
      }
    },
    close() {},
  };
}

/** Every event as a line of JSON with snake_case keys. */
export const jsonView = (stream: NodeJS.WriteStream): View => ({
  emit: event => void stream.write(`${toWire(event)}\n`),
  close() {},
});

export const viewFor = (stream: NodeJS.WriteStream): View => (stream.isTTY && process.env['TERM'] !== 'dumb' ? terminalView(stream) : plainView(stream));

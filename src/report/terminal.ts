/** Gives every event its words, and shows them: live lines on a terminal, plain lines in a pipe, NDJSON for scripts. */
import {stripVTControlCharacters, styleText} from 'node:util';
import {createLogUpdate} from 'log-update';
import {toWire} from '../children/protocol.js';
import type {Emit, Event} from '../events.js';
import {printableMessage} from '../printable.js';
import {busiestPart, bytes, count, duration, percent, rate, takenWords} from '../words.js';
import {beside, widthOf} from './wrap.js';

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

/**
 * A line that stays: a mark with the stage it is about, and what is said, which goes on below itself where the terminal
 * is narrow.
 */
export interface Line {
  readonly head: string;
  readonly text: string;
}

/** Null: the event is shown only while it is the latest, or not at all. */
export function lasting(event: Event, paint: Paint): Line | null {
  const line = (head: string, text: string): Line => ({head, text});
  const dim = (head: string, text: string): Line => ({head: paint('dim', head), text: paint('dim', text)});
  const about = (stage: string | null): string => (stage === null ? '' : `${name(stage)} `);
  switch (event.type) {
    case 'run_started':
      return line(
        '',
        `${paint('bold', `[${event.position} of ${event.total}] ${event.run}`)}${event.secondsLeft === null || event.secondsLeft === 0 ? '' : paint('dim', `, about ${duration(event.secondsLeft)} left`)}`,
      );
    case 'run_failed':
      return line(`${paint('red', 'x')} `, `${event.run} failed: ${safe(event.message)}`);
    case 'started':
      return line(
        '',
        `${paint('bold', `pupil ${event.run}`)} ${paint('dim', `in ${safe(event.home)} on ${event.device}`)}`,
      );
    case 'stage_fresh':
      return dim(`= ${about(event.stage)}`, `fresh: ${safe(event.reason)}`);
    case 'stage_taken':
      return dim(`= ${about(event.stage)}`, `taken ${takenWords(event.from)}`);
    case 'stage_skipped':
      return line(`${paint('green', '-')} ${about(event.stage)}`, `skipped: ${safe(event.reason)}`);
    case 'stage_started':
      return dim(`> ${about(event.stage)}`, safe(event.reason));
    case 'stage_finished':
      return line(
        `${paint('green', '+')} ${about(event.stage)}`,
        `${safe(event.summary)} ${paint('dim', `(${duration(event.seconds)})`)}`,
      );
    case 'dataset_started':
      return line(
        '',
        [
          `${paint('bold', event.title)}: ${event.contents}`,
          ...[`from ${event.address} (${bytes(event.bytes)})`, `into ${safe(event.path)}`, event.terms].map(
            text => `  ${paint('dim', text)}`,
          ),
        ].join('\n'),
      );
    case 'dataset_ready':
      return event.status === 'fetched'
        ? line(`${paint('green', '+')} `, `${event.dataset}: ${safe(event.path)}`)
        : dim('= ', `${event.dataset} is there: ${safe(event.path)}`);
    case 'note':
      return dim(`  ${about(event.stage)}`, safe(event.message));
    case 'warning':
      return line(`${paint('yellow', '!')} ${about(event.stage)}`, safe(event.message));
    case 'failed':
      return line(`${paint('red', 'x')} `, safe(event.message));
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

/**
 * A line about work under way, in parts, the weightiest first: a narrow terminal leaves out the last. A newer one takes
 * its place. Null for events that do not move anything.
 */
export function moving(event: Event, left: string | null = null): readonly string[] | null {
  const present = (parts: readonly (string | null)[]): readonly string[] => parts.filter(part => part !== null);
  switch (event.type) {
    case 'progress': {
      const {done, total, imagesPerSecond} = event;
      const share = total === null || total === 0 ? '' : ` of ${count(total)} (${Math.floor((100 * done) / total)} %)`;
      const rest =
        total === null || imagesPerSecond === 0 ? null : `${duration((total - done) / imagesPerSecond)} left`;
      return present([
        `${of(event)} ${count(done)}${share} images`,
        rest,
        `${rate(imagesPerSecond)}/s`,
        event.busy ? busiestPart(event.busy) : null,
      ]);
    }
    case 'step': {
      const {epoch, step, totalSteps, loss, imagesPerSecond} = event;
      return present([
        `${of(event)} step ${count(step)} of ${count(totalSteps)} (${Math.floor((100 * step) / totalSteps)} %)`,
        left,
        `loss ${loss.toFixed(3)}`,
        `epoch ${epoch}`,
        `${rate(imagesPerSecond)} images/s`,
      ]);
    }
    case 'dataset_progress': {
      const {dataset, part, done, total, unit, perSecond} = event;
      const amount = unit === 'bytes' ? bytes : (value: number) => `${count(value)} files`;
      const share = total === null ? '' : ` of ${amount(total)} (${Math.floor((100 * done) / total)} %)`;
      const rest = total === null || perSecond === 0 ? null : `${duration((total - done) / perSecond)} left`;
      return present([
        `${dataset}: ${part}, ${amount(done)}${share}`,
        rest,
        `${unit === 'bytes' ? bytes(perSecond) : rate(perSecond)}/s`,
      ]);
    }
    case 'evaluated':
      return [`${of(event)} epoch ${event.epoch}`, `validation top-1 ${percent(event.top1)}`];
    case 'run_started':
    case 'run_failed':
    case 'started':
    case 'stage_fresh':
    case 'stage_taken':
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

/** Time left of a training, from how far it came since it (re)started; null while that is not known. */
function timeLeft() {
  let first: {step: number; at: number} | null = null;
  let key = '';
  return (event: Event): string | null => {
    if (event.type !== 'step') return null;
    const now = performance.now();
    const of = `${event.stage} ${event.part}`;
    if (key !== of || first === null || event.step < first.step) {
      key = of;
      first = {step: event.step, at: now};
      return null;
    }
    if (event.step === first.step) return null;
    return `${duration(((event.totalSteps - event.step) * (now - first.at)) / 1000 / (event.step - first.step))} left`;
  };
}

/** As many of the parts as fit into the width, whole; the first alone is cut. */
function fit([first = '', ...others]: readonly string[], width: number): string {
  let text = first.length <= width ? first : `${first.slice(0, width - 3)}...`;
  for (const part of others) {
    if (text.length + 2 + part.length > width) break;
    text += `, ${part}`;
  }
  return text;
}

/** Live lines: what is done stands, what moves is redrawn below it and fits the terminal's width. */
export function terminalView(stream: NodeJS.WriteStream, stopping?: AbortSignal): View {
  const paint = painter(stream);
  const left = timeLeft();
  const live = createLogUpdate(stream);
  let accuracy: string | null = null;
  // Whoever hears of a stop writes it below; the next line that moves would else be drawn over that.
  const makeRoom = () => live.clear();
  stopping?.addEventListener('abort', makeRoom);
  return {
    emit(event) {
      const line = lasting(event, paint);
      if (event.type === 'stage_started') accuracy = null;
      if (event.type === 'evaluated') accuracy = `validation ${percent(event.top1)}`;
      if (line !== null) {
        live.clear();
        stream.write(`${beside(line.head, line.text, widthOf(stream))}\n`);
        return;
      }
      const parts = event.type === 'evaluated' ? null : moving(event, left(event));
      if (parts === null) return;
      const [first = '', ...others] =
        event.type === 'step' && accuracy !== null ? [...parts.slice(0, -2), accuracy, ...parts.slice(-2)] : parts;
      live(fit([`~ ${first}`, ...others], widthOf(stream) - 1));
    },
    close() {
      stopping?.removeEventListener('abort', makeRoom);
      live.clear();
      live.done();
    },
  };
}

/** Plain lines: everything lasting, every validation accuracy, and now and then how far the work is. */
export function plainView(stream: NodeJS.WriteStream): View {
  const paint: Paint = (_, text) => text;
  const left = timeLeft();
  let lastShown = -Infinity;
  return {
    emit(event) {
      const line = lasting(event, paint);
      const rest = left(event);
      if (line !== null) stream.write(`${line.head}${line.text}\n`);
      else if (event.type === 'evaluated' || performance.now() - lastShown >= PLAIN_INTERVAL_MS) {
        const parts = moving(event, rest);
        if (parts === null) return;
        if (event.type !== 'evaluated') lastShown = performance.now();
        stream.write(`~ ${parts.join(', ')}\n`);
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

/** `stopping` aborts when a stop is asked for. */
export const viewFor = (stream: NodeJS.WriteStream, stopping?: AbortSignal): View =>
  stream.isTTY && process.env['TERM'] !== 'dumb' ? terminalView(stream, stopping) : plainView(stream);

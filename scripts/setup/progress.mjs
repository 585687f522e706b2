// Shows that set-up is alive: what is under way and for how long, redrawn every second in one line on a terminal, as a
// plain line every 15 seconds elsewhere.

const REDRAWN_MS = 1000;
const PLAIN_MS = 15_000;

const clock = ms => `${Math.floor(ms / 60_000)}:${String(Math.floor(ms / 1000) % 60).padStart(2, '0')}`;

/** Begins to show; `end` it, or it goes on for ever. */
export function showProgress(stream) {
  const started = performance.now();
  /** What runs side by side, by name, with what each is doing at the moment. */
  const running = new Map();
  const terminal = stream.isTTY === true;
  let drawn = false;
  const erase = () => {
    if (drawn) stream.write('\r\x1b[K');
    drawn = false;
  };
  const show = () => {
    erase();
    if (running.size === 0) return;
    const tasks = [...running].map(([name, doing]) => (doing === '' ? name : `${name} (${doing})`)).join(' | ');
    const line = `setup: ${clock(performance.now() - started)} ${tasks}`;
    if (terminal) stream.write(line.slice(0, (stream.columns || 80) - 1));
    else stream.write(`${line}\n`);
    drawn = terminal;
  };
  const timer = setInterval(show, terminal ? REDRAWN_MS : PLAIN_MS);
  return {
    /** A line that stays. */
    say(text) {
      erase();
      stream.write(`setup: ${text}\n`);
    },
    begin(name) {
      running.set(name, '');
    },
    /** What the task is doing now. */
    doing(name, action) {
      if (running.has(name)) running.set(name, action);
    },
    done(name) {
      erase();
      running.delete(name);
    },
    end() {
      clearInterval(timer);
      erase();
    },
  };
}

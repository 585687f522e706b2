/** Lets work run side by side, but for some that must be alone. */

export interface Turns {
  /** Starts the work at once, or once none is or waits to be alone. */
  beside: <T>(work: () => Promise<T>) => Promise<T>;
  /** Starts the work once no other is running; what comes meanwhile waits. */
  alone: <T>(work: () => Promise<T>) => Promise<T>;
}

export function turns(): Turns {
  const running = new Set<Promise<unknown>>();
  /** Ends with the last work that is or waits to be alone. */
  let lastAlone: Promise<unknown> = Promise.resolve();
  return {
    async beside(work) {
      for (let before; before !== lastAlone;) {
        before = lastAlone;
        await before;
      }
      const result = work();
      running.add(result);
      try {
        return await result;
      } finally {
        running.delete(result);
      }
    },
    alone(work) {
      const before = lastAlone;
      const turn = (async () => {
        await before;
        await Promise.allSettled(running);
        return await work();
      })();
      lastAlone = turn.catch(() => {});
      return turn;
    },
  };
}

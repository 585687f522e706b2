// Preloaded into the orchestrator with --import: the clock on the wall was set back by a year.
const BACK_MS = 365 * 24 * 3600 * 1000;
const Real = Date;
globalThis.Date = class extends Real {
  constructor(...parts) {
    if (parts.length === 0) super(Real.now() - BACK_MS);
    else super(...parts);
  }

  static now() {
    return Real.now() - BACK_MS;
  }
};

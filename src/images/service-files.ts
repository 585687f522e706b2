/**
 * Files and folders that systems, NAS boxes and tools leave among pictures: no kind of source takes them for pictures.
 */

/**
 * In lower case. Hidden ones (a dot first) need no entry: `.DS_Store`, `._x.jpg`, `.git`, `.Spotlight-V100`,
 * `.Trashes`, `.ipynb_checkpoints`, `.@__thumb`.
 */
const serviceNames = new Set([
  // Windows.
  'thumbs.db',
  'ehthumbs.db',
  'ehthumbs_vista.db',
  'desktop.ini',
  '$recycle.bin',
  'system volume information',
  'autorun.inf',
  'wpsettings.dat',
  // macOS.
  '__macosx',
  'icon\\x0d',
  'network trash folder',
  'temporary items',
  // Linux.
  'lost+found',
  // Synology, QNAP, NetApp.
  '@eadir',
  '@tmp',
  '@sharebin',
  '#recycle',
  '#snapshot',
  '@recycle',
  '@recently-snapshot',
  '~snapshot',
  // Tools that look at pictures or at code.
  '__pycache__',
  'picasa.ini',
  'zbthumbnail.info',
  'pspbrwse.jbf',
]);

/** Whether a file or folder of this name (one part of a printable path) is hidden or a service's. */
export const isServiceName = (name: string): boolean =>
  (name.startsWith('.') && name !== '.' && name !== '..') || serviceNames.has(name.toLowerCase());

/** Whether any part of a relative printable path is such a name. */
export const isServicePath = (path: string): boolean => path.split('/').some(isServiceName);

/** Counts what a source leaves out, with one example for the note that tells of it. */
export class LeftOut {
  #count = 0;
  #example = '';

  add(name: string): void {
    if (this.#count++ === 0) this.#example = name;
  }

  /** `3 hidden or service files (such as @eaDir) left out`; nothing where nothing was. */
  note(one: string, many: string): string[] {
    return this.#count === 0
      ? []
      : [`${this.#count} ${this.#count === 1 ? one : many} (such as ${this.#example}) left out`];
  }
}

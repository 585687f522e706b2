/** Keeps the file that names the pictures in a decoder's hands. It outlives the process, should one of them kill it. */
import {closeSync, openSync, writeSync} from 'node:fs';
import type {PicturesInHand} from '../children/protocol.js';
import {systemCode} from '../errors.js';
import {WorkerFailure} from './failure.js';

/** Room for what is in hand, taken at once: no full disk comes between a picture and its name. */
const ROOM = 4096;

export type InHand = PicturesInHand[number];

export interface HandFile {
  /** Names a picture before it is decoded. */
  take: (key: string) => InHand;
  /** Notes that its time is up. */
  setLate: (picture: InHand, problem: NonNullable<InHand['problem']>) => void;
  putDown: (picture: InHand) => void;
  close: () => void;
}

function openWithRoom(path: string): number {
  try {
    const file = openSync(path, 'w');
    writeSync(file, '[]\n'.padEnd(ROOM));
    return file;
  } catch (error) {
    if (systemCode(error) === null) throw error;
    throw new WorkerFailure('disk-full', `${path} cannot be written (${systemCode(error)}).`, {cause: error});
  }
}

/**
 * Starts the file anew. Calls block: what they wrote is with the system when they return, and ten microseconds are
 * little beside a picture.
 */
export function openHandFile(path: string): HandFile {
  const pictures = new Set<InHand>();
  const file = openWithRoom(path);
  let isOpen = true;
  const write = () => {
    // A decoder that hung may end after all, when the number of the file is another's. The first line counts; behind it
    // may be the end of a longer one.
    if (isOpen) writeSync(file, `${JSON.stringify([...pictures])}\n`, 0);
  };
  return {
    take(key) {
      const picture: InHand = {key, problem: null};
      pictures.add(picture);
      write();
      return picture;
    },
    setLate(picture, problem) {
      picture.problem = problem;
      write();
    },
    putDown(picture) {
      pictures.delete(picture);
      write();
    },
    close() {
      isOpen = false;
      closeSync(file);
    },
  };
}

/**
 * Finds pictures that show what a held-out one shows: the same file in another size, format or quality. Crops, mirror
 * images and other views of the same thing are other pictures.
 *
 * Two steps, as looking at every held-out picture would take too long. Pictures are candidates where, in a grid of 9 x
 * 9 mean brightnesses, one row or column rises and falls alike (difference hashes, which survive scaling and
 * compression, piece by piece). Of those, the ones are alike whose 8 x 8 mean colours differ by little.
 */
const CHANNELS = 3;
/** In each direction, at least, where there are so many. */
const PIXELS_OF_CELL = 8;
const GRID = 9;
const COLOURS = 8;
const COLOUR_VALUES = COLOURS * COLOURS * CHANNELS;
/** A row or column of the grid: 8 differences in a byte. */
const HASHES = 2 * GRID;
/**
 * Difference of two pictures' colours, as a share of how much those of the held-out one vary, up to which they are
 * alike: on pictures with little in them, little is a lot. Of 259 photographs it finds 257 at half of their size, 256
 * at a quarter and 259 as JPEG of quality 30, and takes none for another; of CIFAR-100's training pictures 45 look so
 * like one of its test set, some 40 of them the same photograph (120 at 0.2, a quarter of them only alike).
 */
const ALIKE = 0.15;

/**
 * Means of the channels over a grid of `side` x `side` cells of a square picture, float32 [side, side, 3], of some of
 * the pixels where there are many.
 */
function meanColours(pixels: Uint8Array, size: number, side: number): Float32Array {
  const step = Math.max(1, Math.floor(size / (side * PIXELS_OF_CELL)));
  const means = new Float32Array(side * side * CHANNELS);
  const edge = (cell: number) => Math.floor((cell * size) / side);
  for (let row = 0, at = 0; row < side; row++) {
    for (let column = 0; column < side; column++, at += CHANNELS) {
      const [top, bottom, left, right] = [
        edge(row),
        Math.max(edge(row + 1), edge(row) + 1),
        edge(column),
        Math.max(edge(column + 1), edge(column) + 1),
      ];
      let [red, green, blue, count] = [0, 0, 0, 0];
      for (let y = top; y < bottom; y += step) {
        for (let x = left; x < right; x += step) {
          const i = (y * size + x) * CHANNELS;
          red += pixels[i]!;
          green += pixels[i + 1]!;
          blue += pixels[i + 2]!;
          count++;
        }
      }
      means[at] = red / count;
      means[at + 1] = green / count;
      means[at + 2] = blue / count;
    }
  }
  return means;
}

/** How much the colours vary: the sum of their distances from the mean of their channel. */
function deviation(colours: Float32Array): number {
  const mean = new Float32Array(CHANNELS);
  colours.forEach((value, at) => (mean[at % CHANNELS]! += value / (COLOURS * COLOURS)));
  return colours.reduce((sum, value, at) => sum + Math.abs(value - mean[at % CHANNELS]!), 0);
}

/** One byte for each row and column of the grid: where brightness rises from one cell to the next. */
function differenceHashes(pixels: Uint8Array, size: number): Uint8Array {
  const means = meanColours(pixels, size, GRID);
  const brightness = (row: number, column: number) => {
    const at = (row * GRID + column) * CHANNELS;
    return 0.299 * means[at]! + 0.587 * means[at + 1]! + 0.114 * means[at + 2]!;
  };
  const hashes = new Uint8Array(HASHES);
  for (let line = 0; line < GRID; line++) {
    for (let cell = 0; cell + 1 < GRID; cell++) {
      if (brightness(line, cell) < brightness(line, cell + 1)) hashes[line]! |= 1 << cell;
      if (brightness(cell, line) < brightness(cell + 1, line)) hashes[GRID + line]! |= 1 << cell;
    }
  }
  return hashes;
}

/** The held-out pictures, as small as they can be told apart: about a kilobyte each. */
export class Lookalikes {
  readonly #names: string[] = [];
  /** Sum of the differences up to which a picture is alike. */
  readonly #most: number[] = [];
  #colours = new Float32Array(0);
  /** By line of the grid and its hash: the pictures that have it. */
  readonly #having: number[][] = Array.from({length: HASHES * 256}, () => []);

  /** Remembers a square picture, uint8 [size, size, 3], under a name. */
  add(name: string, pixels: Uint8Array, size: number): void {
    const number = this.#names.push(name) - 1;
    if (this.#colours.length < this.#names.length * COLOUR_VALUES) {
      const larger = new Float32Array(Math.max(1024, 2 * this.#names.length) * COLOUR_VALUES);
      larger.set(this.#colours);
      this.#colours = larger;
    }
    const colours = meanColours(pixels, size, COLOURS);
    this.#colours.set(colours, number * COLOUR_VALUES);
    this.#most.push(ALIKE * deviation(colours));
    differenceHashes(pixels, size).forEach((hash, line) => this.#having[line * 256 + hash]!.push(number));
  }

  /** The name of the picture that looks most like this one, if any does. */
  find(pixels: Uint8Array, size: number): string | null {
    const colours = meanColours(pixels, size, COLOURS);
    const seen = new Set<number>();
    let [best, least] = [-1, 1];
    differenceHashes(pixels, size).forEach((hash, line) => {
      for (const number of this.#having[line * 256 + hash]!) {
        if (seen.has(number)) continue;
        seen.add(number);
        const most = this.#most[number]!;
        const difference = this.#difference(number, colours, most * least) / most;
        if (difference < least) [best, least] = [number, difference];
      }
    });
    return this.#names[best] ?? null;
  }

  /** Sum of the differences of two pictures' colours, as far as it stays below `enough`. */
  #difference(number: number, colours: Float32Array, enough: number): number {
    let sum = 0;
    for (let i = 0, at = number * COLOUR_VALUES; i < COLOUR_VALUES && sum < enough; i++)
      sum += Math.abs(this.#colours[at + i]! - colours[i]!);
    return sum;
  }
}

/** The few SVG elements that the pictures are made of. A fragment's coordinates run from -50 to 50, y downwards. */

/** Presentation attributes of an element: `fill="..." stroke="..."`. */
export type Ink = string;

type Point = readonly [x: number, y: number];

export const path = (ink: Ink, d: string) => `<path ${ink} d="${d}"/>`;

export const polygon = (ink: Ink, ...corners: Point[]) => `<polygon ${ink} points="${corners.join(' ')}"/>`;

export const ellipse = (ink: Ink, x: number, y: number, rx: number, ry = rx) =>
  `<ellipse ${ink} cx="${x}" cy="${y}" rx="${rx}" ry="${ry}"/>`;

/** A box from its upper left corner. */
export const box = (ink: Ink, x: number, y: number, width: number, height: number, rounding = 0) =>
  `<rect ${ink} x="${x}" y="${y}" width="${width}" height="${height}" rx="${rounding}"/>`;

/** A fragment placed anew; `transform` is SVG's own list, applied from the right. */
export const placed = (transform: string, ...fragments: string[]) =>
  `<g transform="${transform}">${fragments.join('')}</g>`;

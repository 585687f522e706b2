/**
 * One picture of the demo as an SVG document: a background, clutter, a thing somewhere, and perhaps something in front
 * of it.
 */
import type {Draw, Inks} from './kinds.js';
import type {Random} from './random.js';
import {box, ellipse, path, placed, polygon, type Ink} from './svg.js';

/** A colour as hue (degrees), saturation and lightness (percent). */
interface Colour {
  hue: number;
  saturation: number;
  lightness: number;
}

const css = ({hue, saturation, lightness}: Colour) =>
  `hsl(${hue.toFixed(0)}, ${saturation.toFixed(0)}%, ${lightness.toFixed(0)}%)`;
const fill = (colour: Colour): Ink => `fill="${css(colour)}"`;
const anyColour = (random: Random): Colour => ({
  hue: random.between(0, 360),
  saturation: random.between(0, 90),
  lightness: random.between(12, 90),
});

/** A colour that stands out from another: at least `distance` percent lighter or darker. */
function contrasting(random: Random, from: Colour, distance: number): Colour {
  const [darker, lighter] = [Math.max(0, from.lightness - distance - 8), Math.max(0, 96 - distance - from.lightness)];
  const place = random.between(0, darker + lighter);
  return {...anyColour(random), lightness: place < darker ? 8 + place : from.lightness + distance + place - darker};
}

/** The background's fill, and a colour that stands for it when other colours are chosen. */
function background(random: Random): {ground: Colour; fragment: string} {
  const ground = anyColour(random);
  const hue = ground.hue + random.between(-60, 60);
  const near = {...ground, hue, lightness: Math.min(95, Math.max(5, ground.lightness + random.between(-18, 18)))};
  const everywhere = (ink: Ink) => box(ink, -80, -80, 160, 160);
  const plain = everywhere(fill(ground));
  const patterns = {
    plain: () => plain,
    gradient: () => {
      const stops = `<stop stop-color="${css(ground)}"/><stop offset="1" stop-color="${css(near)}"/>`;
      const gradient = `<linearGradient id="sky" gradientTransform="rotate(${random.between(0, 90)})">${stops}</linearGradient>`;
      return gradient + everywhere('fill="url(#sky)"');
    },
    stripes: () => {
      const width = random.between(5, 22);
      const stripes = random.several(Math.ceil(160 / width / 2), index =>
        box(fill(near), -80, -80 + index * width * 2, 160, width),
      );
      return plain + placed(`rotate(${random.between(0, 180)})`, ...stripes);
    },
    horizon: () =>
      plain + placed(`rotate(${random.between(-12, 12)})`, box(fill(near), -80, random.between(-10, 35), 160, 120)),
    blotches: () => {
      const [place, radius] = [() => random.between(-50, 50), () => random.between(6, 26)];
      return (
        plain +
        random.several(random.whole(4, 9), () => ellipse(fill(near), place(), place(), radius(), radius())).join('')
      );
    },
  };
  return {ground, fragment: random.pick(Object.values(patterns))()};
}

/** The colours and the manner in which a thing is drawn: filled, filled with an outline, or only its lines. */
function inksAgainst(random: Random, ground: Colour): Inks {
  const body = contrasting(random, ground, 22);
  const accent = random.chance(0.25) ? body : contrasting(random, ground, 12);
  const detail = contrasting(random, body, 25);
  const width = random.between(3, 6);
  const pen = (colour: Colour, thickness = width): Ink =>
    `stroke="${css(colour)}" stroke-width="${thickness}" stroke-linejoin="round" stroke-linecap="round"`;
  const line = `fill="none" ${pen(random.chance(0.5) ? body : contrasting(random, ground, 25))}`;
  const manners = {
    filled: () => ({body: fill(body), accent: fill(accent), detail: fill(detail), line}),
    outlined: () => {
      const outline = pen(contrasting(random, body, 30), 3);
      return {body: `${fill(body)} ${outline}`, accent: `${fill(accent)} ${outline}`, detail: fill(detail), line};
    },
    drawn: () => {
      const stroke = `fill="none" ${pen(body, random.between(4, 6))}`;
      return {body: stroke, accent: stroke, detail: stroke, line: stroke};
    },
  };
  return random.pick([manners.filled, manners.filled, manners.outlined, manners.drawn])();
}

/** Scraps that belong to nothing. */
function scrap(random: Random, reach: number): string {
  const ink = fill(anyColour(random));
  const size = random.between(3, reach);
  const shapes = [
    () => ellipse(ink, 0, 0, size, size * random.between(0.3, 1)),
    () => box(ink, -size, -size / 3, size * 2, size * random.between(0.3, 1)),
    () => polygon(ink, [-size, size], [0, -size], [size, size * random.between(0, 1)]),
    () => {
      const pen = `fill="none" stroke="${css(anyColour(random))}" stroke-width="${random.between(2, 5)}"`;
      return path(pen, `M${-size * 2} 0 q${size} ${-size} ${size * 2} 0 t${size * 2} 0`);
    },
  ];
  return placed(
    `translate(${random.between(-50, 50)} ${random.between(-50, 50)}) rotate(${random.between(0, 360)})`,
    random.pick(shapes)(),
  );
}

/** Where a thing stands in the picture, how large, and how far turned, mirrored and stretched. */
function pose(random: Random): string {
  const scale = random.between(0.55, 1.05);
  const slack = 50 * (1.12 - scale);
  const angle = random.chance(0.15) ? random.between(-90, 90) : random.between(-22, 22);
  return [
    `translate(${random.between(-slack, slack)} ${random.between(-slack, slack)})`,
    `rotate(${angle})`,
    `skewX(${random.between(-14, 14)})`,
    `scale(${scale * random.between(0.75, 1.15) * random.pick([-1, 1])} ${scale * random.between(0.8, 1.1)})`,
  ].join(' ');
}

/** The SVG document of one picture, `size` pixels a side, that shows the given thing. */
export function scene(random: Random, size: number, draw: Draw): string {
  const {ground, fragment} = background(random);
  const clutter = random.several(random.whole(0, 4), () => scrap(random, 12));
  const thing = placed(pose(random), draw(random, inksAgainst(random, ground)));
  const occluders = random.chance(0.35) ? random.several(random.whole(1, 3), () => scrap(random, 15)) : [];
  const content = [fragment, ...clutter, thing, ...occluders].join('');
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${size}" height="${size}" viewBox="-50 -50 100 100">${content}</svg>`;
}

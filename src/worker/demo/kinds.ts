/**
 * The kinds of things in the demo's pictures: a table of short functions, each of which draws one thing, never twice
 * alike.
 */
import type {Random} from './random.js';
import {box, ellipse, path, placed, polygon, type Ink} from './svg.js';

/** What a thing is drawn with: three fills and a pen. */
export interface Inks {
  body: Ink;
  accent: Ink;
  detail: Ink;
  line: Ink;
}

/** Draws a thing upright, about filling the square from -50 to 50. */
export type Draw = (random: Random, inks: Inks) => string;

/** Repeats a fragment around the origin, the first copy as it is. */
const around = (count: number, fragment: string) =>
  Array.from({length: count}, (_, index) => placed(`rotate(${(360 * index) / count})`, fragment)).join('');

/** A fragment and its mirror image. */
const mirrored = (fragment: string) => fragment + placed('scale(-1 1)', fragment);

const boat: Draw = (random, {body, accent, detail, line}) => {
  const bow = random.between(34, 46);
  const stern = random.between(28, 42);
  const deck = random.between(12, 20);
  const masthead = random.between(-46, -34);
  const boom = deck - random.between(4, 10);
  const hull = path(
    body,
    `M${-stern} ${deck} L${bow} ${deck} Q${bow - 12} ${deck + 24} ${bow - 24} ${deck + 22} L${8 - stern} ${deck + 22} Z`,
  );
  const [belly, clew] = [-random.between(4, 24), -random.between(24, 36)];
  const mainsail = path(accent, `M-2 ${masthead} Q${belly} ${(masthead + boom) / 2} ${clew} ${boom} L-2 ${boom} Z`);
  const jib = random.chance(0.7)
    ? polygon(detail, [3, masthead + random.between(2, 18)], [random.between(20, 34), boom], [3, boom])
    : '';
  const pennant = random.chance(0.3) ? polygon(body, [0, masthead - 4], [14, masthead], [0, masthead + 5]) : '';
  const waves = random.chance(0.5) ? path(line, 'M-48 42 q8 -8 16 0 t16 0 t16 0 t16 0 t16 0 t16 0') : '';
  return path(line, `M0 ${masthead} L0 ${deck}`) + mainsail + jib + pennant + hull + waves;
};

const car: Draw = (random, {body, accent, detail}) => {
  const roof = random.between(-26, -14);
  const hood = random.between(-4, 4);
  const tail = random.pick([-44, -36, -24]);
  const front = random.between(8, 26);
  const wheel = random.between(8, 12);
  const cabin = polygon(
    body,
    [tail, hood + 1],
    [tail + random.between(2, 10), roof],
    [front - random.between(4, 14), roof],
    [front + 6, hood + 1],
  );
  const window = (from: number, to: number) =>
    polygon(detail, [from, hood - 2], [from + 3, roof + 4], [to - 4, roof + 4], [to, hood - 2]);
  const middle = (tail + front) / 2 + random.between(-5, 5);
  const axle = 18 + random.between(0, 3);
  const wheels = [-random.between(22, 28), random.between(22, 28)].map(
    x => ellipse(accent, x, axle, wheel) + ellipse(detail, x, axle, wheel / 2.4),
  );
  const lamp = random.chance(0.6) ? ellipse(detail, 41, hood + 7, 3, 3.5) : '';
  const windows = window(tail + 6, middle - 1) + window(middle + 2, front + 2);
  const chassis = box(body, -46, hood, 92, 19 - hood, random.between(3, 9));
  return cabin + windows + chassis + lamp + wheels.join('');
};

const catFace: Draw = (random, {body, accent, detail, line}) => {
  const [width, height] = [random.between(30, 40), random.between(26, 34)];
  const tip = random.between(-48, -38);
  const ear = polygon(body, [-width + 1, 4], [-width * random.between(0.75, 1), tip], [-4, -height + 12]);
  const inner = random.chance(0.6)
    ? polygon(accent, [-width + 7, -10], [-width * 0.82, tip + 10], [-14, -height + 14])
    : '';
  const eye = ellipse(detail, -14, 2, random.between(3.5, 6.5), random.between(4, 8));
  const whiskers = path(line, `M-12 18 L-46 ${random.between(8, 16)} M-12 22 L-46 ${random.between(22, 30)}`);
  const nose = polygon(accent, [-5, 14], [5, 14], [0, 20]);
  const mouth = path(line, 'M0 20 v4 m-8 0 q4 5 8 0 q4 5 8 0');
  return mirrored(ear + inner) + ellipse(body, 0, 8, width, height) + mirrored(eye + whiskers) + nose + mouth;
};

const sittingCat: Draw = (random, {body, accent, detail, line}) => {
  const [hip, chest] = [random.between(20, 28), random.between(9, 14)];
  const bend = `${random.between(30, 50)} ${random.between(0, 20)}`;
  const tail = path(line, `M${hip - 6} 40 C52 46 ${bend} ${random.between(28, 46)} ${random.between(-20, 0)}`);
  const haunches = `Q${-hip} 46 0 46 Q${hip} 46 ${hip} 34`;
  const trunk = path(
    body,
    `M${-chest} -12 C${-chest - 4} 10 ${-hip} 16 ${-hip} 34 ${haunches} C${hip} 10 ${chest} 4 ${chest} -12 Z`,
  );
  const head = random.between(14, 18);
  const ears = [-1, 1].map(side =>
    polygon(body, [side * head, -24], [side * head * 0.9, random.between(-50, -45)], [side * 2, -38]),
  );
  const face =
    [-1, 1].map(side => ellipse(detail, side * 6, -26, 2.6, 3.4)).join('') +
    polygon(accent, [-3, -20], [3, -20], [0, -16]);
  return (
    tail + trunk + ears.join('') + ellipse(body, 0, -24, head, head - 2) + face + path(line, 'M-8 44 V24 M8 44 V24')
  );
};

const cat: Draw = (random, inks) => (random.chance(0.6) ? catFace : sittingCat)(random, inks);

const cup: Draw = (random, {body, accent, detail, line}) => {
  const rim = random.between(22, 32);
  const foot = rim * random.between(0.45, 1);
  const top = random.between(-28, -6);
  const bottom = random.between(26, 34);
  const handle = path(
    line,
    `M${rim - 2} ${top + 7} C${rim + 24} ${top + 2} ${rim + 22} ${bottom - 4} ${(rim + foot) / 2 - 3} ${bottom - 9}`,
  );
  const side = path(
    body,
    `M${-rim} ${top} Q${-rim} ${bottom} ${-foot} ${bottom} H${foot} Q${rim} ${bottom} ${rim} ${top} Z`,
  );
  const mouth = ellipse(detail, 0, top, rim, random.between(3, 8));
  const band = random.chance(0.4)
    ? box(accent, -rim * 0.9, (top + bottom) / 2 - 5, rim * 1.8, random.between(5, 10))
    : '';
  const saucer = random.chance(0.4) ? ellipse(accent, 0, bottom + 4, rim + 14, 6) : '';
  const steam = random.chance(0.4)
    ? path(line, `M-8 ${top - 6} q-6 -7 0 -13 t0 -12 M8 ${top - 6} q-6 -7 0 -13 t0 -12`)
    : '';
  return handle + saucer + side + band + mouth + steam;
};

const fish: Draw = (random, {body, accent, detail, line}) => {
  const [length, girth] = [random.between(26, 36), random.between(11, 25)];
  const fork = random.between(0, 12);
  const spread = random.between(12, 24);
  const tail = polygon(accent, [-length + 8, 0], [-48, -spread], [-48 + fork, 0], [-48, spread]);
  const dorsal = random.chance(0.7)
    ? path(accent, `M-12 ${-girth * 0.8} Q2 ${-girth - random.between(8, 20)} 14 ${-girth * 0.7} Z`)
    : '';
  const pectoral = random.chance(0.5) ? polygon(accent, [2, 3], [-10, random.between(10, 16)], [-8, 0]) : '';
  const trunk = path(body, `M${-length} 0 Q-4 ${-girth * 1.6} ${length + 8} 0 Q-4 ${girth * 1.6} ${-length} 0 Z`);
  const stripes = random.chance(0.4)
    ? [-12, -2, 8].map(x => box(detail, x, -girth * 0.6, 4, girth * 1.2)).join('')
    : '';
  const gill = random.chance(0.5) ? path(line, `M${length - 12} ${-girth * 0.5} q-7 ${girth * 0.5} 0 ${girth}`) : '';
  return (
    tail +
    dorsal +
    trunk +
    stripes +
    pectoral +
    gill +
    ellipse(detail, length - 4, -girth * 0.2, random.between(2.5, 4.5))
  );
};

const stalk: Draw = (random, {accent, line}) => {
  const bend = random.between(-14, 14);
  const leaf = (side: number) => {
    if (!random.chance(0.6)) return '';
    const [foot, tip] = [random.between(26, 38), side * random.between(16, 28)];
    return path(accent, `M0 ${foot} q${side * 10} -18 ${tip} -10 q${-side * 4} 12 ${-side * 16} 14 Z`);
  };
  return path(line, `M0 -10 Q${bend} 20 0 48`) + leaf(-1) + leaf(1);
};

const daisy: Draw = (random, {body, detail}) => {
  const [petals, reach] = [random.whole(5, 9), random.between(20, 28)];
  const petal = ellipse(body, 0, -reach * 0.62, (reach * random.between(1.5, 2.2)) / petals, reach * 0.5);
  return (
    placed(`rotate(${random.between(0, 72)})`, around(petals, petal)) +
    ellipse(detail, 0, 0, reach * random.between(0.25, 0.42))
  );
};

const tulip: Draw = (random, {body, accent}) => {
  const [width, tip] = [random.between(14, 20), random.between(-24, -16)];
  const tips = `M${-width} ${tip} L${-width / 3} -6 L0 ${tip + 6} L${width / 3} -6 L${width} ${tip}`;
  const petals = path(body, `${tips} Q${width + 4} 20 0 20 Q${-width - 4} 20 ${-width} ${tip} Z`);
  return polygon(accent, [-width / 2, 4], [0, tip - 4], [width / 2, 4]) + petals;
};

const flower: Draw = (random, inks) => {
  const bloom = random.chance(0.7) ? daisy : tulip;
  if (bloom === daisy && random.chance(0.3)) return placed(`scale(${random.between(1.4, 1.8)})`, daisy(random, inks));
  return stalk(random, inks) + placed('translate(0 -20)', bloom(random, inks));
};

const house: Draw = (random, {body, accent, detail, line}) => {
  const half = random.between(24, 38);
  const eaves = random.between(-14, 6);
  const ridge = eaves - random.between(18, 34);
  const hip = random.chance(0.35) ? half * random.between(0.3, 0.7) : 0;
  const overhang = random.between(2, 9);
  const roof = polygon(accent, [-half - overhang, eaves], [-hip, ridge], [hip, ridge], [half + overhang, eaves]);
  const chimney = random.chance(0.5) ? box(body, half * random.between(0.35, 0.65), ridge - 2, 8, eaves - ridge) : '';
  const door = random.between(-half + 5, half - 18);
  const pane = random.between(8, 13);
  const besideDoor = [-half + 5, -pane / 2, half - 5 - pane].filter(x => x + pane < door || x > door + 13);
  const windows = besideDoor.map(x => box(detail, x, eaves + 8, pane, pane));
  const ground = random.chance(0.3) ? path(line, 'M-48 44 H48') : '';
  const walls = box(body, -half, eaves, half * 2, 44 - eaves);
  return ground + chimney + walls + roof + box(detail, door, 44 - random.between(18, 26), 13, 26) + windows.join('');
};

const mushroom: Draw = (random, {body, accent, detail}) => {
  const cap = random.between(26, 44);
  const brim = random.between(-8, 8);
  const crown = brim - random.between(22, 46);
  const [neck, foot] = [random.between(6, 12), random.between(8, 17)];
  const stem = path(
    accent,
    `M${-neck} ${brim} Q${-neck} 24 ${-foot} 42 Q0 50 ${foot} 42 Q${neck} 24 ${neck} ${brim} Z`,
  );
  const dome = path(
    body,
    `M${-cap} ${brim} C${-cap} ${crown} ${cap} ${crown} ${cap} ${brim} Q0 ${brim + random.between(-4, 14)} ${-cap} ${brim} Z`,
  );
  const spot = (index: number) => {
    const x = cap * (index * 0.45 - 0.45 + random.between(-0.1, 0.1));
    return ellipse(detail, x, brim - random.between(7, 17), random.between(3, 7), random.between(3, 5));
  };
  return stem + dome + (random.chance(0.65) ? random.several(3, spot).join('') : '');
};

const conifer: Draw = (random, {body, accent}) => {
  const tiers = random.whole(2, 4);
  const width = random.between(20, 34);
  const tier = (index: number) => {
    const half = width * (0.55 + (0.45 * index) / tiers);
    const hem = -48 + (80 / tiers) * (index + 1);
    return polygon(body, [-half, hem], [0, -50 + (64 / tiers) * index], [half, hem]);
  };
  return box(accent, -4, 30, 8, 18) + random.several(tiers, tier).reverse().join('');
};

const broadleaf: Draw = (random, {body, accent, detail}) => {
  const trunk = random.between(4, 8);
  const leaves = random.several(random.whole(3, 6), () =>
    ellipse(body, random.between(-18, 18), random.between(-28, 0), random.between(14, 21)),
  );
  const fruit = random.chance(0.35)
    ? random.several(4, () => ellipse(detail, random.between(-20, 20), random.between(-34, 2), 3.5))
    : [];
  const wood = polygon(accent, [-trunk, 48], [-trunk * 0.6, -6], [trunk * 0.6, -6], [trunk, 48]);
  const crown = ellipse(body, 0, -14, random.between(18, 26), random.between(18, 30));
  return wood + crown + leaves.join('') + fruit.join('');
};

const palm: Draw = (random, {body, line}) => {
  const lean = random.between(-18, 18);
  const frond = (index: number) => {
    const angle = -100 + index * 40 + random.between(-12, 12);
    return placed(
      `translate(${lean} -22) rotate(${angle})`,
      path(body, `M0 3 Q16 -22 ${random.between(30, 38)} 4 Q16 -8 0 3 Z`),
    );
  };
  return path(line, `M0 48 Q${-lean / 2} 10 ${lean} -22`) + random.several(7, frond).join('');
};

const tree: Draw = (random, inks) => random.pick([conifer, broadleaf, broadleaf, palm])(random, inks);

const umbrella: Draw = (random, {body, accent, line}) => {
  const [span, top, brim] = [random.between(34, 46), random.between(-40, -26), random.between(-4, 8)];
  const [scallop, rise] = [span / 2, random.between(6, 14)];
  const edge = (step: number, count: number) => `q${step / 2} ${-rise} ${step} 0 `.repeat(count);
  const canopy = path(
    body,
    `M${-span} ${brim} C${-span * 0.9} ${top - 8} ${span * 0.9} ${top - 8} ${span} ${brim} ${edge(-scallop, 4)} Z`,
  );
  const middle = `M0 ${top} Q${-scallop} ${top + 8} ${-scallop} ${brim} ${edge(scallop, 2)} Q${scallop} ${top + 8} 0 ${top} Z`;
  const gore = random.chance(0.6) ? path(accent, middle) : '';
  const crook = random.between(8, 14) * random.pick([-1, 1]);
  return path(line, `M0 ${top - 8} V38 q0 9 ${crook / 2} 9 t${crook / 2} -9`) + canopy + gore;
};

/** The classes of the demo. */
export const kinds = {boat, car, cat, cup, fish, flower, house, mushroom, tree, umbrella} satisfies Record<
  string,
  Draw
>;

const star: Draw = (random, {body}) => {
  const [points, waist] = [random.whole(4, 7), random.between(0.35, 0.6)];
  const corner = (index: number): [number, number] => {
    const [angle, radius] = [(Math.PI * index) / points, index % 2 ? 44 * waist : 44];
    return [radius * Math.sin(angle), -radius * Math.cos(angle)];
  };
  return polygon(body, ...random.several(points * 2, corner));
};

const heart: Draw = (random, {body}) => {
  const lobe = random.between(-50, -36);
  return path(body, `M0 42 C-70 -4 -40 ${lobe} 0 -18 C40 ${lobe} 70 -4 0 42 Z`);
};

const cloud: Draw = (random, {body}) =>
  ellipse(body, 0, 8, 40, 15) +
  random.several(4, index => ellipse(body, -27 + index * 18, random.between(-10, 2), random.between(12, 18))).join('');

const key: Draw = (random, {body, detail}) => {
  const bow = random.between(13, 19);
  const bit = box(body, 28, 0, 6, random.between(10, 18)) + box(body, 38, 0, 6, random.between(8, 18));
  return box(body, 0, -4, 46, 8) + bit + ellipse(body, -20, 0, bow) + ellipse(detail, -20, 0, bow / 2);
};

const bottle: Draw = (random, {body, accent, detail}) => {
  const [half, neck] = [random.between(12, 20), random.between(4, 7)];
  const glass = path(body, `M${-neck} -36 V-18 Q${-half} -8 ${-half} 4 V46 H${half} V4 Q${half} -8 ${neck} -18 V-36 Z`);
  return glass + box(accent, -half, 10, half * 2, random.between(10, 22)) + box(detail, -neck, -46, neck * 2, 10);
};

const balloon: Draw = (random, {body, line}) => {
  const string = path(line, `M0 16 q${random.between(-16, 16)} 14 0 32`);
  return string + ellipse(body, 0, -16, random.between(22, 32), 32) + polygon(body, [-5, 22], [5, 22], [0, 14]);
};

const moon: Draw = (random, {body}) =>
  path(body, `M14 -44 A45 45 0 1 0 14 44 A${random.between(46, 70)} ${random.between(46, 70)} 0 0 1 14 -44 Z`);

const arrow: Draw = (random, {body}) => {
  const [shaft, barb, neck] = [random.between(5, 12), random.between(18, 34), random.between(-4, 18)];
  return polygon(
    body,
    [-46, -shaft],
    [neck, -shaft],
    [neck, -barb],
    [46, 0],
    [neck, barb],
    [neck, shaft],
    [-46, shaft],
  );
};

const envelope: Draw = (random, {body, line}) => {
  const half = random.between(22, 32);
  return box(body, -44, -half, 88, half * 2) + path(line, `M-44 ${-half} L0 ${random.between(-2, 12)} L44 ${-half}`);
};

const ladder: Draw = (random, {line}) => {
  const half = random.between(12, 20);
  const rungs = random.several(random.whole(4, 6), index => `M${-half} ${-36 + index * 15} H${half}`);
  return path(line, `M${-half} -48 V48 M${half} -48 V48 ${rungs.join(' ')}`);
};

const butterfly: Draw = (random, {body, accent, detail, line}) => {
  const forewing = ellipse(body, 20, -14, random.between(16, 24), random.between(14, 20));
  const hindwing = ellipse(accent, 15, 16, random.between(10, 17), random.between(10, 16));
  return path(line, 'M0 -20 L-9 -42 M0 -20 L9 -42') + mirrored(forewing + hindwing) + ellipse(detail, 0, 0, 4, 24);
};

const hourglass: Draw = (random, {body, accent}) => {
  const [half, waist] = [random.between(20, 30), random.between(2, 6)];
  const frame = [-46, 38].map(y => box(accent, -half - 5, y, half * 2 + 10, 8));
  return polygon(body, [-half, -40], [half, -40], [waist, 0], [half, 40], [-half, 40], [-waist, 0]) + frame.join('');
};

const scribble: Draw = (random, {line}) =>
  path(
    line,
    `M0 0 ${random.several(random.whole(3, 6), () => `S${random.several(4, () => random.between(-46, 46)).join(' ')}`).join(' ')}`,
  );

const shards: Draw = (random, {body, accent, detail}) => {
  const corner = () => [random.between(-46, 46), random.between(-46, 46)] as const;
  const shard = () => polygon(random.pick([body, accent, detail]), ...random.several(random.whole(3, 5), corner));
  return random.several(random.whole(2, 4), shard).join('');
};

/** Things of no class: a sixth of the unlabelled pictures shows one of these. */
export const others: readonly Draw[] = [
  star,
  heart,
  cloud,
  key,
  bottle,
  balloon,
  moon,
  arrow,
  envelope,
  ladder,
  butterfly,
  hourglass,
  scribble,
  shards,
];

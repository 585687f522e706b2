// Damages inputs as disks, networks, other programs and people do: bytes, lines of text, and values of parsed
// structures.

/** Numbers on the edges of what a field of 1, 2, 4 or 8 bytes, or a double, holds. */
const EDGES = [
  0n,
  1n,
  2n,
  127n,
  128n,
  255n,
  256n,
  32767n,
  32768n,
  65535n,
  65536n,
  2147483647n,
  2147483648n,
  4294967295n,
  4294967296n,
  9007199254740991n,
  9007199254740993n,
  9223372036854775807n,
  18446744073709551615n,
];

const LONG = 20_000;
const DEEP = 3000;

/** Words that mean something to one reader or another. */
const WORDS = [
  '',
  '-1',
  '0',
  '1e999',
  '-0',
  'NaN',
  '.inf',
  'null',
  '~',
  'true',
  'yes',
  'no',
  '0x10',
  '010',
  '1_000',
  '9007199254740993',
  '1e-400',
  '18446744073709551616',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '../../../../fuzz-outside',
  '/etc/passwd',
  'C:\\a',
  'a/./b//c',
  '.',
  '..',
  '~/a',
  '$HOME',
  '%s%n',
  '{0..3}.tar',
  '\u001b[31mred',
  '\u0000',
  'a\nb',
  'a\r\nb',
  '\t',
  '\u202eabc',
  '\ufeff',
  '\u2028',
  'e\u0301',
  '\u00e9',
  '\ud83d\ude00',
  '\ud800',
  '=1+1',
  '"',
  "'",
  '`',
  ',',
  ';',
  ':',
  '#',
  '&a',
  '*a',
  '!!js/function',
  '<<',
  '|',
  '>',
  '%',
  '@',
  '?split=test',
  'cifar10:',
];

export const word = random => (random.below(40) === 0 ? 'x'.repeat(LONG) : random.pick(WORDS));

/** A place in `length` bytes; headers and trailers, where formats keep what they count with, come up often. */
function place(random, length) {
  const near = Math.min(length, 256);
  const kind = random.below(4);
  if (kind === 0) return random.below(Math.max(1, near));
  if (kind === 1) return Math.max(0, length - 1 - random.below(Math.max(1, near)));
  return random.below(Math.max(1, length));
}

function integer(random) {
  const edge = random.pick(EDGES);
  const size = random.pick([1, 2, 4, 8]);
  const field = Buffer.alloc(8);
  field.writeBigUInt64LE(BigInt.asUintN(64, edge));
  const bytes = field.subarray(0, size);
  return random.below(2) === 0 ? bytes : Buffer.from(bytes).reverse();
}

const noise = (random, length) => Buffer.from(Array.from({length}, () => random.below(256)));

/** Each takes bytes that it may overwrite, and gives those that come of it. */
const damages = [
  (random, bytes) => {
    const at = place(random, bytes.length);
    if (bytes.length > 0) bytes[at] ^= 1 << random.below(8);
    return bytes;
  },
  (random, bytes) => {
    if (bytes.length > 0) bytes[place(random, bytes.length)] = random.below(256);
    return bytes;
  },
  (random, bytes) => {
    const at = place(random, bytes.length);
    return bytes.fill(random.pick([0, 255, random.below(256)]), at, Math.min(bytes.length, at + 1 + random.below(64)));
  },
  (random, bytes) => bytes.subarray(0, place(random, bytes.length)),
  (random, bytes) => bytes.subarray(place(random, bytes.length)),
  (random, bytes) => {
    const at = place(random, bytes.length);
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random.below(64))]);
  },
  (random, bytes) => {
    const at = place(random, bytes.length);
    const piece = bytes.subarray(at, at + 1 + random.below(512));
    return Buffer.concat([
      bytes.subarray(0, at),
      ...Array.from({length: 1 + random.below(4)}, () => piece),
      bytes.subarray(at),
    ]);
  },
  (random, bytes) => {
    const at = place(random, bytes.length);
    return Buffer.concat([bytes.subarray(0, at), noise(random, 1 + random.below(32)), bytes.subarray(at)]);
  },
  (random, bytes) => {
    const field = integer(random);
    field.copy(bytes, Math.min(place(random, bytes.length), Math.max(0, bytes.length - field.length)));
    return bytes;
  },
  (random, bytes, other) =>
    Buffer.concat([bytes.subarray(0, place(random, bytes.length)), other.subarray(place(random, other.length))]),
];

/** `bytes` with one to four damages, now and then with a piece of `other`. */
export function mutateBytes(random, bytes, other = bytes) {
  let made = Buffer.from(bytes);
  for (let left = 1 + random.below(4); left > 0; left--) made = random.pick(damages)(random, made, other);
  return made;
}

/** Each takes lines of text, and gives those that come of them. */
const rewritings = [
  (random, lines) => lines.toSpliced(random.below(lines.length), 1),
  (random, lines) => {
    const line = random.pick(lines);
    return lines.toSpliced(random.below(lines.length), 0, ...Array.from({length: 1 + random.below(20)}, () => line));
  },
  (random, lines) => {
    const [a, b] = [random.below(lines.length), random.below(lines.length)];
    return lines.with(a, lines[b]).with(b, lines[a]);
  },
  (random, lines) => changeLine(random, lines, line => ' '.repeat(random.below(8)) + line.trimStart()),
  (random, lines) =>
    changeLine(random, lines, line =>
      line.replace(/[^\s,:"[\]{}]+/g, token => (random.below(3) === 0 ? word(random) : token)),
    ),
  (random, lines) => changeLine(random, lines, line => line + word(random)),
  (random, lines) => changeLine(random, lines, () => word(random)),
  (random, lines) =>
    changeLine(
      random,
      lines,
      line => random.pick(['[', '{a: ', '{"a":', '- ', '"']).repeat(random.pick([1, 2, 50, DEEP])) + line,
    ),
  (random, lines) => lines.join(random.pick(['\r\n', '\r', '\u2028'])).split('\n'),
  (random, lines) => ['\ufeff' + (lines[0] ?? ''), ...lines.slice(1)],
];

function changeLine(random, lines, change) {
  const at = random.below(lines.length);
  return lines.with(at, change(lines[at]));
}

/** A text with one to three rewritings of lines; one in four gets damaged bytes on top, and so may be no UTF-8. */
export function mutateText(random, text) {
  let lines = text.split('\n');
  for (let left = 1 + random.below(3); left > 0; left--)
    lines = random.pick(rewritings)(random, lines.length === 0 ? [''] : lines);
  const bytes = Buffer.from(lines.join('\n'));
  return random.below(4) === 0 ? mutateBytes(random, bytes) : bytes;
}

function strangeValue(random) {
  const deep = () => Array.from({length: DEEP}).reduce(inner => (random.below(2) === 0 ? [inner] : {a: inner}), 0);
  return random.pick([
    () => null,
    () => random.below(2) === 0,
    () => word(random),
    () => Number(random.pick(EDGES)),
    () => -Number(random.pick(EDGES)),
    () => random.below(1000) / 7,
    () => [],
    () => ({}),
    () => [word(random), word(random)],
    () => ({[word(random)]: word(random)}),
    () => Array.from({length: 1000}, (_, index) => index),
    () => (random.below(10) === 0 ? deep() : [[[[]]]]),
  ])();
}

/** A parsed value with one to three of its parts exchanged, renamed, left out or added. */
export function mutateValue(random, value) {
  let made = value;
  for (let left = 1 + random.below(3); left > 0; left--) made = changeInside(random, made);
  return made;
}

function changeInside(random, value) {
  const keys = typeof value === 'object' && value !== null ? Object.keys(value) : [];
  if (keys.length === 0 || random.below(6) === 0) return strangeValue(random);
  const key = random.pick(keys);
  // Half of the time deeper: most of what is in a structure is.
  if (random.below(3) > 0) return assign(value, key, changeInside(random, value[key]));
  switch (random.below(4)) {
    case 0:
      return assign(value, key, strangeValue(random));
    case 1:
      if (Array.isArray(value)) return value.toSpliced(Number(key), 1);
      return Object.fromEntries(Object.entries(value).filter(([name]) => name !== key));
    case 2:
      if (Array.isArray(value)) return [...value, ...value];
      return Object.fromEntries(
        Object.entries(value).map(([name, item]) => [
          name === key ? random.pick([word(random), `${name}s`, name.toUpperCase()]) : name,
          item,
        ]),
      );
    default:
      return Array.isArray(value)
        ? [...value, strangeValue(random)]
        : assign(value, word(random), strangeValue(random));
  }
}

const assign = (value, key, item) =>
  Array.isArray(value)
    ? value.with(Number(key), item)
    : Object.fromEntries([...Object.entries(value).filter(([name]) => name !== key), [key, item]]);

/** JSON with strange values where they can be written; one in three is damaged as a text. */
export function mutateJson(random, value) {
  const text = JSON.stringify(mutateValue(random, value)) ?? '';
  return random.below(3) === 0 ? mutateText(random, text) : Buffer.from(text);
}

/**
 * The one decoder: bytes of an image to `size` x `size` RGB pixels, or the reason why not.
 *
 * The recipe is that of torchvision's Resize(resize, antialias) and CenterCrop(size) on a Pillow image, so that
 * networks trained elsewhere see what they were trained on; it stays within a few 1/255 of it. Upright by EXIF, alpha
 * on white, first frame, 8-bit sRGB without ICC conversion (Pillow converts none either), CMYK by Pillow's formula.
 *
 * An orientation that stands in XMP alone turns nothing: browsers and viewers ignore it, so nobody who labelled such a
 * picture saw it turned. EXIF that is damaged turns nothing either, and keeps no picture out: its pixels are taken as
 * they lie.
 */
import sharp, {type Sharp} from 'sharp';
import type {Decoding, Problem, QuarantineCode} from '../children/protocol.js';
import {CIFAR_PIXEL_BYTES} from './cifar.js';
import {headerSize, type Size} from './header-size.js';

type Format = Decoding['formats'][number];

const CHANNELS = 3;
const CIFAR_SIDE = 32;
/** A longer shape is no picture, and scaling its short side up would fill the memory. */
const MAX_ASPECT = 64;

// One thread for each image: parallelism comes from decoding several at once, which scales better and keeps memory in
// sight.
sharp.concurrency(1);
sharp.cache(false);
// Loaders of formats that no option allows (SVG, PDF, ...) cannot run, whatever a file pretends to be.
sharp.block({operation: ['VipsForeignLoad']});
sharp.unblock({operation: ['Jpeg', 'Png', 'Webp', 'Nsgif', 'Tiff', 'Heif'].map(loader => `VipsForeignLoad${loader}`)});

/**
 * `isHearsay`: the reason is in libvips' words. It keeps them in one buffer for the whole process, so where other
 * images were decoded at the same time they may be another's; alone, they are the image's own.
 */
export type DecodedImage = {pixels: Buffer; problem: null} | {pixels: null; problem: Problem; isHearsay?: true};

const refused = (code: QuarantineCode, detail: string): DecodedImage => ({pixels: null, problem: {code, detail}});

type Signature = (head: string) => boolean;
function begins(...starts: string[]): Signature {
  return head => starts.some(start => head.startsWith(start));
}

/** Images, and things that are taken for one, by their first bytes (as Latin-1). */
const signatures = {
  jpeg: begins('\xff\xd8\xff'),
  png: begins('\x89PNG\r\n\x1a\n'),
  webp: head => head.startsWith('RIFF') && head.startsWith('WEBP', 8),
  gif: begins('GIF87a', 'GIF89a'),
  tiff: begins('II*\0', 'MM\0*', 'II+\0', 'MM\0+'),
  avif: head => /^ftyp(avif|avis|mif1|miaf|heic|heix)/.test(head.slice(4)),
  svg: head => /^(\xef\xbb\xbf)?\s*(<\?xml[^]*|<!--[^]*|<!DOCTYPE svg[^]*)?<svg[\s>]/i.test(head),
  bmp: head => head.startsWith('BM') && head.startsWith('\0\0\0', 15),
  'jpeg-xl': begins('\xff\x0a', '\0\0\0\x0cJXL '),
  'jpeg-2000': begins('\0\0\0\x0cjP  ', '\xff\x4f\xff\x51'),
  pdf: begins('%PDF-'),
  psd: begins('8BPS'),
  ico: begins('\0\0\x01\0', '\0\0\x02\0'),
  netpbm: head => /^P[1-7]\s/.test(head),
} satisfies Record<string, Signature>;

/** The format that the first bytes announce; null for anything that is no image. */
export function sniffFormat(bytes: Buffer): string | null {
  const head = bytes.toString('latin1', 0, 1024);
  return Object.entries(signatures).find(([, matches]) => matches(head))?.[0] ?? null;
}

/** Whether a file ends before the mark that its format ends with. Bytes after the mark are common and harmless. */
function endsEarly(bytes: Buffer, format: Format): boolean {
  if (format === 'jpeg') return bytes.lastIndexOf('\xff\xd9', undefined, 'latin1') === -1;
  if (format === 'png') return bytes.lastIndexOf('IEND', undefined, 'latin1') === -1;
  if (format === 'webp') return bytes.length < 12 || bytes.readUInt32LE(4) + 8 > bytes.length;
  return format === 'gif' && bytes.at(-1) !== 0x3b;
}

/** The problem behind what sharp threw. libvips repeats its messages; the first line says it. */
function problemOf(error: unknown, bytes: Buffer, format: Format): DecodedImage {
  if (!(error instanceof Error)) throw error;
  const [message = ''] = error.message.replace(/^Input buffer has corrupt header: ?/, '').split('\n');
  const detail = `${format}: ${message.replace('Unknown error', '').trim() || 'cannot be decoded'}`;
  const isCut = endsEarly(bytes, format) || /premature end/i.test(message);
  const code = message.includes('exceeds pixel limit') ? 'TOO_MANY_PIXELS' : isCut ? 'TRUNCATED' : 'CORRUPT';
  return {pixels: null, problem: {code, detail}, isHearsay: true};
}

/** Python's round(): halves go to the even neighbour. CenterCrop's offsets depend on it. */
const roundHalfEven = (value: number) => (Math.abs(value % 1) === 0.5 ? 2 * Math.round(value / 2) : Math.round(value));

/** Resizes an upright image of `width` x `height` so that its short side is `resize`, and cuts the centre out. */
function resizeAndCrop(
  image: Sharp,
  width: number,
  height: number,
  {size, resize, shrinkOnLoad}: Pick<Decoding, 'size' | 'resize' | 'shrinkOnLoad'>,
): Sharp {
  const short = Math.min(width, height);
  const scaled = (side: number) => (side === short ? resize : Math.trunc((resize * side) / short));
  const [w, h] = [scaled(width), scaled(height)];
  if (w !== width || h !== height) image.resize(w, h, {fit: 'fill', kernel: 'linear', fastShrinkOnLoad: shrinkOnLoad});
  if (w !== size || h !== size)
    image.extract({left: roundHalfEven((w - size) / 2), top: roundHalfEven((h - size) / 2), width: size, height: size});
  return image;
}

/**
 * CMYK as Pillow makes red, green and blue of it, with or without a profile: each is what its ink and black let
 * through, (255 - C)(255 - K) / 255. The four inverted are a picture with an alpha channel, for on black alpha does to
 * a colour what black ink does.
 */
async function lightOfInks(image: Sharp, {width, height}: Size): Promise<Sharp> {
  const light = await image.pipelineColourspace('cmyk').toColourspace('cmyk').negate().raw({depth: 'uchar'}).toBuffer();
  return sharp(light, {raw: {width, height, channels: 4}});
}

async function decodeEncoded(bytes: Buffer, decoding: Decoding): Promise<DecodedImage> {
  const {formats, maxFileBytes, maxPixels} = decoding;
  if (bytes.length === 0) return refused('EMPTY_FILE', '0 bytes');
  if (bytes.length > maxFileBytes) return refused('FILE_TOO_LARGE', `${bytes.length} bytes; at most ${maxFileBytes}`);
  const sniffed = sniffFormat(bytes);
  if (sniffed === null)
    return refused('NOT_AN_IMAGE', `begins with ${JSON.stringify(bytes.toString('latin1', 0, 16))}`);
  const format = formats.find(allowed => allowed === sniffed);
  if (format === undefined) return refused('FORMAT_BLOCKED', `${sniffed}; allowed: ${formats.join(', ')}`);

  try {
    let size = headerSize(bytes, format);
    // `truncated`, the mildest level that is not blind: cut-off images are refused, harmless oddities (bytes before a
    // marker) are not.
    let image = sharp(bytes, {
      failOn: 'truncated',
      ignoreIcc: true,
      autoOrient: size === null,
      limitInputPixels: maxPixels,
      pages: 1,
    });
    let isCmyk = false;
    if (size === null) {
      const {format: found, autoOrient, space} = await image.metadata();
      if (found !== (format === 'avif' ? 'heif' : format))
        return refused('FORMAT_BLOCKED', `begins like ${format}, but reads as ${found}`);
      size = autoOrient;
      isCmyk = space === 'cmyk';
    }
    const {width, height} = size;
    if (width * height > maxPixels)
      return refused('TOO_MANY_PIXELS', `${width} x ${height}; at most ${maxPixels} pixels`);
    const [short, long] = [Math.min(width, height), Math.max(width, height)];
    if (short < 2 || long > MAX_ASPECT * short) return refused('DEGENERATE_SIZE', `${width} x ${height}`);

    if (isCmyk) image = await lightOfInks(image, size);
    const pixels = await resizeAndCrop(image, width, height, decoding)
      .flatten({background: isCmyk ? '#000000' : '#ffffff'})
      .toColourspace('srgb')
      .raw({depth: 'uchar'})
      .toBuffer();
    const expected = decoding.size ** 2 * CHANNELS;
    if (pixels.length !== expected)
      return refused('CORRUPT', `${format}: decodes to ${pixels.length} bytes; expected ${expected}`);
    return {pixels, problem: null};
  } catch (error) {
    return problemOf(error, bytes, format);
  }
}

/** Interleaves the red, green and blue planes of a 32x32 record. */
function interleave(planes: Buffer): Buffer {
  const pixels = Buffer.allocUnsafe(CIFAR_PIXEL_BYTES);
  const area = CIFAR_SIDE * CIFAR_SIDE;
  for (let i = 0, at = 0; i < area; i++) {
    pixels[at++] = planes[i] ?? 0;
    pixels[at++] = planes[area + i] ?? 0;
    pixels[at++] = planes[2 * area + i] ?? 0;
  }
  return pixels;
}

/**
 * Whether a 32x32 record has the size that is wanted: then it needs no sharp, which costs a thousand times what copying
 * 3 KB does.
 */
export const isCopied = ({size, resize}: Decoding): boolean => resize === CIFAR_SIDE && size === CIFAR_SIDE;

/** The pixels of a 32x32 record as they are. */
export const copyRecord = (planes: Buffer): DecodedImage =>
  planes.length === CIFAR_PIXEL_BYTES
    ? {pixels: interleave(planes), problem: null}
    : refused('BAD_RECORD', `${planes.length} bytes; a 32x32 image has ${CIFAR_PIXEL_BYTES}`);

async function decodeCifar(planes: Buffer, decoding: Decoding): Promise<DecodedImage> {
  const copied = copyRecord(planes);
  if (copied.pixels === null || isCopied(decoding)) return copied;
  const image = sharp(copied.pixels, {raw: {width: CIFAR_SIDE, height: CIFAR_SIDE, channels: CHANNELS}});
  return {pixels: await resizeAndCrop(image, CIFAR_SIDE, CIFAR_SIDE, decoding).raw().toBuffer(), problem: null};
}

/**
 * Decodes one image to `size` x `size` x 3 uint8, row-major RGB. Never throws for what lies in the bytes: every failure
 * is a problem. Runs in the thread pool, one thread an image. `resize` must not be below `size`.
 */
export const decodeImage = (bytes: Buffer, encoding: 'encoded' | 'cifar', decoding: Decoding): Promise<DecodedImage> =>
  encoding === 'cifar' ? decodeCifar(bytes, decoding) : decodeEncoded(bytes, decoding);

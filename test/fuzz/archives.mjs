// Writes tars, zips and PNGs whose checksums hold whatever else is wrong with them, so that damage reaches what lies
// behind the checks.
import {crc32} from 'node:zlib';

const BLOCK = 512;
const WHERE_CHECKSUM = 148;

export function tarHeader({name, size, type = '0'}) {
  const block = Buffer.alloc(BLOCK);
  block.write(name, 0, 100);
  block.write('0000644\0', 100);
  block.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  block.write(type, 156);
  block.write('ustar\x0000', 257);
  return block;
}

export function sealTarHeader(header) {
  header.fill(0x20, WHERE_CHECKSUM, WHERE_CHECKSUM + 8);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, WHERE_CHECKSUM);
  return header;
}

export const padded = content => Buffer.concat([content, Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK)]);

/** A tar of members `{name, content, type}` with its end mark. */
export const tarOf = members =>
  Buffer.concat([
    ...members.flatMap(({name, content, type}) => [
      sealTarHeader(tarHeader({name, size: content.length, type})),
      padded(content),
    ]),
    Buffer.alloc(2 * BLOCK),
  ]);

/** A zip of stored parts, as torch.save writes them. */
export function zipOf(parts) {
  const locals = [];
  const central = [];
  let offset = 0;
  for (const {name, content} of parts) {
    const path = Buffer.from(name);
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt32LE(crc32(content), 10);
    fields.writeUInt32LE(content.length, 14);
    fields.writeUInt32LE(content.length, 18);
    fields.writeUInt16LE(path.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), fields, path, content]);
    const place = Buffer.alloc(14);
    place.writeUInt32LE(offset, 10);
    central.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\x00', 'latin1'), fields, place, path]));
    locals.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(parts.length, 8);
  end.writeUInt16LE(parts.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...locals, directory, end]);
}

/** The parts of a zip whose parts are stored, in order. */
export function partsOf(zip) {
  const end = zip.lastIndexOf('PK\x05\x06', undefined, 'latin1');
  const parts = [];
  for (let at = zip.readUInt32LE(end + 16); parts.length < zip.readUInt16LE(end + 10);) {
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map(field => zip.readUInt16LE(at + field));
    const local = zip.readUInt32LE(at + 42);
    const begin = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
    parts.push({
      name: zip.toString('utf8', at + 46, at + 46 + nameLength),
      content: zip.subarray(begin, begin + zip.readUInt32LE(at + 24)),
    });
    at += 46 + nameLength + extraLength + commentLength;
  }
  return parts;
}

/** A PNG with the checksum of every chunk that can still be told made right. */
export function sealPng(png) {
  for (let at = 8; at + 12 <= png.length;) {
    const length = png.readUInt32BE(at);
    if (at + 12 + length > png.length) break;
    png.writeUInt32BE(crc32(png.subarray(at + 4, at + 8 + length)), at + 8 + length);
    at += 12 + length;
  }
  return png;
}

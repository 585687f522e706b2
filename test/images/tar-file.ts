/** Tars written block by block, so that a test can write what no tool would. */

export interface Member {
  name: string | Buffer;
  content?: string | Uint8Array;
  /** The type flag: '0' file, '2' link, '5' folder, 'L' long name, 'x' pax header, ... */
  type?: string;
  /** What the header says, where it lies. */
  size?: number;
  linkname?: string;
}

function header({name, content = '', type = '0', size = Buffer.from(content).length, linkname = ''}: Member): Buffer {
  const block = Buffer.alloc(512);
  Buffer.from(name).copy(block, 0, 0, 100);
  block.write('0000644\0', 100);
  block.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  block.write('        ', 148);
  block.write(type, 156);
  block.write(linkname, 157);
  block.write('ustar\x0000', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

/** A member with its header, padded to whole blocks. */
export function tarMember(member: Member): Buffer {
  const content = Buffer.from(member.content ?? '');
  return Buffer.concat([header(member), content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}

export const END_MARK = Buffer.alloc(1024);

/** A whole tar with its end mark. */
export const tarOf = (...members: Member[]): Buffer => Buffer.concat([...members.map(tarMember), END_MARK]);

/** One pax record: its length, in bytes, counts itself. */
export function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = Buffer.byteLength(rest) + 1;
  while (Buffer.byteLength(`${length}${rest}`) !== length) length = Buffer.byteLength(`${length}${rest}`);
  return `${length}${rest}`;
}

/** The metadata of an ONNX file, which onnxruntime-node does not show: a walk over the top level of its protobuf. */

/** Field numbers in ModelProto and StringStringEntryProto, from onnx.proto. */
const METADATA_PROPS = 14;
const KEY = 1;
const VALUE = 2;

interface Field {
  number: number;
  /** The content of a length-delimited field; null for a number. */
  content: Buffer | null;
}

/** A base-128 number at `at`, and where it ends. Fields of more than 2 GiB do not occur: protobuf has that limit. */
function varint(bytes: Buffer, at: number): {value: number; end: number} {
  let value = 0;
  for (let scale = 1; ; scale *= 128) {
    const byte = bytes.readUInt8(at++);
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return {value, end: at};
  }
}

function* fields(message: Buffer): Generator<Field> {
  for (let at = 0; at < message.length;) {
    const {value: tag, end} = varint(message, at);
    const number = Math.floor(tag / 8);
    const wireType = tag % 8;
    if (wireType === 0) {
      at = varint(message, end).end;
      yield {number, content: null};
    } else if (wireType === 1 || wireType === 5) {
      at = end + (wireType === 1 ? 8 : 4);
      yield {number, content: null};
    } else if (wireType === 2) {
      const length = varint(message, end);
      at = length.end + length.value;
      if (at > message.length) throw new RangeError('a field is cut off');
      yield {number, content: message.subarray(length.end, at)};
    } else {
      throw new RangeError(`wire type ${wireType} is unknown`);
    }
  }
}

/** All metadata_props of a model. Throws RangeError where the bytes are no protobuf message. */
export function onnxMetadata(model: Buffer): Map<string, string> {
  const metadata = new Map<string, string>();
  for (const {number, content} of fields(model)) {
    if (number !== METADATA_PROPS || content === null) continue;
    const entry = [...fields(content)];
    const text = (wanted: number) => entry.find(field => field.number === wanted)?.content?.toString('utf8') ?? '';
    metadata.set(text(KEY), text(VALUE));
  }
  return metadata;
}

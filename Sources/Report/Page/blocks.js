"use strict";
// Blocks of numbers, as Sources/Report/README.md lays them out.

/** Values of half-precision bits: 65,536 of them, worked out when first needed. */
const halves = (() => {
  let table = null;
  return () => {
    if (table) return table;
    table = new Float32Array(65536);
    for (let bits = 0; bits < 65536; bits++) {
      const sign = bits & 0x8000 ? -1 : 1;
      const exponent = (bits >> 10) & 31;
      const fraction = bits & 1023;
      if (exponent === 0) table[bits] = sign * fraction * 2 ** -24;
      else if (exponent === 31) table[bits] = fraction ? NaN : sign * Infinity;
      else table[bits] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
    }
    return table;
  };
})();

/** Values of the codes 0...254 of a peak; 255 is undefined. */
function valuesOfCodes(peak) {
  const table = new Float32Array(256);
  for (let code = 0; code < 255; code++) table[code] = peak * (code / 254) ** 2;
  table[255] = NaN;
  return table;
}

/** What is to be said of numbers that are codes. */
const CODED = "Values are 8-bit codes, each shown with how far it may be off; attntrace serve and analyze give the stored ones.";

/** How far a value may lie from the one that its code stands for: half a step of the code; 0 where it is no code. */
function codeError(value, peak) {
  if (!peak) return 0;
  const code = 254 * Math.sqrt(value / peak);
  return peak * ((code + 0.5) ** 2 - code ** 2) / 254 ** 2;
}

/** Numbers of one array of a block. */
function decodeArray(entry, buffer, offset) {
  const count = entry.shape.reduce((product, length) => product * length, 1);
  const through = (Bits, table) => {
    const bits = new Bits(buffer, offset, count);
    const values = new Float32Array(count);
    for (let place = 0; place < count; place++) values[place] = table[bits[place]];
    return [values, bits.byteLength];
  };
  switch (entry.type) {
    case "i32": return [new Int32Array(buffer, offset, count), 4 * count];
    case "f32": return [new Float32Array(buffer, offset, count), 4 * count];
    case "f16": return through(Uint16Array, halves());
    case "u8":
      if (entry.peak === undefined || entry.peak === null) return [new Uint8Array(buffer, offset, count), count];
      return through(Uint8Array, valuesOfCodes(entry.peak));
    default: throw new Error(`an array of type ${entry.type} is none that this page knows`);
  }
}

/** The arrays of a block by name: {weights: {shape, values, peak}, ...}, and `bytes`, what they take. */
function decodeBlock(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const block = { bytes: buffer.byteLength };
  let offset = Math.ceil((4 + length) / 8) * 8;
  for (const entry of head.arrays) {
    const [values, bytes] = decodeArray(entry, buffer, offset);
    block[entry.name] = { shape: entry.shape, values, peak: entry.peak };
    block.bytes += values.buffer === buffer ? 0 : values.byteLength;
    offset += Math.ceil(bytes / 8) * 8;
  }
  return block;
}

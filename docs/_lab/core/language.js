/**
 * A trained language model: characters in, probabilities of the next character out.
 *
 * A GRU of one layer reads embedded characters, and a linear layer makes logits of its states. The
 * weights come in float16, to which they were rounded before anybody used them; all the rest is
 * float32, as in PyTorch.
 */

import { add, linear, mul, stack, sub, zeros } from "./arrays.js";
import { gruGates } from "./cells.js";
import { product } from "./shapes.js";

/** @import { Tensor } from "./init.js" */
/**
 * @typedef {object} File what the site ships
 * @property {string} characters the vocabulary
 * @property {number} embedding_size
 * @property {number} hidden_size
 * @property {string} weights in base64: the parameters one after another, in float16
 */
/** @typedef {{ characters: string[], hidden_size: number, parameters: Record<string, Tensor>, projected: Tensor }} Model */
/** @typedef {"r" | "z" | "n" | "h"} Part */
/** @typedef {Record<Part, Tensor> & { p: Tensor }} Read (L, hidden_size) each; p is (L, V) */

/** @type {readonly Part[]} */
export const PARTS = ["r", "z", "n", "h"];
const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/**
 * @param {string} text base64
 * @returns {number[]}
 */
function bytesOf(text) {
  const digits = text.replace(/=+$/, "");
  const bytes = [];
  let [held, bits] = [0, 0];
  for (const digit of digits) {
    const value = BASE64.indexOf(digit);
    if (value < 0) {
      throw new RangeError(`weights should be base64, got ${digit}`);
    }
    held = ((held << 6) | value) & 0xffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes.push((held >> bits) & 255);
    }
  }
  return bytes;
}

/**
 * The number that 16 bits stand for.
 * @param {number} bits
 */
export function halfToNumber(bits) {
  const sign = bits >> 15 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) {
    throw new RangeError("weights should be finite");
  }
  if (exponent === 0) {
    return (sign * fraction) / 2 ** 24; // subnormal
  }
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/**
 * The parameters by name, in the order of the file.
 * @param {number} V
 * @param {number} E
 * @param {number} H
 * @returns {Record<string, number[]>}
 */
export function modelShapes(V, E, H) {
  return {
    embedding: [V, E],
    weight_ih: [3 * H, E],
    weight_hh: [3 * H, H],
    bias_ih: [3 * H],
    bias_hh: [3 * H],
    weight: [V, H],
    bias: [V],
  };
}

/**
 * @param {File} file
 * @returns {Model}
 */
export function modelOf({ characters, embedding_size, hidden_size, weights }) {
  const bytes = bytesOf(weights);
  const shapes = modelShapes(characters.length, embedding_size, hidden_size);
  const count = Object.values(shapes).reduce((sum, shape) => sum + product(shape), 0);
  if (bytes.length !== 2 * count) {
    throw new RangeError(`weights should be ${2 * count} bytes, got ${bytes.length}`);
  }
  let at = 0;
  /** @type {Record<string, Tensor>} */
  const parameters = {};
  for (const [name, shape] of Object.entries(shapes)) {
    const data = Float32Array.from({ length: product(shape) }, (_, k) =>
      halfToNumber(bytes[at + 2 * k] | (bytes[at + 2 * k + 1] << 8)),
    );
    parameters[name] = { shape, data };
    at += 2 * data.length;
  }
  const { embedding, weight_ih, bias_ih } = parameters;
  const projected = linear(embedding, weight_ih, bias_ih); // (V, 3 * H): there are only V inputs
  return { characters: [...characters], hidden_size, parameters, projected };
}

/**
 * The number of each character; a character that the model does not know is refused.
 * @param {Model} model
 * @param {string} text
 */
export function encode({ characters }, text) {
  const unknown = [...new Set(text)].filter((character) => !characters.includes(character));
  if (unknown.length > 0) {
    const named = unknown.slice(0, 5).map(quoted).join(", ");
    const more = unknown.length > 5 ? ` and ${unknown.length - 5} more` : "";
    throw new RangeError(`The network has never seen ${named}${more}.`);
  }
  return [...text].map((character) => characters.indexOf(character));
}

/** @type {(character: string) => string} */
function quoted(character) {
  const code = /** @type {number} */ (character.codePointAt(0));
  const shown = code < 127 ? "" : ` (U+${code.toString(16).toUpperCase().padStart(4, "0")})`;
  return `${character === "\t" ? "a tab" : `‘${character}’`}${shown}`;
}

/**
 * Read a text from a state of zeros.
 * @param {Model} model
 * @param {readonly number[]} numbers of L characters
 * @returns {Read} after each character
 */
export function readText({ hidden_size, parameters, projected }, numbers) {
  const { weight_hh, bias_hh, weight, bias } = parameters;
  const width = 3 * hidden_size;
  let h = zeros([1, hidden_size]);
  /** @type {Record<Part, Tensor>[]} */
  const steps = [];
  for (const number of numbers) {
    const data = projected.data.subarray(number * width, (number + 1) * width);
    const { r, z, n } = gruGates({ shape: [1, width], data }, h, weight_hh, bias_hh);
    h = add(mul(sub(h, n), z), n);
    steps.push({ r, z, n, h });
  }
  const shape = [numbers.length, hidden_size];
  const read = /** @type {Read} */ ({});
  for (const part of PARTS) {
    read[part] = { shape, data: stack(steps.map((step) => step[part])).data };
  }
  read.p = softmax(linear(read.h, weight, bias));
  return read;
}

/**
 * @param {Tensor} logits (L, V)
 * @returns {Tensor} each row sums to 1
 */
export function softmax(logits) {
  const [L, V] = logits.shape;
  const out = zeros([L, V]);
  for (let row = 0; row < L; row++) {
    const values = Array.from(logits.data.subarray(row * V, (row + 1) * V));
    const largest = Math.max(...values);
    const powers = values.map((value) => Math.exp(value - largest)); // none overflows
    const sum = powers.reduce((total, power) => total + power, 0);
    powers.forEach((power, k) => {
      out.data[row * V + k] = power / sum;
    });
  }
  return out;
}

/**
 * The most probable characters after a step, the most probable first.
 * @param {Model} model
 * @param {Read} read
 * @param {number} t
 * @param {number} count
 */
export function likeliest({ characters }, read, t, count) {
  const V = characters.length;
  return characters
    .map((character, k) => ({ character, p: read.p.data[t * V + k] }))
    .sort((a, b) => b.p - a.p)
    .slice(0, count);
}

/**
 * How far two runs are apart after each character: the norm of the difference of their hidden
 * states, divided by the norm of the first.
 * @param {Tensor} one (L, H)
 * @param {Tensor} other (L, H)
 * @returns {Float32Array} (L,)
 */
export function distances(one, other) {
  const [L, H] = one.shape;
  return Float32Array.from({ length: L }, (_, t) => {
    let [apart, norm] = [0, 0];
    for (let k = t * H; k < (t + 1) * H; k++) {
      apart += (one.data[k] - other.data[k]) ** 2;
      norm += one.data[k] ** 2;
    }
    return Math.sqrt(apart / norm);
  });
}

/**
 * Read a text twice, once with another character at one place.
 * @param {Model} model
 * @param {readonly number[]} numbers
 * @param {number} position
 * @param {number} instead
 * @param {number} near a distance below which the runs count as equal
 * @returns {{ one: Read, other: Read, distance: Float32Array, after: number | null }} `after` how
 *   many further characters they are near each other, and stay so; null if they never are
 */
export function remembered(model, numbers, position, instead, near) {
  const one = readText(model, numbers);
  const other = readText(model, numbers.with(position, instead));
  const distance = distances(one.h, other.h);
  const last = distance.findLastIndex((value) => value >= near);
  const after = last === distance.length - 1 ? null : Math.max(0, last + 1 - position);
  return { one, other, distance, after };
}

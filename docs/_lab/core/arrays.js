/**
 * What the floors above need of arrays, with torch's verbs.
 *
 * Each operation rounds its results to float32 once, as a Float32Array does when it is written.
 */

import { product } from "./shapes.js";

/** @import { Tensor } from "./init.js" */

/**
 * @param {readonly number[]} shape
 * @returns {Tensor}
 */
export function zeros(shape) {
  return { shape, data: new Float32Array(product(shape)) };
}

/**
 * @param {Tensor} a
 * @returns {Tensor}
 */
export function clone(a) {
  return { shape: a.shape, data: a.data.slice() };
}

/**
 * @param {(x: number) => number} f
 * @param {Tensor} a
 * @returns {Tensor}
 */
function each(f, a) {
  return { shape: a.shape, data: a.data.map((x) => f(x)) };
}

/**
 * @param {(x: number, y: number) => number} f
 * @param {Tensor} a
 * @param {Tensor} b
 * @returns {Tensor}
 */
function both(f, a, b) {
  expectShape("b", b, a.shape); // nothing is broadcast in silence
  return { shape: a.shape, data: a.data.map((x, k) => f(x, b.data[k])) };
}

/**
 * Refuse an array of another shape.
 * @param {string} name
 * @param {Tensor} a
 * @param {readonly number[]} shape
 */
export function expectShape(name, a, shape) {
  if (a.shape.length !== shape.length || a.shape.some((size, k) => size !== shape[k])) {
    throw new RangeError(`${name} should have shape (${shape}), got (${a.shape})`);
  }
}

/** @param {Tensor} a */
export const tanh = (a) => each(Math.tanh, a);
/** @param {Tensor} a */
export const relu = (a) => each((x) => (x < 0 ? 0 : x), a); // NaN stays
/** @param {Tensor} a */
export const sigmoid = (a) => each((x) => 1 / (1 + Math.exp(-x)), a);
/** @param {Tensor} a */
export const oneMinus = (a) => each((x) => 1 - x, a);
/** @type {(a: Tensor, b: Tensor) => Tensor} */
export const add = (a, b) => both((x, y) => x + y, a, b);
/** @type {(a: Tensor, b: Tensor) => Tensor} */
export const sub = (a, b) => both((x, y) => x - y, a, b);
/** @type {(a: Tensor, b: Tensor) => Tensor} */
export const mul = (a, b) => both((x, y) => x * y, a, b);

/**
 * `x @ weight.T + bias`. The sum of a product is rounded when it is complete: PyTorch adds in an
 * order that depends on the processor, and the exact sum is as near to all of them as can be.
 * @param {Tensor} x (N, H_in)
 * @param {Tensor} weight (H_out, H_in)
 * @param {Tensor | null} [bias] (H_out,)
 * @returns {Tensor} (N, H_out)
 */
export function linear(x, weight, bias = null) {
  const [N, H_in] = x.shape;
  const H_out = weight.shape[0];
  expectShape("weight", weight, [H_out, H_in]);
  if (bias) {
    expectShape("bias", bias, [H_out]);
  }
  const out = zeros([N, H_out]);
  for (let row = 0; row < N; row++) {
    for (let column = 0; column < H_out; column++) {
      let sum = 0;
      for (let k = 0; k < H_in; k++) {
        sum += x.data[row * H_in + k] * weight.data[column * H_in + k];
      }
      out.data[row * H_out + column] = bias ? Math.fround(sum) + bias.data[column] : sum;
    }
  }
  return out;
}

/**
 * @param {Tensor} a (N, M)
 * @returns {Tensor} (M, N)
 */
export function transpose(a) {
  const [rows, columns] = a.shape;
  const out = zeros([columns, rows]);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      out.data[column * rows + row] = a.data[row * columns + column];
    }
  }
  return out;
}

/**
 * @param {Tensor} a (N, K)
 * @param {Tensor} b (K, M)
 * @returns {Tensor} (N, M)
 */
export const matmul = (a, b) => linear(a, transpose(b));

/**
 * Sum the rows.
 * @param {Tensor} a (N, M)
 * @returns {Tensor} (M,)
 */
export function sumRows(a) {
  const ones = { shape: [1, a.shape[0]], data: new Float32Array(a.shape[0]).fill(1) };
  return { ...matmul(ones, a), shape: [a.shape[1]] };
}

/**
 * Take columns side by side apart.
 * @param {Tensor} a (N, sum of widths)
 * @param {readonly number[]} widths
 * @returns {Tensor[]} (N, width) each
 */
export function split(a, widths) {
  const [N, columns] = a.shape;
  expectShape("a", a, [N, widths.reduce((sum, width) => sum + width, 0)]);
  let start = 0;
  return widths.map((width) => {
    const part = zeros([N, width]);
    for (let row = 0; row < N; row++) {
      const from = row * columns + start;
      part.data.set(a.data.subarray(from, from + width), row * width);
    }
    start += width;
    return part;
  });
}

/**
 * @param {Tensor} a (N, count * width)
 * @param {number} count
 * @returns {Tensor[]} (N, width) each
 */
export const chunk = (a, count) => split(a, Array(count).fill(a.shape[1] / count));

/**
 * Put columns side by side.
 * @param {readonly Tensor[]} parts (N, width) each
 * @returns {Tensor} (N, sum of widths)
 */
export function cat(parts) {
  const N = parts[0].shape[0];
  const out = zeros([N, parts.reduce((sum, part) => sum + part.shape[1], 0)]);
  let start = 0;
  for (const part of parts) {
    const width = part.shape[1];
    expectShape("part", part, [N, width]);
    for (let row = 0; row < N; row++) {
      const from = row * width;
      out.data.set(part.data.subarray(from, from + width), row * out.shape[1] + start);
    }
    start += width;
  }
  return out;
}

/**
 * @param {readonly Tensor[]} parts (...) each
 * @returns {Tensor} (number of parts, ...)
 */
export function stack(parts) {
  const out = zeros([parts.length, ...parts[0].shape]);
  parts.forEach((part, k) => {
    expectShape("part", part, parts[0].shape);
    out.data.set(part.data, k * part.data.length);
  });
  return out;
}

/**
 * @param {Tensor} a (L, ...)
 * @returns {Tensor[]} L views, (...) each
 */
export function unbind(a) {
  const [L, ...shape] = a.shape;
  const size = a.data.length / L;
  return Array.from({ length: L }, (_, t) => ({
    shape,
    data: a.data.subarray(t * size, (t + 1) * size),
  }));
}

/**
 * All rows of all steps, as a view.
 * @param {Tensor} a (L, N, features)
 * @returns {Tensor} (L * N, features)
 */
export function asRows(a) {
  const [L, N, features] = a.shape;
  return { shape: [L * N, features], data: a.data };
}

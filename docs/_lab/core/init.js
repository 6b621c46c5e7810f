/**
 * PyTorch's random numbers and initial parameters, bit for bit.
 *
 * On a CPU the numbers come from the Mersenne Twister that `torch.manual_seed` seeds.
 * Each float32 takes one 32-bit draw, of which the low 24 bits count.
 */

import { checkSeed } from "./settings.js";
import { parameterShapes, product, uniformBound } from "./shapes.js";

/** @import { Parametrised } from "./shapes.js" */

/**
 * An array of float32 numbers, row by row.
 * @typedef {{ shape: readonly number[], data: Float32Array }} Tensor
 */

const SIZE = 624;
const MIDDLE = 397;
const MANTISSA = 2 ** 24; // the precision of a float32
const HALF = 8; // normal numbers are made sixteen at a time, if there are as many

/**
 * The generator of `torch.manual_seed`: M. Matsumoto and T. Nishimura, "Mersenne Twister: a
 * 623-dimensionally equidistributed uniform pseudo-random number generator" (1998).
 */
export class Generator {
  /** @param {number | bigint} seed an integer from -2**63 to 2**64 - 1; its low 32 bits count */
  constructor(seed) {
    const whole = BigInt(seed);
    checkSeed(whole);
    this.state = new Uint32Array(SIZE);
    this.state[0] = Number(BigInt.asUintN(32, whole));
    for (let k = 1; k < SIZE; k++) {
      const last = this.state[k - 1] ^ (this.state[k - 1] >>> 30);
      this.state[k] = Math.imul(1812433253, last) + k;
    }
    this.next = SIZE;
    /** @type {number | null} the second of a pair of normal numbers, for the next call */
    this.second = null;
  }

  /** Draw a whole number from 0 to 2**32 - 1. */
  random() {
    if (this.next === SIZE) {
      this.twist();
    }
    let y = this.state[this.next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  twist() {
    const state = this.state;
    for (let k = 0; k < SIZE; k++) {
      const y = (state[k] & 0x80000000) | (state[(k + 1) % SIZE] & 0x7fffffff);
      state[k] = state[(k + MIDDLE) % SIZE] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.next = 0;
  }

  /**
   * Draw as `torch.empty(shape).uniform_(low, high)` does; from 0 to 1, also as `torch.rand`.
   * @param {readonly number[]} shape
   * @param {number} [low]
   * @param {number} [high]
   * @returns {Tensor}
   */
  uniform(shape, low = 0, high = 1) {
    const data = new Float32Array(product(shape));
    const [start, end] = [Math.fround(low), Math.fround(high)];
    const width = Math.fround(end - start);
    for (let k = 0; k < data.length; k++) {
      data[k] = ((this.random() % MANTISSA) / MANTISSA) * width + start; // rounded once
      if (data[k] === end) {
        data[k] = start; // the upper bound is not drawn, even if rounding leads to it
      }
    }
    return { shape, data };
  }

  /**
   * Draw as `torch.randn(shape)` does, by the method of Box and Muller. Its logarithm and its
   * cosine depend on the processor in PyTorch, so the last bits may differ.
   * @param {readonly number[]} shape
   * @returns {Tensor}
   */
  normal(shape) {
    const count = product(shape);
    if (count < 2 * HALF) {
      return { shape, data: Float32Array.from({ length: count }, () => this.normalDouble()) };
    }
    const { data } = this.uniform([count]);
    const whole = count - (count % (2 * HALF));
    for (let start = 0; start < whole; start += 2 * HALF) {
      toNormal(data, start);
    }
    if (whole < count) {
      data.set(this.uniform([2 * HALF]).data, count - 2 * HALF); // the last ones once more
      toNormal(data, count - 2 * HALF);
    }
    return { shape, data };
  }

  /** Draw one normal number in double precision; two are made at a time. */
  normalDouble() {
    if (this.second !== null) {
      const second = this.second;
      this.second = null;
      return second;
    }
    const angle = 2 * Math.PI * this.double();
    const radius = Math.sqrt(-2 * Math.log1p(-this.double()));
    this.second = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /** Draw a float64 from 0 to 1: of two draws the low 53 bits count. */
  double() {
    const high = this.random() % 2 ** 21;
    return (high * 2 ** 32 + this.random()) / 2 ** 53;
  }
}

/**
 * Turn sixteen uniform numbers into normal ones: the first eight give radii, the others angles.
 * @param {Float32Array} data
 * @param {number} start
 */
function toNormal(data, start) {
  for (let k = start; k < start + HALF; k++) {
    const radius = Math.sqrt(-2 * Math.log(1 - data[k]));
    const angle = 2 * Math.PI * data[k + HALF];
    data[k] = radius * Math.cos(angle);
    data[k + HALF] = radius * Math.sin(angle);
  }
}

/**
 * Draw the parameters that a module has when it is built after `torch.manual_seed(seed)`.
 * @param {Parametrised} module
 * @param {number | bigint | Generator} seed or the generator that draws, which goes on
 * @returns {Record<string, Tensor>} by name, in the order in which PyTorch registers them
 */
export function uniformParameters(module, seed) {
  const generator = seed instanceof Generator ? seed : new Generator(seed);
  const bound = uniformBound(module.hidden_size);
  return Object.fromEntries(
    Object.entries(parameterShapes(module)).map(([name, shape]) => [
      name,
      generator.uniform(shape, -bound, bound),
    ]),
  );
}

/**
 * How much each earlier state, and each input, matters to each state: Jacobians through time.
 *
 * Parameters and input are the float32 numbers that PyTorch draws. From there on everything is
 * computed in double precision: where gradients explode, rounding errors grow with them, and where
 * gradients vanish, float32 soon has no number that is small enough. So these steps are not those
 * of `cells`; the tests compare them with PyTorch's modules in float64.
 */

import { Generator, uniformParameters } from "./init.js";
import { checkChoice, checkNumber } from "./settings.js";
import { GATES } from "./shapes.js";

/**
 * @typedef {object} Setting
 * @property {string} mode `RNN_TANH`, `RNN_RELU`, `GRU` or `LSTM`
 * @property {number} H_out
 * @property {number} L
 * @property {bigint} seed
 * @property {string} start `uniform`, `orthogonal` or `identity`
 * @property {number | null} radius spectral radius of each block of weight_hh; null as drawn
 * @property {number | null} keep the bias of the gate that keeps the state; null as drawn
 * @property {number} scale of the input
 */
/**
 * A network of one layer, and one sequence for it, row by row.
 * @typedef {object} Network
 * @property {string} mode
 * @property {number} H_in
 * @property {number} H_out
 * @property {Float64Array} weight_ih (gate_size, H_in)
 * @property {Float64Array} weight_hh (gate_size, H_out)
 * @property {Float64Array} bias_ih (gate_size,)
 * @property {Float64Array} bias_hh (gate_size,)
 * @property {Float64Array} x (L, H_in)
 */
/**
 * One step as a linear map for gradients. What arrives at h is multiplied by the matrices `h`; for
 * an LSTM, what arrives at c is first completed by the part that comes through h, `dh * to_cell`,
 * then multiplied by the matrices `c`, and `kept` of it goes to the cell state before.
 * @typedef {object} Slopes
 * @property {{ state: Float64Array, input: Float64Array }} h (H_out, H_out) and (H_out, H_in)
 * @property {{ state: Float64Array, input: Float64Array }} [c] the same
 * @property {Float64Array} [to_cell] (H_out,)
 * @property {Float64Array} [kept] (H_out,)
 */
/** @typedef {"state" | "input"} Source */

export const H_IN = 10; // as in the worked example of the site
export const STARTS = ["uniform", "orthogonal", "identity"];
/** The gate whose bias a reader sets: the one that keeps the state. */
export const KEEPING = /** @type {Record<string, string>} */ ({ LSTM: "f", GRU: "z" });
/** From, to. */
export const RANGES = /** @type {Record<string, [number, number]>} */ ({
  H_out: [1, 64],
  L: [2, 100],
  radius: [0.2, 2],
  bias: [-2, 5],
  scale: [0, 3],
});
const SQUARINGS = 26;

/**
 * Refuse what cannot be computed.
 * @param {Setting} setting
 */
export function checkSetting({ mode, H_out, L, start, radius, keep, scale }) {
  checkChoice("mode", mode, Object.keys(GATES));
  checkChoice("start", start, STARTS);
  if (start === "identity" && !mode.startsWith("RNN")) {
    throw new RangeError(`start=identity is for a plain RNN, got ${mode}`);
  }
  checkNumber("H_out", H_out, RANGES.H_out, true);
  checkNumber("L", L, RANGES.L, true);
  checkNumber("scale", scale, RANGES.scale);
  if (radius !== null) {
    checkNumber("radius", radius, RANGES.radius);
  }
  if (keep !== null) {
    if (!Object.hasOwn(KEEPING, mode)) {
      throw new RangeError(`bias is for a gate of LSTM or GRU, got ${mode}`);
    }
    checkNumber("bias", keep, RANGES.bias);
  }
}

// -- The network ----------------------------------------------------------------------------------

/**
 * The network that `torch.manual_seed(seed)`, the constructor, `orthogonal_` and `torch.randn`
 * give in this order, with weights and biases changed as a setting says.
 * @param {Setting} setting
 * @returns {Network}
 */
export function drawNetwork({ mode, H_out, L, seed, start, radius, keep, scale }) {
  const generator = new Generator(seed);
  const drawn = uniformParameters(
    {
      mode,
      input_size: H_IN,
      hidden_size: H_out,
      num_layers: 1,
      bias: true,
      bidirectional: false,
      proj_size: 0,
    },
    generator,
  );
  const [weight_ih, weight_hh, bias_ih, bias_hh] = Object.values(drawn).map(({ data }) =>
    Float64Array.from(data),
  );
  const blocks = GATES[mode].map((_, gate) =>
    weight_hh.subarray(gate * H_out ** 2, (gate + 1) * H_out ** 2),
  );
  for (const block of blocks) {
    if (start === "orthogonal") {
      block.set(orthogonal(Float64Array.from(generator.normal([H_out, H_out]).data), H_out));
    } else if (start === "identity") {
      block.fill(0);
      for (let k = 0; k < H_out; k++) {
        block[k * H_out + k] = 1;
      }
    }
    if (radius !== null) {
      const factor = radius / spectralRadius(block, H_out);
      block.forEach((value, k) => (block[k] = value * factor));
    }
  }
  if (start === "identity") {
    bias_ih.fill(0);
    bias_hh.fill(0);
  }
  if (keep !== null) {
    const from = GATES[mode].indexOf(KEEPING[mode]) * H_out;
    bias_ih.fill(keep, from, from + H_out);
    bias_hh.fill(0, from, from + H_out); // the two are added
  }
  const x = Float64Array.from(generator.normal([L, H_IN]).data, (value) => value * scale);
  return { mode, H_in: H_IN, H_out, weight_ih, weight_hh, bias_ih, bias_hh, x };
}

/**
 * The spectral radius of each gate's block of weight_hh.
 * @param {Network} network
 */
export const spectralRadii = ({ mode, H_out, weight_hh }) =>
  GATES[mode].map((_, gate) =>
    spectralRadius(weight_hh.subarray(gate * H_out ** 2, (gate + 1) * H_out ** 2), H_out),
  );

/**
 * The orthogonal factor of a matrix whose triangular factor has a positive diagonal, as
 * `nn.init.orthogonal_` makes it: its columns, each without what it shares with those before.
 * @param {Float64Array} matrix (n, n)
 * @param {number} n
 */
export function orthogonal(matrix, n) {
  const columns = Array.from({ length: n }, (_, column) =>
    Float64Array.from({ length: n }, (_, row) => matrix[row * n + column]),
  );
  const dot = (/** @type {Float64Array} */ a, /** @type {Float64Array} */ b) =>
    a.reduce((sum, value, k) => sum + value * b[k], 0);
  columns.forEach((column, at) => {
    for (let pass = 0; pass < 2; pass++) {
      // once more, since rounding leaves a rest
      for (const before of columns.slice(0, at)) {
        const share = dot(column, before);
        column.forEach((value, k) => (column[k] = value - share * before[k]));
      }
    }
    const norm = Math.sqrt(dot(column, column));
    column.forEach((value, k) => (column[k] = value / norm));
  });
  return matrix.map((_, k) => columns[k % n][Math.floor(k / n)]);
}

/**
 * The largest magnitude of an eigenvalue, by Gelfand's formula: the limit of `norm(W^k)^(1/k)`.
 * Each squaring doubles k, so the last k is large enough for six digits.
 * @param {Float64Array} matrix (n, n)
 * @param {number} n
 */
export function spectralRadius(matrix, n) {
  /** @type {Float64Array} */
  let power = matrix;
  let logarithm = 0; // of the norm of the power, divided by k
  for (let k = 1; k <= 2 ** SQUARINGS; k *= 2) {
    const norm = Math.sqrt(power.reduce((sum, value) => sum + value * value, 0));
    if (norm === 0) {
      return 0;
    }
    logarithm += Math.log(norm) / k;
    const scaled = power.map((value) => value / norm);
    power = multiply(scaled, scaled, n, n);
  }
  return Math.exp(logarithm);
}

/**
 * @param {Float64Array} a (rows, n)
 * @param {Float64Array} b (n, columns)
 * @param {number} n
 * @param {number} columns
 * @returns {Float64Array} (rows, columns)
 */
function multiply(a, b, n, columns) {
  const rows = a.length / n;
  const out = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const to = row * columns;
    for (let k = 0; k < n; k++) {
      const factor = a[row * n + k];
      if (factor !== 0) {
        for (let column = 0, from = k * columns; column < columns; column++, from++) {
          out[to + column] += factor * b[from];
        }
      }
    }
  }
  return out;
}

// -- One step -------------------------------------------------------------------------------------

const sigmoid = (/** @type {number} */ a) => 1 / (1 + Math.exp(-a));

/**
 * Run the network from a state of zeros, and keep the slopes of each step.
 * @param {Network} network
 * @returns {Slopes[]} of the steps 1 to L
 */
export function run(network) {
  const { mode, H_in, H_out, x } = network;
  /** @type {Slopes[]} */
  const steps = [];
  /** @type {Float64Array[]} */
  let state = [new Float64Array(H_out), new Float64Array(H_out)]; // h and, if it is an LSTM, c
  for (let t = 0; t < x.length / H_in; t++) {
    const from_x = affine(network.weight_ih, network.bias_ih, x.subarray(t * H_in, (t + 1) * H_in));
    const from_h = affine(network.weight_hh, network.bias_hh, state[0]);
    const made = STEPS[mode](from_x, from_h, state, network);
    state = made.state;
    steps.push(made.slopes);
  }
  return steps;
}

/**
 * @param {Float64Array} weight (rows, columns)
 * @param {Float64Array} bias (rows,)
 * @param {Float64Array} vector (columns,)
 */
function affine(weight, bias, vector) {
  const columns = vector.length;
  return bias.map((value, row) => {
    let sum = value;
    for (let k = 0; k < columns; k++) {
      sum += weight[row * columns + k] * vector[k];
    }
    return sum;
  });
}

/**
 * The sum over gates of `diag(slopes) @ weight`.
 * @param {Network} network
 * @param {Record<string, Float64Array>} slopes by gate, (H_out,) each
 * @param {Record<string, Float64Array>} [of_input] where they differ for the input
 */
function throughGates(network, slopes, of_input = slopes) {
  const { mode, H_in, H_out } = network;
  const sum = (
    /** @type {Float64Array} */ weight,
    /** @type {number} */ columns,
    /** @type {Record<string, Float64Array>} */ factors,
  ) => {
    const out = new Float64Array(H_out * columns);
    for (const [gate, factor] of Object.entries(factors)) {
      const from = GATES[mode].indexOf(gate) * out.length;
      out.forEach((value, k) => {
        out[k] = value + factor[Math.floor(k / columns)] * weight[from + k];
      });
    }
    return out;
  };
  return {
    state: sum(network.weight_hh, H_out, slopes),
    input: sum(network.weight_ih, H_in, of_input),
  };
}

/**
 * The step of each mode, from what `weight_ih` and `weight_hh` make of input and state.
 * @type {Record<string, (from_x: Float64Array, from_h: Float64Array, state: Float64Array[],
 *   network: Network) => { state: Float64Array[], slopes: Slopes }>}
 */
const STEPS = {
  RNN_TANH: (from_x, from_h, _, network) => {
    const h = from_x.map((value, k) => Math.tanh(value + from_h[k]));
    return { state: [h], slopes: { h: throughGates(network, { h: h.map((y) => 1 - y * y) }) } };
  },
  RNN_RELU: (from_x, from_h, _, network) => {
    const h = from_x.map((value, k) => Math.max(0, value + from_h[k]));
    return { state: [h], slopes: { h: throughGates(network, { h: h.map((y) => (y > 0 ? 1 : 0)) }) } };
  },
  GRU: (from_x, from_h, [h], network) => {
    const H_out = h.length;
    const [r, z] = [0, 1].map((gate) =>
      h.map((_, k) => sigmoid(from_x[gate * H_out + k] + from_h[gate * H_out + k])),
    );
    const m = from_h.subarray(2 * H_out);
    const n = r.map((value, k) => Math.tanh(from_x[2 * H_out + k] + value * m[k]));
    const candidate = n.map((value, k) => (1 - z[k]) * (1 - value * value));
    const slopes = {
      r: r.map((value, k) => candidate[k] * m[k] * value * (1 - value)),
      z: z.map((value, k) => (h[k] - n[k]) * value * (1 - value)),
      n: candidate.map((value, k) => value * r[k]),
    };
    const through = throughGates(network, slopes, { ...slopes, n: candidate });
    z.forEach((value, k) => (through.state[k * H_out + k] += value)); // the direct path
    return { state: [n.map((value, k) => (1 - z[k]) * value + z[k] * h[k])], slopes: { h: through } };
  },
  LSTM: (from_x, from_h, [h, c_before], network) => {
    const H_out = h.length;
    const sums = from_x.map((value, k) => value + from_h[k]);
    const gate = (/** @type {number} */ place, /** @type {(a: number) => number} */ act) =>
      sums.slice(place * H_out, (place + 1) * H_out).map((value) => act(value));
    const [i, f, g, o] = [gate(0, sigmoid), gate(1, sigmoid), gate(2, Math.tanh), gate(3, sigmoid)];
    const c = f.map((value, k) => value * c_before[k] + i[k] * g[k]);
    const tanh_c = c.map((value) => Math.tanh(value));
    return {
      state: [o.map((value, k) => value * tanh_c[k]), c],
      slopes: {
        h: throughGates(network, { o: o.map((value, k) => tanh_c[k] * value * (1 - value)) }),
        c: throughGates(network, {
          i: i.map((value, k) => g[k] * value * (1 - value)),
          f: f.map((value, k) => c_before[k] * value * (1 - value)),
          g: g.map((value, k) => i[k] * (1 - value * value)),
        }),
        to_cell: o.map((value, k) => value * (1 - tanh_c[k] ** 2)),
        kept: f,
      },
    };
  },
};

// -- Through time ---------------------------------------------------------------------------------

/**
 * The root mean square of what is left of a gradient of norm 1 at h_t, over all its directions:
 * the Frobenius norm of the Jacobian, divided by the square root of H_out. The state of an LSTM is
 * h and c together.
 * @param {readonly Slopes[]} steps
 * @param {number} H_out
 * @param {number} t from 1 to L
 * @param {Source} of
 * @returns {Float64Array} for a state, of the distances 0 to t, the last of which is h_0; for the
 *   input, of the distances 0 to t - 1
 */
export function influence(steps, H_out, t, of) {
  /** @type {Float64Array} */
  let dh = new Float64Array(H_out * H_out); // (H_out, H_out), a gradient in each row
  for (let k = 0; k < H_out; k++) {
    dh[k * H_out + k] = 1;
  }
  /** @type {Float64Array} */
  let dc = new Float64Array(H_out * H_out);
  const size = (/** @type {Float64Array[]} */ ...parts) => {
    let sum = 0;
    for (const part of parts) {
      for (let k = 0; k < part.length; k++) {
        sum += part[k] * part[k];
      }
    }
    return Math.sqrt(sum / H_out);
  };
  const sizes = of === "state" ? [size(dh)] : [];
  for (let s = t; s > 0; s--) {
    const { h, c, to_cell, kept } = steps[s - 1];
    /** @type {(source: Source, columns: number) => Float64Array} */
    const back = (source, columns) => {
      const sum = multiply(dh, h[source], H_out, columns);
      if (c) {
        multiply(dc, c[source], H_out, columns).forEach((value, k) => (sum[k] += value));
      }
      return sum;
    };
    if (to_cell) {
      for (let k = 0; k < dc.length; k++) {
        dc[k] += dh[k] * to_cell[k % H_out];
      }
    }
    if (of === "input") {
      sizes.push(size(back("input", h.input.length / H_out)));
    }
    dh = back("state", H_out);
    if (kept) {
      for (let k = 0; k < dc.length; k++) {
        dc[k] *= kept[k % H_out];
      }
    }
    if (of === "state") {
      sizes.push(size(dh, dc));
    }
  }
  return Float64Array.from(sizes);
}

// -- What a curve says ----------------------------------------------------------------------------

/**
 * The distance from which on everything is less than a share of what is there at distance 0.
 * @param {Float64Array} curve by distance
 * @param {number} share
 * @returns {number | null} null if the last is not
 */
export function belowFrom(curve, share) {
  let from = curve.length;
  while (from > 0 && curve[from - 1] < share * curve[0]) {
    from--;
  }
  return from < curve.length ? from : null;
}

/**
 * The factor of a step, on average over the last four fifths of the distances.
 * @param {Float64Array} curve by distance
 * @returns {number} 0 if nothing arrives
 */
export function stepFactor(curve) {
  const last = curve.length - 1;
  const first = Math.round(last / 5);
  return curve[last] === 0 ? 0 : (curve[last] / curve[first]) ** (1 / (last - first));
}

/**
 * The middle of some numbers; one that is missing counts as larger than all others.
 * @param {readonly (number | null)[]} numbers
 * @returns {number | null} null if it is missing
 */
export function median(numbers) {
  const sorted = numbers.map((one) => one ?? Infinity).sort((a, b) => a - b);
  const half = sorted.length / 2;
  const middle = (sorted[Math.ceil(half) - 1] + sorted[Math.floor(half)]) / 2;
  return Number.isFinite(middle) ? middle : null;
}

/**
 * One time step. A *step* takes input that is already projected by `weight_ih`; a *cell* projects
 * it first, as `nn.RNNCell` does. The formula is the code, as in `unrolled.cells`.
 */

import { add, chunk, linear, mul, relu, sigmoid, split, sub, tanh } from "./arrays.js";

/** @import { Tensor } from "./init.js" */
/** @typedef {Tensor | null | undefined} Optional */

/** @type {Record<string, (a: Tensor) => Tensor>} */
export const ACTIVATIONS = { tanh, relu };

/**
 * h_t = tanh(h_{t-1} W_hh^T + b_hh + x_t W_ih^T + b_ih)
 * @param {Tensor} x_projected (N, H_out)
 * @param {Tensor} h (N, H_out)
 * @param {Tensor} weight_hh (H_out, H_out)
 * @param {Optional} [bias_hh] (H_out,)
 * @param {string} [nonlinearity]
 */
export function rnnStep(x_projected, h, weight_hh, bias_hh, nonlinearity = "tanh") {
  const activation = ACTIVATIONS[nonlinearity];
  return activation(add(linear(h, weight_hh, bias_hh), x_projected)); // (N, H_out)
}

/**
 * The gates `i f g o` of a step of an LSTM.
 * @param {Tensor} x_projected (N, 4 * hidden_size)
 * @param {Tensor} h (N, H_out)
 * @param {Tensor} weight_hh (4 * hidden_size, H_out)
 * @param {Optional} [bias_hh] (4 * hidden_size,)
 */
export function lstmGates(x_projected, h, weight_hh, bias_hh) {
  const gates = add(linear(h, weight_hh, bias_hh), x_projected); // (N, 4 * hidden_size)
  const [i, f, g, o] = chunk(gates, 4); // (N, hidden_size) each
  return { i: sigmoid(i), f: sigmoid(f), g: tanh(g), o: sigmoid(o) };
}

/**
 * c_t = f c_{t-1} + i g, h_t = o tanh(c_t)
 * @param {Tensor} x_projected (N, 4 * hidden_size)
 * @param {readonly Tensor[]} state h (N, H_out) and c (N, hidden_size)
 * @param {Tensor} weight_hh (4 * hidden_size, H_out)
 * @param {Optional} [bias_hh] (4 * hidden_size,)
 */
export function lstmStep(x_projected, [h_before, c_before], weight_hh, bias_hh) {
  const { i, f, g, o } = lstmGates(x_projected, h_before, weight_hh, bias_hh);
  const c_t = add(mul(f, c_before), mul(i, g));
  const h_t = mul(o, tanh(c_t));
  return [h_t, c_t]; // (N, hidden_size) each
}

/**
 * The gates `r z`, the candidate `n`, and `m = h_{t-1} W_hn^T + b_hn` of a step of a GRU.
 * @param {Tensor} x_projected (N, 3 * H_out)
 * @param {Tensor} h (N, H_out)
 * @param {Tensor} weight_hh (3 * H_out, H_out)
 * @param {Optional} [bias_hh] (3 * H_out,)
 */
export function gruGates(x_projected, h, weight_hh, bias_hh) {
  const H_out = h.shape[1];
  const h_projected = linear(h, weight_hh, bias_hh); // (N, 3 * H_out)
  // Add the two parts for r and z only: n keeps them separate, since r multiplies one of them.
  const [rz_h, m] = split(h_projected, [2 * H_out, H_out]);
  const [rz_x, n_x] = split(x_projected, [2 * H_out, H_out]);
  const [r, z] = chunk(sigmoid(add(rz_h, rz_x)), 2); // (N, H_out) each
  return { r, z, n: tanh(add(n_x, mul(r, m))), m };
}

/**
 * h_t = (1 - z) n + z h_{t-1}, computed as PyTorch does
 * @param {Tensor} x_projected (N, 3 * H_out)
 * @param {Tensor} h (N, H_out)
 * @param {Tensor} weight_hh (3 * H_out, H_out)
 * @param {Optional} [bias_hh] (3 * H_out,)
 */
export function gruStep(x_projected, h, weight_hh, bias_hh) {
  const { z, n } = gruGates(x_projected, h, weight_hh, bias_hh);
  return add(mul(sub(h, n), z), n); // (N, H_out)
}

/**
 * @param {Tensor} x (N, H_in)
 * @param {Tensor} h (N, H_out)
 * @param {Tensor} weight_ih (H_out, H_in)
 * @param {Tensor} weight_hh (H_out, H_out)
 * @param {Optional} [bias_ih] (H_out,)
 * @param {Optional} [bias_hh] (H_out,)
 * @param {string} [nonlinearity]
 */
export function rnnCell(x, h, weight_ih, weight_hh, bias_ih, bias_hh, nonlinearity = "tanh") {
  return rnnStep(linear(x, weight_ih, bias_ih), h, weight_hh, bias_hh, nonlinearity);
}

/**
 * @param {Tensor} x (N, H_in)
 * @param {readonly Tensor[]} state h (N, H_out) and c (N, hidden_size)
 * @param {Tensor} weight_ih (4 * hidden_size, H_in)
 * @param {Tensor} weight_hh (4 * hidden_size, H_out)
 * @param {Optional} [bias_ih] (4 * hidden_size,)
 * @param {Optional} [bias_hh] (4 * hidden_size,)
 * @param {Optional} [weight_hr] (H_out, hidden_size)
 */
export function lstmCell(x, state, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr) {
  const [h, c] = lstmStep(linear(x, weight_ih, bias_ih), state, weight_hh, bias_hh);
  return [weight_hr ? linear(h, weight_hr) : h, c];
}

/**
 * @param {Tensor} x (N, H_in)
 * @param {Tensor} h (N, H_out)
 * @param {Tensor} weight_ih (3 * H_out, H_in)
 * @param {Tensor} weight_hh (3 * H_out, H_out)
 * @param {Optional} [bias_ih] (3 * H_out,)
 * @param {Optional} [bias_hh] (3 * H_out,)
 */
export function gruCell(x, h, weight_ih, weight_hh, bias_ih, bias_hh) {
  return gruStep(linear(x, weight_ih, bias_ih), h, weight_hh, bias_hh);
}

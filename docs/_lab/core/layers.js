/**
 * From one loop over time to a whole network: directions and layers.
 *
 * A state is a list: `[h]`, or `[h, c]` for an LSTM.
 */

import { asRows, cat, linear, stack, unbind, zeros } from "./arrays.js";
import { gruStep, lstmStep, rnnStep } from "./cells.js";
import { scan } from "./scan.js";
import { parameterName } from "./shapes.js";

/** @import { Tensor } from "./init.js" */
/** @typedef {Tensor[]} State */
/** @typedef {(x_projected: Tensor, state: State, weights: Weights) => State} Step */
/**
 * The parameters of one layer in one direction.
 * @typedef {object} Weights
 * @property {Tensor} weight_ih (gate_size, layer_input_size)
 * @property {Tensor} weight_hh (gate_size, H_out)
 * @property {Tensor | null} bias_ih (gate_size,)
 * @property {Tensor | null} bias_hh (gate_size,)
 * @property {Tensor | null} weight_hr (H_out, hidden_size)
 */
/**
 * One layer in one direction: what entered it and the states after its steps, in time order.
 * @typedef {{ inputs: Tensor[], initial: State, states: State[], last: State }} Ran
 */

/**
 * The step of each mode.
 * @type {Record<string, Step>}
 */
export const STEPS = {
  RNN_TANH: (x, [h], w) => [rnnStep(x, h, w.weight_hh, w.bias_hh)],
  RNN_RELU: (x, [h], w) => [rnnStep(x, h, w.weight_hh, w.bias_hh, "relu")],
  GRU: (x, [h], w) => [gruStep(x, h, w.weight_hh, w.bias_hh)],
  LSTM: (x, state, w) => {
    const [h, c] = lstmStep(x, state, w.weight_hh, w.bias_hh);
    return [w.weight_hr ? linear(h, w.weight_hr) : h, c];
  },
};

/**
 * Project the input of all time steps at once.
 * @param {readonly Tensor[]} inputs L of (N, layer_input_size)
 * @param {Weights} weights
 * @returns {Tensor[]} L of (N, gate_size)
 */
export function project(inputs, { weight_ih, bias_ih }) {
  const rows = linear(asRows(stack(inputs)), weight_ih, bias_ih); // (L * N, gate_size)
  return unbind({ shape: [inputs.length, inputs[0].shape[0], rows.shape[1]], data: rows.data });
}

/**
 * Run one layer in one direction.
 * @param {Step} step
 * @param {Tensor[]} inputs L of (N, layer_input_size)
 * @param {State} initial
 * @param {Weights} weights
 * @param {boolean} reverse
 * @returns {Ran}
 */
export function plainDirection(step, inputs, initial, weights, reverse) {
  const projected = project(inputs, weights);
  const run = (/** @type {Tensor} */ x, /** @type {State} */ state) => step(x, state, weights);
  return { inputs, initial, ...scan(run, projected, initial, reverse) };
}

/**
 * Run all layers, each on the output of the layer below.
 * @param {Step} step
 * @param {Tensor} input (L, N, H_in)
 * @param {readonly Tensor[]} hx h_0 (D * num_layers, N, H_out), for an LSTM also c_0
 *   (D * num_layers, N, hidden_size)
 * @param {readonly (readonly Weights[])[]} layers by layer and direction
 */
export function runNetwork(step, input, hx, layers) {
  const D = layers[0].length;
  const initial = hx.map(unbind);
  let inputs = unbind(input);
  const ran = layers.map((layer, number) => {
    const directions = layer.map((weights, direction) => {
      const state = initial.map((part) => part[number * D + direction]);
      return plainDirection(step, inputs, state, weights, direction === 1);
    });
    inputs = directions[0].states.map((_, t) => cat(directions.map(({ states }) => states[t][0])));
    return directions;
  });
  const last = ran.flat().map((direction) => direction.last);
  return {
    /** (L, N, D * H_out) */
    output: stack(inputs),
    /** h_n, for an LSTM also c_n */
    hx: initial.map((_, part) => stack(last.map((state) => state[part]))),
    /** By layer and direction. */
    ran,
  };
}

/**
 * The states before the first step that PyTorch takes when there are none.
 * @param {string} mode
 * @param {number} N
 * @param {readonly (readonly Weights[])[]} layers
 * @returns {Tensor[]} h_0, for an LSTM also c_0
 */
export function zeroStates(mode, N, layers) {
  const count = layers.length * layers[0].length;
  const { weight_hh, weight_hr } = layers[0][0];
  const h_0 = zeros([count, N, weight_hh.shape[1]]);
  const hidden_size = (weight_hr ?? weight_hh).shape[1];
  return mode === "LSTM" ? [h_0, zeros([count, N, hidden_size])] : [h_0];
}

/**
 * Collect parameters by layer and direction.
 * @param {Record<string, Tensor>} parameters by name
 * @returns {Weights[][]}
 */
export function weightsOf(parameters) {
  const find = (/** @type {string} */ kind, /** @type {number[]} */ [layer, direction]) =>
    parameters[parameterName(kind, layer, direction)] ?? null;
  /** @type {Weights[][]} */
  const layers = [];
  for (let layer = 0; find("weight_ih", [layer, 0]); layer++) {
    const directions = [0, 1].filter((direction) => find("weight_ih", [layer, direction]));
    layers.push(
      directions.map((direction) => ({
        weight_ih: find("weight_ih", [layer, direction]),
        weight_hh: find("weight_hh", [layer, direction]),
        bias_ih: find("bias_ih", [layer, direction]),
        bias_hh: find("bias_hh", [layer, direction]),
        weight_hr: find("weight_hr", [layer, direction]),
      })),
    );
  }
  return layers;
}

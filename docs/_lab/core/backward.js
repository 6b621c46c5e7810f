/**
 * The backward pass by hand, by the formulas of `unrolled.bptt`.
 *
 * The gradient goes back from the last step that ran to the first. Beside the gradients that a
 * training loop wants, those of all states are kept: they say how much each moment matters.
 */

import {
  add,
  asRows,
  cat,
  clone,
  matmul,
  mul,
  oneMinus,
  split,
  stack,
  sub,
  sumRows,
  tanh,
  transpose,
  unbind,
  zeros,
} from "./arrays.js";
import { gruGates, lstmGates } from "./cells.js";
import { project, runNetwork, STEPS, weightsOf } from "./layers.js";
import { order } from "./scan.js";
import { parameterName } from "./shapes.js";

/** @import { Tensor } from "./init.js" */
/** @import { Ran, State, Weights } from "./layers.js" */
/**
 * One step, once more: its projected input, and the states before and after it.
 * @typedef {{ x: Tensor, before: State, after: State, weights: Weights }} Moment
 */
/**
 * What a step sends back.
 * @typedef {object} Sent
 * @property {Tensor} from_x gradient of the projected input (N, gate_size)
 * @property {Tensor} from_h gradient of the projected state (N, gate_size)
 * @property {State} before gradients of the state before the step, without the part through from_h
 * @property {Tensor} [h] the hidden state before the projection (N, hidden_size)
 */
/**
 * Gradients of all states of one direction.
 * @typedef {Tensor[]} Traced h (L, N, H_out), for an LSTM also c (L, N, hidden_size)
 */

/** @type {(s: Tensor) => Tensor} */
const sigmoidSlope = (s) => mul(s, oneMinus(s)); // in terms of the result
/** @type {(y: Tensor) => Tensor} */
const tanhSlope = (y) => oneMinus(mul(y, y)); // the same

/** @type {(dh: Tensor, h: Tensor) => Tensor} */
const throughTanh = (dh, h) => mul(dh, tanhSlope(h));
/** @type {(dh: Tensor, h: Tensor) => Tensor} */
const throughRelu = (dh, h) => ({
  shape: dh.shape,
  data: dh.data.map((grad, k) => (h.data[k] <= 0 ? 0 : grad)), // an infinite one times 0 is NaN
});

/**
 * da_t = dh_t * slope_t
 * @param {(dh: Tensor, h: Tensor) => Tensor} through
 * @returns {(moment: Moment, grad: State) => Sent}
 */
const rnnBackward =
  (through) =>
  ({ after: [h] }, [dh]) => {
    const da = through(dh, h); // (N, H_out)
    return { from_x: da, from_h: da, before: [zeros(dh.shape)] };
  };

/**
 * A state reaches the next one along two paths: directly, multiplied by z, and through the gates.
 * @param {Moment} moment
 * @param {State} grad
 * @returns {Sent}
 */
function gruBackward({ x, before: [h], weights }, [dh]) {
  const { r, z, n, m } = gruGates(x, h, weights.weight_hh, weights.bias_hh);
  const dn = mul(mul(dh, oneMinus(z)), tanhSlope(n)); // (N, H_out)
  const dz = mul(mul(dh, sub(h, n)), sigmoidSlope(z));
  const dr = mul(mul(dn, m), sigmoidSlope(r));
  const dm = mul(dn, r);
  return { from_x: cat([dr, dz, dn]), from_h: cat([dr, dz, dm]), before: [mul(dh, z)] };
}

/**
 * The cell state passes its gradient back multiplied by f alone, the hidden state through the gates.
 * @param {Moment} moment
 * @param {State} grad that of the cell state is completed in place
 * @returns {Sent}
 */
function lstmBackward({ x, before: [h_before, c_before], after: [, c], weights }, [dh, dc]) {
  const { i, f, g, o } = lstmGates(x, h_before, weights.weight_hh, weights.bias_hh);
  const tanh_c = tanh(c);
  const d = weights.weight_hr ? matmul(dh, weights.weight_hr) : dh; // (N, hidden_size)
  dc.data.set(add(dc, mul(mul(d, o), tanhSlope(tanh_c))).data);
  const di = mul(mul(dc, g), sigmoidSlope(i));
  const df = mul(mul(dc, c_before), sigmoidSlope(f));
  const dg = mul(mul(dc, i), tanhSlope(g));
  const da_o = mul(mul(d, tanh_c), sigmoidSlope(o));
  const gates = cat([di, df, dg, da_o]); // (N, 4 * hidden_size)
  const before = [zeros(dh.shape), mul(dc, f)];
  return { from_x: gates, from_h: gates, before, h: mul(o, tanh_c) };
}

/**
 * The backward pass of one step, for each mode.
 * @type {Record<string, (moment: Moment, grad: State) => Sent>}
 */
const BACKWARD = {
  RNN_TANH: rnnBackward(throughTanh),
  RNN_RELU: rnnBackward(throughRelu),
  GRU: gruBackward,
  LSTM: lstmBackward,
};

/** @type {(steps: readonly Tensor[]) => Tensor} */
const rows = (steps) => asRows(stack(steps)); // (L * N, features)

/**
 * Go backward through one direction of one layer.
 * @param {string} mode
 * @param {Ran} ran
 * @param {Weights} weights
 * @param {boolean} reverse
 * @param {readonly State[]} grads of the state after each step, without the part that arrives
 *   through later steps; **completed in place**
 */
function backwardDirection(mode, { inputs, initial, states }, weights, reverse, grads) {
  const projected = project(inputs, weights);
  const times = order(inputs.length, reverse);
  const first = initial.map((part) => zeros(part.shape));
  /** @type {Sent[]} */
  const sent = [];
  /** @type {Tensor[]} */
  const h_before = [];
  for (let at = times.length - 1; at >= 0; at--) {
    const t = times[at];
    const before = at > 0 ? states[times[at - 1]] : initial;
    const moment = { x: projected[t], before, after: states[t], weights };
    sent[t] = BACKWARD[mode](moment, grads[t]);
    h_before[t] = before[0];
    const through = matmul(sent[t].from_h, weights.weight_hh); // (N, H_out)
    const to = at > 0 ? grads[times[at - 1]] : first;
    to.forEach((grad, part) => {
      const direct = sent[t].before[part];
      grad.data.set(add(grad, part === 0 ? add(direct, through) : direct).data);
    });
  }
  const from_x = rows(sent.map((one) => one.from_x)); // (L * N, gate_size)
  const from_h = rows(sent.map((one) => one.from_h));
  const grad_h = rows(grads.map(([h]) => h)); // (L * N, H_out)
  const h = weights.weight_hr && rows(sent.map((one) => one.h ?? one.from_h));
  return {
    inputs: matmul(from_x, weights.weight_ih), // (L * N, layer_input_size)
    first,
    weights: {
      weight_ih: matmul(transpose(from_x), rows(inputs)),
      weight_hh: matmul(transpose(from_h), rows(h_before)),
      bias_ih: weights.bias_ih && sumRows(from_x),
      bias_hh: weights.bias_hh && sumRows(from_h),
      weight_hr: h && matmul(transpose(grad_h), h),
    },
  };
}

/**
 * Go forward and backward through a network.
 * @param {string} mode `RNN_TANH`, `RNN_RELU`, `GRU` or `LSTM`
 * @param {Tensor} input (L, N, H_in)
 * @param {readonly Tensor[]} hx h_0, for an LSTM also c_0
 * @param {Record<string, Tensor>} parameters by name
 * @param {object} grads where the gradient begins; what is left out is zero
 * @param {Tensor} [grads.output] (L, N, D * H_out)
 * @param {readonly Tensor[]} [grads.hx] of the last states, h_n, for an LSTM also c_n
 * @param {readonly (readonly (Traced | null)[])[]} [grads.states] of the states of each layer and
 *   direction
 */
export function networkBackward(mode, input, hx, parameters, grads) {
  const layers = weightsOf(parameters);
  const [L, N] = input.shape;
  const D = layers[0].length;
  const { ran } = runNetwork(STEPS[mode], input, hx, layers);
  const last = grads.hx?.map(unbind);
  /** @type {Record<string, Tensor>} */
  const found = {};
  /** @type {Traced[][]} */
  const traced = [];
  /** @type {State[]} */
  const first = [];
  let from_above = grads.output && unbind(grads.output);
  for (let layer = layers.length - 1; layer >= 0; layer--) {
    const widths = layers[layer].map(({ weight_hh }) => weight_hh.shape[1]);
    const parts = from_above?.map((grad) => split(grad, widths));
    /** @type {Tensor | null} */
    let below = null; // (L * N, layer_input_size)
    traced[layer] = [];
    layers[layer].forEach((weights, direction) => {
      const [reverse, at] = [direction === 1, layer * D + direction];
      const seed = grads.states?.[layer]?.[direction]?.map(unbind);
      const { states } = ran[layer][direction];
      // A copy, which the chain completes.
      const steps = states.map((state, t) =>
        state.map((like, part) => (seed ? clone(seed[part][t]) : zeros(like.shape))),
      );
      steps.forEach(([h], t) => parts && h.data.set(add(h, parts[t][direction]).data));
      const end = steps[reverse ? 0 : L - 1];
      end.forEach((grad, part) => last && grad.data.set(add(grad, last[part][at]).data));
      const back = backwardDirection(mode, ran[layer][direction], weights, reverse, steps);
      below = below ? add(below, back.inputs) : back.inputs;
      first[at] = back.first;
      traced[layer][direction] = hx.map((_, part) => stack(steps.map((step) => step[part])));
      for (const [kind, grad] of Object.entries(back.weights)) {
        if (grad) {
          found[parameterName(kind, layer, direction)] = grad;
        }
      }
    });
    const { shape, data } = /** @type {Tensor} */ (/** @type {unknown} */ (below));
    from_above = unbind({ shape: [L, N, shape[1]], data });
  }
  return {
    /** (L, N, H_in) */
    input: stack(/** @type {Tensor[]} */ (from_above)),
    /** Of h_0, for an LSTM also of c_0. */
    hx: hx.map((_, part) => stack(first.map((state) => state[part]))),
    /** By name, in the order of `parameters`. */
    parameters: Object.fromEntries(Object.keys(parameters).map((name) => [name, found[name]])),
    /** Of the state after each step, by layer and direction. */
    states: traced,
  };
}

/**
 * The known mistakes beside PyTorch's numbers: what each changes, and by how much it is off.
 *
 * The names are those of `unrolled.MISTAKES`, which `diagnose` reports. A mistake changes the
 * parameters, the step, or the way in which the network is called.
 */

import {
  add,
  cat,
  chunk,
  linear,
  mul,
  oneMinus,
  sigmoid,
  split,
  stack,
  tanh,
  transpose,
  unbind,
  zeros,
} from "./arrays.js";
import { Generator, uniformParameters } from "./init.js";
import { plainDirection, runNetwork, STEPS, weightsOf, zeroStates } from "./layers.js";
import { checkChoice, checkNumber } from "./settings.js";
import { GATES, shapeText } from "./shapes.js";

/** @import { Tensor } from "./init.js" */
/** @import { Step, Weights } from "./layers.js" */
/**
 * @typedef {object} Setting
 * @property {string} kind `RNN`, `GRU` or `LSTM`
 * @property {number} N
 * @property {number} L
 * @property {number} H_in
 * @property {number} H_out
 * @property {bigint} seed
 */
/**
 * What `torch.manual_seed(seed); rnn = nn.LSTM(H_in, H_out); x = torch.randn(L, N, H_in)` makes.
 * @typedef {object} Made
 * @property {Setting} setting
 * @property {string} mode
 * @property {Step} step PyTorch's
 * @property {Weights} weights of layer 0, forwards
 * @property {Weights[][]} layers
 * @property {Tensor} x (L, N, H_in)
 */
/** @typedef {{ right: Tensor, wrong: Tensor }} Pair PyTorch's numbers and ours (L, N, features) */
/**
 * @typedef {object} Mistake
 * @property {string} name as `diagnose` says it, or as the chapter on silent mistakes does
 * @property {readonly string[]} kinds
 * @property {string} says
 * @property {(setting: Setting) => [string, string]} lines of Python: PyTorch's and the wrong one
 * @property {string} real what you see in a real model
 * @property {string} see the section that explains it
 * @property {(made: Made) => Pair} compare
 * @property {boolean} [bidirectional]
 * @property {string} [along] what the numbers are counted along, if not time steps
 * @property {(setting: Setting) => string | null} [caught] the error that PyTorch raises, if the
 *   sizes do not let the mistake pass
 */

export const MODULES = ["RNN", "GRU", "LSTM"];
const GATED = ["GRU", "LSTM"];
/** A difference up to this share of the largest number is rounding. */
export const ROUNDING = 1e-6;
export const LIMITS = { N: 8, L: 48, H_in: 12, H_out: 12 };
export const SIZES = /** @type {(keyof typeof LIMITS)[]} */ (Object.keys(LIMITS));

/** @type {(setting: { kind: string }) => number} */
const gatesOf = ({ kind }) => GATES[kind === "RNN" ? "RNN_TANH" : kind].length;

/**
 * Refuse what the page does not compute.
 * @param {Setting} setting
 */
function checkSetting(setting) {
  checkChoice("module", setting.kind, MODULES);
  for (const name of SIZES) {
    checkNumber(name, setting[name], [1, LIMITS[name]], true);
  }
}

/**
 * @param {Setting} setting
 * @param {boolean} bidirectional
 * @returns {Made}
 */
function make(setting, bidirectional) {
  const { kind, N, L, H_in, H_out, seed } = setting;
  const mode = kind === "RNN" ? "RNN_TANH" : kind;
  const generator = new Generator(seed);
  const sizes = { input_size: H_in, hidden_size: H_out, num_layers: 1, proj_size: 0 };
  const parameters = uniformParameters({ mode, ...sizes, bias: true, bidirectional }, generator);
  const layers = weightsOf(parameters);
  const x = generator.normal([L, N, H_in]);
  return { setting, mode, step: STEPS[mode], weights: layers[0][0], layers, x };
}

/**
 * Run the network from zero states.
 * @param {Made} made
 * @param {object} [changed]
 * @param {Step} [changed.step]
 * @param {Weights} [changed.weights]
 * @param {Tensor} [changed.x] (L, N, H_in)
 * @returns {Tensor} (L, N, H_out)
 */
function run({ mode, layers, ...made }, { step = made.step, weights = made.weights, x = made.x } = {}) {
  const initial = zeroStates(mode, x.shape[1], layers).map((part) => unbind(part)[0]);
  const { states } = plainDirection(step, unbind(x), initial, weights, false);
  return stack(states.map(([h]) => h));
}

/**
 * PyTorch's output.
 * @param {Made} made
 */
const rightOutput = ({ mode, step, x, layers }) =>
  runNetwork(step, x, zeroStates(mode, x.shape[1], layers), layers).output;

/** @type {(change: (made: Made) => { step?: Step, weights?: Weights, x?: Tensor }) => (made: Made) => Pair} */
const changed = (change) => (made) => ({
  right: rightOutput(made),
  wrong: run(made, change(made)),
});

/** @type {(change: (weights: Weights, made: Made) => Partial<Weights>) => (made: Made) => Pair} */
const reweighted = (change) =>
  changed((made) => ({ weights: { ...made.weights, ...change(made.weights, made) } }));

// -- Parameters -----------------------------------------------------------------------------------

/**
 * Give the blocks of a parameter, one for each gate, another order or content.
 * @param {Tensor} parameter (gates * H_out, ...)
 * @param {number} count of gates
 * @param {(blocks: Tensor[]) => Tensor[]} change
 * @returns {Tensor}
 */
function inBlocks(parameter, count, change) {
  const [rows, ...rest] = parameter.shape;
  const blocks = unbind({ shape: [count, rows / count, ...rest], data: parameter.data });
  return { shape: parameter.shape, data: stack(change(blocks)).data };
}

/** @type {(weight: Tensor, made: Made) => Tensor} */
const asStored = (weight, { setting }) =>
  inBlocks(weight, gatesOf(setting), (blocks) => blocks.map(transpose));

/**
 * The weight whose transpose is `weight.reshape(columns, rows)`.
 * @type {(weight: Tensor) => Tensor}
 */
const reshaped = ({ shape: [rows, columns], data }) => transpose({ shape: [columns, rows], data });

/**
 * Read the blocks of all parameters in another order than they are stored.
 * @param {string} order
 */
const readAs = (order) =>
  reweighted((weights, { mode }) => {
    const gates = GATES[mode];
    /** @type {(parameter: Tensor) => Tensor} */
    const read = (parameter) =>
      inBlocks(parameter, gates.length, (blocks) => gates.map((gate) => blocks[order.indexOf(gate)]));
    const { weight_ih, weight_hh, bias_ih, bias_hh } = weights;
    return {
      weight_ih: read(weight_ih),
      weight_hh: read(weight_hh),
      bias_ih: bias_ih && read(bias_ih),
      bias_hh: bias_hh && read(bias_hh),
    };
  });

/** @type {(a: Tensor | null) => Tensor | null} */
const twice = (a) => a && add(a, a);
/** @type {(a: Tensor | null, b: Tensor | null) => Tensor | null} */
const sum = (a, b) => a && b && add(a, b);

/** @type {(weights: Weights, made: Made) => Partial<Weights>} */
const oneMoreForget = ({ bias_ih }, { setting: { H_out } }) => ({
  bias_ih: bias_ih && {
    shape: bias_ih.shape,
    data: bias_ih.data.map((b, k) => (Math.floor(k / H_out) === 1 ? b + 1 : b)),
  },
});

// -- Steps ----------------------------------------------------------------------------------------

/** @type {(a: Tensor) => Tensor} */
const hardSigmoid = ({ shape, data }) => ({
  shape,
  data: data.map((a) => Math.min(1, Math.max(0, 0.2 * a + 0.5))),
});

/**
 * A step of an LSTM with another function for its gates.
 * @param {(a: Tensor) => Tensor} gate
 * @returns {Step}
 */
const lstmWith = (gate) => (x, [h, c], { weight_hh, bias_hh }) => {
  const [i, f, g, o] = chunk(add(linear(h, weight_hh, bias_hh), x), 4); // (N, H_out) each
  const c_t = add(mul(gate(f), c), mul(gate(i), tanh(g)));
  return [mul(gate(o), tanh(c_t)), c_t];
};

/**
 * A step of a GRU with other choices.
 * @param {object} [choices]
 * @param {(a: Tensor) => Tensor} [choices.gate]
 * @param {boolean} [choices.before] whether r multiplies the state before the product
 * @param {boolean} [choices.exchanged] whether z and 1 - z are
 * @returns {Step}
 */
const gruWith = ({ gate = sigmoid, before = false, exchanged = false } = {}) =>
  (x, [h], { weight_hh, bias_hh }) => {
    const H = h.shape[1];
    const [rz_h, n_h] = split(linear(h, weight_hh, bias_hh), [2 * H, H]);
    const [rz_x, n_x] = split(x, [2 * H, H]);
    const [r, z] = chunk(gate(add(rz_h, rz_x)), 2); // (N, H_out) each
    const from_h = before
      ? split(linear(mul(r, h), weight_hh, bias_hh), [2 * H, H])[1]
      : mul(r, n_h);
    const n = tanh(add(n_x, from_h));
    const [kept, taken] = exchanged ? [oneMinus(z), z] : [z, oneMinus(z)];
    return [add(mul(taken, n), mul(kept, h))];
  };

/** @type {(made: Made) => { step: Step }} */
const fromTheStart = ({ step }) => ({
  step: (x, state, weights) => step(x, state.map((part) => zeros(part.shape)), weights),
});

// -- Calls ----------------------------------------------------------------------------------------

/**
 * Exchange the first two dimensions.
 * @type {(a: Tensor) => Tensor}
 */
function exchange(a) {
  const steps = unbind(a);
  return stack(
    Array.from({ length: a.shape[1] }, (_, n) => stack(steps.map((step) => unbind(step)[n]))),
  );
}

/** @type {(made: Made) => Pair} */
const overTheBatch = (made) => ({
  right: rightOutput(made),
  wrong: exchange(run(made, { x: exchange(made.x) })),
});

/** @type {(made: Made) => { x: Tensor }} */
const throughAView = ({ x }) => ({ x: { shape: x.shape, data: exchange(x).data } });

/**
 * Both directions, for sequences of 1, 2, … L steps: their last states, and the last time step of
 * the output.
 * @type {(made: Made) => Pair}
 */
function lastOutput({ mode, step, x, layers }) {
  const [L, N, H_in] = x.shape;
  const pairs = Array.from({ length: L }, (_, t) => {
    const start = { shape: [t + 1, N, H_in], data: x.data.subarray(0, (t + 1) * N * H_in) };
    const { output, hx } = runNetwork(step, start, zeroStates(mode, N, layers), layers);
    return [cat(unbind(hx[0])), unbind(output)[t]];
  });
  return { right: stack(pairs.map(([h_n]) => h_n)), wrong: stack(pairs.map(([, last]) => last)) };
}

/**
 * The lengths of the sequences of a padded batch: L, and evenly fewer.
 * @param {Setting} setting
 */
export const lengthsOf = ({ N, L }) =>
  Array.from({ length: N }, (_, n) => Math.ceil((L * (N - n)) / N));

/**
 * The states of a padded batch, which go on through the padding; PyTorch's packed ones stay.
 * @type {(made: Made) => Pair}
 */
function throughPadding(made) {
  const { setting, x } = made;
  const lengths = lengthsOf(setting);
  /** @type {(t: number, n: number) => boolean} */
  const padding = (t, n) => t >= lengths[n];
  const padded = zeros(x.shape);
  unbind(x).forEach((step, t) =>
    unbind(step).forEach((row, n) => padding(t, n) || unbind(unbind(padded)[t])[n].data.set(row.data)),
  );
  const wrong = run(made, { x: padded });
  const steps = unbind(wrong).map(unbind);
  const right = steps.map((rows, t) =>
    stack(rows.map((row, n) => (padding(t, n) ? steps[lengths[n] - 1][n] : row))),
  );
  return { right: stack(right), wrong };
}

// -- The table ------------------------------------------------------------------------------------

/** @type {(bias_ih: string, bias_hh: string) => (setting: Setting) => [string, string]} */
const biasLines = (bias_ih, bias_hh) => () => [
  "x_t @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh",
  `x_t @ weight_ih.T${bias_ih} + h @ weight_hh.T${bias_hh}`,
];
/** @type {(name: string, of: string) => (setting: Setting) => [string, string]} */
const productLines = (name, of) => (setting) => {
  const count = gatesOf(setting);
  return count === 1
    ? [`${of} @ ${name}.T`, `${of} @ ${name}`]
    : [`[${of} @ W.T for W in ${name}.chunk(${count})]`, `[${of} @ W for W in ${name}.chunk(${count})]`];
};
/** @type {(setting: Setting, options?: string) => string} */
const call = ({ kind, H_in, H_out }, options = "") => `nn.${kind}(${H_in}, ${H_out}${options})`;
/** @type {(order: string, right: string) => () => [string, string]} */
const orderLines = (order, right) => () => [
  `${[...right].join(", ")} = sums.chunk(${right.length}, dim=1)`,
  `${[...order].join(", ")} = sums.chunk(${right.length}, dim=1)`,
];

const LOADS =
  "The weights load without an error, and the numbers are wrong from the first batch on. A model " +
  "that is trained with the mistake from the start is a different network, in which nothing looks wrong.";
const NEW_START =
  "A model that is trained with the mistake is a different network, and may learn just as well, so nothing looks wrong. " +
  "With weights from elsewhere every number is off, even where the answers happen to stay right.";

/** @type {Record<string, Mistake>} by the word in the address */
export const MISTAKES = {
  one_state: {
    name: "one state for all time steps",
    kinds: MODULES,
    says: "Every time step starts from the initial state, which is broadcast over time. In PyTorch it starts from the state after the step before.",
    lines: () => ["state = cell(x[t], state)", "state = cell(x[t], state_0)"],
    real: "The network trains and remembers nothing: an output depends on its own input alone. A task that needs memory stays at chance.",
    see: "practice/diagnose.html#diagnose-one-state",
    compare: changed(fromTheStart),
  },
  hh_stored: {
    name: "weight_hh not transposed",
    kinds: MODULES,
    says: "The state is multiplied by weight_hh as it is stored, (new, old). PyTorch multiplies by its transpose. Each block is square, so neither product raises an error.",
    lines: productLines("weight_hh", "h"),
    real: NEW_START,
    see: "practice/errors_silent.html#silent-not-transposed",
    compare: reweighted(({ weight_hh }, made) => ({ weight_hh: asStored(weight_hh, made) })),
  },
  ih_stored: {
    name: "weight_ih not transposed",
    kinds: MODULES,
    says: "The input is multiplied by weight_ih as it is stored, (out, in). PyTorch multiplies by its transpose. With as many features in as out, neither product raises an error.",
    lines: productLines("weight_ih", "x_t"),
    real: NEW_START,
    see: "practice/errors_silent.html#silent-not-transposed",
    compare: reweighted(({ weight_ih }, made) => ({ weight_ih: asStored(weight_ih, made) })),
    caught: ({ N, H_in, H_out }) =>
      H_in === H_out
        ? null
        : `RuntimeError: mat1 and mat2 shapes cannot be multiplied (${N}x${H_in} and ${H_out}x${H_in})`,
  },
  hh_reshaped: {
    name: "weight_hh reshaped",
    kinds: GATED,
    says: "weight_hh gets the shape of its transpose by view or reshape, which leaves the numbers in their old order.",
    lines: () => ["h @ weight_hh.T", "h @ weight_hh.reshape(H_out, -1)"],
    real: LOADS,
    see: "practice/porting.html#porting-mistakes",
    compare: reweighted(({ weight_hh }) => ({ weight_hh: reshaped(weight_hh) })),
  },
  ih_reshaped: {
    name: "weight_ih reshaped",
    kinds: GATED,
    says: "weight_ih gets the shape of its transpose by view or reshape, which leaves the numbers in their old order.",
    lines: () => ["x_t @ weight_ih.T", "x_t @ weight_ih.reshape(H_in, -1)"],
    real: LOADS,
    see: "practice/porting.html#porting-mistakes",
    compare: reweighted(({ weight_ih }) => ({ weight_ih: reshaped(weight_ih) })),
  },
  onnx: {
    name: "gates read as i o f g",
    kinds: ["LSTM"],
    says: "The blocks of the parameters are read as i o f g, from top to bottom, as ONNX does. PyTorch has i f g o.",
    lines: orderLines("iofg", "ifgo"),
    real: LOADS,
    see: "practice/errors_silent.html#silent-gate-order",
    compare: readAs("iofg"),
  },
  tensorflow: {
    name: "gates read as i g f o",
    kinds: ["LSTM"],
    says: "The blocks of the parameters are read as i g f o, from top to bottom, as TensorFlow 1 did. PyTorch has i f g o, and so has Keras, which calls g c.",
    lines: orderLines("igfo", "ifgo"),
    real: LOADS,
    see: "practice/porting.html#porting-mistakes",
    compare: readAs("igfo"),
  },
  keras_gru: {
    name: "gates read as z r n",
    kinds: ["GRU"],
    says: "The blocks of the parameters are read as z r n, from top to bottom, as Keras and ONNX do. PyTorch has r z n.",
    lines: orderLines("zrn", "rzn"),
    real: LOADS,
    see: "practice/porting.html#porting-keras",
    compare: readAs("zrn"),
  },
  no_bias_ih: {
    name: "bias_ih missing",
    kinds: MODULES,
    says: "bias_ih is not added.",
    lines: biasLines("", " + bias_hh"),
    real: NEW_START,
    see: "practice/porting.html#porting-mistakes",
    compare: reweighted(() => ({ bias_ih: null })),
  },
  no_bias_hh: {
    name: "bias_hh missing",
    kinds: MODULES,
    says: "bias_hh is not added.",
    lines: biasLines(" + bias_ih", ""),
    real: NEW_START,
    see: "practice/porting.html#porting-mistakes",
    compare: reweighted(() => ({ bias_hh: null })),
  },
  no_biases: {
    name: "both biases missing",
    kinds: MODULES,
    says: "Neither bias_ih nor bias_hh is added.",
    lines: biasLines("", ""),
    real: NEW_START,
    see: "practice/porting.html#porting-mistakes",
    compare: reweighted(() => ({ bias_ih: null, bias_hh: null })),
  },
  biases_twice: {
    name: "both biases added twice",
    kinds: MODULES,
    says: "bias_ih and bias_hh are added twice each. An RNN or LSTM of Keras has one bias, the sum of both: a port that puts it into both adds it twice.",
    lines: () => ["bias_ih, bias_hh = bias, torch.zeros_like(bias)", "bias_ih, bias_hh = bias, bias"],
    real: "A ported model is off by as much as its biases matter. Where they are zero, as in an untrained RNN of Keras, you see nothing.",
    see: "practice/porting.html#porting-keras",
    compare: reweighted(({ bias_ih, bias_hh }) => ({
      bias_ih: twice(bias_ih),
      bias_hh: twice(bias_hh),
    })),
  },
  merged: {
    name: "biases merged",
    kinds: ["GRU"],
    says: "bias_ih and bias_hh are one vector, added to the projected input. In PyTorch's GRU the last part of bias_hh is multiplied by the reset gate.",
    lines: () => ["n = torch.tanh(n_x + b_in + r * (n_h + b_hn))", "n = torch.tanh(n_x + (b_in + b_hn) + r * n_h)"],
    real: NEW_START,
    see: "module/gru.html#gru-biases",
    compare: reweighted(({ bias_ih, bias_hh }) => ({ bias_ih: sum(bias_ih, bias_hh), bias_hh: null })),
  },
  hard_sigmoid: {
    name: "hard sigmoid of Keras 2",
    kinds: GATED,
    says: "The gates are clip(0.2 a + 0.5, 0, 1) of their sums a. PyTorch takes their sigmoid. It was the default of Keras before 2.3, and no weights make up for it.",
    lines: () => ["gate = torch.sigmoid(a)", "gate = (0.2 * a + 0.5).clamp(0, 1)"],
    real: "A model ported from an old Keras is nearly right, which makes the mistake hard to find: the weights are correct, and the numbers are not.",
    see: "practice/porting.html#porting-mistakes",
    compare: changed(({ mode }) => ({
      step: mode === "LSTM" ? lstmWith(hardSigmoid) : gruWith({ gate: hardSigmoid }),
    })),
  },
  forget_bias: {
    name: "1 added to the forget gate",
    kinds: ["LSTM"],
    says: "The sum of the forget gate gets 1 more, as TensorFlow 1 did by default. PyTorch adds nothing.",
    lines: () => ["f = torch.sigmoid(f)", "f = torch.sigmoid(f + 1)"],
    real: "A ported model keeps its cell state for longer than it was trained to. From Keras, add nothing: the 1 of unit_forget_bias is in the stored bias.",
    see: "practice/porting.html#porting-mistakes",
    compare: reweighted(oneMoreForget),
  },
  reset_before: {
    name: "reset before the product",
    kinds: ["GRU"],
    says: "The reset gate multiplies the state before its product with weight_hh. PyTorch multiplies the product, bias included.",
    lines: () => ["n = torch.tanh(n_x + r * linear(h, W_hn, b_hn))", "n = torch.tanh(n_x + linear(r * h, W_hn, b_hn))"],
    real: NEW_START,
    see: "module/gru.html#gru-which",
    compare: changed(() => ({ step: gruWith({ before: true }) })),
  },
  z_exchanged: {
    name: "z and 1 - z exchanged",
    kinds: ["GRU"],
    says: "The new state is (1 - z) * h + z * n. PyTorch has (1 - z) * n + z * h.",
    lines: () => ["h = (1 - z) * n + z * h", "h = (1 - z) * h + z * n"],
    real: NEW_START,
    see: "module/gru.html#gru-update-gate",
    compare: changed(() => ({ step: gruWith({ exchanged: true }) })),
  },
  batch_time: {
    name: "batch and time confused",
    kinds: MODULES,
    says: "The loop goes over the sequences of the batch, as if they were time steps: batch_first is forgotten, and the input has the batch in front.",
    lines: (setting) => [`${call(setting, ", batch_first=True")}(batch)`, `${call(setting)}(batch)`],
    real: "States flow from one sequence of the batch to the next, and nothing flows through time. The answer for a sequence changes with its neighbours.",
    see: "practice/errors_silent.html#silent-batch-first",
    compare: overTheBatch,
  },
  view: {
    name: "input reshaped, not transposed",
    kinds: MODULES,
    says: "Batch and time of the input are exchanged by view or reshape, which leaves the numbers in their old order and so mixes the sequences.",
    lines: () => ["x = batch.transpose(0, 1)  # (L, N, H_in)", "x = batch.reshape(L, N, H_in)"],
    real: "Each sequence is made of pieces of others. With a batch of one nothing is wrong, so a test of one sequence does not find it.",
    see: "practice/errors_silent.html#silent-view",
    compare: changed(throughAView),
  },
  last_output: {
    name: "output[:, -1] in two directions",
    kinds: MODULES,
    says: "The last time step of the output is taken as the summary of the sequence. The reverse direction starts there and has read one step; it ends at the first.",
    lines: () => ["summary = torch.cat([*h_n], dim=1)", "summary = output[:, -1]"],
    real: "Half of the features know the last input alone. The model trains, with less than it could know.",
    see: "module/states.html#states-last",
    compare: lastOutput,
    bidirectional: true,
    along: "length of the sequence",
  },
  padding: {
    name: "output[:, -1] of a padded batch",
    kinds: MODULES,
    says: "The state of a shorter sequence is updated through its padding. Packed, each sequence ends with its own last step.",
    lines: () => ["summary = output[torch.arange(N), lengths - 1]", "summary = output[:, -1]"],
    real: "The answer for a sequence depends on how long the others of its batch are. The longest sequence is right.",
    see: "practice/errors_silent.html#silent-last-padded",
    compare: throughPadding,
  },
};

/**
 * Give the mistakes that a kind of module can have.
 * @param {string} kind
 */
export const mistakesOf = (kind) =>
  Object.keys(MISTAKES).filter((id) => MISTAKES[id].kinds.includes(kind));

/**
 * Compute a network with a mistake, and PyTorch's numbers.
 * @param {Setting} setting
 * @param {string} id of the mistake
 */
export function drift(setting, id) {
  checkSetting(setting);
  checkChoice(`mistake for ${setting.kind}`, id, mistakesOf(setting.kind));
  const mistake = MISTAKES[id];
  const error = mistake.caught?.(setting);
  if (error) {
    throw new RangeError(
      `Here the shapes catch the mistake. PyTorch raises ${error}. With H_in equal to H_out it would pass.`,
    );
  }
  const { right, wrong } = mistake.compare(make(setting, mistake.bidirectional ?? false));
  let largest = 0;
  for (const value of right.data) {
    largest = Math.max(largest, Math.abs(value));
  }
  const mine = unbind(wrong);
  const off = unbind(right).map((step, t) =>
    step.data.reduce((most, value, k) => Math.max(most, Math.abs(value - mine[t].data[k])), 0),
  );
  return {
    /** (L, N, features) */
    right,
    wrong,
    /** Of each step: the largest difference. */
    off,
    /** The largest magnitude of PyTorch's numbers. */
    largest,
  };
}

/** @type {(setting: Setting, bidirectional: boolean) => string} */
export const madeText = (setting, bidirectional) => {
  const { N, L, H_in, seed } = setting;
  const rnn = call(setting, bidirectional ? ", bidirectional=True" : "");
  return `torch.manual_seed(${seed}); rnn = ${rnn}; x = torch.randn${shapeText([L, N, H_in])}`;
};

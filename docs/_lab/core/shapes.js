/**
 * Constructor arguments in, every shape out, by the rules of `torch.nn.RNNBase.__init__`.
 */

/** @typedef {readonly number[]} Shape */
/**
 * All arguments of a module that its constructor accepts.
 * @typedef {object} Module
 * @property {"RNN" | "GRU" | "LSTM"} kind
 * @property {string} mode `RNN_TANH`, `RNN_RELU`, `GRU` or `LSTM`
 * @property {number} input_size
 * @property {number} hidden_size
 * @property {number} num_layers
 * @property {boolean} bias
 * @property {boolean} batch_first
 * @property {number} dropout
 * @property {boolean} bidirectional
 * @property {number} proj_size
 * @property {string} dtype
 * @property {boolean} runs whether `forward` takes the arguments as well: not `bidirectional=1`
 */
/**
 * Those that say which parameters a module has.
 * @typedef {Pick<Module, "mode" | "input_size" | "hidden_size" | "num_layers" | "bias"
 *   | "bidirectional" | "proj_size">} Parametrised
 */

/** Something that these modules do not read. */
export class NotUnderstood extends Error {}

/**
 * The gates of each mode, in the order of their blocks of `hidden_size` rows, top to bottom.
 * @type {Record<string, readonly string[]>}
 */
export const GATES = {
  RNN_TANH: ["h"],
  RNN_RELU: ["h"],
  LSTM: ["i", "f", "g", "o"],
  GRU: ["r", "z", "n"],
};

/** @type {(mode: string, hidden_size: number) => number} */
export const gateSize = (mode, hidden_size) => GATES[mode].length * hidden_size;
/** @type {(hidden_size: number, proj_size?: number) => number} */
export const realHiddenSize = (hidden_size, proj_size = 0) =>
  proj_size > 0 ? proj_size : hidden_size;
/** @type {(bidirectional: boolean) => number} */
export const numDirections = (bidirectional) => (bidirectional ? 2 : 1);

/**
 * The features that enter a layer.
 * @param {number} layer
 * @param {number} input_size
 * @param {number} hidden_size
 * @param {boolean} [bidirectional]
 * @param {number} [proj_size]
 */
export function layerInputSize(layer, input_size, hidden_size, bidirectional = false, proj_size = 0) {
  const below = numDirections(bidirectional) * realHiddenSize(hidden_size, proj_size);
  return layer === 0 ? input_size : below;
}

/**
 * @param {string} kind such as `weight_ih`
 * @param {number} layer
 * @param {number} [direction] 0 runs forward in time, 1 backward
 */
export const parameterName = (kind, layer, direction = 0) =>
  `${kind}_l${layer}${direction ? "_reverse" : ""}`;

/**
 * The parts of a parameter's name: the inverse of `parameterName`.
 * @param {string} name
 * @returns {{ kind: string, layer: number, direction: number }}
 */
export function parseParameterName(name) {
  const found = /^(.+)_l(0|[1-9]\d*)(_reverse)?$/s.exec(name);
  if (!found) {
    throw new NotUnderstood(`name should end in a place such as _l0 or _l0_reverse, got '${name}'`);
  }
  return { kind: found[1], layer: Number(found[2]), direction: found[3] ? 1 : 0 };
}

/**
 * Name and shape of every parameter, in the order in which PyTorch registers them.
 * @param {Parametrised} module one that its constructor accepts: see `construct`
 * @returns {Record<string, number[]>}
 */
export function parameterShapes(module) {
  const { mode, input_size, hidden_size, num_layers, bias, bidirectional, proj_size } = module;
  const gates = gateSize(mode, hidden_size);
  const H_out = realHiddenSize(hidden_size, proj_size);
  /** @type {Record<string, number[]>} */
  const shapes = {};
  for (let layer = 0; layer < num_layers; layer++) {
    const H_in = layerInputSize(layer, input_size, hidden_size, bidirectional, proj_size);
    for (let direction = 0; direction < numDirections(bidirectional); direction++) {
      const name = (/** @type {string} */ kind) => parameterName(kind, layer, direction);
      shapes[name("weight_ih")] = [gates, H_in];
      shapes[name("weight_hh")] = [gates, H_out];
      if (bias) {
        shapes[name("bias_ih")] = [gates];
        shapes[name("bias_hh")] = [gates];
      }
      if (proj_size > 0) {
        shapes[name("weight_hr")] = [proj_size, hidden_size];
      }
    }
  }
  return shapes;
}

/**
 * Where the sizes of a parameter come from: for each dimension a formula, and what it counts.
 * @param {Module} module
 * @param {string} name
 * @returns {[string, string][]}
 */
export function sizeSources(module, name) {
  const { mode, input_size, hidden_size, bidirectional, proj_size } = module;
  const { kind, layer } = parseParameterName(name);
  const gates = GATES[mode];
  const [what, size] = proj_size > 0 ? ["proj_size", proj_size] : ["hidden_size", hidden_size];
  const times = (/** @type {number} */ count, /** @type {string} */ one, /** @type {number} */ of) =>
    count > 1 ? `${count} * ${one} = ${count} * ${of} = ${count * of}` : `${one} = ${of}`;
  /** @type {[string, string]} */
  const rows = [
    times(gates.length, "hidden_size", hidden_size),
    gates.length > 1 ? `gates ${gates.join(" ")}` : "the hidden state",
  ];
  if (kind === "weight_hr") {
    return [
      [`proj_size = ${proj_size}`, "the hidden state"],
      [`hidden_size = ${hidden_size}`, "the state before the projection"],
    ];
  }
  if (kind === "weight_hh") {
    return [rows, [`${what} = ${size}`, "the hidden state before the step"]];
  }
  if (kind !== "weight_ih") {
    return [rows];
  }
  if (layer === 0) {
    return [rows, [`input_size = ${input_size}`, "the input"]];
  }
  const below = `the output of layer ${layer - 1}${bidirectional ? ", both directions" : ""}`;
  return [rows, [times(numDirections(bidirectional), what, size), below]];
}

/** @type {(hidden_size: number) => number} */
export const uniformBound = (hidden_size) => 1 / Math.sqrt(hidden_size);

/** @type {(shape: Shape) => number} */
export const product = (shape) => shape.reduce((count, size) => count * size, 1);

/**
 * The shape of the input, or of what has its order.
 * @param {number} L
 * @param {number | null} N `null` for one sequence without a batch dimension
 * @param {number} features
 * @param {boolean} [batch_first]
 */
export function inputShape(L, N, features, batch_first = false) {
  if (N === null) {
    return [L, features];
  }
  return batch_first ? [N, L, features] : [L, N, features];
}

/** @type {(L: number, N: number | null, module: Module) => number[]} */
export const outputShape = (L, N, { hidden_size, bidirectional, proj_size, batch_first }) =>
  inputShape(
    L,
    N,
    numDirections(bidirectional) * realHiddenSize(hidden_size, proj_size),
    batch_first,
  );

/**
 * The shapes of `h_0` and `h_n`, and of an LSTM's `c_0` and `c_n`. `batch_first` does not change
 * them, and a projection does not change the cell state.
 * @param {number | null} N
 * @param {Module} module
 * @returns {number[][]}
 */
export function stateShapes(N, { mode, hidden_size, num_layers, bidirectional, proj_size }) {
  const widths = [realHiddenSize(hidden_size, proj_size), hidden_size];
  const count = numDirections(bidirectional) * num_layers;
  return widths
    .slice(0, mode === "LSTM" ? 2 : 1)
    .map((width) => (N === null ? [count, width] : [count, N, width]));
}

/** @type {(shape: Shape) => string} */
export const shapeText = (shape) => `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;

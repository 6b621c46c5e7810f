/**
 * A pass through one layer, line by line: each line as Python, with its operands and its result.
 *
 * A line is described once, as a tree of operations. The code, the numbers and the sum behind one
 * entry are three readings of that tree, so they cannot say different things.
 */

import {
  add,
  cat,
  linear,
  mul,
  oneMinus,
  relu,
  sigmoid,
  split,
  sub,
  tanh,
  transpose,
  unbind,
  zeros,
} from "./arrays.js";
import { Generator, uniformParameters } from "./init.js";
import { checkChoice, readSeed, readWhole } from "./settings.js";
import { GATES } from "./shapes.js";

/** @import { Tensor } from "./init.js" */
/**
 * @typedef {object} Settings
 * @property {string} mode `RNN_TANH`, `RNN_RELU`, `GRU` or `LSTM`
 * @property {string} pass `forward` or `backward`
 * @property {number} H_in
 * @property {number} H_out the hidden_size; with a projection the state is narrower
 * @property {number} N
 * @property {number} L
 * @property {bigint} seed
 * @property {boolean} batch_first whether x is drawn as (N, L, H_in)
 * @property {boolean} randn whether the first state is drawn; otherwise it is zero
 * @property {boolean} bias
 * @property {number} proj_size
 * @property {readonly number[] | null} loss an entry of the last state; null for its sum
 */
/**
 * A tensor with its name, or some of its columns.
 * @typedef {object} Leaf
 * @property {string} name
 * @property {string} token its colour in the legend
 * @property {Tensor} tensor (rows, columns), or (columns,); of the columns alone
 * @property {number} from the first of the columns
 * @property {boolean} part whether there are other columns
 * @property {string} role `left`, `right`, `bias` or `entry`
 * @property {boolean} [transposed] whether the name stands for the transpose
 */
/** @typedef {Leaf | { op: string, args: readonly Tree[] }} Tree */
/**
 * A tree of one entry: its leaves have names such as `h_1[1, 2]`, and numbers.
 * @typedef {{ name: string, of: string, row: number, column: number, value: number }} Entry
 * @typedef {Entry | { op: string, args: readonly Sum[] }} Sum
 */
/**
 * @typedef {object} Line
 * @property {number} step the time step, counted from 1
 * @property {number} number of the line in its step, counted from 0
 * @property {string} code
 * @property {string} name of the result
 * @property {string} token
 * @property {Tree} tree
 * @property {Leaf[]} operands each once, in the order of the code
 * @property {Tensor} result (N, columns)
 */

const LIMITS = { H_in: 64, H_out: 64, N: 4, L: 20 };
const SIZES = /** @type {(keyof typeof LIMITS)[]} */ (Object.keys(LIMITS));
/** @type {Record<string, string>} */
const DEFAULTS = {
  mode: "RNN_TANH",
  pass: "forward",
  H_in: "3",
  H_out: "4",
  N: "2",
  L: "4",
  seed: "0",
  batch_first: "0",
  h_0: "zeros",
  bias: "1",
  proj_size: "0",
  loss: "sum",
};
/** @type {Record<string, readonly string[]>} */
const CHOICES = {
  mode: Object.keys(GATES),
  pass: ["forward", "backward"],
  batch_first: ["0", "1"],
  h_0: ["zeros", "randn"],
  bias: ["0", "1"],
};

/** @type {() => Record<string, string>} */
export const defaults = () => ({ ...DEFAULTS });

/**
 * Understand settings as an address has them, or refuse them.
 * @param {Record<string, string>} given what is left out is as `defaults` says
 * @returns {Settings}
 */
export function readSettings(given) {
  const said = { ...DEFAULTS, ...given };
  for (const [name, value] of Object.entries(said)) {
    if (!Object.hasOwn(DEFAULTS, name)) {
      throw new RangeError(`${name} is no setting of this page`);
    }
    if (CHOICES[name]) {
      checkChoice(name, value, CHOICES[name]);
    }
  }
  const [H_in, H_out, N, L] = SIZES.map((name) => readWhole(name, said[name], [1, LIMITS[name]]));
  const { mode } = said;
  if (mode !== "LSTM" && said.proj_size !== "0") {
    throw new RangeError(`proj_size should be 0 without an LSTM, got ${said.proj_size}`);
  }
  const proj_size = readWhole("proj_size", said.proj_size, [0, H_out - 1]);
  const place = /^(\d{1,3}),(\d{1,3})$/.exec(said.loss)?.slice(1).map(Number) ?? null;
  if (said.loss !== "sum" && !(place && place[0] < N && place[1] < (proj_size || H_out))) {
    const shape = `[${N}, ${proj_size || H_out}]`;
    throw new RangeError(`loss should be sum, or row,column inside ${shape}, got ${said.loss}`);
  }
  const flags = { batch_first: said.batch_first === "1", randn: said.h_0 === "randn" };
  const whole = { ...flags, bias: said.bias === "1", proj_size, loss: place };
  return { mode, pass: said.pass, H_in, H_out, N, L, seed: readSeed(said.seed), ...whole };
}

/**
 * Draw what PyTorch draws: the module, the input, and the first state if it is not zero.
 * @param {Settings} settings
 */
export function drawn(settings) {
  const { mode, H_in, H_out, N, L, bias, proj_size, batch_first, randn } = settings;
  const generator = new Generator(settings.seed);
  const sizes = { mode, input_size: H_in, hidden_size: H_out, num_layers: 1, bias, proj_size };
  const parameters = uniformParameters({ ...sizes, bidirectional: false }, generator);
  const x = generator.normal(batch_first ? [N, L, H_in] : [L, N, H_in]);
  const widths = [proj_size || H_out, H_out].slice(0, mode === "LSTM" ? 2 : 1);
  const first = widths.map((width) => (randn ? generator.normal([N, width]) : zeros([N, width])));
  return { parameters, steps: batch_first ? steps(x) : unbind(x), first };
}

/**
 * @param {Tensor} x (N, L, features)
 * @returns {Tensor[]} L of (N, features)
 */
function steps({ shape: [N, L, features], data }) {
  return Array.from({ length: L }, (_, t) => {
    const x_t = zeros([N, features]);
    for (let row = 0; row < N; row++) {
      const from = (row * L + t) * features;
      x_t.data.set(data.subarray(from, from + features), row * features);
    }
    return x_t;
  });
}

// -- What a tree says -----------------------------------------------------------------------------

/** @type {(y: Tensor) => Tensor} */
const square = (y) => mul(y, y);
/** @type {(dh: Tensor, h: Tensor) => Tensor} */
const where = (dh, h) => ({
  shape: dh.shape,
  data: dh.data.map((grad, k) => (h.data[k] <= 0 ? 0 : grad)),
});
/**
 * An operation: how it computes, how Python writes it, and how tightly it binds there.
 * @type {Record<string, { compute: (...args: Tensor[]) => Tensor, write: (...args: string[]) => string, binds: number }>}
 */
const OPERATIONS = {
  add: { compute: add, write: (a, b) => `${a} + ${b}`, binds: 1 },
  sub: { compute: sub, write: (a, b) => `${a} - ${b}`, binds: 1 },
  oneMinus: { compute: oneMinus, write: (a) => `1 - ${a}`, binds: 1 },
  mul: { compute: mul, write: (a, b) => `${a} * ${b}`, binds: 2 },
  where: { compute: where, write: (a, b) => `${a} * (${b} > 0)`, binds: 2 },
  square: { compute: square, write: (a) => `${a}**2`, binds: 3 },
  tanh: { compute: tanh, write: (a) => `torch.tanh(${a})`, binds: 4 },
  relu: { compute: relu, write: (a) => `torch.relu(${a})`, binds: 4 },
  sigmoid: { compute: sigmoid, write: (a) => `torch.sigmoid(${a})`, binds: 4 },
  linear: {
    compute: (x, weight, bias) => linear(x, transpose(weight), bias),
    write: (x, weight, bias) => `${x} @ ${weight}${bias ? ` + ${bias}` : ""}`,
    binds: 1,
  },
  cat: {
    compute: (...parts) => cat(parts),
    write: (...parts) => `torch.cat([${parts.join(", ")}], dim=1)`,
    binds: 4,
  },
};
const CALLS = 4; // what binds as tightly as a call needs no parentheses, inside or outside

/**
 * @param {any} tree
 * @returns {tree is { op: string, args: readonly any[] }}
 */
function isInner(tree) {
  return "op" in tree;
}

/**
 * Write a tree as Python writes it.
 * @template {Tree | Sum} Any
 * @param {Any} tree
 * @param {(leaf: any) => string} leaf writes a leaf
 * @returns {string}
 */
export function written(tree, leaf) {
  if (!isInner(tree)) {
    return leaf(tree);
  }
  const { binds } = OPERATIONS[tree.op];
  const args = tree.args.map((arg, k) => {
    const text = written(arg, leaf);
    const inner = isInner(arg) ? OPERATIONS[arg.op].binds : text.startsWith("−") ? (k ? 1 : 2) : CALLS;
    // On the right of a minus sign, or of an equal operation, the order counts.
    const tight = inner > binds || (inner === binds && k === 0 && tree.op !== "oneMinus");
    return binds === CALLS || tight ? text : `(${text})`;
  });
  return OPERATIONS[tree.op].write(...args);
}

/** @type {(leaf: Leaf) => string} */
export const leafText = ({ name, tensor, from, part }) =>
  part ? `${name}[:, ${from}:${from + tensor.shape[1]}]` : name;

/**
 * @param {Tree} tree
 * @returns {Tensor}
 */
function computed(tree) {
  return isInner(tree)
    ? OPERATIONS[tree.op].compute(...tree.args.map(computed))
    : /** @type {Leaf} */ (tree).tensor;
}

/**
 * @param {Tree} tree
 * @returns {Leaf[]} each once
 */
function leaves(tree) {
  const found = isInner(tree) ? tree.args.flatMap(leaves) : [/** @type {Leaf} */ (tree)];
  const names = found.map(leafText);
  return found.filter((leaf, k) => names.indexOf(leafText(leaf)) === k);
}

// -- The lines ------------------------------------------------------------------------------------

/** @type {(op: string, ...args: Tree[]) => Tree} */
const op = (name, ...args) => ({ op: name, args });

/** Collects the lines of a pass, and what they have named so far. */
class Writer {
  constructor() {
    /** @type {Line[]} */
    this.lines = [];
    /** @type {Record<string, Leaf>} */
    this.named = {};
    this.step = 0;
  }

  /**
   * @param {string} name
   * @param {string} token
   * @param {Tensor} tensor
   */
  define(name, token, tensor) {
    this.named[name] = { name, token, tensor, from: 0, part: false, role: "entry" };
  }

  /** @type {(name: string) => Leaf} */
  get(name) {
    return this.named[name];
  }

  /**
   * The block of columns of one gate.
   * @param {string} name
   * @param {number} block
   * @param {number} blocks
   * @returns {Leaf}
   */
  block(name, block, blocks) {
    const whole = this.get(name);
    const width = whole.tensor.shape[1] / blocks;
    const tensor = split(whole.tensor, Array(blocks).fill(width))[block];
    return { ...whole, tensor, from: block * width, part: true };
  }

  /**
   * A product with a weight, transposed unless the gradient goes back through it.
   * @param {string} left
   * @param {string} weight
   * @param {string} [bias] which there may not be
   */
  product(left, weight, bias = "") {
    /** @type {Leaf[]} */
    const args = [
      { ...this.get(left), role: "left" },
      { ...this.get(weight), role: "right" },
    ];
    if (this.named[bias]) {
      args.push({ ...this.get(bias), role: "bias" });
    }
    return op("linear", ...args);
  }

  /**
   * @param {string} name
   * @param {string} token
   * @param {Tree} tree
   */
  write(name, token, tree) {
    const result = computed(tree);
    const code = `${name} = ${written(tree, leafText)}`;
    const last = this.lines[this.lines.length - 1];
    const number = last?.step === this.step ? last.number + 1 : 0;
    const operands = leaves(tree);
    this.lines.push({ step: this.step, number, code, name, token, tree, operands, result });
    this.define(name, token, result);
  }
}

/**
 * @param {Writer} at
 * @param {string} mode
 * @param {number} t the step, counted from 1
 */
function forward(at, mode, t) {
  const [x, a, h, h_before] = [`from_input_${t}`, `from_state_${t}`, `h_${t}`, `h_${t - 1}`];
  at.step = t;
  at.write(x, "wih", at.product(`x_${t}`, "weight_ih.T", "bias_ih"));
  at.write(a, "whh", at.product(h_before, "weight_hh.T", "bias_hh"));
  const get = (/** @type {string} */ name) => at.get(`${name}_${t}`);
  if (mode === "GRU") {
    const parts = [0, 1, 2].map((block) => [at.block(a, block, 3), at.block(x, block, 3)]);
    at.write(`r_${t}`, "gr", op("sigmoid", op("add", ...parts[0])));
    at.write(`z_${t}`, "gz", op("sigmoid", op("add", ...parts[1])));
    at.write(`n_${t}`, "gn", op("tanh", op("add", parts[2][1], op("mul", get("r"), parts[2][0]))));
    const mixed = op("mul", op("sub", at.get(h_before), get("n")), get("z"));
    at.write(h, "h", op("add", mixed, get("n")));
    return;
  }
  at.write(`a_${t}`, "act", op("add", at.get(a), at.get(x)));
  if (mode !== "LSTM") {
    at.write(h, "h", op(mode === "RNN_RELU" ? "relu" : "tanh", get("a")));
    return;
  }
  GATES.LSTM.forEach((gate, block) => {
    const name = gate === "g" ? "tanh" : "sigmoid";
    at.write(`${gate}_${t}`, `g${gate}`, op(name, at.block(`a_${t}`, block, 4)));
  });
  const kept = op("mul", get("f"), at.get(`c_${t - 1}`));
  at.write(`c_${t}`, "c", op("add", kept, op("mul", get("i"), get("g"))));
  const wide = at.named["weight_hr.T"] ? `wide_${t}` : h; // before the projection
  at.write(wide, "h", op("mul", get("o"), op("tanh", get("c"))));
  if (wide !== h) {
    at.write(h, "h", at.product(wide, "weight_hr.T"));
  }
}

/** @type {(s: Leaf) => Tree} */
const sigmoidSlope = (s) => op("mul", s, op("oneMinus", s)); // in terms of the result
/** @type {(y: Tree) => Tree} */
const tanhSlope = (y) => op("oneMinus", op("square", y)); // the same
/** @type {(a: Tree, b: Tree, c: Tree) => Tree} */
const three = (a, b, c) => op("mul", op("mul", a, b), c);

/**
 * The formulas are those of `backward.js`; here each has a line of its own.
 * @param {Writer} at
 * @param {string} mode
 * @param {number} t the step, counted from 1
 */
function backward(at, mode, t) {
  const get = (/** @type {string} */ name) => at.get(`${name}_${t}`);
  const write = (/** @type {string} */ name, /** @type {Tree} */ tree) => at.write(name, "grad", tree);
  const dh_before = `dh_${t - 1}`;
  at.step = t;
  if (mode === "GRU") {
    write(`da_n_${t}`, three(get("dh"), op("oneMinus", get("z")), tanhSlope(get("n"))));
    const change = op("sub", at.get(`h_${t - 1}`), get("n"));
    write(`da_z_${t}`, three(get("dh"), change, sigmoidSlope(get("z"))));
    const m = at.block(`from_state_${t}`, 2, 3);
    write(`da_r_${t}`, three(get("da_n"), m, sigmoidSlope(get("r"))));
    write(`dm_${t}`, op("mul", get("da_n"), get("r")));
    write(`da_${t}`, op("cat", get("da_r"), get("da_z"), get("dm")));
    write(`through_${t}`, at.product(`da_${t}`, "weight_hh"));
    write(dh_before, op("add", op("mul", get("dh"), get("z")), get("through")));
    return;
  }
  if (mode !== "LSTM") {
    const slope = op("mul", get("dh"), tanhSlope(get("h")));
    write(`da_${t}`, mode === "RNN_RELU" ? op("where", get("dh"), get("h")) : slope);
    write(dh_before, at.product(`da_${t}`, "weight_hh"));
    return;
  }
  if (at.named.weight_hr) {
    write(`dwide_${t}`, at.product(`dh_${t}`, "weight_hr"));
  }
  const dh = at.named.weight_hr ? get("dwide") : get("dh");
  const tanh_c = op("tanh", get("c"));
  write(`dc_${t}`, op("add", get("dc"), three(dh, get("o"), tanhSlope(tanh_c))));
  write(`da_i_${t}`, three(get("dc"), get("g"), sigmoidSlope(get("i"))));
  write(`da_f_${t}`, three(get("dc"), at.get(`c_${t - 1}`), sigmoidSlope(get("f"))));
  write(`da_g_${t}`, three(get("dc"), get("i"), tanhSlope(get("g"))));
  write(`da_o_${t}`, three(dh, tanh_c, sigmoidSlope(get("o"))));
  write(`da_${t}`, op("cat", get("da_i"), get("da_f"), get("da_g"), get("da_o")));
  write(`dc_${t - 1}`, op("mul", get("dc"), get("f")));
  write(dh_before, at.product(`da_${t}`, "weight_hh"));
}

/**
 * Go through a layer.
 * @param {Settings} settings
 * @returns {{ lines: Line[], all: Line[], states: Leaf[] }} the lines of the pass that is asked
 *   for, in the order in which they run; those and the lines before them; h_0 to h_L, or their
 *   gradients
 */
export function passLines(settings) {
  const { mode, N, L, loss } = settings;
  const { parameters, steps: xs, first } = drawn(settings);
  const at = new Writer();
  for (const [name, tensor] of Object.entries(parameters)) {
    const kind = name.replace("_l0", "");
    const token = kind.startsWith("bias") ? "b" : kind === "weight_hr" ? "h" : kind.replace("eight_", "");
    at.define(kind, token, tensor);
    if (tensor.shape.length === 2) {
      at.define(`${kind}.T`, token, transpose(tensor));
      at.named[`${kind}.T`].transposed = true;
    }
  }
  xs.forEach((x, t) => at.define(`x_${t + 1}`, "x", x));
  first.forEach((state, part) => at.define(`${"hc"[part]}_0`, "hc"[part], state));
  for (let t = 1; t <= L; t++) {
    forward(at, mode, t);
  }
  const times = Array.from({ length: L + 1 }, (_, t) => t);
  if (settings.pass === "forward") {
    return { lines: at.lines, all: at.lines, states: times.map((t) => at.get(`h_${t}`)) };
  }
  const before = at.lines;
  at.lines = [];
  const dh = zeros(at.get(`h_${L}`).tensor.shape);
  if (loss) {
    dh.data[loss[0] * dh.shape[1] + loss[1]] = 1;
  } else {
    dh.data.fill(1);
  }
  at.define(`dh_${L}`, "grad", dh);
  if (mode === "LSTM") {
    at.define(`dc_${L}`, "grad", zeros([N, settings.H_out]));
  }
  for (let t = L; t >= 1; t--) {
    backward(at, mode, t);
  }
  const states = times.map((t) => at.get(`dh_${t}`));
  return { lines: at.lines, all: [...before, ...at.lines], states };
}

// -- One entry ------------------------------------------------------------------------------------

/**
 * The sum behind one entry of a result.
 * @param {Line} line
 * @param {number} row
 * @param {number} column
 * @returns {{ name: string, value: number, sum: Sum }}
 */
export function explain(line, row, column) {
  const [N, width] = line.result.shape;
  if (!(row >= 0 && row < N && column >= 0 && column < width)) {
    throw new RangeError(`${line.name} has shape (${N}, ${width}), and no entry [${row}, ${column}].`);
  }
  const value = line.result.data[row * width + column];
  return { name: `${line.name}[${row}, ${column}]`, value, sum: entryTree(line.tree, row, column) };
}

/**
 * @param {Tree} tree
 * @param {number} row
 * @param {number} column
 * @returns {Sum}
 */
function entryTree(tree, row, column) {
  if (!isInner(tree)) {
    return entryOf(/** @type {Leaf} */ (tree), row, column);
  }
  if (tree.op === "linear") {
    const [left, right, bias] = /** @type {readonly Leaf[]} */ (tree.args);
    const terms = Array.from({ length: left.tensor.shape[1] }, (_, k) => ({
      op: "mul",
      args: [entryOf(left, row, k), entryOf(right, k, column)],
    }));
    return { op: "sum", args: bias ? [...terms, entryOf(bias, 0, column)] : terms };
  }
  if (tree.op === "cat") {
    let start = 0;
    for (const part of /** @type {readonly Leaf[]} */ (tree.args)) {
      if (column < start + part.tensor.shape[1]) {
        return entryOf(part, row, column - start);
      }
      start += part.tensor.shape[1];
    }
  }
  return { op: tree.op, args: tree.args.map((arg) => entryTree(arg, row, column)) };
}

/**
 * @param {Leaf} leaf
 * @param {number} row
 * @param {number} column
 * @returns {Entry} with its name in the whole tensor, which a weight has as PyTorch stores it
 */
function entryOf({ name, tensor, from, transposed }, row, column) {
  const { shape, data } = tensor;
  const value = data[row * shape[shape.length - 1] + column];
  const of = transposed ? name.slice(0, -2) : name;
  const whole = transposed ? [column, row] : [row, from + column];
  const place = shape.length === 1 ? `${column}` : whole.join(", ");
  return { name: `${of}[${place}]`, of: name, row, column: from + column, value };
}

const WHOLE = 12; // terms that are all written
const ENDS = 4; // of more terms, so many at either end

/**
 * Write a sum; of a long one, its first and its last terms.
 * @param {Sum} sum
 * @param {(entry: Entry) => string} leaf writes a name, or a number
 */
export function sumText(sum, leaf) {
  if (!isInner(sum) || sum.op !== "sum") {
    return written(sum, leaf);
  }
  const terms = sum.args.map((term, k) => {
    const text = written(term, leaf);
    return k > 0 && !isInner(term) && text.startsWith("−") ? `(${text})` : text;
  });
  if (terms.length > WHOLE) {
    const left = terms.length - 2 * ENDS;
    terms.splice(ENDS, left, `… ${left} more terms …`);
  }
  return terms.join(" + ");
}

/**
 * The lines of the same step that made what a sum adds, each with its own sum, so that the states
 * of a plain RNN are seen down to their weights. Where there are more than `most`, none.
 * @param {readonly Line[]} lines
 * @param {Line} line
 * @param {number} row
 * @param {number} column
 * @param {number} [most]
 */
export function explainDown(lines, line, row, column, most = 4) {
  const found = [explain(line, row, column)];
  for (const { sum } of found) {
    for (const entry of isInner(sum) && sum.op === "sum" ? [] : entriesOf(sum)) {
      const made = lines.find(({ name, step }) => name === entry.of && step === line.step);
      if (made && made !== line && !found.some(({ name }) => name === entry.name)) {
        found.push(explain(made, entry.row, entry.column));
      }
    }
    if (found.length > most) {
      return found.slice(0, 1);
    }
  }
  return found;
}

/**
 * @param {Sum} sum
 * @returns {Entry[]}
 */
function entriesOf(sum) {
  return isInner(sum) ? sum.args.flatMap(entriesOf) : [/** @type {Entry} */ (sum)];
}

// -- The program ----------------------------------------------------------------------------------

/**
 * The Python that runs the same lines, from the seed.
 * @param {Settings} settings
 * @param {readonly Line[]} lines of the forward pass, and then of the backward pass
 */
export function program(settings, lines) {
  const { mode, H_in, H_out, N, L, bias, proj_size, batch_first, randn, loss } = settings;
  const more = [
    mode === "RNN_RELU" ? 'nonlinearity="relu"' : "",
    bias ? "" : "bias=False",
    batch_first ? "batch_first=True" : "",
    proj_size ? `proj_size=${proj_size}` : "",
  ].filter((text) => text);
  const names = ["weight_ih", "weight_hh", ...(bias ? ["bias_ih", "bias_hh"] : [])];
  const all = proj_size ? [...names, "weight_hr"] : names;
  const xs = Array.from({ length: L }, (_, t) => `x_${t + 1}`);
  const make = randn ? "torch.randn" : "torch.zeros";
  const call = [H_in, H_out, ...more].join(", ");
  const back = settings.pass === "backward";
  const begin = loss
    ? [`dh_${L} = torch.zeros_like(h_${L})`, `dh_${L}[${loss[0]}, ${loss[1]}] = 1`]
    : [`dh_${L} = torch.ones_like(h_${L})`];
  const from = lines.findIndex(({ name }) => name === `h_${L}`) + 1;
  const codes = lines.map(({ code }) => code);
  return [
    "import torch",
    "from torch import nn",
    "",
    `torch.manual_seed(${settings.seed})`,
    `rnn = nn.${mode.slice(0, 3) === "RNN" ? "RNN" : mode}(${call})`,
    `${all.join(", ")} = (p.detach() for p in rnn.parameters())`,
    `x = torch.randn(${(batch_first ? [N, L, H_in] : [L, N, H_in]).join(", ")})`,
    `${xs.join(", ")}${L === 1 ? "," : ""} = x.unbind(${batch_first ? 1 : 0})`,
    `h_0 = ${make}(${N}, ${proj_size || H_out})`,
    ...(mode === "LSTM" ? [`c_0 = ${make}(${N}, ${H_out})`] : []),
    "",
    ...codes.slice(0, from),
    ...(back ? ["", ...begin] : []),
    ...(back && mode === "LSTM" ? [`dc_${L} = torch.zeros_like(c_${L})`] : []),
    ...codes.slice(from),
    "",
  ].join("\n");
}

/**
 * Calls of constructors, in the words of Python: what PyTorch builds, or the error that it raises.
 *
 * The rules come from `torch.nn.RNNBase.__init__` and from `forward`. A value of Python is a number,
 * a boolean, a string or `null` here; a float that could be taken for an int is a `Float`.
 */

import {
  GATES,
  NotUnderstood,
  numDirections,
  outputShape,
  parameterShapes,
  parseParameterName,
  shapeText,
  stateShapes,
} from "./shapes.js";

/** @import { Module, Shape } from "./shapes.js" */
/** @typedef {number | boolean | string | null | Float | Name} Value */
/** @typedef {{ kind: Module["kind"], args: Value[], keywords: [string, Value][] }} Call */

/** An error that PyTorch, or Python, raises. */
export class TorchError extends Error {
  /**
   * @param {string} type such as `ValueError`
   * @param {string} message
   */
  constructor(type, message) {
    super(message);
    this.type = type;
  }
}

/** A float of Python, since a number without a fraction is an int here. */
export class Float {
  /** @param {number} value */
  constructor(value) {
    this.value = value;
  }
}

/** A dotted name of Python, such as `torch.float32`. */
export class Name {
  /** @param {string} name */
  constructor(name) {
    this.name = name;
  }
}

const DTYPES = new Map([
  ...["float16", "half", "bfloat16"].map((name) => /** @type {const} */ ([name, 2])),
  ...["float32", "float"].map((name) => /** @type {const} */ ([name, 4])),
  ...["float64", "double"].map((name) => /** @type {const} */ ([name, 8])),
]);
/** Bytes of a number of each dtype. */
export const BYTES = { float16: 2, bfloat16: 2, float32: 4, float64: 8 };

const NAMES = [
  "input_size",
  "hidden_size",
  "num_layers",
  "bias",
  "batch_first",
  "dropout",
  "bidirectional",
  "proj_size",
  "device",
  "dtype",
];

/** @type {(value: Value | undefined) => string} */
function typeName(value) {
  if (value === null || value === undefined) {
    return "NoneType";
  }
  if (value instanceof Name) {
    return "dtype";
  }
  if (value instanceof Float || (typeof value === "number" && !Number.isInteger(value))) {
    return "float";
  }
  return { boolean: "bool", string: "str" }[/** @type {string} */ (typeof value)] ?? "int";
}

/**
 * A value as Python writes it.
 * @param {Value | undefined} value
 * @returns {string}
 */
export function repr(value) {
  if (value === null || value === undefined) {
    return "None";
  }
  if (value instanceof Name) {
    return value.name;
  }
  if (typeof value === "boolean") {
    return value ? "True" : "False";
  }
  if (typeof value === "string") {
    const quote = value.includes("'") && !value.includes('"') ? '"' : "'";
    return quote + value.replaceAll("\\", "\\\\").replaceAll(quote, `\\${quote}`) + quote;
  }
  return typeName(value) === "int" ? String(value) : floatRepr(valueOf(value));
}

/** @type {(value: number) => string} */
function floatRepr(value) {
  if (!Number.isFinite(value)) {
    return String(value).replace("Infinity", "inf").replace("NaN", "nan");
  }
  const [digits, exponent] = value.toExponential().split("e");
  const power = Number(exponent);
  if (power < -4 || power >= 16) {
    return `${digits}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  }
  const sign = Object.is(value, -0) ? "-" : "";
  return sign + (Number.isInteger(value) ? `${value}.0` : String(value));
}

/**
 * A value as Python compares it with a number.
 * @param {Value | undefined} value
 * @returns {number}
 */
function valueOf(value) {
  return value instanceof Float ? value.value : Number(value);
}

/** @type {(value: Value | undefined) => boolean} */
const isNumber = (value) => ["int", "float", "bool"].includes(typeName(value));

/** @type {(value: Value | undefined) => boolean} */
const isTrue = (value) =>
  value instanceof Name || (value instanceof Float ? value.value !== 0 : Boolean(value));

/**
 * Raise the error that PyTorch raises, if it does; in its order, so that of two mistakes the same
 * one is reported.
 * @param {string} mode
 * @param {Record<string, Value | undefined>} given
 */
function checkArguments(mode, given) {
  const { input_size, hidden_size, num_layers = 1, proj_size = 0 } = given;
  checkDropout(given.dropout === undefined ? 0 : given.dropout);
  for (const name of ["bias", "batch_first"]) {
    if (given[name] !== undefined && typeof given[name] !== "boolean") {
      throw new TorchError(
        "TypeError",
        `${name} should be of type bool, got: ${typeName(given[name])}`,
      );
    }
  }
  for (const [name, size] of Object.entries({ input_size, hidden_size })) {
    if (!["int", "bool"].includes(typeName(size))) {
      throw new TorchError("TypeError", `${name} should be of type int, got: ${typeName(size)}`);
    }
    if (valueOf(size) <= 0) {
      throw new TorchError("ValueError", `${name} must be greater than zero`);
    }
  }
  checkComparable("<=", num_layers);
  if (valueOf(num_layers) <= 0) {
    throw new TorchError("ValueError", "num_layers must be greater than zero");
  }
  checkComparable("<", proj_size);
  if (valueOf(proj_size) < 0) {
    const wanted = "proj_size should be a positive integer or zero to disable projections";
    throw new TorchError("ValueError", wanted);
  }
  if (valueOf(proj_size) >= valueOf(hidden_size)) {
    throw new TorchError("ValueError", "proj_size has to be smaller than hidden_size");
  }
  if (!(mode in GATES)) {
    throw new TorchError("ValueError", `Unrecognized RNN mode: ${mode}`);
  }
  if (typeName(num_layers) === "float") {
    throw new TorchError("TypeError", "'float' object cannot be interpreted as an integer");
  }
  // What torch.empty refuses: a boolean as the first size, a float as any.
  if (valueOf(proj_size) > 0 && typeName(proj_size) === "float" && !oneRowOfBool(mode, hidden_size)) {
    const why = "failed to unpack the object at pos 2 with error";
    const message = `empty(): argument 'size' ${why} "type must be tuple of ints,but got float"`;
    throw new TorchError("TypeError", message);
  }
  if (oneRowOfBool(mode, hidden_size) || (proj_size === true && valueOf(hidden_size) > 1)) {
    const why = "must be tuple of ints, but found element of type bool at pos 0";
    throw new TorchError("TypeError", `empty(): argument 'size' (position 1) ${why}`);
  }
}

/** @type {(mode: string, hidden_size: Value | undefined) => boolean} */
const oneRowOfBool = (mode, hidden_size) => hidden_size === true && GATES[mode].length === 1;

/** @type {(operator: string, value: Value | undefined) => void} */
function checkComparable(operator, value) {
  if (!isNumber(value)) {
    const kinds = `instances of '${typeName(value)}' and 'int'`;
    throw new TorchError("TypeError", `'${operator}' not supported between ${kinds}`);
  }
}

const DIGITS = String.raw`\d(?:_?\d)*`;
const FLOAT = new RegExp(
  String.raw`^\s*[+-]?(?:(?:${DIGITS}\.?(?:${DIGITS})?|\.${DIGITS})(?:e[+-]?${DIGITS})?|inf(?:inity)?|nan)\s*$`,
  "i",
);

/** @param {Value} dropout */
function checkDropout(dropout) {
  if (typeof dropout === "string" && !FLOAT.test(dropout)) {
    const message = `could not convert string to float: ${repr(dropout)}`;
    throw new TorchError("ValueError", message);
  }
  if (dropout === null || dropout instanceof Name) {
    const got = dropout === null ? "NoneType" : "torch.dtype";
    const message = `float() argument must be a string or a real number, not '${got}'`;
    throw new TorchError("TypeError", message);
  }
  const probability = valueOf(dropout);
  if (["str", "bool"].includes(typeName(dropout)) || !(probability >= 0 && probability <= 1)) {
    throw new TorchError(
      "ValueError",
      "dropout should be a number in range [0, 1] representing the probability of an element " +
        "being zeroed",
    );
  }
}

/**
 * Give each argument its name, as Python does, or raise its error.
 * @param {Call} call
 * @returns {{ mode: string, given: Record<string, Value> }}
 */
export function bindArguments({ kind, args, keywords }) {
  /** @type {(where: string, what: string) => never} */
  const raise = (where, what) => {
    throw new TorchError("TypeError", `${where}.__init__() ${what}`);
  };
  if (keywords.some(([name]) => name === "self")) {
    raise(kind, "got multiple values for argument 'self'");
  }
  if (kind !== "LSTM" && keywords.some(([name]) => name === "proj_size")) {
    const message = "proj_size argument is only supported for LSTM, not RNN or GRU";
    throw new TorchError("ValueError", message);
  }
  let mode = /** @type {string} */ (kind);
  let [positional, named] = [args, keywords];
  if (kind === "RNN") {
    /** @type {Value} */
    let nonlinearity = "tanh";
    if (args.length > 3) {
      nonlinearity = args[3];
      positional = [...args.slice(0, 3), ...args.slice(4)];
    } else {
      nonlinearity = keywords.find(([name]) => name === "nonlinearity")?.[1] ?? nonlinearity;
      if (keywords.some(([name, value]) => name === "nonlinearity" && value === null)) {
        nonlinearity = null;
      }
      named = keywords.filter(([name]) => name !== "nonlinearity");
    }
    if (nonlinearity !== "tanh" && nonlinearity !== "relu") {
      const got = typeof nonlinearity === "string" ? nonlinearity : repr(nonlinearity);
      const message = `Unknown nonlinearity '${got}'. Select from 'tanh' or 'relu'.`;
      throw new TorchError("ValueError", message);
    }
    mode = `RNN_${nonlinearity.toUpperCase()}`;
  }
  /** @type {Record<string, Value>} */
  const given = Object.fromEntries(positional.slice(0, NAMES.length).map((v, k) => [NAMES[k], v]));
  for (const [name, value] of named) {
    if (name === "mode" || Object.hasOwn(given, name)) {
      raise("RNNBase", `got multiple values for argument '${name}'`);
    }
    if (!NAMES.includes(name)) {
      raise("RNNBase", `got an unexpected keyword argument '${name}'`);
    }
    given[name] = value;
  }
  if (positional.length > NAMES.length) {
    const count = positional.length + 2; // with self and the mode
    raise("RNNBase", `takes from 4 to 12 positional arguments but ${count} were given`);
  }
  const missing = NAMES.slice(0, 2).filter((name) => !Object.hasOwn(given, name));
  if (missing.length > 0) {
    const what = missing.length > 1 ? "arguments" : "argument";
    const which = missing.map((name) => `'${name}'`).join(" and ");
    raise("RNNBase", `missing ${missing.length} required positional ${what}: ${which}`);
  }
  return { mode, given };
}

/**
 * Build a module, or raise the error that PyTorch raises.
 * @param {Call} call
 * @returns {{ module: Module, warnings: string[] }}
 */
export function construct(call) {
  const { mode, given } = bindArguments(call);
  const { device = null, dtype = null, num_layers = 1, dropout = 0, bidirectional = false } = given;
  if (!(device === null || device === "cpu" || device === "meta")) {
    throw new NotUnderstood(`device should be left out, "cpu" or "meta", got ${repr(device)}`);
  }
  const numbers = dtype instanceof Name ? dtype.name.replace(/^torch\./, "") : "";
  if (dtype !== null && !DTYPES.has(numbers)) {
    throw new NotUnderstood(
      `dtype should be left out or one such as torch.float32, got ${repr(dtype)}`,
    );
  }
  checkArguments(mode, given);
  const bytes = DTYPES.get(numbers);
  const warnings = [];
  if (valueOf(dropout) > 0 && valueOf(num_layers) === 1) {
    warnings.push(
      "dropout option adds dropout after all but last recurrent layer, so non-zero dropout " +
        "expects num_layers greater than 1, but got " +
        `dropout=${repr(dropout)} and num_layers=${repr(num_layers)}`,
    );
  }
  return {
    module: {
      kind: call.kind,
      mode,
      input_size: valueOf(given.input_size),
      hidden_size: valueOf(given.hidden_size),
      num_layers: valueOf(num_layers),
      bias: given.bias !== false,
      batch_first: given.batch_first === true,
      dropout: valueOf(dropout),
      bidirectional: isTrue(bidirectional),
      proj_size: valueOf(given.proj_size ?? 0),
      dtype: bytes === 8 ? "float64" : bytes === 2 ? numbers.replace("half", "float16") : "float32",
      runs: typeof bidirectional === "boolean" && typeof num_layers !== "boolean",
    },
    warnings,
  };
}

/**
 * The shapes that come out of `forward` without initial states, or the error that PyTorch raises.
 * @param {Module} module
 * @param {Shape} shape of the input
 * @returns {{ output: number[], states: number[][] }}
 */
export function forwardShapes(module, shape) {
  const { kind, mode, input_size, hidden_size, num_layers, bidirectional, proj_size } = module;
  if (shape.length !== 2 && shape.length !== 3) {
    const what = `${shape.length}D${kind === "RNN" ? " tensor" : ""}`;
    const message = `${kind}: Expected input to be 2D or 3D, got ${what} instead`;
    throw new TorchError("ValueError", message);
  }
  const features = shape[shape.length - 1];
  const [L, N] =
    shape.length === 2 ? [shape[0], null] : module.batch_first ? [shape[1], shape[0]] : shape;
  if (features !== input_size) {
    const sizes = `Expected ${input_size}, got ${features}`;
    const message = `input.size(-1) must be equal to input_size. ${sizes}`;
    throw new TorchError("RuntimeError", message);
  }
  if (proj_size > 0 && kind !== "LSTM") {
    const states = `${numDirections(bidirectional) * num_layers}, ${N ?? 1}`;
    const message = `Expected hidden size (${states}, ${proj_size}), got [${states}, ${hidden_size}]`;
    throw new TorchError("RuntimeError", message);
  }
  if (!module.runs) {
    const message = `${mode.toLowerCase()}() received an invalid combination of arguments`;
    throw new TorchError("TypeError", message);
  }
  if (L === 0) {
    const message = "Expected sequence length to be larger than 0 in RNN";
    throw new TorchError("RuntimeError", message);
  }
  return { output: outputShape(L, N, module), states: stateShapes(N, module) };
}

// -- Text to modules and back ---------------------------------------------------------------------

/**
 * The call that builds a module.
 * @param {Module} module
 */
export function callText(module) {
  const { kind, input_size, hidden_size, num_layers, proj_size, dtype } = module;
  /** @type {[string, Value, Value][]} */
  const options = [
    ["num_layers", num_layers, 1],
    .../** @type {[string, Value, Value][]} */ (
      kind === "RNN" ? [["nonlinearity", module.mode.slice(4).toLowerCase(), "tanh"]] : []
    ),
    ["bias", module.bias, true],
    ["batch_first", module.batch_first, false],
    ["dropout", module.dropout, 0],
    ["bidirectional", module.bidirectional, false],
    ["proj_size", proj_size, 0],
  ];
  const parts = [String(input_size), String(hidden_size)];
  // RNN and GRU refuse it by name, and take it by position.
  const positional = proj_size > 0 && kind !== "LSTM";
  for (const [name, value, normal] of options) {
    if (positional) {
      parts.push(repr(value));
    } else if (value !== normal) {
      parts.push(`${name}=${repr(value)}`);
    }
  }
  if (dtype !== "float32") {
    parts.push(`dtype=torch.${dtype}`);
  }
  return `nn.${kind}(${parts.join(", ")})`;
}

const CALL =
  /^(?:[A-Za-z_][\w.]*\s*=\s*)?(?:(?:torch\.)?nn\.|unrolled\.)?(RNN|GRU|LSTM)\s*\(([\s\S]*)\)\s*(?:#.*)?$/;
const TOKEN =
  /^\s*(?:([A-Za-z_]\w*)\s*=\s*)?("[^"\\\n]*"|'[^'\\\n]*'|[^\s,"'()[\]{}]+)\s*(,|$)/;

/**
 * Read a constructor call, such as `nn.LSTM(10, 20, num_layers=2)`.
 * @param {string} text
 * @returns {Call}
 */
export function parseCall(text) {
  const found = CALL.exec(text.trim());
  if (!found) {
    throw new NotUnderstood("A call should look like nn.LSTM(10, 20), with RNN, GRU or LSTM.");
  }
  /** @type {Value[]} */
  const args = [];
  /** @type {[string, Value][]} */
  const keywords = [];
  let rest = found[2].replace(/#.*$/gm, "").trim();
  while (rest !== "") {
    const token = TOKEN.exec(rest);
    if (!token) {
      throw new NotUnderstood(`An argument is not understood: ${rest.slice(0, 40)}`);
    }
    const [whole, name, value] = token;
    if (name === undefined && keywords.length > 0) {
      throw new TorchError("SyntaxError", "positional argument follows keyword argument");
    }
    if (name !== undefined && keywords.some(([other]) => other === name)) {
      throw new TorchError("SyntaxError", `keyword argument repeated: ${name}`);
    }
    if (name === undefined) {
      args.push(parseValue(value));
    } else {
      keywords.push([name, parseValue(value)]);
    }
    rest = rest.slice(whole.length).trim();
  }
  return { kind: /** @type {Module["kind"]} */ (found[1]), args, keywords };
}

const INTEGER = new RegExp(String.raw`^[+-]?(?:0(?:_?0)*|[1-9](?:_?\d)*)$`);

/**
 * @param {string} text
 * @returns {Value}
 */
function parseValue(text) {
  const words = /** @type {Record<string, Value>} */ ({ True: true, False: false, None: null });
  if (Object.hasOwn(words, text)) {
    return words[text];
  }
  if (/^["']/.test(text)) {
    return text.slice(1, -1);
  }
  const number = Number(text.replaceAll("_", ""));
  if (INTEGER.test(text)) {
    if (!Number.isSafeInteger(number)) {
      throw new NotUnderstood(`An integer is too large for this page: ${text}`);
    }
    return number + 0; // no negative zero
  }
  if (FLOAT.test(text) && /^[+-]?[\d.]/.test(text)) {
    return new Float(number);
  }
  if (/^torch\.\w+$/.test(text)) {
    return new Name(text);
  }
  throw new NotUnderstood(`A value should be a literal of Python, got ${text}`);
}

const ENTRY =
  /(["']?)([A-Za-z_][\w.]*)\1\s*(?:[:=,]\s*|\s+)(?:torch\.Size\(\s*)?[([]\s*(\d+(?:\s*,\s*\d+)*)\s*,?\s*[)\]](?:\s*\))?/g;

/**
 * Find the module that has a state dict, given as names and shapes in any of the ways in which
 * Python prints them. Not in a state dict: `nonlinearity`, `batch_first`, `dropout`.
 * @param {string} text
 * @returns {Module}
 */
export function moduleOfStateDict(text) {
  /** @type {Map<string, number[]>} */
  const found = new Map();
  const left = text.replace(ENTRY, (_, _quote, name, sizes) => {
    if (found.has(name)) {
      throw new NotUnderstood(`${name} is there twice`);
    }
    found.set(name, sizes.split(",").map(Number));
    return " ";
  });
  const rest = left.replace(/\b(?:OrderedDict|dict|odict_items|dict_items)\b|[\s,;{}()[\]]/g, "");
  if (rest !== "") {
    throw new NotUnderstood(`Not a name with a shape: ${rest.slice(0, 40)}`);
  }
  const first = found.keys().next().value;
  if (first === undefined) {
    throw new NotUnderstood("There is no name with a shape, such as weight_ih_l0 (80, 10).");
  }
  const prefix = first.slice(0, first.lastIndexOf(".") + 1);
  const shapes = new Map(
    [...found].map(([name, shape]) => {
      if (!name.startsWith(prefix) || name.slice(prefix.length).includes(".")) {
        throw new NotUnderstood(`Two modules: ${first} and ${name}`);
      }
      return [name.slice(prefix.length), shape];
    }),
  );
  /** @type {(name: string) => number[]} */
  const matrix = (name) => {
    const shape = shapes.get(name);
    if (shape?.length !== 2) {
      const got = shape ? shapeText(shape) : "nothing";
      throw new NotUnderstood(`${prefix}${name} should be a matrix, got ${got}`);
    }
    return shape;
  };
  const [rows, input_size] = matrix("weight_ih_l0");
  const [, H_out] = matrix("weight_hh_l0");
  const projected = shapes.has("weight_hr_l0");
  const hidden_size = projected ? matrix("weight_hr_l0")[1] : H_out;
  const kind = { 1: "RNN", 3: "GRU", 4: "LSTM" }[rows / hidden_size];
  if (kind === undefined || (projected && kind !== "LSTM")) {
    const wanted = projected ? "4" : "1, 3 or 4";
    throw new NotUnderstood(
      `weight_ih_l0 should have ${wanted} times ${hidden_size} rows, got ${rows}`,
    );
  }
  const places = [...shapes.keys()].map(parseParameterName);
  const num_layers = 1 + Math.max(...places.map(({ layer }) => layer));
  if (num_layers > shapes.size) {
    throw new NotUnderstood(`There are fewer parameters than the ${num_layers} layers need.`);
  }
  const { module } = construct({
    kind: /** @type {Module["kind"]} */ (kind),
    args: [input_size, hidden_size],
    keywords: [
      ["num_layers", num_layers],
      ["bias", places.some(({ kind: name }) => name.startsWith("bias"))],
      ["bidirectional", places.some(({ direction }) => direction === 1)],
      .../** @type {[string, Value][]} */ (projected ? [["proj_size", H_out]] : []),
    ],
  });
  const expected = parameterShapes(module);
  for (const [name, shape] of Object.entries(expected)) {
    const got = shapes.get(name);
    if (got?.join() !== shape.join()) {
      const what = got ? shapeText(got) : "nothing";
      throw new NotUnderstood(`${prefix}${name} should have shape ${shapeText(shape)}, got ${what}`);
    }
  }
  for (const name of shapes.keys()) {
    if (!Object.hasOwn(expected, name)) {
      throw new NotUnderstood(`${prefix}${name} is no parameter of ${callText(module)}`);
    }
  }
  return module;
}

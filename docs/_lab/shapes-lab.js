/**
 * `<unrolled-shapes>`: any constructor call to every shape, or to the error that PyTorch raises.
 *
 * What is shown follows from two texts, the call and the shape of the input; both are in the
 * address. The form writes the call, and a call that is pasted fills the form.
 */

import {
  bindArguments,
  BYTES,
  callText,
  construct,
  forwardShapes,
  moduleOfStateDict,
  parseCall,
  repr,
  TorchError,
} from "./core/construct.js";
import {
  GATES,
  inputShape,
  NotUnderstood,
  parameterShapes,
  parseParameterName,
  product,
  shapeText,
  sizeSources,
  uniformBound,
} from "./core/shapes.js";

import { onAddress, readState, writeState } from "./parts/address.js";
import { choice, code, copyButton, field, group, grouped, label, make, reachable, table } from "./parts/dom.js";

/** @import { Call, Value } from "./core/construct.js" */
/** @import { Module } from "./core/shapes.js" */

const START = { call: "nn.LSTM(10, 20, num_layers=2, bidirectional=True, proj_size=5)", input: "(5, 3, 10)" };
const DTYPES = ["float32", "float64", "float16", "bfloat16"];
const DRAWN = { width: 300, height: 240, unit: 12 }; // pixels at most
const LAYERS = 4; // more than that are shown by their first two and the last
/** What is written for each size of a state. */
const AXES = { output: "D * H_out", h: "H_out", c: "hidden_size" };
const TOKENS = /** @type {Record<string, string>} */ ({
  weight_ih: "wih",
  weight_hh: "whh",
  bias_ih: "b",
  bias_hh: "b",
  weight_hr: "h",
});

/** @type {(error: unknown) => string} */
function errorText(error) {
  if (error instanceof TorchError) {
    return `${error.type}: ${error.message}`;
  }
  if (error instanceof NotUnderstood) {
    return error.message;
  }
  throw error;
}

class UnrolledShapes extends HTMLElement {
  constructor() {
    super();
    this.call = field("textarea", "A call, or the names and shapes of a state dict", {
      rows: "2",
      spellcheck: "false",
      autocomplete: "off",
    });
    this.kind = choice("Module", ["RNN", "GRU", "LSTM"]);
    this.nonlinearity = choice("nonlinearity", ["tanh", "relu"]);
    const size = { spellcheck: "false", autocomplete: "off", size: "7" };
    this.input_size = field("input", "input_size", size);
    this.hidden_size = field("input", "hidden_size", size);
    this.num_layers = field("input", "num_layers", size);
    this.dropout = field("input", "dropout", size);
    this.proj_size = field("input", "proj_size", size);
    this.bias = field("input", "bias", { type: "checkbox" });
    this.batch_first = field("input", "batch_first", { type: "checkbox" });
    this.bidirectional = field("input", "bidirectional", { type: "checkbox" });
    this.dtype = choice("dtype", DTYPES);
    this.L = field("input", "L, steps", size);
    this.N = field("input", "N, sequences", size);
    this.shape = field("input", "Shape of the input", { ...size, size: "14" });
    this.status = make("p", { role: "status", class: "u-lab-status" });
    this.result = make("div");
    this.drawn = make("div");
  }

  get embedded() {
    return this.hasAttribute("state");
  }

  connectedCallback() {
    if (this.firstElementChild) {
      return; // it was moved
    }
    this.classList.add("u-lab");
    const read = make("button", { type: "submit" }, "Read it");
    const paste = make("form", { class: "u-lab-paste" }, label(this.call), read);
    const sizes = [this.input_size, this.hidden_size, this.num_layers, this.dropout];
    const flags = [this.bias, this.batch_first, this.bidirectional];
    const form = make(
      "form",
      { class: "u-lab-form" },
      group(
        "Constructor",
        ...[this.kind, this.nonlinearity, ...sizes, this.proj_size, this.dtype, ...flags],
      ),
      group("Input", this.L, this.N, this.shape),
    );
    // In a chapter the drawing comes first, in the place of the one that was touched.
    this.append(...(this.embedded ? [this.drawn] : [paste]), form, this.status, this.result);

    paste.addEventListener("submit", (event) => {
      event.preventDefault();
      this.read();
    });
    this.call.addEventListener("paste", () => setTimeout(() => this.read()));
    this.call.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey) {
        event.preventDefault();
        this.read();
      }
    });
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", ({ target }) => this.changed(target));
    onAddress(this, () => this.open());
    this.open();
  }

  /** Show what the address says, or where a reader starts. */
  open() {
    const address = readState(this);
    const asked = address.get("call");
    if (asked === null && this.status.textContent) {
      return; // a link to a section
    }
    const input = asked === null ? START.input : address.get("input");
    this.shape.value = input ?? "";
    this.show(asked ?? START.call, input);
  }

  /** Read what is in the large field: a call, or a state dict. */
  read() {
    const text = this.call.value.trim();
    if (/\b(?:RNN|GRU|LSTM)\s*\(/.test(text)) {
      this.show(text, null);
      return;
    }
    try {
      const module = moduleOfStateDict(text);
      const call = callText(module);
      this.show(call, null, `A state dict of ${call}. `);
    } catch (error) {
      this.fail(errorText(error));
    }
  }

  /**
   * Follow a change of the form.
   * @param {EventTarget | null} field
   */
  changed(field) {
    if (field === this.shape) {
      this.show(this.call.value, this.shape.value);
      return;
    }
    if (field === this.L || field === this.N) {
      this.show(this.call.value, null);
      return;
    }
    const given = [this.input_size.value, this.hidden_size.value];
    /** @type {(name: string, text: string, normal: string) => void} */
    const option = (name, text, normal) => {
      if (text.trim() !== normal) {
        given.push(`${name}=${text}`);
      }
    };
    const flag = (/** @type {boolean} */ on) => (on ? "True" : "False");
    option("num_layers", this.num_layers.value, "1");
    if (this.kind.value === "RNN") {
      option("nonlinearity", repr(this.nonlinearity.value), "'tanh'");
    }
    option("bias", flag(this.bias.checked), "True");
    option("batch_first", flag(this.batch_first.checked), "False");
    option("dropout", this.dropout.value, "0");
    option("bidirectional", flag(this.bidirectional.checked), "False");
    option("proj_size", this.proj_size.value, "0");
    option("dtype", `torch.${this.dtype.value}`, "torch.float32");
    this.show(`nn.${this.kind.value}(${given.join(", ")})`, null);
  }

  /**
   * Show a call and the shape of an input, and put both into the address.
   * @param {string} text
   * @param {string | null} shape of the input; null for one that fits the module, with L and N
   * @param {string} [said] what is announced first
   */
  show(text, shape, said = "") {
    if (this.call.value !== text) {
      this.call.value = text;
    }
    this.status.textContent = "";
    try {
      const call = parseCall(text);
      this.kind.value = call.kind;
      label(this.nonlinearity).hidden = call.kind !== "RNN";
      this.fill(call);
      const { module, warnings } = construct(call);
      this.fillInput(shape, module.input_size, module.batch_first);
      this.succeed(module, warnings, said);
    } catch (error) {
      this.fail(errorText(error));
    }
    writeState(this, { call: text, input: this.shape.value });
  }

  /**
   * Let the form say what a call says; a field that has the focus is left alone.
   * @param {Call} call
   */
  fill(call) {
    const { mode, given } = bindArguments(call);
    /** @type {(field: HTMLInputElement | HTMLSelectElement, text: string) => void} */
    const put = (field, text) => {
      if (field !== document.activeElement) {
        field.value = text;
      }
    };
    /** @type {(name: string, normal: Value) => string} */
    const written = (name, normal) => repr(Object.hasOwn(given, name) ? given[name] : normal);
    this.nonlinearity.value = mode === "RNN_RELU" ? "relu" : "tanh";
    put(this.input_size, written("input_size", null));
    put(this.hidden_size, written("hidden_size", null));
    put(this.num_layers, written("num_layers", 1));
    put(this.dropout, written("dropout", 0));
    put(this.proj_size, written("proj_size", 0));
    this.bias.checked = given.bias !== false;
    this.batch_first.checked = given.batch_first === true;
    this.bidirectional.checked = Boolean(given.bidirectional);
    const dtype = written("dtype", null).replace("torch.", "");
    this.dtype.value = DTYPES.includes(dtype) ? dtype : "float32";
  }

  /**
   * Let the fields of the input say what its shape says, or the other way round.
   * @param {string | null} shape
   * @param {number} input_size
   * @param {boolean} batch_first
   */
  fillInput(shape, input_size, batch_first) {
    if (shape === null) {
      const [l, n] = [this.L.value.trim(), this.N.value.trim()];
      const [L, N] = l === "" ? [5, 3] : [Number(l), n === "" ? null : Number(n)];
      this.shape.value = shapeText(inputShape(L, N, input_size, batch_first));
      return;
    }
    if (this.shape !== document.activeElement) {
      this.shape.value = shape;
    }
    const sizes = this.inputSizes();
    const places = batch_first && sizes.length === 3 ? [1, 0] : [0, 1];
    this.L.value = sizes.length > 1 ? String(sizes[places[0]]) : "";
    this.N.value = sizes.length === 3 ? String(sizes[places[1]]) : "";
  }

  inputSizes() {
    const text = this.shape.value.replace(/^\s*(?:torch\.Size)?[([]+|[)\]]+\s*$/g, "");
    const parts = text.split(",").map((part) => part.trim());
    const sizes = parts.filter((part, k) => part !== "" || k < parts.length - 1);
    if (!sizes.every((size) => /^\d+$/.test(size))) {
      throw new NotUnderstood(`The shape of the input should be sizes such as ${START.input}.`);
    }
    return sizes.map(Number);
  }

  /** @param {string} text */
  fail(text) {
    this.status.textContent = text;
    this.status.classList.add("u-lab-error");
    this.call.setAttribute("aria-invalid", "true");
    this.result.replaceChildren();
    this.drawn.replaceChildren();
  }

  /**
   * @param {Module} module
   * @param {string[]} warnings
   * @param {string} said
   */
  succeed(module, warnings, said) {
    // A thousand layers have the shapes of two.
    const first = parameterShapes({ ...module, num_layers: Math.min(module.num_layers, LAYERS) });
    const counts = [0, 0];
    for (const [name, shape] of Object.entries(first)) {
      const { layer } = parseParameterName(name);
      if (layer < 2) {
        counts[layer] += product(shape);
      }
    }
    const count = counts[0] + (module.num_layers - 1) * counts[1];
    const tensors = (Object.keys(first).length / Math.min(module.num_layers, LAYERS)) * module.num_layers;
    this.call.removeAttribute("aria-invalid");
    this.status.classList.remove("u-lab-error");
    this.status.textContent = `${said}${grouped(tensors)} parameters with ${grouped(count)} numbers.`;
    const drawing = this.drawing(module, first);
    this.result.replaceChildren(
      ...warnings.map((text) => make("p", { class: "u-lab-note" }, `UserWarning: ${text}`)),
      this.parameters(module, first, count),
      this.start(module, count),
      ...(this.embedded ? [] : [drawing]),
      this.passed(module),
    );
    this.drawn.replaceChildren(...(this.embedded ? [drawing] : []));
    reachable(this.result);
  }

  /**
   * @param {Module} module
   * @param {Record<string, number[]>} first the parameters of the first layers
   * @param {number} count
   */
  parameters(module, first, count) {
    const last = module.num_layers - 1;
    /** @type {(string | Node)[][]} */
    const rows = [];
    for (const [name, shape] of Object.entries(first)) {
      const { layer } = parseParameterName(name);
      if (layer > 2 && last >= LAYERS) {
        continue;
      }
      const shown = layer === 2 && last >= LAYERS ? name.replace("_l2", `_l${last}`) : name;
      const sources = sizeSources(module, shown);
      const where = make("span", {}, ...sources.flatMap(([formula, what]) => [code(formula), `, ${what}`, make("br")]));
      where.lastChild?.remove();
      rows.push([code(shown), code(shapeText(shape)), grouped(product(shape)), where]);
    }
    const between = last >= LAYERS ? `; layers 2 to ${last - 1} are like layer 1` : "";
    return table(
      `The parameters of ${callText(module)}: ${grouped(count)} numbers${between}.`,
      ["name", "shape", "count", "where its sizes come from"],
      rows,
    );
  }

  /**
   * @param {Module} module
   * @param {number} count
   */
  start({ hidden_size }, count) {
    const bound = Number(uniformBound(hidden_size).toPrecision(7));
    const bytes = (/** @type {keyof typeof BYTES} */ dtype) => grouped(BYTES[dtype] * count);
    return make(
      "p",
      {},
      "PyTorch draws every number uniformly between ",
      make("span", { class: "u-unbroken" }, `-${bound} and ${bound}`),
      ", where the bound is ",
      code(`1 / sqrt(hidden_size) = 1 / sqrt(${hidden_size})`),
      `. They take ${bytes("float32")} bytes in float32, ${bytes("float64")} in float64, and ` +
        `${bytes("float16")} in float16 or bfloat16.`,
    );
  }

  /**
   * The parameters of the first two layers as rectangles to one scale.
   * @param {Module} module
   * @param {Record<string, number[]>} first
   */
  drawing(module, first) {
    const layers = [0, 1].slice(0, module.num_layers).map((layer) =>
      Object.entries(first).filter(([name]) => {
        const place = parseParameterName(name);
        return place.layer === layer && place.direction === 0;
      }),
    );
    const shapes = layers.flat().map(([, [rows, columns = 1]]) => [rows, columns]);
    const unit = Math.min(
      DRAWN.unit,
      DRAWN.height / Math.max(...shapes.map(([rows]) => rows)),
      DRAWN.width / Math.max(...shapes.map(([, columns]) => columns)),
    );
    const drawn = layers.map((layer) =>
      make(
        "div",
        { class: "u-lab-matrices" },
        ...layer.map(([name, shape]) => this.matrix(module, name, shape, unit)),
      ),
    );
    const both = module.bidirectional ? " The reverse direction has the same shapes." : "";
    const more = module.num_layers > 2 ? " Layers above layer 1 are like it." : "";
    return make(
      "figure",
      { class: "u-lab-drawing" },
      ...drawn,
      make("figcaption", {}, `Parameters to one scale, with their gates.${both}${more}`),
    );
  }

  /**
   * @param {Module} module
   * @param {string} name
   * @param {number[]} shape
   * @param {number} unit pixels of one number
   */
  matrix(module, name, shape, unit) {
    const [rows, columns = 1] = shape;
    const { kind } = parseParameterName(name);
    const gates = kind === "weight_hr" ? [""] : GATES[module.mode];
    const room = (rows * unit) / gates.length > 15 && columns * unit > 11 && gates.length > 1;
    const box = make(
      "span",
      { class: `u-lab-box u-${TOKENS[kind]}` },
      ...gates.map((gate) => make("span", {}, room ? gate : "")),
    );
    box.style.width = `${Math.max(1, columns * unit)}px`;
    box.style.height = `${Math.max(1, rows * unit)}px`;
    box.setAttribute("aria-hidden", "true");
    return make("span", { class: "u-lab-matrix" }, box, code(name), code(shapeText(shape)));
  }

  /**
   * What goes in and comes out, and the code that does it.
   * @param {Module} module
   */
  passed(module) {
    const sizes = this.inputSizes();
    let passed;
    try {
      passed = forwardShapes(module, sizes);
    } catch (error) {
      const text = errorText(error);
      this.status.textContent += ` An input of shape ${shapeText(sizes)} raises ${text}`;
      return make("p", { class: "u-lab-error" }, `With input of shape ${shapeText(sizes)}: ${text}`);
    }
    const batched = sizes.length === 3;
    const order = (/** @type {string} */ last) =>
      `(${(batched ? (module.batch_first ? ["N", "L"] : ["L", "N"]) : ["L"]).join(", ")}, ${last})`;
    const state = (/** @type {string} */ last) =>
      `(D * num_layers, ${batched ? "N, " : ""}${last})`;
    const rows = [
      [code("input"), code(shapeText(sizes)), code(order("H_in"))],
      ...passed.states.map((shape, k) => [
        code(`${"hc"[k]}_0, ${"hc"[k]}_n`),
        code(shapeText(shape)),
        code(state(k ? AXES.c : AXES.h)),
      ]),
      [code("output"), code(shapeText(passed.output)), code(order(AXES.output))],
    ];
    const states = passed.states.length > 1 ? "(h_n, c_n)" : "h_n";
    const dtype = module.dtype === "float32" ? "" : `, dtype=torch.${module.dtype}`;
    const lines = [
      "import torch",
      "from torch import nn",
      "",
      `rnn = ${callText(module)}`,
      `x = torch.randn${dtype ? "(" : ""}${shapeText(sizes)}${dtype}${dtype ? ")" : ""}  # ${order("H_in")}`,
      `output, ${states} = rnn(x)  # ${[passed.output, ...passed.states].map(shapeText).join(", ")}`,
    ].join("\n");
    return make(
      "div",
      {},
      table("What goes in and what comes out.", ["name", "shape", "sizes"], rows),
      make("pre", {}, code(lines)),
      this.copyButtons(lines),
    );
  }

  /** @param {string} lines */
  copyButtons(lines) {
    const buttons = [copyButton("Copy the code", () => lines, this.status)];
    if (!this.hasAttribute("state")) {
      buttons.push(copyButton("Copy a link to this", () => location.href, this.status));
    }
    return make("p", { class: "u-lab-buttons" }, ...buttons);
  }
}

customElements.define("unrolled-shapes", UnrolledShapes);

/**
 * `<unrolled-gradients>`: how much of a gradient is left, from every state back to every earlier
 * state or input, for a network that the reader sets up.
 *
 * The row of the last state is computed at once; the other rows, and the same for other seeds,
 * follow in slices, so that the page answers meanwhile. What autograd gave for some settings when
 * the page was built is in the page, in `#u-gradients-autograd`.
 */

import {
  belowFrom,
  checkSetting,
  drawNetwork,
  H_IN,
  influence,
  KEEPING,
  median,
  RANGES,
  run,
  spectralRadii,
  stepFactor,
} from "./core/influence.js";
import { checkChoice, readNumber, readSeed, readWhole } from "./core/settings.js";
import { onAddress, readState, writeState } from "./parts/address.js";
import { decay } from "./parts/decay.js";
import { button, choice, copyButton, field, group, label, make, reachable, table } from "./parts/dom.js";
import { HeatMap } from "./parts/heatmap.js";

/** @import { Setting, Source } from "./core/influence.js" */
/** @typedef {Setting & { of: Source, below: number }} State */
/** @typedef {{ name: string, state: string, curve: number[] }} Checked what autograd gave */

/** What the address leaves out; the empty ones are as PyTorch draws them. */
const START = /** @type {Record<string, string>} */ ({
  mode: "RNN_TANH",
  H_out: "32",
  L: "40",
  seed: "0",
  start: "uniform",
  radius: "",
  bias: "",
  scale: "1",
  of: "state",
  below: "0.001",
});
const SEEDS = 20;
const SLICE = 30; // milliseconds
const WEAKEST = -6; // power of ten
const LARGE = 10; // times as large is exploded

/** @type {(value: number) => string} */
const exponent = (value) => value.toExponential(2).replace(/e([+-])(\d)$/, "e$10$2");
/** @type {(count: number) => string} */
const steps = (count) => `${count} ${count === 1 ? "step" : "steps"}`;

/**
 * Read a state, or refuse it.
 * @param {Record<string, string>} texts
 * @returns {State}
 */
function stateOf(texts) {
  for (const name of Object.keys(texts)) {
    if (!Object.hasOwn(START, name)) {
      throw new RangeError(`${name} is no setting of this page`);
    }
  }
  const { mode, start, of } = texts;
  checkChoice("of", of, ["state", "input"]);
  const number = (/** @type {string} */ name) => readNumber(name, texts[name], RANGES[name]);
  const optional = (/** @type {string} */ name) => (texts[name] === "" ? null : number(name));
  /** @type {State} */
  const state = {
    mode,
    start,
    of: /** @type {Source} */ (of),
    below: readNumber("below", texts.below, [1e-12, 0.999]),
    seed: readSeed(texts.seed),
    H_out: readWhole("H_out", texts.H_out, RANGES.H_out),
    L: readWhole("L", texts.L, RANGES.L),
    radius: optional("radius"),
    keep: optional("bias"),
    scale: number("scale"),
  };
  checkSetting(state);
  return state;
}

/**
 * The same with torch, for a reader to run.
 * @param {State} state
 */
function codeOf({ mode, H_out, L, seed, start, radius, keep, scale, of }) {
  const kind = mode.slice(0, 3) === "RNN" ? "RNN" : mode;
  const relu = mode === "RNN_RELU" ? ', nonlinearity="relu"' : "";
  const changed = [
    ...(start === "identity" ? ["rnn.weight_hh_l0.copy_(torch.eye(H_out))"] : []),
    ...(start === "identity" ? ["rnn.bias_ih_l0.zero_(), rnn.bias_hh_l0.zero_()"] : []),
    ...(radius === null
      ? []
      : [
          "for block in rnn.weight_hh_l0.split(H_out):",
          `    block *= ${radius} / torch.linalg.eigvals(block).abs().max()`,
        ]),
    ...(keep === null
      ? []
      : [
          `gate = 1  # ${KEEPING[mode]}`,
          `rnn.bias_ih_l0.view(-1, H_out)[gate] = ${keep}`,
          "rnn.bias_hh_l0.view(-1, H_out)[gate] = 0",
        ]),
  ];
  const many = mode === "LSTM" ? 2 : 1;
  const source = of === "state" ? "states" : "list(inputs)";
  return [
    "import torch",
    "from torch import nn",
    "",
    `H_in, H_out, L = ${H_IN}, ${H_out}, ${L}`,
    `torch.manual_seed(${seed})`,
    `rnn = nn.${kind}(H_in, H_out${relu})`,
    ...(start === "orthogonal"
      ? ["with torch.no_grad():", "    for block in rnn.weight_hh_l0.split(H_out):", "        nn.init.orthogonal_(block)"]
      : []),
    `x = torch.randn(L, H_in).double()${scale === 1 ? "" : ` * ${scale}`}`,
    "rnn.double()",
    ...(changed.length ? ["with torch.no_grad():", ...changed.map((line) => `    ${line}`)] : []),
    "",
    "inputs = x.requires_grad_().split(1)  # L of (1, H_in)",
    `states = [torch.zeros(1, H_out).double().requires_grad_() for _ in range(${many})]`,
    "for x_t in inputs:",
    ...(many === 2
      ? ["    states += rnn(x_t, tuple(states[-2:]))[1]"]
      : ["    states.append(rnn(x_t, states[-1])[1])"]),
    `last, every = states[-${many}], ${source}`,
    "eye = torch.eye(H_out).double()[:, None]  # (H_out, 1, H_out)",
    "found = torch.autograd.grad(last, every, eye, is_grads_batched=True, materialize_grads=True)",
    `squares = torch.stack([J.square().sum() for J in found]).view(-1, ${of === "state" ? many : 1}).sum(1)`,
    "curve = (squares / H_out).sqrt().flip(0)  # by distance",
    "print(curve)",
  ].join("\n");
}

class UnrolledGradients extends HTMLElement {
  constructor() {
    super();
    const size = { spellcheck: "false", autocomplete: "off", size: "5", inputmode: "numeric" };
    const slider = (/** @type {string} */ name, /** @type {string} */ key, /** @type {string} */ step) => {
      const [min, max] = RANGES[key].map(String);
      const range = field("input", name, { type: "range", min, max, step });
      label(range).append(make("output"));
      return range;
    };
    /** @type {Record<string, HTMLInputElement | HTMLSelectElement>} */
    this.fields = {
      mode: choice("Module", [
        ["RNN_TANH", "RNN, tanh"],
        ["RNN_RELU", "RNN, relu"],
        "GRU",
        "LSTM",
      ]),
      H_out: field("input", "H_out, units", size),
      L: field("input", "L, steps", size),
      seed: field("input", "seed", { ...size, size: "8" }),
      start: choice("weight_hh starts", [
        ["uniform", "as PyTorch draws it"],
        ["orthogonal", "orthogonal"],
        ["identity", "as the identity"],
      ]),
      radius: slider("Spectral radius of weight_hh", "radius", "0.01"),
      bias: slider("Forget bias", "bias", "0.25"),
      scale: slider("Size of the input", "scale", "0.25"),
      of: choice("Measured at", [
        ["state", "earlier states"],
        ["input", "inputs"],
      ]),
      below: field("input", "Threshold", { ...size, inputmode: "decimal" }),
    };
    /** @type {Record<string, string>} */
    this.texts = { ...START };
    this.answer = make("p", { class: "u-lab-status" });
    this.range = make("p");
    this.entry = make("p");
    // A change of one sentence does not read out the others.
    this.status = make("div", { role: "status", "aria-atomic": "false" }, this.answer, this.range, this.entry);
    this.named = make("p", { class: "u-lab-buttons" });
    this.curve = make("figure", { class: "u-lab-gradients-curve u-lab-decay u-grad" });
    this.map = new HeatMap((row, column) => this.choose(row, column));
    this.numbers = make("div");
    this.timer = 0;
    /** @type {State | null} what is shown, for the checks too */
    this.state = null;
    /** @type {Float64Array[]} by time step; what is shown */
    this.rows = [];
    /** @type {Float64Array[]} by seed */
    this.others = [];
    /** @type {Checked[]} */
    this.checked = [];
  }

  connectedCallback() {
    if (this.firstElementChild) {
      return; // it was moved
    }
    this.classList.add("u-lab");
    const { mode, H_out, L, seed, start, radius, bias, scale, of, below } = this.fields;
    const network = group("Network", mode, start, H_out, L, seed, radius, bias, scale);
    const { start: uniform, radius: drawn, bias: free, scale: one } = START;
    const asDrawn = { start: uniform, radius: drawn, bias: free, scale: one };
    network.append(button("Undo the changes", () => this.change(asDrawn)));
    const form = make("form", {}, network, group("Measure", of, below));
    const json = document.getElementById("u-gradients-autograd")?.textContent;
    this.checked = json ? JSON.parse(json) : [];
    this.named.append(
      ...this.checked.map(({ name, state }) => {
        const one = button(name, () => this.replace(new URLSearchParams(state)));
        one.dataset.state = state;
        return one;
      }),
    );
    // On a phone the curve is above the form that moves it.
    const areas = make("div", { class: "u-lab-gradients-areas" }, this.curve, form, this.map.element, this.numbers);
    this.append(this.named, this.status, areas);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", ({ target }) => {
      const found = Object.entries(this.fields).find(([, one]) => one === target);
      if (found) {
        this.change({ [found[0]]: found[1].value.trim() });
      }
    });
    onAddress(this, () => this.open());
    this.open();
  }

  /** The same with torch, for what is shown. */
  get code() {
    return this.state ? codeOf(this.state) : "";
  }

  disconnectedCallback() {
    clearTimeout(this.timer);
  }

  /** Show what the address says. */
  open() {
    const asked = readState(this);
    const section = [...asked].every(([, value]) => value === "");
    if (!section || !this.state) {
      this.texts = { ...START, ...(section ? {} : Object.fromEntries(asked)) };
      this.show();
    }
  }

  /**
   * Show a named setting, with what the reader measures.
   * @param {URLSearchParams} asked
   */
  replace(asked) {
    this.texts = { ...START, ...Object.fromEntries(asked) };
    this.show();
    this.write();
  }

  /** @param {Record<string, string>} texts */
  change(texts) {
    Object.assign(this.texts, texts);
    if (!Object.hasOwn(KEEPING, this.texts.mode)) {
      this.texts.bias = "";
    } else if (this.texts.start === "identity") {
      this.texts.start = START.start;
    }
    this.show();
    this.write();
  }

  write() {
    const said = Object.entries(this.texts).filter(([name, text]) => name === "mode" || text !== START[name]);
    writeState(this, Object.fromEntries(said));
  }

  show() {
    clearTimeout(this.timer);
    this.fill();
    this.map.chosen = null;
    this.entry.textContent = "";
    this.range.textContent = "";
    try {
      this.state = stateOf(this.texts);
      this.begin(this.state);
    } catch (error) {
      if (!(error instanceof RangeError)) {
        throw error;
      }
      this.state = null;
      this.answer.textContent = error.message;
    }
    this.answer.classList.toggle("u-lab-error", !this.state);
    for (const part of [this.curve, this.map.element, this.numbers]) {
      part.hidden = !this.state;
    }
  }

  /** Let the form say what is shown; a field that has the focus is left alone. */
  fill() {
    for (const one of this.named.querySelectorAll("button")) {
      const asked = Object.fromEntries(new URLSearchParams(one.dataset.state));
      const shown = Object.entries({ ...START, ...asked });
      one.setAttribute("aria-pressed", String(shown.every(([name, text]) => this.texts[name] === text)));
    }
    for (const [name, one] of Object.entries(this.fields)) {
      if (one !== document.activeElement && (one.type !== "range" || this.texts[name] !== "")) {
        one.value = this.texts[name];
      }
      const output = label(one).querySelector("output");
      if (output) {
        output.textContent = this.texts[name] || "as drawn";
      }
    }
    const { mode, start } = this.texts;
    const gate = KEEPING[mode];
    label(this.fields.bias).hidden = !gate;
    const name = label(this.fields.bias).firstElementChild;
    if (gate && name) {
      name.textContent = gate === "f" ? "Forget bias, gate f" : "Bias of the update gate z";
    }
    for (const option of /** @type {HTMLSelectElement} */ (this.fields.start).options) {
      option.disabled = option.value === "identity" && Boolean(gate) && start !== "identity";
    }
  }

  /**
   * Compute the last row and show it; the rest follows.
   * @param {State} state
   */
  begin(state) {
    const { H_out, L, of } = state;
    const network = drawNetwork(state);
    const slopes = run(network);
    if (state.radius === null) {
      const radii = spectralRadii(network);
      const [low, high] = [Math.min(...radii), Math.max(...radii)].map((one) => one.toFixed(2));
      this.fields.radius.value = String(radii.reduce((sum, one) => sum + one, 0) / radii.length);
      const output = /** @type {HTMLElement} */ (label(this.fields.radius).querySelector("output"));
      output.textContent = low === high ? `${low}, as drawn` : `${low} to ${high}, as drawn`;
    }
    if (state.keep === null) {
      this.fields.bias.value = "0";
    }
    this.rows = [];
    this.others = [];
    this.rows[L] = influence(slopes, H_out, L, of);
    const task = (/** @type {number} */ k) => {
      if (k < SEEDS) {
        const other = run(drawNetwork({ ...state, seed: BigInt(k) }));
        this.others.push(influence(other, H_out, L, of));
      }
      if (k < L - 1) {
        this.rows[L - 1 - k] = influence(slopes, H_out, L - 1 - k, of);
      }
    };
    this.answer.textContent = this.sentence(state);
    this.drawCurve(state);
    this.drawNumbers(state);
    this.map.element.setAttribute("aria-busy", "true");
    const count = Math.max(SEEDS, L - 1);
    const slice = (/** @type {number} */ from) => {
      const end = performance.now() + SLICE;
      let k = from;
      while (k < count && performance.now() < end) {
        task(k++);
      }
      this.drawMap(state);
      if (k < count) {
        this.timer = setTimeout(() => slice(k));
      } else {
        this.range.textContent = this.seeds(state);
        this.drawCurve(state);
        this.map.element.removeAttribute("aria-busy");
      }
    };
    this.drawMap(state);
    this.timer = setTimeout(() => slice(0)); // the next move of a slider comes first
  }

  /** @param {State} state */
  sentence({ L, below, of }) {
    const curve = this.rows[L];
    const from = belowFrom(curve, below);
    const last = curve.length - 1;
    if (curve[0] === 0) {
      return "No gradient arrives at all.";
    }
    const factor = stepFactor(curve);
    const fate =
      factor < 1
        ? `it ${from === null ? "shrinks slowly" : "vanishes"}`
        : `it ${curve[last] > LARGE * curve[0] ? "explodes" : "grows slowly"}`;
    const each =
      factor === 0
        ? "At the first one, nothing is left at all: it vanishes."
        : `Each step multiplies it by about ${factor.toFixed(factor > 0.985 && factor < 1.015 ? 3 : 2)}: ${fate}.`;
    const what = of === "state" ? "the gradient" : "what arrives at the last input";
    const first =
      from === null
        ? `After ${steps(last)}, ${Number((curve[last] / curve[0]).toPrecision(3))} times ${what} is left.`
        : `${from} or more steps back, less than ${below} of ${what} is left.`;
    return `${first} ${each}`;
  }

  /** @param {State} state */
  seeds({ below }) {
    const found = this.others.map((curve) => belowFrom(curve, below));
    const fallen = found.filter((one) => one !== null);
    const [low, high, middle] = [Math.min(...fallen), Math.max(...fallen), median(found)];
    if (fallen.length === 0) {
      return `With seeds 0 to ${SEEDS - 1} it never falls below ${below}.`;
    }
    const some = fallen.length === SEEDS ? "" : `, for ${fallen.length} of them,`;
    const range = low === high ? steps(low) : `${low} to ${steps(high)}`;
    const typical = middle === null ? "" : `; the median is ${middle}`;
    return `With seeds 0 to ${SEEDS - 1}${some} that takes ${range}${typical}.`;
  }

  /** @param {State} state */
  drawCurve(state) {
    const { L, below } = state;
    const curve = this.rows[L];
    const shown = decay({
      curve,
      others: this.others,
      limit: below * curve[0] || below,
      from: belowFrom(curve, below),
      said: `${this.sentence(state)} ${steps(curve.length - 1)} back, ${exponent(curve[curve.length - 1])} is left.`,
    });
    const band = this.others.length ? ` The band is the range over the seeds 0 to ${SEEDS - 1}.` : "";
    this.curve.replaceChildren(
      shown,
      make("figcaption", {}, `What is left of a gradient of the last state. Dashed: ${below}.${band}`),
    );
  }

  /** @param {State} state */
  drawMap({ L, of, below }) {
    const rows = Array.from({ length: L }, (_, k) => this.rows[k + 1]?.slice().reverse());
    const all = rows.flatMap((row) => [...(row ?? [])]).filter(Boolean);
    const logarithms = all.map(Math.log10);
    const high = Math.max(0, Math.ceil(Math.max(...logarithms)));
    const low = Math.min(high - 1, Math.max(WEAKEST, Math.floor(Math.min(...logarithms))));
    this.map.draw({
      columns: of === "state" ? L + 1 : L,
      rows,
      limits: rows.map((row) => (row ? below * row[row.length - 1] : 0)),
      powers: Number.isFinite(low) ? [low, high] : [WEAKEST, 0],
    });
    const [from, what] = of === "state" ? ["h_0", "state h_s"] : ["x_1", "input x_s"];
    const to = of === "state" ? "h" : "x";
    this.map.caption.textContent =
      `Rows: states h_1 to h_${L}. Columns: ${from} to ${to}_${L}. ` +
      `The line runs where less than ${below} is left. Click, or use the arrow keys.`;
    this.map.canvas.setAttribute(
      "aria-label",
      `Heat map: what is left of a gradient of state h_t at the ${what}. Arrow keys choose an entry.`,
    );
  }

  /**
   * @param {number} row
   * @param {number} column
   */
  choose(row, column) {
    const state = this.state;
    const t = row + 1;
    const values = this.rows[t];
    if (!state || !values) {
      return; // not there yet
    }
    const distance = values.length - 1 - column;
    const source = state.of === "state" ? `h_${column}` : `x_${column + 1}`;
    this.map.chosen = [row, column];
    this.map.paint();
    this.entry.textContent =
      `Of a gradient of h_${t}, ${exponent(values[distance])} is left at ${source}, ` +
      `${steps(distance)} back.`;
  }

  /**
   * Some numbers of the curve, beside those of autograd.
   * @param {State} state
   */
  drawNumbers(state) {
    const curve = this.rows[state.L];
    const last = curve.length - 1;
    const known = this.checked.find(({ state: one }) => {
      const texts = { ...START, ...Object.fromEntries(new URLSearchParams(one)), below: this.texts.below };
      return Object.entries(texts).every(([name, text]) => this.texts[name] === text);
    });
    const distances = [1, 2, 5, 10, 20, 40, 60, 100].filter((distance) => distance <= last);
    const rows = distances.map((distance) => [
      String(distance),
      exponent(curve[distance]),
      ...(known ? [exponent(known.curve[distance])] : []),
    ]);
    const said = known
      ? "What is left here, and by PyTorch's autograd, computed when this page was built."
      : "What is left. The code computes the same with PyTorch's autograd.";
    const copies = [copyButton("Copy the code", () => this.code, this.entry)];
    if (!this.hasAttribute("state")) {
      copies.push(copyButton("Copy a link to this", () => location.href, this.entry));
    }
    this.numbers.replaceChildren(
      table(said, ["steps back", "here", ...(known ? ["autograd"] : [])], rows),
      make("p", { class: "u-lab-buttons" }, ...copies),
    );
    reachable(this.numbers);
  }
}

customElements.define("unrolled-gradients", UnrolledGradients);

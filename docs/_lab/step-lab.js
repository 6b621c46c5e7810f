/**
 * `<unrolled-step>`: one layer, line by line, with every operand and the sum behind every entry.
 *
 * What is shown follows from the settings, the position and the chosen entry; all are in the
 * address. The settings give the lines once, and a position only draws.
 */

import {
  defaults,
  explainDown,
  leafText,
  passLines,
  program,
  readSettings,
  sumText,
} from "./core/step.js";
import { onAddress, readState, writeState } from "./parts/address.js";
import { button, choice, code, copyButton, field, label, make, reachable, signed } from "./parts/dom.js";
import { cellSize, Matrix } from "./parts/matrix.js";
import { Player } from "./parts/player.js";

/** @import { Leaf, Line, Settings } from "./core/step.js" */

const DIGITS = 4;
const FRAME = 4; // pixels around a matrix
const SMALLEST = 7; // pixels of a cell, so that a whole line fits into one row
const GAP = 26; // pixels for an operator between two matrices
const STRIP = { width: 84, side: 9 }; // pixels of a state over time, and of its cells, at most
const MODES = /** @type {[string, string][]} */ ([
  ["RNN_TANH", "RNN, tanh"],
  ["RNN_RELU", "RNN, relu"],
  ["GRU", "GRU"],
  ["LSTM", "LSTM"],
]);

/** @type {(line: Line, lines: readonly Line[]) => number} */
const linesOf = (line, lines) => lines.filter(({ step }) => step === line.step).length;

class UnrolledStep extends HTMLElement {
  constructor() {
    super();
    const whole = { inputmode: "numeric", spellcheck: "false", autocomplete: "off", size: "4" };
    this.mode = choice("Module", MODES);
    this.pass = choice("Pass", ["forward", "backward"]);
    this.H_in = field("input", "H_in", whole);
    this.H_out = field("input", "H_out", whole);
    this.N = field("input", "N", whole);
    this.L = field("input", "L", whole);
    this.seed = field("input", "Seed", { ...whole, size: "7" });
    this.h_0 = choice("First state", [["zeros", "torch.zeros"], ["randn", "torch.randn"]]);
    this.batch_first = choice("x is drawn as", [["0", "(L, N, H_in)"], ["1", "(N, L, H_in)"]]);
    this.bias = choice("bias", [["1", "True"], ["0", "False"]]);
    this.proj_size = field("input", "proj_size", whole);
    this.loss = field("input", "Gradient of h_L: sum, or row,column", { ...whole, size: "7", inputmode: "text" });
    this.row = field("input", "row", { type: "number", min: "0", size: "4" });
    this.column = field("input", "column", { type: "number", min: "0", size: "4" });
    this.status = make("p", { role: "status", class: "u-lab-status" });
    this.strip = make("div", { class: "u-lab-step-strip", role: "group" });
    this.list = make("ol", { class: "u-lab-step-code" });
    this.drawn = make("div", { class: "u-lab-step-drawn" });
    this.sums = make("div", { class: "u-lab-step-sums" });
    this.work = make("div", { class: "u-lab-step-work" });
    this.player = new Player(
      (position) => this.showPosition(position),
      (position) => this.said(position),
    );
    this.player.slider.setAttribute("aria-label", "Line of the pass");
    /** @type {Line[]} */
    this.lines = [];
    /** @type {Line[]} */
    this.all = [];
    /** @type {Leaf[]} */
    this.states = [];
    /** @type {Settings | null} */
    this.settings = null;
    /** @type {[number, number] | null} */
    this.entry = null;
    this.broken = false;
    /**
     * One drawing for each operand of each line of a step: what is the same at the next step, such
     * as a weight, is not painted again.
     * @type {Map<string, Matrix>}
     */
    this.matrices = new Map();
    /** @type {{ matrix: Matrix, box: HTMLButtonElement }[]} */
    this.timeline = [];
    this.room = 0;
    /** @type {Line[] | null} whose code is in the list */
    this.listed = null;
    /** @type {Line[] | null} whose operands are in the drawing */
    this.laid = null;
  }

  get embedded() {
    return this.hasAttribute("state");
  }

  get line() {
    return this.lines[this.player.position];
  }

  /** @returns {Record<string, HTMLInputElement | HTMLSelectElement>} by name in the address */
  get fields() {
    const { mode, pass, H_in, H_out, N, L, seed, h_0, batch_first, bias, proj_size, loss } = this;
    return { mode, pass, H_in, H_out, N, L, seed, h_0, batch_first, bias, proj_size, loss };
  }

  connectedCallback() {
    if (this.firstElementChild) {
      return; // it was moved
    }
    this.classList.add("u-lab");
    const again = button("Draw again", () => this.drawAgain());
    again.title = "Take the next seed: other weights, another input";
    const sizes = [this.H_in, this.H_out, this.N, this.L].map(label);
    const first = [this.mode, this.pass].map(label);
    const rest = [this.h_0, this.batch_first, this.bias, this.proj_size, this.loss].map(label);
    const seed = [label(this.seed), again];
    const shown = this.embedded ? [...first, ...seed] : [...first, ...sizes, ...seed];
    const more = make(
      "details",
      { class: "u-lab-step-more" },
      make("summary", {}, "More settings"),
      make("div", { class: "u-lab-step-fields" }, ...(this.embedded ? sizes : []), ...rest),
    );
    const form = make(
      "form",
      { class: "u-lab-step-form", "aria-label": "Settings" },
      make("div", { class: "u-lab-step-fields" }, ...shown),
      more,
    );
    const entry = make(
      "div",
      { class: "u-lab-step-entry", role: "group", "aria-label": "Entry of the result" },
      make("span", {}, "Entry of the result:"),
      label(this.row),
      label(this.column),
      button("Clear", () => this.choose(null)),
    );
    const copies = [copyButton("Copy all lines", () => this.program(), this.status)];
    if (!this.embedded) {
      copies.push(copyButton("Copy a link to this", () => location.href, this.status));
    }
    // In a chapter the drawing comes first, in the place of the one that was touched.
    const line = this.embedded ? [this.drawn, this.list] : [this.list, this.drawn];
    this.work.append(
      ...(this.embedded ? [] : [this.strip]),
      this.player.element,
      this.status,
      ...line,
      entry,
      this.sums,
      ...(this.embedded ? [this.strip] : []),
      make("p", { class: "u-lab-buttons" }, ...copies),
    );
    this.append(...(this.embedded ? [this.work, form] : [form, this.work]));

    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => this.changed());
    for (const number of [this.row, this.column]) {
      number.addEventListener("input", () => this.typed());
    }
    onAddress(this, () => this.open());
    new ResizeObserver(() => this.fit()).observe(this);
    this.open();
  }

  /** Show what the address says, or where a reader starts. */
  open() {
    const said = [...readState(this)].filter(([name, value]) => value !== "" || name.includes("="));
    if (said.length === 0 && this.settings) {
      return; // a link to a section
    }
    const given = Object.fromEntries(said);
    const { at = "", entry = "", ...settings } = given;
    const whole = { ...defaults(), ...settings };
    for (const [name, input] of Object.entries(this.fields)) {
      input.value = whole[name];
    }
    this.read(settings, at, entry);
  }

  /** Follow a change of the settings: the position stays where it is, if there still is one. */
  changed() {
    const given = Object.entries(this.fields).map(([name, input]) => [name, input.value.trim()]);
    const said = Object.fromEntries(given);
    const { line } = this;
    if (said.mode !== "LSTM") {
      said.proj_size = this.proj_size.value = "0"; // its field is hidden
    }
    if (said.pass === "forward") {
      said.loss = this.loss.value = "sum"; // the same
    }
    const same = this.settings?.mode === said.mode && this.settings?.pass === said.pass;
    this.read(said, same && line ? `${line.step},${line.number + 1}` : "", this.entry?.join() ?? "");
  }

  drawAgain() {
    this.seed.value = /^-?\d+$/.test(this.seed.value) ? String(BigInt(this.seed.value) + 1n) : "0";
    this.changed();
  }

  /**
   * @param {Record<string, string>} given
   * @param {string} at `step,line`, both counted from 1; nothing for the first
   * @param {string} entry `row,column`; nothing for none
   */
  read(given, at, entry) {
    label(this.proj_size).hidden = this.mode.value !== "LSTM";
    label(this.loss).hidden = this.pass.value !== "backward";
    try {
      const settings = readSettings(given);
      const { lines, all, states } = passLines(settings);
      const start = position(lines, at);
      if (entry !== "" && !/^\d{1,3},\d{1,3}$/.test(entry)) {
        throw new RangeError(`entry should be row,column, got ${entry}`);
      }
      Object.assign(this, { settings, lines, all, states });
      const [row, column] = entry.split(",").map(Number);
      this.entry = entry === "" ? null : [row, column];
      this.succeed(start);
    } catch (error) {
      if (!(error instanceof RangeError)) {
        throw error;
      }
      this.fail(error.message);
    }
  }

  /** @param {string} text */
  fail(text) {
    this.player.pause();
    this.broken = true;
    this.work.classList.add("u-lab-step-broken");
    this.status.classList.add("u-lab-error");
    this.status.textContent = text;
    for (const [name, input] of Object.entries(this.fields)) {
      input.toggleAttribute("aria-invalid", text.startsWith(`${name} `));
    }
  }

  /** @param {number} start */
  succeed(start) {
    this.broken = false;
    this.work.classList.remove("u-lab-step-broken");
    this.status.classList.remove("u-lab-error");
    for (const input of Object.values(this.fields)) {
      input.removeAttribute("aria-invalid");
    }
    this.matrices.clear();
    this.drawTimeline();
    this.player.restart(this.lines.length, start);
  }

  /** @param {number} at */
  said(at) {
    const line = this.lines[at];
    const last = this.settings?.L;
    const count = linesOf(line, this.lines);
    return `Step ${line.step} of ${last}, line ${line.number + 1} of ${count}`;
  }

  /** @param {number} at */
  showPosition(at) {
    const line = this.lines[at];
    if (this.list.dataset.step !== String(line.step) || this.listed !== this.lines) {
      this.listLines(line);
    }
    for (const [number, item] of [...this.list.children].entries()) {
      const mark = item.firstElementChild;
      if (number === line.number) {
        mark?.setAttribute("aria-current", "step");
      } else {
        mark?.removeAttribute("aria-current");
      }
    }
    this.markTimeline(at);
    this.drawLine(line);
    this.showEntry();
  }

  /**
   * The code of the step that a line belongs to.
   * @param {Line} line
   */
  listLines({ step }) {
    const first = this.lines.findIndex((line) => line.step === step);
    const lines = this.lines.filter((line) => line.step === step);
    this.list.dataset.step = String(step);
    this.list.setAttribute("aria-label", `The code of step ${step}`);
    this.listed = this.lines;
    const items = lines.map((line, k) => {
      const go = button("", () => this.player.go(first + k));
      go.append(code(line.code));
      return make("li", {}, go);
    });
    this.list.replaceChildren(...items);
  }

  // -- States over time ---------------------------------------------------------------------------

  drawTimeline() {
    const back = this.settings?.pass === "backward";
    const what = back ? "Gradients of the states over time" : "States over time";
    this.strip.setAttribute("aria-label", what);
    this.timeline = this.states.map(({ name, token }, t) => {
      const matrix = new Matrix({ name, token });
      const box = button("", () => this.goToState(t));
      box.className = `u-${token}`;
      matrix.canvas.setAttribute("aria-hidden", "true");
      box.append(matrix.canvas, code(name));
      return { matrix, box };
    });
    this.strip.replaceChildren(...this.timeline.map(({ box }) => box));
    for (const [t, { matrix }] of this.timeline.entries()) {
      const { tensor } = this.states[t];
      const [width] = cellSize(tensor.shape[1], STRIP.width);
      const side = Math.min(width, STRIP.side);
      matrix.draw(tensor, { cell: [side, side] });
    }
  }

  /**
   * The line that made a state; a state that was there first has none, and leads to the first line.
   * @param {number} t
   */
  goToState(t) {
    const made = this.lines.findIndex(({ name }) => name === this.states[t].name);
    this.player.go(Math.max(0, made));
  }

  /** @param {number} at */
  markTimeline(at) {
    const { step } = this.lines[at];
    const back = this.settings?.pass === "backward";
    const current = back ? step - 1 : step;
    const before = this.strip.querySelector("[aria-current]");
    this.timeline.forEach(({ box }, t) => {
      const made = this.lines.findIndex(({ name }) => name === this.states[t].name);
      const { name } = this.states[t];
      const later = made > at;
      if (later !== box.classList.contains("u-lab-step-later") || !box.hasAttribute("aria-label")) {
        box.classList.toggle("u-lab-step-later", later);
        box.setAttribute("aria-label", `${name}${later ? ", not computed yet" : ""}`);
      }
      if (t === current && box !== before) {
        box.setAttribute("aria-current", "step");
        const { offsetLeft, offsetWidth } = box;
        const hidden = offsetLeft + offsetWidth - this.strip.clientWidth;
        if (hidden > this.strip.scrollLeft || offsetLeft < this.strip.scrollLeft) {
          this.strip.scrollLeft = Math.max(0, hidden + offsetWidth); // of the strip alone
        }
      } else if (t !== current) {
        box.removeAttribute("aria-current");
      }
    });
  }

  // -- The operands of a line ---------------------------------------------------------------------

  /** @returns {[number, number] | null} the chosen entry, as far as this result has one */
  get inside() {
    const [rows, columns] = this.line.result.shape;
    return this.entry && [Math.min(this.entry[0], rows - 1), Math.min(this.entry[1], columns - 1)];
  }

  /** @param {Line} line */
  drawLine(line) {
    const parts = this.layout(line);
    const key = `${line.number} ${line.operands.map(({ role }) => role).join()}`;
    if (this.drawn.dataset.line !== key || this.laid !== this.lines) {
      this.drawn.dataset.line = key;
      this.laid = this.lines;
      this.drawn.replaceChildren(
        ...parts.flatMap(({ before, matrix }) => [
          ...(before ? [make("span", { class: "u-lab-step-sign", "aria-hidden": "true" }, before)] : []),
          matrix.element,
        ]),
      );
    }
    const columns = parts.map(({ tensor }) => tensor.shape[tensor.shape.length - 1]);
    const room = this.room || this.drawn.clientWidth || 600; // to ask again would lay out the page
    const total = columns.reduce((sum, count) => sum + count, 0);
    const signs = (parts.length - 1) * GAP + parts.length * FRAME;
    const together = cellSize(total, room - signs);
    const entry = this.inside;
    for (const [k, { matrix, tensor, role }] of parts.entries()) {
      const cell = together[0] >= SMALLEST ? together : cellSize(columns[k], room - GAP);
      const repeated = role === "bias" ? line.result.shape[0] : 1;
      matrix.draw(tensor, { cell, lit: entry ? this.lit(line, role, tensor, entry) : {}, repeated });
    }
  }

  /**
   * What an entry of the result needs of an operand.
   * @param {Line} line
   * @param {string} role
   * @param {{ shape: readonly number[] }} tensor
   * @param {[number, number]} entry
   */
  lit(line, role, tensor, [row, column]) {
    if (role === "left") {
      return { row };
    }
    if (role === "right") {
      return { column };
    }
    if (line.operands.length > 2 && "op" in line.tree && line.tree.op === "cat" && role === "entry") {
      const width = tensor.shape[1];
      const part = line.operands.findIndex((leaf) => leaf.tensor === tensor);
      const inside = column - line.operands.slice(0, part).reduce((sum, leaf) => sum + leaf.tensor.shape[1], 0);
      return inside >= 0 && inside < width ? { row, column: inside } : { row: -1, column: -1 };
    }
    return { row, column };
  }

  /**
   * The matrices of a line, and the sign before each.
   * @param {Line} line
   */
  layout(line) {
    const signs = /** @type {Record<string, string>} */ ({ right: "@", bias: "+" });
    const parts = line.operands.map((leaf, k) => {
      const { role, tensor, token } = leaf;
      const before = k === 0 ? "" : signs[role] ?? ",";
      return { before, tensor, role, matrix: this.matrix(line, k, leafText(leaf), token, false) };
    });
    const { name, token, result } = line;
    const into = parts.length > 1 && line.operands[1].role === "right" ? "=" : "→";
    const matrix = this.matrix(line, parts.length, name, token, true);
    return [...parts, { before: into, tensor: result, role: "result", matrix }];
  }

  /**
   * @param {Line} line
   * @param {number} place
   * @param {string} name
   * @param {string} token
   * @param {boolean} result
   */
  matrix(line, place, name, token, result) {
    const key = `${line.number} ${place}`;
    let matrix = this.matrices.get(key);
    if (!matrix) {
      const choose = (/** @type {number} */ row, /** @type {number} */ column) => this.choose([row, column]);
      matrix = new Matrix(result ? { name, token, choose } : { name, token });
      this.matrices.set(key, matrix);
    }
    matrix.name = name; // the next step has the next name
    return matrix;
  }

  /** Draw again when the room has changed. */
  fit() {
    const room = this.drawn.clientWidth;
    if (room !== this.room && this.line && !this.broken) {
      this.room = room;
      this.drawLine(this.line);
      reachable(this.drawn);
    }
  }

  // -- The entry ----------------------------------------------------------------------------------

  /** @param {[number, number] | null} entry */
  choose(entry) {
    this.entry = entry;
    this.drawLine(this.line);
    this.showEntry();
  }

  /** Follow the two fields. */
  typed() {
    const [row, column] = [this.row, this.column].map(({ value }) => value.trim());
    const [rows, columns] = this.line.result.shape;
    if (row === "" || column === "") {
      return; // the other field comes next
    }
    const entry = [Number(row), Number(column)];
    if (!(entry.every(Number.isInteger) && entry.every((k, at) => k >= 0 && k < [rows, columns][at]))) {
      this.status.textContent = `${this.line.name} has shape (${rows}, ${columns}), and no entry [${row}, ${column}].`;
      return;
    }
    this.choose([entry[0], entry[1]]);
  }

  /** Write the sum behind the chosen entry, and put what is shown into the address. */
  showEntry() {
    const { line, inside } = this;
    const [rows, columns] = line.result.shape;
    this.row.max = String(rows - 1);
    this.column.max = String(columns - 1);
    for (const [k, input] of [this.row, this.column].entries()) {
      if (input !== document.activeElement) {
        input.value = inside ? String(inside[k]) : "";
      }
    }
    const head = `${this.said(this.player.position)}`;
    if (inside) {
      const found = explainDown(this.lines, line, ...inside);
      const { name, value } = found[0];
      this.status.textContent = `${head}: ${name} is ${signed(value, DIGITS)}.`;
      this.sums.replaceChildren(
        ...found.map(({ name, value, sum }) =>
          make(
            "div",
            {},
            make("p", {}, code(name), " = ", code(sumText(sum, (entry) => entry.name))),
            make(
              "p",
              {},
              `= ${sumText(sum, (entry) => signed(entry.value, DIGITS))} = `,
              make("strong", {}, signed(value, DIGITS)),
            ),
          ),
        ),
      );
    } else {
      this.status.textContent = `${head}: ${line.name} has shape (${rows}, ${columns}).`;
      const hint = `Choose an entry of ${line.name}, or type its row and column, to see its sum.`;
      this.sums.replaceChildren(make("p", {}, hint));
    }
    this.remember();
  }

  remember() {
    const normal = defaults();
    /** @type {Record<string, string>} */
    const state = {};
    for (const [name, input] of Object.entries(this.fields)) {
      if (input.value.trim() !== normal[name]) {
        state[name] = input.value.trim();
      }
    }
    const { step, number } = this.line;
    state.at = `${step},${number + 1}`;
    if (this.inside) {
      state.entry = this.inside.join();
    }
    writeState(this, state);
  }

  program() {
    return this.settings ? program(this.settings, this.all) : "";
  }
}

/**
 * @param {readonly Line[]} lines
 * @param {string} at `step,line`, both counted from 1; nothing for the first
 */
function position(lines, at) {
  if (at === "") {
    return 0;
  }
  const found = /^(\d{1,3}),(\d{1,3})$/.exec(at);
  const [step, number] = (found ?? []).slice(1).map(Number);
  const place = lines.findIndex((line) => line.step === step && line.number + 1 === number);
  if (place < 0) {
    throw new RangeError(`at should be step,line of this pass, got ${at}`);
  }
  return place;
}

customElements.define("unrolled-step", UnrolledStep);

/**
 * `<unrolled-memory>`: a trained network reads what you type, letter by letter.
 *
 * Its weights are a file beside this script, which defines one global object; a page that is opened
 * as a file may load a script, and nothing else.
 */

import { transpose } from "./core/arrays.js";
import { encode, likeliest, modelOf, PARTS, readText, remembered } from "./core/language.js";
import { readWhole } from "./core/settings.js";
import { onAddress, readState, writeState } from "./parts/address.js";
import { decay } from "./parts/decay.js";
import { choice, code, copyButton, field, label, make, signed } from "./parts/dom.js";
import { Matrix } from "./parts/matrix.js";
import { Player } from "./parts/player.js";

/** @import { Tensor } from "./core/init.js" */
/** @import { File, Model, Part, Read } from "./core/language.js" */
/**
 * What the build measured of the unit that follows quotation marks best.
 * @typedef {object} Measured
 * @property {number} unit
 * @property {number} threshold of its state
 * @property {number} sign 1 if it is above the threshold inside, -1 if below
 */
/** @typedef {File & { quotation: Measured }} Shipped */

const HERE = /** @type {HTMLScriptElement} */ (document.currentScript).src;
const START = {
  text: 'She smiled. "You are very kind," said Catherine, "but I cannot stay."',
  at: 14, // the first letter of the quotation
};
const LONGEST = 240;
const NEAR = 0.01;
const SHOWN = 8; // letters in the list of the next ones
const HEIGHT = 3; // pixels of a unit
const TOKENS = { r: "gr", z: "gz", n: "gn", h: "h" };
const PART_NAMES = /** @type {[Part, string][]} */ ([
  ["h", "hidden states h"],
  ["r", "reset gates r"],
  ["z", "update gates z"],
  ["n", "candidates n"],
]);

/** @type {Promise<Shipped> | null} */
let asked = null;

/** The weights, asked for once. */
function weights() {
  asked ??= new Promise((resolve, reject) => {
    const script = make("script", { src: new URL("lab-memory-weights.js", HERE).href });
    script.addEventListener("load", () => resolve(Reflect.get(globalThis, "UNROLLED_MEMORY")));
    script.addEventListener("error", () => reject(new RangeError("The weights do not load.")));
    document.head.append(script);
  });
  return asked;
}

/** @type {(character: string) => string} */
const named = (character) => ({ " ": "space", "\n": "new line" })[character] ?? character;

class UnrolledMemory extends HTMLElement {
  constructor() {
    super();
    this.text = field("textarea", "Text", {
      rows: "2",
      maxlength: String(LONGEST),
      spellcheck: "false",
      autocomplete: "off",
    });
    this.kind = choice("All units", PART_NAMES);
    this.unit = field("input", "One unit", { type: "number", min: "0" });
    this.instead = field("input", "", {
      size: "2",
      maxlength: "1",
      autocomplete: "off",
      spellcheck: "false",
    });
    this.status = make("p", { role: "status", class: "u-lab-status" });
    this.letters = make("p", { class: "u-lab-memory-letters", "aria-hidden": "true" });
    this.next = make("ol", { class: "u-lab-memory-next" });
    this.nextHead = make("p", { class: "u-lab-memory-head" });
    this.units = make("div", { class: "u-lab-memory-units" });
    this.strips = make("div", { class: "u-lab-memory-strips" });
    this.edited = make("div", { class: "u-lab-memory-edited" });
    this.work = make("div", { class: "u-lab-memory-work" });
    this.player = new Player(
      (at) => this.showLetter(at),
      (at) => this.said(at),
    );
    this.player.slider.setAttribute("aria-label", "Letter");
    this.quotation = make("button", { type: "button" }, "The unit that follows quotation marks");
    this.matrix = new Matrix({
      name: "h",
      token: "h",
      choose: (unit, at) => {
        this.unit.value = String(unit);
        this.player.go(at);
        this.showUnit();
      },
    });
    /** @type {(Model & { quotation: Measured }) | null} */
    this.model = null;
    /** @type {Read | null} */
    this.read = null;
    /** @type {string[]} */
    this.characters = [];
    /** @type {Tensor | null} (units, L) of the part that is shown */
    this.shown = null;
  }

  async connectedCallback() {
    if (this.firstElementChild) {
      return; // it was moved
    }
    this.classList.add("u-lab");
    const box = (/** @type {(Node | string)[]} */ ...children) =>
      make("div", { class: "u-lab-memory-fields" }, ...children);
    this.work.append(
      this.letters,
      this.player.element,
      make("div", { class: "u-lab-memory-beside" }, make("div", {}, this.nextHead, this.next), this.strips),
      box(label(this.unit), this.quotation, label(this.kind)),
      this.units,
      make("p", { class: "u-lab-memory-head" }, "Edit a letter"),
      box(label(this.instead)),
      this.edited,
    );
    if (!this.hasAttribute("state")) {
      const link = copyButton("Copy a link to this", () => location.href, this.status);
      this.work.append(make("p", { class: "u-lab-buttons" }, link));
    }
    this.append(label(this.text), this.status, this.work);
    label(this.text).className = "u-lab-memory-field";
    this.work.hidden = true;
    this.status.textContent = "The weights are loading.";
    try {
      const shipped = await weights();
      this.model = { ...modelOf(shipped), quotation: shipped.quotation };
    } catch (error) {
      this.fail(error);
      return;
    }
    this.unit.max = String(this.model.hidden_size - 1);
    this.text.addEventListener("input", () => this.run(this.player.position));
    this.kind.addEventListener("input", () => this.showUnits());
    this.unit.addEventListener("input", () => this.showUnit());
    this.instead.addEventListener("input", () => this.showEdit());
    this.quotation.addEventListener("click", () => {
      this.unit.value = String(this.model?.quotation.unit);
      this.showUnit();
    });
    new ResizeObserver(() => this.read && this.showUnits()).observe(this);
    onAddress(this, () => this.open());
    this.open();
  }

  /** Show what the address says, or where a reader starts. */
  open() {
    const state = readState(this);
    if (this.read && !state.has("text")) {
      return; // a link to a section
    }
    const { quotation } = /** @type {{ quotation: Measured }} */ (this.model);
    this.text.value = state.get("text") ?? START.text;
    this.kind.value = PARTS.find((part) => part === state.get("kind")) ?? "h";
    this.unit.value = state.get("unit") ?? String(quotation.unit);
    this.instead.value = state.get("instead") ?? "";
    try {
      const last = [...this.text.value].length;
      const at = state.get("at");
      this.run((at === null ? Math.min(START.at, last) : readWhole("at", at, [1, last])) - 1);
    } catch (error) {
      this.fail(error);
    }
  }

  /**
   * Say in a part of the page what is wrong there.
   * @param {unknown} error
   * @param {HTMLElement} where
   */
  refuse(error, where) {
    if (!(error instanceof RangeError)) {
      throw error;
    }
    where.replaceChildren(make("p", { class: "u-lab-error" }, error.message));
  }

  /** @param {unknown} error */
  fail(error) {
    if (!(error instanceof RangeError)) {
      throw error;
    }
    this.player.pause();
    this.work.hidden = true;
    this.status.textContent = error.message;
    this.status.classList.add("u-lab-error");
    this.text.setAttribute("aria-invalid", "true");
  }

  /** @param {number} at the letter to show, counted from 0 */
  run(at) {
    const model = /** @type {Model & { quotation: Measured }} */ (this.model);
    try {
      const text = this.text.value;
      if (text === "") {
        throw new RangeError("Type a text, of one letter at least.");
      }
      if ([...text].length > LONGEST) {
        throw new RangeError(`text should have at most ${LONGEST} letters, got ${[...text].length}.`);
      }
      this.read = readText(model, encode(model, text));
      this.characters = [...text];
    } catch (error) {
      this.fail(error);
      return;
    }
    this.work.hidden = false;
    this.status.classList.remove("u-lab-error");
    this.text.removeAttribute("aria-invalid");
    this.letters.replaceChildren(
      ...this.characters.map((character, k) => {
        const letter = make("span", {}, character === "\n" ? "↵\n" : character);
        letter.addEventListener("click", () => this.player.go(k));
        return letter;
      }),
    );
    this.showUnits();
    this.player.restart(this.characters.length, Math.min(at, this.characters.length - 1));
  }

  /** @param {number} at */
  said(at) {
    return `letter ${at + 1} of ${this.characters.length}, ${named(this.characters[at])}`;
  }

  /** @param {number} at */
  showLetter(at) {
    if (!this.read || !this.model) {
      return;
    }
    for (const [k, letter] of [...this.letters.children].entries()) {
      letter.classList.toggle("u-lab-memory-now", k === at);
    }
    const likely = likeliest(this.model, this.read, at, SHOWN);
    this.nextHead.textContent = "The most probable next letters";
    this.next.replaceChildren(
      ...likely.map(({ character, p }) => {
        const bar = make("span", { class: "u-lab-memory-bar" });
        bar.style.width = `${(100 * p).toFixed(1)}%`;
        const percent = `${(100 * p).toFixed(1)} %`;
        return make("li", {}, code(named(character)), make("span", {}, bar), make("span", {}, percent));
      }),
    );
    const best = likely[0];
    this.status.textContent =
      `After ${this.said(at)}, the most probable next one is ${named(best.character)}, ` +
      `with ${(100 * best.p).toFixed(1)} %.`;
    this.showUnit();
  }

  /** All units, a row each, over the letters. */
  showUnits() {
    const part = /** @type {Part} */ (this.kind.value);
    if (this.read) {
      this.shown = transpose(this.read[part]);
      this.matrix.name = part;
      this.matrix.token = TOKENS[part];
      this.matrix.element.className = `u-lab-cells u-${TOKENS[part]}`;
      this.units.replaceChildren(this.matrix.element);
      this.showUnit();
    }
  }

  get width() {
    const room = Math.max(200, this.clientWidth - 36);
    return Math.max(2, Math.min(14, Math.floor(room / this.characters.length)));
  }

  /** One unit: its gates and its states over the letters. */
  showUnit() {
    const { read, model, shown } = this;
    if (!read || !model || !shown) {
      return;
    }
    const H = model.hidden_size;
    let unit;
    try {
      unit = readWhole("unit", this.unit.value, [0, H - 1]);
    } catch (error) {
      this.refuse(error, this.strips);
      this.unit.setAttribute("aria-invalid", "true");
      return;
    }
    this.unit.removeAttribute("aria-invalid");
    const at = this.player.position;
    this.matrix.draw(shown, { cell: [this.width, HEIGHT], lit: { row: unit, column: at }, fade: false });
    const strips = PARTS.map((part) => {
      const data = Float32Array.from(this.characters, (_, t) => read[part].data[t * H + unit]);
      return { part, data, strip: new Matrix({ name: part, token: TOKENS[part] }) };
    });
    const rows = strips.map(({ part, data, strip }) =>
      make("div", {}, code(part), strip.element, make("span", {}, signed(data[at]))),
    );
    const { quotation } = model;
    const inside = (read.h.data[at * H + unit] - quotation.threshold) * quotation.sign > 0;
    const verdict =
      unit === quotation.unit
        ? `It takes this letter to be ${inside ? "inside" : "outside"} quotation marks.`
        : "";
    this.strips.replaceChildren(
      make("p", { class: "u-lab-memory-head" }, `Unit ${unit}, its gates and states. ${verdict}`),
      ...rows,
    );
    for (const { data, strip } of strips) {
      this.drawStrip(strip, data, this.strips.clientWidth - 110);
    }
    this.showEdit();
    this.save();
  }

  /**
   * Draw one number for each letter.
   * @param {Matrix} strip
   * @param {Float32Array} data
   * @param {number} room in pixels
   */
  drawStrip(strip, data, room) {
    const width = Math.max(2, Math.min(14, Math.floor(room / data.length)));
    const lit = { column: this.player.position };
    strip.draw({ shape: [1, data.length], data }, { cell: [width, 14], lit, fade: false });
    strip.caption.remove();
  }

  /** How long the network remembers that one letter was another one. */
  showEdit() {
    const { model } = this;
    if (!model || !this.read) {
      return;
    }
    const at = this.player.position;
    const instead = this.instead.value;
    const was = named(this.characters[at]);
    label(this.instead).firstElementChild?.replaceChildren(`Replace ${was} with`);
    if (instead === "" || instead === this.characters[at]) {
      this.edited.replaceChildren(
        make("p", {}, "Choose a letter of the text above, and type a different one here."),
      );
      this.save();
      return;
    }
    try {
      const numbers = encode(model, this.text.value);
      const [number] = encode(model, instead);
      const { one, other, distance, after } = remembered(model, numbers, at, number, NEAR);
      const left = distance.length - at;
      const words =
        `With ${named(instead)} in place of ${was}: ` +
        (after === null
          ? `${left - 1} letters later the hidden states still differ by ` +
            `${(100 * distance[distance.length - 1]).toFixed(1)} %. The network has not forgotten.`
          : `from ${after} letters later on, the hidden states differ by less than 1 %.`);
      const curve = Float64Array.from(distance.subarray(at));
      const from = after === null || after >= left ? null : after;
      const chart =
        left > 1
          ? [
              make(
                "figure",
                { class: "u-lab-memory-chart u-lab-decay u-h" },
                decay({ curve, others: [], limit: NEAR, from, said: words, axis: "letters later" }),
                make("figcaption", {}, "Difference of the two hidden states, as a part of the first."),
              ),
            ]
          : [];
      const H = model.hidden_size;
      const unit = Number(this.unit.value);
      const strips = [
        { name: "as typed", read: one },
        { name: "edited", read: other },
      ].map(({ name, read }) => {
        const data = Float32Array.from(this.characters, (_, t) => read.h.data[t * H + unit]);
        return { name, data, strip: new Matrix({ name: `h of unit ${unit}, ${name}`, token: "h" }) };
      });
      this.edited.replaceChildren(
        make("p", { class: "u-lab-memory-head" }, words),
        make("p", {}, `The hidden state of unit ${unit} in the two texts:`),
        ...strips.map(({ name, strip }) =>
          make("div", { class: "u-lab-memory-compared" }, make("span", {}, name), strip.element),
        ),
        ...chart,
      );
      for (const { data, strip } of strips) {
        this.drawStrip(strip, data, this.edited.clientWidth - 90);
      }
    } catch (error) {
      this.refuse(error, this.edited);
    }
    this.save();
  }

  save() {
    const [kind, unit] = [this.kind.value, this.unit.value];
    const at = String(this.player.position + 1);
    writeState(this, { text: this.text.value, at, kind, unit, instead: this.instead.value });
  }
}

customElements.define("unrolled-memory", UnrolledMemory);

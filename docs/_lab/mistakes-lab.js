/**
 * `<unrolled-mistakes>`: a recurrent network with one known mistake, beside PyTorch's.
 *
 * What is shown follows from the module, its sizes, the seed, the mistake and a step; all are in
 * the address.
 */

import {
  drift,
  lengthsOf,
  LIMITS,
  madeText,
  MISTAKES,
  mistakesOf,
  MODULES,
  ROUNDING,
  SIZES,
} from "./core/mistakes.js";
import { unbind } from "./core/arrays.js";
import { readSeed, readWhole } from "./core/settings.js";
import { onAddress, readState, writeState } from "./parts/address.js";
import { choice, code, copyButton, field, group, label, make, reachable, svg, table } from "./parts/dom.js";
import { cellSize, Matrix } from "./parts/matrix.js";

/** @import { Setting } from "./core/mistakes.js" */

const START = { module: "LSTM", N: "3", L: "12", H_in: "5", H_out: "5", seed: "0", mistake: "hh_stored" };
const WIDE = 38; // pixels of a cell that shows its number
/** The chart, in its own units, and the powers of ten between which it draws. */
const CHART = { width: 460, height: 210, left: 58, right: 12, top: 26, bottom: 38, low: -8, high: 1 };

let count = 0; // names the groups of radio buttons of a page

/** @type {(value: number) => string} */
function rounded(value) {
  if (value === 0) {
    return "0";
  }
  return value < 0.001 ? value.toExponential(0).replace("-", "−") : String(Number(value.toPrecision(2)));
}

/** @type {(share: number) => string} */
const percent = (share) => `${Number((100 * share).toPrecision(2))} %`;

class UnrolledMistakes extends HTMLElement {
  constructor() {
    super();
    const number = { inputmode: "numeric", spellcheck: "false", autocomplete: "off", size: "4" };
    this.module = choice("Module", MODULES);
    this.sizes = {
      N: field("input", "N", number),
      L: field("input", "L", number),
      H_in: field("input", "H_in", number),
      H_out: field("input", "H_out", number),
    };
    this.seed = field("input", "seed", { ...number, size: "6" });
    this.group = `u-mistake-${count++}`;
    this.list = make("fieldset", { class: "u-lab-mistakes-list" });
    this.mistake = START.mistake;
    this.status = make("p", { role: "status", class: "u-lab-status" });
    this.chart = make("div", { class: "u-lab-mistakes-chart" });
    this.lines = make("div");
    this.step = field("input", "Step", { type: "range", min: "1", step: "1" });
    this.stepName = make("p", { class: "u-lab-mistakes-step" });
    this.right = new Matrix({ name: "PyTorch", token: "h" });
    this.wrong = new Matrix({ name: "with the mistake", token: "h" });
    this.matrices = make("div", { class: "u-lab-mistakes-pair" }, this.right.element, this.wrong.element);
    this.numbers = make("div");
    this.result = make("div", { class: "u-lab-mistakes-result" });
    /** @type {ReturnType<typeof drift> | null} what is shown */
    this.shown = null;
  }

  connectedCallback() {
    if (this.firstElementChild) {
      return; // it was moved
    }
    this.classList.add("u-lab");
    const network = group("Network", this.module, ...SIZES.map((name) => this.sizes[name]), this.seed);
    const form = make("form", { class: "u-lab-mistakes-form" }, network, this.list);
    const step = make("div", { class: "u-lab-mistakes-slider" }, label(this.step), this.stepName);
    this.result.append(step, this.matrices, this.numbers);
    if (!this.hasAttribute("state")) {
      const link = copyButton("Copy a link to this", () => location.href, this.status);
      this.result.append(make("p", { class: "u-lab-buttons" }, link));
    }
    form.append(make("div", { class: "u-lab-mistakes-shown" }, this.status, this.chart, this.lines), this.result);
    this.append(form);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", ({ target }) => this.changed(target));
    onAddress(this, () => this.open() && this.scrollIntoView());
    this.open();
  }

  /**
   * Show what the address says, or where a reader starts.
   * @returns {boolean} whether the address says anything
   */
  open() {
    const address = readState(this);
    const asked = [...Object.keys(START), "step"].some((name) => address.has(name));
    if (!asked && this.status.textContent) {
      return false; // a link to a section
    }
    const value = (/** @type {keyof typeof START} */ name) => address.get(name) ?? START[name];
    const kind = value("module");
    this.module.value = kind;
    for (const name of SIZES) {
      this.sizes[name].value = value(name);
    }
    this.seed.value = value("seed");
    this.mistake = value("mistake");
    if (this.module.value !== kind) { // no such option: the status says so
      this.fail(`module should be ${MODULES.join(" or ")}, got ${kind}`);
      this.module.value = START.module;
      this.fill();
      return asked;
    }
    this.fill();
    this.show(address.get("step"));
    return asked;
  }

  /** Offer the mistakes that the chosen module can have. */
  fill() {
    const known = mistakesOf(this.module.value);
    const radios = known.map((id) => {
      const radio = field("input", MISTAKES[id].name, { type: "radio", name: this.group, value: id });
      radio.checked = id === this.mistake;
      return label(radio);
    });
    const box = make("div", {}, ...radios);
    this.list.replaceChildren(make("legend", {}, "Mistake"), box);
    // On a phone the list scrolls.
    const at = radios[known.indexOf(this.mistake)];
    box.scrollTop = at ? at.offsetTop - radios[0].offsetTop - at.offsetHeight : 0;
  }

  /** @param {EventTarget | null} target */
  changed(target) {
    if (target === this.step) {
      this.showStep();
      this.write();
      return;
    }
    if (target === this.module) {
      if (!mistakesOf(this.module.value).includes(this.mistake)) {
        this.mistake = START.mistake; // which every module can have
      }
      this.fill();
    } else if (target instanceof HTMLInputElement && target.type === "radio") {
      this.mistake = target.value;
    }
    this.show(null);
  }

  /** @returns {Setting} */
  setting() {
    const [N, L, H_in, H_out] = SIZES.map((name) =>
      readWhole(name, this.sizes[name].value, [1, LIMITS[name]]),
    );
    return { kind: this.module.value, N, L, H_in, H_out, seed: readSeed(this.seed.value) };
  }

  /** @param {string | null} step that the address asks for */
  show(step) {
    try {
      const setting = this.setting();
      this.shown = drift(setting, this.mistake);
      const at = step === null ? setting.L : readWhole("step", step, [1, setting.L]);
      this.step.max = String(setting.L);
      this.step.value = String(at);
      this.succeed(setting, this.shown);
    } catch (error) {
      if (!(error instanceof RangeError)) {
        throw error;
      }
      this.fail(error.message);
    }
    this.write();
  }

  write() {
    const sizes = Object.fromEntries(SIZES.map((name) => [name, this.sizes[name].value]));
    const [module, seed, mistake] = [this.module.value, this.seed.value, this.mistake];
    writeState(this, { module, ...sizes, seed, mistake, step: this.step.value });
  }

  /** @param {string} text */
  fail(text) {
    this.shown = null;
    this.status.textContent = text;
    this.status.classList.add("u-lab-error");
    this.result.hidden = true;
    this.chart.replaceChildren();
    this.lines.replaceChildren();
  }

  /**
   * @param {Setting} setting
   * @param {ReturnType<typeof drift>} found
   */
  succeed(setting, { off, largest }) {
    const { bidirectional = false, see, real, says, lines, along } = MISTAKES[this.mistake];
    this.status.classList.remove("u-lab-error");
    this.result.hidden = false;
    const last = off[off.length - 1];
    const first = off.findIndex((one) => one > ROUNDING * largest);
    const [step, end] = along ? ["length", "With all steps"] : ["step", "At the last step"];
    const begins = first > 0 ? ` The first difference is at ${step} ${first + 1}.` : "";
    this.status.textContent =
      first < 0
        ? "The mistake changes nothing here: every number is PyTorch's, up to rounding."
        : `${end} the result is off by ${rounded(last)}, ${percent(last / largest)} of the largest number.${begins}`;
    const [theirs, ours] = lines(setting);
    this.lines.replaceChildren(
      make("p", {}, says),
      make("pre", {}, code(`${theirs}  # PyTorch\n${ours}  # mistake`)),
      make(
        "p",
        {},
        make("strong", {}, "In a real model: "),
        `${real} `,
        make("a", { href: `../${see}` }, "Read more"),
      ),
    );
    this.chart.replaceChildren(this.drawn(off.map((one) => one / largest), along ?? "time step"));
    const lengths = this.mistake === "padding" ? ` Lengths: ${lengthsOf(setting).join(", ")}.` : "";
    const caption = `The largest difference, by ${along ?? "time step"}; the largest number of PyTorch's is ${rounded(largest)}.${lengths}`;
    const rows = off.map((one, t) => [String(t + 1), rounded(one), percent(one / largest)]);
    this.numbers.replaceChildren(
      make(
        "details",
        {},
        make("summary", {}, "The numbers, step by step"),
        table(caption, [along ?? "step", "off by", "of the largest"], rows),
      ),
      make("pre", {}, code(madeText(setting, bidirectional))),
    );
    this.showStep();
    reachable(this);
  }

  /** Draw the matrices of the chosen step, and mark it in the chart. */
  showStep() {
    if (!this.shown) {
      return;
    }
    const t = Number(this.step.value) - 1;
    const { right, wrong, off, largest } = this.shown;
    const { along } = MISTAKES[this.mistake];
    const padded = this.mistake === "padding";
    const name = along ? `Length ${t + 1}` : `Step ${t + 1} of ${off.length}`;
    const said = `${name}: off by ${rounded(off[t])}, ${percent(off[t] / largest)} of the largest`;
    const lengths = padded ? `; lengths ${lengthsOf(this.setting()).join(", ")}` : "";
    this.stepName.textContent = `${said}${lengths}.`;
    this.step.setAttribute("aria-valuetext", said);
    const room = Math.max(120, this.result.clientWidth - 32);
    // Side by side if each number has room, or else one below the other.
    const beside = cellSize(right.shape[2], room / 2 - 12);
    const cell = beside[0] >= WIDE ? beside : cellSize(right.shape[2], room);
    this.right.draw(unbind(right)[t], { cell });
    this.wrong.draw(unbind(wrong)[t], { cell });
    const points = this.chart.querySelectorAll("circle");
    points.forEach((point, k) => point.setAttribute("r", k === t ? "6" : "3"));
  }

  /**
   * The drift on a logarithmic axis.
   * @param {number[]} shares of the largest number, by step
   * @param {string} along
   */
  drawn(shares, along) {
    const { width, height, left, right, top, bottom, low, high } = CHART;
    const [end, base] = [width - right, height - bottom];
    const x = (/** @type {number} */ t) =>
      left + 10 + ((end - left - 20) * t) / Math.max(1, shares.length - 1);
    const y = (/** @type {number} */ share) => {
      const power = Math.max(low, Math.min(high, Math.log10(share)));
      return base - ((base - top) * (power - low)) / (high - low);
    };
    const text = (/** @type {Record<string, string | number>} */ at, /** @type {string} */ words) =>
      svg("text", at, words);
    const ticks = [0, -2, -4, -6, -8].flatMap((power) => {
      const at = y(10 ** power);
      const words = power === low ? "0" : `${10 ** (power + 2)} %`;
      return [
        svg("line", { x1: left, x2: end, y1: at, y2: at, class: "u-lab-mistakes-grid" }),
        text({ x: left - 8, y: at + 4, "text-anchor": "end" }, words),
      ];
    });
    const every = Math.ceil(shares.length / 12);
    const steps = shares.flatMap((_, t) =>
      t % every ? [] : [text({ x: x(t), y: base + 17, "text-anchor": "middle" }, String(t + 1))],
    );
    const points = shares.map((share, t) => `${x(t).toFixed(1)},${y(share).toFixed(1)}`);
    const said = shares.map((share, t) => `${t + 1}: ${percent(share)}`).join("; ");
    return svg(
      "svg",
      {
        viewBox: `0 0 ${width} ${height}`,
        role: "img",
        "aria-label": `The largest difference as a share of PyTorch's largest number, by ${along}. ${said}.`,
      },
      text({ x: 0, y: 13 }, "difference, as a share of the largest number"),
      ...ticks,
      text({ x: end, y: y(ROUNDING) - 5, "text-anchor": "end" }, "rounding below this line"),
      ...steps,
      text({ x: (left + end) / 2, y: height - 4, "text-anchor": "middle" }, along),
      svg("polyline", { points: points.join(" "), class: "u-lab-mistakes-line" }),
      ...shares.map((share, t) => svg("circle", { cx: x(t), cy: y(share), r: 3 })),
    );
  }
}

customElements.define("unrolled-mistakes", UnrolledMistakes);

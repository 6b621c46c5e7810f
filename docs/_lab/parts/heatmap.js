/**
 * Numbers of very different sizes as a map: the stronger the ink, the larger the number, on a scale
 * of powers of ten. A line runs between the numbers above a limit and those below.
 */

import { onArrows, penOf, styleOf } from "./canvas.js";
import { make } from "./dom.js";

/**
 * What is shown; a row that is not there yet stays empty.
 * @typedef {object} Shown
 * @property {number} columns
 * @property {(Float64Array | undefined)[]} rows from the left, as long as they are
 * @property {number[]} limits of the rows
 * @property {[number, number]} powers of ten with the weakest and the strongest ink
 */

const ROOM = 320; // pixels
const WEAKEST = 0.07;

/** @type {(value: number, powers: [number, number]) => number} */
function strength(value, [low, high]) {
  const share = (Math.log10(value) - low) / (high - low);
  return value === 0 ? 0 : WEAKEST + (1 - WEAKEST) * Math.max(0, Math.min(1, share));
}

/** @type {(power: number) => string} */
export const powerText = (power) => (power === 0 ? "1" : `1e${power}`);

export class HeatMap {
  /** @param {(row: number, column: number) => void} choose */
  constructor(choose) {
    /** @type {Shown | null} */
    this.shown = null;
    /** @type {[number, number] | null} */
    this.chosen = null;
    this.canvas = make("canvas", { tabindex: "0", role: "application" });
    this.canvas.setAttribute("aria-roledescription", "heat map");
    this.legend = make("p");
    this.caption = make("figcaption");
    this.element = make("figure", { class: "u-lab-gradients-map" }, this.canvas, this.legend, this.caption);
    const point = (/** @type {PointerEvent} */ event) => {
      const { cell } = this;
      const [row, column] = [event.offsetY, event.offsetX].map((at) => Math.floor((at - 1) / cell));
      if (this.shown?.rows[row]?.[column] !== undefined) {
        choose(row, column);
      }
    };
    this.canvas.addEventListener("pointerdown", point);
    this.canvas.addEventListener("pointermove", (event) => event.buttons && point(event));
    const where = () => {
      const lengths = this.shown?.rows.map((row) => row?.length ?? 0) ?? [];
      return { at: this.chosen ?? /** @type {const} */ ([lengths.length - 1, 0]), lengths };
    };
    onArrows(this.canvas, where, choose);
  }

  get cell() {
    return Math.max(3, Math.min(24, Math.floor(ROOM / (this.shown?.columns ?? ROOM))));
  }

  /** @param {Shown} shown */
  draw(shown) {
    this.shown = shown;
    const [low, high] = shown.powers;
    const powers = [0, 1, 2, 3, 4].map((k) => Math.round(low + ((high - low) * k) / 4));
    this.legend.replaceChildren(
      ...[...new Set(powers)].map((power) => {
        const ink = make("span", { class: "u-grad" });
        ink.style.opacity = String(strength(10 ** power, shown.powers));
        return make("span", {}, ink, powerText(power));
      }),
    );
    this.paint();
  }

  paint() {
    if (!this.shown) {
      return;
    }
    const { rows, columns, limits, powers } = this.shown;
    const cell = this.cell;
    const [across, down] = [columns * cell, rows.length * cell];
    const pen = penOf(this.canvas, across, down, () => this.paint());
    pen.fillStyle = styleOf("--u-grad");
    pen.strokeStyle = styleOf("--pst-color-text-base");
    const gap = cell > 5 ? 1 : 0;
    const line = new Path2D();
    rows.forEach((row, t) => {
      row?.forEach((value, s) => {
        pen.globalAlpha = strength(value, powers);
        pen.fillRect(s * cell, t * cell, cell - gap, cell - gap);
        const below = value < limits[t];
        const left = row[s - 1] < limits[t];
        const above = rows[t - 1]?.[s];
        if (s > 0 && left !== below) {
          line.rect(s * cell - gap / 2, t * cell, 0, cell);
        }
        if (above !== undefined && above < limits[t - 1] !== below) {
          line.rect(s * cell, t * cell - gap / 2, cell, 0);
        }
      });
    });
    pen.globalAlpha = 1;
    pen.lineWidth = 1.5;
    pen.stroke(line);
    pen.lineWidth = 0.5;
    pen.strokeRect(0, 0, across, down);
    if (this.chosen) {
      const [row, column] = this.chosen;
      pen.lineWidth = 2;
      pen.strokeRect(column * cell, row * cell, cell, cell);
    }
  }
}

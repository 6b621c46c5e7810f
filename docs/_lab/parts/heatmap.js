/**
 * Numbers of very different sizes as a map: the stronger the ink, the larger the number, on a scale
 * of powers of ten. A line runs between the numbers above a limit and those below.
 */

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
    new MutationObserver(() => this.paint()).observe(document.documentElement, {
      attributeFilter: ["data-theme"],
    });
    const point = (/** @type {PointerEvent} */ event) => {
      const { cell } = this;
      const [row, column] = [event.offsetY, event.offsetX].map((at) => Math.floor((at - 1) / cell));
      if (this.shown?.rows[row]?.[column] !== undefined) {
        choose(row, column);
      }
    };
    this.canvas.addEventListener("pointerdown", point);
    this.canvas.addEventListener("pointermove", (event) => event.buttons && point(event));
    this.canvas.addEventListener("keydown", (event) => this.key(event, choose));
  }

  get cell() {
    return Math.max(3, Math.min(24, Math.floor(ROOM / (this.shown?.columns ?? ROOM))));
  }

  /**
   * @param {KeyboardEvent} event
   * @param {(row: number, column: number) => void} choose
   */
  key(event, choose) {
    const rows = this.shown?.rows ?? [];
    const [row, column] = this.chosen ?? [rows.length - 1, 0];
    const move = /** @type {Record<string, [number, number]>} */ ({
      ArrowUp: [row - 1, column],
      ArrowDown: [row + 1, column],
      ArrowLeft: [row, column - 1],
      ArrowRight: [row, column + 1],
      Home: [row, 0],
      End: [row, rows[row]?.length ?? 0],
    })[event.key];
    if (move) {
      event.preventDefault();
      const to = Math.max(0, Math.min(rows.length - 1, move[0]));
      choose(to, Math.max(0, Math.min((rows[to]?.length ?? 1) - 1, move[1])));
    }
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
    const pen = this.canvas.getContext("2d");
    if (!this.shown || !pen) {
      return;
    }
    const { rows, columns, limits, powers } = this.shown;
    const cell = this.cell;
    const [across, down] = [columns * cell + 2, rows.length * cell + 2];
    const scale = devicePixelRatio;
    this.canvas.width = Math.ceil(across * scale);
    this.canvas.height = Math.ceil(down * scale);
    this.canvas.style.width = `${across}px`;
    this.canvas.style.height = `${down}px`;
    pen.scale(scale, scale);
    pen.translate(1, 1);
    const page = getComputedStyle(document.documentElement);
    pen.fillStyle = page.getPropertyValue("--u-grad");
    pen.strokeStyle = page.getPropertyValue("--pst-color-text-base");
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
    pen.strokeRect(0, 0, across - 2, down - 2);
    if (this.chosen) {
      const [row, column] = this.chosen;
      pen.lineWidth = 2;
      pen.strokeRect(column * cell, row * cell, cell, cell);
    }
  }
}

/**
 * A matrix as cells, by the rules of the site's figures: a filled cell is a positive number, a
 * hollow one a negative number, an empty one is zero; the stronger the ink, the larger the
 * magnitude, measured against the largest. A cell that is wide enough shows its number.
 */

import { onArrows, penOf, styleOf } from "./canvas.js";
import { make, signed } from "./dom.js";

/** @import { Tensor } from "../core/init.js" */
/**
 * What is lit: framed, and the rest is faint. Without any, nothing is faint.
 * @typedef {object} Lit
 * @property {number} [row]
 * @property {number} [column] with a row: that one entry
 */
/**
 * @typedef {object} Options
 * @property {string} name
 * @property {string} token the ink: a name in the legend, such as `h` or `whh`
 * @property {(row: number, column: number) => void} [choose] called when a reader points at an
 *   entry, or moves there with the arrow keys
 */

const LEVELS = 8; // strengths of ink
const WITH_NUMBER = 38; // pixels from which a cell shows its number
const HOLLOW = 4; // a smaller cell has no room for a hole: a negative number is a dot in it
const FAINT = 0.18;

/**
 * The width and height of cells, so that `columns` of them fit into `room` pixels.
 * @param {number} columns
 * @param {number} room
 * @returns {[number, number]}
 */
export function cellSize(columns, room) {
  const width = room / columns;
  if (width >= WITH_NUMBER) {
    return [Math.min(width, 46), 24];
  }
  const side = Math.max(2, Math.min(14, Math.floor(width)));
  return [side, side];
}

export class Matrix {
  /** @param {Options} options */
  constructor({ name, token, choose }) {
    this.name = name;
    this.token = token;
    /** @type {Tensor | null} */
    this.shown = null;
    this.repeated = 1;
    /** @type {Lit} */
    this.lit = {};
    this.fade = true;
    this.cell = [46, 24];
    this.canvas = make("canvas", choose ? { tabindex: "0", role: "application" } : { role: "img" });
    this.caption = make("figcaption");
    this.element = make("figure", { class: `u-lab-cells u-${token}` }, this.canvas, this.caption);
    if (choose) {
      this.canvas.setAttribute("aria-roledescription", "matrix");
      this.listen(choose);
    }
  }

  get size() {
    const shape = this.shown?.shape ?? [];
    return shape.length > 1 ? [shape[0], shape[1]] : [1, shape[0] ?? 0];
  }

  /**
   * @param {Tensor} tensor (rows, columns), or (columns,)
   * @param {object} [options]
   * @param {[number, number]} [options.cell] its width and height in pixels
   * @param {Lit} [options.lit]
   * @param {number} [options.repeated] how often broadcasting repeats the row of a vector
   * @param {boolean} [options.fade] whether what is not lit is faint
   */
  draw(tensor, { cell = [46, 24], lit = {}, repeated = 1, fade = true } = {}) {
    const same =
      tensor === this.shown &&
      cell[0] === this.cell[0] &&
      cell[1] === this.cell[1] &&
      lit.row === this.lit.row &&
      lit.column === this.lit.column &&
      repeated === this.repeated;
    if (same) {
      return;
    }
    if (tensor !== this.shown) {
      const shape = `(${tensor.shape.join(", ")}${tensor.shape.length === 1 ? "," : ""})`;
      this.caption.replaceChildren(make("code", {}, this.name), " ", make("code", {}, shape));
      let [low, high] = [Infinity, -Infinity];
      for (const value of tensor.data) {
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
      const keys = this.canvas.tabIndex === 0 ? " Arrow keys choose an entry." : "";
      const range = `from ${signed(low)} to ${signed(high)}`;
      this.canvas.setAttribute("aria-label", `${this.name}, ${shape}, ${range}.${keys}`);
    }
    Object.assign(this, { shown: tensor, cell, lit, repeated, fade });
    this.paint();
  }

  paint() {
    const tensor = this.shown;
    if (!tensor) {
      return;
    }
    const [rows, columns] = this.size;
    const [width, height] = this.cell;
    const [across, down] = [columns * width, rows * this.repeated * height];
    const pen = penOf(this.canvas, across, down, () => this.paint());
    pen.strokeStyle = pen.fillStyle = styleOf(`--u-${this.token}`);
    let top = 0;
    for (const value of tensor.data) {
      top = Math.max(top, Math.abs(value));
    }
    const withNumbers = width >= WITH_NUMBER;
    /** @type {Record<string, Path2D>} */
    const paths = {};
    for (let row = 0; row < rows * this.repeated; row++) {
      for (let column = 0; column < columns; column++) {
        const value = tensor.data[(row % rows) * columns + column];
        if (value !== 0 && Number.isFinite(value)) {
          const level = Math.max(1, Math.round((LEVELS * Math.abs(value)) / top));
          const kind = `${value < 0 ? "-" : "+"}${level}${this.isLit(row, column) ? "" : "f"}`;
          paths[kind] ??= new Path2D();
          rectangle(paths[kind], column * width, row * height, [width, height], value < 0);
        }
      }
    }
    const hollow = Math.min(width, height) >= HOLLOW;
    for (const [kind, path] of Object.entries(paths)) {
      const strength = 0.1 + (0.9 * Number(kind[1])) / LEVELS;
      pen.globalAlpha = strength * (kind.endsWith("f") ? FAINT : 1);
      if (kind[0] === "-" && hollow) {
        pen.lineWidth = hole([width, height]);
        pen.stroke(path);
      } else {
        pen.globalAlpha *= withNumbers ? 0.3 : 1; // a number on top stays readable
        pen.fill(path);
      }
    }
    this.frame(pen, across, rows * height, down);
    if (withNumbers) {
      pen.fillStyle = styleOf("--pst-color-text-base");
      pen.font = `12px ${styleOf("--pst-font-family-base")}`;
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      for (let row = 0; row < rows * this.repeated; row++) {
        for (let column = 0; column < columns; column++) {
          const value = tensor.data[(row % rows) * columns + column];
          pen.globalAlpha = this.isLit(row, column) ? (row < rows ? 1 : 0.6) : 0.35;
          const text = signed(value, Math.abs(value) < 9.995 ? 2 : 0);
          pen.fillText(text, (column + 0.5) * width, (row + 0.5) * height);
        }
      }
    }
    pen.globalAlpha = 1;
  }

  /**
   * A line around the numbers that there are, a dashed one around those that broadcasting repeats,
   * and around the one that is chosen.
   * @param {CanvasRenderingContext2D} pen
   * @param {number} width
   * @param {number} height
   * @param {number} whole with the repeated rows
   */
  frame(pen, width, height, whole) {
    pen.globalAlpha = 0.55;
    pen.lineWidth = 0.75;
    pen.strokeRect(0, 0, width, height);
    if (whole > height) {
      pen.setLineDash([3, 3]);
      pen.strokeRect(0, height, width, whole - height);
      pen.setLineDash([]);
    }
    const { row, column } = this.lit;
    const [rows, columns] = this.size;
    if (row === undefined && column === undefined) {
      return;
    }
    const [left, right] = column === undefined ? [0, columns] : [column, column + 1];
    const [upper, lower] = row === undefined ? [0, rows * this.repeated] : [row, row + 1];
    const [x, y] = [left * this.cell[0], upper * this.cell[1]];
    pen.globalAlpha = 1;
    pen.lineWidth = 2;
    pen.strokeRect(x, y, (right - left) * this.cell[0], (lower - upper) * this.cell[1]);
  }

  /**
   * @param {number} row
   * @param {number} column
   */
  isLit(row, column) {
    const { row: r = row, column: c = column } = this.lit;
    return !this.fade || (r === row && c === column);
  }

  /** @param {(row: number, column: number) => void} choose */
  listen(choose) {
    this.canvas.addEventListener("pointermove", (event) => this.point(event, choose));
    this.canvas.addEventListener("pointerdown", (event) => this.point(event, choose));
    const where = () => {
      const [rows, columns] = this.size;
      const { row = 0, column = 0 } = this.lit;
      return { at: /** @type {const} */ ([row, column]), lengths: Array(rows).fill(columns) };
    };
    onArrows(this.canvas, where, choose);
  }

  /**
   * @param {PointerEvent} event
   * @param {(row: number, column: number) => void} choose
   */
  point(event, choose) {
    const [rows, columns] = this.size;
    const row = Math.floor((event.offsetY - 1) / this.cell[1]);
    const column = Math.floor((event.offsetX - 1) / this.cell[0]);
    const moved = row !== this.lit.row || column !== this.lit.column;
    if (moved && row >= 0 && row < rows && column >= 0 && column < columns) {
      choose(row, column);
    }
  }
}

/** @type {(size: readonly number[]) => number} */
const hole = (size) => Math.min(1.5, Math.min(...size) / 5);

/**
 * @param {Path2D} path
 * @param {number} x
 * @param {number} y
 * @param {[number, number]} size
 * @param {boolean} negative
 */
function rectangle(path, x, y, size, negative) {
  const side = Math.min(...size);
  let inset = side < 3 ? 0 : Math.min(0.5, side / 12);
  if (negative) {
    inset = side >= HOLLOW ? inset + hole(size) / 2 : 0.3 * side;
  }
  path.rect(x + inset, y + inset, size[0] - 2 * inset, size[1] - 2 * inset);
}

/** A curve over distances, on a logarithmic scale, with limits and the range of other curves. */

import { svg } from "./dom.js";
import { powerText } from "./heatmap.js";

/**
 * @typedef {object} Decay
 * @property {Float64Array} curve by distance
 * @property {readonly Float64Array[]} others whose range is drawn
 * @property {number} limit
 * @property {number | null} from the distance that is marked
 * @property {string} said in words what is seen
 * @property {string} [axis] what a distance is
 */

const [WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM] = [340, 260, 46, 12, 12, 40];
const LOWEST = -40; // powers of ten

/**
 * Whole numbers from low to high, few enough to be read.
 * @param {number} low
 * @param {number} high
 */
function ticks(low, high) {
  const step = [1, 2, 3, 5, 10, 20].find((one) => (high - low) / one <= 6) ?? 50;
  const first = Math.ceil(low / step) * step;
  return Array.from({ length: Math.floor((high - first) / step) + 1 }, (_, k) => first + k * step);
}

/** @param {Decay} shown */
export function decay({ curve, others, limit, from, said, axis = "steps back" }) {
  const last = curve.length - 1;
  const logarithms = [curve, ...others].flatMap((one) => [...one].filter(Boolean).map(Math.log10));
  const high = Math.ceil(Math.max(0, Math.log10(limit), ...logarithms));
  const low = Math.max(LOWEST, Math.floor(Math.min(-1, Math.log10(limit) - 1, ...logarithms)));
  const [width, height] = [WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM];
  const x = (/** @type {number} */ distance) => LEFT + (distance / last) * width;
  const y = (/** @type {number} */ value) =>
    TOP + ((high - Math.max(low, Math.log10(value))) / (high - low)) * height;
  const points = (/** @type {ArrayLike<number>} */ values) =>
    Array.from(values, (value, k) => `${x(k).toFixed(1)},${y(value).toFixed(1)}`);
  const across = (/** @type {number} */ at, /** @type {string} */ kind) =>
    svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: at, y2: at, class: kind });
  const text = (
    /** @type {string} */ words,
    /** @type {number} */ left,
    /** @type {number} */ top,
    /** @type {string} */ anchor,
  ) => svg("text", { x: left, y: top, "text-anchor": anchor }, words);
  const range = (/** @type {(...values: number[]) => number} */ pick) =>
    Array.from(curve, (_, k) => pick(...others.map((other) => other[k])));
  const band = others.length
    ? [svg("polygon", { points: [...points(range(Math.max)), ...points(range(Math.min)).reverse()].join(" ") })]
    : [];
  const marked =
    from === null
      ? []
      : [
          svg("line", { x1: x(from), x2: x(from), y1: y(curve[from]), y2: HEIGHT - BOTTOM, class: "limit" }),
          svg("circle", { cx: x(from), cy: y(curve[from]), r: 4 }),
        ];
  const distances = ticks(0, last);
  return svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": said },
    ...ticks(low, high).flatMap((power) => [
      across(y(10 ** power), power === 0 ? "one" : "grid"),
      text(powerText(power), LEFT - 6, y(10 ** power) + 4, "end"),
    ]),
    ...distances.map((distance) => text(String(distance), x(distance), HEIGHT - BOTTOM + 16, "middle")),
    text(axis, LEFT + width / 2, HEIGHT - 6, "middle"),
    ...band,
    across(y(limit), "limit"),
    svg("polyline", { points: points(curve).join(" ") }),
    ...marked,
  );
}

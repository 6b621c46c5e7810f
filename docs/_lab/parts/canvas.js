/** What drawings on a canvas share: their size in pixels, the theme of the page, and arrow keys. */

/** @type {Map<HTMLCanvasElement, () => void>} */
const painted = new Map();
let watching = false;
/**
 * Custom properties in this theme: to ask the browser each time makes it work out all styles.
 * @type {Map<string, string>}
 */
const styles = new Map();

/**
 * A custom property of the page, such as the colour of a token.
 * @param {string} name
 */
export function styleOf(name) {
  let value = styles.get(name);
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(name);
    styles.set(name, value);
  }
  return value;
}

/** The colours of the page follow its theme, and drawings follow the page. */
function repaint() {
  styles.clear();
  for (const [canvas, paint] of painted) {
    if (canvas.isConnected) {
      paint();
    } else {
      painted.delete(canvas); // until it is painted again
    }
  }
}

/**
 * Get a canvas ready to be painted, now and when the theme changes.
 * @param {HTMLCanvasElement} canvas
 * @param {number} across pixels of the page, without the line around the drawing
 * @param {number} down
 * @param {() => void} paint paints it again
 */
export function penOf(canvas, across, down, paint) {
  if (!watching) {
    watching = true;
    new MutationObserver(repaint).observe(document.documentElement, {
      attributeFilter: ["data-theme"],
    });
  }
  painted.set(canvas, paint);
  canvas.width = Math.ceil((across + 2) * devicePixelRatio);
  canvas.height = Math.ceil((down + 2) * devicePixelRatio);
  canvas.style.width = `${across + 2}px`;
  canvas.style.height = `${down + 2}px`;
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.scale(devicePixelRatio, devicePixelRatio);
  pen.translate(1, 1);
  return pen;
}

/**
 * Move from entry to entry with the arrow keys, Home and End.
 * @param {HTMLCanvasElement} canvas
 * @param {() => { at: readonly [number, number], lengths: readonly number[] }} where the entry that
 *   is chosen, and how many each row has
 * @param {(row: number, column: number) => void} choose
 */
export function onArrows(canvas, where, choose) {
  canvas.addEventListener("keydown", (event) => {
    const { at, lengths } = where();
    const [row, column] = at;
    const to = /** @type {Record<string, [number, number]>} */ ({
      ArrowUp: [row - 1, column],
      ArrowDown: [row + 1, column],
      ArrowLeft: [row, column - 1],
      ArrowRight: [row, column + 1],
      Home: [row, 0],
      End: [row, lengths[row] - 1],
    })[event.key];
    if (to && lengths.length > 0) {
      event.preventDefault();
      const inside = (/** @type {number} */ k, /** @type {number} */ n) =>
        Math.max(0, Math.min(n - 1, k));
      const into = inside(to[0], lengths.length);
      choose(into, inside(to[1], lengths[into]));
    }
  });
}

/** What a reader, or an address, sets: understood, or refused with its name and what came. */

const WHOLE = /^[+-]?\d+$/;
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;

/**
 * Refuse a number out of its range.
 * @param {string} name
 * @param {number} value
 * @param {readonly [number, number]} range
 * @param {boolean} [whole]
 * @param {string} [came] as it was written
 */
export function checkNumber(name, value, [low, high], whole = false, came = String(value)) {
  if (!(value >= low && value <= high) || (whole && !Number.isInteger(value))) {
    const what = whole ? "a whole number" : "a number";
    throw new RangeError(`${name} should be ${what} from ${low} to ${high}, got ${came || "nothing"}`);
  }
}

/**
 * @param {string} name
 * @param {string} text
 * @param {readonly [number, number]} range
 * @param {boolean} [whole]
 */
export function readNumber(name, text, range, whole = false) {
  const value = (whole ? WHOLE : NUMBER).test(text.trim()) ? Number(text) : NaN;
  checkNumber(name, value, range, whole, text.trim());
  return value;
}

/**
 * @param {string} name
 * @param {string} text
 * @param {readonly [number, number]} range
 */
export const readWhole = (name, text, range) => readNumber(name, text, range, true);

/**
 * Refuse what is not among the choices.
 * @param {string} name
 * @param {string} value
 * @param {readonly string[]} choices
 */
export function checkChoice(name, value, choices) {
  if (!choices.includes(value)) {
    throw new RangeError(`${name} should be ${choices.join(" or ")}, got ${value || "nothing"}`);
  }
}

/**
 * Refuse what `torch.manual_seed` refuses.
 * @param {bigint} seed
 */
export function checkSeed(seed) {
  if (seed < -(2n ** 63n) || seed >= 2n ** 64n) {
    throw new RangeError(`seed should be in the range [-2**63, 2**64 - 1], got ${seed}`);
  }
}

/** @param {string} text */
export function readSeed(text) {
  const seed = text.trim();
  if (!WHOLE.test(seed)) {
    throw new RangeError(`seed should be a whole number, got ${seed || "nothing"}`);
  }
  const number = BigInt(seed.replace("+", ""));
  checkSeed(number);
  return number;
}

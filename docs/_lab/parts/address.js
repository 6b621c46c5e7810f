/**
 * What an element shows is in the address, so that a link reproduces it.
 *
 * An element inside a chapter has its state in the attribute `state` instead, written in the same
 * way, and leaves the address of the chapter alone.
 */

/**
 * @param {HTMLElement} element
 * @returns {URLSearchParams} what the address, or the attribute, says
 */
export function readState(element) {
  return new URLSearchParams(element.getAttribute("state") ?? location.hash.slice(1));
}

let due = 0;

/**
 * Write the address once the page has been painted, since that takes as long as a drawing.
 * @param {HTMLElement} element
 * @param {Record<string, string>} state
 */
export function writeState(element, state) {
  if (!element.hasAttribute("state")) {
    clearTimeout(due);
    due = setTimeout(() => history.replaceState(null, "", `#${new URLSearchParams(state)}`));
  }
}

/**
 * Call a function when the address changes while the page is open.
 * @param {HTMLElement} element
 * @param {() => void} open
 */
export function onAddress(element, open) {
  if (!element.hasAttribute("state")) {
    addEventListener("hashchange", open);
  }
}

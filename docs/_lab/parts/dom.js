/** Pieces of a page: elements, tables, fields and buttons. */

/**
 * Make an element.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string>} [attributes]
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/**
 * Make a piece of a drawing.
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 * @param {(Node | string)[]} children
 */
export function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, String(value));
  }
  element.append(...children);
  return element;
}

/** @type {(text: string) => HTMLElement} */
export const code = (text) => make("code", {}, text);
/** @type {(number: number) => string} */
export const grouped = (number) => number.toLocaleString("en");

/**
 * Write a number for a reader: fixed decimals and a true minus sign, as the figures do.
 * @param {number} value
 * @param {number} [digits]
 */
export function signed(value, digits = 2) {
  const text = Math.abs(value).toFixed(digits);
  return value < 0 && Number(text) !== 0 ? `−${text}` : text;
}

/**
 * A table with a caption; the first cell of a row is its head.
 * @param {string} caption
 * @param {string[]} head
 * @param {(string | Node)[][]} rows
 */
export function table(caption, head, rows) {
  const body = rows.map(([name, ...cells]) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, name),
      ...cells.map((cell) => make("td", {}, cell)),
    ),
  );
  return make(
    "div",
    { class: "u-lab-scroll" },
    make(
      "table",
      { class: "table" },
      make("caption", {}, caption),
      make("thead", {}, make("tr", {}, ...head.map((cell) => make("th", { scope: "col" }, cell)))),
      make("tbody", {}, ...body),
    ),
  );
}

/**
 * A name that no other region of the page has: a chapter may have two of these elements.
 * @param {Element} box
 * @param {string} name
 */
function unused(box, name) {
  const others = [...document.querySelectorAll("[role=region]")].filter((other) => other !== box);
  const taken = new Set(others.map((other) => other.getAttribute("aria-label")));
  let free = name;
  for (let count = 2; taken.has(free); count++) {
    free = `${name} ${count}`;
  }
  return free;
}

/** @type {WeakSet<HTMLElement>} */
const watched = new WeakSet();

/**
 * Let boxes that scroll sideways be reached with the keyboard, and only those, at every width.
 * @param {HTMLElement} inside
 */
export function reachable(inside) {
  if (!watched.has(inside)) {
    watched.add(inside);
    new ResizeObserver(() => reachable(inside)).observe(inside);
  }
  for (const box of inside.querySelectorAll(".u-lab-scroll, pre")) {
    if (box.scrollWidth > box.clientWidth) {
      box.setAttribute("tabindex", "0");
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", unused(box, box.querySelector("caption, figcaption")?.textContent ?? "Code"));
    } else {
      for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name);
    }
  }
}

/**
 * A field in a label, which is its parent.
 * @template {"input" | "textarea"} Tag
 * @param {Tag} tag
 * @param {string} name
 * @param {Record<string, string>} [attributes]
 */
export function field(tag, name, attributes = {}) {
  const element = make(tag, attributes);
  make("label", {}, make("span", {}, name), element);
  return element;
}

/**
 * A choice in a label, which is its parent.
 * @param {string} name
 * @param {readonly (string | readonly [string, string])[]} options a text, or a value and a text
 */
export function choice(name, options) {
  const element = make(
    "select",
    {},
    ...options.map((option) => {
      const [value, text] = typeof option === "string" ? [option, option] : option;
      return make("option", { value }, text);
    }),
  );
  make("label", {}, make("span", {}, name), element);
  return element;
}

/** @param {HTMLElement} field */
export function label(field) {
  return /** @type {HTMLElement} */ (field.parentElement);
}

/**
 * @param {string} name
 * @param {HTMLElement[]} fields
 */
export function group(name, ...fields) {
  return make("fieldset", {}, make("legend", {}, name), ...fields.map(label));
}

/**
 * @param {string} name
 * @param {() => void} act
 */
export function button(name, act) {
  const element = make("button", { type: "button" }, name);
  element.addEventListener("click", act);
  return element;
}

/**
 * A button that copies a text; what came of it is announced.
 * @param {string} name
 * @param {() => string} text
 * @param {HTMLElement} status
 */
export function copyButton(name, text, status) {
  return button(name, async () => {
    try {
      await navigator.clipboard.writeText(text());
      status.textContent = "Copied.";
    } catch {
      status.textContent = "The browser does not let a page copy here.";
    }
  });
}

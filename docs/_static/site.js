// A section that has moved to another page is still found at its old address.
const moved = new Map(
  Object.entries(JSON.parse(document.getElementById("u-moved")?.textContent ?? "{}")),
);
const follow = () => {
  const address = moved.get(location.hash.slice(1));
  if (address) location.replace(address);
};
follow();
addEventListener("hashchange", follow);

// Boxes that scroll sideways can be reached and scrolled with the keyboard, and only those.
const boxes = document.querySelectorAll(
  ".u-scroll, .bd-article pre, .text_html, .pst-scrollable-table-container",
);
const observer = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
for (const box of boxes) observer.observe(box);

// Paper is light: print a dark page in the colours of a light one.
const root = document.documentElement;
let theme;
addEventListener("beforeprint", () => {
  theme = root.dataset.theme;
  root.dataset.theme = "light";
});
addEventListener("afterprint", () => {
  root.dataset.theme = theme;
});

// The side bar of the theme opens and closes a part by a button without a name.
for (const summary of document.querySelectorAll(".bd-sidebar-primary summary")) {
  const link = summary.closest("li")?.querySelector("a");
  summary.setAttribute("aria-label", `Pages of ${link?.textContent.trim()}`);
}

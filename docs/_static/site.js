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

// The site of an older version lies in a folder of the newest one that its version names. There, and
// nowhere else, a page asks which version is the newest.
const { content: version } = document.querySelector('meta[name="version"]');
const folder = new URL(root.dataset.content_root, document.baseURI);
if (folder.protocol.startsWith("http") && folder.pathname.endsWith(`/${version}/`)) {
  const there = new URL("..", folder);
  fetch(new URL("versions.json", there))
    .then((answer) => answer.json())
    .then(({ newest }) => {
      if (newest.localeCompare(version, "en", { numeric: true }) <= 0) return;
      const link = document.createElement("a");
      link.href = new URL(location.pathname.slice(folder.pathname.length), there);
      link.textContent = `The newest is ${newest}.`;
      const banner = document.createElement("p");
      banner.className = "u-old-version";
      banner.append(`This is Unrolled ${version}, an older version. `, link);
      document.querySelector("main").prepend(banner);
    })
    .catch(() => {}); // without an answer there is nothing to say
}

for (const button of document.querySelectorAll(".u-print")) {
  button.addEventListener("click", () => print());
}

// The side bar of the theme opens and closes a part by a button without a name.
for (const summary of document.querySelectorAll(".bd-sidebar-primary summary")) {
  const link = summary.closest("li")?.querySelector("a");
  summary.setAttribute("aria-label", `Pages of ${link?.textContent.trim()}`);
}

// A drawing comes alive when it is touched: until then a page loads nothing of the laboratory.
const here = new URL(`${root.dataset.content_root}_static/`, location.href);
const loaded = (element) =>
  new Promise((resolve, reject) => {
    element.addEventListener("load", resolve);
    element.addEventListener("error", reject);
    document.head.append(element);
  });
for (const box of document.querySelectorAll(".u-alive")) {
  const drawing = box.previousElementSibling?.querySelector(".u-figure");
  const button = box.firstElementChild;
  const start = async () => {
    button.disabled = true;
    const { lab, state } = box.dataset;
    if (!customElements.get(`unrolled-${lab}`)) {
      const style = Object.assign(document.createElement("link"), { rel: "stylesheet" });
      style.href = new URL("lab.css", here);
      const script = document.createElement("script");
      script.src = new URL(`lab-${lab}.js`, here);
      await Promise.all([loaded(style), loaded(script)]);
    }
    const element = document.createElement(`unrolled-${lab}`);
    element.setAttribute("state", state);
    drawing.classList.add("u-alive-paper"); // which paper still shows
    box.replaceWith(element);
    element.querySelector("select, input, button")?.focus({ preventScroll: true });
  };
  box.hidden = false;
  button.addEventListener("click", start, { once: true });
  drawing.classList.add("u-alive-drawing");
  drawing.addEventListener("click", start, { once: true });
}

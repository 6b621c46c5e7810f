// The search page: finds sections with MiniSearch in what sections.js lists.

// -- Words ---------------------------------------------------------------------------------------

const stemmer = new EnglishStemmer();
const stopWords = new Set(STOP_WORDS);

// A name is found as a whole and by its parts: pack_padded_sequence, LayerNorm, weight_ih_l0.
// What picks a part of a tensor is a word too: output[:, -1].
const WORD = /[\p{L}\p{N}_]+|\[[^[\]]*:[^[\]]*\]|\[-1\]/gu;
const wordsOf = (text) => {
  const words = [];
  for (const [name] of text.matchAll(WORD)) {
    if (name.startsWith("[")) {
      words.push(name.replace(/\s/g, ""));
      continue;
    }
    const parts = name
      .replace(/([a-z\d])([A-Z])/g, "$1_$2")
      .replace(/([A-Z]+)([A-Z][a-z])/g, "$1_$2")
      .split("_")
      .filter(Boolean);
    if (parts.length > 1) words.push(name);
    words.push(...parts);
  }
  return words;
};

// Numbers are those of somebody's tensors: the words around them say what is meant.
const termOf = (word) => {
  const lower = word.toLowerCase();
  if (/^\d+$/.test(lower) || stopWords.has(lower) || lower.length < 2) return null;
  if (/[\d_[]/.test(lower)) return lower;
  // One spelling for both sides of the Atlantic: initialise, initialize.
  return stemmer.stemWord(lower.replace(/is(?=(e|ed|es|er|ing|ations?)$)/, "iz"));
};

// -- Search --------------------------------------------------------------------------------------

const WEIGHTS = { title: 6, index: 6, above: 1.5, text: 1, code: 0.3 };
const API = 0.4; // Functions of the package answer few questions.
const SHOWN = 30;

const engine = new MiniSearch({
  fields: Object.keys(WEIGHTS),
  storeFields: [],
  tokenize: wordsOf,
  processTerm: termOf,
});
engine.addAll(SECTIONS.map((section, id) => ({ ...section, id })));

const find = (query) =>
  engine
    .search(query, {
      boost: WEIGHTS,
      // Who is still typing has not finished the last word.
      prefix: (term, i, terms) => i === terms.length - 1 && term.length > 2,
      fuzzy: (term) => (term.length > 5 && !/[\d_[]/.test(term) ? 0.2 : false),
      weights: { prefix: 0.4, fuzzy: 0.3 },
      boostDocument: (id) => (SECTIONS[id].page === "reference/api.html" ? API : 1),
    })
    // A place with many of the words beats a place with one of them in its title.
    .map((result) => ({ ...result, score: result.score * result.queryTerms.length }))
    .sort((a, b) => b.score - a.score)
    .slice(0, SHOWN);

// -- Results -------------------------------------------------------------------------------------

const EXCERPT = 180; // characters

// Put text into an element, with the words that were found marked.
const mark = (element, text, terms) => {
  let from = 0;
  for (const match of text.matchAll(WORD)) {
    if (!wordsOf(match[0]).some((word) => terms.has(termOf(word)))) continue;
    element.append(text.slice(from, match.index));
    const marked = document.createElement("mark");
    marked.textContent = match[0];
    element.append(marked);
    from = match.index + match[0].length;
  }
  element.append(text.slice(from));
  return element;
};

// The sentence with most of the words, and what follows it.
const excerpt = (text, terms) => {
  const sentences = text.split(/(?<=[.!?:]) /);
  const hits = sentences.map(
    (sentence) =>
      new Set(wordsOf(sentence).map(termOf).filter((term) => terms.has(term))).size,
  );
  const best = sentences.slice(hits.indexOf(Math.max(...hits))).join(" ");
  return best.length <= EXCERPT ? best : `${best.slice(0, EXCERPT).replace(/\s+\S*$/, "")} …`;
};

const element = (name, className) =>
  Object.assign(document.createElement(name), className ? { className } : {});

const item = ({ id, terms }) => {
  const { page, anchor, title, above, text } = SECTIONS[id];
  const found = new Set(terms);
  const link = mark(element("a"), title, found);
  link.href = anchor ? `${page}#${anchor}` : page;
  const li = element("li");
  li.append(link);
  if (above) li.append(mark(element("div", "u-above"), above, found));
  if (text) li.append(mark(element("p"), excerpt(text, found), found));
  return li;
};

const field = document.querySelector(".bd-search-container input[type=search]");
const status = document.getElementById("u-search-status");
const list = document.getElementById("u-search-results");

const show = () => {
  const query = field.value.trim();
  const results = query ? find(query) : [];
  list.replaceChildren(...results.map(item));
  status.textContent = !query
    ? ""
    : results.length
      ? `${results.length === SHOWN ? "The best " : ""}${results.length} ${results.length === 1 ? "place" : "places"}, the best first`
      : "Nothing is found. Try fewer words, or the words of the error message that do not change.";
};

field.value = new URLSearchParams(location.search).get("q") ?? "";
show();
field.addEventListener("input", () => {
  show();
  history.replaceState(null, "", field.value ? `?q=${encodeURIComponent(field.value)}` : "?");
});
field.form.addEventListener("submit", (event) => event.preventDefault());
field.focus();

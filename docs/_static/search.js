// The search page: finds sections with MiniSearch in what sections.js lists.

// -- Words ---------------------------------------------------------------------------------------

const stemmer = new EnglishStemmer();
const stopWords = new Set(STOP_WORDS);

// A name is found as a whole and by its parts, however it is written: pack_padded_sequence,
// LayerNorm, h_0 and h0. What picks a part of a tensor is a word too: output[:, -1].
const WORD = /[\p{L}\p{N}_]+|\[[^[\]]*:[^[\]]*\]|\[-?\d\]/gu;
const partsOf = (name) =>
  name
    .replace(/([a-z\d])([A-Z])/g, "$1_$2")
    .replace(/([A-Z]+)([A-Z][a-z])/g, "$1_$2")
    .split("_")
    .filter(Boolean);
const wordsOf = (text) => {
  const words = [];
  for (const [name] of text.matchAll(WORD)) {
    const parts = name.startsWith("[") ? [name.replace(/\s/g, "")] : partsOf(name);
    if (parts.length > 1) words.push(name, parts.join(""));
    words.push(...parts);
  }
  return words;
};
// In a title, two words are also found as one: layernorm, timestep.
const titleWordsOf = (text) => {
  const words = text.match(WORD) ?? [];
  return [...wordsOf(text), ...words.slice(1).map((word, i) => words[i] + word)];
};

// A word is found as it is written and by its stem. Numbers are those of somebody's tensors: the
// words around them say what is meant.
const termsOf = (word) => {
  const lower = word.toLowerCase();
  if (/^\d+$/.test(lower) || stopWords.has(lower)) return [];
  if (/[\d_[]/.test(lower)) return [lower];
  // One spelling for both sides of the Atlantic: initialise, initialize.
  const stem = stemmer.stemWord(lower.replace(/is(?=(e|ed|es|er|ing|ations?)$)/, "iz"));
  return stem === lower ? [stem] : [stem, lower];
};

// -- Search --------------------------------------------------------------------------------------

const WEIGHTS = { title: 6, index: 6, above: 1.5, text: 1, code: 0.3 };
const API = 0.4; // Functions of the package answer few questions.
const SHOWN = 30;

const known = new Set();
const engine = new MiniSearch({
  fields: Object.keys(WEIGHTS),
  storeFields: [],
  tokenize: (text, field) => (field === "title" || field === "index" ? titleWordsOf : wordsOf)(text),
  processTerm: (word) => {
    const terms = termsOf(word);
    for (const term of terms) known.add(term);
    return terms;
  },
  searchOptions: { tokenize: wordsOf, processTerm: termsOf },
});
engine.addAll(SECTIONS.map((section, id) => ({ ...section, id })));

const find = (query) =>
  engine
    .search(query, {
      boost: WEIGHTS,
      // Who is still typing has not finished the last word.
      prefix: (term, i, terms) => i === terms.length - 1 && term.length > 2,
      // A word that is on no page may be misspelt.
      fuzzy: (term) => (known.has(term) || term.length < 5 || /[\d_[]/.test(term) ? false : 0.25),
      weights: { prefix: 0.4, fuzzy: 0.3 },
      boostDocument: (id) => (SECTIONS[id].page.startsWith("reference/api") ? API : 1),
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
    if (!wordsOf(match[0]).flatMap(termsOf).some((term) => terms.has(term))) continue;
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
      new Set(wordsOf(sentence).flatMap(termsOf).filter((term) => terms.has(term))).size,
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

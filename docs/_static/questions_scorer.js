// How the search orders its results: with Sphinx's own numbers, except that of pages that are
// equally good, which are many, the questions people ask come first. Their headings are the words
// that readers type, and each answer links to the page that proves it.
var Scorer = {
  score: ([docName, , , , score]) => score + (docName === "practice/questions" ? 0.5 : 0),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};

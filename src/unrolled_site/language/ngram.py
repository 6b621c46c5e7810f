"""A language model that counts: the baseline that a network has to beat."""

import math
from collections import Counter, defaultdict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled_site.language.data import Vocabulary

__all__ = ["NGram"]


class _Counts(NamedTuple):
    """Counts of the characters that follow the contexts of one length."""

    of: dict[str, dict[str, int]]  # by context and character
    total: dict[str, int]  # by context
    discount: float


class NGram:
    """Predict a character from the ``order - 1`` before it, by counting, with Kneser-Ney smoothing.

    Parameters
    ----------
    text : str
        The text in which to count.
    order : int
        How many characters are used, including the predicted one: 1 uses no context.
    vocabulary : Vocabulary
        All possible characters, whether they occur in `text` or not.

    Raises
    ------
    ValueError
        If `order` is less than 1, `text` does not have more than `order` characters, or a character
        of `text` is not in the vocabulary.

    Notes
    -----
    Let ``n(c s)`` be how often `s` follows the context `c`, ``n(c)`` the sum of these counts over
    `s`, and ``d`` the discount. Then

    ``p(s | c) = (max(n(c s) - d, 0) + d * kinds(c) * p(s | shorter c)) / n(c)``

    where ``kinds(c)`` counts the different characters that follow `c`, and ``shorter c`` is `c`
    without its first character. The probability that the discount takes from the characters seen
    goes to the next shorter context; below the empty context, all characters are equally likely.
    Only the longest contexts count occurrences; a shorter one counts in how many different
    contexts, one character longer, the pair was seen. ``d = n_1 / (n_1 + 2 n_2)``, where ``n_k`` is
    the number of pairs with count k.

    Source: S. F. Chen and J. Goodman, "An empirical study of smoothing techniques for language
    modeling" (1999), interpolated Kneser-Ney smoothing with one discount for each length.

    Examples
    --------
    >>> model = NGram("banana bandana", order=3, vocabulary=Vocabulary("banana bandana"))
    >>> probabilities = model.probabilities("an")
    >>> round(float(probabilities.sum()), 12), model.vocabulary.characters[probabilities.argmax()]
    (1.0, 'a')
    """

    def __init__(self, text: str, order: int, vocabulary: Vocabulary) -> None:
        if order < 1:
            raise ValueError(f"order should be at least 1, got {order}")
        if len(text) <= order:
            raise ValueError(f"text should have more than {order} characters, got {len(text)}")
        vocabulary.encode(text)  # refuses what is not in it
        self.order = order
        self.vocabulary = vocabulary
        self._counts: list[_Counts] = []  # by length of the context
        for length in range(1, order + 1):
            if length == order:
                grams = Counter(text[i : i + length] for i in range(len(text) - length + 1))
            else:
                longer = {text[i : i + length + 1] for i in range(len(text) - length)}
                grams = Counter(gram[1:] for gram in longer)
            self._counts.append(_counted(grams))

    def probability(self, context: str, character: str) -> float:
        """Return the probability that a character comes next.

        Parameters
        ----------
        context : str
            The text before it, of which only the last ``order - 1`` characters count.
        character : str
            One character of the vocabulary.

        Returns
        -------
        float
            The probability, always more than 0.

        Raises
        ------
        ValueError
            If `character` is not one character of the vocabulary.

        Examples
        --------
        >>> NGram("abab", 2, Vocabulary("abc")).probability("a", "c") > 0
        True
        """
        if len(character) != 1 or character not in self.vocabulary.characters:
            raise ValueError(
                "character should be one of the vocabulary, "
                f"{self.vocabulary.characters!r}, got {character!r}"
            )
        return self._probability(context, character)

    def probabilities(self, context: str) -> NDArray[np.float64]:
        """Return the probability that each character comes next.

        Parameters
        ----------
        context : str
            As for `probability`.

        Returns
        -------
        ndarray of float64, shape (V,)
            Probabilities in the order of the vocabulary; they sum to 1.

        Examples
        --------
        >>> NGram("abab", 2, Vocabulary("abc")).probabilities("a").shape
        (3,)
        """
        return np.array([self._probability(context, c) for c in self.vocabulary.characters])

    def bits_per_character(self, text: str) -> float:
        """Measure how well the model predicts a text.

        Parameters
        ----------
        text : str
            At least two characters of the vocabulary.

        Returns
        -------
        float
            The mean of ``-log2 p`` over all characters but the first, each with the text before it
            as context.

        Raises
        ------
        ValueError
            If `text` is too short or has a character that is not in the vocabulary.

        Examples
        --------
        >>> sure = NGram("ab" * 100, 2, Vocabulary("ab"))
        >>> sure.bits_per_character("abab") < 0.1
        True
        """
        if len(text) < 2:
            raise ValueError(f"text should have at least 2 characters, got {len(text)}")
        self.vocabulary.encode(text)  # refuses what is not in it
        bits = 0.0
        for place in range(1, len(text)):
            context = text[max(0, place - self.order + 1) : place]
            bits -= math.log2(self._probability(context, text[place]))
        return bits / (len(text) - 1)

    def _probability(self, context: str, character: str) -> float:
        """Go from the shortest context to the longest."""
        p = 1 / len(self.vocabulary)
        for length, counts in enumerate(self._counts):
            if length > len(context):
                break
            end = context[len(context) - length :]
            total = counts.total.get(end)
            if total is None:
                break  # never seen, and neither was a longer one
            followers, d = counts.of[end], counts.discount
            p = (max(followers.get(character, 0) - d, 0) + d * len(followers) * p) / total
        return p


def _counted(grams: Counter[str]) -> _Counts:
    """Arrange counts by context, and find their discount."""
    of: dict[str, dict[str, int]] = defaultdict(dict)
    for gram, count in grams.items():
        of[gram[:-1]][gram[-1]] = count
    total = {context: sum(followers.values()) for context, followers in of.items()}
    counts_of_counts = Counter(grams.values())
    once, twice = counts_of_counts[1], counts_of_counts[2]
    # Where nothing was seen once, something has to be taken off all the same.
    discount = once / (once + 2 * twice) if once else 0.5
    return _Counts(dict(of), total, discount)

"""A language model that counts: what a network has to beat."""

import math
from collections import Counter, defaultdict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled_site.language.data import Vocabulary

__all__ = ["NGram"]


class _Counts(NamedTuple):
    """What is known of the characters that follow the contexts of one length."""

    of: dict[str, dict[str, int]]  # by context and character
    total: dict[str, int]  # by context
    discount: float


class NGram:
    """Predict a character from the ``order - 1`` before it, by counting, with Kneser-Ney smoothing.

    Parameters
    ----------
    text : str
        What is counted.
    order : int
        Characters that are looked at, the predicted one included: 1 looks at no other.
    vocabulary : Vocabulary
        Every character that there may be, seen in `text` or not.

    Raises
    ------
    ValueError
        If `order` is not at least 1, `text` has not more characters than that, or a character of
        `text` is not in the vocabulary.

    Notes
    -----
    With ``n(c s)`` for how often `s` follows the context `c`, ``n(c)`` for their sum over `s`, and
    ``d`` for the discount,

    ``p(s | c) = (max(n(c s) - d, 0) + d * kinds(c) * p(s | shorter c)) / n(c)``

    where ``kinds(c)`` counts the different characters that follow `c`, and ``shorter c`` lacks the
    first character. What the discount takes from the characters that were seen goes to the next
    shorter context, whose last resort, without any context, is the same probability for all. Only
    the longest context counts how often; a shorter one counts in how many different contexts, one
    character longer, the pair was seen. ``d = n_1 / (n_1 + 2 n_2)``, where ``n_k`` is how many
    pairs have the count k.

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
        """Give the probability that a character comes next.

        Parameters
        ----------
        context : str
            What comes before it; only its last ``order - 1`` characters count.
        character : str
            One character of the vocabulary.

        Returns
        -------
        float
            More than 0.

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
        """Give the probability of each character to come next.

        Parameters
        ----------
        context : str
            As for `probability`.

        Returns
        -------
        ndarray of float64, shape (V,)
            In the order of the vocabulary; the sum is 1.

        Examples
        --------
        >>> NGram("abab", 2, Vocabulary("abc")).probabilities("a").shape
        (3,)
        """
        return np.array([self._probability(context, c) for c in self.vocabulary.characters])

    def bits_per_character(self, text: str) -> float:
        """Measure how well a text is predicted.

        Parameters
        ----------
        text : str
            At least two characters of the vocabulary.

        Returns
        -------
        float
            The mean of ``-log2 p`` over all characters but the first, each with what comes
            before it as its context.

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

"""A text as numbers: its alphabet, its parts, and the parallel streams a model reads."""

import io
import os
from collections.abc import Iterable
from importlib import resources
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "Parts",
    "Vocabulary",
    "features",
    "northanger_abbey",
    "read_text",
    "split",
    "streams",
]

_LARGEST = 2**27  # bytes of a text, which needs some 20 times as many in memory


def northanger_abbey() -> str:
    """Read the novel that ships with the pages, by Jane Austen, of 1803.

    Returns
    -------
    str
        433 thousand characters, lines of 70 or so. Where it is from is written in the file
        ``texts/README.md`` of `unrolled_site`.

    Examples
    --------
    >>> northanger_abbey()[:16]
    'NORTHANGER ABBEY'
    """
    file = resources.files("unrolled_site") / "texts" / "northanger_abbey.txt"
    return file.read_text(encoding="ascii")


def read_text(path: str | os.PathLike[str], encoding: str = "utf-8") -> str:
    r"""Read a text of yours.

    Parameters
    ----------
    path : str or os.PathLike
        A file of at most 2**27 bytes.
    encoding : str, default "utf-8"
        How its characters are written, such as ``"utf-16"`` or ``"latin-1"``. It is not guessed.

    Returns
    -------
    str
        The text. Every line ends with a newline, however it ended in the file, and a byte order
        mark at the beginning is left out: it says how the text is written, and is no part of it.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is no text in that encoding, has a NUL character, is too large, or there is no such
        encoding.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "text.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo")
    ...     read_text(f"{folder}/text.txt")
    'one\ntwo'
    """
    path = os.fspath(path)
    with open(path, "rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError(f"{path} should have at most {_LARGEST:,} bytes, got more")
    try:
        text = io.TextIOWrapper(io.BytesIO(data), encoding).read()
        text.encode()  # some encodings can write half a character
    except LookupError:
        raise ValueError(
            f"encoding should be one that Python knows, such as utf-8, utf-16 or latin-1, "
            f"got {encoding!r}"
        ) from None
    except UnicodeError as error:
        raise ValueError(
            f"{path} should be a text in {encoding}, or with another encoding given, got: {error}"
        ) from None
    if "\0" in text:
        raise ValueError(
            f"{path} should be a text in {encoding}, or with another encoding given, "
            f"got a NUL character at place {text.index(chr(0))}"
        )
    return text.removeprefix("\ufeff")


class Vocabulary:
    """The characters that there are, and the number of each: its place.

    Parameters
    ----------
    characters : str
        They may repeat, so that a text can be given; they are sorted.

    Attributes
    ----------
    characters : str
        V characters.

    Raises
    ------
    ValueError
        If there are none.

    Examples
    --------
    >>> vocabulary = Vocabulary("banana")
    >>> vocabulary.characters, vocabulary.encode("nab"), vocabulary.decode([2, 0, 1])
    ('abn', tensor([2, 0, 1]), 'nab')
    """

    def __init__(self, characters: str) -> None:
        if not characters:
            raise ValueError("characters should have at least one, got ''")
        self.characters = "".join(sorted(set(characters)))
        self._numbers = {character: number for number, character in enumerate(self.characters)}

    def __len__(self) -> int:
        """Count the characters.

        Examples
        --------
        >>> len(Vocabulary("banana"))
        3
        """
        return len(self.characters)

    @property
    def opening(self) -> str:
        r"""What a model reads first if nobody says.

        A newline, after which a line begins; if there is none, a space, after which a word does; if
        there is none either, the first of the characters.

        Examples
        --------
        >>> [Vocabulary(text).opening for text in ("to be\n", "to be", "banana")]
        ['\n', ' ', 'a']
        """
        return next((c for c in "\n " if c in self._numbers), self.characters[0])

    def encode(self, text: str, name: str = "text") -> Tensor:
        """Give the number of each character.

        Parameters
        ----------
        text : str
            L characters.
        name : str, default "text"
            What an error calls it.

        Returns
        -------
        Tensor of int64, shape (L,)
            From 0 to V - 1.

        Raises
        ------
        ValueError
            If a character is not in the vocabulary.

        Examples
        --------
        >>> Vocabulary("ab").encode("ba")
        tensor([1, 0])
        """
        if unknown := [c for c in dict.fromkeys(text) if c not in self._numbers]:
            known = f"{self.characters!r}," if len(self) <= 100 else f"{len(self):,} of them,"
            named = ", ".join(map(_shown, unknown[:5]))
            more = f" and {len(unknown) - 5:,} more" if len(unknown) > 5 else ""
            raise ValueError(
                f"{name} should have only characters of the vocabulary, {known} got {named}{more}"
            )
        return torch.tensor([self._numbers[character] for character in text], dtype=torch.long)

    def decode(self, numbers: Iterable[int] | Tensor) -> str:
        """Give the text that the numbers stand for.

        Parameters
        ----------
        numbers : iterable of int or Tensor of integers, shape (L,)
            From 0 to V - 1.

        Returns
        -------
        str
            L characters.

        Raises
        ------
        IndexError
            If a number is not that of a character.

        Examples
        --------
        >>> Vocabulary("ab").decode([1, 0])
        'ba'
        """
        text = []
        for number in numbers:
            if not 0 <= number < len(self):
                raise IndexError(f"numbers should be from 0 to {len(self) - 1}, got {int(number)}")
            text.append(self.characters[number])
        return "".join(text)


def _shown(character: str) -> str:
    """Show a character, and its code point if many look like it or nothing can be seen."""
    return repr(character) + ("" if character.isascii() else f" (U+{ord(character):04X})")


class Parts(NamedTuple):
    """The three parts of a text.

    Attributes
    ----------
    training : str
        What the model learns from.
    validation : str
        What decisions are made by: when to stop, which unit to look at.
    test : str
        What the last figures are measured on, once all is decided.

    Examples
    --------
    >>> Parts("abc", "d", "e").test
    'e'
    """

    training: str
    validation: str
    test: str


def split(text: str) -> Parts:
    """Cut a text in three: eight tenths to train on, one to validate on, one to test on.

    A book goes on as it began; cut in order, no part repeats a sentence of another.

    Parameters
    ----------
    text : str
        The text.

    Returns
    -------
    Parts
        Consecutive parts.

    Examples
    --------
    >>> split("It is a truth universally acknowledged")
    Parts(training='It is a truth universally ackn', validation='owle', test='dged')
    """
    one, two = len(text) * 8 // 10, len(text) * 9 // 10
    return Parts(text[:one], text[one:two], text[two:])


def streams(numbers: Tensor, N: int) -> tuple[Tensor, Tensor]:
    """Lay a text out as N streams that are read side by side.

    Parameters
    ----------
    numbers : Tensor of int64, shape (L,)
        A text.
    N : int
        Streams. Each has ``steps = (L - 1) // N`` characters; the rest of the text is left out.

    Returns
    -------
    x : Tensor of int64, shape (steps, N)
        In column n the text from place ``n * steps`` on.
    target : Tensor of int64, shape (steps, N)
        The character after each, so that a column begins where the one before it ends.

    Raises
    ------
    ValueError
        If there are not enough characters for `N`, or `N` is not at least 1.

    Examples
    --------
    >>> x, target = streams(torch.arange(8), N=2)
    >>> x.T
    tensor([[0, 1, 2],
            [3, 4, 5]])
    >>> target.T
    tensor([[1, 2, 3],
            [4, 5, 6]])
    """
    if N < 1:
        raise ValueError(f"N should be at least 1, got {N}")
    steps = (len(numbers) - 1) // N
    if steps < 1:
        raise ValueError(
            f"numbers should be at least N + 1 = {N + 1} characters, got {len(numbers)}"
        )
    x = numbers[: N * steps].view(N, steps).T
    target = numbers[1 : N * steps + 1].view(N, steps).T
    return x.contiguous(), target.contiguous()  # (steps, N)


def features(text: str) -> dict[str, Tensor]:
    r"""Describe each character of a text by what a reader may ask of it.

    Parameters
    ----------
    text : str
        L characters.

    Returns
    -------
    dict of str to Tensor of float32, shape (L,)
        What holds once the character has been read. ``"place in the line"`` and
        ``"place in the word"``: how many characters since the last newline, and letters since the
        last character that is none. ``"in quotation marks"``, ``"vowel"``, ``"capital letter"``
        and ``"end of a word"``, a character after a letter that is none: 1 or 0. A quotation ends
        with its mark or with its paragraph.

    Examples
    --------
    >>> described = features('"Ah!"\nso')
    >>> for name in ("place in the line", "place in the word", "in quotation marks"):
    ...     print(described[name].int().tolist())
    [1, 2, 3, 4, 5, 0, 1, 2]
    [0, 1, 2, 0, 0, 0, 1, 2]
    [1, 1, 1, 1, 0, 0, 0, 0]
    """
    rows: dict[str, list[int]] = {
        "place in the line": [],
        "place in the word": [],
        "in quotation marks": [],
        "vowel": [],
        "capital letter": [],
        "end of a word": [],
    }
    place = letters = quoted = 0
    before = ""
    for character in text:
        ends = letters > 0 and not character.isalpha()
        place = 0 if character == "\n" else place + 1
        letters = letters + 1 if character.isalpha() else 0
        if character == '"':
            quoted = 1 - quoted
        elif character == before == "\n":
            quoted = 0
        before = character
        row = (place, letters, quoted, character in "aeiouAEIOU", character.isupper(), ends)
        for values, value in zip(rows.values(), row, strict=True):
            values.append(int(value))
    return {name: torch.tensor(values, dtype=torch.float32) for name, values in rows.items()}

"""A text as numbers: its vocabulary, its parts, and the parallel streams that a model reads."""

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

_LARGEST = 2**27  # bytes of a text; in memory it needs some 20 times as many


def northanger_abbey() -> str:
    """Read the novel that ships with the pages: *Northanger Abbey* by Jane Austen, of 1803.

    Returns
    -------
    str
        433 thousand characters, in lines of about 70. The file ``texts/README.md`` in
        `unrolled_site` states the source.

    Examples
    --------
    >>> northanger_abbey()[:16]
    'NORTHANGER ABBEY'
    """
    file = resources.files("unrolled_site") / "texts" / "northanger_abbey.txt"
    return file.read_text(encoding="ascii")


def read_text(path: str | os.PathLike[str], encoding: str = "utf-8") -> str:
    r"""Read a text file.

    Parameters
    ----------
    path : str or os.PathLike
        A file of at most 2**27 bytes.
    encoding : str, default "utf-8"
        The encoding of the file, such as ``"utf-16"`` or ``"latin-1"``. It is not guessed.

    Returns
    -------
    str
        The text. Every line ends with a newline, whatever the line endings in the file. A byte
        order mark at the beginning is dropped, since it is not part of the text.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not text in that encoding, contains a NUL character or is too large, or if the
        encoding does not exist.

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
    """The possible characters, each numbered by its position.

    Parameters
    ----------
    characters : str
        The characters in any order. They may repeat, so you can pass a whole text.

    Attributes
    ----------
    characters : str
        The V different characters, sorted.

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
        r"""The character that a model reads first unless you specify one.

        It is a newline, after which a line begins. If the vocabulary has none, it is a space, after
        which a word begins; if there is no space either, it is the first of the characters.

        Examples
        --------
        >>> [Vocabulary(text).opening for text in ("to be\n", "to be", "banana")]
        ['\n', ' ', 'a']
        """
        return next((c for c in "\n " if c in self._numbers), self.characters[0])

    def encode(self, text: str, name: str = "text") -> Tensor:
        """Return the number of each character.

        Parameters
        ----------
        text : str
            L characters.
        name : str, default "text"
            The name of the argument in error messages.

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
        """Return the text that the numbers stand for.

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
            If a number does not belong to a character.

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
    """Show a character, with its code point if it is invisible or easily confused."""
    return repr(character) + ("" if character.isascii() else f" (U+{ord(character):04X})")


class Parts(NamedTuple):
    """The three parts of a text.

    Attributes
    ----------
    training : str
        The text that the model learns from.
    validation : str
        The text on which decisions are based, such as when to stop or which unit to look at.
    test : str
        The text for the final measurements, once everything is decided.

    Examples
    --------
    >>> Parts("abc", "d", "e").test
    'e'
    """

    training: str
    validation: str
    test: str


def split(text: str) -> Parts:
    """Split a text: eight tenths for training, one for validation, one for the test.

    The parts are consecutive, so no part repeats a sentence of the others.

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
    """Arrange a text as N streams that are read side by side.

    Parameters
    ----------
    numbers : Tensor of int64, shape (L,)
        A text.
    N : int
        Number of streams. Each has ``steps = (L - 1) // N`` characters; the rest of the text is
        left out.

    Returns
    -------
    x : Tensor of int64, shape (steps, N)
        Column n holds the text from position ``n * steps`` on.
    target : Tensor of int64, shape (steps, N)
        The character that follows each one in `x`, so the last target of a column is the first
        character of the next.

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
    r"""Describe each character of a text by features that a reader might ask about.

    Parameters
    ----------
    text : str
        L characters.

    Returns
    -------
    dict of str to Tensor of float32, shape (L,)
        The features once the character has been read. ``"place in the line"`` and
        ``"place in the word"`` count the characters since the last newline, and the letters since
        the last character that is not a letter. ``"in quotation marks"``, ``"vowel"``,
        ``"capital letter"`` and ``"end of a word"`` (a character that is not a letter, after one
        that is) are 1 or 0. A quotation ends at the closing mark or at the end of its paragraph.

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

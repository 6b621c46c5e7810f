"""Quote the installed PyTorch: source lines, located by name, and messages, as it raises them."""

import inspect
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from types import ModuleType
from typing import Any

import torch

import unrolled

__all__ = ["Quotation", "message", "quote", "since"]


@dataclass(frozen=True)
class Quotation:
    """Some consecutive lines of PyTorch's source; notebooks show them highlighted, with a link.

    Lines of Unrolled are shown with their file but no link; see the API reference for the rest.

    Attributes
    ----------
    path : str
        File, relative to the root of PyTorch's repository or to the folder of our packages.
    first_line, last_line : int
        Line numbers in that file.
    text : str
        The lines, without their common indentation.
    language : str
        How to highlight them: ``"python"``, or ``"text"`` for lines of a docstring.

    Examples
    --------
    >>> quote(torch.nn.RNNBase.reset_parameters).path
    'torch/nn/modules/rnn.py'
    """

    path: str
    first_line: int
    last_line: int
    text: str
    language: str = "python"

    @property
    def permalink(self) -> str:
        """Link to these lines in the revision from which the installed PyTorch was built.

        Returns
        -------
        str
            A link to GitHub.

        Raises
        ------
        ValueError
            If the lines belong to Unrolled.
        """
        if self._is_own:
            raise ValueError(f"a permalink should be of lines of PyTorch, got those of {self.path}")
        return (
            f"https://github.com/pytorch/pytorch/blob/{torch.version.git_version}/{self.path}"
            f"#L{self.first_line}-L{self.last_line}"
        )

    @property
    def _is_own(self) -> bool:
        return self.path.startswith(("unrolled/", "unrolled_site/"))

    def __str__(self) -> str:
        """Return the lines only."""
        return self.text

    def _repr_markdown_(self) -> str:
        lines = f"line {self.first_line}"
        if self.last_line > self.first_line:
            lines = f"lines {self.first_line} to {self.last_line}"
        version = torch.__version__.partition("+")[0]  # without the build, such as +cpu
        if self._is_own:
            head = f"`{self.path}`, {lines}"
        else:
            head = f"PyTorch {version}, [`{self.path}`, {lines}]({self.permalink})"
        return f"{head}:\n\n```{self.language}\n{self.text}\n```\n"


def quote(
    function: Callable[..., Any] | ModuleType,
    first: str | None = None,
    last: str | None = None,
    language: str = "python",
) -> Quotation:
    """Quote a function of PyTorch or of Unrolled, or some of its lines.

    Parameters
    ----------
    function : callable or module
        A Python function, method, class or module of the installed torch, of `unrolled` or of
        `unrolled_site`.
    first : str, optional
        The beginning of the first line to quote, without indentation. If left out, the first line
        of `function`.
    last : str, optional
        The beginning of the last line to quote, which is the next such line from `first` on. If
        left out, the last line of `function`.
    language : {"python", "text"}, default "python"
        How to highlight the lines.

    Returns
    -------
    Quotation
        The lines and where they are.

    Raises
    ------
    ValueError
        If `function` belongs to none of these packages, or no line begins like that. In the second
        case PyTorch has changed, and what the page says about these lines needs a review.

    Examples
    --------
    >>> print(quote(torch.nn.RNNBase.reset_parameters, first="stdv", last="for"))
    stdv = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
    for weight in self.parameters():
    """
    file = Path(inspect.getfile(function))
    packages = (torch.__file__, unrolled.__file__, __file__)
    for package in (Path(module).parent for module in packages):
        if file.is_relative_to(package):
            break
    else:
        raise ValueError(
            f"function should be part of torch, unrolled or unrolled_site, got {function!r}"
        )
    lines, start = inspect.getsourcelines(function)
    begin = 0 if first is None else _find("first", first, lines, 0)
    end = len(lines) - 1 if last is None else _find("last", last, lines, begin)
    return Quotation(
        path=file.relative_to(package.parent).as_posix(),
        first_line=max(start, 1) + begin,  # of a module, lines are said to begin at 0
        last_line=max(start, 1) + end,
        text=inspect.cleandoc("\n" + "".join(lines[begin : end + 1])),
        language=language,
    )


def message(call: Callable[..., object], *arguments: Any, **keywords: Any) -> str:
    """Print the error or warning with which a call ends, and return it.

    Parameters
    ----------
    call : callable
        The function to call; a warning ends the call too.
    *arguments, **keywords
        Its arguments.

    Returns
    -------
    str
        Type and text of the error or warning; at most four lines are printed.

    Raises
    ------
    ValueError
        If `call` raises no error and gives no warning.

    Examples
    --------
    >>> said = message(torch.nn.GRU, 10, -20)
    ValueError: hidden_size must be greater than zero
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            call(*arguments, **keywords)
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            for line in text.splitlines()[:4]:
                print(fill(line, 76, break_on_hyphens=False))  # noqa: T201 # what a reader of the page looks for
            return text
    raise ValueError("call should raise an error or warn, got neither")


def since(version: str) -> bool:
    """Tell whether the installed PyTorch is of a version or newer; a nightly counts as its version.

    Parameters
    ----------
    version : str
        Such as ``"2.15"`` or ``"2.14.1"``.

    Returns
    -------
    bool
        Whether it is.

    Examples
    --------
    >>> since("2.0"), since("100.0")
    (True, False)
    """
    installed, wanted = (
        [int(number) for number in re.findall(r"\d+", text)[:3]]
        for text in (torch.__version__, version)
    )
    return installed >= wanted


def _find(argument: str, beginning: str, lines: list[str], start: int) -> int:
    for number in range(start, len(lines)):
        if lines[number].strip().startswith(beginning):
            return number
    raise ValueError(f"{argument} should be how a line of the function begins, got {beginning!r}")

import inspect
import textwrap
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from unrolled import bptt
from unrolled.bptt import rnn_slope
from unrolled_site.example import worked_example
from unrolled_site.source import Quotation, message, quote


def lines_of_file(quotation: Quotation) -> str:
    """Read the quoted lines by their numbers."""
    file = Path(torch.__file__).parent.parent / quotation.path
    lines = file.read_text(encoding="utf-8").splitlines()
    return "\n".join(lines[quotation.first_line - 1 : quotation.last_line])


def test_whole_function() -> None:
    quotation = quote(nn.RNNBase.reset_parameters)
    assert quotation.text == textwrap.dedent(inspect.getsource(nn.RNNBase.reset_parameters)).strip()
    assert quotation.text.startswith("def reset_parameters(self)")
    assert quotation.text == str(quotation) == textwrap.dedent(lines_of_file(quotation)).strip()
    assert quotation.path == "torch/nn/modules/rnn.py"


@pytest.mark.parametrize(
    ("first", "last"), [("stdv", None), (None, "stdv"), ("stdv", "for"), ("stdv", "stdv")]
)
def test_part_of_a_function(first: str | None, last: str | None) -> None:
    quotation = quote(nn.RNNBase.reset_parameters, first, last)
    assert quotation.text == textwrap.dedent(lines_of_file(quotation)).strip()
    lines = quotation.text.splitlines()
    assert lines[0].startswith(first or "def reset_parameters")
    assert lines[-1].strip().startswith(last or "init.uniform_")


def test_last_is_looked_for_after_first() -> None:
    quotation = quote(nn.RNNBase.__init__, first="if mode ==", last="else")
    assert "gate_size = 4 * hidden_size" in quotation.text
    assert quotation.last_line > quotation.first_line
    assert quotation.text.splitlines()[-1] == "else:"


def test_class() -> None:
    assert quote(nn.RNNBase, last="class").text == "class RNNBase(Module):"


def test_lines_of_a_module_have_the_numbers_that_they_have_in_its_file() -> None:
    quotation = quote(bptt, first="import", last="import")
    lines = Path(bptt.__file__).read_text("utf-8").splitlines()
    assert quotation.text.startswith("import")
    assert lines[quotation.first_line - 1] == quotation.text


def test_indentation_is_kept_within() -> None:
    text = quote(nn.RNNBase.reset_parameters, first="for").text
    assert text == "for weight in self.parameters():\n    init.uniform_(weight, -stdv, stdv)"


def test_permalink_is_to_the_revision_of_the_installed_torch() -> None:
    quotation = Quotation("torch/nn/modules/rnn.py", 3, 5, "a\nb\nc")
    assert quotation.permalink == (
        "https://github.com/pytorch/pytorch/blob/"
        f"{torch.version.git_version}/torch/nn/modules/rnn.py#L3-L5"
    )


def test_notebooks_show_the_lines_and_the_link() -> None:
    version = torch.__version__.split("+")[0]
    for last, language in (("stdv", "python"), ("for", "text")):
        quotation = quote(nn.RNNBase.reset_parameters, "stdv", last, language)
        number = quotation.first_line
        lines = f"line {number}" if last == "stdv" else f"lines {number} to {number + 1}"
        assert quotation._repr_markdown_() == (
            f"PyTorch {version}, [`torch/nn/modules/rnn.py`, {lines}]({quotation.permalink}):\n\n"
            f"```{language}\n{quotation.text}\n```\n"
        )


def test_lines_that_are_not_there() -> None:
    with pytest.raises(ValueError, match=r"first should be how a line .* begins, got 'no such'"):
        quote(nn.RNNBase.reset_parameters, first="no such")
    with pytest.raises(ValueError, match=r"last should be how a line .* begins, got 'def'"):
        quote(nn.RNNBase.reset_parameters, first="stdv", last="def")


def test_function_of_somebody_else() -> None:
    with pytest.raises(
        ValueError, match="should be part of torch, unrolled or unrolled_site, got <function"
    ):
        quote(textwrap.dedent)


def test_lines_of_our_own_have_no_permalink() -> None:
    quotation = quote(rnn_slope, first="if nonlinearity", last="return")
    assert quotation.path == "unrolled/bptt.py"
    assert quotation.text.splitlines()[0] == 'if nonlinearity == "tanh":'
    head, _, rest = quotation._repr_markdown_().partition(":\n\n")
    first, last = quotation.first_line, quotation.last_line
    assert head == f"`unrolled/bptt.py`, lines {first} to {last}"
    assert rest == f"```python\n{quotation.text}\n```\n"
    with pytest.raises(ValueError, match="should be of lines of PyTorch, got those of unrolled/b"):
        _ = quotation.permalink


def test_lines_of_the_pages_equipment_have_no_permalink_either() -> None:
    quotation = quote(worked_example, first="torch.manual_seed", last="torch.manual_seed")
    line = f"line {quotation.first_line}"
    assert quotation._repr_markdown_() == (
        f"`unrolled_site/example.py`, {line}:\n\n```python\ntorch.manual_seed(SEED)\n```\n"
    )
    with pytest.raises(ValueError, match="should be of lines of PyTorch, got those of unrolled_s"):
        _ = quotation.permalink


def test_message_is_that_of_an_error_or_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert message(lambda: nn.GRU(10, -20)) == "ValueError: hidden_size must be greater than zero"
    long = "word " * 40

    def warn() -> None:
        warnings.warn(f"one\n{long}\nthree\nfour\nfive", stacklevel=1)

    assert message(warn) == f"UserWarning: one\n{long}\nthree\nfour\nfive"
    error, *lines = capsys.readouterr().out.splitlines()
    assert error == "ValueError: hidden_size must be greater than zero"
    assert (lines[0], lines[-2:]) == ("UserWarning: one", ["three", "four"])
    assert len(lines) == 6
    assert max(map(len, lines)) <= 76
    with pytest.raises(ValueError, match="call should raise an error or warn, got neither"):
        message(lambda: None)

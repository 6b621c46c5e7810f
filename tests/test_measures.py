"""What the pages measure: differences that cannot hide, and operators in their order."""

import pytest
import torch
from torch import nn

from unrolled_site.measures import gap, operators


def test_the_gap_is_the_largest_difference_in_float64() -> None:
    a = torch.tensor([[1.0, -2.0, 3.0]], dtype=torch.float64)
    b = torch.tensor([[1.0, 2.5, 3.0]], dtype=torch.float64)
    assert gap(a, b) == gap(b, a) == 4.5
    assert gap(a, a + 1e-15) > 0
    assert gap(torch.tensor([1 + 1j]), torch.tensor([1 - 1j])) == 2
    assert gap(torch.tensor([256.0]), torch.tensor([257], dtype=torch.int64)) == 1
    half = torch.tensor([256.0, 1.0], dtype=torch.bfloat16)
    assert gap(half, torch.tensor([255.0, 1.0])) == 1


def test_a_difference_is_not_hidden_by_broadcasting() -> None:
    with pytest.raises(ValueError, match=r"b should have the shape \(3, 1\) of a, got \(3,\)"):
        gap(torch.zeros(3, 1), torch.zeros(3))


def test_operators_are_named_in_their_order() -> None:
    x = torch.ones(3, 2)
    assert operators(lambda y: (y.exp() + 1).sum(), x) == ["exp", "add", "sum"]
    lstm = nn.LSTM(2, 4).requires_grad_(False)
    assert "mkldnn_rnn_layer" in operators(lstm, torch.zeros(5, 3, 2))
    with pytest.raises(RuntimeError, match="input"):
        operators(lstm, torch.zeros(5, 3, 7))

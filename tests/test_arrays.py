"""The few operations that are written once for arrays and tensors."""

from typing import Any

import numpy as np
import pytest
import torch

from unrolled import arrays

A = np.random.RandomState(0).randn(5, 3, 10)
BOTH = pytest.mark.parametrize("of", [np.asarray, torch.tensor], ids=["NumPy", "torch"])


@BOTH
def test_a_clone_lies_in_one_piece(of: Any) -> None:
    a = of(A).swapaxes(0, 2)
    b = arrays.namespace(a).clone(a)
    assert (b == a).all()
    assert np.asarray(b).flags.c_contiguous
    assert not np.shares_memory(np.asarray(a), np.asarray(b))


@BOTH
def test_parts_are_views(of: Any) -> None:
    a = of(A)
    for parts, widths in ((arrays.chunk(a, 2), [5, 5]), (arrays.split(a, [2, 7, 1]), [2, 7, 1])):
        assert [part.shape[-1] for part in parts] == widths
        assert np.array_equal(np.concatenate([np.asarray(part) for part in parts], -1), A)
        assert all(np.shares_memory(np.asarray(a), np.asarray(part)) for part in parts)


def test_parts_of_a_tensor_are_one_operation() -> None:
    a: Any = torch.tensor(A, requires_grad=True)
    assert arrays.chunk(a, 2)[1].grad_fn.name() == "SplitBackward0"
    assert arrays.split(a, [3, 7])[1].grad_fn.name() == "SplitWithSizesBackward0"


@BOTH
def test_where_takes_whole_rows(of: Any) -> None:
    mask = np.arange(15).reshape(5, 3) % 2 == 0
    taken = arrays.where(of(mask), of(A), of(-A))
    assert np.array_equal(np.asarray(taken), np.where(mask[:, :, None], A, -A))


def test_where_keeps_the_dtype_of_the_first() -> None:
    a = torch.tensor(A, dtype=torch.float16)
    assert arrays.where(torch.ones(5, 3, dtype=torch.bool), a, torch.tensor(A)).dtype == a.dtype


def test_linear() -> None:
    weight, bias = np.random.RandomState(1).randn(20, 10), np.arange(20.0)
    expected = np.einsum("lni,oi->lno", A, weight) + bias
    np.testing.assert_allclose(arrays.linear(A, weight, bias), expected, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match=r"weight should have shape \(out, 10\), got \(10, 20\)"):
        arrays.linear(A, weight.T)
    with pytest.raises(ValueError, match=r"bias should have shape \(20,\), got \(19,\)"):
        arrays.linear(A, weight, bias[:19])

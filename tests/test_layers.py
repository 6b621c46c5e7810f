from collections import Counter
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from unrolled.layers import Weights, rnn_direction, rnn_layer, rnn_network

L, N, H_in, H_out = 5, 3, 10, 20


def weights_of(rnn: nn.RNN, on_arrays: bool = False) -> list[list[Weights[Any]]]:
    """Give the parameters by layer and direction."""
    each = [
        Weights[Any](*(p.detach().numpy() if on_arrays else p for p in group))
        for group in rnn.all_weights
    ]
    D = 2 if rnn.bidirectional else 1
    return [each[first : first + D] for first in range(0, len(each), D)]


def network(dtype: torch.dtype = torch.float64, **keywords: Any) -> Any:
    torch.manual_seed(0)
    rnn = nn.RNN(H_in, H_out, dtype=dtype, **keywords)
    states = rnn.num_layers * (2 if rnn.bidirectional else 1)
    return rnn, torch.randn(L, N, H_in, dtype=dtype), torch.randn(states, N, H_out, dtype=dtype)


@pytest.mark.parametrize(
    ("num_layers", "bidirectional", "bias", "nonlinearity"),
    list(product((1, 2, 3), (False, True), (True, False), ("tanh", "relu"))),
)
def test_network_on_arrays(
    num_layers: int, bidirectional: bool, bias: bool, nonlinearity: str
) -> None:
    rnn, x, h_0 = network(
        num_layers=num_layers, bidirectional=bidirectional, bias=bias, nonlinearity=nonlinearity
    )
    output, h_n = rnn_network(x.numpy(), h_0.numpy(), weights_of(rnn, True), nonlinearity)
    expected_output, expected_h_n = (t.detach().numpy() for t in rnn(x, h_0))
    np.testing.assert_allclose(output, expected_output, rtol=0, atol=1e-12)
    np.testing.assert_allclose(h_n, expected_h_n, rtol=0, atol=1e-12)


def test_network_on_float32_arrays() -> None:
    rnn, x, h_0 = network(torch.float32, num_layers=2, bidirectional=True)
    output, h_n = rnn_network(x.numpy(), h_0.numpy(), weights_of(rnn, True))
    assert output.dtype == h_n.dtype == np.float32
    expected_output, expected_h_n = (t.detach().numpy() for t in rnn(x, h_0))
    np.testing.assert_allclose(output, expected_output, rtol=0, atol=1e-6)
    np.testing.assert_allclose(h_n, expected_h_n, rtol=0, atol=1e-6)


def test_two_directions_are_two_networks_and_a_flip() -> None:
    rnn, x, h_0 = network(bidirectional=True)
    forward, reverse = weights_of(rnn)[0]
    output, (h_forward, h_reverse) = rnn_layer(x, list(h_0), [forward, reverse])
    there, last = rnn_direction(x, h_0[0], forward)
    back, first = rnn_direction(x.flip(0), h_0[1], reverse)
    # Not bit for bit: where a row stands in a matrix may decide how its products are summed.
    torch.testing.assert_close(output, torch.cat([there, back.flip(0)], -1), rtol=0, atol=1e-12)
    torch.testing.assert_close(h_forward, last, rtol=0, atol=1e-12)
    torch.testing.assert_close(h_reverse, first, rtol=0, atol=1e-12)
    assert torch.equal(h_reverse, output[0, :, H_out:])  # the reverse direction ends at time 0


def test_one_direction_is_not_copied() -> None:
    rnn, x, h_0 = network()
    output, _ = rnn_layer(x, list(h_0), weights_of(rnn)[0])
    assert output.shape == (L, N, H_out)


def test_dropout_is_a_new_mask_between_layers() -> None:
    rnn, x, h_0 = network(num_layers=3, dropout=0.4)
    torch.manual_seed(1)
    output, h_n = rnn_network(x, h_0, weights_of(rnn), dropout=0.4)
    torch.manual_seed(1)
    inputs, last = x, []
    for layer, weights in enumerate(weights_of(rnn)):
        inputs, h = rnn_direction(inputs, h_0[layer], weights[0])
        last.append(h)  # what drops out does not touch the states
        if layer < 2:
            inputs = nn.functional.dropout(inputs, 0.4)
    assert torch.equal(output, inputs)
    assert torch.equal(h_n, torch.stack(last))


def test_dropout_of_everything() -> None:
    rnn, x, h_0 = network(num_layers=2, bias=False)
    output, _ = rnn_network(x, h_0, weights_of(rnn), dropout=1.0)
    without, _ = rnn_direction(torch.zeros(L, N, H_out).double(), h_0[1], weights_of(rnn)[1][0])
    assert torch.equal(output, without)


def test_dropout_scales_what_is_kept() -> None:
    # Ones in, ones as weights: every output is a multiple of 2 * 10, and h_n is untouched.
    rnn = nn.RNN(10, 1000, 2, nonlinearity="relu", bias=False)
    for parameter in rnn.parameters():
        nn.init.ones_(parameter)
    torch.manual_seed(1)
    output, h_n = rnn_network(
        torch.ones(1, 1, 10), torch.zeros(2, 1, 1000), weights_of(rnn), "relu", dropout=0.5
    )
    assert (h_n[0] == 10).all()
    assert torch.equal(output[0], h_n[1])
    assert (output == output[0, 0, 0]).all()
    assert output[0, 0, 0] % 20 == 0
    assert 8_000 < output[0, 0, 0] < 12_000
    assert output[0, 0, 0] != 10_000


def test_dropout_needs_torch() -> None:
    rnn, x, h_0 = network(num_layers=2)
    with pytest.raises(TypeError, match=r"dropout should be 0 for inputs of type ndarray, got 0.5"):
        rnn_network(x.numpy(), h_0.numpy(), weights_of(rnn, True), dropout=0.5)


def test_packing_needs_torch() -> None:
    rnn, x, h_0 = network()
    with pytest.raises(TypeError, match=r"batch_sizes should be None .* ndarray, got \[2, 1\]"):
        rnn_direction(
            x[:, 0].numpy(), h_0[0].numpy(), weights_of(rnn, True)[0][0], "tanh", False, [2, 1]
        )


@pytest.mark.parametrize("reverse", [False, True])
def test_packed_direction(reverse: bool) -> None:
    rnn, x, h_0 = network(bidirectional=True)
    weights = weights_of(rnn)[0][reverse]
    lengths = [5, 3, 2]
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths)
    output, h_n = rnn_direction(
        packed.data, h_0[0], weights, reverse=reverse, batch_sizes=packed.batch_sizes.tolist()
    )
    padded, _ = nn.utils.rnn.pad_packed_sequence(packed._replace(data=output))
    for n, length in enumerate(lengths):
        alone, last = rnn_direction(
            x[:length, n : n + 1], h_0[0, n : n + 1], weights, reverse=reverse
        )
        torch.testing.assert_close(padded[:length, n], alone[:, 0], rtol=0, atol=1e-12)
        torch.testing.assert_close(h_n[n], last[0], rtol=0, atol=1e-12)


class Count(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch's is untyped
    """Count what reaches the kernels."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # the same
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[str(func)] += 1
        return func(*args, **(kwargs or {}))


def test_input_is_projected_once() -> None:
    rnn, x, h_0 = network()
    with Count() as ours:
        rnn_network(x, h_0, weights_of(rnn))
    with Count() as theirs:
        rnn(x, h_0)
    for name, expected in (("aten.addmm.default", 1 + L), ("aten.tanh.default", L)):
        assert ours.counts[name] == theirs.counts[name] == expected

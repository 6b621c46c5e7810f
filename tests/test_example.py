import torch
from torch import nn

import unrolled
from unrolled_site import example


def test_example_is_the_articles() -> None:
    rnn, x, h_0 = example.worked_example()
    assert type(rnn) is nn.RNN
    assert repr(rnn) == f"RNN({example.H_in}, {example.H_out}, batch_first=True)"
    assert x.shape == (example.N, example.L, example.H_in)
    assert h_0.shape == (1, example.N, example.H_out)
    assert x.dtype == h_0.dtype == torch.float32
    assert h_0.count_nonzero() == h_0.numel()


def test_sizes_differ_so_that_no_two_can_be_confused() -> None:
    sizes = [example.N, example.L, example.H_in, example.H_out]
    assert len({1, *sizes}) == 5


def test_example_is_the_same_each_time() -> None:
    first, second = example.worked_example(), example.worked_example()
    assert all(torch.equal(a, b) for a, b in zip(first[1:], second[1:], strict=True))
    for a, b in zip(first[0].parameters(), second[0].parameters(), strict=True):
        assert torch.equal(a, b)
    drawn = unrolled.uniform_parameters("RNN_TANH", example.H_in, example.H_out, seed=example.SEED)
    for name, parameter in first[0].named_parameters():
        assert torch.equal(torch.from_numpy(drawn[name]), parameter)


def test_a_pencil_can_follow_the_small_example() -> None:
    rnn, x, h_0 = example.small_example()
    assert (rnn.input_size, rnn.hidden_size, x.shape[1]) == (1, 2, 3)
    output, h_n = rnn(x, h_0)
    assert torch.equal(output[:, -1], h_n[0])
    for values in (*rnn.parameters(), x, h_0):
        assert torch.equal(values, values.mul(10).round() / 10)
    # Nothing hides a mistake, and tanh neither saturates nor is a straight line.
    weight_hh = rnn.get_parameter("weight_hh_l0")
    assert not torch.equal(weight_hh, weight_hh.T)
    assert all((p != 0).all() for p in (*rnn.parameters(), h_0))
    assert output.abs().max() < 0.9
    assert output.abs().min() > 0.3

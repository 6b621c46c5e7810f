"""Runs over a long gap: when they end, what they count, and how their networks begin."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 # its name everywhere

import unrolled
from unrolled_site import long_gap
from unrolled_site.long_gap import GAP, TRIALS, Reader, Truncated, learn
from unrolled_site.tasks import recall


def test_a_run_counts_batches_and_time_steps() -> None:
    make, _, options = TRIALS["LSTM, trained on gaps below 20"]
    run = learn(make, 1, **options, most=7)
    assert len(run.right) == 7
    torch.manual_seed(1)
    Reader(make())
    read = 0
    for _ in range(7):
        x, _ = recall(16, long_gap.short())
        read += x.shape[0] * x.shape[1]
    assert run.read == read
    assert all(0 <= share <= 1 for share in run.right)


def test_a_run_ends_with_five_right_batches_in_a_row() -> None:
    run = learn(lambda: nn.GRU(9, 24, batch_first=True), 0, gap=lambda: 1)
    assert run.right[-5:] == [1.0] * 5
    assert run.right[-6] < 1
    assert len(run.right) < long_gap.MOST


def test_without_clipping_a_run_is_another() -> None:
    def make() -> nn.Module:
        return nn.RNN(9, 8, batch_first=True)

    clipped, free = (
        learn(make, 0, gap=lambda: 1, clip=clip, most=30) for clip in (0.001, float("inf"))
    )
    assert clipped.right != free.right


def test_a_cut_changes_gradients_and_not_results() -> None:
    torch.manual_seed(0)
    rnn = nn.LSTM(9, 6, batch_first=True)
    whole, cut = Reader(rnn).double(), Truncated(rnn).double()
    cut.out = whole.out
    x = torch.randn(3, 230, 9, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(cut(x), whole(x), rtol=0, atol=1e-12)
    (through,) = torch.autograd.grad(whole(x).sum(), x)
    (stopped,) = torch.autograd.grad(cut(x).sum(), x)
    assert stopped[:, :200].abs().max() == 0
    torch.testing.assert_close(stopped[:, 200:], through[:, 200:], rtol=0, atol=1e-12)


def test_the_normalised_step_is_an_lstm_with_three_layer_norms() -> None:
    torch.manual_seed(0)
    step = long_gap.NormalisedStep(4)
    for parameter in step.parameters():
        nn.init.normal_(parameter)
    lstm = unrolled.LSTM(3, 4, bias=False, step=step).requires_grad_(False)
    W_ih, W_hh = (lstm.get_parameter(f"weight_{name}_l0") for name in ("ih", "hh"))
    x, h, c = torch.randn(5, 2, 3), torch.randn(2, 4), torch.randn(2, 4)
    output, _ = lstm(x, (h[None], c[None]))

    def norm(v: torch.Tensor, layer: nn.LayerNorm) -> torch.Tensor:
        centred = v - v.mean(dim=1, keepdim=True)
        scale = (centred.square().mean(dim=1, keepdim=True) + layer.eps).sqrt()
        return centred / scale * layer.weight + layer.bias

    for x_t, h_t in zip(x, output, strict=True):
        gates = norm(x_t @ W_ih.T, step.norm_x) + norm(h @ W_hh.T, step.norm_h)
        i, f, g, o = gates.chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * norm(c, step.norm_c).tanh()
        torch.testing.assert_close(h_t, h, rtol=0, atol=1e-6)


def test_chrono_covers_the_gap_also_where_a_normalisation_has_the_biases() -> None:
    torch.manual_seed(0)
    made = TRIALS["LSTM, chrono_"][0]()
    forget = made.bias_ih_l0.chunk(4)[1]
    assert torch.log(torch.tensor(GAP / 4)) < forget.max() <= torch.log(torch.tensor(GAP + 1.0))
    torch.manual_seed(0)
    within = TRIALS["LSTM, layer norm, chrono_"][0]()
    torch.manual_seed(0)
    expected = long_gap.chrono(nn.LSTM)
    assert torch.equal(within.step.norm_x.bias, expected.bias_ih_l0 + expected.bias_hh_l0)


@pytest.mark.parametrize("name", TRIALS)
def test_every_trial_can_be_trained(name: str) -> None:
    make, seeds, options = TRIALS[name]
    assert seeds >= 1
    torch.manual_seed(0)
    reader = options.get("reader", Reader)(make())
    x, target = recall(4, 3)
    torch.autograd.backward(F.cross_entropy(reader(x), target))
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in reader.parameters())

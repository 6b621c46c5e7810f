"""The comparison of networks: what is chosen, what is trained, and what is measured."""

import pytest
import torch
from torch.nn import functional as F  # noqa: N812 # its name everywhere

from unrolled_site import comparison
from unrolled_site.alternatives import DilatedConvolution


@pytest.mark.parametrize("task", comparison.TASKS)
def test_all_networks_have_about_the_same_number_of_parameters(task: str) -> None:
    *_, features, classes = comparison.TASKS[task]
    for name, make in comparison.NETWORKS.items():
        count = sum(parameter.numel() for parameter in make(features, classes).parameters())
        assert abs(count / comparison.BUDGET - 1) < 0.15, name


@pytest.mark.parametrize(("task", "targets"), [("recall", 1), ("addition", 16), ("reversal", 6)])
def test_a_loss_reads_the_last_steps(task: str, targets: int) -> None:
    (x, target), *_ = comparison.drawn(0, task, 1)
    assert target.shape == (comparison.N, targets)
    model = comparison.NETWORKS["GRU"](*comparison.TASKS[task][2:])
    logits = comparison.logits_of(model, x, target)  # (N, C, targets)
    assert torch.equal(logits[:, :, -1], model(x)[:, -1])
    loss, right = comparison.score(model, [(x, target)] * 2)
    assert loss == pytest.approx(F.cross_entropy(logits, target).item())
    assert right == pytest.approx((logits.argmax(1) == target).float().mean().item())


def test_batches_are_drawn_anew_with_each_seed_at_any_length() -> None:
    first, second = comparison.drawn(3, "addition", 2, length=7)
    assert first[0].shape == (comparison.N, 7, 2)
    assert not torch.equal(first[0], second[0])
    assert torch.equal(first[0], comparison.drawn(3, "addition", 1, length=7)[0][0])


@pytest.mark.parametrize(("back", "share"), [(22, 1.0), (42, 0.25)])
def test_a_network_that_looks_a_fixed_number_of_steps_back_follows_the_decoy(
    back: int, share: float
) -> None:
    class Back(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, -back : 1 - back, :4]  # (N, 1, 4), of the symbol that is there

    assert comparison.followed(Back()) == pytest.approx(share, abs=0.06)


def test_the_rate_falls_to_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = []

    class Noted(torch.optim.Adam):
        def step(self, closure: None = None) -> None:  # type: ignore[override]  # without a closure
            rates.append(self.param_groups[0]["lr"])
            super().step(closure)

    monkeypatch.setattr(torch.optim, "Adam", Noted)
    comparison.trained("convolution", "reversal", 1, 0.04, comparison.drawn(1, "reversal", 4))
    assert rates == pytest.approx([0.04, 0.03, 0.02, 0.01])


def test_chrono_sets_the_biases_for_the_length_of_the_task() -> None:
    for name in ("LSTM", "LSTM, chrono_"):
        batches = comparison.drawn(1, "recall", 1)
        model = comparison.trained(name, "recall", 1, 0.0, batches)
        _, forget, *_ = model.get_submodule("rnn").bias_ih_l0.chunk(4)  # type: ignore[operator]  # a parameter
        assert (forget.max() > 1) == (name == "LSTM, chrono_")


def test_the_rate_with_the_lowest_loss_is_used_with_other_seeds() -> None:
    rate, models = comparison.compare(
        "convolution", "addition", rates=(0.0001, 0.02), seeds=(1, 2), updates=8
    )
    assert rate == 0.02
    assert models.keys() == {1, 2}
    for seed, model in models.items():
        assert isinstance(model, DilatedConvolution)
        assert not model.training
        batches = comparison.drawn(seed, "addition", 8)
        again = comparison.trained("convolution", "addition", seed, 0.02, batches)
        for mine, theirs in zip(model.parameters(), again.parameters(), strict=True):
            assert torch.equal(mine, theirs)

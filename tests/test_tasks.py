"""The tasks of the pages: what they draw is what they say, and a model can learn from it."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 # its name everywhere

from unrolled_site.tasks import (
    ALPHABET,
    DIGITS,
    NAMES,
    REVIEW_WORDS,
    STORY,
    STORY_WORDS,
    TMaze,
    accuracy,
    addition,
    bars,
    encode,
    fit,
    pet_stories,
    recall,
    reversal,
    reviews,
    spelling,
    train,
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def assert_one_hot(x: Tensor) -> None:
    assert x.dtype == torch.float32
    assert torch.equal(x.sum(-1), torch.ones(x.shape[:-1]))
    assert ((x == 0) | (x == 1)).all()


def words(row: Tensor, vocabulary: tuple[str, ...]) -> list[str]:
    return [vocabulary[index] for index in row.argmax(-1)]


def test_encode_is_undone_by_argmax() -> None:
    x = encode(STORY, STORY_WORDS)
    assert_one_hot(x)
    assert tuple(words(x, STORY_WORDS)) == STORY


def test_encode_refuses_an_unknown_word() -> None:
    with pytest.raises(ValueError, match="got 'cat'"):
        encode(["dog", "cat"], ["dog"])


@pytest.mark.parametrize("gap", [0, 1, 7])
@pytest.mark.parametrize("symbols", [1, 4])
def test_recall(gap: int, symbols: int) -> None:
    x, target = recall(200, gap, symbols)
    assert x.shape == (200, gap + 2, 2 * symbols + 1)
    assert_one_hot(x)
    indices = x.argmax(-1)
    assert torch.equal(indices[:, 0], target)
    assert set(target.tolist()) == set(range(symbols))
    assert ((indices[:, 1:-1] >= symbols) & (indices[:, 1:-1] < 2 * symbols)).all()
    assert (indices[:, -1] == 2 * symbols).all()


def test_pet_stories_without_noise_differ_in_the_name_only() -> None:
    x, target = pet_stories(100, noise=0)
    assert_one_hot(x)
    for row, name in zip(x, target.tolist(), strict=True):
        expected = [NAMES[name] if word == "Oliver" else word for word in STORY]
        assert words(row, STORY_WORDS) == expected
    assert set(target.tolist()) == set(range(len(NAMES)))


def test_pet_stories_with_noise_have_one_name_each() -> None:
    x, target = pet_stories(500)
    assert_one_hot(x)
    names = x[..., : len(NAMES)].sum(-1)
    assert torch.equal(names.sum(1), torch.ones(500))
    assert torch.equal(x[:, STORY.index("Oliver")].argmax(-1), target)
    same = (x == encode(STORY, STORY_WORDS)).all(-1).float()
    same = same[:, [word != "Oliver" for word in STORY]]
    # Noise draws the word itself in one case of 19 or so.
    assert same.mean() == pytest.approx(1 - 0.3 * (1 - 1 / (len(STORY_WORDS) - 4)), abs=0.02)


def test_bars() -> None:
    x, target = bars(4000, size=3)
    assert x.shape == (4000, 9)
    picture = x.view(4000, 3, 3)
    # In a row the lit pixels share a row: row sums spread by 3, column sums by 1.
    rows, columns = (picture.sum(dim).var(1) for dim in (2, 1))
    assert rows[target == 0].mean() > 2 * columns[target == 0].mean()
    assert columns[target == 1].mean() > 2 * rows[target == 1].mean()
    assert x.sum(1).mean() == pytest.approx(3, abs=0.1)


def test_spelling() -> None:
    x, target = spelling()
    assert torch.equal(x, torch.eye(10))
    spelled = ["".join(ALPHABET[i] for i in row).rstrip(".") for row in target.tolist()]
    assert tuple(spelled) == DIGITS


def test_reviews_follow_their_rule() -> None:
    x, target = reviews(500)
    assert_one_hot(x)
    negated = 0
    for row, verdict in zip(x, target.tolist(), strict=True):
        review = words(row, REVIEW_WORDS)
        (at,) = (i for i, word in enumerate(review) if word in ("good", "bad"))
        negated += "not" in review
        assert review.count("not") <= 1
        assert verdict == (review[at] == "good") ^ ("not" in review[:at])
    assert negated / 500 == pytest.approx(0.75, abs=0.06)
    assert target.float().mean().item() == pytest.approx(0.5, abs=0.07)


def test_reversal() -> None:
    x, target = reversal(100, L=4, symbols=3)
    assert x.shape == (100, 4, 3)
    assert_one_hot(x)
    assert torch.equal(x.argmax(-1), target.flip(1))


@pytest.mark.parametrize("L", [1, 8, 62])
def test_addition(L: int) -> None:
    x, target = addition(50, L)
    assert x.shape == (50, L, 2)
    for (a, b), total in zip(x.transpose(1, 2).tolist(), target.tolist(), strict=True):
        value = [sum(int(bit) << i for i, bit in enumerate(bits)) for bits in (a, b, total)]
        assert value[0] + value[1] == value[2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: recall(0, 1), "N should be at least 1, got 0"),
        (lambda: recall(1, -1), "gap should be at least 0, got -1"),
        (lambda: recall(1, 1, 0), "symbols should be at least 1, got 0"),
        (lambda: pet_stories(0), "N should be at least 1, got 0"),
        (lambda: bars(1, size=1), "size should be at least 2, got 1"),
        (lambda: reviews(1, L=1), "L should be at least 2, got 1"),
        (lambda: reversal(1, L=0), "L should be at least 1, got 0"),
        (lambda: addition(1, L=0), "L should be at least 1, got 0"),
        (lambda: addition(1, L=63), "L should be at most 62, got 63"),
        (lambda: train(nn.Identity(), spelling, steps=0), "steps should be at least 1, got 0"),
        (lambda: train(nn.Identity(), spelling, 1, reports=-1), "reports should be at least 0"),
    ],
)
def test_a_bad_argument_is_named(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("reports", [0, 1, 3, 7])
def test_train_prints_as_often_as_asked(reports: int, capsys: pytest.CaptureFixture[str]) -> None:
    train(nn.Linear(25, 2), lambda: bars(4), steps=7, reports=reports)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == reports
    assert not lines or lines[-1].startswith("step   7: loss ")


def test_train_learns() -> None:
    x, target = spelling()
    model = nn.Sequential(nn.Linear(10, 5 * len(ALPHABET)), nn.Unflatten(1, (5, len(ALPHABET))))
    before = accuracy(model, x, target)
    train(model, spelling, steps=150, reports=0)
    assert before < 0.5
    assert accuracy(model, x, target) == 1


def test_train_clips_the_gradient() -> None:
    model = nn.Linear(25, 2)
    train(model, lambda: (1e4 * torch.ones(1, 25), torch.tensor([0])), steps=1, reports=0)
    norms = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None])
    assert norms.norm() <= 1.001


def test_fit_gives_the_loss_before_each_update() -> None:
    x, target = torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0]])
    model = nn.Linear(2, 1)
    before = F.mse_loss(model(x), target).item()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = fit(model, lambda: (x, target), 3, loss=F.mse_loss, optimiser=sgd)
    assert losses[0] == before > losses[1] > losses[2] > F.mse_loss(model(x), target).item()


def test_fit_is_train_with_its_losses() -> None:
    one, other = nn.Linear(25, 2), nn.Linear(25, 2)
    other.load_state_dict(one.state_dict())
    torch.manual_seed(1)
    train(one, lambda: bars(4), steps=7, reports=0)
    torch.manual_seed(1)
    assert len(fit(other, lambda: bars(4), steps=7)) == 7
    assert torch.equal(one.weight, other.weight)


def test_accuracy_counts_every_answer() -> None:
    logits = torch.eye(3).expand(2, 3, 3)
    target = torch.tensor([[0, 1, 2], [0, 2, 1]])
    assert accuracy(nn.Identity(), logits, target) == pytest.approx(4 / 6)


def test_the_first_sign_of_a_corridor_is_the_right_way() -> None:
    maze, N, longest = TMaze(40, longest=4), 40, 4
    corridors: list[list[int]] = [[] for _ in range(N)]
    lengths, paid = set(), set()
    for _ in range(60):
        seen, actions = maze.seen, torch.randint(2, (N,))
        assert seen.shape == (N, 3)
        assert_one_hot(seen)
        reward, done = maze.step(actions)
        assert reward.shape == done.shape == (N,)
        for n, sign in enumerate(seen.argmax(-1).tolist()):
            assert done[n] == (sign == 2)
            if sign == 2:
                first = corridors[n][0]  # an IndexError: an episode began with a junction
                assert reward[n] == (1 if actions[n] == first else -1)
                lengths.add(len(corridors[n]))
                paid.add((first, reward[n].item(), corridors[n][-1]))
                corridors[n] = []
            else:
                assert reward[n] == 0
                corridors[n].append(sign)
    assert lengths == set(range(1, longest + 1))
    assert len(paid) == 2 * 2 * 2  # the last sign says nothing


def test_a_maze_is_repeatable() -> None:
    walks = []
    for _ in range(2):
        torch.manual_seed(1)
        maze, seen = TMaze(5), []
        for _ in range(9):
            seen.append(maze.seen)
            maze.step(torch.zeros(5))
        walks.append(torch.stack(seen))
    assert torch.equal(*walks)


def test_a_maze_refuses_sizes_and_actions() -> None:
    for keywords in ({"N": 0}, {"N": 1, "longest": 0}):
        name = list(keywords)[-1]
        with pytest.raises(ValueError, match=f"{name} should be at least 1, got 0"):
            TMaze(**keywords)
    maze = TMaze(3)
    before = maze.seen
    with pytest.raises(ValueError, match=r"actions should have shape \(3,\), got \(1, 3\)"):
        maze.step(torch.zeros(1, 3, dtype=torch.long))
    assert maze.seen is before

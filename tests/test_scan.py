import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from unrolled import Order, scan
from unrolled.bptt import last_state


def step(x: str, state: str) -> str:
    """Show which input met which state."""
    return f"({state}{x})"


def test_state_is_carried() -> None:
    states, last = scan(step, "abc", "s")
    assert states == ["(sa)", "((sa)b)", "(((sa)b)c)"]
    assert last == "(((sa)b)c)"


def test_reverse_runs_from_the_end_and_keeps_the_order_of_time() -> None:
    states, last = scan(step, iter("abc"), "s", Order(reverse=True))
    assert states == ["(((sc)b)a)", "((sc)b)", "(sc)"]
    assert last == "(((sc)b)a)"


@pytest.mark.parametrize("reverse", [False, True])
def test_no_inputs_leave_the_state(reverse: bool) -> None:
    assert scan(step, "", "s", Order(reverse)) == ([], "s")


def test_arrays_are_walked_along_their_first_dimension() -> None:
    inputs = np.arange(30.0).reshape(5, 3, 2)
    states, last = scan(np.add, inputs, np.ones((3, 2)))
    np.testing.assert_array_equal(np.stack(states), 1 + inputs.cumsum(0))
    np.testing.assert_array_equal(last, states[-1])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "lengths", [(5,), (5, 5, 5), (5, 3, 2), (4, 4, 1), (6, 1), (3, 2, 2, 1)], ids=str
)
def test_each_packed_sequence_is_scanned_alone(lengths: tuple[int, ...], reverse: bool) -> None:
    torch.manual_seed(0)
    # Integers in float64, so that the sums are exact; the factor tells one order from another.
    sequences = [torch.randint(-9, 9, (length, 2)).double() for length in lengths]
    state = tuple(torch.randint(-9, 9, (len(lengths), width)).double() for width in (2, 1))

    def weigh(x: torch.Tensor, state: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        h, c = state
        return 2 * h + x, 3 * c + x.sum(-1, keepdim=True)  # two parts, which differ in width

    packed = pack_sequence(sequences)
    batch_sizes = packed.batch_sizes.tolist()
    states, last = scan(weigh, packed.data, state, Order(reverse, batch_sizes))
    for part in range(2):
        assert [len(rows[part]) for rows in states] == batch_sizes
        for number, sequence in enumerate(sequences):
            alone = tuple(initial[number] for initial in state)
            expected, expected_last = scan(weigh, sequence, alone, Order(reverse))
            actual = [rows[part][number] for rows in states if len(rows[part]) > number]
            assert torch.equal(torch.stack(actual), torch.stack([s[part] for s in expected]))
            assert torch.equal(last[part][number], expected_last[part])


def test_step_sees_only_sequences_that_are_there() -> None:
    seen = []

    def note(x: torch.Tensor, state: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        seen.append((len(x), len(state[0])))
        return (x,)

    data = torch.zeros(6, 1)
    initial: tuple[torch.Tensor, ...] = (torch.zeros(3, 1),)
    scan(note, data, initial, Order(sizes=[3, 2, 1]))
    scan(note, data, initial, Order(reverse=True, sizes=[3, 2, 1]))
    assert seen == [(3, 3), (2, 2), (1, 1), (1, 1), (2, 2), (3, 3)]


def test_each_step_gets_the_parameters() -> None:
    assert scan(lambda x, s, a, b: a * s + b * x, [1, 2, 3], 10, parameters=(2, 5))[1] == 135


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [(4, 4, 1), (5, 5), (3, 2, 2, 1)], ids=str)
def test_a_packed_state_may_be_one_tensor(lengths: tuple[int, ...], reverse: bool) -> None:
    torch.manual_seed(0)
    packed = pack_sequence([torch.randint(-9, 9, (length, 2)).double() for length in lengths])
    initial = torch.randint(-9, 9, (len(lengths), 2)).double()
    order = Order(reverse, packed.batch_sizes.tolist())
    states, last = scan(lambda x, h: 2 * h + x, packed.data, initial, order)
    pairs, (end,) = scan(lambda x, s: (2 * s[0] + x,), packed.data, (initial,), order)
    assert torch.equal(last, end)
    assert torch.equal(order.join(states), order.join([h for (h,) in pairs]))
    assert torch.equal(last_state(order, order.join(states)), last)

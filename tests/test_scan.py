from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

import unrolled._exported
from unrolled import Order, _scan, scan
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


REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "growing": ({"order": Order(sizes=[1, 2, 3])}, RuntimeError, r"order.sizes .* never increase"),
    "zero": ({"order": Order(sizes=[3, 3, 0])}, RuntimeError, r"positive .*, got \[3, 3, 0\]"),
    "negative": ({"order": Order(sizes=[7, -1])}, RuntimeError, r"positive .*, got \[7, -1\]"),
    "too few": ({"order": Order(sizes=[3, 2])}, RuntimeError, r"sum to the 6 rows .* \[3, 2\]"),
    "too many": ({"order": Order(sizes=[3, 2, 2])}, RuntimeError, "sum to the 6 rows of data"),
    "none": ({"order": Order(sizes=[])}, IndexError, "order.sizes .* at least one time step"),
    "halves": ({"order": Order(sizes=[3.0, 3.0])}, TypeError, "order.sizes .* of integers, got"),  # type: ignore[list-item] # the mistake
    "number": ({"order": Order(sizes=6)}, TypeError, "order.sizes .* of integers, got 6"),  # type: ignore[arg-type] # the same
    "array": ({"inputs": np.zeros((6, 2))}, TypeError, "order.sizes should be None .* ndarray"),
    "few states": ({"state": torch.zeros(2, 2)}, RuntimeError, r"state .* of 3 rows, got \(2, 2\)"),
    "many states": ({"state": torch.zeros(4, 2)}, RuntimeError, r"3 rows, got \(4, 2\)"),
    "one state of two": (
        {"state": (torch.zeros(3, 2), torch.zeros(1, 2))}, RuntimeError, r"3 rows, got \(1, 2\)"
    ),
    "no tensor": ({"state": 0}, RuntimeError, "state should be a Tensor of 3 rows, got int"),
    "no state": ({"state": ()}, RuntimeError, "state should be a Tensor of 3 rows, got tuple"),
    "step": ({"step": 3}, TypeError, "step should be Callable, got int"),
    "order": ({"order": (True, None)}, TypeError, "order should be Order, got tuple"),
    "inputs": ({"inputs": 3}, TypeError, "inputs should be Iterable, got int"),
    "inputs 0D": ({"inputs": torch.zeros(())}, TypeError, "inputs should be Iterable, got Tensor"),
    "parameters": ({"parameters": None}, TypeError, "parameters should be Iterable, got NoneType"),
}  # fmt: skip # a table


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("reverse", [False, True])
def test_refused(case: str, reverse: bool) -> None:
    change, error, message = REFUSED[case]
    arguments: dict[str, Any] = {
        "step": lambda x, h: h,
        "inputs": torch.zeros(6, 2),
        "state": torch.zeros(3, 2),
        "order": Order(sizes=[3, 2, 1]),
        "parameters": (),
    }
    scan(**arguments)
    arguments |= change
    if isinstance(arguments["order"], Order):
        arguments["order"] = arguments["order"]._replace(reverse=reverse)
    with pytest.raises(error, match=message):
        scan(**arguments)


def test_sizes_may_be_those_of_a_packed_sequence() -> None:
    packed = pack_sequence([torch.ones(3, 1), torch.ones(1, 1)])
    order = Order(sizes=packed.batch_sizes)  # type: ignore[arg-type] # a Tensor of integers
    _, last = scan(lambda x, h: h + x, packed.data, torch.zeros(2, 1), order)
    assert last.tolist() == [[3.0], [1.0]]


def test_an_input_may_be_one_number() -> None:
    states, last = scan(lambda x, state: state + x, np.arange(4.0), 10.0)
    assert (states, last) == ([10, 11, 13, 16], 16)


def test_steps_of_a_tensor_are_one_operation() -> None:
    x: Any = torch.randn(5, 3, 10, requires_grad=True)
    assert Order().steps(x)[1].grad_fn.name() == "UnbindBackward0"
    grad_fns = []

    def see(inputs: Any, state: Any) -> Any:
        grad_fns.append([part.grad_fn.name() for part in inputs])
        return state

    _scan.scan_joined(see, (x, 2 * x), torch.zeros(3, 1), Order(), ())
    assert grad_fns == [["UnbindBackward0"] * 2] * 5


def test_parts_that_differ_are_refused() -> None:
    """None of them is silently left out."""
    with pytest.raises(ValueError, match="zip"):
        _scan.each(max, (1, 20), (2, 10, 3))
    parts = torch.zeros(5, 3, 10), torch.zeros(4, 3, 10)
    with pytest.raises(ValueError, match="zip"):
        _scan.scan_joined(lambda x, state: state, parts, torch.zeros(3, 1), Order(), ())


def test_an_exported_loop_is_given_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the operator then does is tested in `test_export`."""
    given: list[Any] = []
    monkeypatch.setattr(_scan, "is_exporting", lambda: True)
    monkeypatch.setattr(unrolled._exported, "exported_scan", lambda *all_: given.append(all_))
    _scan.scan_joined(step, "abc", "s", Order(reverse=True), ["p"])
    assert given == [(step, "abc", "s", True, ["p"])]
    packed = torch.arange(3)
    _, last = _scan.scan_joined(lambda x, h: h + x, packed, torch.zeros(2), Order(sizes=[2, 1]), ())
    assert (last.tolist(), len(given)) == ([2, 1], 1)

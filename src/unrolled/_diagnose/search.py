"""The comparison: run both on the same inputs, and if they differ, ask what explains it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from unrolled._diagnose.attempt import Trials
from unrolled._diagnose.explain import explanations, with_own_parameters
from unrolled._diagnose.mistakes import possible_in
from unrolled._diagnose.narrow import narrowed
from unrolled._diagnose.probe import (
    Case,
    Probe,
    check_deterministic,
    check_reference,
    clues,
    gap_between,
    is_single,
    network_of,
    off,
    reference_in,
    rounding_of_single,
    running,
)
from unrolled._diagnose.recipe import Recipe
from unrolled._diagnose.report import Diagnosis, Explanation

__all__ = ["diagnose"]

_EXACT = 1e-10  # what rounding in float64 leaves, with room


def diagnose(
    candidate: Callable[..., Any],
    reference: nn.RNNBase | nn.RNNCellBase,
    *,
    cell: bool = False,
    L: int | None = None,
    N: int | None = None,
    seed: int = 0,
) -> Diagnosis:
    """Say which mistake explains why a network differs from PyTorch's, and where it is made.

    Parameters
    ----------
    candidate : callable
        A function or a module that uses the parameters of `reference`, or copies of them. If
        `reference` is ``torch.nn.RNN``, ``GRU`` or ``LSTM``, one of

        - ``candidate(x, hx) -> (output, h_n)``, as the reference is called; in an LSTM `hx` and
          `h_n` are tuples ``(h_0, c_0)`` and ``(h_n, c_n)``;
        - ``candidate(x, hx) -> output``;
        - ``candidate(x)`` with either result, which starts from zeros. A function that can be
          called with two arguments is called with two.

        `x` has the layout of the reference, ``(L, N, H_in)`` or with ``batch_first``
        ``(N, L, H_in)``. If `reference` is a cell, or with `cell`,
        ``candidate(x_t, state) -> state``, where `x_t` is ``(N, H_in)`` and a state ``(N, H_out)``,
        in an LSTM a tuple of two.
    reference : torch.nn.RNNBase or torch.nn.RNNCellBase
        What the candidate should equal: a module or a cell of ``torch.nn`` or of `unrolled`, with
        any layers and directions, of float32 or float64. It is copied, and evaluated without
        dropout.
    cell : bool, default False
        Whether the candidate is a cell although the reference is a module; this has one layer and
        one direction then.
    L, N : int, optional
        Time steps and sequences, at least 2 of each. By default different from each other and from
        the other sizes, so that a confusion of dimensions does not go unnoticed.
    seed : int, default 0
        Of the inputs. The global generator is left alone.

    Returns
    -------
    Diagnosis
        What was compared, the verdict and the evidence.

    Raises
    ------
    TypeError
        If `candidate` is not callable or takes other arguments, or returns something else;
        if `reference` is not a recurrent module or cell; if `L`, `N` or `seed` is no integer.
    ValueError
        If `reference` has another dtype, or a step of its own; if two calls of `candidate` with the
        same input differ; if `cell` does not fit `reference`; if `L` or `N` is less than 2.
    RuntimeError
        If `candidate` raises an error, with that error as its cause, or returns another shape.

    Notes
    -----
    The candidate runs in float64 if it can: as a rule a module can, because a copy of it is
    converted, and a function that uses float32 parameters cannot. It is called with states that are
    not zero and with zeros; one of the sequences has large numbers, so that activations saturate.
    A difference that nothing explains takes some seconds, in a deep network up to half a minute.
    If it fails with ``N`` and ``L`` different from each other, it is tried with equal ones.

    Examples
    --------
    >>> gru = nn.GRUCell(10, 20)
    >>> W_ih, W_hh, b_ih, b_hh = gru.parameters()
    >>> def cell(x, h):
    ...     r_x, z_x, n_x = (x @ W_ih.T + b_ih).chunk(3, dim=1)
    ...     r_h, z_h, n_h = (h @ W_hh.T + b_hh).chunk(3, dim=1)
    ...     r, z = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
    ...     return (1 - z) * h + z * torch.tanh(n_x + r * n_h)
    >>> diagnose(cell, gru).names
    ('z and 1 - z exchanged',)
    """
    if not callable(candidate):
        raise TypeError(f"candidate should be callable, got {type(candidate).__name__}")
    check_reference(reference, cell)
    for name, size in (("L", L), ("N", N), ("seed", seed)):
        if size is not None and (not isinstance(size, int) or isinstance(size, bool)):
            raise TypeError(f"{name} should be an integer, got {type(size).__name__}")
        if name != "seed" and size is not None and size < 2:
            raise ValueError(f"{name} should be at least 2, got {size}")
    network = network_of(reference, candidate, cell, L, N)
    run, network, dtype, notes = running(candidate, reference, network, seed)

    truth = reference_in(reference, torch.float64, network)
    cases = []
    for fresh in (False, True):
        for zero in (False, True) if network.takes_state else (True,):
            probe = Probe.draw(network, seed + fresh, zero)
            measured = run(probe)
            right = truth(probe)
            cases.append(Case(probe, measured, {name: right[name] for name in measured}, fresh))
    search = cases[0]
    for case in cases:
        if case.measured.keys() != search.measured.keys():
            raise TypeError(
                "candidate should return the same results at each call, got "
                f"{', '.join(search.measured)} and then {', '.join(case.measured)}"
            )
    network = replace(network, compared=tuple(search.measured))
    check_deterministic(run(search.probe), search.measured)
    if any(off(network.run(Recipe(), *case.probe), case.expected) > 1e-9 for case in cases):
        raise ValueError(f"reference should compute what torch.nn does, got {reference}")

    in_single = all(is_single(values) for case in cases for values in case.measured.values())
    if in_single and dtype == torch.float64:
        notes.append("All numbers that came back are float32, though float64 was given.")
    rounding = rounding_of_single(reference, network, cases)
    allowed = rounding if in_single else _EXACT
    worst = max(off(case.measured, case.expected) for case in cases)
    diagnosis = Diagnosis(
        verdict="unexplained",
        candidate=getattr(candidate, "__qualname__", type(candidate).__name__),
        reference=str(reference),
        compared=network.compared,
        sizes=network.sizes,
        dtype=dtype,
        difference=max(gap_between(case.measured, case.expected) for case in cases if case.fresh),
        allowed=allowed,
        notes=tuple(notes),
    )
    if worst <= rounding:
        known = possible_in(network)
        changed = [network.run(one.apply(Recipe()), *search.probe) for one in known]
        exact = worst <= allowed and not (in_single and dtype == torch.float64)
        return replace(
            diagnosis,
            verdict="equal" if exact else "rounding",
            invisible=tuple(
                one.name
                for one, results in zip(known, changed, strict=True)
                if off(results, search.expected) <= max(allowed, worst)
            ),
        )
    # Of a difference near that of rounding, nearly all must be explained.
    limit = min(rounding, worst / 50)
    trials = Trials(with_own_parameters(network, candidate, reference, cases, limit), cases, limit)
    found = explanations(trials, allowed, worst)
    return replace(
        diagnosis,
        verdict="explained" if found else "unexplained",
        explanations=tuple(
            Explanation(one.mistakes, diagnosis.difference, one.remaining) for one in found
        ),
        clues=(
            *clues(network, cases, rounding),
            *(() if found else narrowed(trials, run, truth)),
        ),
    )

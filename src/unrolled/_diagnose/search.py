"""The comparison: run both on the same inputs and, if they differ, search for an explanation."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from unrolled._diagnose.attempt import Trials
from unrolled._diagnose.explain import explanations, with_own_parameters
from unrolled._diagnose.gradients import compare_gradients
from unrolled._diagnose.mapping import Parameters, check_parameters
from unrolled._diagnose.mistakes import possible_in
from unrolled._diagnose.narrow import narrowed
from unrolled._diagnose.probe import (
    Case,
    Probe,
    check_deterministic,
    clues,
    gap_between,
    is_single,
    network_of,
    off,
    out_of_range,
    reference_in,
    rounding_of_single,
    running,
)
from unrolled._diagnose.recipe import Recipe
from unrolled._diagnose.reference import check_reference, named_weights
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
    parameters: Parameters | None = None,
    gradients: bool = False,
) -> Diagnosis:
    """Find the mistake that makes a network differ from PyTorch's, and where it is made.

    Parameters
    ----------
    candidate : callable
        A function or a module that uses the parameters of `reference`, or copies of them. If
        `reference` is ``torch.nn.RNN``, ``GRU`` or ``LSTM``, one of

        - ``candidate(x, hx) -> (output, h_n)``, called like the reference; in an LSTM `hx` and
          `h_n` are tuples ``(h_0, c_0)`` and ``(h_n, c_n)``;
        - ``candidate(x, hx) -> output``;
        - ``candidate(x)`` with either result, starting from zeros. A function that accepts two
          arguments is called with two, unless the second has a default and is not named like a
          state.

        `x` has the layout of the reference: ``(L, N, H_in)``, or ``(N, L, H_in)`` with
        ``batch_first``. If `reference` is a cell or `cell` is true, the form is
        ``candidate(x_t, state) -> state``, where `x_t` is ``(N, H_in)`` and a state ``(N, H_out)``,
        in an LSTM a tuple of two. Other common forms are understood too; see the notes.
    reference : torch.nn.RNNBase or torch.nn.RNNCellBase
        What the candidate should equal: a module or a cell of ``torch.nn`` or of `unrolled`, with
        any number of layers and directions, in float32 or float64. It is copied, and evaluated
        without dropout.
    cell : bool, default False
        Whether the candidate is a cell although the reference is a module. The module must then
        have one layer and one direction.
    L, N : int, optional
        Time steps and sequences, at least 2 of each. By default they differ from each other and
        from the other sizes, so that mixed-up dimensions are noticed.
    seed : int, default 0
        Seed of the inputs. The global generator is not touched.
    parameters : mapping or callable, optional
        For a module with separate parameters, how their names correspond to those of the reference.
        A copy of the module gets the reference's values before it runs. Either a mapping from each
        name in the reference to one in the candidate or, if several parameters become one, a
        function that takes a dict of the reference's tensors and returns a dict of the candidate's.
    gradients : bool, default False
        Whether to compare the gradients of the input, the states and the parameters as well, if the
        results are equal.

    Returns
    -------
    Diagnosis
        What was compared, the verdict and the evidence.

    Raises
    ------
    TypeError
        If `candidate` is not callable, is a class, takes other arguments or returns something else,
        including numbers that are not float32, float64 or complex; if `reference` is not a
        recurrent module or cell; if `L`, `N` or `seed` is not an integer; if `parameters` is given
        but `candidate` is not a module; or if `gradients` is true for a candidate in NumPy.
    ValueError
        If `reference` has a different dtype, has a custom step or lacks a parameter; if two calls
        of `candidate` with the same input differ; if `cell` does not fit `reference`; if `L` or `N`
        is less than 2; or if `parameters` leaves out a name, or names a parameter that does not
        exist or has a different shape.
    RuntimeError
        If `candidate` raises an error, which is then the cause, or returns a wrong shape; or if
        `reference` raises an error.

    Notes
    -----
    Arguments are recognised by their names, such as ``initial_state``, ``h_prev`` or ``carry``: the
    state may come first, be a keyword argument or, in an LSTM, come as two arguments. It may lack
    the first dimension if that is 1. A candidate that does not run on a batch gets one sequence at
    a time; one that does not run on tensors gets NumPy arrays.
    Results may be arrays, ``(output, h, c)``, ``(h_n, output)``, `h_n` alone, a list of time steps
    instead of `output` and of layers instead of a state, or something with names: a dict, a named
    tuple, an object with attributes. The report says what was not compared and, unless the
    candidate has the first form above, how it was called and how its results were read.

    Changes that the candidate makes to the reference are named in the report and undone after each
    call.

    The candidate runs in float64 if it can. A module usually can, because a copy of it is
    converted; a function that uses float32 parameters cannot. The candidate is called with states
    that are not zero and with zeros; one of the sequences has large numbers, so that activations
    saturate. If nothing explains a difference, the search takes some seconds, and up to half a
    minute for a deep network. If the candidate fails when ``N`` and ``L`` differ, it is tried with
    equal sizes. If it is right, it also runs on larger numbers, up to some thousands in the input
    and in the states, so that a ``clamp`` does not pass as equal; the report says how large they
    were.

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
    if isinstance(candidate, type):
        raise TypeError(
            f"candidate should be a function or a module, got the class {candidate.__name__}; give "
            f"an instance, {candidate.__name__}(...)"
        )
    check_reference(reference, cell)
    check_parameters(parameters, candidate, named_weights(reference))
    for name, size in (("L", L), ("N", N), ("seed", seed)):
        if size is not None and (not isinstance(size, int) or isinstance(size, bool)):
            raise TypeError(f"{name} should be an integer, got {type(size).__name__}")
        if name != "seed" and size is not None and size < 2:
            raise ValueError(f"{name} should be at least 2, got {size}")
    network = network_of(reference, cell, L, N, seed)
    run, network, dtype, notes = running(candidate, reference, network, seed, parameters)

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
    for case in cases:
        check_deterministic(run(case.probe), case.measured)

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
    asked = ("Gradients were not compared, since the results differ.",) * bool(gradients)
    if worst <= rounding:
        single = in_single or worst > _EXACT
        gap, beyond, tried = out_of_range(run, reference, seed, single)
        if beyond:
            return replace(diagnosis, difference=gap, clues=(beyond, *asked), notes=tuple(notes))
        alike = True
        compared: tuple[str, ...] = ()
        if gradients:
            alike, compared = compare_gradients(run, reference, cases[-2:], parameters, single)
        known = possible_in(network)
        changed = [network.run(one.apply(Recipe()), *search.probe) for one in known]
        exact = worst <= allowed and not (in_single and dtype == torch.float64)
        verdict = "equal" if exact else "rounding"
        return replace(
            diagnosis,
            verdict=verdict if alike else "gradients",
            gradients=compared,
            notes=(*notes, tried),
            invisible=tuple(
                one.name
                for one, results in zip(known, changed, strict=True)
                if off(results, search.expected) <= max(allowed, worst)
            ),
        )
    # Of a difference near that of rounding, nearly all must be explained.
    limit = min(rounding, worst / 50)
    if parameters is None:
        network = with_own_parameters(network, candidate, reference, cases, limit)
    trials = Trials(network, cases, limit)
    found = explanations(trials, allowed, worst)
    return replace(
        diagnosis,
        verdict="explained" if found else "unexplained",
        explanations=tuple(
            Explanation(one.mistakes, diagnosis.difference, one.remaining) for one in found
        ),
        clues=(
            *clues(network, cases, rounding),
            *(() if found else narrowed(trials, run, truth, reference)),
            *asked,
        ),
    )

"""The findings, and the report about them."""

import textwrap
from dataclasses import dataclass

import torch

from unrolled._diagnose.mistakes import Mistake

__all__ = ["Diagnosis", "Explanation"]

_READ_ON = '"Where is my mistake?" in the documentation says where each is explained.'


@dataclass(frozen=True, slots=True)
class Explanation:
    """Mistakes that reproduce the numbers of the candidate.

    Attributes
    ----------
    mistakes : tuple of Mistake
        One, or several that are needed together. They may be known mistakes from
        `unrolled.MISTAKES` or other values of single choices of the recipe, and each may be limited
        to one layer, direction or gate.
    difference : float
        Largest difference between candidate and reference, on inputs not used in the search.
    remaining : float
        Largest difference between the candidate and the reference with these mistakes, on the
        same inputs.

    Examples
    --------
    >>> from unrolled import MISTAKES
    >>> str(Explanation(MISTAKES[:1], 0.5, 1e-16)).splitlines()[0]
    'weight_hh not transposed'
    """

    mistakes: tuple[Mistake, ...]
    difference: float
    remaining: float

    @property
    def name(self) -> str:
        """Name the mistakes.

        Returns
        -------
        str
            Their names, joined by ``" + "``.
        """
        return " + ".join(mistake.name for mistake in self.mistakes)

    def __str__(self) -> str:
        """State the explanation and the evidence for it."""
        lines = [self.name]
        for mistake in self.mistakes:
            lines += textwrap.wrap(mistake.says, 74, initial_indent="  ", subsequent_indent="  ")
        lines += [
            f"  off from the reference by up to                     {self.difference:.2g}",
            f"  off from the reference with this change by up to    {self.remaining:.2g}",
        ]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of `diagnose`; ``print`` shows it as a report.

    Attributes
    ----------
    verdict : {"equal", "rounding", "gradients", "explained", "unexplained"}
        In this order: equal up to rounding in the dtype; equal up to rounding in float32, which the
        candidate uses somewhere; equal results but different gradients; different, with an
        explanation; or different without one.
    candidate, reference : str
        What was compared.
    compared : tuple of str
        The results that were compared, such as ``"output"`` and ``"h_n"``.
    sizes : dict of str to int
        ``L`` (not for a cell), ``N``, ``H_in`` and ``H_out``.
    dtype : torch.dtype
        The dtype in which the candidate ran.
    difference : float
        Largest difference between candidate and reference, on inputs not used in the search.
    allowed : float
        The largest difference at which two results count as equal; it is relative to the largest
        number if that is more than 1.
    explanations : tuple of Explanation
        What explains the difference: known mistakes or, failing that, other changes of the recipe;
        single ones or, failing that, several together. TF32 is never part of several.
    clues : tuple of str
        Where the results differ, and where they do not. If nothing explains the difference, also
        how the candidate responds to inputs designed to locate it.
    invisible : tuple of str
        Known mistakes that the comparison could not detect, because they change nothing with these
        parameters.
    gradients : tuple of str
        Which gradients are equal, which are not, and which were not compared; empty if none were.
    notes : tuple of str
        Other remarks.

    Examples
    --------
    >>> import unrolled
    >>> rnn = torch.nn.RNN(10, 20)
    >>> diagnosis = unrolled.diagnose(lambda x: rnn(x)[0].flip(0), rnn)
    >>> diagnosis.verdict, diagnosis.names
    ('explained', ('output in reverse order',))
    """

    verdict: str
    candidate: str
    reference: str
    compared: tuple[str, ...]
    sizes: dict[str, int]
    dtype: torch.dtype
    difference: float
    allowed: float
    explanations: tuple[Explanation, ...] = ()
    clues: tuple[str, ...] = ()
    invisible: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    gradients: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """List the names of the explanations.

        Returns
        -------
        tuple of str
            One name for each explanation.
        """
        return tuple(explanation.name for explanation in self.explanations)

    def __str__(self) -> str:
        """Write the report."""
        sizes = ", ".join(f"{name}={size}" for name, size in self.sizes.items())
        dtype = str(self.dtype).removeprefix("torch.")
        lines = [
            f"candidate  {self.candidate}",
            f"reference  {self.reference}",
            f"compared   {', '.join(self.compared)} in {dtype}, {sizes}",
            f"verdict    {self._sentence()}",
        ]
        if not self.gradients:
            lines.insert(3, "           not compared: gradients")
        for explanation in self.explanations:
            lines += ["", str(explanation)]
        several = ", ".join(self.invisible)
        hidden = [f"With these parameters nothing would show of: {several}."] * bool(several)
        for title, entries in (
            ("gradients", self.gradients),
            ("clues", self.clues),
            ("notes", (*self.notes, *hidden)),
        ):
            if entries:
                lines += ["", title]
            for entry in entries:
                lines += textwrap.wrap(
                    entry, 74, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False
                )
        if self.explanations:
            lines += ["", _READ_ON]
        return "\n".join(lines)

    def _sentence(self) -> str:
        if self.verdict == "equal":
            return f"equal, up to {self.difference:.2g}"
        if self.verdict == "rounding":
            return f"equal up to the rounding of float32: off by up to {self.difference:.2g}"
        if self.verdict == "gradients":
            return f"equal results, up to {self.difference:.2g}; the gradients differ"
        if self.verdict == "unexplained":
            return f"off by up to {self.difference:.2g}; nothing that was tried explains it"
        count = len(self.explanations)
        needed = len(self.explanations[0].mistakes)
        what = f"{('one', 'two', 'three', 'four', 'five')[needed - 1]} mistake{'s' * (needed > 1)}"
        return f"explained by {what}" + (f", and {count - 1} more explain it" * (count > 1))

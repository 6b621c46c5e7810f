"""Where is my mistake? Compare a hand-written network with PyTorch's, and name what explains it.

A *mistake* is a change of a `Recipe`, which describes one forward pass; the default recipe is
PyTorch's. `diagnose` runs the candidate and the reference, and if they differ, runs the recipe
with each known mistake, then with other values of each of its choices, everywhere and in single
layers, directions and gates, then with several. A mistake is named only where the changed recipe
gives the numbers of the candidate, on inputs with which it was not found as well; if none does, the
report says where the difference begins.
"""

from unrolled._diagnose.mistakes import MISTAKES, Mistake
from unrolled._diagnose.recipe import Recipe
from unrolled._diagnose.report import Diagnosis, Explanation
from unrolled._diagnose.search import diagnose

__all__ = ["MISTAKES", "Diagnosis", "Explanation", "Mistake", "Recipe", "diagnose"]

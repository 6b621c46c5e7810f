"""Where is my mistake? Compare a hand-written network with PyTorch's, and name what differs.

A `Recipe` describes one forward pass, by default PyTorch's; a *mistake* is a change to it.
`diagnose` runs the candidate and the reference. If they differ, it runs the recipe with each known
mistake, then with other values of each choice, everywhere and in single layers, directions and
gates, and finally with several changes together. A mistake is named only if the changed recipe
reproduces the candidate's numbers, also on inputs that were not used in the search. If no mistake
does, the report says where the difference begins.
"""

from unrolled._diagnose.mistakes import MISTAKES, Mistake
from unrolled._diagnose.recipe import Recipe
from unrolled._diagnose.report import Diagnosis, Explanation
from unrolled._diagnose.search import diagnose

__all__ = ["MISTAKES", "Diagnosis", "Explanation", "Mistake", "Recipe", "diagnose"]

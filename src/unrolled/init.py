"""PyTorch's initial parameters, drawn with NumPy alone and bitwise identical.

``torch.nn.RNNBase.reset_parameters`` fills the parameters, in registration order, with samples from
the uniform distribution on ``[-bound, bound)``, where ``bound = 1 / sqrt(hidden_size)``. On a CPU
the random numbers come from the Mersenne Twister that ``torch.manual_seed`` seeds; NumPy has the
same generator.
"""

import numpy as np
from numpy.typing import NDArray

from unrolled.shapes import as_integer, parameter_shapes, uniform_bound

__all__ = ["uniform_parameters"]

_MANTISSA_BITS = 24  # the precision of a float32; PyTorch keeps that many bits of each draw


def uniform_parameters(
    mode: str,
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    bias: bool = True,
    bidirectional: bool = False,
    proj_size: int = 0,
    *,
    seed: int,
) -> dict[str, NDArray[np.float32]]:
    """Draw the parameters that a module has when it is built after ``torch.manual_seed(seed)``.

    Parameters
    ----------
    mode, input_size, hidden_size, num_layers, bias, bidirectional, proj_size
        As in `unrolled.shapes.parameter_shapes`.
    seed : int
        The argument of ``torch.manual_seed``, from ``-2**63`` to ``2**64 - 1``. The generator
        uses only its lowest 32 bits.

    Returns
    -------
    dict of str to ndarray of float32
        Parameters by name, in registration order, bitwise identical to PyTorch's.

    Raises
    ------
    TypeError, ValueError
        For arguments that ``torch.nn`` refuses; see `unrolled.shapes.check_arguments`. Also if
        `seed` is not an integer (``TypeError``) or is out of range (``ValueError``, as in
        ``torch.manual_seed``).

    Notes
    -----
    Each element uses one 32-bit draw, of which only the low 24 bits count:
    ``u = (draw mod 2**24) / 2**24``. Then ``u * 2 * bound - bound`` is computed in double precision
    and rounded once to float32; ``bound`` itself is rounded to float32 first. This rule was found
    by experiment against PyTorch's CPU generator and is tested for all modes. Other devices and
    dtypes draw differently.

    The generator is described in M. Matsumoto and T. Nishimura, "Mersenne Twister: a
    623-dimensionally equidistributed uniform pseudo-random number generator" (1998).

    Examples
    --------
    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> theirs = torch.nn.RNN(10, 20).weight_hh_l0.detach().numpy()
    >>> bool((uniform_parameters("RNN_TANH", 10, 20, seed=0)["weight_hh_l0"] == theirs).all())
    True
    """
    shapes = parameter_shapes(
        mode, input_size, hidden_size, num_layers, bias, bidirectional, proj_size
    )
    seed = as_integer("seed", seed)
    if not -(2**63) <= seed < 2**64:
        raise ValueError(f"seed should be in the range [-2**63, 2**64 - 1], got {seed}")
    generator = np.random.RandomState(seed % 2**32)
    bound = np.float64(np.float32(uniform_bound(hidden_size)))
    return {name: _uniform(generator, shape, bound) for name, shape in shapes.items()}


def _uniform(
    generator: np.random.RandomState, shape: tuple[int, ...], bound: np.float64
) -> NDArray[np.float32]:
    draws = generator.randint(2**32, size=tuple(map(int, shape)), dtype=np.uint32)
    u = (draws % 2**_MANTISSA_BITS) / np.float64(2**_MANTISSA_BITS)  # in [0, 1), exact
    return (u * (2 * bound) - bound).astype(np.float32)

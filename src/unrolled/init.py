"""The draw of the initial parameters, in NumPy alone, to the bit.

``torch.nn.RNNBase.reset_parameters`` fills every parameter, in registration order, from the uniform
distribution on ``[-bound, bound)`` with ``bound = 1 / sqrt(hidden_size)``. On a CPU the numbers
come from the Mersenne Twister that ``torch.manual_seed`` seeds; NumPy has the same generator.
"""

import numpy as np
from numpy.typing import NDArray

from unrolled.shapes import as_integer, parameter_shapes, uniform_bound

__all__ = ["uniform_parameters"]

_MANTISSA_BITS = 24  # what a float32 can hold; PyTorch keeps that many bits of each draw


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
    """Draw the parameters that ``torch.manual_seed(seed)`` and the constructor give.

    Parameters
    ----------
    mode, input_size, hidden_size, num_layers, bias, bidirectional, proj_size
        As in `unrolled.shapes.parameter_shapes`.
    seed : int
        The argument of ``torch.manual_seed``, from ``-2**63`` to ``2**64 - 1``. The generator
        keeps its lowest 32 bits.

    Returns
    -------
    dict of str to ndarray of float32
        Parameters by name, in registration order, equal to PyTorch's bit for bit.

    Raises
    ------
    TypeError, ValueError
        For what ``torch.nn`` refuses, see `unrolled.shapes.check_arguments`; also if `seed` is
        not an integer (``TypeError``) or out of range (``ValueError``, as ``torch.manual_seed``).

    Notes
    -----
    Each element takes one draw of 32 bits, of which the low 24 count:
    ``u = (draw mod 2**24) / 2**24``, then ``u * 2 * bound - bound`` in double precision, rounded
    once to float32; ``bound`` itself is rounded to float32 first. Found by experiment against
    PyTorch's CPU generator and tested over all modes; other devices and dtypes draw differently.

    The generator is that of Matsumoto and Nishimura, "Mersenne Twister: a 623-dimensionally
    equidistributed uniform pseudo-random number generator" (1998).

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
    draws = generator.randint(0, 2**32, size=tuple(map(int, shape)), dtype=np.uint32)
    u = (draws % 2**_MANTISSA_BITS) / np.float64(2**_MANTISSA_BITS)  # in [0, 1), exact
    return (u * (2 * bound) - bound).astype(np.float32)

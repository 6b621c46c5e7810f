"""The worked example that all pages follow: its sizes are written here and nowhere else.

Change a number and build again: shapes, values and figures of every page follow. The sizes must
differ from each other and ``L`` must be at least 3; otherwise mistakes that the pages show to be
errors would go unnoticed. `small_example` is one that a pencil can follow.
"""

import torch
from torch import Tensor, nn

__all__ = ["SEED", "H_in", "H_out", "L", "N", "small_example", "worked_example"]

N = 3  # sequences in the batch
L = 5  # time steps
H_in = 10  # features of the input
H_out = 20  # features of the hidden state
SEED = 0


def worked_example() -> tuple[nn.RNN, Tensor, Tensor]:
    """Build the module, the input and the initial hidden state of the worked example.

    Returns
    -------
    rnn : torch.nn.RNN
        ``nn.RNN(H_in, H_out, 1, batch_first=True)``, float32.
    x : Tensor, shape (N, L, H_in)
        Input, from the standard normal distribution.
    h_0 : Tensor, shape (1, N, H_out)
        Initial hidden state, likewise: zeros would hide mistakes.

    Examples
    --------
    >>> rnn, x, h_0 = worked_example()
    >>> x.shape == (N, L, H_in), h_0.shape == (1, N, H_out)
    (True, True)
    """
    torch.manual_seed(SEED)
    rnn = nn.RNN(H_in, H_out, 1, batch_first=True)
    return rnn, torch.randn(N, L, H_in), torch.randn(1, N, H_out)


def small_example() -> tuple[nn.RNN, Tensor, Tensor]:
    """Build a module small enough for a pencil: one feature, two hidden units, three steps.

    Every parameter has one decimal, ``weight_hh`` is not symmetric, and no bias or initial state
    is zero, so that no mistake goes unnoticed.

    Returns
    -------
    rnn : torch.nn.RNN
        ``nn.RNN(1, 2, batch_first=True)``, float64.
    x : Tensor, shape (1, 3, 1)
        Input: one sequence, 1, 0, 2.
    h_0 : Tensor, shape (1, 1, 2)
        Initial hidden state.

    Examples
    --------
    >>> rnn, x, h_0 = small_example()
    >>> x.flatten().tolist(), h_0.flatten().tolist()
    ([1.0, 0.0, 2.0], [0.5, -0.5])
    """
    rnn = nn.RNN(1, 2, batch_first=True, dtype=torch.float64)
    values = {
        "weight_ih_l0": [[0.5], [-1.0]],
        "weight_hh_l0": [[0.8, -0.5], [0.3, 0.6]],
        "bias_ih_l0": [0.1, 0.2],
        "bias_hh_l0": [-0.2, 0.3],
    }
    rnn.load_state_dict({n: torch.tensor(v, dtype=torch.float64) for n, v in values.items()})
    x = torch.tensor([[[1.0], [0.0], [2.0]]], dtype=torch.float64)
    return rnn, x, torch.tensor([[[0.5, -0.5]]], dtype=torch.float64)

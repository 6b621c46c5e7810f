"""The worked example that all pages follow: its sizes stand here and nowhere else.

Change a number and build again: shapes, values and figures of every page follow. The sizes must
differ from each other and ``L`` must be at least 3; otherwise mistakes that the pages show to be
errors would go unnoticed.
"""

import torch
from torch import Tensor, nn

__all__ = ["SEED", "H_in", "H_out", "L", "N", "worked_example"]

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

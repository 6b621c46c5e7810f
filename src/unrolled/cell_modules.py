"""Drop-in modules for a single time step: torch's cells, with a forward pass you can read."""

import operator
from typing import Any

import torch
from torch import Tensor, nn

from unrolled._checks import check_shape, check_tensor, refuse_script
from unrolled.cells import ACTIVATIONS, gru_cell, lstm_cell, rnn_cell

__all__ = ["GRUCell", "LSTMCell", "RNNCell"]


class _Cell(nn.RNNCellBase):
    """What the three cells share: parameters, initialisation and checks."""

    __prepare_scriptable__ = refuse_script  # which torch.jit.script calls

    def __init__(
        self, input_size: Any, hidden_size: Any, bias: Any, gates: int, device: Any, dtype: Any
    ) -> None:
        sizes = []
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            try:
                sizes.append(operator.index(size))
            except TypeError:
                raise TypeError(
                    f"{name} should be an integer, got {size!r} of type {type(size).__name__}"
                ) from None
            if sizes[-1] < 0:
                raise RuntimeError(f"{name} should not be negative, got {size}")
        if not isinstance(bias, bool):
            # torch.nn.RNNCell(10, 20, "relu") takes "relu" for bias, and stays tanh.
            raise TypeError(f"bias should be of type bool, got {bias!r}: name what comes after it")
        super().__init__(sizes[0], sizes[1], bias, gates, device, dtype)

    def _rows(self, input: Tensor, states: dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Check input and states, and return them as rows; no states if they were left out."""
        _check("input", input, None)
        if input.size(-1) != self.input_size:
            raise RuntimeError(
                f"input should have input_size={self.input_size} features, "
                f"got {input.size(-1)} in shape {tuple(input.shape)}"
            )
        expected = (*input.shape[:-1], self.hidden_size)
        for name, state in states.items():
            _check(name, state, expected)
        rows = input if input.dim() == 2 else input.unsqueeze(0)  # (N, H_in)
        given = [state if state.dim() == 2 else state.unsqueeze(0) for state in states.values()]
        return rows, given

    def _zeros(self, rows: Tensor) -> Tensor:
        return torch.zeros(rows.shape[0], self.hidden_size, dtype=rows.dtype, device=rows.device)


class RNNCell(_Cell):
    """One time step of a plain RNN: `torch.nn.RNNCell` in readable Python.

    On a CPU its result is bitwise identical to that of `torch.nn.RNNCell`.

    Parameters
    ----------
    input_size, hidden_size : int
        Features of the input and of the hidden state.
    bias : bool, default True
        Whether there are ``bias_ih`` and ``bias_hh``.
    nonlinearity : {"tanh", "relu"}, default "tanh"
        Activation.
    device : torch.device, optional
        Device of the parameters.
    dtype : torch.dtype, optional
        Type of the parameters.

    Raises
    ------
    TypeError
        If a size is not an integer or `bias` is not a boolean. `torch.nn.RNNCell` accepts
        ``bias="relu"`` without an error.
    RuntimeError
        If a size is negative or `nonlinearity` is unknown; torch raises this type too.

    Notes
    -----
    See `unrolled.cells.rnn_cell`.

    Examples
    --------
    >>> theirs, ours = nn.RNNCell(10, 20), RNNCell(10, 20)
    >>> ours.load_state_dict(theirs.state_dict())
    <All keys matched successfully>
    >>> x, h = torch.randn(3, 10), torch.randn(3, 20)
    >>> torch.equal(ours(x, h), theirs(x, h))
    True
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ACTIVATIONS:
            raise RuntimeError(
                "Unknown nonlinearity: nonlinearity should be 'tanh' or 'relu', "
                f"got {nonlinearity!r}"
            )
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """Take one step.

        Parameters
        ----------
        input : Tensor, shape (N, H_in) or (H_in,)
            Input at this time step.
        hx : Tensor, shape (N, H_out) or (H_out,), optional
            Hidden state after the previous step; zeros if left out.

        Returns
        -------
        Tensor, shape (N, H_out) or (H_out,)
            Hidden state after this step.

        Raises
        ------
        AttributeError, RuntimeError, ValueError
            If `input` or `hx` is not a tensor, or its shape or dtype does not match, as in torch.

        Examples
        --------
        >>> RNNCell(10, 20)(torch.randn(3, 10)).shape
        torch.Size([3, 20])
        """
        rows, states = self._rows(input, {} if hx is None else {"hx": hx})
        h = states[0] if states else self._zeros(rows)
        weights = self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh
        after = rnn_cell(rows, h, *weights, nonlinearity=self.nonlinearity)
        return after if input.dim() == 2 else after.squeeze(0)


class GRUCell(_Cell):
    """One time step of a GRU: `torch.nn.GRUCell` in readable Python.

    On a CPU its result is bitwise identical to that of `torch.nn.GRUCell`.

    Parameters
    ----------
    input_size, hidden_size : int
        Features of the input and of the hidden state.
    bias : bool, default True
        Whether there are ``bias_ih`` and ``bias_hh``.
    device : torch.device, optional
        Device of the parameters.
    dtype : torch.dtype, optional
        Type of the parameters.

    Raises
    ------
    TypeError
        If a size is not an integer or `bias` is not a boolean.
    RuntimeError
        If a size is negative.

    Notes
    -----
    See `unrolled.cells.gru_step`.

    Examples
    --------
    >>> theirs, ours = nn.GRUCell(10, 20), GRUCell(10, 20)
    >>> ours.load_state_dict(theirs.state_dict())
    <All keys matched successfully>
    >>> x, h = torch.randn(3, 10), torch.randn(3, 20)
    >>> torch.equal(ours(x, h), theirs(x, h))
    True
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """Take one step.

        Parameters
        ----------
        input : Tensor, shape (N, H_in) or (H_in,)
            Input at this time step.
        hx : Tensor, shape (N, H_out) or (H_out,), optional
            Hidden state after the previous step; zeros if left out.

        Returns
        -------
        Tensor, shape (N, H_out) or (H_out,)
            Hidden state after this step.

        Raises
        ------
        AttributeError, RuntimeError, ValueError
            If `input` or `hx` is not a tensor, or its shape or dtype does not match, as in torch.

        Examples
        --------
        >>> GRUCell(10, 20)(torch.randn(10)).shape
        torch.Size([20])
        """
        rows, states = self._rows(input, {} if hx is None else {"hx": hx})
        h = states[0] if states else self._zeros(rows)
        after = gru_cell(rows, h, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        return after if input.dim() == 2 else after.squeeze(0)


class LSTMCell(_Cell):
    """One time step of an LSTM: `torch.nn.LSTMCell` in readable Python.

    On a CPU its results are bitwise identical to those of `torch.nn.LSTMCell`.

    Parameters
    ----------
    input_size, hidden_size : int
        Features of the input and of both states.
    bias : bool, default True
        Whether there are ``bias_ih`` and ``bias_hh``.
    device : torch.device, optional
        Device of the parameters.
    dtype : torch.dtype, optional
        Type of the parameters.

    Raises
    ------
    TypeError
        If a size is not an integer or `bias` is not a boolean.
    RuntimeError
        If a size is negative.

    Notes
    -----
    See `unrolled.cells.lstm_step`.

    Examples
    --------
    >>> theirs, ours = nn.LSTMCell(10, 20), LSTMCell(10, 20)
    >>> ours.load_state_dict(theirs.state_dict())
    <All keys matched successfully>
    >>> x, h, c = torch.randn(3, 10), torch.randn(3, 20), torch.randn(3, 20)
    >>> [torch.equal(a, b) for a, b in zip(ours(x, (h, c)), theirs(x, (h, c)))]
    [True, True]
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Tensor]:
        """Take one step.

        Parameters
        ----------
        input : Tensor, shape (N, H_in) or (H_in,)
            Input at this time step.
        hx : tuple of two Tensors, shape (N, hidden_size) or (hidden_size,), optional
            Hidden state and cell state after the previous step; zeros if left out.

        Returns
        -------
        h_t, c_t : Tensor, shape (N, hidden_size) or (hidden_size,)
            Hidden state and cell state after this step.

        Raises
        ------
        AttributeError, RuntimeError, TypeError, ValueError
            If `input` or a state is not a tensor, `hx` is not a tuple of two, or a shape or dtype
            does not match, as in torch.

        Examples
        --------
        >>> h, c = LSTMCell(10, 20)(torch.randn(3, 10))
        >>> h.shape, c.shape
        (torch.Size([3, 20]), torch.Size([3, 20]))
        """
        if hx is not None and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
            what = f"{len(hx)} states" if isinstance(hx, (tuple, list)) else type(hx).__name__
            raise TypeError(f"hx should be a tuple (h, c), got {what}")
        given = {} if hx is None else {"hx[0]": hx[0], "hx[1]": hx[1]}
        rows, states = self._rows(input, given)
        h, c = states if states else (self._zeros(rows), self._zeros(rows))
        weights = self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh
        h, c = lstm_cell(rows, (h, c), *weights)
        return (h, c) if input.dim() == 2 else (h.squeeze(0), c.squeeze(0))


def _check(name: str, value: Any, expected: tuple[int, ...] | None) -> None:
    check_tensor(name, value)
    if value.dim() not in (1, 2):
        raise ValueError(
            f"{name} should be 1D or 2D, got {value.dim()}D of shape {tuple(value.shape)}"
        )
    if expected is not None:
        check_shape(name, value, expected)

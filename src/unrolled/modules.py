"""Drop-in modules: torch's constructor, parameters and errors, and a forward pass you can read.

They inherit `torch.nn.RNNBase`, from which parameters and their initialisation come, and not
`torch.nn.RNN`, subclasses of which ``torch.compile(fullgraph=True)`` refuses.
"""

import inspect
from itertools import pairwise
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from unrolled.layers import Weights, rnn_network
from unrolled.shapes import check_arguments, num_directions, parameter_name

__all__ = ["RNN"]


class RNN(nn.RNNBase):
    """A plain recurrent network: `torch.nn.RNN` in readable Python.

    On a CPU its outputs, final states and gradients are those of `torch.nn.RNN` bit for bit, and
    with the same state of the random generator so is its dropout.

    Parameters
    ----------
    input_size : int
        Features of the input, ``H_in``.
    hidden_size : int
        Features of the hidden state, ``H_out``.
    num_layers : int, default 1
        Layers on top of each other.
    nonlinearity : {"tanh", "relu"}, default "tanh"
        Activation.
    bias : bool, default True
        Whether there are ``bias_ih`` and ``bias_hh``.
    batch_first : bool, default False
        Whether input and output are ``(N, L, ...)`` instead of ``(L, N, ...)``. It does not touch
        the hidden states.
    dropout : float, default 0.0
        Probability that, in training, an element of the output of each layer except the last is
        zeroed.
    bidirectional : bool, default False
        Whether each layer also runs from the last time step to the first.
    device : torch.device, optional
        Where the parameters live.
    dtype : torch.dtype, optional
        Type of the parameters.

    Raises
    ------
    TypeError, ValueError
        Where `torch.nn.RNN` raises them; the message also says what came.

    Notes
    -----
    ``h_t = tanh(x_t W_ih^T + b_ih + h_{t-1} W_hh^T + b_hh)``, from the docstring of
    `torch.nn.RNN`. The signature is that of `torch.nn.RNN`: of the positional arguments the fourth
    is `nonlinearity` and the ninth would be ``proj_size``, which must be 0.

    Examples
    --------
    >>> theirs = torch.nn.RNN(10, 20, batch_first=True)
    >>> ours = RNN(10, 20, batch_first=True)
    >>> ours.load_state_dict(theirs.state_dict())
    <All keys matched successfully>
    >>> x, h_0 = torch.randn(3, 5, 10), torch.randn(1, 3, 20)
    >>> [torch.equal(a, b) for a, b in zip(ours(x, h_0), theirs(x, h_0))]
    [True, True]
    """

    nonlinearity: str

    @overload
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        device: Any = None,
        dtype: Any = None,
    ) -> None: ...

    @overload
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:  # refused by name even where it is 0, as torch.nn.RNN does
            raise ValueError(
                "proj_size is only supported by LSTM, not by RNN, "
                f"got proj_size={kwargs['proj_size']!r}"
            )
        arguments = _rnn_arguments(*args, **kwargs)
        nonlinearity = arguments.pop("nonlinearity")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity should be 'tanh' or 'relu', got {nonlinearity!r}")
        mode = f"RNN_{nonlinearity.upper()}"
        device, dtype = arguments.pop("device"), arguments.pop("dtype")
        check_arguments(mode, **arguments)
        super().__init__(mode, **arguments, device=device, dtype=dtype)
        self.nonlinearity = nonlinearity

    @overload
    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]: ...

    @overload
    def forward(
        self, input: PackedSequence, hx: Tensor | None = None
    ) -> tuple[PackedSequence, Tensor]: ...

    def forward(
        self, input: Tensor | PackedSequence, hx: Tensor | None = None
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        """Run the network over a batch of sequences.

        Parameters
        ----------
        input : Tensor or PackedSequence
            Shape ``(L, N, H_in)``, with `batch_first` ``(N, L, H_in)``, unbatched ``(L, H_in)``.
        hx : Tensor, shape (D * num_layers, N, H_out), optional
            Hidden states before the first step, ``h_0``; unbatched ``(D * num_layers, H_out)``.
            Zeros if left out.

        Returns
        -------
        output : Tensor or PackedSequence
            Hidden states of the last layer at all time steps, ``(L, N, D * H_out)``, laid out like
            `input`.
        h_n : Tensor, shape (D * num_layers, N, H_out)
            Hidden states after the last step, laid out like `hx`.

        Raises
        ------
        AttributeError
            If `input` or `hx` is no tensor.
        RuntimeError, ValueError
            If shapes, dtypes or devices do not fit, as `torch.nn.RNN` does.

        Examples
        --------
        >>> output, h_n = RNN(10, 20)(torch.randn(5, 3, 10))
        >>> output.shape, h_n.shape
        (torch.Size([5, 3, 20]), torch.Size([1, 3, 20]))
        """
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        _check_tensor("input", input)
        if input.dim() not in (2, 3):
            raise ValueError(
                f"input should be 2D or 3D, got {input.dim()}D of shape {tuple(input.shape)}"
            )
        if hx is not None:
            _check_tensor("hx", hx)
            if hx.dim() != input.dim():
                raise RuntimeError(
                    f"hx should be {input.dim()}D like input, got {hx.dim()}D of shape "
                    f"{tuple(hx.shape)}"
                )
        self._check_features(input)
        batched = input.dim() == 3
        if not batched:
            input = input.unsqueeze(1)  # (L, 1, H_in)
            hx = None if hx is None else hx.unsqueeze(1)  # (D * num_layers, 1, H_out)
        elif self.batch_first:
            input = input.transpose(0, 1)  # (L, N, H_in)
        if input.size(0) == 0:
            raise RuntimeError(
                "input should have at least one time step, got shape "
                f"{tuple(input.shape)} as (L, N, H_in)"
            )
        h_0 = self._initial_state(input, input.size(1), hx)
        output, h_n = self._network(input, h_0)
        if not batched:
            return output.squeeze(1), h_n.squeeze(1)
        return output.transpose(0, 1) if self.batch_first else output, h_n

    def _forward_packed(
        self, input: PackedSequence, hx: Tensor | None
    ) -> tuple[PackedSequence, Tensor]:
        data, batch_sizes, sorted_indices, unsorted_indices = input
        if data.dim() != 2:
            raise RuntimeError(
                f"input.data should be 2D, got {data.dim()}D of shape {tuple(data.shape)}"
            )
        self._check_features(data)
        sizes = _checked_batch_sizes(batch_sizes, len(data))
        if hx is not None:
            _check_tensor("hx", hx)
            if sorted_indices is not None and hx.dim() < 2:  # has no sequences to sort
                raise IndexError(f"hx should be 3D, got {hx.dim()}D of shape {tuple(hx.shape)}")
        h_0 = self._initial_state(data, sizes[0], hx)
        if hx is not None and sorted_indices is not None:
            h_0 = h_0.index_select(1, sorted_indices)
        output, h_n = self._network(data, h_0, sizes)
        if unsorted_indices is not None:
            h_n = h_n.index_select(1, unsorted_indices)
        return PackedSequence(output, batch_sizes, sorted_indices, unsorted_indices), h_n

    def _network(
        self, inputs: Tensor, h_0: Tensor, batch_sizes: list[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        layers = [
            [self._weights(layer, direction) for direction in range(self._directions)]
            for layer in range(self.num_layers)
        ]
        dropout = self.dropout if self.training else 0.0
        return rnn_network(inputs, h_0, layers, self.nonlinearity, dropout, batch_sizes)

    @property
    def _directions(self) -> int:
        return num_directions(self.bidirectional)

    def _weights(self, layer: int, direction: int) -> Weights[Tensor]:
        kinds = ["weight_ih", "weight_hh"] + ["bias_ih", "bias_hh"] * self.bias
        return Weights(*(getattr(self, parameter_name(kind, layer, direction)) for kind in kinds))

    def _initial_state(self, inputs: Tensor, N: int, hx: Tensor | None) -> Tensor:
        expected = (self.num_layers * self._directions, N, self.hidden_size)
        if hx is None:
            return torch.zeros(expected, dtype=inputs.dtype, device=inputs.device)
        if hx.shape != expected:
            raise RuntimeError(
                f"hx should have shape {expected} as (D * num_layers, N, H_out), "
                f"got {tuple(hx.shape)}"
            )
        if hx.device != inputs.device:
            raise RuntimeError(
                f"hx should be on the device of input, {inputs.device}, got {hx.device}"
            )
        if hx.dtype != inputs.dtype and not torch.is_autocast_enabled(inputs.device.type):
            raise RuntimeError(f"hx should have the dtype of input, {inputs.dtype}, got {hx.dtype}")
        return hx

    def _check_features(self, inputs: Tensor) -> None:
        weight = self.weight_ih_l0
        if inputs.dtype != weight.dtype and not torch.is_autocast_enabled(inputs.device.type):
            raise ValueError(
                f"input should have the dtype of the weights, {weight.dtype}, got {inputs.dtype}: "
                f"convert with input.to({weight.dtype}) or module.to({inputs.dtype})"
            )
        if inputs.size(-1) != self.input_size:
            raise RuntimeError(
                f"input should have input_size={self.input_size} features in its last dimension, "
                f"got {inputs.size(-1)} in shape {tuple(inputs.shape)}"
            )
        if inputs.device != weight.device:
            raise RuntimeError(
                f"input should be on the device of the weights, {weight.device}, "
                f"got {inputs.device}"
            )


def _rnn_arguments(
    input_size: Any,
    hidden_size: Any,
    num_layers: Any = 1,
    nonlinearity: Any = "tanh",
    bias: Any = True,
    batch_first: Any = False,
    dropout: Any = 0.0,
    bidirectional: Any = False,
    proj_size: Any = 0,
    device: Any = None,
    dtype: Any = None,
) -> dict[str, Any]:
    """Name the arguments of `torch.nn.RNN`, in the order in which it takes them."""
    return locals()


# What Python's own messages about arguments name, and what help() and the API reference show.
_rnn_arguments.__qualname__ = "RNN"
RNN.__signature__ = inspect.Signature(  # type: ignore[attr-defined] # what inspect looks for
    [
        parameter.replace(annotation=inspect.Parameter.empty)
        for name, parameter in inspect.signature(_rnn_arguments).parameters.items()
        if name != "proj_size"
    ]
)


def _check_tensor(name: str, value: object) -> None:
    if not isinstance(value, Tensor):
        # torch.nn.RNN asks whatever came for its .dim() and so ends with this type.
        raise AttributeError(f"{name} should be a torch.Tensor, got {type(value).__name__}")


def _checked_batch_sizes(batch_sizes: Tensor, rows: int) -> list[int]:
    """Refuse a hand-made PackedSequence whose batch_sizes do not describe its data."""
    expected = "PackedSequence.batch_sizes should"
    if batch_sizes.dim() != 1:
        raise IndexError(f"{expected} be 1D, got {batch_sizes.dim()}D")
    sizes: list[int] = batch_sizes.tolist()
    if batch_sizes.dtype != torch.int64:
        error = TypeError if batch_sizes.is_floating_point() else RuntimeError
        raise error(f"{expected} have dtype torch.int64, got {batch_sizes.dtype}")
    if not sizes:
        raise IndexError(f"{expected} have at least one time step, got none")
    if sizes[-1] <= 0 or any(later > earlier for earlier, later in pairwise(sizes)):
        raise RuntimeError(f"{expected} be positive and never increase, got {sizes}")
    if sum(sizes) != rows:
        raise RuntimeError(f"{expected} sum to the {rows} rows of data, got {sizes}")
    return sizes

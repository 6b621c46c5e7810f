"""Causal networks that are no recurrent modules, small, to compare recurrent ones with.

All of them take ``x`` of shape (N, L, features), return (N, L, classes), and look at no later time
step. They differ in what they keep of the past: a window, all of it, or a linear state.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 # its name everywhere

__all__ = ["DiagonalStateSpace", "DilatedConvolution", "Recurrent", "SmallTransformer"]


class Recurrent(nn.Module):
    """A recurrent module and a linear layer that reads its output at every time step.

    Parameters
    ----------
    kind : type of torch.nn.Module
        `torch.nn.RNN`, `torch.nn.GRU`, `torch.nn.LSTM`, or a module with their constructor.
    features, hidden_size, classes : int
        Sizes of the input, the state and the result.

    Examples
    --------
    >>> model = Recurrent(nn.LSTM, 9, 32, 4)
    >>> model(torch.zeros(2, 7, 9)).shape, model.state_size(7)
    (torch.Size([2, 7, 4]), 64)
    """

    def __init__(self, kind: type[nn.Module], features: int, hidden_size: int, classes: int):
        super().__init__()
        self.rnn = kind(features, hidden_size, batch_first=True)
        self.out = nn.Linear(hidden_size, classes)

    def state_size(self, steps: int) -> int:  # the others need `steps`
        """Count the numbers that one sequence keeps after `steps` time steps."""
        states = 2 if isinstance(self.rnn, nn.LSTM) else 1
        return states * self.out.in_features

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, L, features) to (N, L, classes)."""
        output: Tensor = self.out(self.rnn(x)[0])
        return output


class DilatedConvolution(nn.Module):
    """A stack of causal convolutions whose windows double from layer to layer: a small TCN.

    Each layer pads on the left only, applies a convolution and relu, and adds its input.

    Parameters
    ----------
    features, channels, classes : int
        Sizes of the input, of all layers between, and of the result.
    dilations : sequence of int, default (1, 2, 4, 8, 16)
        The distance between the taps of each layer's kernel.
    kernel_size : int, default 3
        Taps of each kernel.

    Examples
    --------
    >>> model = DilatedConvolution(9, 16, 4)
    >>> model(torch.zeros(2, 7, 9)).shape, model.window, model.state_size(7)
    (torch.Size([2, 7, 4]), 63, 992)
    """

    def __init__(
        self,
        features: int,
        channels: int,
        classes: int,
        dilations: Sequence[int] = (1, 2, 4, 8, 16),
        kernel_size: int = 3,
    ):
        super().__init__()
        self.into = nn.Linear(features, channels)
        self.layers = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel_size, dilation=dilation) for dilation in dilations
        )
        self.out = nn.Linear(channels, classes)
        self.reach = [(kernel_size - 1) * dilation for dilation in dilations]

    @property
    def window(self) -> int:
        """The number of time steps that a result depends on."""
        return 1 + sum(self.reach)

    def state_size(self, steps: int) -> int:  # the others need `steps`
        """Count the numbers that one sequence keeps: each layer's last inputs."""
        return sum(self.reach) * self.out.in_features

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, L, features) to (N, L, classes)."""
        h = self.into(x).transpose(1, 2)  # (N, channels, L)
        for layer, reach in zip(self.layers, self.reach, strict=True):
            h = h + torch.relu(layer(F.pad(h, (reach, 0))))
        output: Tensor = self.out(h.transpose(1, 2))
        return output


class SmallTransformer(nn.Module):
    """`torch.nn.TransformerEncoder` with a causal mask and fixed sines as positions.

    Parameters
    ----------
    features, width, classes : int
        Sizes of the input, of the layers and of the result; the width is even.
    heads, layers : int, default 2
        Heads of each attention, and how many layers there are.
    widen : int, default 3
        The width of the feed-forward part, as a multiple of `width`.

    Examples
    --------
    >>> model = SmallTransformer(9, 16, 4)
    >>> model(torch.zeros(2, 7, 9)).shape, model.state_size(7), model.state_size(14)
    (torch.Size([2, 7, 4]), 448, 896)
    """

    def __init__(
        self,
        features: int,
        width: int,
        classes: int,
        heads: int = 2,
        layers: int = 2,
        widen: int = 3,
    ):
        super().__init__()
        self.into = nn.Linear(features, width)
        layer = nn.TransformerEncoderLayer(
            width, heads, widen * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        for parameter in self.encoder.parameters():  # its layers begin as copies of one
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        self.out = nn.Linear(width, classes)

    def state_size(self, steps: int) -> int:
        """Count the numbers that one sequence keeps: keys and values of all its steps."""
        return 2 * len(self.encoder.layers) * self.out.in_features * steps

    def positions(self, steps: int) -> Tensor:
        """Return sines and cosines of falling frequency, (steps, width)."""
        half = self.out.in_features // 2
        rates = torch.exp(-math.log(1000.0) / half * torch.arange(half))
        angles = torch.arange(steps).unsqueeze(1) * rates  # (steps, half)
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, L, features) to (N, L, classes)."""
        steps = x.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(steps)
        h = self.encoder(self.into(x) + self.positions(steps), mask=mask, is_causal=True)
        output: Tensor = self.out(h)
        return output


class DiagonalStateSpace(nn.Module):
    """Layers with a linear, diagonal, complex recurrence and a gate after it.

    A layer keeps ``s = a * s + B @ u``, where every element of the state has its own complex factor
    ``a`` of magnitude below 1. There is no activation between two time steps, so that all states
    are one convolution of the inputs with powers of ``a``, computed here with a Fourier transform.

    Parameters
    ----------
    features, width, classes : int
        Sizes of the input, of what passes between layers, and of the result.
    states : int
        Complex numbers in the state of each layer.
    layers : int, default 2
        How many layers there are.

    Examples
    --------
    >>> model = DiagonalStateSpace(9, 16, 4, states=16)
    >>> x = torch.randn(2, 7, 9)
    >>> model(x).shape, model.state_size(7)
    (torch.Size([2, 7, 4]), 64)
    >>> states, outputs = model.start(2), []
    >>> for x_t in x.unbind(1):
    ...     output, states = model.step(x_t, states)
    ...     outputs.append(output)
    >>> torch.allclose(torch.stack(outputs, 1), model(x), atol=1e-5)
    True
    """

    def __init__(self, features: int, width: int, classes: int, states: int, layers: int = 2):
        super().__init__()
        self.states = states
        self.into = nn.Linear(features, width)
        self.read_in = nn.ModuleList(
            nn.Linear(width, 2 * states, bias=False) for _ in range(layers)
        )
        self.read_out = nn.ModuleList(nn.Linear(2 * states, width) for _ in range(layers))
        self.gate = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.out = nn.Linear(width, classes)
        # The factors a = exp(-exp(decay) + 1j * turn), with magnitudes from 0.9 to 0.999.
        magnitude = torch.empty(layers, states).uniform_(0.9, 0.999)
        self.decay = nn.Parameter(magnitude.log().neg().log())
        self.turn = nn.Parameter(torch.empty(layers, states).uniform_(0, math.pi / 2))

    def state_size(self, steps: int) -> int:  # the others need `steps`
        """Count the real numbers that one sequence keeps."""
        return 2 * self.states * len(self.gate)

    def start(self, batch: int) -> list[Tensor]:
        """Return the states before the first time step, (N, states) for each layer."""
        return [torch.zeros(batch, self.states, dtype=torch.complex64) for _ in self.gate]

    def exponents(self) -> Tensor:
        """Return the logarithms of the factors, (layers, states)."""
        return torch.complex(-self.decay.exp(), self.turn)

    def driven(self, layer: int, h: Tensor) -> Tensor:
        """Return what enters the states, (..., states), scaled to states of about one size."""
        size = torch.sqrt(1 - torch.exp(-2 * self.decay[layer].exp()))
        return torch.complex(*self.read_in[layer](h).chunk(2, dim=-1)) * size

    def after(self, layer: int, h: Tensor, s: Tensor) -> Tensor:
        """Return what leaves a layer, (..., width), from what entered it and its states."""
        y = self.read_out[layer](torch.cat([s.real, s.imag], dim=-1))
        y = F.gelu(y)
        y = h + y * torch.sigmoid(self.gate[layer](y))
        output: Tensor = y
        return output

    def step(self, x_t: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Advance one time step: (N, features) to (N, classes), and the states after it."""
        h, later = self.into(x_t), []
        for layer, (a, s) in enumerate(zip(self.exponents().exp(), states, strict=True)):
            later.append(a * s + self.driven(layer, h))  # (N, states)
            h = self.after(layer, h, later[-1])
        return self.out(h), later

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, L, features) to (N, L, classes), all time steps at once."""
        h, steps = self.into(x), x.shape[1]
        for layer, log_a in enumerate(self.exponents()):
            powers = torch.exp(log_a * torch.arange(steps).unsqueeze(1))  # (L, states)
            kernel = torch.fft.fft(powers, n=2 * steps, dim=0)
            inputs = torch.fft.fft(self.driven(layer, h), n=2 * steps, dim=1)
            s = torch.fft.ifft(kernel * inputs, dim=1)[:, :steps]  # (N, L, states)
            h = self.after(layer, h, s)
        output: Tensor = self.out(h)
        return output

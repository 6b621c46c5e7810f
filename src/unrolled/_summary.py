"""What a recurrent module consists of, in numbers: parameters, products of a step, memory.

All of it follows from shapes, so that nothing is run and parameters may live on the meta device.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from unrolled.layers import weights_of
from unrolled.shapes import Shape

__all__ = ["Parameter", "Product", "Summary", "mode_of", "summary"]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a module.

    Attributes
    ----------
    name : str
        Its name in the ``state_dict``.
    shape : tuple of int
        Its shape.
    count, bytes : int
        Numbers in it, and the memory that they take.

    Examples
    --------
    >>> summary(nn.GRU(10, 20)).parameters[1]
    Parameter(name='weight_hh_l0', shape=(60, 20), count=1200, bytes=4800)
    """

    name: str
    shape: Shape
    count: int
    bytes: int


@dataclass(frozen=True)
class Product:
    """One product of a time step: a row of so many features times the transpose of a weight.

    Attributes
    ----------
    weight : str
        Name of the weight.
    inner, outer : int
        Features of what enters the product, and of what comes out.

    Examples
    --------
    >>> product = summary(nn.GRU(10, 20)).products[0]
    >>> product, product.multiply_adds
    (Product(weight='weight_ih_l0', inner=10, outer=60), 600)
    """

    weight: str
    inner: int
    outer: int

    @property
    def multiply_adds(self) -> int:
        """Multiplications, each with an addition, for one sequence at one time step.

        Returns
        -------
        int
            ``inner * outer``: every number of the weight is used once.
        """
        return self.inner * self.outer


@dataclass(frozen=True)
class Summary:
    """What `summary` found; ``print`` shows it as a table.

    Attributes
    ----------
    module : str
        The module, as ``print`` shows it.
    parameters : tuple of Parameter
        In the order of the ``state_dict``.
    products : tuple of Product
        Those of one time step, through all layers and directions.
    states : tuple of (str, tuple of int)
        Shapes of the states of one sequence, unbatched: ``h_n``, and of an LSTM ``c_n``.
    state_bytes : int
        Memory of these, for one sequence.

    Examples
    --------
    >>> found = summary(nn.LSTM(10, 20, num_layers=2))
    >>> found.count, found.bytes, found.multiply_adds, found.state_bytes
    (5920, 23680, 5600, 320)
    """

    module: str
    parameters: tuple[Parameter, ...]
    products: tuple[Product, ...]
    states: tuple[tuple[str, Shape], ...]
    state_bytes: int

    @property
    def count(self) -> int:
        """Numbers in all parameters.

        Returns
        -------
        int
            Their sum.
        """
        return sum(parameter.count for parameter in self.parameters)

    @property
    def bytes(self) -> int:
        """Memory of all parameters.

        Returns
        -------
        int
            In bytes. Training with Adam takes four times as much: gradients and two averages.
        """
        return sum(parameter.bytes for parameter in self.parameters)

    @property
    def multiply_adds(self) -> int:
        """Multiplications, each with an addition, for one sequence at one time step.

        Returns
        -------
        int
            Those of all products. Times ``N * L`` it is that of a forward pass, and twice that its
            floating-point operations.
        """
        return sum(product.multiply_adds for product in self.products)

    def __str__(self) -> str:
        """Set the table."""
        head = ("parameter", "shape", "count", "bytes")
        rows = [head] + [
            (p.name, str(p.shape), f"{p.count:,}", f"{p.bytes:,}") for p in self.parameters
        ]
        rows.append(("together", "", f"{self.count:,}", f"{self.bytes:,}"))
        steps = [("product of a time step", "shape", "multiply-adds")] + [
            (f"@ {p.weight}.T", f"(N, {p.inner}) @ ({p.inner}, {p.outer})", f"{p.multiply_adds:,}")
            for p in self.products
        ]
        steps.append(("together, for a sequence", "", f"{self.multiply_adds:,}"))
        states = " and ".join(f"{name} {shape}" for name, shape in self.states)
        last = f"states of a sequence: {states}, {self.state_bytes:,} bytes"
        return "\n".join([self.module, *_table(rows, 2), *_table(steps, 2), last])


def mode_of(module: nn.Module) -> str:
    """Name the recurrence of a module or a cell.

    Parameters
    ----------
    module : torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM, or one of their cells
        One of PyTorch's or ours.

    Returns
    -------
    str
        ``"RNN_TANH"``, ``"RNN_RELU"``, ``"GRU"`` or ``"LSTM"``.

    Raises
    ------
    TypeError
        If `module` is not recurrent.

    Examples
    --------
    >>> mode_of(torch.nn.RNN(10, 20)), mode_of(torch.nn.GRUCell(10, 20))
    ('RNN_TANH', 'GRU')
    """
    if isinstance(module, nn.RNNBase):
        return module.mode
    if isinstance(module, nn.RNNCellBase):
        gates = len(module.weight_ih) // module.hidden_size
        return {3: "GRU", 4: "LSTM"}.get(gates) or f"RNN_{str(module.nonlinearity).upper()}"
    raise TypeError(
        "module should be an RNN, GRU or LSTM or one of their cells, of torch.nn or unrolled, "
        f"got {type(module).__name__}"
    )


def summary(module: nn.Module) -> Summary:
    """Count the parameters, the products of a time step and the memory of a recurrent module.

    Parameters
    ----------
    module : torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM, or one of their cells
        One of PyTorch's or ours, on any device.

    Returns
    -------
    Summary
        Parameters, products, states and their memory.

    Raises
    ------
    TypeError
        If `module` is not recurrent.

    Notes
    -----
    A product of a row of ``inner`` features with a transposed weight of shape ``(outer, inner)``
    takes ``inner * outer`` multiplications and as many additions, one of which may be that of the
    bias. Elementwise operations are not counted.

    Examples
    --------
    >>> print(summary(nn.LSTM(10, 20, proj_size=5)))
    LSTM(10, 20, proj_size=5)
    parameter     shape     count   bytes
    weight_ih_l0  (80, 10)    800   3,200
    weight_hh_l0  (80, 5)     400   1,600
    bias_ih_l0    (80,)        80     320
    bias_hh_l0    (80,)        80     320
    weight_hr_l0  (5, 20)     100     400
    together                1,460   5,840
    product of a time step    shape               multiply-adds
    @ weight_ih_l0.T          (N, 10) @ (10, 80)            800
    @ weight_hh_l0.T          (N, 5) @ (5, 80)              400
    @ weight_hr_l0.T          (N, 20) @ (20, 5)             100
    together, for a sequence                              1,300
    states of a sequence: h_n (1, 5) and c_n (1, 20), 100 bytes
    """
    mode = mode_of(module)
    assert isinstance(module, nn.RNNBase | nn.RNNCellBase)
    groups = [group for directions in weights_of(module) for group in directions]
    lead = (len(groups),) if isinstance(module, nn.RNNBase) else ()
    names = {id(tensor): name for name, tensor in module.state_dict(keep_vars=True).items()}
    weights = [
        weight
        for group in groups
        for weight in (group.weight_ih, group.weight_hh, group.weight_hr)
        if weight is not None
    ]
    widths = {"h_n": groups[0].weight_hh.shape[1]}
    if mode == "LSTM":
        widths["c_n"] = module.hidden_size
    states = tuple((name, (*lead, width)) for name, width in widths.items())
    numbers = sum(len(groups) * width for width in widths.values())
    return Summary(
        module=repr(module),
        parameters=tuple(
            Parameter(name, tuple(tensor.shape), tensor.numel(), _bytes(tensor))
            for name, tensor in module.state_dict().items()
        ),
        products=tuple(Product(names[id(w)], w.shape[1], w.shape[0]) for w in weights),
        states=states,
        state_bytes=numbers * weights[0].element_size(),
    )


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _table(rows: Sequence[tuple[str, ...]], left: int) -> list[str]:
    """Set columns: the first `left` to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]

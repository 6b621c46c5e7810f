"""A recurrent module in numbers: its parameters, the products of one step, and memory.

Everything follows from shapes, so nothing is run, and parameters may be on the meta device.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from unrolled import cell_modules
from unrolled.shapes import Shape, parameter_shapes

__all__ = ["Parameter", "Product", "Summary", "mode_of", "shapes_of", "summary"]


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
    """One product of a time step: a row of features times the transpose of a weight.

    Attributes
    ----------
    weight : str
        Name of the weight.
    inner, outer : int
        Features that enter the product, and features that come out.

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
        """Multiply-adds for one sequence at one time step.

        Returns
        -------
        int
            ``inner * outer``: every number in the weight is used once.
        """
        return self.inner * self.outer


@dataclass(frozen=True)
class Summary:
    """The result of `summary`; ``print`` shows it as a table.

    Attributes
    ----------
    module : str
        The module, as ``print`` shows it.
    parameters : tuple of Parameter
        Parameters of the recurrent modules, each listed once, in the order of the ``state_dict``.
    products : tuple of Product
        Products of one time step, through all layers and directions.
    states : tuple of (str, tuple of int)
        Names and unbatched shapes of the states of one sequence: ``h_n``, and for an LSTM ``c_n``.
    state_bytes : int
        Memory of these states, for one sequence.
    notes : tuple of str
        What the counts alone do not say: which weights are computed, which parameters are shared,
        and what is in the module but not counted.

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
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many numbers all parameters hold together.

        Returns
        -------
        int
            The sum over all parameters.
        """
        return sum(parameter.count for parameter in self.parameters)

    @property
    def bytes(self) -> int:
        """Memory of all parameters.

        Returns
        -------
        int
            In bytes. Training with Adam takes four times as much, for gradients and two averages.
        """
        return sum(parameter.bytes for parameter in self.parameters)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds for one sequence at one time step.

        Returns
        -------
        int
            The sum over all products. Multiply it by ``N * L`` for a whole forward pass, and by two
            for its floating-point operations.
        """
        return sum(product.multiply_adds for product in self.products)

    def __str__(self) -> str:
        """Format the table."""
        head = ("parameter", "shape", "count", "bytes")
        rows = [head] + [
            (p.name, str(p.shape), f"{p.count:,}", f"{p.bytes:,}") for p in self.parameters
        ]
        rows.append(("together", "", f"{self.count:,}", f"{self.bytes:,}"))
        steps = [("product of a time step", "shape", "multiply-adds")] + [
            (f"@ {p.weight}.T", f"(N, {p.inner}) @ ({p.inner}, {p.outer})", f"{p.multiply_adds:,}")
            for p in self.products
        ]
        together = "together, for a time step of one sequence"
        steps.append((together, "", f"{self.multiply_adds:,}"))
        states = " and ".join(f"{name} {shape}" for name, shape in self.states)
        last = f"states of a sequence: {states}, {self.state_bytes:,} bytes"
        return "\n".join([self.module, *_table(rows, 2), *_table(steps, 2), last, *self.notes])


def mode_of(module: nn.Module) -> str:
    """Name the recurrence of a module or a cell.

    Parameters
    ----------
    module : torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM, or one of their cells
        From `torch.nn` or from `unrolled`.

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
    if isinstance(module, nn.LSTMCell | cell_modules.LSTMCell):
        return "LSTM"
    if isinstance(module, nn.GRUCell | cell_modules.GRUCell):
        return "GRU"
    if isinstance(module, nn.RNNCell | cell_modules.RNNCell):
        return f"RNN_{str(module.nonlinearity).upper()}"
    raise TypeError(
        "module should be an RNN, GRU or LSTM or one of their cells, of torch.nn or unrolled, "
        f"got {type(module).__name__}"
    )


def shapes_of(module: nn.Module) -> dict[str, Shape]:
    """Return the names and shapes of the parameters of a module or a cell, from its sizes.

    Parameters
    ----------
    module : torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM, or one of their cells
        From `torch.nn` or from `unrolled`.

    Returns
    -------
    dict of str to tuple of int
        As in `unrolled.shapes.parameter_shapes`, including weights that the module computes.

    Raises
    ------
    TypeError
        If `module` is not recurrent.

    Examples
    --------
    >>> shapes_of(nn.RNNCell(10, 20, bias=False))
    {'weight_ih': (20, 10), 'weight_hh': (20, 20)}
    """
    mode: str = mode_of(module)
    assert isinstance(module, nn.RNNBase | nn.RNNCellBase)
    sizes = mode, module.input_size, module.hidden_size
    if isinstance(module, nn.RNNBase):
        return parameter_shapes(
            *sizes, module.num_layers, module.bias, module.bidirectional, module.proj_size
        )
    shapes = parameter_shapes(*sizes, bias=module.bias)
    return {name.removesuffix("_l0"): shape for name, shape in shapes.items()}


def summary(module: nn.Module) -> Summary:
    """Count the parameters, the products of a time step and the memory of a recurrent module.

    Parameters
    ----------
    module : torch.nn.Module
        An RNN, GRU, LSTM or one of their cells, from `torch.nn` or `unrolled`, on any device; or a
        model that contains some of them, each listed under its name, such as ``encoder.rnn``.

    Returns
    -------
    Summary
        Parameters, products, states and their memory; its notes say what is shared and what else
        is in the module.

    Raises
    ------
    TypeError
        If `module` is not recurrent and contains no recurrent module.

    Notes
    -----
    The product of a row of ``inner`` features and a transposed weight of shape ``(outer, inner)``
    takes ``inner * outer`` multiplications and the same number of additions, of which one may be
    that of the bias. Elementwise operations are not counted, nor is the computation of a weight.

    A parameter shared by two modules or layers is counted once, but its products are counted for
    each of them. If a module computes a weight from other parameters, such as the two of weight
    normalisation, these are counted instead of the weight.

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
    product of a time step                     shape               multiply-adds
    @ weight_ih_l0.T                           (N, 10) @ (10, 80)            800
    @ weight_hh_l0.T                           (N, 5) @ (5, 80)              400
    @ weight_hr_l0.T                           (N, 20) @ (20, 5)             100
    together, for a time step of one sequence                              1,300
    states of a sequence: h_n (1, 5) and c_n (1, 20), 100 bytes

    >>> model = nn.Sequential(nn.Embedding(1000, 10), nn.GRU(10, 20))
    >>> found = summary(model)
    >>> [product.weight for product in found.products], found.count
    (['1.weight_ih_l0', '1.weight_hh_l0'], 1920)
    >>> found.notes
    ('not counted: 0.weight (1000, 10), in no recurrent module',)
    """
    given: object = module
    modules = module.named_modules() if isinstance(given, nn.Module) else ()
    found = {name: part for name, part in modules if _is_recurrent(part)}
    if not found:
        raise TypeError(
            "module should be an RNN, GRU or LSTM or one of their cells, of torch.nn or unrolled, "
            f"or a model with one of them, got {type(module).__name__}"
        )
    first = {id(part): name for name, part in found.items()}
    notes = [
        f"counted once: {name} is {first[id(part)]}, the same module"
        for name, part in module.named_modules(remove_duplicate=False)
        if id(part) in first and name != first[id(part)]
    ]
    counted: dict[int, str] = {}  # the name under which a parameter is counted
    products: list[Product] = []
    states: list[tuple[str, Shape]] = []
    state_bytes = 0
    for path, part in found.items():
        prefix = path and f"{path}."
        shapes, own = shapes_of(part), part._parameters
        for name, parameter in part.named_parameters(path, remove_duplicate=False):
            if counted.setdefault(id(parameter), name) != name:
                notes.append(f"counted once: {name} is {counted[id(parameter)]}")
        notes += [
            f"computed: {prefix}{name} {shape}"
            for name, shape in shapes.items()
            if own.get(name) is None
        ]
        if getattr(part, "step", None) is not None:
            notes.append(f"not counted: products of {prefix}step, which is not PyTorch's")
        products += [
            Product(prefix + name, shape[1], shape[0])
            for name, shape in shapes.items()
            if name.startswith("weight")
        ]
        hidden = [shape[1] for name, shape in shapes.items() if name.startswith("weight_hh")]
        widths = {"h_n": hidden[0]}
        if mode_of(part) == "LSTM":
            widths["c_n"] = part.hidden_size
        lead = (len(hidden),) if isinstance(part, nn.RNNBase) else ()
        states += [(prefix + name, (*lead, width)) for name, width in widths.items()]
        like = next(part.parameters(), None)
        if like is None:
            raise ValueError(f"module should have a parameter in {path or 'it'}, got none")
        state_bytes += len(hidden) * sum(widths.values()) * like.element_size()
    parameters: list[Parameter] = []
    others: list[Parameter] = []
    for name, tensor in module.named_parameters():
        row = Parameter(name, tuple(tensor.shape), tensor.numel(), _bytes(tensor))
        (parameters if id(tensor) in counted else others).append(row)
    notes += [f"not counted: {p.name} {p.shape}, in no recurrent module" for p in others]
    notes += [f"not counted: buffer {name} {tuple(b.shape)}" for name, b in module.named_buffers()]
    return Summary(
        repr(module), tuple(parameters), tuple(products), tuple(states), state_bytes, tuple(notes)
    )


def _is_recurrent(module: nn.Module) -> bool:
    try:
        mode_of(module)
    except TypeError:
        return False
    return True


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _table(rows: Sequence[tuple[str, ...]], left: int) -> list[str]:
    """Align columns: the first `left` to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]

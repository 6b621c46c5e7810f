"""The errors and warnings of the catalogue, raised again: the tests and the accounts use them."""

import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pad_packed_sequence,
    pad_sequence,
)

from unrolled_site.example import H_in, H_out, L, N

__all__ = ["RAISED"]

with torch.random.fork_rng(devices=[]):  # an import leaves the generator as it was
    torch.manual_seed(0)
    RNN = nn.RNN(H_in, H_out, batch_first=True)
    LSTM = nn.LSTM(H_in, H_out, batch_first=True)
    CELL_RNN, CELL_LSTM = nn.RNNCell(H_in, H_out), nn.LSTMCell(H_in, H_out)
    X = torch.randn(N, L, H_in)
    STATE = torch.randn(1, N, H_out)
    PAIR = (STATE, STATE)
    LENGTHS = torch.tensor([L, L - 2, L - 3])
    PACKED = pack_padded_sequence(X, LENGTHS, batch_first=True)


def pack(x: Tensor, lengths: Any) -> PackedSequence:
    return pack_padded_sequence(x, lengths, batch_first=True)


def load_pickled() -> None:
    file = io.BytesIO()
    torch.save(LSTM, file)
    file.seek(0)
    torch.load(file)


def unpack_three() -> None:
    _output, _h_n, _c_n = LSTM(X)


def backward_twice() -> None:
    output, state = LSTM(X)
    output.sum().backward()
    LSTM(X, state)[0].sum().backward()


def write_over() -> None:
    h = torch.zeros(N, H_out)
    for x_t in X.unbind(dim=1):
        h[:] = CELL_RNN(x_t, h)
    h.sum().backward()  # type: ignore[no-untyped-call]  # torch has no types for it


def without_graph() -> None:
    with torch.no_grad():
        output, _ = RNN(X)
    output.sum().backward()


def clip_infinite() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    parameter.grad = torch.full((1,), torch.inf)
    nn.utils.clip_grad_norm_([parameter], 1.0, error_if_nonfinite=True)


def compile_whole() -> None:
    torch.compile(lambda x: RNN(x)[0] + 1, backend="eager", fullgraph=True)(X)


RAISED: list[tuple[str, str, Callable[[], object]]] = [
    ("error-size-zero", "hidden_size must be greater than zero", lambda: nn.RNN(H_in, 0)),
    (
        "error-size-type",
        "hidden_size should be of type int, got",
        lambda: nn.GRU(H_in, H_out / 2),
    ),
    ("error-bool-type", "should be of type bool, got", lambda: nn.RNN(H_in, 2, batch_first=1)),
    (
        "error-float-integer",
        "'float' object cannot be interpreted as an integer",
        lambda: nn.RNN(H_in, H_out, 2.0),
    ),
    (
        "error-size-bool",
        "empty(): argument 'size' (position 1) must be tuple of ints",
        lambda: nn.RNN(H_in, True),
    ),
    (
        "error-missing-hidden",
        "missing 1 required positional argument: 'hidden_size'",
        lambda: nn.RNN(H_in),
    ),
    (
        "error-unexpected-argument",
        "got an unexpected keyword argument",
        lambda: nn.RNN(H_in, H_out, return_sequences=True),
    ),
    ("error-nonlinearity", "Unknown nonlinearity", lambda: nn.RNN(H_in, H_out, 1, False)),
    (
        "error-proj-size-lstm",
        "proj_size argument is only supported for LSTM",
        lambda: nn.GRU(H_in, H_out, proj_size=5),
    ),
    (
        "error-proj-size",
        "proj_size has to be smaller than hidden_size",
        lambda: nn.LSTM(H_in, H_out, proj_size=H_out),
    ),
    (
        "error-dropout-range",
        "dropout should be a number in range [0, 1]",
        lambda: nn.RNN(H_in, H_out, 2, dropout=20),
    ),
    (
        "error-dropout-layers",
        "dropout option adds dropout after all but last recurrent layer",
        lambda: nn.GRU(H_in, H_out, dropout=0.5),
    ),
    ("error-mode", "Unrecognized RNN mode", lambda: nn.RNNBase("VANILLA", H_in, H_out)),
    (
        "error-leaf",
        "a leaf Variable that requires grad is being used in an in-place operation",
        lambda: next(RNN.parameters()).fill_(0),
    ),
    (
        "error-fan",
        "Fan in and fan out can not be computed for tensor",
        lambda: nn.init.xavier_uniform_(torch.zeros(H_out)),
    ),
    (
        "error-assign",
        "cannot assign 'torch.FloatTensor' as parameter",
        lambda: setattr(RNN, "bias_hh_l0", torch.zeros(H_out)),
    ),
    (
        "error-no-bias",
        "object has no attribute 'bias_ih_l0'",
        lambda: nn.RNN(H_in, H_out, bias=False).bias_ih_l0,
    ),
    (
        "error-missing-keys",
        "Missing key(s) in state_dict",
        lambda: CELL_RNN.load_state_dict(RNN.state_dict()),
    ),
    (
        "error-unexpected-keys",
        "Unexpected key(s) in state_dict",
        lambda: RNN.load_state_dict({f"module.{k}": p for k, p in RNN.state_dict().items()}),
    ),
    (
        "error-size-mismatch",
        "size mismatch for weight_ih_l0",
        lambda: RNN.load_state_dict(LSTM.state_dict()),
    ),
    ("error-weights-only", "Weights only load failed", load_pickled),
    (
        "error-meta-copy",
        "Cannot copy out of meta tensor",
        lambda: nn.GRU(H_in, H_out, device="meta").to("cpu"),
    ),
    ("error-input-dim", "Expected input to be 2D or 3D, got", lambda: RNN(X[0, 0])),
    ("error-input-size", "input.size(-1) must be equal to input_size", lambda: RNN(X[..., 1:])),
    (
        "error-no-steps",
        "Expected sequence length to be larger than 0 in RNN",
        lambda: RNN(X[:, :0]),
    ),
    (
        "error-numpy-dim",
        "'numpy.ndarray' object has no attribute 'dim'",
        lambda: RNN(np.zeros((N, L, H_in))),
    ),
    (
        "error-forward-arguments",
        "positional arguments but 4 were given",
        lambda: LSTM(X, *PAIR),
    ),
    ("error-hidden-size", "Expected hidden size", lambda: RNN(X, STATE[:, 1:])),
    ("error-hidden-0-size", "Expected hidden[0] size", lambda: LSTM(X[1:], PAIR)),
    (
        "error-batched-hx",
        "For batched 3-D input, hx should also be 3-D",
        lambda: RNN(X, STATE[0]),
    ),
    (
        "error-unbatched-hx",
        "For unbatched 2-D input, hx should also be 2-D",
        lambda: RNN(X[0], STATE),
    ),
    (
        "error-batched-hx-cx",
        "For batched 3-D input, hx and cx should also be 3-D",
        lambda: LSTM(X, (STATE[0], STATE[0])),
    ),
    (
        "error-unbatched-hx-cx",
        "For unbatched 2-D input, hx and cx should also be 2-D",
        lambda: LSTM(X[0], PAIR),
    ),
    (
        "error-index-1",
        "index 1 is out of bounds for dimension 0 with size 1",
        lambda: LSTM(X, STATE),
    ),
    ("error-tuple-dim", "'tuple' object has no attribute 'dim'", lambda: RNN(X, PAIR)),
    (
        "error-linear-tuple",
        "linear(): argument 'input' (position 1) must be Tensor, not tuple",
        lambda: nn.Sequential(RNN, nn.Linear(H_out, 2))(X),
    ),
    ("error-unpack", "not enough values to unpack (expected 3, got 2)", unpack_three),
    ("error-tuple-shape", "'tuple' object has no attribute 'shape'", lambda: LSTM(X).shape),
    (
        "error-mat1-mat2",
        "mat1 and mat2 shapes cannot be multiplied",
        lambda: nn.Linear(H_in, 2)(RNN(X)[0]),
    ),
    (
        "error-view-stride",
        "view size is not compatible with input tensor's size and stride",
        lambda: RNN(X)[0].view(N * L, H_out),
    ),
    (
        "error-target-size",
        "Expected target size",
        lambda: nn.functional.cross_entropy(
            torch.zeros(N, L, 7), torch.zeros(N, L, dtype=torch.long)
        ),
    ),
    (
        "error-batch-match",
        "to match target batch_size",
        lambda: nn.functional.cross_entropy(
            torch.zeros(N * L, 7), torch.zeros(N, dtype=torch.long)
        ),
    ),
    (
        "error-target-broadcast",
        "that is different to the input size",
        lambda: nn.functional.mse_loss(torch.zeros(N, 1), torch.zeros(N)),
    ),
    ("error-dtype", "does not match weight dtype", lambda: RNN(X.double())),
    (
        "error-mat-dtype",
        "mat1 and mat2 must have the same dtype",
        lambda: RNN(X, STATE.double()),
    ),
    (
        "error-mkldnn-dtype",
        "get_mkldnn_dtype: unsupported data type",
        lambda: LSTM(X, (STATE.double(), STATE.double())),
    ),
    (
        "error-device-parameter",
        "Input and parameter tensors are not at the same device",
        lambda: RNN(X.to("meta")),
    ),
    (
        "error-device-hidden",
        "Input and hidden tensors are not at the same device",
        lambda: nn.RNN(H_in, H_out, device="meta")(X[0].to("meta"), STATE[:, 0]),
    ),
    (
        "error-embedding-range",
        "index out of range in self",
        lambda: nn.Embedding(7, H_in)(torch.tensor([7])),
    ),
    (
        "error-embedding-dtype",
        "to have one of the following scalar types: Long, Int",
        lambda: nn.Embedding(7, H_in)(torch.tensor([1.0])),
    ),
    ("error-cell-dim", "Expected input to be 1D or 2D, got", lambda: CELL_LSTM(X)),
    ("error-cell-input", "input has inconsistent input_size", lambda: CELL_RNN(X[:, 0, 1:])),
    (
        "error-cell-hidden",
        "has inconsistent hidden_size",
        lambda: CELL_RNN(X[:, 0], STATE[0, :, 1:]),
    ),
    (
        "error-cell-batch",
        "doesn't match hidden0 batch size",
        lambda: CELL_RNN(X[:, 0], STATE[0, 1:]),
    ),
    (
        "error-cell-tuple",
        "must be tuple of Tensors, not Tensor",
        lambda: CELL_LSTM(X[:, 0], STATE[0]),
    ),
    (
        "error-stack",
        "stack expects each tensor to be equal size",
        lambda: torch.utils.data.default_collate([X[0], X[1, 1:]]),
    ),
    (
        "error-pad-features",
        "must match the size of tensor b",
        lambda: pad_sequence([X[0].T, X[1, 1:].T]),
    ),
    (
        "error-list-tensor",
        "expected Tensor as element 0 in argument 0, but got list",
        lambda: pad_sequence([[4, 1], [2]]),  # type: ignore[list-item] # the mistake
    ),
    (
        "error-sorted",
        "`lengths` array must be sorted in decreasing order",
        lambda: pack(X, LENGTHS.flip(0)),
    ),
    (
        "error-length-zero",
        "Length of all samples has to be greater than 0",
        lambda: pack(X, [L, 1, 0]),
    ),
    (
        "error-len-lengths",
        "Expected `len(lengths)` to be equal to batch_size",
        lambda: pack_padded_sequence(X, LENGTHS),
    ),
    (
        "error-lengths-1d",
        "'lengths' argument should be a 1D CPU int64 tensor",
        lambda: pack(X, LENGTHS[:, None]),
    ),
    ("error-pack-empty", "Cannot pack empty tensors.", lambda: pack(X[:0], LENGTHS[:0])),
    (
        "error-packed-linear",
        "must be Tensor, not PackedSequence",
        lambda: nn.Linear(H_in, 2)(PACKED),
    ),
    (
        "error-packed-attribute",
        "'PackedSequence' object has no attribute",
        lambda: PACKED.shape,  # type: ignore[attr-defined] # the mistake
    ),
    (
        "error-packed-state",
        "at non-singleton dimension 0",
        lambda: LSTM(PACKED, (torch.zeros(1, N + 1, H_out), STATE)),
    ),
    (
        "error-packed-features",
        "mat1 and mat2 shapes cannot be multiplied",
        lambda: LSTM(pack(X[..., 1:], LENGTHS)),
    ),
    ("error-too-long", "exceeds dimension size", lambda: RNN(pack(X, LENGTHS + 1))),
    (
        "error-hand-made",
        "doesn't match the broadcast shape",
        lambda: RNN(PackedSequence(X.flatten(end_dim=1)[:6], torch.tensor([1, 2, 3]))),
    ),
    (
        "error-batch-sizes",
        "object has no attribute 'batch_sizes'",
        lambda: pad_packed_sequence(RNN(PACKED)),
    ),
    (
        "error-total-length",
        "Expected total_length to be at least the length of the longest sequence",
        lambda: pad_packed_sequence(PACKED, total_length=L - 1),
    ),
    (
        "error-backward-twice",
        "Trying to backward through the graph a second time",
        backward_twice,
    ),
    ("error-inplace", "modified by an inplace operation", write_over),
    (
        "error-no-grad-fn",
        "does not require grad and does not have a grad_fn",
        without_graph,
    ),
    (
        "error-scalar",
        "grad can be implicitly created only for scalar outputs",
        lambda: RNN(X)[0].backward(),
    ),
    (
        "error-numpy-grad",
        "Can't call numpy() on Tensor that requires grad",
        lambda: RNN(X)[0].numpy(),
    ),
    ("error-deepcopy", "support the deepcopy protocol", lambda: copy.deepcopy(RNN(X)[1])),
    (
        "error-non-leaf-grad",
        "The .grad attribute of a Tensor that is not a leaf Tensor",
        lambda: RNN(X)[1].grad,
    ),
    ("error-detach-view", "Can't detach views in-place", lambda: RNN(X)[0][:, -1].detach_()),
    ("error-non-finite", "for gradients from `parameters` is non-finite", clip_infinite),
    (
        "error-clip-deprecated",
        "`torch.nn.utils.clip_grad_norm` is now deprecated",
        lambda: nn.utils.clip_grad_norm(RNN.parameters(), 1.0),
    ),
    ("error-compile", "Attempted to wrap RNN, GRU, or LSTM", compile_whole),
    (
        "error-export-flat",
        "were assigned during export",
        lambda: torch.export.export(RNN, (X,)),
    ),
    ("error-script", "`torch.jit.script` is deprecated", lambda: torch.jit.script(RNN)),
    ("error-vmap", "Batching rule not implemented for", lambda: vmap(RNN)(X)),
]
"""The label of each entry, the words of its heading, and what raises the message."""

# ruff: noqa: C408, E501, N812, RUF059 # written as people write it
# The same for the types:
# mypy: ignore-errors
"""Wrong nn.RNN implementations, single layer and cells."""

import math

import torch
import torch.nn.functional as F
from torch import nn

CASES = []


def case(name, truth):
    def deco(build):
        CASES.append(dict(name=name, build=build, truth=truth))
        return build

    return deco


def start(ref, x, hx):
    if hx is not None:
        return hx
    B = x.shape[0] if ref.batch_first else x.shape[1]
    D = 2 if ref.bidirectional else 1
    return x.new_zeros(ref.num_layers * D, B, ref.hidden_size)


@case(
    "rnn_missing_b_hh",
    "the recurrent bias b_hh is never added (hidden-to-hidden linear has no bias)",
)
def rnn_missing_b_hh():
    torch.manual_seed(101)
    ref = nn.RNN(5, 7)

    class MyRNN(nn.Module):
        def __init__(self):
            super().__init__()
            self.i2h = nn.Linear(5, 7)
            self.h2h = nn.Linear(7, 7, bias=False)
            with torch.no_grad():
                self.i2h.weight.copy_(ref.weight_ih_l0)
                self.i2h.bias.copy_(ref.bias_ih_l0)
                self.h2h.weight.copy_(ref.weight_hh_l0)

        def forward(self, x, hx=None):
            h = start(ref, x, hx)[0]
            ys = []
            for x_t in x:
                h = torch.tanh(self.i2h(x_t) + self.h2h(h))
                ys.append(h)
            return torch.stack(ys), h.unsqueeze(0)

    return MyRNN(), ref, {}


@case("rnn_bias_after_tanh", "b_hh is added after the tanh instead of inside it")
def rnn_bias_after_tanh():
    torch.manual_seed(102)
    ref = nn.RNN(5, 7)

    def cand(x, hx=None):
        W, U = ref.weight_ih_l0, ref.weight_hh_l0
        h = start(ref, x, hx)[0]
        ys = []
        for t in range(len(x)):
            h = torch.tanh(x[t] @ W.T + ref.bias_ih_l0 + h @ U.T) + ref.bias_hh_l0
            ys.append(h)
        return torch.stack(ys), h[None]

    return cand, ref, {}


@case("rnn_relu_for_tanh", "relu is used where the reference uses tanh")
def rnn_relu_for_tanh():
    torch.manual_seed(103)
    ref = nn.RNN(6, 9)

    def cand(x, hx=None):
        h = start(ref, x, hx)[0]
        pre = F.linear(x, ref.weight_ih_l0, ref.bias_ih_l0)
        ys = []
        for p in pre:
            h = F.relu(p + F.linear(h, ref.weight_hh_l0, ref.bias_hh_l0))
            ys.append(h)
        return torch.stack(ys), h[None]

    return cand, ref, {}


@case("rnn_whh_not_transposed", "W_hh is multiplied untransposed (h @ W_hh instead of h @ W_hh.T)")
def rnn_whh_not_transposed():
    torch.manual_seed(104)
    ref = nn.RNN(5, 8, batch_first=True)

    def cand(x, hx=None):
        h = start(ref, x, hx)[0]
        ys = []
        for t in range(x.size(1)):
            h = torch.tanh(
                x[:, t] @ ref.weight_ih_l0.t()
                + ref.bias_ih_l0
                + h @ ref.weight_hh_l0
                + ref.bias_hh_l0
            )
            ys.append(h)
        return torch.stack(ys, 1), h[None]

    return cand, ref, {}


@case("rnn_hx_ignored", "the given initial state is ignored; the network always starts from zeros")
def rnn_hx_ignored():
    torch.manual_seed(105)
    ref = nn.RNN(5, 7)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.RNNCell(5, 7)
            self.cell.load_state_dict({k[:-3]: v for k, v in ref.state_dict().items()})

        def init_hidden(self, x):
            return x.new_zeros(x.size(1), 7)

        def forward(self, x, hx=None):
            h = self.init_hidden(x)
            out = []
            for t in range(x.size(0)):
                h = self.cell(x[t], h)
                out.append(h)
            return torch.stack(out), h.unsqueeze(0)

    return Net(), ref, {}


@case(
    "rnn_state_never_updated",
    "every step uses the initial state hx; the new h is stored under another name and never carried on",
)
def rnn_state_never_updated():
    torch.manual_seed(106)
    ref = nn.RNN(4, 7)

    def cand(x, hx=None):
        h = start(ref, x, hx)[0]
        outs = []
        for x_t in x:
            h_next = torch.tanh(
                F.linear(x_t, ref.weight_ih_l0, ref.bias_ih_l0)
                + F.linear(h, ref.weight_hh_l0, ref.bias_hh_l0)
            )
            outs.append(h_next)
        return torch.stack(outs), h_next.unsqueeze(0)

    return cand, ref, {}


@case(
    "rnn_output_preactivation",
    "output holds the pre-activation values; only the state passes through tanh",
)
def rnn_output_preactivation():
    torch.manual_seed(107)
    ref = nn.RNN(5, 7)

    def cand(x, hx=None):
        h = start(ref, x, hx)[0]
        outs = []
        for x_t in x:
            a = F.linear(x_t, ref.weight_ih_l0, ref.bias_ih_l0) + F.linear(
                h, ref.weight_hh_l0, ref.bias_hh_l0
            )
            h = a.tanh()
            outs.append(a)
        return torch.stack(outs), h.unsqueeze(0)

    return cand, ref, {}


@case(
    "rnn_same_buffer_stored",
    "the list of outputs holds the same in-place updated buffer, so every time step of output equals the last one",
)
def rnn_same_buffer_stored():
    torch.manual_seed(108)
    ref = nn.RNN(5, 7)

    def cand(x, hx=None):
        with torch.no_grad():
            h = start(ref, x, hx)[0].clone()
            outs = []
            for t in range(x.shape[0]):
                h[:] = torch.tanh(
                    x[t] @ ref.weight_ih_l0.T
                    + ref.bias_ih_l0
                    + h @ ref.weight_hh_l0.T
                    + ref.bias_hh_l0
                )
                outs.append(h)
            return torch.stack(outs), h.unsqueeze(0)

    return cand, ref, {}


@case(
    "rnn_batch_first_view_output",
    "with batch_first the (T, B, H) stack is viewed as (B, T, H) instead of transposed",
)
def rnn_batch_first_view_output():
    torch.manual_seed(109)
    ref = nn.RNN(5, 7, batch_first=True)

    def cand(x, hx=None):
        B, T, _ = x.shape
        h = start(ref, x, hx)[0]
        outs = []
        for t in range(T):
            h = torch.tanh(
                F.linear(x[:, t, :], ref.weight_ih_l0, ref.bias_ih_l0)
                + F.linear(h, ref.weight_hh_l0, ref.bias_hh_l0)
            )
            outs.append(h)
        out = torch.cat(outs, dim=0).view(B, T, -1)
        return out, h.unsqueeze(0)

    return cand, ref, {}


@case(
    "rnn_tanh_twice_on_output", "tanh is applied once more to the stacked output (state is right)"
)
def rnn_tanh_twice_on_output():
    torch.manual_seed(110)
    ref = nn.RNN(5, 7)

    def cand(x, hx=None):
        h = start(ref, x, hx)[0]
        outs = []
        for x_t in x:
            h = torch.tanh(
                F.linear(x_t, ref.weight_ih_l0, ref.bias_ih_l0)
                + F.linear(h, ref.weight_hh_l0, ref.bias_hh_l0)
            )
            outs.append(h)
        return torch.tanh(torch.stack(outs)), h[None]

    return cand, ref, {}


@case(
    "rnn_leaky_integrator",
    "echo-state leaky update h = 0.7*h_old + 0.3*tanh(...) instead of h = tanh(...)",
)
def rnn_leaky_integrator():
    torch.manual_seed(111)
    ref = nn.RNN(5, 7)
    leak = 0.3

    def cand(x, hx=None):
        h = start(ref, x, hx)[0]
        outs = []
        for u in x:
            pre = (
                ref.weight_ih_l0 @ u.T
                + ref.weight_hh_l0 @ h.T
                + (ref.bias_ih_l0 + ref.bias_hh_l0)[:, None]
            )
            h = (1 - leak) * h + leak * torch.tanh(pre).T
            outs.append(h)
        return torch.stack(outs), h[None]

    return cand, ref, {}


@case("rnn_cell_layernorm_preact", "the summed pre-activation is layer-normalised before the tanh")
def rnn_cell_layernorm_preact():
    torch.manual_seed(112)
    ref = nn.RNNCell(5, 7)

    class LNCell(nn.Module):
        def __init__(self):
            super().__init__()
            self.ih = nn.Linear(5, 7)
            self.hh = nn.Linear(7, 7)
            self.ln = nn.LayerNorm(7)
            self.ih.load_state_dict(dict(weight=ref.weight_ih, bias=ref.bias_ih))
            self.hh.load_state_dict(dict(weight=ref.weight_hh, bias=ref.bias_hh))

        def forward(self, x, h):
            return torch.tanh(self.ln(self.ih(x) + self.hh(h)))

    return LNCell(), ref, {}


@case(
    "rnn_output_shifted",
    "output[t] is the state before step t (append happens before the update), so output is one step late and starts with hx",
)
def rnn_output_shifted():
    torch.manual_seed(113)
    ref = nn.RNN(5, 7)

    def cand(x, hx=None):
        h = start(ref, x, hx)[0]
        outs = []
        for t in range(x.size(0)):
            outs.append(h)
            h = torch.tanh(
                F.linear(x[t], ref.weight_ih_l0, ref.bias_ih_l0)
                + F.linear(h, ref.weight_hh_l0, ref.bias_hh_l0)
            )
        return torch.stack(outs), h.unsqueeze(0)

    return cand, ref, {}


@case(
    "rnn_time_backwards",
    "the sequence is processed from last to first step (outputs stored in their own slots) though the RNN is unidirectional",
)
def rnn_time_backwards():
    torch.manual_seed(114)
    ref = nn.RNN(5, 7, nonlinearity="relu")

    def cand(x, hx=None):
        T, B, _ = x.shape
        h = start(ref, x, hx)[0]
        outs = [None] * T
        for t in reversed(range(T)):
            h = torch.relu(
                F.linear(x[t], ref.weight_ih_l0, ref.bias_ih_l0)
                + F.linear(h, ref.weight_hh_l0, ref.bias_hh_l0)
            )
            outs[t] = h
        return torch.stack(outs), h.unsqueeze(0)

    return cand, ref, {}


@case("rnn_whh_scaled", "the recurrent product is divided by sqrt(hidden_size)")
def rnn_whh_scaled():
    torch.manual_seed(115)
    ref = nn.RNNCell(6, 8)

    def cand(x, h):
        rec = torch.einsum("bh,kh->bk", h, ref.weight_hh) / math.sqrt(ref.hidden_size)
        inp = torch.einsum("bi,ki->bk", x, ref.weight_ih)
        return torch.tanh(inp + ref.bias_ih + rec + ref.bias_hh)

    return cand, ref, {}

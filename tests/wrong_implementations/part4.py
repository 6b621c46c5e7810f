# ruff: noqa: C408, E501, E741, N802, N812, RUF059 # written as people write it
# The same for the types:
# mypy: ignore-errors
"""Wrong nn.GRU stacks/bidirectional (5) and nn.LSTM one layer (10)."""

import torch
import torch.nn.functional as F
from torch import nn

CASES = []


def case(name, truth):
    def deco(build):
        CASES.append(dict(name=name, build=build, truth=truth))
        return build

    return deco


def zeros(ref, x):
    B = x.shape[0] if ref.batch_first else x.shape[1]
    D = 2 if ref.bidirectional else 1
    return x.new_zeros(ref.num_layers * D, B, ref.hidden_size)


def P(ref, l, suffix=""):
    return [
        getattr(ref, f"{n}_l{l}{suffix}") for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]


def gru_step(x, h, w, u, b, c):
    xr, xz, xn = F.linear(x, w, b).chunk(3, -1)
    hr, hz, hn = F.linear(h, u, c).chunk(3, -1)
    r = torch.sigmoid(xr + hr)
    z = torch.sigmoid(xz + hz)
    n = torch.tanh(xn + r * hn)
    return (1 - z) * n + z * h


def scan(x, h, p):
    ys = []
    for x_t in x:
        h = gru_step(x_t, h, *p)
        ys.append(h)
    return torch.stack(ys), h


@case(
    "gru2_returns_first_layer",
    "the output is layer 0's sequence instead of the last layer's (h_n is right)",
)
def gru2_returns_first_layer():
    torch.manual_seed(401)
    ref = nn.GRU(5, 7, num_layers=2)

    def cand(x, hx=None):
        hx = zeros(ref, x) if hx is None else hx
        out, h1 = scan(x, hx[0], P(ref, 0))
        out2, h2 = scan(out, hx[1], P(ref, 1))
        return out, torch.stack([h1, h2])

    return cand, ref, {}


@case(
    "gru_bi_backward_continues",
    "the backward direction starts from the forward direction's final state instead of hx[1]",
)
def gru_bi_backward_continues():
    torch.manual_seed(402)
    ref = nn.GRU(5, 7, bidirectional=True)

    def cand(x, hx=None):
        hx = zeros(ref, x) if hx is None else hx
        T = x.size(0)
        h = hx[0]
        fwd, bwd, hn = [], [], []
        for t in range(T):
            h = gru_step(x[t], h, *P(ref, 0))
            fwd.append(h)
        hn.append(h)
        for t in range(T - 1, -1, -1):
            h = gru_step(x[t], h, *P(ref, 0, "_reverse"))
            bwd.insert(0, h)
        hn.append(h)
        return torch.cat([torch.stack(fwd), torch.stack(bwd)], -1), torch.stack(hn)

    return cand, ref, {}


@case(
    "gru2_bi_hx_wrong_index",
    "the initial states are indexed as direction-major (hx[layer + num_layers*direction]) instead of hx[2*layer + direction]; h_n order is right",
)
def gru2_bi_hx_wrong_index():
    torch.manual_seed(403)
    ref = nn.GRU(5, 7, num_layers=2, bidirectional=True, batch_first=True)

    def cand(x, hx=None):
        hx = zeros(ref, x) if hx is None else hx
        L = ref.num_layers
        inp = x.transpose(0, 1)
        hn = []
        for l in range(L):
            f, hf = scan(inp, hx[l], P(ref, l))
            r, hr = scan(inp.flip(0), hx[l + L], P(ref, l, "_reverse"))
            inp = torch.cat([f, r.flip(0)], -1)
            hn += [hf, hr]
        return inp.transpose(0, 1), torch.stack(hn)

    return cand, ref, {}


@case(
    "gru2_bi_hn_direction_major",
    "h_n is stacked as all forward layers then all backward layers instead of forward/backward per layer",
)
def gru2_bi_hn_direction_major():
    torch.manual_seed(404)
    ref = nn.GRU(5, 7, num_layers=2, bidirectional=True)

    def cand(x, hx=None):
        hx = zeros(ref, x) if hx is None else hx
        hf_all, hb_all = [], []
        for l in range(2):
            f, hf = scan(x, hx[2 * l], P(ref, l))
            r, hr = scan(x.flip(0), hx[2 * l + 1], P(ref, l, "_reverse"))
            x = torch.cat([f, r.flip(0)], -1)
            hf_all.append(hf)
            hb_all.append(hr)
        return x, torch.stack(hf_all + hb_all)

    return cand, ref, {}


@case(
    "gru3_last_layer_reset_before",
    "layer 2 (the top) alone uses the reset-before-product form U_n (r*h) + b_hn; layers 0 and 1 are right",
)
def gru3_last_layer_reset_before():
    torch.manual_seed(405)
    ref = nn.GRU(5, 7, num_layers=3)

    def cand(x, hx=None):
        hx = zeros(ref, x) if hx is None else hx
        hn = []
        for l in range(2):
            x, h = scan(x, hx[l], P(ref, l))
            hn.append(h)
        w, u, b, c = P(ref, 2)
        h, ys = hx[2], []
        for x_t in x:
            gi = F.linear(x_t, w, b)
            r, z = torch.sigmoid(gi[:, :14] + F.linear(h, u[:14], c[:14])).chunk(2, -1)
            n = torch.tanh(gi[:, 14:] + F.linear(r * h, u[14:], c[14:]))
            h = (1 - z) * n + z * h
            ys.append(h)
        hn.append(h)
        return torch.stack(ys), torch.stack(hn)

    return cand, ref, {}


# ---------------------------------------------------------------- LSTM


@case("lstm_order_ifog", "gates are unpacked as i, f, o, g (instead of i, f, g, o)")
def lstm_order_ifog():
    torch.manual_seed(406)
    ref = nn.LSTM(5, 7)

    def cand(x, hx=None):
        h, c = (zeros(ref, x)[0],) * 2 if hx is None else (hx[0][0], hx[1][0])
        w, u, b, d = P(ref, 0)
        ys = []
        for x_t in x:
            i, f, o, g = (F.linear(x_t, w, b) + F.linear(h, u, d)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            ys.append(h)
        return torch.stack(ys), (h[None], c[None])

    return cand, ref, {}


@case(
    "lstm_tf_order_ijfo",
    "TensorFlow BasicLSTMCell gate order i, j, f, o (input, new input, forget, output)",
)
def lstm_tf_order_ijfo():
    torch.manual_seed(407)
    ref = nn.LSTM(5, 8, batch_first=True)

    def cand(x, hx=None):
        h, c = (zeros(ref, x)[0],) * 2 if hx is None else (hx[0][0], hx[1][0])
        w, u, b, d = P(ref, 0)
        ys = []
        for t in range(x.size(1)):
            concat = torch.cat([x[:, t], h], 1) @ torch.cat([w, u], 1).T + b + d
            i, j, f, o = torch.split(concat, 8, 1)
            c = c * torch.sigmoid(f) + torch.sigmoid(i) * torch.tanh(j)
            h = torch.tanh(c) * torch.sigmoid(o)
            ys.append(h)
        return torch.stack(ys, 1), (h[None], c[None])

    return cand, ref, {}


@case(
    "lstm_forget_bias_one",
    "an extra forget bias of 1.0 is added to the forget gate's pre-activation",
)
def lstm_forget_bias_one():
    torch.manual_seed(408)
    ref = nn.LSTM(5, 7)
    forget_bias = 1.0

    def cand(x, hx=None):
        h, c = (zeros(ref, x)[0],) * 2 if hx is None else (hx[0][0], hx[1][0])
        w, u, b, d = P(ref, 0)
        ys = []
        for x_t in x:
            i, f, g, o = (F.linear(x_t, w, b) + F.linear(h, u, d)).chunk(4, 1)
            c = c * torch.sigmoid(f + forget_bias) + torch.sigmoid(i) * torch.tanh(g)
            h = torch.tanh(c) * torch.sigmoid(o)
            ys.append(h)
        return torch.stack(ys), (h[None], c[None])

    return cand, ref, {}


@case("lstm_no_tanh_on_cell", "h = o * c: the tanh on the cell state is missing")
def lstm_no_tanh_on_cell():
    torch.manual_seed(409)
    ref = nn.LSTM(5, 7)

    def cand(x, hx=None):
        h, c = (zeros(ref, x)[0],) * 2 if hx is None else (hx[0][0], hx[1][0])
        w, u, b, d = P(ref, 0)
        ys = []
        for x_t in x:
            i, f, g, o = (F.linear(x_t, w, b) + F.linear(h, u, d)).chunk(4, 1)
            i, f, o = F.sigmoid(i), F.sigmoid(f), F.sigmoid(o)
            c = f * c + i * torch.tanh(g)
            h = o * c
            ys.append(h)
        return torch.stack(ys), (h[None], c[None])

    return cand, ref, {}


@case("lstmcell_tanh_of_product", "h = tanh(o * c) instead of o * tanh(c)")
def lstmcell_tanh_of_product():
    torch.manual_seed(410)
    ref = nn.LSTMCell(5, 7)

    def cand(x, state):
        h, c = state
        i, f, g, o = (
            F.linear(x, ref.weight_ih, ref.bias_ih) + F.linear(h, ref.weight_hh, ref.bias_hh)
        ).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.tanh(torch.sigmoid(o) * c)
        return h, c

    return cand, ref, {}


@case(
    "lstmcell_stale_cell",
    "h is computed from the old cell state (before the update): h = o * tanh(c_prev)",
)
def lstmcell_stale_cell():
    torch.manual_seed(411)
    ref = nn.LSTMCell(5, 7)

    def cand(x, state):
        h_prev, c_prev = state
        gates = x @ ref.weight_ih.T + ref.bias_ih + h_prev @ ref.weight_hh.T + ref.bias_hh
        s = torch.sigmoid(gates)
        i, f, o = s[:, :7], s[:, 7:14], s[:, 21:]
        g = torch.tanh(gates[:, 14:21])
        h_new = o * torch.tanh(c_prev)
        c_new = f * c_prev + i * g
        return h_new, c_new

    return cand, ref, {}


@case("lstmcell_returns_c_h", "the returned state is (c, h) instead of (h, c)")
def lstmcell_returns_c_h():
    torch.manual_seed(412)
    ref = nn.LSTMCell(5, 7)

    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(12, 28)
            with torch.no_grad():
                self.lin.weight.copy_(torch.cat([ref.weight_ih, ref.weight_hh], 1))
                self.lin.bias.copy_(ref.bias_ih + ref.bias_hh)

        def forward(self, x, state):
            h, c = state
            i, f, g, o = self.lin(torch.cat([x, h], 1)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            return c, h

    return Cell(), ref, {}


@case(
    "lstm_initial_state_swapped",
    "the initial state tuple is unpacked as (c, h) instead of (h, c); the returned state is in the right order",
)
def lstm_initial_state_swapped():
    torch.manual_seed(413)
    ref = nn.LSTM(5, 7)

    def cand(x, hx=None):
        if hx is None:
            hx = (zeros(ref, x), zeros(ref, x))
        c, h = hx
        c, h = c.squeeze(0), h.squeeze(0)
        w, u, b, d = P(ref, 0)
        ys = []
        for x_t in x:
            i, f, g, o = (F.linear(x_t, w, b) + F.linear(h, u, d)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            ys.append(h)
        return torch.stack(ys), (h[None], c[None])

    return cand, ref, {}


@case("lstm_output_is_cell", "the output sequence holds the cell states c_t instead of h_t")
def lstm_output_is_cell():
    torch.manual_seed(414)
    ref = nn.LSTM(6, 7)

    def cand(x, hx=None):
        h, c = (zeros(ref, x)[0],) * 2 if hx is None else (hx[0][0], hx[1][0])
        w, u, b, d = P(ref, 0)
        out = []
        for x_t in x:
            i, f, g, o = (F.linear(x_t, w, b) + F.linear(h, u, d)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            out.append(c)
        return torch.stack(out), (h[None], c[None])

    return cand, ref, {}


@case(
    "lstm_coupled_input_forget",
    "coupled gates: the forget gate is 1 - i, its own weights are never used",
)
def lstm_coupled_input_forget():
    torch.manual_seed(415)
    ref = nn.LSTM(5, 7)

    def cand(x, hx=None):
        h, c = (zeros(ref, x)[0],) * 2 if hx is None else (hx[0][0], hx[1][0])
        w, u, b, d = P(ref, 0)
        ys = []
        for x_t in x:
            i, _, g, o = (F.linear(x_t, w, b) + F.linear(h, u, d)).chunk(4, 1)
            i = torch.sigmoid(i)
            c = (1 - i) * c + i * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            ys.append(h)
        return torch.stack(ys), (h[None], c[None])

    return cand, ref, {}

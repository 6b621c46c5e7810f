# ruff: noqa: C408, E501, E741, N802, N812 # written as people write it
# The same for the types:
# mypy: ignore-errors
"""Wrong nn.RNN stacks / bidirectional, and a few wrong GRU cells."""

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


def P(ref, l, suffix=""):
    return [
        getattr(ref, f"{n}_l{l}{suffix}") for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]


@case("rnn2_layer0_whh_everywhere", "layer 1 uses W_hh of layer 0")
def rnn2_layer0_whh_everywhere():
    torch.manual_seed(201)
    ref = nn.RNN(5, 7, num_layers=2)

    def cand(x, hx=None):
        hx = start(ref, x, hx)
        inp, last = x, []
        for l in range(2):
            w, _, b, c = P(ref, l)
            u = ref.weight_hh_l0
            h = hx[l]
            ys = []
            for x_t in inp:
                h = torch.tanh(F.linear(x_t, w, b) + F.linear(h, u, c))
                ys.append(h)
            inp = torch.stack(ys)
            last.append(h)
        return inp, torch.stack(last)

    return cand, ref, {}


@case(
    "rnn3_state_carried_to_next_layer",
    "layers after the first start from the final state of the layer below instead of their own hx slice",
)
def rnn3_state_carried_to_next_layer():
    torch.manual_seed(202)
    ref = nn.RNN(5, 7, num_layers=3)

    def cand(x, hx=None):
        hx = start(ref, x, hx)
        h = hx[0]
        hn = []
        for l in range(3):
            w, u, b, c = P(ref, l)
            ys = []
            for x_t in x:
                h = torch.tanh(x_t @ w.T + b + h @ u.T + c)
                ys.append(h)
            x = torch.stack(ys)
            hn.append(h)
        return x, torch.stack(hn)

    return cand, ref, {}


@case("rnn3_hn_layers_reversed", "h_n lists the layers in reverse order (last layer first)")
def rnn3_hn_layers_reversed():
    torch.manual_seed(203)
    ref = nn.RNN(5, 7, num_layers=3, nonlinearity="relu", batch_first=True)

    def cand(x, hx=None):
        hx = start(ref, x, hx)
        hs = list(hx)
        outs = []
        for t in range(x.size(1)):
            inp = x[:, t]
            for l in range(3):
                w, u, b, c = P(ref, l)
                hs[l] = F.relu(F.linear(inp, w, b) + F.linear(hs[l], u, c))
                inp = hs[l]
            outs.append(inp)
        return torch.stack(outs, dim=1), torch.stack(hs[::-1])

    return cand, ref, {}


@case(
    "rnn_bi_backward_not_flipped_back",
    "the backward direction's outputs are left in processing order (not flipped back to time order)",
)
def rnn_bi_backward_not_flipped_back():
    torch.manual_seed(204)
    ref = nn.RNN(5, 7, bidirectional=True)

    def one(x, h, p):
        w, u, b, c = p
        ys = []
        for x_t in x:
            h = torch.tanh(F.linear(x_t, w, b) + F.linear(h, u, c))
            ys.append(h)
        return torch.stack(ys), h

    def cand(x, hx=None):
        hx = start(ref, x, hx)
        f, hf = one(x, hx[0], P(ref, 0))
        r, hr = one(torch.flip(x, [0]), hx[1], P(ref, 0, "_reverse"))
        return torch.cat([f, r], dim=-1), torch.stack([hf, hr])

    return cand, ref, {}


@case(
    "rnn_bi_hn_from_output_end",
    "h_n of the backward direction is read from output[-1] (its first step) instead of output[0]",
)
def rnn_bi_hn_from_output_end():
    torch.manual_seed(205)
    ref = nn.RNN(5, 7, bidirectional=True, batch_first=True)

    def cand(x, hx=None):
        hx = start(ref, x, hx)
        B, T, _ = x.shape
        halves = []
        for d, sfx in enumerate(("", "_reverse")):
            w, u, b, c = P(ref, 0, sfx)
            h = hx[d]
            ys = [None] * T
            for t in range(T) if d == 0 else range(T - 1, -1, -1):
                h = torch.tanh(F.linear(x[:, t], w, b) + F.linear(h, u, c))
                ys[t] = h
            halves.append(torch.stack(ys, 1))
        out = torch.cat(halves, 2)
        last = out[:, -1]
        hn = last.view(B, 2, -1).transpose(0, 1).contiguous()
        return out, hn

    return cand, ref, {}


@case(
    "rnn2_bi_concat_swapped",
    "both layers concatenate [backward, forward] instead of [forward, backward]",
)
def rnn2_bi_concat_swapped():
    torch.manual_seed(206)
    ref = nn.RNN(5, 7, num_layers=2, bidirectional=True)

    def cand(x, hx=None):
        hx = start(ref, x, hx)
        hn = []
        for l in range(2):
            res = []
            for d in range(2):
                w, u, b, c = P(ref, l, "_reverse" if d else "")
                h = hx[2 * l + d]
                seq = x.flip(0) if d else x
                ys = []
                for s in seq:
                    h = torch.tanh(F.linear(s, w, b) + F.linear(h, u, c))
                    ys.append(h)
                y = torch.stack(ys)
                res.append(y.flip(0) if d else y)
                hn.append(h)
            fwd, bwd = res
            x = torch.cat((bwd, fwd), dim=-1)
        return x, torch.stack(hn)

    return cand, ref, {}


@case("rnn3_bias_first_layer_only", "biases are added only in layer 0; layers 1 and 2 have none")
def rnn3_bias_first_layer_only():
    torch.manual_seed(207)
    ref = nn.RNN(4, 6, num_layers=3)

    class Stack(nn.Module):
        def __init__(self):
            super().__init__()
            self.ih = nn.ModuleList(
                [nn.Linear(4 if l == 0 else 6, 6, bias=l == 0) for l in range(3)]
            )
            self.hh = nn.ModuleList([nn.Linear(6, 6, bias=l == 0) for l in range(3)])
            with torch.no_grad():
                for l in range(3):
                    w, u, b, c = P(ref, l)
                    self.ih[l].weight.copy_(w)
                    self.hh[l].weight.copy_(u)
                    if l == 0:
                        self.ih[l].bias.copy_(b)
                        self.hh[l].bias.copy_(c)

        def forward(self, x, hx=None):
            h = list(start(ref, x, hx))
            ys = []
            for x_t in x:
                for l in range(3):
                    h[l] = torch.tanh(self.ih[l](x_t) + self.hh[l](h[l]))
                    x_t = h[l]
                ys.append(x_t)
            return torch.stack(ys), torch.stack(h)

    return Stack(), ref, {}


@case(
    "rnn3_skip_plus_last_linear",
    "two mistakes: each layer above the first adds its input to its output (residual), and the last layer has no tanh",
)
def rnn3_skip_plus_last_linear():
    torch.manual_seed(208)
    ref = nn.RNN(5, 7, num_layers=3)

    def cand(x, hx=None):
        hx = start(ref, x, hx)
        hn = []
        for l in range(3):
            w, u, b, c = P(ref, l)
            h = hx[l]
            ys = []
            for x_t in x:
                h = F.linear(x_t, w, b) + F.linear(h, u, c)
                if l < 2:
                    h = torch.tanh(h)
                ys.append(h)
            y = torch.stack(ys)
            x = y if l == 0 else x + y
            hn.append(h)
        return x, torch.stack(hn)

    return cand, ref, {}


@case(
    "rnn2_dropout_mask_between_layers",
    "a fixed inverted-dropout mask (p=0.5) is still applied to layer 0's output before layer 1",
)
def rnn2_dropout_mask_between_layers():
    torch.manual_seed(209)
    ref = nn.RNN(5, 8, num_layers=2)
    p = 0.5
    mask = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0]) / (1 - p)

    def cand(x, hx=None):
        hx = start(ref, x, hx)
        hn = []
        for l in range(2):
            w, u, b, c = P(ref, l)
            h, ys = hx[l], []
            for x_t in x:
                h = torch.tanh(F.linear(x_t, w, b) + F.linear(h, u, c))
                ys.append(h)
            hn.append(h)
            x = torch.stack(ys)
            if l == 0:
                x = x * mask.to(x)
        return x, torch.stack(hn)

    return cand, ref, {}


@case(
    "rnn2_one_shared_h_variable",
    "both layers read and write one shared h: layer 1's recurrent input is layer 0's new state and layer 0's next recurrent input is layer 1's state (hx[0] starts it)",
)
def rnn2_one_shared_h_variable():
    torch.manual_seed(210)
    ref = nn.RNN(5, 7, num_layers=2)

    def cand(x, hx=None):
        hx = start(ref, x, hx)
        h = hx[0]
        hn = [None, None]
        ys = []
        for t in range(x.size(0)):
            inp = x[t]
            for l in range(2):
                w, u, b, c = P(ref, l)
                h = torch.tanh(F.linear(inp, w, b) + F.linear(h, u, c))
                inp = h
                hn[l] = h
            ys.append(h)
        return torch.stack(ys), torch.stack(hn)

    return cand, ref, {}


# ---------------------------------------------------------------- GRU


@case(
    "gru_r_z_swapped",
    "the reset and update gates are unpacked in the wrong order (z, r, n instead of r, z, n)",
)
def gru_r_z_swapped():
    torch.manual_seed(211)
    ref = nn.GRU(5, 7)

    def cand(x, hx=None):
        h = start(ref, x, hx)[0]
        w, u, b, c = P(ref, 0)
        ys = []
        for x_t in x:
            xz, xr, xn = F.linear(x_t, w, b).chunk(3, -1)
            hz, hr, hn = F.linear(h, u, c).chunk(3, -1)
            z = torch.sigmoid(xz + hz)
            r = torch.sigmoid(xr + hr)
            n = torch.tanh(xn + r * hn)
            h = (1 - z) * n + z * h
            ys.append(h)
        return torch.stack(ys), h[None]

    return cand, ref, {}


@case(
    "gru_reset_before_matmul",
    "original-paper form: n = tanh(W x + b + U (r*h) + b_hn), reset applied to h before the recurrent product",
)
def gru_reset_before_matmul():
    torch.manual_seed(212)
    ref = nn.GRU(5, 7)

    def cand(x, hx=None):
        h = start(ref, x, hx)[0]
        w, u, b, c = P(ref, 0)
        W_r, W_z, W_n = w.chunk(3)
        U_r, U_z, U_n = u.chunk(3)
        b_r, b_z, b_n = b.chunk(3)
        c_r, c_z, c_n = c.chunk(3)
        ys = []
        for x_t in x:
            r = torch.sigmoid(x_t @ W_r.T + b_r + h @ U_r.T + c_r)
            z = torch.sigmoid(x_t @ W_z.T + b_z + h @ U_z.T + c_z)
            n = torch.tanh(x_t @ W_n.T + b_n + (r * h) @ U_n.T + c_n)
            h = (1 - z) * n + z * h
            ys.append(h)
        return torch.stack(ys), h[None]

    return cand, ref, {}


@case(
    "gru_bhn_outside_reset",
    "the recurrent bias b_hn of the candidate is added outside the reset product (all biases merged into the input part)",
)
def gru_bhn_outside_reset():
    torch.manual_seed(213)
    ref = nn.GRU(5, 7, batch_first=True)

    def cand(x, hx=None):
        h = start(ref, x, hx)[0]
        w, u, b, c = P(ref, 0)
        gx = F.linear(x, w, b + c)
        ys = []
        for t in range(x.size(1)):
            xr, xz, xn = gx[:, t].chunk(3, -1)
            hr, hz, hn = F.linear(h, u).chunk(3, -1)
            r = torch.sigmoid(xr + hr)
            z = torch.sigmoid(xz + hz)
            n = torch.tanh(xn + r * hn)
            h = n + z * (h - n)
            ys.append(h)
        return torch.stack(ys, 1), h[None]

    return cand, ref, {}


@case("grucell_update_inverted", "the update gate is used the other way round: h = (1-z)*h + z*n")
def grucell_update_inverted():
    torch.manual_seed(214)
    ref = nn.GRUCell(5, 7)

    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.x2h = nn.Linear(5, 21)
            self.h2h = nn.Linear(7, 21)
            self.x2h.load_state_dict(dict(weight=ref.weight_ih, bias=ref.bias_ih))
            self.h2h.load_state_dict(dict(weight=ref.weight_hh, bias=ref.bias_hh))

        def forward(self, x, hidden):
            i_r, i_u, i_n = self.x2h(x).chunk(3, 1)
            h_r, h_u, h_n = self.h2h(hidden).chunk(3, 1)
            resetgate = torch.sigmoid(i_r + h_r)
            updategate = torch.sigmoid(i_u + h_u)
            newgate = torch.tanh(i_n + resetgate * h_n)
            return (1 - updategate) * hidden + updategate * newgate

    return Cell(), ref, {}


@case(
    "grucell_no_reset",
    "the reset gate is missing from the candidate (n = tanh(W x + U h), as if r = 1)",
)
def grucell_no_reset():
    torch.manual_seed(215)
    ref = nn.GRUCell(4, 6)

    def cand(x, h):
        H = ref.hidden_size
        a = x @ ref.weight_ih.T + ref.bias_ih + h @ ref.weight_hh.T + ref.bias_hh
        z = torch.sigmoid(a[:, H : 2 * H])
        n = torch.tanh(a[:, 2 * H :])
        return z * h + (1 - z) * n

    return cand, ref, {}

# ruff: noqa: B905, C408, E501, N812, RET504 # written as people write it
# The same for the types:
# mypy: ignore-errors
"""Wrong nn.GRU implementations, single layer, and cells."""

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


def hard_sigmoid(v):
    return torch.clamp(0.2 * v + 0.5, 0.0, 1.0)


@case(
    "gru_keras_hard_sigmoid",
    "both gates use Keras' hard sigmoid clip(0.2x+0.5, 0, 1) instead of sigmoid",
)
def gru_keras_hard_sigmoid():
    torch.manual_seed(301)
    ref = nn.GRU(5, 7, batch_first=True)

    def cand(x, hx=None):
        h = start(ref, x, hx)[0]
        ys = []
        for t in range(x.size(1)):
            xr, xz, xn = F.linear(x[:, t], ref.weight_ih_l0, ref.bias_ih_l0).chunk(3, -1)
            hr, hz, hn = F.linear(h, ref.weight_hh_l0, ref.bias_hh_l0).chunk(3, -1)
            r, z = hard_sigmoid(xr + hr), hard_sigmoid(xz + hz)
            n = torch.tanh(xn + r * hn)
            h = (1 - z) * n + z * h
            ys.append(h)
        return torch.stack(ys, 1), h[None]

    return cand, ref, {}


@case("gru_candidate_sigmoid", "the candidate n goes through sigmoid instead of tanh")
def gru_candidate_sigmoid():
    torch.manual_seed(302)
    ref = nn.GRU(5, 7)

    def cand(x, hx=None):
        h = start(ref, x, hx)[0]
        ys = []
        for x_t in x:
            gi = F.linear(x_t, ref.weight_ih_l0, ref.bias_ih_l0).chunk(3, -1)
            gh = F.linear(h, ref.weight_hh_l0, ref.bias_hh_l0).chunk(3, -1)
            r = F.sigmoid(gi[0] + gh[0])
            z = F.sigmoid(gi[1] + gh[1])
            n = F.sigmoid(gi[2] + r * gh[2])
            h = (1 - z) * n + z * h
            ys.append(h)
        return torch.stack(ys), h[None]

    return cand, ref, {}


@case(
    "gru_reset_on_everything",
    "the reset gate multiplies the whole candidate pre-activation, r*(W x + U h), instead of only the recurrent part",
)
def gru_reset_on_everything():
    torch.manual_seed(303)
    ref = nn.GRU(5, 7)

    def cand(x, hx=None):
        h = start(ref, x, hx)[0]
        ys = []
        for x_t in x:
            gates = F.linear(x_t, ref.weight_ih_l0, ref.bias_ih_l0) + F.linear(
                h, ref.weight_hh_l0, ref.bias_hh_l0
            )
            r, z, n = gates.chunk(3, dim=1)
            r, z = r.sigmoid(), z.sigmoid()
            n = torch.tanh(r * n)
            h = z * h + (1 - z) * n
            ys.append(h)
        return torch.stack(ys), h[None]

    return cand, ref, {}


@case(
    "gru_reset_on_input_part",
    "the reset gate multiplies the input part (r*(W_n x + b_in) + U_n h + b_hn) instead of the recurrent part",
)
def gru_reset_on_input_part():
    torch.manual_seed(304)
    ref = nn.GRUCell(5, 7)

    def cand(x, h):
        gi = torch.addmm(ref.bias_ih, x, ref.weight_ih.t())
        gh = torch.addmm(ref.bias_hh, h, ref.weight_hh.t())
        ir, iz, inn = gi.split(7, 1)
        hr, hz, hn = gh.split(7, 1)
        r = torch.sigmoid(ir + hr)
        z = torch.sigmoid(iz + hz)
        n = torch.tanh(hn + r * inn)
        return n + z * (h - n)

    return cand, ref, {}


@case(
    "gru_interleaved_gate_view",
    "the stacked pre-activations are viewed as (B, H, 3) (gates interleaved) instead of three blocks of H rows",
)
def gru_interleaved_gate_view():
    torch.manual_seed(305)
    ref = nn.GRU(5, 7)

    def cand(x, hx=None):
        h = start(ref, x, hx)[0]
        B, H = h.shape
        ys = []
        for x_t in x:
            xr, xz, xn = F.linear(x_t, ref.weight_ih_l0, ref.bias_ih_l0).view(B, H, 3).unbind(-1)
            hr, hz, hn = F.linear(h, ref.weight_hh_l0, ref.bias_hh_l0).view(B, H, 3).unbind(-1)
            r = torch.sigmoid(xr + hr)
            z = torch.sigmoid(xz + hz)
            n = torch.tanh(xn + r * hn)
            h = (1 - z) * n + z * h
            ys.append(h)
        return torch.stack(ys), h[None]

    return cand, ref, {}


@case(
    "gru_minimal_gated_unit",
    "minimal gated unit: the z gate is also used as reset gate, r's own weights are never used",
)
def gru_minimal_gated_unit():
    torch.manual_seed(306)
    ref = nn.GRU(6, 9)

    def cand(x, hx=None):
        h = start(ref, x, hx)[0]
        H = ref.hidden_size
        W, U, b, c = ref.weight_ih_l0, ref.weight_hh_l0, ref.bias_ih_l0, ref.bias_hh_l0
        ys = []
        for x_t in x:
            f = torch.sigmoid(
                F.linear(x_t, W[H : 2 * H], b[H : 2 * H]) + F.linear(h, U[H : 2 * H], c[H : 2 * H])
            )
            n = torch.tanh(
                F.linear(x_t, W[2 * H :], b[2 * H :]) + f * F.linear(h, U[2 * H :], c[2 * H :])
            )
            h = f * h + (1 - f) * n
            ys.append(h)
        return torch.stack(ys), h[None]

    return cand, ref, {}


@case(
    "gru_h_reset_in_place",
    "h is multiplied by r in place for the candidate, so the reset is both before the matmul and also on the h of the final mix z*h",
)
def gru_h_reset_in_place():
    torch.manual_seed(307)
    ref = nn.GRU(5, 7)

    def cand(x, hx=None):
        h = start(ref, x, hx)[0].clone()
        W_r, W_z, W_n = ref.weight_ih_l0.detach().split(7)
        U_r, U_z, U_n = ref.weight_hh_l0.detach().split(7)
        b_r, b_z, b_n = ref.bias_ih_l0.detach().split(7)
        c_r, c_z, c_n = ref.bias_hh_l0.detach().split(7)
        ys = []
        for x_t in x:
            r = torch.sigmoid(x_t @ W_r.T + b_r + h @ U_r.T + c_r)
            z = torch.sigmoid(x_t @ W_z.T + b_z + h @ U_z.T + c_z)
            h *= r
            n = torch.tanh(x_t @ W_n.T + b_n + h @ U_n.T + c_n)
            h = (1 - z) * n + z * h
            ys.append(h.clone())
        return torch.stack(ys), h[None]

    return cand, ref, {}


@case("gru_update_not_complemented", "h = n + z*h: the candidate is not weighted by (1-z)")
def gru_update_not_complemented():
    torch.manual_seed(308)
    ref = nn.GRU(5, 7)

    def cand(x, hx=None):
        h = start(ref, x, hx)[0]
        ys = []
        for x_t in x:
            gi = F.linear(x_t, ref.weight_ih_l0, ref.bias_ih_l0)
            gh = F.linear(h, ref.weight_hh_l0, ref.bias_hh_l0)
            r, z = torch.sigmoid(gi[:, :14] + gh[:, :14]).chunk(2, -1)
            n = torch.tanh(gi[:, 14:] + r * gh[:, 14:])
            h = n + z * h
            ys.append(h)
        return torch.stack(ys), h[None]

    return cand, ref, {}


@case(
    "gru_recurrent_rows_z_first",
    "only W_hh and b_hh are unpacked as (z, r, n) (Keras order) while the input weights use (r, z, n)",
)
def gru_recurrent_rows_z_first():
    torch.manual_seed(309)
    ref = nn.GRU(4, 7, batch_first=True)

    def cand(x, hx=None):
        h = start(ref, x, hx)[0]
        ys = []
        for x_t in x.transpose(0, 1):
            xr, xz, xn = F.linear(x_t, ref.weight_ih_l0, ref.bias_ih_l0).chunk(3, -1)
            hz, hr, hn = F.linear(h, ref.weight_hh_l0, ref.bias_hh_l0).chunk(3, -1)
            r = torch.sigmoid(xr + hr)
            z = torch.sigmoid(xz + hz)
            n = torch.tanh(xn + r * hn)
            h = (1 - z) * n + z * h
            ys.append(h)
        return torch.stack(ys, 1), h[None]

    return cand, ref, {}


@case("gru_single_bias", "only b_ih is used; b_hh is missing in all three gates")
def gru_single_bias():
    torch.manual_seed(310)
    ref = nn.GRU(5, 7)

    class NumpyStyleGRU(nn.Module):
        def __init__(self):
            super().__init__()
            sd = ref.state_dict()
            for g, W, U, b in zip(
                "rzn",
                sd["weight_ih_l0"].chunk(3),
                sd["weight_hh_l0"].chunk(3),
                sd["bias_ih_l0"].chunk(3),
            ):
                self.register_parameter("W" + g, nn.Parameter(W.clone()))
                self.register_parameter("U" + g, nn.Parameter(U.clone()))
                self.register_parameter("b" + g, nn.Parameter(b.clone()))

        def forward(self, x, hx=None):
            h = start(ref, x, hx)[0]
            ys = []
            for xt in x:
                r = torch.sigmoid(xt @ self.Wr.T + h @ self.Ur.T + self.br)
                z = torch.sigmoid(xt @ self.Wz.T + h @ self.Uz.T + self.bz)
                n = torch.tanh(xt @ self.Wn.T + r * (h @ self.Un.T) + self.bn)
                h = (1 - z) * n + z * h
                ys.append(h)
            return torch.stack(ys), h[None]

    return NumpyStyleGRU(), ref, {}


@case(
    "grucell_gates_input_only",
    "the update gate is computed from the input alone; its recurrent term U_z h + b_hz is missing",
)
def grucell_gates_input_only():
    torch.manual_seed(311)
    ref = nn.GRUCell(5, 7)

    def cand(x, h):
        xr, xz, xn = F.linear(x, ref.weight_ih, ref.bias_ih).chunk(3, 1)
        hr, _, hn = F.linear(h, ref.weight_hh, ref.bias_hh).chunk(3, 1)
        r = torch.sigmoid(xr + hr)
        z = torch.sigmoid(xz)
        n = torch.tanh(xn + r * hn)
        return (1 - z) * n + z * h

    return cand, ref, {}


@case("grucell_extra_tanh", "an extra tanh is applied to the new state h")
def grucell_extra_tanh():
    torch.manual_seed(312)
    ref = nn.GRUCell(5, 7)

    def cand(x, h):
        gi = F.linear(x, ref.weight_ih, ref.bias_ih)
        gh = F.linear(h, ref.weight_hh, ref.bias_hh)
        r, z = torch.sigmoid(gi + gh)[:, :14].chunk(2, 1)
        n = torch.tanh(gi[:, 14:] + r * gh[:, 14:])
        h = torch.tanh((1 - z) * n + z * h)
        return h

    return cand, ref, {}


@case(
    "gru_softmax_gates",
    "r and z come from a softmax over the pair of gates instead of two sigmoids (so r + z = 1)",
)
def gru_softmax_gates():
    torch.manual_seed(313)
    ref = nn.GRU(5, 7)

    def cand(x, hx=None):
        h = start(ref, x, hx)[0]
        ys = []
        for x_t in x:
            xr, xz, xn = F.linear(x_t, ref.weight_ih_l0, ref.bias_ih_l0).chunk(3, -1)
            hr, hz, hn = F.linear(h, ref.weight_hh_l0, ref.bias_hh_l0).chunk(3, -1)
            r, z = torch.softmax(torch.stack([xr + hr, xz + hz]), dim=0)
            n = torch.tanh(xn + r * hn)
            h = (1 - z) * n + z * h
            ys.append(h)
        return torch.stack(ys), h[None]

    return cand, ref, {}


@case(
    "gru_wikipedia_form",
    "two mistakes: the reset gate is applied before the recurrent product (b_hn outside), and the mix is inverted, h = (1-z)*h + z*n (Chung/Wikipedia form)",
)
def gru_paper_two():
    torch.manual_seed(314)
    ref = nn.GRU(5, 7)

    def cand(x, hx=None):
        h = start(ref, x, hx)[0]
        H = 7
        ys = []
        for x_t in x:
            gi = F.linear(x_t, ref.weight_ih_l0, ref.bias_ih_l0 + ref.bias_hh_l0)
            gh = F.linear(h, ref.weight_hh_l0[: 2 * H])
            r, z = torch.sigmoid(gi[:, : 2 * H] + gh).chunk(2, -1)
            n = torch.tanh(gi[:, 2 * H :] + F.linear(r * h, ref.weight_hh_l0[2 * H :]))
            h = (1 - z) * h + z * n
            ys.append(h)
        return torch.stack(ys), h[None]

    return cand, ref, {}


@case(
    "gru_window_reset",
    "the hidden state is set back to zeros every 3 time steps (truncated-BPTT chunking gone wrong)",
)
def gru_window_reset():
    torch.manual_seed(315)
    ref = nn.GRU(5, 7)

    def step(x_t, h):
        xr, xz, xn = F.linear(x_t, ref.weight_ih_l0, ref.bias_ih_l0).chunk(3, -1)
        hr, hz, hn = F.linear(h, ref.weight_hh_l0, ref.bias_hh_l0).chunk(3, -1)
        r = torch.sigmoid(xr + hr)
        z = torch.sigmoid(xz + hz)
        n = torch.tanh(xn + r * hn)
        return (1 - z) * n + z * h

    def cand(x, hx=None):
        h = start(ref, x, hx)[0]
        ys = []
        for k, chunk in enumerate(x.split(3)):
            if k > 0:
                h = torch.zeros_like(h)
            for x_t in chunk:
                h = step(x_t, h)
                ys.append(h)
        return torch.stack(ys), h[None]

    return cand, ref, {}

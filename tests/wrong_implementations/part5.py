# ruff: noqa: C408, E501, E741, N802, N812, RUF059 # written as people write it
# The same for the types:
# mypy: ignore-errors
"""Wrong nn.LSTM implementations, one layer."""

import torch
import torch.nn.functional as F
from torch import nn

CASES = []


def case(name, truth):
    def deco(build):
        CASES.append(dict(name=name, build=build, truth=truth))
        return build

    return deco


def init(ref, x, hx):
    """(h, c) of the only layer, each (B, H)"""
    if hx is not None:
        return hx[0][0], hx[1][0]
    B = x.shape[0] if ref.batch_first else x.shape[1]
    return x.new_zeros(B, ref.hidden_size), x.new_zeros(B, ref.hidden_size)


def gates_of(ref, x, h):
    return F.linear(x, ref.weight_ih_l0, ref.bias_ih_l0) + F.linear(
        h, ref.weight_hh_l0, ref.bias_hh_l0
    )


@case(
    "lstm_peephole",
    "peephole connections: p_i*c and p_f*c (old cell) and p_o*c (new cell) are added to the i, f and o pre-activations",
)
def lstm_peephole():
    torch.manual_seed(501)
    ref = nn.LSTM(5, 7)

    class PeepholeLSTM(nn.Module):
        def __init__(self):
            super().__init__()
            self.W = nn.Parameter(ref.weight_ih_l0.detach().clone())
            self.U = nn.Parameter(ref.weight_hh_l0.detach().clone())
            self.b = nn.Parameter((ref.bias_ih_l0 + ref.bias_hh_l0).detach().clone())
            self.p_i = nn.Parameter(torch.empty(7).uniform_(-0.4, 0.4))
            self.p_f = nn.Parameter(torch.empty(7).uniform_(-0.4, 0.4))
            self.p_o = nn.Parameter(torch.empty(7).uniform_(-0.4, 0.4))

        def forward(self, x, hx=None):
            h, c = init(ref, x, hx)
            ys = []
            for x_t in x:
                i, f, g, o = (x_t @ self.W.T + h @ self.U.T + self.b).chunk(4, 1)
                i = torch.sigmoid(i + self.p_i * c)
                f = torch.sigmoid(f + self.p_f * c)
                c = f * c + i * torch.tanh(g)
                o = torch.sigmoid(o + self.p_o * c)
                h = o * torch.tanh(c)
                ys.append(h)
            return torch.stack(ys), (h[None], c[None])

    return PeepholeLSTM(), ref, {}


@case(
    "lstm_concat_h_x_order",
    "the step's input is cat([h, x]) while the combined weight is cat([W_ih, W_hh]): columns do not match",
)
def lstm_concat_h_x_order():
    torch.manual_seed(502)
    ref = nn.LSTM(5, 7, batch_first=True)

    def cand(x, hx=None):
        h, c = init(ref, x, hx)
        W = torch.cat([ref.weight_ih_l0, ref.weight_hh_l0], dim=1)
        b = ref.bias_ih_l0 + ref.bias_hh_l0
        ys = []
        for t in range(x.shape[1]):
            combined = torch.cat((h, x[:, t, :]), dim=1)
            i, f, g, o = F.linear(combined, W, b).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            ys.append(h)
        return torch.stack(ys, 1), (h[None], c[None])

    return cand, ref, {}


@case(
    "lstm_gates_viewed_4_B_H",
    "the (B, 4H) gate tensor is viewed as (4, B, H), which mixes gates and batch rows, instead of being chunked along the last dimension",
)
def lstm_gates_viewed_4_B_H():
    torch.manual_seed(503)
    ref = nn.LSTM(5, 7)

    def cand(x, hx=None):
        h, c = init(ref, x, hx)
        ys = []
        for x_t in x:
            i, f, g, o = gates_of(ref, x_t, h).view(4, x_t.size(0), ref.hidden_size)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            ys.append(h)
        return torch.stack(ys), (h[None], c[None])

    return cand, ref, {}


@case(
    "lstm_sigmoid_first_three_blocks",
    "sigmoid is applied to the first three blocks and tanh to the last, so g gets sigmoid and o gets tanh",
)
def lstm_sigmoid_first_three_blocks():
    torch.manual_seed(504)
    ref = nn.LSTM(5, 7)

    def cand(x, hx=None):
        h, c = init(ref, x, hx)
        H = ref.hidden_size
        ys = []
        for x_t in x:
            a = gates_of(ref, x_t, h)
            a = torch.cat([torch.sigmoid(a[:, : 3 * H]), torch.tanh(a[:, 3 * H :])], dim=1)
            i, f, g, o = [a[:, k * H : (k + 1) * H] for k in range(4)]
            c = f * c + i * g
            h = o * torch.tanh(c)
            ys.append(h)
        return torch.stack(ys), (h[None], c[None])

    return cand, ref, {}


@case("lstmcell_no_forget_gate", "original 1997 LSTM: there is no forget gate, c = c + i*g (f = 1)")
def lstmcell_no_forget_gate():
    torch.manual_seed(505)
    ref = nn.LSTMCell(5, 7)

    def cand(x, state):
        h, c = state
        W_i, _, W_g, W_o = ref.weight_ih.chunk(4)
        U_i, _, U_g, U_o = ref.weight_hh.chunk(4)
        b_i, _, b_g, b_o = (ref.bias_ih + ref.bias_hh).chunk(4)
        i = torch.sigmoid(x @ W_i.T + h @ U_i.T + b_i)
        g = torch.tanh(x @ W_g.T + h @ U_g.T + b_g)
        o = torch.sigmoid(x @ W_o.T + h @ U_o.T + b_o)
        c = c + i * g
        return o * torch.tanh(c), c

    return cand, ref, {}


@case("lstm_g_bias_missing", "the g gate alone lacks its recurrent bias b_hg")
def lstm_g_bias_missing():
    torch.manual_seed(506)
    ref = nn.LSTM(5, 7)

    def cand(x, hx=None):
        h, c = init(ref, x, hx)
        W_ii, W_if, W_ig, W_io = ref.weight_ih_l0.chunk(4)
        W_hi, W_hf, W_hg, W_ho = ref.weight_hh_l0.chunk(4)
        b_ii, b_if, b_ig, b_io = ref.bias_ih_l0.chunk(4)
        b_hi, b_hf, b_hg, b_ho = ref.bias_hh_l0.chunk(4)
        ys = []
        for x_t in x:
            i = torch.sigmoid(F.linear(x_t, W_ii, b_ii) + F.linear(h, W_hi, b_hi))
            f = torch.sigmoid(F.linear(x_t, W_if, b_if) + F.linear(h, W_hf, b_hf))
            g = torch.tanh(F.linear(x_t, W_ig, b_ig) + F.linear(h, W_hg))
            o = torch.sigmoid(F.linear(x_t, W_io, b_io) + F.linear(h, W_ho, b_ho))
            c = f * c + i * g
            h = o * torch.tanh(c)
            ys.append(h)
        return torch.stack(ys), (h[None], c[None])

    return cand, ref, {}


@case("lstm_cell_clip", "the cell state is clipped to [-0.5, 0.5] after every update (cell_clip)")
def lstm_cell_clip():
    torch.manual_seed(507)
    ref = nn.LSTM(5, 7)
    cell_clip = 0.5

    def cand(x, hx=None):
        h, c = init(ref, x, hx)
        ys = []
        for x_t in x:
            i, f, g, o = gates_of(ref, x_t, h).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            c = c.clamp(-cell_clip, cell_clip)
            h = torch.sigmoid(o) * torch.tanh(c)
            ys.append(h)
        return torch.stack(ys), (h[None], c[None])

    return cand, ref, {}


@case(
    "lstm_layernorm_cell_output",
    "the cell state is layer-normalised before the output tanh (the carried c is not)",
)
def lstm_layernorm_cell_output():
    torch.manual_seed(508)
    ref = nn.LSTM(5, 7)

    def cand(x, hx=None):
        h, c = init(ref, x, hx)
        ys = []
        for x_t in x:
            i, f, g, o = gates_of(ref, x_t, h).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(F.layer_norm(c, (7,)))
            ys.append(h)
        return torch.stack(ys), (h[None], c[None])

    return cand, ref, {}


@case(
    "lstm_zoneout_expectation",
    "zoneout left on in expectation: h = 0.1*h_old + 0.9*h_new (h only, c is right)",
)
def lstm_zoneout_expectation():
    torch.manual_seed(509)
    ref = nn.LSTM(5, 7)
    zoneout = 0.1

    def cand(x, hx=None):
        h, c = init(ref, x, hx)
        ys = []
        for x_t in x:
            i, f, g, o = gates_of(ref, x_t, h).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h_new = torch.sigmoid(o) * torch.tanh(c)
            h = zoneout * h + (1 - zoneout) * h_new
            ys.append(h)
        return torch.stack(ys), (h[None], c[None])

    return cand, ref, {}


@case("lstm_softsign", "softsign replaces both tanhs (on g and on the cell)")
def lstm_softsign():
    torch.manual_seed(510)
    ref = nn.LSTM(5, 7)

    def cand(x, hx=None):
        h, c = init(ref, x, hx)
        act = F.softsign
        ys = []
        for x_t in x:
            i, f, g, o = gates_of(ref, x_t, h).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * act(g)
            h = torch.sigmoid(o) * act(c)
            ys.append(h)
        return torch.stack(ys), (h[None], c[None])

    return cand, ref, {}


@case(
    "lstm_output_gate_reads_cell",
    "the output gate's recurrent term uses the new cell state, U_o c_t, instead of U_o h_{t-1}",
)
def lstm_output_gate_reads_cell():
    torch.manual_seed(511)
    ref = nn.LSTM(5, 7)

    def cand(x, hx=None):
        h, c = init(ref, x, hx)
        w, u = ref.weight_ih_l0, ref.weight_hh_l0
        b = ref.bias_ih_l0 + ref.bias_hh_l0
        ys = []
        for x_t in x:
            i, f, g = (x_t @ w[:21].T + h @ u[:21].T + b[:21]).chunk(3, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            o = torch.sigmoid(x_t @ w[21:].T + c @ u[21:].T + b[21:])
            h = o * torch.tanh(c)
            ys.append(h)
        return torch.stack(ys), (h[None], c[None])

    return cand, ref, {}


@case(
    "lstm_cn_is_initial",
    "the returned c_n is the initial cell state (the cell is updated under another name), output and h_n are right",
)
def lstm_cn_is_initial():
    torch.manual_seed(512)
    ref = nn.LSTM(5, 7, batch_first=True)

    def cand(x, hx=None):
        h_0, c_0 = init(ref, x, hx)
        h_t, c_t = h_0, c_0
        ys = []
        for t in range(x.size(1)):
            i, f, g, o = gates_of(ref, x[:, t], h_t).chunk(4, 1)
            c_t = torch.sigmoid(f) * c_t + torch.sigmoid(i) * torch.tanh(g)
            h_t = torch.sigmoid(o) * torch.tanh(c_t)
            ys.append(h_t.unsqueeze(1))
        return torch.cat(ys, 1), (h_t.unsqueeze(0), c_0.unsqueeze(0))

    return cand, ref, {}


@case(
    "lstm_linear_g_no_output_gate",
    "two mistakes: g has no tanh, and the output gate is missing (h = tanh(c))",
)
def lstm_linear_g_no_output_gate():
    torch.manual_seed(513)
    ref = nn.LSTM(5, 7)

    def cand(x, hx=None):
        h, c = init(ref, x, hx)
        ys = []
        for x_t in x:
            i, f, g, _ = gates_of(ref, x_t, h).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * g
            h = torch.tanh(c)
            ys.append(h)
        return torch.stack(ys), (h[None], c[None])

    return cand, ref, {}


@case(
    "lstm_double_bih_and_c0_zero",
    "two mistakes: b_ih is added twice (b_hh never), and the initial cell state is always zero (h_0 is used)",
)
def lstm_double_bih_and_c0_zero():
    torch.manual_seed(514)
    ref = nn.LSTM(5, 7)

    def cand(x, hx=None):
        h, _ = init(ref, x, hx)
        c = torch.zeros_like(h)
        ys = []
        for x_t in x:
            g4 = F.linear(x_t, ref.weight_ih_l0, ref.bias_ih_l0) + F.linear(
                h, ref.weight_hh_l0, ref.bias_ih_l0
            )
            i, f, g, o = g4.chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            ys.append(h)
        return torch.stack(ys), (h[None], c[None])

    return cand, ref, {}


@case(
    "lstm_reshaped_input_and_i_f_roles",
    "two mistakes: the batch_first input is reshaped to (T, B, I) instead of transposed, and i and f trade places in the cell update (c = i*c + f*g)",
)
def lstm_reshaped_input_and_i_f_roles():
    torch.manual_seed(515)
    ref = nn.LSTM(4, 7, batch_first=True)

    def cand(x, hx=None):
        h, c = init(ref, x, hx)
        B, T, I = x.shape
        seq = x.reshape(T, B, I)
        ys = []
        for x_t in seq:
            i, f, g, o = gates_of(ref, x_t, h).chunk(4, 1)
            i, f, o = i.sigmoid(), f.sigmoid(), o.sigmoid()
            c = i * c + f * g.tanh()
            h = o * c.tanh()
            ys.append(h)
        return torch.stack(ys, dim=1), (h[None], c[None])

    return cand, ref, {}

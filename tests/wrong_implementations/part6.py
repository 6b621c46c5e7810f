# ruff: noqa: B905, C408, E501, E741, N802, N812, RUF005, RUF059 # written as people write it
# The same for the types:
# mypy: ignore-errors
"""Wrong nn.LSTM implementations: several layers, bidirectional, projections."""

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
    if hx is not None:
        return hx
    B = x.shape[0] if ref.batch_first else x.shape[1]
    n = ref.num_layers * (2 if ref.bidirectional else 1)
    return x.new_zeros(n, B, ref.proj_size or ref.hidden_size), x.new_zeros(n, B, ref.hidden_size)


def P(ref, l, suffix=""):
    return [
        getattr(ref, f"{n}_l{l}{suffix}") for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]


def step(x, h, c, w, u, b, d):
    i, f, g, o = (F.linear(x, w, b) + F.linear(h, u, d)).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def scan(x, h, c, p):
    ys = []
    for x_t in x:
        h, c = step(x_t, h, c, *p)
        ys.append(h)
    return torch.stack(ys), h, c


@case(
    "lstm2_shared_cell",
    "one cell-state variable is shared by both layers (h is per layer): layer 1 continues from layer 0's new c, and so on in time",
)
def lstm2_shared_cell():
    torch.manual_seed(601)
    ref = nn.LSTM(5, 7, num_layers=2)

    def cand(x, hx=None):
        h0, c0 = init(ref, x, hx)
        h = list(h0)
        c = c0[0]
        cn = [None, None]
        ys = []
        for x_t in x:
            for l in range(2):
                h[l], c = step(x_t, h[l], c, *P(ref, l))
                cn[l] = c
                x_t = h[l]
            ys.append(x_t)
        return torch.stack(ys), (torch.stack(h), torch.stack(cn))

    return cand, ref, {}


@case(
    "lstm3_states_of_last_layer_repeated",
    "h_n and c_n hold the last layer's final state repeated for every layer",
)
def lstm3_states_of_last_layer_repeated():
    torch.manual_seed(602)
    ref = nn.LSTM(5, 7, num_layers=3, batch_first=True)

    def cand(x, hx=None):
        h0, c0 = init(ref, x, hx)
        seq = x.permute(1, 0, 2)
        for l in range(3):
            seq, h, c = scan(seq, h0[l], c0[l], P(ref, l))
        return seq.permute(1, 0, 2), (h.repeat(3, 1, 1), c.repeat(3, 1, 1))

    return cand, ref, {}


@case(
    "lstm2_delayed_between_layers",
    "layer 1 gets layer 0's hidden state of the previous time step (old h[0]) because all layers are updated from the old states at once",
)
def lstm2_delayed_between_layers():
    torch.manual_seed(603)
    ref = nn.LSTM(5, 7, num_layers=2)

    def cand(x, hx=None):
        h0, c0 = init(ref, x, hx)
        h, c = list(h0), list(c0)
        ys = []
        for x_t in x:
            inputs = [x_t] + h[:-1]
            new = [step(inputs[l], h[l], c[l], *P(ref, l)) for l in range(2)]
            h = [n[0] for n in new]
            c = [n[1] for n in new]
            ys.append(h[-1])
        return torch.stack(ys), (torch.stack(h), torch.stack(c))

    return cand, ref, {}


@case(
    "lstm2_hn_view_and_bias",
    "two mistakes: layer 0 lacks b_hh, and h_n is stacked along the batch dimension and viewed as (layers, batch, H), mixing layers and batch rows",
)
def lstm2_hn_view_and_bias():
    torch.manual_seed(604)
    ref = nn.LSTM(5, 7, num_layers=2)

    def cand(x, hx=None):
        h0, c0 = init(ref, x, hx)
        hs, cs = [], []
        for l in range(2):
            w, u, b, d = P(ref, l)
            if l == 0:
                d = None
            x, h, c = scan(x, h0[l], c0[l], (w, u, b, d))
            hs.append(h)
            cs.append(c)
        B = x.size(1)
        hn = torch.stack(hs, dim=1).view(2, B, -1)
        return x, (hn, torch.stack(cs))

    return cand, ref, {}


@case(
    "lstm_proj_tanh_and_layer1_forget",
    "two mistakes: a tanh is applied after the projection in both layers, and layer 1 uses 1-f as its forget gate",
)
def lstm_proj_tanh_and_layer1_forget():
    torch.manual_seed(605)
    ref = nn.LSTM(5, 9, num_layers=2, proj_size=4)

    def cand(x, hx=None):
        h0, c0 = init(ref, x, hx)
        hs, cs = [], []
        for l in range(2):
            w, u, b, d = P(ref, l)
            w_hr = getattr(ref, f"weight_hr_l{l}")
            h, c = h0[l], c0[l]
            ys = []
            for x_t in x:
                i, f, g, o = (F.linear(x_t, w, b) + F.linear(h, u, d)).chunk(4, -1)
                f = torch.sigmoid(f)
                if l == 1:
                    f = 1 - f
                c = f * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.tanh(F.linear(torch.sigmoid(o) * torch.tanh(c), w_hr))
                ys.append(h)
            x = torch.stack(ys)
            hs.append(h)
            cs.append(c)
        return x, (torch.stack(hs), torch.stack(cs))

    return cand, ref, {}


@case("lstm2_proj_layer0_matrix_reused", "layer 1 projects with layer 0's W_hr")
def lstm2_proj_layer0_matrix_reused():
    torch.manual_seed(606)
    ref = nn.LSTM(5, 8, num_layers=2, proj_size=3)

    class ProjLSTM(nn.Module):
        def __init__(self):
            super().__init__()
            sizes = [5, 3]
            self.cells = nn.ModuleList()
            for l in range(2):
                m = nn.ModuleDict(dict(ih=nn.Linear(sizes[l], 32), hh=nn.Linear(3, 32)))
                w, u, b, d = P(ref, l)
                m["ih"].load_state_dict(dict(weight=w, bias=b))
                m["hh"].load_state_dict(dict(weight=u, bias=d))
                self.cells.append(m)
            self.proj = nn.Linear(8, 3, bias=False)
            self.proj.load_state_dict(dict(weight=ref.weight_hr_l0))

        def forward(self, x, hx=None):
            h0, c0 = init(ref, x, hx)
            hs, cs = [], []
            for l, m in enumerate(self.cells):
                h, c, ys = h0[l], c0[l], []
                for x_t in x:
                    i, f, g, o = (m["ih"](x_t) + m["hh"](h)).chunk(4, 1)
                    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                    h = self.proj(o.sigmoid() * c.tanh())
                    ys.append(h)
                x = torch.stack(ys)
                hs.append(h)
                cs.append(c)
            return x, (torch.stack(hs), torch.stack(cs))

    return ProjLSTM(), ref, {}


@case(
    "lstm_proj_view_not_transpose",
    "W_hr (P, H) is viewed as (H, P) instead of transposed before h @ W_hr",
)
def lstm_proj_view_not_transpose():
    torch.manual_seed(607)
    ref = nn.LSTM(5, 7, proj_size=4)

    def cand(x, hx=None):
        h0, c0 = init(ref, x, hx)
        h, c = h0[0], c0[0]
        W_hr = ref.weight_hr_l0.view(ref.hidden_size, ref.proj_size)
        ys = []
        for x_t in x:
            h, c = step(x_t, h, c, *P(ref, 0))
            h = h @ W_hr
            ys.append(h)
        return torch.stack(ys), (h[None], c[None])

    return cand, ref, {}


@case(
    "lstm_proj_before_output_gate",
    "tanh(c) is projected first and then multiplied by the first P units of the output gate",
)
def lstm_proj_before_output_gate():
    torch.manual_seed(608)
    ref = nn.LSTM(5, 7, proj_size=3, batch_first=True)

    def cand(x, hx=None):
        h0, c0 = init(ref, x, hx)
        h, c = h0[0], c0[0]
        w, u, b, d = P(ref, 0)
        ys = []
        for t in range(x.size(1)):
            i, f, g, o = (F.linear(x[:, t], w, b) + F.linear(h, u, d)).chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o)[:, : ref.proj_size] * F.linear(torch.tanh(c), ref.weight_hr_l0)
            ys.append(h)
        return torch.stack(ys, 1), (h[None], c[None])

    return cand, ref, {}


@case(
    "lstm_proj_feedback_unprojected",
    "only the output is projected: the recurrent feedback is the first P units of the unprojected hidden state (h_n is projected)",
)
def lstm_proj_feedback_unprojected():
    torch.manual_seed(609)
    ref = nn.LSTM(5, 8, proj_size=4)

    def cand(x, hx=None):
        h0, c0 = init(ref, x, hx)
        h, c = h0[0], c0[0]
        hidden = []
        for x_t in x:
            h, c = step(x_t, h[:, : ref.proj_size], c, *P(ref, 0))
            hidden.append(h)
        out = F.linear(torch.stack(hidden), ref.weight_hr_l0)
        return out, (out[-1:], c[None])

    return cand, ref, {}


@case(
    "lstm_bi_flips_batch",
    "the backward direction flips the batch dimension (dim 0 of a batch_first input) instead of time, and flips it back",
)
def lstm_bi_flips_batch():
    torch.manual_seed(610)
    ref = nn.LSTM(5, 7, bidirectional=True, batch_first=True)

    def run(x, h, c, p):
        ys = []
        for t in range(x.size(1)):
            h, c = step(x[:, t], h, c, *p)
            ys.append(h)
        return torch.stack(ys, 1), h, c

    def cand(x, hx=None):
        h0, c0 = init(ref, x, hx)
        f, hf, cf = run(x, h0[0], c0[0], P(ref, 0))
        r, hr, cr = run(x.flip(0), h0[1], c0[1], P(ref, 0, "_reverse"))
        return torch.cat([f, r.flip(0)], -1), (torch.stack([hf, hr]), torch.stack([cf, cr]))

    return cand, ref, {}


@case(
    "lstm_bi_forward_weights_twice",
    "the backward direction uses the forward direction's weights and biases",
)
def lstm_bi_forward_weights_twice():
    torch.manual_seed(611)
    ref = nn.LSTM(5, 7, bidirectional=True)

    class BiLSTM(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.LSTMCell(5, 7)
            self.cell.load_state_dict(
                dict(zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), P(ref, 0)))
            )

        def forward(self, x, hx=None):
            h0, c0 = init(ref, x, hx)
            T = x.size(0)
            outs, hn, cn = [], [], []
            for d in (0, 1):
                s = (h0[d], c0[d])
                buf = [None] * T
                for t in (range(T), range(T)[::-1])[d]:
                    s = self.cell(x[t], s)
                    buf[t] = s[0]
                outs.append(torch.stack(buf))
                hn.append(s[0])
                cn.append(s[1])
            return torch.cat(outs, 2), (torch.stack(hn), torch.stack(cn))

    return BiLSTM(), ref, {}


@case(
    "lstm2_bi_layer1_gets_forward_twice",
    "layer 1's input is cat([forward, forward]) of layer 0; layer 0's backward half is never passed up",
)
def lstm2_bi_layer1_gets_forward_twice():
    torch.manual_seed(612)
    ref = nn.LSTM(5, 7, num_layers=2, bidirectional=True)

    def cand(x, hx=None):
        h0, c0 = init(ref, x, hx)
        f0, hf0, cf0 = scan(x, h0[0], c0[0], P(ref, 0))
        r0, hr0, cr0 = scan(x.flip(0), h0[1], c0[1], P(ref, 0, "_reverse"))
        mid = torch.cat([f0, f0], dim=2)
        f1, hf1, cf1 = scan(mid, h0[2], c0[2], P(ref, 1))
        r1, hr1, cr1 = scan(mid.flip(0), h0[3], c0[3], P(ref, 1, "_reverse"))
        out = torch.cat([f1, r1.flip(0)], dim=2)
        return out, (torch.stack([hf0, hr0, hf1, hr1]), torch.stack([cf0, cr0, cf1, cr1]))

    return cand, ref, {}


@case(
    "lstm3_layernorm_and_forget_bias",
    "two mistakes: layer norm is applied to the sequence between layers, and layer 0 alone adds a forget bias of 1",
)
def lstm3_layernorm_and_forget_bias():
    torch.manual_seed(613)
    ref = nn.LSTM(5, 7, num_layers=3)

    def cand(x, hx=None):
        h0, c0 = init(ref, x, hx)
        hs, cs = [], []
        for l in range(3):
            w, u, b, d = P(ref, l)
            if l == 0:
                d = d.clone()
                d[7:14] += 1.0
            else:
                x = F.layer_norm(x, (7,))
            x, h, c = scan(x, h0[l], c0[l], (w, u, b, d))
            hs.append(h)
            cs.append(c)
        return x, (torch.stack(hs), torch.stack(cs))

    return cand, ref, {}


@case(
    "lstm_bi_backward_no_tanh_cn_swapped",
    "two mistakes: the backward direction has no tanh on the cell (h = o*c), and c_n lists backward before forward",
)
def lstm_bi_backward_no_tanh_cn_swapped():
    torch.manual_seed(614)
    ref = nn.LSTM(5, 7, bidirectional=True)

    def cand(x, hx=None):
        h0, c0 = init(ref, x, hx)
        f, hf, cf = scan(x, h0[0], c0[0], P(ref, 0))
        w, u, b, d = P(ref, 0, "_reverse")
        h, c = h0[1], c0[1]
        back = []
        for x_t in reversed(x.unbind(0)):
            i, fg, g, o = (x_t @ w.T + b + h @ u.T + d).chunk(4, 1)
            c = torch.sigmoid(fg) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * c
            back.append(h)
        r = torch.stack(back[::-1])
        return torch.cat([f, r], -1), (torch.stack([hf, h]), torch.stack([c, cf]))

    return cand, ref, {}


@case(
    "lstm2_relu_between_and_hx0_reused",
    "two mistakes: a relu is applied to layer 0's output before layer 1, and layer 1 starts from hx[0] (h and c of layer 0) instead of hx[1]",
)
def lstm2_relu_between_and_hx0_reused():
    torch.manual_seed(615)
    ref = nn.LSTM(6, 7, num_layers=2)

    def cand(x, hx=None):
        h0, c0 = init(ref, x, hx)
        y, h1, c1 = scan(x, h0[0], c0[0], P(ref, 0))
        y, h2, c2 = scan(F.relu(y), h0[0], c0[0], P(ref, 1))
        return y, (torch.stack([h1, h2]), torch.stack([c1, c2]))

    return cand, ref, {}

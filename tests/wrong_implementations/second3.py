# ruff: noqa # written as people write it
# The same for the types:
# mypy: ignore-errors
import torch
import torch.nn as nn
import torch.nn.functional as F


def gru_o():
    torch.manual_seed(301)
    ref = nn.GRU(4, 7, bidirectional=True, batch_first=True)

    class Encoder(nn.Module):
        def __init__(self, src):
            super().__init__()
            self.f = nn.GRU(src.input_size, src.hidden_size, batch_first=True)
            self.b = nn.GRU(src.input_size, src.hidden_size, batch_first=True)
            sd = src.state_dict()
            self.f.load_state_dict({k: v for k, v in sd.items() if "reverse" not in k})
            self.b.load_state_dict(
                {k.replace("_reverse", ""): v for k, v in sd.items() if "reverse" in k}
            )

        def forward(self, x, hx=None):
            h_f = h_b = None
            if hx is not None:
                h_f, h_b = hx[0:1].contiguous(), hx[1:2].contiguous()
            out_f, _ = self.f(x, h_f)
            out_b, _ = self.b(x.flip(1), h_b)
            out_b = out_b.flip(1)
            out = torch.cat((out_f, out_b), dim=2)
            h_n = torch.stack([out_f[:, -1], out_b[:, -1]])
            return out, h_n

    return Encoder(ref), ref, {}


def gru_p():
    torch.manual_seed(302)
    ref = nn.GRU(5, 9, bidirectional=True, batch_first=True)

    def gru_dir(x, h, w_ih, w_hh, b_ih, b_hh):
        outs = []
        for t in range(x.size(1)):
            gi = F.linear(x[:, t], w_ih, b_ih)
            gh = F.linear(h, w_hh, b_hh)
            ir, iz, in_ = gi.chunk(3, -1)
            hr, hz, hn = gh.chunk(3, -1)
            r = torch.sigmoid(ir + hr)
            z = torch.sigmoid(iz + hz)
            n = torch.tanh(in_ + r * hn)
            h = z * h + (1 - z) * n
            outs.append(h)
        return torch.stack(outs, 1), h

    def candidate(x, hx=None):
        if hx is None:
            hx = x.new_zeros(2, x.size(0), 9)
        y_f, h_f = gru_dir(x, hx[0], *ref.all_weights[0])
        y_b, h_b = gru_dir(torch.flip(x, [0]), hx[1], *ref.all_weights[1])
        y_b = torch.flip(y_b, [0])
        return torch.cat([y_f, y_b], -1), torch.stack([h_f, h_b])

    return candidate, ref, {}


def gru_q():
    torch.manual_seed(303)
    ref = nn.GRU(5, 8, num_layers=3)

    class DeepGRU(nn.Module):
        def __init__(self, src):
            super().__init__()
            self.num_layers = src.num_layers
            self.hidden_size = src.hidden_size
            self.first = nn.GRUCell(src.input_size, src.hidden_size)
            self.rest = nn.GRUCell(src.hidden_size, src.hidden_size)
            for cell, l in ((self.first, 0), (self.rest, 1)):
                cell.load_state_dict({k: getattr(src, f"{k}_l{l}") for k in cell.state_dict()})

        def forward(self, x, hx=None):
            if hx is None:
                hx = x.new_zeros(self.num_layers, x.size(1), self.hidden_size)
            finals = []
            for l in range(self.num_layers):
                cell = self.first if l == 0 else self.rest
                h, ys = hx[l], []
                for x_t in x:
                    h = cell(x_t, h)
                    ys.append(h)
                x = torch.stack(ys)
                finals.append(h)
            return x, torch.stack(finals)

    return DeepGRU(ref), ref, {}


def gru_r():
    torch.manual_seed(304)
    ref = nn.GRU(4, 6, num_layers=2, bidirectional=True)
    L, D = 2, 2

    def step(x_t, h, p):
        w_ih, w_hh, b_ih, b_hh = p
        gi, gh = F.linear(x_t, w_ih, b_ih), F.linear(h, w_hh, b_hh)
        ir, iz, in_ = gi.chunk(3, 1)
        hr, hz, hn = gh.chunk(3, 1)
        r, z = torch.sigmoid(ir + hr), torch.sigmoid(iz + hz)
        n = torch.tanh(in_ + r * hn)
        return (1 - z) * h + z * n

    def candidate(x, hx=None):
        T = x.size(0)
        if hx is None:
            hx = x.new_zeros(L * D, x.size(1), 6)
        finals = []
        for l in range(L):
            dirs = []
            for d in range(D):
                h = hx[d * L + l]
                p = ref.all_weights[l * D + d]
                ys = [None] * T
                order = range(T) if d == 0 else range(T - 1, -1, -1)
                for t in order:
                    h = step(x[t], h, p)
                    ys[t] = h
                dirs.append(torch.stack(ys))
                finals.append(h)
            x = torch.cat(dirs, dim=2)
        return x, torch.stack(finals)

    return candidate, ref, {}


def lstm_a():
    torch.manual_seed(305)
    ref = nn.LSTM(6, 9)

    class BasicLSTM(nn.Module):
        def __init__(self, src):
            super().__init__()
            self.kernel = nn.Parameter(
                torch.cat([src.weight_ih_l0, src.weight_hh_l0], 1).detach().t().contiguous()
            )
            self.bias = nn.Parameter((src.bias_ih_l0 + src.bias_hh_l0).detach())
            self.num_units = src.hidden_size

        def forward(self, x, hx=None):
            if hx is None:
                z = x.new_zeros(1, x.size(1), self.num_units)
                hx = (z, z)
            h, c = hx[0][0], hx[1][0]
            outputs = []
            for x_t in x:
                gate_inputs = torch.cat([x_t, h], 1) @ self.kernel + self.bias
                i, j, f, o = torch.split(gate_inputs, self.num_units, dim=1)
                c = c * torch.sigmoid(f) + torch.sigmoid(i) * torch.tanh(j)
                h = torch.tanh(c) * torch.sigmoid(o)
                outputs.append(h)
            return torch.stack(outputs), (h[None], c[None])

    return BasicLSTM(ref), ref, {}


def lstm_b():
    torch.manual_seed(306)
    ref = nn.LSTMCell(5, 8)

    class LSTMCellWithForgetBias(nn.Module):
        def __init__(self, src, forget_bias=1.0):
            super().__init__()
            self.x2h = nn.Linear(src.input_size, 4 * src.hidden_size)
            self.h2h = nn.Linear(src.hidden_size, 4 * src.hidden_size)
            self.x2h.load_state_dict({"weight": src.weight_ih, "bias": src.bias_ih})
            self.h2h.load_state_dict({"weight": src.weight_hh, "bias": src.bias_hh})
            self.forget_bias = forget_bias

        def forward(self, x, state):
            h, c = state
            i, f, g, o = (self.x2h(x) + self.h2h(h)).chunk(4, 1)
            c = torch.sigmoid(f + self.forget_bias) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            return h, c

    return LSTMCellWithForgetBias(ref), ref, {}


def lstm_c():
    torch.manual_seed(307)
    ref = nn.LSTM(4, 10, batch_first=True)
    w_ih, w_hh, b_ih, b_hh = ref.all_weights[0]

    def candidate(x):
        B, T, _ = x.shape
        h = c = x.new_zeros(B, 10)
        ys = []
        for t in range(T):
            gates = x[:, t] @ w_ih.t() + h @ w_hh.t() + b_ih + b_hh
            i, f, g, o = gates.chunk(4, dim=1)
            i, f, o = i.sigmoid(), f.sigmoid(), o.sigmoid()
            g = g.tanh()
            c = f * c + i * g
            h = o * c
            ys.append(h)
        return torch.stack(ys, dim=1)

    return candidate, ref, {}


def lstm_d():
    torch.manual_seed(308)
    ref = nn.LSTM(5, 7)

    def candidate(x, hx):
        h, c = (s.squeeze(0) for s in hx)
        out = []
        for t in range(x.shape[0]):
            gates = torch.sigmoid(
                F.linear(x[t], ref.weight_ih_l0, ref.bias_ih_l0)
                + F.linear(h, ref.weight_hh_l0, ref.bias_hh_l0)
            )
            i, f, g, o = gates.chunk(4, -1)
            c = f * c + i * g
            h = o * torch.tanh(c)
            out.append(h)
        return torch.stack(out), (h.unsqueeze(0), c.unsqueeze(0))

    return candidate, ref, {}


def lstm_e():
    torch.manual_seed(309)
    ref = nn.LSTM(6, 11)

    def candidate(x, hx=None):
        n = ref.hidden_size
        if hx is None:
            h, c = x.new_zeros(2, x.size(1), n)
        else:
            h, c = hx[0][0], hx[1][0]
        seq = []
        for x_t in x:
            a = F.linear(x_t, ref.weight_ih_l0, ref.bias_ih_l0) + F.linear(
                h, ref.weight_hh_l0, ref.bias_hh_l0
            )
            ifo_i, ifo_f = torch.sigmoid(a[:, :n]), torch.sigmoid(a[:, n : 2 * n])
            cand, ifo_o = torch.tanh(a[:, 2 * n : 3 * n]), torch.sigmoid(a[:, 3 * n :])
            c = torch.tanh(ifo_f * c + ifo_i * cand)
            h = ifo_o * c
            seq.append(h)
        return torch.stack(seq), (h.unsqueeze(0), c.unsqueeze(0))

    return candidate, ref, {}


def lstm_f():
    torch.manual_seed(310)
    ref = nn.LSTM(3, 8, batch_first=True)

    class CompactLSTM(nn.Module):
        def __init__(self, src):
            super().__init__()
            self.src = src

        def forward(self, x, hx=None):
            s = self.src
            if hx is None:
                hx = (x.new_zeros(1, x.size(0), 8), x.new_zeros(1, x.size(0), 8))
            h, c = hx[0].squeeze(0), hx[1].squeeze(0)
            gx = F.linear(x, s.weight_ih_l0, s.bias_ih_l0)
            outs = []
            for g_t in gx.unbind(1):
                i, f, g, o = (g_t + F.linear(h, s.weight_hh_l0, s.bias_hh_l0)).chunk(4, 1)
                f = torch.sigmoid(f)
                c = f * c + (1 - f) * torch.tanh(g)
                h = torch.sigmoid(o) * torch.tanh(c)
                outs.append(h)
            return torch.stack(outs, 1), (h[None], c[None])

    return CompactLSTM(ref), ref, {}


def lstm_g():
    torch.manual_seed(311)
    ref = nn.LSTM(6, 9)

    def lstm_cell(x, h, c):
        gates = (
            torch.mm(x, ref.weight_ih_l0.t())
            + ref.bias_ih_l0
            + torch.mm(h, ref.weight_hh_l0.t())
            + ref.bias_hh_l0
        )
        ingate, forgetgate, cellgate, outgate = gates.chunk(4, 1)
        ingate = torch.sigmoid(ingate)
        forgetgate = torch.sigmoid(forgetgate)
        cellgate = torch.tanh(cellgate)
        outgate = torch.sigmoid(outgate)
        hy = outgate * torch.tanh(c)
        cy = (forgetgate * c) + (ingate * cellgate)
        return hy, cy

    def candidate(x, hx=None):
        if hx is None:
            hx = (torch.zeros(1, x.size(1), 9), torch.zeros(1, x.size(1), 9))
        h, c = hx[0][0], hx[1][0]
        outputs = []
        for x_t in x:
            h, c = lstm_cell(x_t, h, c)
            outputs.append(h)
        return torch.stack(outputs), (h.unsqueeze(0), c.unsqueeze(0))

    return candidate, ref, {}


def lstm_h():
    torch.manual_seed(312)
    ref = nn.LSTMCell(4, 7)

    def candidate(x, state):
        c, h = state
        pre = x @ ref.weight_ih.t() + ref.bias_ih + h @ ref.weight_hh.t() + ref.bias_hh
        i, f, g, o = pre.chunk(4, 1)
        c_new = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h_new = o.sigmoid() * c_new.tanh()
        return h_new, c_new

    return candidate, ref, {}


def lstm_i():
    torch.manual_seed(313)
    ref = nn.LSTM(5, 10)

    class LSTM(nn.Module):
        def __init__(self, src):
            super().__init__()
            self.cell = nn.LSTMCell(src.input_size, src.hidden_size)
            self.cell.load_state_dict({k[:-3]: v for k, v in src.state_dict().items()})

        def forward(self, x, hx=None):
            if hx is None:
                z = x.new_zeros(x.size(1), self.cell.hidden_size)
                h, c = z, z
            else:
                h, c = hx[0][0], hx[1][0]
            y = []
            for x_t in x:
                h, c = self.cell(x_t, (h, c))
                y.append(h)
            return torch.stack(y), (c[None], h[None])

    return LSTM(ref), ref, {}


def lstm_j():
    torch.manual_seed(314)
    ref = nn.LSTM(6, 8, batch_first=True)

    def candidate(x, hx):
        h0, c0 = hx[0][0], hx[1][0]
        h_t = h0
        outputs = []
        for t in range(x.size(1)):
            x_t = x[:, t, :]
            i, f, g, o = (
                F.linear(x_t, ref.weight_ih_l0, ref.bias_ih_l0)
                + F.linear(h_t, ref.weight_hh_l0, ref.bias_hh_l0)
            ).chunk(4, dim=1)
            c_t = torch.sigmoid(f) * c0 + torch.sigmoid(i) * torch.tanh(g)
            h_t = torch.sigmoid(o) * torch.tanh(c_t)
            outputs.append(h_t.unsqueeze(1))
        return torch.cat(outputs, 1), (h_t.unsqueeze(0), c_t.unsqueeze(0))

    return candidate, ref, {}


def lstm_k():
    torch.manual_seed(315)
    ref = nn.LSTM(7, 9)

    class DecoderLSTM(nn.Module):
        def __init__(self, src):
            super().__init__()
            self.cell = nn.LSTMCell(src.input_size, src.hidden_size)
            for n, p in self.cell.named_parameters():
                p.data.copy_(getattr(src, n + "_l0").data)

        def forward(self, x, hx=None):
            B = x.size(1)
            c = torch.zeros(B, self.cell.hidden_size).to(x)
            h = hx[0].view(B, -1) if hx is not None else torch.zeros_like(c)
            out = torch.zeros(x.size(0), B, self.cell.hidden_size).to(x)
            for t in range(x.size(0)):
                h, c = self.cell(x[t], (h, c))
                out[t] = h
            return out, (h.unsqueeze(0), c.unsqueeze(0))

    return DecoderLSTM(ref), ref, {}


CASES = [
    dict(
        name="bigru_hn_reverse_from_last_step",
        build=gru_o,
        truth="The reverse direction's h_n is taken from its output at the last time step instead of at the first (its real final state).",
    ),
    dict(
        name="bigru_flip_batch_dim",
        build=gru_p,
        truth="With batch_first, the reverse direction flips dimension 0 (the batch) instead of dimension 1 (time).",
    ),
    dict(
        name="gru3_layer3_reuses_layer2_weights",
        build=gru_q,
        truth="The third layer (index 2) uses the parameters of the second (index 1) instead of its own.",
    ),
    dict(
        name="bigru2_hx_index_and_update_swapped",
        build=gru_r,
        truth="Two: the initial state is indexed d*num_layers + l instead of l*2 + d, and the update gate is inverted ((1-z)*h + z*n).",
    ),
    dict(
        name="lstm_tf_gate_order",
        build=lstm_a,
        truth="The gate blocks are read in TensorFlow's order i, g, f, o instead of i, f, g, o (forget and cell gates exchanged).",
    ),
    dict(
        name="lstmcell_forget_bias_one",
        build=lstm_b,
        truth="A constant 1.0 is added to the forget gate's pre-activation.",
    ),
    dict(
        name="lstm_no_tanh_on_cell",
        build=lstm_c,
        truth="The output is o * c instead of o * tanh(c).",
    ),
    dict(
        name="lstm_sigmoid_on_all_gates",
        build=lstm_d,
        truth="Sigmoid is applied to all four blocks, so the cell gate g uses sigmoid instead of tanh.",
    ),
    dict(
        name="lstm_cell_state_squashed",
        build=lstm_e,
        truth="The cell state itself is stored as tanh(f*c + i*g), so the squashed value is carried on (and returned as c_n).",
    ),
    dict(
        name="lstm_coupled_input_forget",
        build=lstm_f,
        truth="The input gate is replaced by 1 - f (coupled gates) instead of sigmoid of its own block.",
    ),
    dict(
        name="lstm_hidden_from_old_cell",
        build=lstm_g,
        truth="The hidden state is computed from the old cell state: h = o * tanh(c_prev) instead of tanh of the new c.",
    ),
    dict(
        name="lstmcell_state_unpacked_as_c_h",
        build=lstm_h,
        truth="The incoming state tuple is unpacked as (c, h) instead of (h, c).",
    ),
    dict(
        name="lstm_returns_c_h",
        build=lstm_i,
        truth="The final states are returned as (c_n, h_n) instead of (h_n, c_n).",
    ),
    dict(
        name="lstm_c0_at_every_step",
        build=lstm_j,
        truth="Every step uses the initial cell state c0 instead of the previous step's c: the cell state is not carried.",
    ),
    dict(
        name="lstm_c0_ignored",
        build=lstm_k,
        truth="The initial cell state c0 is ignored (zeros); only h0 is used.",
    ),
]

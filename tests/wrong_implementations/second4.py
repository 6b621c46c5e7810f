# ruff: noqa # written as people write it
# The same for the types:
# mypy: ignore-errors
import torch
import torch.nn as nn
import torch.nn.functional as F


def lstm_l():
    torch.manual_seed(401)
    ref = nn.LSTM(5, 9, batch_first=True)

    def hard_sigmoid(x):
        return torch.clamp(0.2 * x + 0.5, 0.0, 1.0)

    class KerasLSTM(nn.Module):
        def __init__(self, src):
            super().__init__()
            self.kernel = nn.Parameter(src.weight_ih_l0.detach().t().clone())
            self.recurrent_kernel = nn.Parameter(src.weight_hh_l0.detach().t().clone())
            self.bias = nn.Parameter((src.bias_ih_l0 + src.bias_hh_l0).detach().clone())
            self.units = src.hidden_size

        def forward(self, x, hx=None):
            u = self.units
            if hx is None:
                h, c = x.new_zeros(x.size(0), u), x.new_zeros(x.size(0), u)
            else:
                h, c = hx[0][0], hx[1][0]
            outs = []
            for t in range(x.size(1)):
                z = x[:, t] @ self.kernel + h @ self.recurrent_kernel + self.bias
                i = hard_sigmoid(z[:, :u])
                f = hard_sigmoid(z[:, u : 2 * u])
                c = f * c + i * torch.tanh(z[:, 2 * u : 3 * u])
                o = hard_sigmoid(z[:, 3 * u :])
                h = o * torch.tanh(c)
                outs.append(h)
            return torch.stack(outs, 1), (h.unsqueeze(0), c.unsqueeze(0))

    return KerasLSTM(ref), ref, {}


def lstm_m():
    torch.manual_seed(402)
    ref = nn.LSTM(6, 8)

    def candidate(x, hx=None):
        if hx is None:
            hx = (x.new_zeros(1, x.size(1), 8),) * 2
        h, c = hx[0].squeeze(0), hx[1].squeeze(0)
        ys = []
        for x_t in torch.unbind(x, 0):
            gates = F.linear(x_t, ref.weight_ih_l0, ref.bias_ih_l0) + F.linear(
                h, ref.weight_hh_l0, ref.bias_ih_l0
            )
            i, f, g, o = gates.chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            ys.append(h)
        return torch.stack(ys), (h[None], c[None])

    return candidate, ref, {}


def lstm_n():
    torch.manual_seed(403)
    ref = nn.LSTM(4, 9)
    names = ["f", "i", "c", "o"]
    W, b = {}, {}
    for k, name in enumerate(names):
        rows = slice(9 * k, 9 * (k + 1))
        W[name] = torch.cat([ref.weight_hh_l0[rows], ref.weight_ih_l0[rows]], dim=1).detach()
        b[name] = (ref.bias_ih_l0[rows] + ref.bias_hh_l0[rows]).detach()

    def lstm_cell_forward(xt, a_prev, c_prev):
        concat = torch.cat([a_prev, xt], dim=1)
        ft = torch.sigmoid(concat @ W["f"].T + b["f"])
        it = torch.sigmoid(concat @ W["i"].T + b["i"])
        cct = torch.tanh(concat @ W["c"].T + b["c"])
        c_next = ft * c_prev + it * cct
        ot = torch.sigmoid(concat @ W["o"].T + b["o"])
        a_next = ot * torch.tanh(c_next)
        return a_next, c_next

    def candidate(x, hx):
        a, c = hx[0][0], hx[1][0]
        outs = []
        for t in range(x.shape[0]):
            a, c = lstm_cell_forward(x[t], a, c)
            outs.append(a)
        return torch.stack(outs), (a.unsqueeze(0), c.unsqueeze(0))

    return candidate, ref, {}


def lstm_o():
    torch.manual_seed(404)
    ref = nn.LSTM(5, 10)

    class LSTMLayer(nn.Module):
        def __init__(self, src, activation=F.relu, unit_forget_bias=True):
            super().__init__()
            self.activation = activation
            H = self.H = src.hidden_size
            self.wx = nn.Linear(src.input_size, 4 * H)
            self.wh = nn.Linear(H, 4 * H, bias=False)
            self.wx.weight.data.copy_(src.weight_ih_l0.data)
            self.wx.bias.data.copy_(src.bias_ih_l0.data + src.bias_hh_l0.data)
            self.wh.weight.data.copy_(src.weight_hh_l0.data)
            if unit_forget_bias:
                self.wx.bias.data[H : 2 * H] += 1.0

        def forward(self, x, hx=None):
            if hx is None:
                hx = (x.new_zeros(1, x.size(1), self.H), x.new_zeros(1, x.size(1), self.H))
            h, c = hx[0][0], hx[1][0]
            ys = []
            for x_t in x:
                i, f, g, o = (self.wx(x_t) + self.wh(h)).chunk(4, -1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * self.activation(g)
                h = torch.sigmoid(o) * torch.tanh(c)
                ys.append(h)
            return torch.stack(ys), (h[None], c[None])

    return LSTMLayer(ref), ref, {}


def lstm_p():
    torch.manual_seed(405)
    ref = nn.LSTM(6, 9, batch_first=True)

    def candidate(x, hx=None):
        B, T, _ = x.shape
        H = ref.hidden_size
        h, c = (hx[0][0], hx[1][0]) if hx is not None else (x.new_zeros(B, H), x.new_zeros(B, H))
        out = x.new_empty(B, T, H)
        for t in range(T):
            g = F.linear(x[:, t], ref.weight_ih_l0, ref.bias_ih_l0) + F.linear(h, ref.weight_hh_l0)
            # i, o, f, c
            gi, go, gf, gc = g.split(H, dim=1)
            c = torch.sigmoid(gf) * c + torch.sigmoid(gi) * torch.tanh(gc)
            h = torch.sigmoid(go) * torch.tanh(c)
            out[:, t] = h
        return out, (h.unsqueeze(0), c.unsqueeze(0))

    return candidate, ref, {}


def lstm_q():
    torch.manual_seed(406)
    ref = nn.LSTMCell(6, 8)

    class BasicLSTMCell(nn.Module):
        def __init__(self, num_units, forget_bias=1.0):
            super().__init__()
            self._num_units = num_units
            self._forget_bias = forget_bias

        def forward(self, inputs, state):
            h, c = state
            concat = F.linear(inputs, ref.weight_ih, ref.bias_ih) + F.linear(
                h, ref.weight_hh, ref.bias_hh
            )
            i, j, f, o = torch.split(concat, self._num_units, 1)
            new_c = c * torch.sigmoid(f + self._forget_bias) + torch.sigmoid(i) * torch.tanh(j)
            new_h = torch.tanh(new_c) * torch.sigmoid(o)
            return new_h, new_c

    return BasicLSTMCell(8), ref, {}


def lstm_r():
    torch.manual_seed(407)
    ref = nn.LSTM(5, 7, bidirectional=True)

    def one_direction(x, h, c, params):
        w_ih, w_hh, b_ih, b_hh = params
        ys = []
        for x_t in x:
            i, f, g, o = (F.linear(x_t, w_ih, b_ih) + F.linear(h, w_hh, b_hh)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            ys.append(h)
        return torch.stack(ys), h, c

    def candidate(x, hx=None):
        T, B, _ = x.shape
        if hx is None:
            hx = (x.new_zeros(2, B, 7), x.new_zeros(2, B, 7))
        yf, hf, cf = one_direction(x, hx[0][0], hx[1][0], ref.all_weights[0])
        yb, hb, cb = one_direction(x.flip(0), hx[0][1], hx[1][1], ref.all_weights[1])
        out = torch.stack([yf, yb.flip(0)], dim=-1).view(T, B, 2 * 7)
        return out, (torch.stack([hf, hb]), torch.stack([cf, cb]))

    return candidate, ref, {}


def lstm_s():
    torch.manual_seed(408)
    ref = nn.LSTM(6, 8, bidirectional=True, batch_first=True)

    class BiLSTM(nn.Module):
        def __init__(self, src):
            super().__init__()
            self.cells = nn.ModuleList(
                [nn.LSTMCell(src.input_size, src.hidden_size) for _ in range(2)]
            )
            for cell, suffix in zip(self.cells, ("_l0", "_l0_reverse")):
                for name, p in cell.named_parameters():
                    p.data.copy_(getattr(src, name + suffix).data)

        def forward(self, x, hx=None):
            H = self.cells[0].hidden_size
            if hx is None:
                hx = (x.new_zeros(2, x.size(0), H), x.new_zeros(2, x.size(0), H))
            h0, c0 = hx
            outs, hs, cs = [], [], []
            for d, cell in enumerate(self.cells):
                h, c = h0[0], c0[0]
                seq = x if d == 0 else x.flip(1)
                ys = []
                for t in range(seq.size(1)):
                    h, c = cell(seq[:, t], (h, c))
                    ys.append(h)
                y = torch.stack(ys, 1)
                outs.append(y if d == 0 else y.flip(1))
                hs.append(h)
                cs.append(c)
            return torch.cat(outs, -1), (torch.stack(hs), torch.stack(cs))

    return BiLSTM(ref), ref, {}


def lstm_t():
    torch.manual_seed(409)
    ref = nn.LSTM(4, 6, num_layers=2, bidirectional=True)

    def direction(x, state, w):
        h, c = state
        ys = []
        for x_t in x:
            gates = F.linear(x_t, w[0], w[2]) + F.linear(h, w[1], w[3])
            i, f, g, o = gates.chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            ys.append(h)
        return torch.stack(ys), (h, c)

    def candidate(x, hx=None):
        if hx is None:
            hx = (x.new_zeros(4, x.size(1), 6), x.new_zeros(4, x.size(1), 6))
        fw_states, bw_states = [], []
        for l in range(2):
            k = 2 * l
            yf, sf = direction(x, (hx[0][k], hx[1][k]), ref.all_weights[k])
            yb, sb = direction(x.flip(0), (hx[0][k + 1], hx[1][k + 1]), ref.all_weights[k + 1])
            fw_states.append(sf)
            bw_states.append(sb)
            x = torch.cat([yf, yb.flip(0)], 2)
        states = fw_states + bw_states
        h_n = torch.stack([s[0] for s in states])
        c_n = torch.stack([s[1] for s in states])
        return x, (h_n, c_n)

    return candidate, ref, {}


def lstm_u():
    torch.manual_seed(410)
    ref = nn.LSTM(6, 10, num_layers=2, dropout=0.3, batch_first=True)
    ref.eval()

    class RegularizedLSTM(nn.Module):
        def __init__(self, src):
            super().__init__()
            self.p = src.dropout
            self.l0 = nn.LSTM(src.input_size, src.hidden_size, batch_first=True)
            self.l1 = nn.LSTM(src.hidden_size, src.hidden_size, batch_first=True)
            sd = src.state_dict()
            self.l0.load_state_dict({k: v for k, v in sd.items() if k.endswith("l0")})
            self.l1.load_state_dict({k[:-1] + "0": v for k, v in sd.items() if k.endswith("l1")})

        def forward(self, x, hx=None):
            s0 = s1 = None
            if hx is not None:
                h0, c0 = hx
                s0 = (h0[:1].contiguous(), c0[:1].contiguous())
                s1 = (h0[1:].contiguous(), c0[1:].contiguous())
            y, (ha, ca) = self.l0(x, s0)
            y = F.dropout(y, self.p)
            y, (hb, cb) = self.l1(y, s1)
            return y, (torch.cat([ha, hb]), torch.cat([ca, cb]))

    return RegularizedLSTM(ref).eval(), ref, {}


def lstm_v():
    torch.manual_seed(411)
    ref = nn.LSTM(6, 11, proj_size=4)
    nn.init.xavier_uniform_(ref.weight_hr_l0, gain=1.5)

    class LSTMP(nn.Module):
        def __init__(self, src):
            super().__init__()
            self.x = nn.Linear(6, 44)
            self.r = nn.Linear(4, 44)
            self.proj = nn.Linear(11, 4, bias=False)
            with torch.no_grad():
                self.x.weight.copy_(src.weight_ih_l0)
                self.x.bias.copy_(src.bias_ih_l0)
                self.r.weight.copy_(src.weight_hh_l0)
                self.r.bias.copy_(src.bias_hh_l0)
                self.proj.weight.copy_(src.weight_hr_l0)

        def forward(self, x, hx=None):
            if hx is None:
                hx = (x.new_zeros(1, x.size(1), 4), x.new_zeros(1, x.size(1), 11))
            r, c = hx[0][0], hx[1][0]
            ys = []
            for x_t in x:
                i, f, g, o = (self.x(x_t) + self.r(r)).chunk(4, 1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                m = torch.sigmoid(o) * torch.tanh(c)
                r = torch.tanh(self.proj(m))
                ys.append(r)
            return torch.stack(ys), (r.unsqueeze(0), c.unsqueeze(0))

    return LSTMP(ref), ref, {}


def lstm_w():
    torch.manual_seed(412)
    ref = nn.LSTM(5, 9, num_layers=2, proj_size=3, batch_first=True)
    W_proj = ref.weight_hr_l0

    def candidate(x, hx=None):
        B = x.size(0)
        if hx is None:
            hx = (x.new_zeros(2, B, 3), x.new_zeros(2, B, 9))
        seq = x.transpose(0, 1)
        hs, cs = [], []
        for l in range(2):
            w_ih, w_hh, b_ih, b_hh = ref.all_weights[l][:4]
            h, c = hx[0][l], hx[1][l]
            out = []
            for x_t in seq:
                gates = F.linear(x_t, w_ih, b_ih) + F.linear(h, w_hh, b_hh)
                i, f, g, o = gates.chunk(4, 1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = F.linear(torch.sigmoid(o) * torch.tanh(c), W_proj)
                out.append(h)
            seq = torch.stack(out)
            hs.append(h)
            cs.append(c)
        return seq.transpose(0, 1), (torch.stack(hs), torch.stack(cs))

    return candidate, ref, {}


def lstm_x():
    torch.manual_seed(413)
    ref = nn.LSTM(5, 8, num_layers=2, bidirectional=True)

    class StackedBiLSTM(nn.Module):
        def __init__(self, src):
            super().__init__()
            self.src = src

        def _scan(self, x, h, c, tag):
            s = self.src
            w_ih, w_hh = getattr(s, "weight_ih" + tag), getattr(s, "weight_hh" + tag)
            b = getattr(s, "bias_ih" + tag) + getattr(s, "bias_hh" + tag)
            ys = []
            for x_t in x:
                i, f, g, o = (x_t @ w_ih.T + h @ w_hh.T + b).chunk(4, -1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
                ys.append(h)
            return torch.stack(ys), h, c

        def forward(self, x, hx=None):
            H, L = self.src.hidden_size, self.src.num_layers
            if hx is None:
                hx = (x.new_zeros(2 * L, x.size(1), H), x.new_zeros(2 * L, x.size(1), H))
            hn, cn = [], []
            for l in range(L):
                fw, h, c = self._scan(x, hx[0][2 * l], hx[1][2 * l], f"_l{l}")
                hn.append(h)
                cn.append(c)
                bw, h, c = self._scan(
                    x.flip(0), hx[0][2 * l + 1], hx[1][2 * l + 1], f"_l{l}_reverse"
                )
                hn.append(h)
                cn.append(c)
                x = torch.cat([fw, bw], dim=-1)
            # put the backward half back in time order
            out = torch.cat([x[..., :H], x[..., H:].flip(0)], dim=-1)
            return out, (torch.stack(hn), torch.stack(cn))

    return StackedBiLSTM(ref), ref, {}


def lstm_y():
    torch.manual_seed(414)
    ref = nn.LSTM(4, 9, num_layers=2)

    class TwoLayer(nn.Module):
        def __init__(self, src):
            super().__init__()
            self.lstm1 = nn.LSTMCell(4, 9)
            self.lstm2 = nn.LSTMCell(9, 9)
            for l, cell in enumerate([self.lstm1, self.lstm2]):
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    getattr(cell, name).data.copy_(getattr(src, f"{name}_l{l}").data)

        def forward(self, x, hx=None):
            if hx is None:
                hx = (x.new_zeros(2, x.size(1), 9), x.new_zeros(2, x.size(1), 9))
            h_t, c_t = hx[0][0], hx[1][0]
            h_t2, c_t2 = hx[0][1], hx[0][1]
            outputs = []
            for input_t in x:
                h_t, c_t = self.lstm1(input_t, (h_t, c_t))
                h_t2, c_t2 = self.lstm2(h_t, (h_t2, c_t2))
                outputs.append(h_t2)
            return torch.stack(outputs), (torch.stack([h_t, h_t2]), torch.stack([c_t, c_t2]))

    return TwoLayer(ref), ref, {}


def lstm_z():
    torch.manual_seed(415)
    ref = nn.LSTM(6, 10, proj_size=3, bidirectional=True)

    def scan(x, h, c, w_ih, w_hh, b_ih, b_hh, w_hr):
        ys = []
        for x_t in x:
            i, f, g, o = (F.linear(x_t, w_ih, b_ih) + F.linear(h, w_hh, b_hh)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = F.linear(torch.sigmoid(o) * c, w_hr)
            ys.append(h)
        return torch.stack(ys), h, c

    def candidate(x, hx=None):
        if hx is None:
            hx = (x.new_zeros(2, x.size(1), 3), x.new_zeros(2, x.size(1), 10))
        sd = dict(ref.named_parameters())
        names = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
        proj = sd["weight_hr_l0"]
        f, hf, cf = scan(x, hx[0][0], hx[1][0], *[sd[n] for n in names], proj)
        b, hb, cb = scan(x.flip(0), hx[0][1], hx[1][1], *[sd[n + "_reverse"] for n in names], proj)
        return torch.cat([f, b.flip(0)], -1), (torch.stack([hf, hb]), torch.stack([cf, cb]))

    return candidate, ref, {}


CASES = [
    dict(
        name="lstm_hard_sigmoid",
        build=lstm_l,
        truth="The gates i, f and o use the hard sigmoid clamp(0.2x + 0.5, 0, 1) instead of the logistic sigmoid.",
    ),
    dict(
        name="lstm_bias_ih_twice",
        build=lstm_m,
        truth="bias_ih is added twice: the recurrent product uses bias_ih_l0 where bias_hh_l0 belongs.",
    ),
    dict(
        name="lstm_f_i_gate_order",
        build=lstm_n,
        truth="The gate blocks are read in the order f, i, g, o instead of i, f, g, o (input and forget gates exchanged).",
    ),
    dict(
        name="lstm_relu_cell_gate_and_unit_forget_bias",
        build=lstm_o,
        truth="Two: the cell gate g uses ReLU instead of tanh, and 1.0 is added to the forget gate's bias.",
    ),
    dict(
        name="lstm_onnx_order_and_no_bias_hh",
        build=lstm_p,
        truth="Two: the gate blocks are read in ONNX's order i, o, f, g instead of i, f, g, o, and bias_hh is missing.",
    ),
    dict(
        name="lstmcell_tf_order_and_forget_bias",
        build=lstm_q,
        truth="Two: the gate blocks are read in TensorFlow's order i, g, f, o instead of i, f, g, o, and 1.0 is added to the forget gate's pre-activation.",
    ),
    dict(
        name="bilstm_output_interleaved",
        build=lstm_r,
        truth="Forward and backward outputs are interleaved feature by feature (stack on the last dim and view) instead of concatenated.",
    ),
    dict(
        name="bilstm_reverse_starts_from_forward_state",
        build=lstm_s,
        truth="The reverse direction starts from the forward direction's initial states (h0[0], c0[0]) instead of h0[1], c0[1].",
    ),
    dict(
        name="bilstm2_final_states_order",
        build=lstm_t,
        truth="h_n and c_n are returned as all forward layers, then all backward ones, instead of alternating directions layer by layer.",
    ),
    dict(
        name="lstm2_dropout_active_in_eval",
        build=lstm_u,
        truth="Dropout between the layers stays active in eval mode (F.dropout without training=self.training).",
    ),
    dict(
        name="lstmp_tanh_after_projection",
        build=lstm_v,
        truth="A tanh is applied to the projected hidden state; the reference's projection is linear.",
    ),
    dict(
        name="lstmp2_layer1_uses_layer0_projection",
        build=lstm_w,
        truth="The second layer projects with weight_hr_l0 instead of its own weight_hr_l1.",
    ),
    dict(
        name="bilstm2_inner_reverse_not_flipped",
        build=lstm_x,
        truth="The first layer's reverse outputs are not flipped back in time before they are fed to the second layer (only the last layer's are).",
    ),
    dict(
        name="lstm2_layer1_c_from_h0",
        build=lstm_y,
        truth="The second layer's cell state is initialised from h0[1] instead of c0[1].",
    ),
    dict(
        name="bilstmp_no_cell_tanh_and_shared_projection",
        build=lstm_z,
        truth="Two: the tanh on the cell state is missing (o*c is projected), and the reverse direction projects with weight_hr_l0 instead of weight_hr_l0_reverse.",
    ),
]

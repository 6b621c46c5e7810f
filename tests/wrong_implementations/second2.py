# ruff: noqa # written as people write it
# The same for the types:
# mypy: ignore-errors
import torch
import torch.nn as nn
import torch.nn.functional as F


def rnn_p():
    torch.manual_seed(201)
    ref = nn.RNN(5, 8, bidirectional=True, batch_first=True)

    class BiRNN(nn.Module):
        def __init__(self, src):
            super().__init__()
            self.fw = nn.RNNCell(src.input_size, src.hidden_size)
            self.bw = nn.RNNCell(src.input_size, src.hidden_size)
            sd = src.state_dict()
            self.fw.weight_ih.data = sd["weight_ih_l0"].clone()
            self.fw.weight_hh.data = sd["weight_hh_l0"].clone()
            self.bw.weight_ih.data = sd["weight_ih_l0_reverse"].clone()
            self.bw.weight_hh.data = sd["weight_hh_l0_reverse"].clone()
            for cell in (self.fw, self.bw):
                cell.bias_ih.data = sd["bias_ih_l0"].clone()
                cell.bias_hh.data = sd["bias_hh_l0"].clone()

        def forward(self, x, hx=None):
            B, T, _ = x.shape
            if hx is None:
                hx = x.new_zeros(2, B, self.fw.hidden_size)
            hf, hb = hx
            f, b = [None] * T, [None] * T
            for t in range(T):
                f[t] = hf = self.fw(x[:, t], hf)
            for t in reversed(range(T)):
                b[t] = hb = self.bw(x[:, t], hb)
            out = torch.cat([torch.stack(b, 1), torch.stack(f, 1)], dim=2)
            return out, torch.stack([hf, hb])

    return BiRNN(ref), ref, {}


def gru_a():
    torch.manual_seed(202)
    ref = nn.GRU(6, 9)

    class GRU(nn.Module):
        def __init__(self, src):
            super().__init__()
            self.x2h = nn.Linear(src.input_size, 3 * src.hidden_size)
            self.h2h = nn.Linear(src.hidden_size, 3 * src.hidden_size)
            self.x2h.weight, self.x2h.bias = src.weight_ih_l0, src.bias_ih_l0
            self.h2h.weight, self.h2h.bias = src.weight_hh_l0, src.bias_hh_l0
            self.H = src.hidden_size

        def forward(self, x, hx=None):
            h = x.new_zeros(x.size(1), self.H) if hx is None else hx.squeeze(0)
            outs = []
            for x_t in x:
                xr, xz, xn = self.x2h(x_t).chunk(3, dim=1)
                hr, hz, hn = self.h2h(h).chunk(3, dim=1)
                r = torch.sigmoid(xr + hr)
                z = torch.sigmoid(xz + hz)
                n = torch.tanh(xn + r * hn)
                h = (1 - z) * h + z * n
                outs.append(h)
            return torch.stack(outs, dim=0), h.unsqueeze(0)

    return GRU(ref), ref, {}


def gru_b():
    torch.manual_seed(203)
    ref = nn.GRUCell(5, 8)
    W_ir, W_iz, W_in = ref.weight_ih.chunk(3)
    W_hr, W_hz, W_hn = ref.weight_hh.chunk(3)
    b_ir, b_iz, b_in = ref.bias_ih.chunk(3)
    b_hr, b_hz, b_hn = ref.bias_hh.chunk(3)

    def candidate(x, h):
        r = torch.sigmoid(x @ W_ir.T + b_ir + h @ W_hr.T + b_hr)
        z = torch.sigmoid(x @ W_iz.T + b_iz + h @ W_hz.T + b_hz)
        n = torch.tanh(x @ W_in.T + b_in + (r * h) @ W_hn.T + b_hn)
        return z * h + (1 - z) * n

    return candidate, ref, {}


def gru_c():
    torch.manual_seed(204)
    ref = nn.GRU(4, 10, batch_first=True)
    kernel = ref.weight_ih_l0.detach().t()
    recurrent_kernel = ref.weight_hh_l0.detach().t()
    input_bias, recurrent_bias = ref.bias_ih_l0.detach(), ref.bias_hh_l0.detach()
    units = ref.hidden_size

    def step(inputs, h_tm1):
        matrix_x = inputs @ kernel + input_bias
        x_z, x_r, x_h = torch.split(matrix_x, units, dim=-1)
        matrix_inner = h_tm1 @ recurrent_kernel + recurrent_bias
        rec_z, rec_r, rec_h = torch.split(matrix_inner, units, dim=-1)
        z = torch.sigmoid(x_z + rec_z)
        r = torch.sigmoid(x_r + rec_r)
        hh = torch.tanh(x_h + r * rec_h)
        return z * h_tm1 + (1 - z) * hh

    def candidate(x):
        h = x.new_zeros(x.shape[0], units)
        seq = []
        for t in range(x.shape[1]):
            h = step(x[:, t, :], h)
            seq.append(h)
        return torch.stack(seq, dim=1)

    return candidate, ref, {}


def gru_d():
    torch.manual_seed(205)
    ref = nn.GRU(7, 9)
    H = 9

    def candidate(x, hx=None):
        h = x.new_zeros(x.size(1), H) if hx is None else hx[0]
        gi_all = F.linear(x, ref.weight_ih_l0, ref.bias_ih_l0)
        b_rz, b_n = ref.bias_hh_l0[: 2 * H], ref.bias_hh_l0[2 * H :]
        outs = []
        for gi in gi_all:
            gh = F.linear(h, ref.weight_hh_l0)
            rz = torch.sigmoid(gi[:, : 2 * H] + gh[:, : 2 * H] + b_rz)
            r, z = rz[:, :H], rz[:, H:]
            n = torch.tanh(gi[:, 2 * H :] + r * gh[:, 2 * H :] + b_n)
            h = n + z * (h - n)
            outs.append(h)
        return torch.stack(outs), h[None]

    return candidate, ref, {}


def gru_e():
    torch.manual_seed(206)
    ref = nn.GRU(6, 11)

    class FusedBiasGRU(nn.Module):
        """bias_ih and bias_hh folded into a single vector"""

        def __init__(self, src):
            super().__init__()
            self.wi = nn.Linear(src.input_size, 3 * src.hidden_size, bias=False)
            self.wh = nn.Linear(src.hidden_size, 3 * src.hidden_size, bias=True)
            with torch.no_grad():
                self.wi.weight.copy_(src.weight_ih_l0)
                self.wh.weight.copy_(src.weight_hh_l0)
                self.wh.bias.copy_(src.bias_ih_l0 + src.bias_hh_l0)

        def forward(self, x, hx=None):
            H = self.wh.in_features
            h = hx[0] if hx is not None else x.new_zeros(x.size(1), H)
            y = []
            for t in range(x.size(0)):
                i_r, i_z, i_n = self.wi(x[t]).chunk(3, 1)
                h_r, h_z, h_n = self.wh(h).chunk(3, 1)
                resetgate = torch.sigmoid(i_r + h_r)
                updategate = torch.sigmoid(i_z + h_z)
                newgate = torch.tanh(i_n + resetgate * h_n)
                h = newgate + updategate * (h - newgate)
                y.append(h)
            return torch.stack(y), h.unsqueeze(0)

    return FusedBiasGRU(ref), ref, {}


def gru_f():
    torch.manual_seed(207)
    ref = nn.GRU(3, 8, batch_first=True)

    def cell(x, h):
        gx = F.linear(x, ref.weight_ih_l0, ref.bias_ih_l0)
        gh = F.linear(h, ref.weight_hh_l0, ref.bias_hh_l0)
        xr, xz, xn = gx.chunk(3, -1)
        hr, hz, hn = gh.chunk(3, -1)
        r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
        n = (xn + r * hn).tanh()
        h = r * h
        return (1 - z) * n + z * h

    def candidate(x, hx=None):
        h = hx[0] if hx is not None else x.new_zeros(len(x), 8)
        outs = []
        for x_t in x.transpose(0, 1):
            h = cell(x_t, h)
            outs.append(h)
        return torch.stack(outs, 1), h.unsqueeze(0)

    return candidate, ref, {}


def gru_g():
    torch.manual_seed(208)
    ref = nn.GRU(5, 7)

    def candidate(x, hx):
        T, B, _ = x.shape
        H = ref.hidden_size
        h = hx[0]
        out = torch.empty(T, B, H, dtype=x.dtype)
        for t in range(T):
            gi = F.linear(x[t], ref.weight_ih_l0, ref.bias_ih_l0).view(B, H, 3)
            gh = F.linear(h, ref.weight_hh_l0, ref.bias_hh_l0).view(B, H, 3)
            r = torch.sigmoid(gi[..., 0] + gh[..., 0])
            z = torch.sigmoid(gi[..., 1] + gh[..., 1])
            n = torch.tanh(gi[..., 2] + r * gh[..., 2])
            h = (1 - z) * n + z * h
            out[t] = h
        return out, h.unsqueeze(0)

    return candidate, ref, {}


def gru_h():
    torch.manual_seed(209)
    ref = nn.GRUCell(6, 10)

    class MyGRUCell(nn.Module):
        def __init__(self, src):
            super().__init__()
            self.ih = nn.Linear(src.input_size, 3 * src.hidden_size)
            self.hh = nn.Linear(src.hidden_size, 3 * src.hidden_size)
            self.ih.load_state_dict(dict(weight=src.weight_ih, bias=src.bias_ih))
            self.hh.load_state_dict(dict(weight=src.weight_hh, bias=src.bias_hh))

        def forward(self, x, h):
            xr, xz, xn = torch.chunk(self.ih(x), 3, dim=-1)
            hr, hz, hn = torch.chunk(self.hh(h), 3, dim=-1)
            r = torch.sigmoid(xr + hr)
            z = torch.sigmoid(xz + hz)
            n = torch.sigmoid(xn + r * hn)
            return (1 - z) * n + z * h

    return MyGRUCell(ref), ref, {}


def gru_i():
    torch.manual_seed(210)
    ref = nn.GRUCell(4, 9)

    def candidate(x, h):
        gi = torch.addmm(ref.bias_ih, x, ref.weight_ih.t())
        gh = torch.addmm(ref.bias_hh, h, ref.weight_hh.t())
        i_r, i_i, i_n = gi.chunk(3, 1)
        h_r, h_i, h_n = gh.chunk(3, 1)
        reset = torch.sigmoid(i_r + h_r)
        update = torch.sigmoid(i_i + h_i)
        new = torch.tanh(i_n + reset * h_n)
        return new + update * (new - h)

    return candidate, ref, {}


def gru_j():
    torch.manual_seed(211)
    ref = nn.GRU(6, 9)

    class ZRHGRU(nn.Module):
        """stores gates as z, r, h; weights are imported from a torch GRU"""

        def __init__(self, src):
            super().__init__()
            H = self.H = src.hidden_size
            perm = torch.cat(
                [torch.arange(H, 2 * H), torch.arange(0, H), torch.arange(2 * H, 3 * H)]
            )
            self.W = nn.Parameter(src.weight_ih_l0.data[perm].clone())
            self.U = nn.Parameter(src.weight_hh_l0.data[perm].clone())
            self.b_in = nn.Parameter(src.bias_ih_l0.data.clone())
            self.b_rec = nn.Parameter(src.bias_hh_l0.data.clone())

        def forward(self, x, hx=None):
            h = x.new_zeros(x.size(1), self.H) if hx is None else hx[0]
            ys = []
            for x_t in x:
                wz, wr, wh = F.linear(x_t, self.W, self.b_in).split(self.H, 1)
                uz, ur, uh = F.linear(h, self.U, self.b_rec).split(self.H, 1)
                z, r = torch.sigmoid(wz + uz), torch.sigmoid(wr + ur)
                h = z * h + (1 - z) * torch.tanh(wh + r * uh)
                ys.append(h)
            return torch.stack(ys), h[None]

    return ZRHGRU(ref), ref, {}


def gru_k():
    torch.manual_seed(212)
    ref = nn.GRU(5, 8, batch_first=True)
    H = 8
    W = ref.weight_ih_l0.view(3, H, 5)
    U = ref.weight_hh_l0.view(3, H, H)
    b = ref.bias_ih_l0.view(3, H)
    c = ref.bias_hh_l0.view(3, H)

    def candidate(x, hx=None):
        h = torch.zeros(x.shape[0], H) if hx is None else hx[0]
        xs = torch.einsum("bti,ghi->tbgh", x, W) + b
        out = []
        for gx in xs:
            gh = torch.einsum("bh,ghk->bgk", h, U) + c
            r, z = torch.sigmoid(gx[:, :2] + gh[:, :2]).unbind(1)
            n = torch.tanh(gx[:, 2] + r * gh[:, 2])
            h = torch.lerp(n, h, z)
            out.append(h)
        return torch.stack(out, 1), h[None]

    return candidate, ref, {}


def gru_l():
    torch.manual_seed(213)
    ref = nn.GRU(6, 10)
    H = ref.hidden_size

    class ChoGRU(nn.Module):
        def __init__(self):
            super().__init__()
            for i, g in enumerate("rzn"):
                rows = slice(i * H, (i + 1) * H)
                self.register_parameter(
                    "W_" + g, nn.Parameter(ref.weight_ih_l0[rows].detach().clone())
                )
                self.register_parameter(
                    "U_" + g, nn.Parameter(ref.weight_hh_l0[rows].detach().clone())
                )
                self.register_parameter(
                    "b_" + g, nn.Parameter((ref.bias_ih_l0 + ref.bias_hh_l0)[rows].detach().clone())
                )

        def forward(self, x, hx=None):
            h = torch.zeros(x.size(1), H) if hx is None else hx[0]
            hs = []
            for t in range(x.size(0)):
                r = torch.sigmoid(x[t] @ self.W_r.T + h @ self.U_r.T + self.b_r)
                z = torch.sigmoid(x[t] @ self.W_z.T + h @ self.U_z.T + self.b_z)
                h_tilde = torch.tanh(x[t] @ self.W_n.T + (r * h) @ self.U_n.T + self.b_n)
                h = (1 - z) * h + z * h_tilde
                hs.append(h)
            return torch.stack(hs), h.unsqueeze(0)

    return ChoGRU(), ref, {}


def gru_m():
    torch.manual_seed(214)
    ref = nn.GRU(5, 8, bidirectional=True)

    class BiGRU(nn.Module):
        def __init__(self, src):
            super().__init__()
            self.cell = nn.GRUCell(src.input_size, src.hidden_size)
            self.cell.weight_ih = src.weight_ih_l0
            self.cell.weight_hh = src.weight_hh_l0
            self.cell.bias_ih = src.bias_ih_l0
            self.cell.bias_hh = src.bias_hh_l0

        def _run(self, seq, h):
            out = []
            for x_t in seq:
                h = self.cell(x_t, h)
                out.append(h)
            return out, h

        def forward(self, x, hx=None):
            if hx is None:
                hx = x.new_zeros(2, x.size(1), self.cell.hidden_size)
            steps = list(x)
            f, hf = self._run(steps, hx[0])
            b, hb = self._run(steps[::-1], hx[1])
            y = [torch.cat(pair, -1) for pair in zip(f, b[::-1])]
            return torch.stack(y), torch.stack([hf, hb])

    return BiGRU(ref), ref, {}


def gru_n():
    torch.manual_seed(215)
    ref = nn.GRU(6, 9, num_layers=2)

    def gru_step(x, h, w_ih, w_hh, b_ih, b_hh):
        i_r, i_z, i_n = F.linear(x, w_ih, b_ih).chunk(3, 1)
        h_r, h_z, h_n = F.linear(h, w_hh, b_hh).chunk(3, 1)
        r = torch.sigmoid(i_r + h_r)
        z = torch.sigmoid(i_z + h_z)
        n = torch.tanh(i_n + r * h_n)
        return (1 - z) * n + z * h

    def candidate(x, hx=None):
        if hx is None:
            hx = x.new_zeros(2, x.size(1), 9)
        h = hx[0]
        finals = []
        for weights in ref.all_weights:
            outs = []
            for t in range(x.size(0)):
                h = gru_step(x[t], h, *weights)
                outs.append(h)
            x = torch.stack(outs)
            finals.append(h)
        return x, torch.stack(finals)

    return candidate, ref, {}


CASES = [
    dict(
        name="birnn_cat_order_and_forward_biases",
        build=rnn_p,
        truth="Two: the output is concatenated as [backward, forward] instead of [forward, backward], and the reverse direction uses the forward direction's biases.",
    ),
    dict(
        name="gru_update_gate_swapped",
        build=gru_a,
        truth="The update gate is inverted: h' = (1-z)*h + z*n instead of (1-z)*n + z*h.",
    ),
    dict(
        name="grucell_reset_before_matmul",
        build=gru_b,
        truth="The reset gate multiplies h before the product with W_hn, instead of multiplying (W_hn h + b_hn).",
    ),
    dict(
        name="gru_keras_gate_order",
        build=gru_c,
        truth="The gate blocks are read in Keras's order z, r, n instead of PyTorch's r, z, n.",
    ),
    dict(
        name="gru_bhn_outside_reset",
        build=gru_d,
        truth="The hidden bias b_hn of the new gate is added outside the reset gate's product: r*(W_hn h) + b_hn.",
    ),
    dict(
        name="gru_bin_inside_reset",
        build=gru_e,
        truth="The input bias b_in of the new gate is merged with b_hn and so is multiplied by the reset gate too: r*(W_hn h + b_hn + b_in).",
    ),
    dict(
        name="gru_state_overwritten_by_reset",
        build=gru_f,
        truth="The old state is overwritten by r*h before the final mix, so h' = (1-z)*n + z*(r*h).",
    ),
    dict(
        name="gru_gates_interleaved_view",
        build=gru_g,
        truth="The gate vector is viewed as (B, H, 3) instead of (B, 3, H), so the gates are read interleaved instead of in blocks.",
    ),
    dict(
        name="grucell_sigmoid_new_gate",
        build=gru_h,
        truth="The new (candidate) gate n uses sigmoid instead of tanh.",
    ),
    dict(
        name="grucell_lerp_sign",
        build=gru_i,
        truth="The final mix has the sign of the difference wrong: n + z*(n - h) instead of n + z*(h - n).",
    ),
    dict(
        name="gru_port_biases_not_permuted",
        build=gru_j,
        truth="When the weights are imported into z, r, n order, the biases are left in r, z, n order, so the reset and update gates' biases are exchanged.",
    ),
    dict(
        name="gru_recurrent_einsum_untransposed",
        build=gru_k,
        truth="Each gate's recurrent matrix is applied untransposed (h @ U_g instead of h @ U_g.T).",
    ),
    dict(
        name="gru_cho_update_swapped_and_reset_before",
        build=gru_l,
        truth="Two: the update gate is inverted ((1-z)*h + z*n), and the reset gate multiplies h before the product with W_hn.",
    ),
    dict(
        name="bigru_shared_weights",
        build=gru_m,
        truth="The reverse direction uses the forward direction's weights and biases instead of the _reverse ones.",
    ),
    dict(
        name="gru2_layer2_starts_from_layer1_final",
        build=gru_n,
        truth="The second layer starts from the first layer's final state instead of hx[1].",
    ),
]

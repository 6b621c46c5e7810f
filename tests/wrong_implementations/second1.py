# ruff: noqa # written as people write it
# The same for the types:
# mypy: ignore-errors
import torch
import torch.nn as nn
import torch.nn.functional as F


def rnn_a():
    torch.manual_seed(101)
    ref = nn.RNN(6, 9)

    class ElmanRNN(nn.Module):
        def __init__(self, src):
            super().__init__()
            self.i2h = nn.Linear(src.input_size, src.hidden_size)
            self.h2h = nn.Linear(src.hidden_size, src.hidden_size)
            self.act = nn.ReLU()
            with torch.no_grad():
                self.i2h.weight.copy_(src.weight_ih_l0)
                self.i2h.bias.copy_(src.bias_ih_l0)
                self.h2h.weight.copy_(src.weight_hh_l0)
                self.h2h.bias.copy_(src.bias_hh_l0)

        def forward(self, x, hx=None):
            if hx is None:
                hx = x.new_zeros(1, x.size(1), self.h2h.out_features)
            h = hx.squeeze(0)
            outputs = []
            for step in x:
                h = self.act(self.i2h(step) + self.h2h(h))
                outputs.append(h)
            return torch.stack(outputs), h.unsqueeze(0)

    return ElmanRNN(ref), ref, {}


def rnn_b():
    torch.manual_seed(102)
    ref = nn.RNN(5, 8, batch_first=True)

    class VanillaRNN(nn.Module):
        def __init__(self, src):
            super().__init__()
            self.hidden_size = src.hidden_size
            self.in_proj = nn.Linear(src.input_size, src.hidden_size)
            self.rec = nn.Linear(src.hidden_size, src.hidden_size, bias=False)
            self.in_proj.load_state_dict({"weight": src.weight_ih_l0, "bias": src.bias_ih_l0})
            self.rec.load_state_dict({"weight": src.weight_hh_l0})

        def forward(self, x, hx=None):
            b, t, _ = x.shape
            h = torch.zeros(b, self.hidden_size) if hx is None else hx[0]
            z = self.in_proj(x)
            ys = []
            for k in range(t):
                h = torch.tanh(z[:, k] + self.rec(h))
                ys.append(h)
            return torch.stack(ys, dim=1), h[None]

    return VanillaRNN(ref), ref, {}


def rnn_c():
    torch.manual_seed(103)
    ref = nn.RNN(7, 10)
    Wx, Wh = ref.weight_ih_l0, ref.weight_hh_l0
    bx, bh = ref.bias_ih_l0, ref.bias_hh_l0

    def candidate(x):
        T, B, _ = x.shape
        h = torch.zeros(B, 10, dtype=x.dtype)
        hs = []
        for t in range(T):
            h = torch.tanh(x[t] @ Wx.T + bx + h @ Wh + bh)
            hs.append(h)
        return torch.stack(hs, 0)

    return candidate, ref, {}


def rnn_d():
    torch.manual_seed(104)
    ref = nn.RNN(4, 7)
    cell = nn.RNNCell(4, 7)
    cell.weight_ih, cell.weight_hh = ref.weight_ih_l0, ref.weight_hh_l0
    cell.bias_ih, cell.bias_hh = ref.bias_ih_l0, ref.bias_hh_l0

    def init_hidden(batch, like):
        return torch.zeros(batch, ref.hidden_size, dtype=like.dtype, device=like.device)

    def candidate(x, hx=None):
        h = init_hidden(x.size(1), x)
        outs = []
        for x_t in x.unbind(0):
            h = cell(x_t, h)
            outs += [h]
        return torch.stack(outs), h.unsqueeze(0)

    return candidate, ref, {}


def rnn_e():
    torch.manual_seed(105)
    ref = nn.RNN(6, 11, batch_first=True)
    p = dict(ref.named_parameters())

    def candidate(x, hx=None):
        B, T, D = x.shape
        # the loop wants (seq, batch, feature)
        x = x.reshape(T, B, D)
        h = hx[0] if hx is not None else x.new_zeros(B, 11)
        outs = []
        for t in range(T):
            h = torch.tanh(
                F.linear(x[t], p["weight_ih_l0"], p["bias_ih_l0"])
                + F.linear(h, p["weight_hh_l0"], p["bias_hh_l0"])
            )
            outs.append(h)
        out = torch.stack(outs)
        return out.transpose(0, 1), h.unsqueeze(0)

    return candidate, ref, {}


def rnn_f():
    torch.manual_seed(106)
    ref = nn.RNN(3, 8)

    def candidate(inputs, hx=None):
        state = inputs.new_zeros(inputs.shape[1], 8) if hx is None else hx[0]
        outputs = []
        for x_t in inputs:
            outputs.append(state)
            state = torch.tanh(
                F.linear(x_t, ref.weight_ih_l0, ref.bias_ih_l0)
                + F.linear(state, ref.weight_hh_l0, ref.bias_hh_l0)
            )
        return torch.stack(outputs), state[None]

    return candidate, ref, {}


def rnn_g():
    torch.manual_seed(107)
    ref = nn.RNN(6, 9)
    Wxh = ref.weight_ih_l0.detach().t().clone()
    Whh = ref.weight_hh_l0.detach().t().clone()
    b = (ref.bias_ih_l0 + ref.bias_hh_l0).detach()

    def candidate(X, h0):
        T, N, D = X.shape
        H = Whh.shape[0]
        hs = torch.zeros(T, N, H, dtype=X.dtype)
        hs[0] = h0[0]
        for t in range(1, T):
            hs[t] = torch.tanh(X[t] @ Wxh + hs[t - 1] @ Whh + b)
        return hs, hs[-1:].clone()

    return candidate, ref, {}


def rnn_h():
    torch.manual_seed(108)
    ref = nn.RNN(5, 12, nonlinearity="relu")

    class BufferedRNN(nn.Module):
        """keeps the state in one buffer to save allocations"""

        def __init__(self, src):
            super().__init__()
            self.w_ih = nn.Parameter(src.weight_ih_l0.detach().clone())
            self.w_hh = nn.Parameter(src.weight_hh_l0.detach().clone())
            self.bias = nn.Parameter((src.bias_ih_l0 + src.bias_hh_l0).detach().clone())

        @torch.no_grad()
        def forward(self, x, hx=None):
            steps, batch, _ = x.shape
            h = x.new_zeros(batch, self.w_hh.shape[0])
            if hx is not None:
                h.copy_(hx[0])
            outputs = []
            for t in range(steps):
                new = torch.addmm(self.bias, x[t], self.w_ih.t()).addmm(h, self.w_hh.t())
                h.copy_(new.clamp_min(0))
                outputs.append(h)
            return torch.stack(outputs), h.unsqueeze(0)

    return BufferedRNN(ref), ref, {}


def rnn_i():
    torch.manual_seed(109)
    ref = nn.RNNCell(5, 8)

    def candidate(x_t, h):
        a = x_t @ ref.weight_ih.t() + ref.bias_ih
        return torch.tanh(a + h @ ref.weight_hh.t()) + ref.bias_hh

    return candidate, ref, {}


def rnn_j():
    torch.manual_seed(110)
    ref = nn.RNNCell(4, 10)

    class LeakyUnit(nn.Module):
        def __init__(self, src, dt=20.0, tau=100.0):
            super().__init__()
            self.src = src
            self.alpha = dt / tau

        def forward(self, x_t, h):
            s = self.src
            drive = F.linear(x_t, s.weight_ih, s.bias_ih) + F.linear(h, s.weight_hh, s.bias_hh)
            return (1 - self.alpha) * h + self.alpha * torch.tanh(drive)

    return LeakyUnit(ref), ref, {}


def rnn_k():
    torch.manual_seed(111)
    ref = nn.RNN(6, 9, batch_first=True)

    class MyRNN(nn.Module):
        def __init__(self, src):
            super().__init__()
            self.U = nn.Parameter(src.weight_ih_l0.detach().t().contiguous())
            self.W = nn.Parameter(src.weight_hh_l0.detach().contiguous())
            self.b = nn.Parameter(src.bias_hh_l0.detach().clone())

        def forward(self, x, hx=None):
            h = x.new_zeros(x.size(0), self.W.size(0)) if hx is None else hx[0]
            out = []
            for t in range(x.size(1)):
                h = (x[:, t] @ self.U + h @ self.W + self.b).tanh()
                out.append(h.unsqueeze(1))
            return torch.cat(out, dim=1), h.unsqueeze(0)

    return MyRNN(ref), ref, {}


def rnn_l():
    torch.manual_seed(112)
    ref = nn.RNN(6, 9, num_layers=2)

    def run_layer(seq, h, l):
        w_ih, w_hh, b_ih, b_hh = ref.all_weights[l]
        out = []
        for x_t in seq:
            h = torch.tanh(F.linear(x_t, w_ih, b_ih) + F.linear(h, w_hh, b_hh))
            out.append(h)
        return torch.stack(out), h

    def candidate(x, hx=None):
        if hx is None:
            hx = x.new_zeros(ref.num_layers, x.size(1), ref.hidden_size)
        last = []
        for l in range(ref.num_layers):
            x, h = run_layer(x, hx[0], l)
            last.append(h)
        return x, torch.stack(last)

    return candidate, ref, {}


def rnn_m():
    torch.manual_seed(113)
    ref = nn.RNN(5, 8, num_layers=3, nonlinearity="relu")

    class StackedRNN(nn.Module):
        def __init__(self, src):
            super().__init__()
            sizes = [src.input_size] + [src.hidden_size] * (src.num_layers - 1)
            self.cells = nn.ModuleList(nn.RNNCell(s, src.hidden_size) for s in sizes)
            for l, cell in enumerate(self.cells):
                for name, param in cell.named_parameters():
                    param.data.copy_(getattr(src, f"{name}_l{l}").data)

        def forward(self, x, hx=None):
            n = len(self.cells)
            if hx is None:
                hx = x.new_zeros(n, x.size(1), self.cells[0].hidden_size)
            states = list(hx)
            ys = []
            for x_t in x:
                for l, cell in enumerate(self.cells):
                    states[l] = x_t = cell(x_t, states[l])
                ys.append(x_t)
            return torch.stack(ys), torch.stack(states)

    return StackedRNN(ref), ref, {}


def rnn_n():
    torch.manual_seed(114)
    ref = nn.RNN(4, 7, bidirectional=True)

    def scan(seq, h, suffix):
        P = lambda n: getattr(ref, n + "_l0" + suffix)
        out = []
        for x_t in seq:
            h = torch.tanh(
                F.linear(x_t, P("weight_ih"), P("bias_ih"))
                + F.linear(h, P("weight_hh"), P("bias_hh"))
            )
            out.append(h)
        return torch.stack(out), h

    def candidate(x, hx=None):
        if hx is None:
            hx = x.new_zeros(2, x.shape[1], 7)
        fwd, hf = scan(x, hx[0], "")
        bwd, hb = scan(x.flip(0), hx[1], "_reverse")
        return torch.cat([fwd, bwd], dim=-1), torch.stack([hf, hb])

    return candidate, ref, {}


def rnn_o():
    torch.manual_seed(115)
    ref = nn.RNN(6, 9, num_layers=2, batch_first=True)

    class TimeMajorStack(nn.Module):
        def __init__(self, src):
            super().__init__()
            self.layers = nn.ModuleList()
            for l in range(src.num_layers):
                c = nn.RNNCell(src.input_size if l == 0 else src.hidden_size, src.hidden_size)
                c.load_state_dict({k: getattr(src, f"{k}_l{l}") for k in c.state_dict()})
                self.layers.append(c)

        def forward(self, x, hx=None):
            L = len(self.layers)
            if hx is None:
                hx = x.new_zeros(L, x.size(0), self.layers[0].hidden_size)
            h = list(hx.unbind(0))
            tops = []
            for t in range(x.size(1)):
                new_h = []
                for l, cell in enumerate(self.layers):
                    inp = x[:, t] if l == 0 else h[l - 1]
                    new_h.append(cell(inp, h[l]))
                h = new_h
                tops.append(h[-1])
            return torch.stack(tops, 1), torch.stack(h)

    return TimeMajorStack(ref), ref, {}


CASES = [
    dict(
        name="rnn_relu_for_tanh",
        build=rnn_a,
        truth="The nonlinearity is ReLU where the reference's is tanh.",
    ),
    dict(
        name="rnn_no_bias_hh",
        build=rnn_b,
        truth="The hidden-to-hidden bias bias_hh_l0 is never added.",
    ),
    dict(
        name="rnn_whh_not_transposed",
        build=rnn_c,
        truth="The recurrent product uses h @ W_hh instead of h @ W_hh.T (W_hh not transposed).",
    ),
    dict(
        name="rnn_ignores_hx",
        build=rnn_d,
        truth="The initial state hx is ignored; the loop always starts from zeros.",
    ),
    dict(
        name="rnn_reshape_for_transpose",
        build=rnn_e,
        truth="batch_first input is turned to time-major by reshape instead of transpose, which scrambles batch and time of the input.",
    ),
    dict(
        name="rnn_output_before_update",
        build=rnn_f,
        truth="The output at step t is the state before the update, so outputs are shifted by one step (output[0] = h0).",
    ),
    dict(
        name="rnn_first_step_skipped",
        build=rnn_g,
        truth="The loop starts at t = 1 with h0 stored as output[0]: the first input x[0] is never consumed.",
    ),
    dict(
        name="rnn_aliased_outputs",
        build=rnn_h,
        truth="The state buffer is updated in place and appended without a copy, so every output step equals the last state.",
    ),
    dict(
        name="rnncell_bias_after_tanh",
        build=rnn_i,
        truth="bias_hh is added after the tanh instead of inside it.",
    ),
    dict(
        name="rnncell_leaky",
        build=rnn_j,
        truth="The new state is a leaky mix 0.8*h + 0.2*tanh(...) instead of tanh(...) alone.",
    ),
    dict(
        name="rnn_whh_not_transposed_and_no_bias_ih",
        build=rnn_k,
        truth="Two: W_hh is used untransposed (h @ W_hh), and the input bias bias_ih_l0 is missing.",
    ),
    dict(
        name="rnn2_all_layers_start_from_hx0",
        build=rnn_l,
        truth="The second layer starts from hx[0], the first layer's initial state, instead of hx[1].",
    ),
    dict(
        name="rnn3_relu_ref_default_tanh_cells",
        build=rnn_m,
        truth="All layers use tanh (RNNCell's default) where the reference's nonlinearity is relu.",
    ),
    dict(
        name="birnn_reverse_not_flipped_back",
        build=rnn_n,
        truth="The reverse direction's outputs are not flipped back in time before concatenation.",
    ),
    dict(
        name="rnn2_layer_input_stale",
        build=rnn_o,
        truth="The second layer takes as its input the first layer's state of the previous time step instead of the current one.",
    ),
]

"""The gate arithmetic of each cell, forward and backward, for one sequence at one step.

`X_forward(a, r, h, c, h_next, c_next, own)` gets what the gates' weights make of the input, `a`, and of the
state before, `r`, each (gates * H,), biases included, in the order of the cell's gates, and the cell's own
weights. It writes the next state, and leaves in `a` and `r` what the backward step will want.

`X_backward(a, r, h, c, h_next, c_next, dh, dc, own, gown)` gets the gradients of the next state in `dh` and
`dc`, (H,). It replaces `a` and `r` by their gradients, and `dh` and `dc` by those of the state before, as far
as they do not come through `r`, and adds to `gown`. Cells without c have (0,) for it, cells without recurrent
matrix leave `r` alone, as room of their own.

In `gru_v1` and `mgu` the first gate multiplies h before the candidate's matrix does. The loop has made that
gate when `X_forward` is called; `X_backward` leaves its value in `a` and puts into `r` the gradient that
reaches it other than through the product.

This module is source text for the compiler (see `build`): plain Python over arrays, no imports.
"""


def lstm_forward(a, r, h, c, h_next, c_next, own):
    """i, f, g, o stay in `a`, tanh of the next c in `r`."""
    n = h.size
    for k in range(4 * n):
        a[k] += r[k]
    sigmoid_all(a[: 2 * n])
    tanh_all(a[2 * n : 3 * n])
    sigmoid_all(a[3 * n :])
    for j in range(n):
        c_next[j] = a[n + j] * c[j] + a[j] * a[2 * n + j]
        r[j] = c_next[j]
    tanh_all(r[:n])
    for j in range(n):
        h_next[j] = a[3 * n + j] * r[j]


def lstm_backward(a, r, h, c, h_next, c_next, dh, dc, own, gown):
    """Both parts of a gate have one gradient, since they are summed."""
    n = h.size
    one = real(1)
    for j in range(n):
        i, f, g, o, t = a[j], a[n + j], a[2 * n + j], a[3 * n + j], r[j]
        d = dc[j] + dh[j] * o * (one - t * t)
        a[j] = d * g * i * (one - i)
        a[n + j] = d * c[j] * f * (one - f)
        a[2 * n + j] = d * i * (one - g * g)
        a[3 * n + j] = dh[j] * t * o * (one - o)
        dc[j] = d * f
        dh[j] = real(0)
    for k in range(4 * n):
        r[k] = a[k]


def gru_forward(a, r, h, c, h_next, c_next, own):
    """r, z, n stay in `a`; what the reset gate multiplies stays in the third block of `r`."""
    n = h.size
    for k in range(2 * n):
        a[k] += r[k]
    sigmoid_all(a[: 2 * n])
    for j in range(n):
        a[2 * n + j] += a[j] * r[2 * n + j]
    tanh_all(a[2 * n :])
    for j in range(n):
        h_next[j] = (real(1) - a[n + j]) * a[2 * n + j] + a[n + j] * h[j]


def gru_backward(a, r, h, c, h_next, c_next, dh, dc, own, gown):
    """The candidate's recurrent part has its gradient scaled by the reset gate."""
    n = h.size
    one = real(1)
    for j in range(n):
        reset, z, candidate = a[j], a[n + j], a[2 * n + j]
        dn = dh[j] * (one - z) * (one - candidate * candidate)
        dr = dn * r[2 * n + j] * reset * (one - reset)
        dz = dh[j] * (h[j] - candidate) * z * (one - z)
        a[j], r[j] = dr, dr
        a[n + j], r[n + j] = dz, dz
        a[2 * n + j], r[2 * n + j] = dn, dn * reset
        dh[j] *= z


def rnn_tanh_forward(a, r, h, c, h_next, c_next, own):
    """Nothing but the next state is needed backward."""
    for j in range(h.size):
        h_next[j] = a[j] + r[j]
    tanh_all(h_next)


def rnn_tanh_backward(a, r, h, c, h_next, c_next, dh, dc, own, gown):
    """tanh' from its own value."""
    for j in range(h.size):
        d = dh[j] * (real(1) - h_next[j] * h_next[j])
        a[j], r[j], dh[j] = d, d, real(0)


def rnn_relu_forward(a, r, h, c, h_next, c_next, own):
    """Nothing but the next state is needed backward."""
    for j in range(h.size):
        z = a[j] + r[j]
        h_next[j] = real(0) if z < real(0) else z  # so that a NaN stays one


def rnn_relu_backward(a, r, h, c, h_next, c_next, dh, dc, own, gown):
    """The gradient passes where the unit is on."""
    for j in range(h.size):
        d = dh[j] if h_next[j] > real(0) else real(0)
        a[j], r[j], dh[j] = d, d, real(0)


def gru_v1_forward(a, r, h, c, h_next, c_next, own):
    """r, z, n stay in `a`; r is made."""
    n = h.size
    for k in range(n, 3 * n):
        a[k] += r[k]
    sigmoid_all(a[n : 2 * n])
    tanh_all(a[2 * n :])
    for j in range(n):
        h_next[j] = (real(1) - a[n + j]) * a[2 * n + j] + a[n + j] * h[j]


def gru_v1_backward(a, r, h, c, h_next, c_next, dh, dc, own, gown):
    """The reset gate acts through the product alone."""
    n = h.size
    one = real(1)
    for j in range(n):
        z, candidate = a[n + j], a[2 * n + j]
        dn = dh[j] * (one - z) * (one - candidate * candidate)
        dz = dh[j] * (h[j] - candidate) * z * (one - z)
        r[j] = real(0)
        a[n + j], r[n + j] = dz, dz
        a[2 * n + j], r[2 * n + j] = dn, dn
        dh[j] *= z


def mgu_forward(a, r, h, c, h_next, c_next, own):
    """f, n stay in `a`; f is made."""
    n = h.size
    for k in range(n, 2 * n):
        a[k] += r[k]
    tanh_all(a[n:])
    for j in range(n):
        h_next[j] = (real(1) - a[j]) * h[j] + a[j] * a[n + j]


def mgu_backward(a, r, h, c, h_next, c_next, dh, dc, own, gown):
    """The forget gate acts through the product and through the mixture."""
    n = h.size
    one = real(1)
    for j in range(n):
        f, candidate = a[j], a[n + j]
        dn = dh[j] * f * (one - candidate * candidate)
        r[j] = dh[j] * (candidate - h[j])
        a[n + j], r[n + j] = dn, dn
        dh[j] *= one - f


def lstm_peephole_forward(a, r, h, c, h_next, c_next, own):
    """As `lstm`, with p_i, p_f, p_o in `own`; the output gate sees the next c."""
    n = h.size
    for k in range(4 * n):
        a[k] += r[k]
    for j in range(n):
        a[j] += own[j] * c[j]
        a[n + j] += own[n + j] * c[j]
    sigmoid_all(a[: 2 * n])
    tanh_all(a[2 * n : 3 * n])
    for j in range(n):
        c_next[j] = a[n + j] * c[j] + a[j] * a[2 * n + j]
        a[3 * n + j] += own[2 * n + j] * c_next[j]
        r[j] = c_next[j]
    sigmoid_all(a[3 * n :])
    tanh_all(r[:n])
    for j in range(n):
        h_next[j] = a[3 * n + j] * r[j]


def lstm_peephole_backward(a, r, h, c, h_next, c_next, dh, dc, own, gown):
    """The cell state also has the gradients of the gates that see it."""
    n = h.size
    one = real(1)
    for j in range(n):
        i, f, g, o, t = a[j], a[n + j], a[2 * n + j], a[3 * n + j], r[j]
        do = dh[j] * t * o * (one - o)
        d = dc[j] + dh[j] * o * (one - t * t) + do * own[2 * n + j]
        di, df = d * g * i * (one - i), d * c[j] * f * (one - f)
        gown[j] += di * c[j]
        gown[n + j] += df * c[j]
        gown[2 * n + j] += do * c_next[j]
        a[j], a[n + j], a[2 * n + j], a[3 * n + j] = di, df, d * i * (one - g * g), do
        dc[j] = d * f + di * own[j] + df * own[n + j]
        dh[j] = real(0)
    for k in range(4 * n):
        r[k] = a[k]


def lstm_cifg_forward(a, r, h, c, h_next, c_next, own):
    """f, g, o stay in `a`, tanh of the next c in `r`."""
    n = h.size
    for k in range(3 * n):
        a[k] += r[k]
    sigmoid_all(a[:n])
    tanh_all(a[n : 2 * n])
    sigmoid_all(a[2 * n :])
    for j in range(n):
        c_next[j] = a[j] * c[j] + (real(1) - a[j]) * a[n + j]
        r[j] = c_next[j]
    tanh_all(r[:n])
    for j in range(n):
        h_next[j] = a[2 * n + j] * r[j]


def lstm_cifg_backward(a, r, h, c, h_next, c_next, dh, dc, own, gown):
    """One gate turns both ways: its gradient is that of c - g."""
    n = h.size
    one = real(1)
    for j in range(n):
        f, g, o, t = a[j], a[n + j], a[2 * n + j], r[j]
        d = dc[j] + dh[j] * o * (one - t * t)
        a[j] = d * (c[j] - g) * f * (one - f)
        a[n + j] = d * (one - f) * (one - g * g)
        a[2 * n + j] = dh[j] * t * o * (one - o)
        dc[j] = d * f
        dh[j] = real(0)
    for k in range(3 * n):
        r[k] = a[k]


def lstm_nfg_forward(a, r, h, c, h_next, c_next, own):
    """i, g, o stay in `a`, tanh of the next c in `r`."""
    n = h.size
    for k in range(3 * n):
        a[k] += r[k]
    sigmoid_all(a[:n])
    tanh_all(a[n : 2 * n])
    sigmoid_all(a[2 * n :])
    for j in range(n):
        c_next[j] = c[j] + a[j] * a[n + j]
        r[j] = c_next[j]
    tanh_all(r[:n])
    for j in range(n):
        h_next[j] = a[2 * n + j] * r[j]


def lstm_nfg_backward(a, r, h, c, h_next, c_next, dh, dc, own, gown):
    """The cell state's gradient passes on whole."""
    n = h.size
    one = real(1)
    for j in range(n):
        i, g, o, t = a[j], a[n + j], a[2 * n + j], r[j]
        d = dc[j] + dh[j] * o * (one - t * t)
        a[j] = d * g * i * (one - i)
        a[n + j] = d * i * (one - g * g)
        a[2 * n + j] = dh[j] * t * o * (one - o)
        dc[j] = d
        dh[j] = real(0)
    for k in range(3 * n):
        r[k] = a[k]


def lstm_no_recurrence_forward(a, r, h, c, h_next, c_next, own):
    """As `lstm` without the part of the state before."""
    n = h.size
    sigmoid_all(a[: 2 * n])
    tanh_all(a[2 * n : 3 * n])
    sigmoid_all(a[3 * n :])
    for j in range(n):
        c_next[j] = a[n + j] * c[j] + a[j] * a[2 * n + j]
        r[j] = c_next[j]
    tanh_all(r[:n])
    for j in range(n):
        h_next[j] = a[3 * n + j] * r[j]


def lstm_no_recurrence_backward(a, r, h, c, h_next, c_next, dh, dc, own, gown):
    """As `lstm`."""
    n = h.size
    one = real(1)
    for j in range(n):
        i, f, g, o, t = a[j], a[n + j], a[2 * n + j], a[3 * n + j], r[j]
        d = dc[j] + dh[j] * o * (one - t * t)
        a[j] = d * g * i * (one - i)
        a[n + j] = d * c[j] * f * (one - f)
        a[2 * n + j] = d * i * (one - g * g)
        a[3 * n + j] = dh[j] * t * o * (one - o)
        dc[j] = d * f
        dh[j] = real(0)


def mingru_forward(a, r, h, c, h_next, c_next, own):
    """z, n stay in `a`."""
    n = h.size
    sigmoid_all(a[:n])
    for j in range(n):
        h_next[j] = (real(1) - a[j]) * h[j] + a[j] * a[n + j]


def mingru_backward(a, r, h, c, h_next, c_next, dh, dc, own, gown):
    """The candidate is linear."""
    n = h.size
    one = real(1)
    for j in range(n):
        z, candidate = a[j], a[n + j]
        a[j] = dh[j] * (candidate - h[j]) * z * (one - z)
        a[n + j] = dh[j] * z
        dh[j] *= one - z


def minlstm_forward(a, r, h, c, h_next, c_next, own):
    """f, i, n stay in `a`."""
    n = h.size
    sigmoid_all(a[: 2 * n])
    for j in range(n):
        h_next[j] = (a[j] * h[j] + a[n + j] * a[2 * n + j]) / (a[j] + a[n + j])


def minlstm_backward(a, r, h, c, h_next, c_next, dh, dc, own, gown):
    """A gate's gradient is what it mixes in, less the mixture, over the gates' sum."""
    n = h.size
    one = real(1)
    for j in range(n):
        f, i, candidate = a[j], a[n + j], a[2 * n + j]
        d = dh[j] / (f + i)
        a[j] = d * (h[j] - h_next[j]) * f * (one - f)
        a[n + j] = d * (candidate - h_next[j]) * i * (one - i)
        a[2 * n + j] = d * i
        dh[j] = d * f


def diagonal_positive_forward(a, r, h, c, h_next, c_next, own):
    """The decays, made anew from `own`, stay in `r`."""
    n = h.size
    for j in range(n):
        r[j] = own[j]
    sigmoid_all(r[:n])
    for j in range(n):
        h_next[j] = r[j] * h[j] + a[j]


def diagonal_positive_backward(a, r, h, c, h_next, c_next, dh, dc, own, gown):
    """The decay's gradient is that of a logistic function."""
    for j in range(h.size):
        a[j] = dh[j]
        gown[j] += dh[j] * h[j] * r[j] * (real(1) - r[j])
        dh[j] *= r[j]


def diagonal_signed_forward(a, r, h, c, h_next, c_next, own):
    """The decays, made anew from `own`, stay in `r`."""
    n = h.size
    for j in range(n):
        r[j] = own[j]
    tanh_all(r[:n])
    for j in range(n):
        h_next[j] = r[j] * h[j] + a[j]


def diagonal_signed_backward(a, r, h, c, h_next, c_next, dh, dc, own, gown):
    """The decay's gradient is that of a tanh."""
    for j in range(h.size):
        a[j] = dh[j]
        gown[j] += dh[j] * h[j] * (real(1) - r[j] * r[j])
        dh[j] *= r[j]

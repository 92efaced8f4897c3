"""The gate arithmetic of each cell, forward and backward, for one sequence at one step.

`gate_forward(a, r, h, c, h_next, c_next)` gets what the gates' weights make of the input, `a`, and of
the state before, `r`, each (gates * H,), biases included, in the order of the cell's gates. It writes the
next state, and leaves in `a` and `r` what the backward step will want.

`gate_backward(a, r, h, c, h_next, c_next, dh, dc)` gets the gradients of the next state in `dh` and `dc`,
(H,). It replaces `a` and `r` by their gradients, and `dh` and `dc` by those of the state before, as far as
they do not come through `r`. Cells without c have (0,) for it.

This module is source text for the compiler (see `build`): plain Python over arrays, no imports. `tanh`
and `sigmoid` stand for those of the data type.
"""


def lstm_forward(a, r, h, c, h_next, c_next):
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


def lstm_backward(a, r, h, c, h_next, c_next, dh, dc):
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


def gru_forward(a, r, h, c, h_next, c_next):
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


def gru_backward(a, r, h, c, h_next, c_next, dh, dc):
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


def rnn_tanh_forward(a, r, h, c, h_next, c_next):
    """Nothing but the next state is needed backward."""
    for j in range(h.size):
        h_next[j] = a[j] + r[j]
    tanh_all(h_next)


def rnn_tanh_backward(a, r, h, c, h_next, c_next, dh, dc):
    """tanh' from its own value."""
    for j in range(h.size):
        d = dh[j] * (real(1) - h_next[j] * h_next[j])
        a[j], r[j], dh[j] = d, d, real(0)


def rnn_relu_forward(a, r, h, c, h_next, c_next):
    """Nothing but the next state is needed backward."""
    for j in range(h.size):
        z = a[j] + r[j]
        h_next[j] = real(0) if z < real(0) else z  # so that a NaN stays one


def rnn_relu_backward(a, r, h, c, h_next, c_next, dh, dc):
    """The gradient passes where the unit is on."""
    for j in range(h.size):
        d = dh[j] if h_next[j] > real(0) else real(0)
        a[j], r[j], dh[j] = d, d, real(0)

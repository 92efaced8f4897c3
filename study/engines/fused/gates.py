"""The gate arithmetic of each cell, forward and backward, for one hidden unit or several at once.

`X_forward(a, r, h, c, own)` takes what the gates' weights make of the input (`a`) and of the
previous state (`r`), one number per gate in the order of the cell's gates, biases included; the
unit's state; and the cell's own weights. It returns the next h and c, and a tuple of what the
backward step needs.

`X_backward(kept, h, c, h_next, c_next, dh, dc, own)` takes that tuple, the states before and after,
and the gradients of the next state. It returns the gradients of `a`, of `r`, of h and c where they
do not come through `r`, and of `own`. A cell without c passes it on; a cell without a recurrent
matrix takes no `r` and returns () for its gradient.

In `gru_v1` and `mgu` the first gate multiplies h before the candidate's matrix does, so the last of
`r` already belongs to that product. There `kept` begins with the gate, and `X_backward` leaves in
the first of `a` the gradient of the gate, not of its preactivation; the loop does the rest.

This module is source text for the compiler (see `build`): it runs on `lanes.Lanes` in the loop, and
on numbers in the analysis of trained networks. It imports nothing.
"""


def lstm_forward(a, r, h, c, own):
    """Keep i, f, g, o and tanh of the next c."""
    return lstm_output(
        sigmoid(a[0] + r[0]), sigmoid(a[1] + r[1]), tanh(a[2] + r[2]), sigmoid(a[3] + r[3]), c
    )  # fmt: skip


def lstm_output(i, f, g, o, c):
    """Compute the next state from the gates."""
    c_next = f * c + i * g
    t = tanh(c_next)
    return o * t, c_next, (i, f, g, o, t)


def lstm_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """The two parts of a gate are summed and so have the same gradient."""
    i, f, g, o, t = kept
    d = dc + dh * o * (one - t * t)
    da = (
        d * g * i * (one - i),
        d * c * f * (one - f),
        d * i * (one - g * g),
        dh * t * o * (one - o),
    )
    return da, da, zero_of(dh), d * f, ()


def gru_forward(a, r, h, c, own):
    """Keep r, z, n and what the reset gate multiplies."""
    reset, z = sigmoid(a[0] + r[0]), sigmoid(a[1] + r[1])
    candidate = tanh(a[2] + reset * r[2])
    return (one - z) * candidate + z * h, c, (reset, z, candidate, r[2])


def gru_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """The reset gate scales the gradient of the candidate's recurrent part."""
    reset, z, candidate, recurrent = kept
    dn = dh * (one - z) * (one - candidate * candidate)
    dr = dn * recurrent * reset * (one - reset)
    dz = dh * (h - candidate) * z * (one - z)
    return (dr, dz, dn), (dr, dz, dn * reset), dh * z, dc, ()


def rnn_tanh_forward(a, r, h, c, own):
    """Keep the next state."""
    h_next = tanh(a[0] + r[0])
    return h_next, c, (h_next,)


def rnn_tanh_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """tanh' follows from the value of tanh."""
    d = dh * (one - h_next * h_next)
    return (d,), (d,), zero_of(dh), dc, ()


def rnn_relu_forward(a, r, h, c, own):
    """Keep the next state."""
    h_next = rectified(a[0] + r[0])
    return h_next, c, (h_next,)


def rnn_relu_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """The gradient passes where the unit is active."""
    d = where_positive(h_next, dh)
    return (d,), (d,), zero_of(dh), dc, ()


def gru_v1_forward(a, r, h, c, own):
    """Keep r, z, n."""
    reset, z, candidate = sigmoid(a[0] + r[0]), sigmoid(a[1] + r[1]), tanh(a[2] + r[2])
    return (one - z) * candidate + z * h, c, (reset, z, candidate)


def gru_v1_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """The reset gate acts through the product alone."""
    _, z, candidate = kept
    dn = dh * (one - z) * (one - candidate * candidate)
    da = (zero_of(dh), dh * (h - candidate) * z * (one - z), dn)
    return da, da, dh * z, dc, ()


def mgu_forward(a, r, h, c, own):
    """Keep f, n."""
    f, candidate = sigmoid(a[0] + r[0]), tanh(a[1] + r[1])
    return (one - f) * h + f * candidate, c, (f, candidate)


def mgu_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """The forget gate acts through the product and through the mixture."""
    f, candidate = kept
    da = (dh * (candidate - h), dh * f * (one - candidate * candidate))
    return da, da, dh * (one - f), dc, ()


def lstm_peephole_forward(a, r, h, c, own):
    """As `lstm`, with p_i, p_f, p_o in `own`; the output gate sees the next c."""
    i, f = sigmoid(a[0] + r[0] + own[0] * c), sigmoid(a[1] + r[1] + own[1] * c)
    g = tanh(a[2] + r[2])
    c_next = f * c + i * g
    o, t = sigmoid(a[3] + r[3] + own[2] * c_next), tanh(c_next)
    return o * t, c_next, (i, f, g, o, t)


def lstm_peephole_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """The cell state also receives the gradients of the gates that see it."""
    i, f, g, o, t = kept
    do = dh * t * o * (one - o)
    d = dc + dh * o * (one - t * t) + do * own[2]
    di, df = d * g * i * (one - i), d * c * f * (one - f)
    da = (di, df, d * i * (one - g * g), do)
    return da, da, zero_of(dh), d * f + di * own[0] + df * own[1], (di * c, df * c, do * c_next)


def lstm_cifg_forward(a, r, h, c, own):
    """Keep f, g, o and tanh of the next c."""
    f, g, o = sigmoid(a[0] + r[0]), tanh(a[1] + r[1]), sigmoid(a[2] + r[2])
    c_next = f * c + (one - f) * g
    t = tanh(c_next)
    return o * t, c_next, (f, g, o, t)


def lstm_cifg_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """One gate weighs both c and g: its gradient is that of c - g."""
    f, g, o, t = kept
    d = dc + dh * o * (one - t * t)
    da = (d * (c - g) * f * (one - f), d * (one - f) * (one - g * g), dh * t * o * (one - o))
    return da, da, zero_of(dh), d * f, ()


def lstm_nfg_forward(a, r, h, c, own):
    """Keep i, g, o and tanh of the next c."""
    i, g, o = sigmoid(a[0] + r[0]), tanh(a[1] + r[1]), sigmoid(a[2] + r[2])
    c_next = c + i * g
    t = tanh(c_next)
    return o * t, c_next, (i, g, o, t)


def lstm_nfg_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """The cell state's gradient passes unchanged."""
    i, g, o, t = kept
    d = dc + dh * o * (one - t * t)
    da = (d * g * i * (one - i), d * i * (one - g * g), dh * t * o * (one - o))
    return da, da, zero_of(dh), d, ()


def lstm_no_recurrence_forward(a, r, h, c, own):
    """As `lstm`, without the part of the previous state."""
    return lstm_output(sigmoid(a[0]), sigmoid(a[1]), tanh(a[2]), sigmoid(a[3]), c)


def lstm_no_recurrence_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """As `lstm`."""
    da, _, dh, dc, _ = lstm_backward(kept, h, c, h_next, c_next, dh, dc, own)
    return da, (), dh, dc, ()


def mingru_forward(a, r, h, c, own):
    """Keep z, n."""
    z = sigmoid(a[0])
    return (one - z) * h + z * a[1], c, (z, a[1])


def mingru_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """The candidate is linear."""
    z, candidate = kept
    return (dh * (candidate - h) * z * (one - z), dh * z), (), dh * (one - z), dc, ()


def minlstm_forward(a, r, h, c, own):
    """Keep f, i, n."""
    f, i = sigmoid(a[0]), sigmoid(a[1])
    return (f * h + i * a[2]) / (f + i), c, (f, i, a[2])


def minlstm_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """A gate's gradient is what it mixes in minus the mixture, over the sum of the gates."""
    f, i, candidate = kept
    d = dh / (f + i)
    da = (d * (h - h_next) * f * (one - f), d * (candidate - h_next) * i * (one - i), d * i)
    return da, (), d * f, dc, ()


def diagonal_positive_forward(a, r, h, c, own):
    """Keep the decay, computed from `own`."""
    decay = sigmoid(own[0])
    return decay * h + a[0], c, (decay,)


def diagonal_positive_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """The decay's gradient is that of a logistic function."""
    decay = kept[0]
    return (dh,), (), dh * decay, dc, (dh * h * decay * (one - decay),)


def diagonal_signed_forward(a, r, h, c, own):
    """Keep the decay, computed from `own`."""
    decay = tanh(own[0])
    return decay * h + a[0], c, (decay,)


def diagonal_signed_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """The decay's gradient is that of a tanh."""
    decay = kept[0]
    return (dh,), (), dh * decay, dc, (dh * h * (one - decay * decay),)

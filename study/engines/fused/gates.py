"""The gate arithmetic of each cell, forward and backward, for one hidden unit or several at once.

Each cell X has two functions. `X_forward(a, r, h, c, own)` computes one step. It takes what the
gates receive from the input (`a`) and from the previous state (`r`), one number per gate in the
order of the cell's gates, biases included; the unit's state `h` and `c`; and the weights that other
cells lack (`own`). It returns the next h and c, and a tuple of what it keeps for the backward step.

`X_backward(kept, h, c, h_next, c_next, dh, dc, own)` takes this tuple, the states before and after
the step, and the gradients `dh` and `dc` of the next state. It returns the gradients of `a`, of
`r`, of h, of c and of `own`. The gradients of h and c leave out what passes through `r`. A cell
without c returns `c` and `dc` unchanged. A cell without a recurrent matrix ignores `r` and returns
() as its gradient.

In `gru_v1` and `mgu` the first gate multiplies h before the candidate's matrix does, so the last
number in `r` already contains the gate. There `kept` begins with the gate. The first number in the
gradient of `a` is then the gradient of the gate, not of its preactivation, and lacks the part that
passes through `r`; `through_product` in `layers` completes it.

This module is source text for the compiler (see `build`). The loop runs it on `lanes.Lanes`, and
the analysis of trained networks runs it on numbers. It imports nothing.
"""


def lstm_forward(a, r, h, c, own):
    """Return the next h and c; keep i, f, g, o and tanh of the next c for the backward step."""
    return lstm_output(
        sigmoid(a[0] + r[0]), sigmoid(a[1] + r[1]), tanh(a[2] + r[2]), sigmoid(a[3] + r[3]), c
    )  # fmt: skip


def lstm_output(i, f, g, o, c):
    """Return the next h and c, given the gates; keep the gates and tanh of the next c."""
    c_next = f * c + i * g
    t = tanh(c_next)
    return o * t, c_next, (i, f, g, o, t)


def lstm_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of a, r, h, c and own.

    Each gate adds `a` and `r`, so their gradients are equal.
    """
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
    """Return the next h; keep r, z, n and the term that r multiplies for the backward step."""
    reset, z = sigmoid(a[0] + r[0]), sigmoid(a[1] + r[1])
    candidate = tanh(a[2] + reset * r[2])
    return (one - z) * candidate + z * h, c, (reset, z, candidate, r[2])


def gru_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of a, r, h, c and own.

    The reset gate scales the gradient of the last number in `r`.
    """
    reset, z, candidate, recurrent = kept
    dn = dh * (one - z) * (one - candidate * candidate)
    dr = dn * recurrent * reset * (one - reset)
    dz = dh * (h - candidate) * z * (one - z)
    return (dr, dz, dn), (dr, dz, dn * reset), dh * z, dc, ()


def rnn_tanh_forward(a, r, h, c, own):
    """Return the next h, and keep it for the backward step."""
    h_next = tanh(a[0] + r[0])
    return h_next, c, (h_next,)


def rnn_tanh_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of a, r, h, c and own.

    The derivative of tanh is 1 - h_next * h_next.
    """
    d = dh * (one - h_next * h_next)
    return (d,), (d,), zero_of(dh), dc, ()


def rnn_relu_forward(a, r, h, c, own):
    """Return the next h, and keep it for the backward step."""
    h_next = rectified(a[0] + r[0])
    return h_next, c, (h_next,)


def rnn_relu_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of a, r, h, c and own.

    The gradients of `a` and `r` are zero where the unit is inactive.
    """
    d = where_positive(h_next, dh)
    return (d,), (d,), zero_of(dh), dc, ()


def gru_v1_forward(a, r, h, c, own):
    """Return the next h; keep r, z and n for the backward step."""
    reset, z, candidate = sigmoid(a[0] + r[0]), sigmoid(a[1] + r[1]), tanh(a[2] + r[2])
    return (one - z) * candidate + z * h, c, (reset, z, candidate)


def gru_v1_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of a, r, h, c and own.

    The reset gate acts only through `r`, so its gradient is zero until `through_product` adds it.
    """
    _, z, candidate = kept
    dn = dh * (one - z) * (one - candidate * candidate)
    da = (zero_of(dh), dh * (h - candidate) * z * (one - z), dn)
    return da, da, dh * z, dc, ()


def mgu_forward(a, r, h, c, own):
    """Return the next h; keep f and n for the backward step."""
    f, candidate = sigmoid(a[0] + r[0]), tanh(a[1] + r[1])
    return (one - f) * h + f * candidate, c, (f, candidate)


def mgu_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of a, r, h, c and own.

    The gradient of f lacks the part that passes through `r`, which `through_product` adds.
    """
    f, candidate = kept
    da = (dh * (candidate - h), dh * f * (one - candidate * candidate))
    return da, da, dh * (one - f), dc, ()


def lstm_peephole_forward(a, r, h, c, own):
    """Return the next h and c of an LSTM with peepholes; keep the values that `lstm_forward` keeps.

    `own` holds p_i, p_f and p_o. The output gate sees the next c.
    """
    i, f = sigmoid(a[0] + r[0] + own[0] * c), sigmoid(a[1] + r[1] + own[1] * c)
    g = tanh(a[2] + r[2])
    c_next = f * c + i * g
    o, t = sigmoid(a[3] + r[3] + own[2] * c_next), tanh(c_next)
    return o * t, c_next, (i, f, g, o, t)


def lstm_peephole_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of a, r, h, c and own.

    The gates that see a cell state add to its gradient.
    """
    i, f, g, o, t = kept
    do = dh * t * o * (one - o)
    d = dc + dh * o * (one - t * t) + do * own[2]
    di, df = d * g * i * (one - i), d * c * f * (one - f)
    da = (di, df, d * i * (one - g * g), do)
    return da, da, zero_of(dh), d * f + di * own[0] + df * own[1], (di * c, df * c, do * c_next)


def lstm_cifg_forward(a, r, h, c, own):
    """Return the next h and c; keep f, g, o and tanh of the next c for the backward step."""
    f, g, o = sigmoid(a[0] + r[0]), tanh(a[1] + r[1]), sigmoid(a[2] + r[2])
    c_next = f * c + (one - f) * g
    t = tanh(c_next)
    return o * t, c_next, (f, g, o, t)


def lstm_cifg_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of a, r, h, c and own.

    f weighs c and 1 - f weighs g, so the derivative of the next c by f is c - g.
    """
    f, g, o, t = kept
    d = dc + dh * o * (one - t * t)
    da = (d * (c - g) * f * (one - f), d * (one - f) * (one - g * g), dh * t * o * (one - o))
    return da, da, zero_of(dh), d * f, ()


def lstm_nfg_forward(a, r, h, c, own):
    """Return the next h and c; keep i, g, o and tanh of the next c for the backward step."""
    i, g, o = sigmoid(a[0] + r[0]), tanh(a[1] + r[1]), sigmoid(a[2] + r[2])
    c_next = c + i * g
    t = tanh(c_next)
    return o * t, c_next, (i, g, o, t)


def lstm_nfg_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of a, r, h, c and own.

    The gradient of c passes back unchanged.
    """
    i, g, o, t = kept
    d = dc + dh * o * (one - t * t)
    da = (d * g * i * (one - i), d * i * (one - g * g), dh * t * o * (one - o))
    return da, da, zero_of(dh), d, ()


def lstm_no_recurrence_forward(a, r, h, c, own):
    """Return the next h and c of `lstm_forward` with every `r` equal to zero."""
    return lstm_output(sigmoid(a[0]), sigmoid(a[1]), tanh(a[2]), sigmoid(a[3]), c)


def lstm_no_recurrence_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of `lstm_backward`, but with () as the gradient of `r`."""
    da, _, dh, dc, _ = lstm_backward(kept, h, c, h_next, c_next, dh, dc, own)
    return da, (), dh, dc, ()


def mingru_forward(a, r, h, c, own):
    """Return the next h; keep z and n for the backward step."""
    z = sigmoid(a[0])
    return (one - z) * h + z * a[1], c, (z, a[1])


def mingru_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of a, r, h, c and own.

    The candidate n is linear: its derivative is 1.
    """
    z, candidate = kept
    return (dh * (candidate - h) * z * (one - z), dh * z), (), dh * (one - z), dc, ()


def minlstm_forward(a, r, h, c, own):
    """Return the next h; keep f, i and n for the backward step."""
    f, i = sigmoid(a[0]), sigmoid(a[1])
    return (f * h + i * a[2]) / (f + i), c, (f, i, a[2])


def minlstm_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of a, r, h, c and own.

    h_next is the mean of h and n with the weights f and i. Its derivative by f is therefore
    (h - h_next) / (f + i), and its derivative by i is (n - h_next) / (f + i).
    """
    f, i, candidate = kept
    d = dh / (f + i)
    da = (d * (h - h_next) * f * (one - f), d * (candidate - h_next) * i * (one - i), d * i)
    return da, (), d * f, dc, ()


def diagonal_positive_forward(a, r, h, c, own):
    """Return the next h; keep the decay, the sigmoid of `own`, for the backward step."""
    decay = sigmoid(own[0])
    return decay * h + a[0], c, (decay,)


def diagonal_positive_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of a, r, h, c and own.

    The decay is a sigmoid: its derivative is decay * (1 - decay).
    """
    decay = kept[0]
    return (dh,), (), dh * decay, dc, (dh * h * decay * (one - decay),)


def diagonal_signed_forward(a, r, h, c, own):
    """Return the next h; keep the decay, the tanh of `own`, for the backward step."""
    decay = tanh(own[0])
    return decay * h + a[0], c, (decay,)


def diagonal_signed_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of a, r, h, c and own.

    The decay is a tanh: its derivative is 1 - decay * decay.
    """
    decay = kept[0]
    return (dh,), (), dh * decay, dc, (dh * h * (one - decay * decay),)

"""Define the gate arithmetic of each cell, for one hidden unit or for several at once.

Each cell X has two functions. `X_forward(a, r, h, c, own)` computes one step:

    a     what each gate receives from the input: W_ih x + b_ih, in the order of the cell's gates
    r     what each gate receives from the previous state: W_hh h + b_hh, in the same order
    h, c  the unit's state before the step (a cell without c returns c unchanged)
    own   the unit's further weights, which only some cells have, such as peepholes

This function returns the next h, the next c, and a tuple `kept` of numbers that the backward step
needs.

`X_backward(kept, h, c, h_next, c_next, dh, dc, own)` takes this tuple, the states before and after
the step, and the gradients `dh` and `dc` of the states after the step. It returns the gradients of
`a`, `r`, `h`, `c` and `own`. The gradient of `h` leaves out the part that passes through `r`,
although `r` depends on h. A cell without c returns `dc` unchanged. A cell without a recurrent
matrix ignores `r` and returns () as the gradient of `r`.

In `gru_v1` and `mgu` the first gate multiplies h before the candidate's matrix does, so the last
number in `r` already contains the gate. In these cells `kept` begins with the gate, and the first
gradient of `a` is incomplete. This is the gradient of the gate and not of the gate's preactivation,
and the part that passes through `r` is left out. `through_product` in `layers` completes this
gradient.

This module is source text for the compiler (see `build`), so it imports nothing. The loop runs the
functions on `lanes.Lanes`, and the analysis of trained networks runs them on numbers.
"""


def lstm_forward(a, r, h, c, own):
    """Compute one step, and keep the gates i, f and o, the candidate g, and t = tanh(next c)."""
    return lstm_output(
        sigmoid(a[0] + r[0]), sigmoid(a[1] + r[1]), tanh(a[2] + r[2]), sigmoid(a[3] + r[3]), c
    )  # fmt: skip


def lstm_output(i, f, g, o, c):
    """Return what `lstm_forward` returns, given the gates i, f, g and o and the cell state c."""
    c_next = f * c + i * g
    t = tanh(c_next)
    return o * t, c_next, (i, f, g, o, t)


def lstm_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of `lstm_forward`, which are the same for `a` and `r`."""
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
    """Compute one step, and keep `(reset, z, candidate, r[2])`; z is the update gate."""
    reset, z = sigmoid(a[0] + r[0]), sigmoid(a[1] + r[1])
    candidate = tanh(a[2] + reset * r[2])
    return (one - z) * candidate + z * h, c, (reset, z, candidate, r[2])


def gru_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of `gru_forward`. The reset gate multiplies r[2]."""
    reset, z, candidate, recurrent = kept
    dn = dh * (one - z) * (one - candidate * candidate)
    dr = dn * recurrent * reset * (one - reset)
    dz = dh * (h - candidate) * z * (one - z)
    return (dr, dz, dn), (dr, dz, dn * reset), dh * z, dc, ()


def rnn_tanh_forward(a, r, h, c, own):
    """Compute one step, and keep `(h_next,)`."""
    h_next = tanh(a[0] + r[0])
    return h_next, c, (h_next,)


def rnn_tanh_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of `rnn_tanh_forward`."""
    d = dh * (one - h_next * h_next)
    return (d,), (d,), zero_of(dh), dc, ()


def rnn_relu_forward(a, r, h, c, own):
    """Compute one step, and keep `(h_next,)`."""
    h_next = rectified(a[0] + r[0])
    return h_next, c, (h_next,)


def rnn_relu_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of `rnn_relu_forward`, which are zero where `h_next` is."""
    d = where_positive(h_next, dh)
    return (d,), (d,), zero_of(dh), dc, ()


def gru_v1_forward(a, r, h, c, own):
    """Compute one step, and keep `(reset, z, candidate)`; z is the update gate."""
    reset, z, candidate = sigmoid(a[0] + r[0]), sigmoid(a[1] + r[1]), tanh(a[2] + r[2])
    return (one - z) * candidate + z * h, c, (reset, z, candidate)


def gru_v1_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of `gru_v1_forward`. The reset gate acts only through `r`."""
    _, z, candidate = kept
    dn = dh * (one - z) * (one - candidate * candidate)
    da = (zero_of(dh), dh * (h - candidate) * z * (one - z), dn)
    return da, da, dh * z, dc, ()


def mgu_forward(a, r, h, c, own):
    """Compute one step, and keep `(f, candidate)`; f is the only gate."""
    f, candidate = sigmoid(a[0] + r[0]), tanh(a[1] + r[1])
    return (one - f) * h + f * candidate, c, (f, candidate)


def mgu_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of `mgu_forward`, that of f without the part that passes through `r`."""
    f, candidate = kept
    da = (dh * (candidate - h), dh * f * (one - candidate * candidate))
    return da, da, dh * (one - f), dc, ()


def lstm_peephole_forward(a, r, h, c, own):
    """Compute one step, and keep `(i, f, g, o, t)` as `lstm_forward` does.

    `own` are the peepholes p_i, p_f, p_o.
    """
    i, f = sigmoid(a[0] + r[0] + own[0] * c), sigmoid(a[1] + r[1] + own[1] * c)
    g = tanh(a[2] + r[2])
    c_next = f * c + i * g
    o, t = sigmoid(a[3] + r[3] + own[2] * c_next), tanh(c_next)
    return o * t, c_next, (i, f, g, o, t)


def lstm_peephole_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of `lstm_peephole_forward`.

    Its gates i and f see c, and o the next c.
    """
    i, f, g, o, t = kept
    do = dh * t * o * (one - o)
    d = dc + dh * o * (one - t * t) + do * own[2]
    di, df = d * g * i * (one - i), d * c * f * (one - f)
    da = (di, df, d * i * (one - g * g), do)
    return da, da, zero_of(dh), d * f + di * own[0] + df * own[1], (di * c, df * c, do * c_next)


def lstm_cifg_forward(a, r, h, c, own):
    """Compute one step, and keep what `lstm_forward` does, except the input gate, 1 - f."""
    f, g, o = sigmoid(a[0] + r[0]), tanh(a[1] + r[1]), sigmoid(a[2] + r[2])
    c_next = f * c + (one - f) * g
    t = tanh(c_next)
    return o * t, c_next, (f, g, o, t)


def lstm_cifg_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of `lstm_cifg_forward`."""
    f, g, o, t = kept
    d = dc + dh * o * (one - t * t)
    da = (d * (c - g) * f * (one - f), d * (one - f) * (one - g * g), dh * t * o * (one - o))
    return da, da, zero_of(dh), d * f, ()


def lstm_nfg_forward(a, r, h, c, own):
    """Compute one step, and keep what `lstm_forward` does, but there is no forget gate."""
    i, g, o = sigmoid(a[0] + r[0]), tanh(a[1] + r[1]), sigmoid(a[2] + r[2])
    c_next = c + i * g
    t = tanh(c_next)
    return o * t, c_next, (i, g, o, t)


def lstm_nfg_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of `lstm_nfg_forward`."""
    i, g, o, t = kept
    d = dc + dh * o * (one - t * t)
    da = (d * g * i * (one - i), d * i * (one - g * g), dh * t * o * (one - o))
    return da, da, zero_of(dh), d, ()


def lstm_no_recurrence_forward(a, r, h, c, own):
    """Return what `lstm_forward` returns if every number in `r` is zero."""
    return lstm_output(sigmoid(a[0]), sigmoid(a[1]), tanh(a[2]), sigmoid(a[3]), c)


def lstm_no_recurrence_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients that `lstm_backward` returns, but () for `r`."""
    da, _, dh, dc, _ = lstm_backward(kept, h, c, h_next, c_next, dh, dc, own)
    return da, (), dh, dc, ()


def mingru_forward(a, r, h, c, own):
    """Compute one step, and keep `(z, candidate)`; z is the update gate."""
    z = sigmoid(a[0])
    return (one - z) * h + z * a[1], c, (z, a[1])


def mingru_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of `mingru_forward`."""
    z, candidate = kept
    return (dh * (candidate - h) * z * (one - z), dh * z), (), dh * (one - z), dc, ()


def minlstm_forward(a, r, h, c, own):
    """Compute one step, and keep `(f, i, candidate)`; f and i weigh h and the candidate."""
    f, i = sigmoid(a[0]), sigmoid(a[1])
    return (f * h + i * a[2]) / (f + i), c, (f, i, a[2])


def minlstm_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of `minlstm_forward`."""
    f, i, candidate = kept
    d = dh / (f + i)
    da = (d * (h - h_next) * f * (one - f), d * (candidate - h_next) * i * (one - i), d * i)
    return da, (), d * f, dc, ()


def diagonal_positive_forward(a, r, h, c, own):
    """Compute one step, and keep the decay, the sigmoid of the unit's weight `own[0]`."""
    decay = sigmoid(own[0])
    return decay * h + a[0], c, (decay,)


def diagonal_positive_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of `diagonal_positive_forward`."""
    decay = kept[0]
    return (dh,), (), dh * decay, dc, (dh * h * decay * (one - decay),)


def diagonal_signed_forward(a, r, h, c, own):
    """Compute one step, and keep the decay, the tanh of the unit's weight `own[0]`."""
    decay = tanh(own[0])
    return decay * h + a[0], c, (decay,)


def diagonal_signed_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of `diagonal_signed_forward`."""
    decay = kept[0]
    return (dh,), (), dh * decay, dc, (dh * h * (one - decay * decay),)


def diagonal_complex_forward(a, r, h, c, own):
    """Return the next h, the next c, and `(modulus, real, imaginary)` for the backward step.

    The state h + i c is multiplied by the eigenvalue real + i imaginary. The eigenvalue's modulus
    is the sigmoid of the unit's weight `own[0]`, and its angle is `own[1]`, in radians.
    """
    modulus = sigmoid(own[0])
    real, imaginary = modulus * cosine(own[1]), modulus * sine(own[1])
    h_next, c_next = real * h - imaginary * c + a[0], imaginary * h + real * c + a[1]
    return h_next, c_next, (modulus, real, imaginary)


def diagonal_complex_backward(kept, h, c, h_next, c_next, dh, dc, own):
    """Return the gradients of the arguments of `diagonal_complex_forward`: a, r, h, c and own.

    Let turned_h + i turned_c be the state times the eigenvalue. Its derivative with respect to
    `own[0]` is itself times 1 - modulus, and with respect to `own[1]` it is itself times i.
    """
    modulus, real, imaginary = kept
    turned_h, turned_c = real * h - imaginary * c, imaginary * h + real * c
    d_modulus = (dh * turned_h + dc * turned_c) * (one - modulus)
    d_angle = dc * turned_h - dh * turned_c
    dh_before, dc_before = real * dh + imaginary * dc, real * dc - imaginary * dh
    return (dh, dc), (), dh_before, dc_before, (d_modulus, d_angle)

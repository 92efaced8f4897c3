"""Compute one step of a network as a map F_u of its state, and the Jacobian of this map.

This file is never imported. Instead, `study.dynamics.build` appends its text to the fused engine's
gate arithmetic and compiles both together, so that training and analysis share the arithmetic. Here
the arithmetic is applied to one unit at a time, in float64. `build` also defines GATES, OWN, KEPT,
DIRECT, RECURRENT and TWO_PRODUCTS, which describe the cell.

    theta    all weights in one vector (`study.dynamics.network.packed`)
    hidden   the hidden size H
    z (D,)   the whole state: h, then c if the cell has one; D = H or 2 H
    u        the input of a step, one number
    net      the weights and the working memory of a step, from `unpack`
"""

# 1/13!, 1/12!, ..., 1/2!
INVERSE_FACTORIALS = (
    1.605904383682161e-10, 2.08767569878681e-09, 2.505210838544172e-08, 2.755731922398589e-07,
    2.7557319223985893e-06, 2.48015873015873e-05, 0.0001984126984126984, 0.001388888888888889,
    0.008333333333333333, 0.041666666666666664, 0.16666666666666666, 0.5,
)  # fmt: skip


def tanh(x):
    """Return tanh(x), accurate to about 4 units in the last place.

    Unlike math.tanh, this function can be compiled to vector instructions. Let y = -2|x|. The
    Taylor series gives e^(y/64) - 1, and doubling the exponent six times gives p = e^y - 1. Then
    tanh(|x|) = -p / (2 + p).
    """
    y = real(-2) * abs(x)
    y = real(-80) if y < real(-80) else y  # written so that NaN stays NaN
    y = y * real(0.015625)
    p = real(0)
    for factor in INVERSE_FACTORIALS:
        p = p * y + factor
    p = p * y * y + y
    for _ in range(6):
        p = p * (p + real(2))
    t = -p / (real(2) + p)
    return t if x >= real(0) else -t


def sigmoid(x):
    """Return the logistic function of x, computed as (tanh(x/2) + 1)/2."""
    return real(0.5) * tanh(real(0.5) * x) + real(0.5)


def sine(x):
    """Return the sine of x, in radians."""
    return math.sin(x)


def cosine(x):
    """Return the cosine of x, in radians."""
    return math.cos(x)


def rectified(x):
    """Return max(x, 0), or NaN if x is NaN."""
    return x if x > real(0) else real(0) * x


def where_positive(test, x):
    """Return x if `test` is positive, otherwise 0."""
    return x if test > real(0) else real(0)


def zero_of(x):
    """Return zero for any x."""
    return real(0)


def unpack(theta, hidden):
    """Split the vector `theta` into arrays of weights, and add arrays for working memory.

    Returns all of these arrays in a tuple, which other functions call `net`. The tuple has, in this
    order:

    - weights of the layer: wx (G*H,) for the input and wh (H,G*H) for the state, their biases bx
      (G*H,) and bh (G*H,), and `own` (OWN*H,) with weights that only this cell has;
    - weights of the readout (2,H) and its biases (2,);
    - working memory: the pre-activations from the input (G*H,) and from the state (G*H,), the
      values that a forward step keeps for the backward step (KEPT*H,), and the state after a gate
      has multiplied it (H,).
    """
    rows = GATES * hidden
    recurrent = rows if RECURRENT else 0
    wh = rows
    bx = wh + hidden * recurrent
    bh = bx + rows
    own = bh + recurrent
    w = own + OWN * hidden
    bias = w + 2 * hidden
    return (
        theta[:wh], theta[wh:bx].reshape(hidden, recurrent), theta[bx:bh], theta[bh:own],
        theta[own:w], theta[w:bias].reshape(2, hidden), theta[bias:],
        np.empty(rows), np.zeros(rows), np.empty(KEPT * hidden), np.empty(hidden),
    )  # fmt: skip


def margin(net, z):
    """Return the logit of label 1 minus the logit of label 0 in state z."""
    w, b = net[5], net[6]
    first, second = b[0], b[1]
    for j in range(w.shape[1]):
        first += w[0, j] * z[j]
        second += w[1, j] * z[j]
    return second - first


def advance(net, z, u, out):
    """Write the next state F_u(z) into `out` (D,).

    `advance` also writes into `net` the values that the backward step (`unit_jacobian`) needs.
    """
    wx, wh, bx, bh, own, _, _, a, r, kept_values, gated = net
    hidden, rows = gated.size, bx.size
    direct = DIRECT * hidden
    for k in range(rows):
        a[k] = bx[k] + u * wx[k]
    if RECURRENT:
        for k in range(rows):
            r[k] = bh[k]
        for j in range(hidden):
            value, row = z[j], wh[j]
            for k in range(direct):
                r[k] += value * row[k]
    if TWO_PRODUCTS:
        for j in range(hidden):
            gated[j] = sigmoid(a[j] + r[j]) * z[j]
        for j in range(hidden):
            value, row = gated[j], wh[j]
            for k in range(direct, rows):
                r[k] += value * row[k]
    for j in range(hidden):
        c = z[hidden + j] if z.size > hidden else real(0)
        h_next, c_next, kept_now = gate_forward(
            gates_of(a, j, hidden), gates_of(r, j, hidden), z[j], c, own_of(own, j, hidden)
        )
        out[j] = h_next
        if z.size > hidden:
            out[hidden + j] = c_next
        for k in range(KEPT):
            kept_values[k * hidden + j] = kept_now[k]


def jacobian(net, z, u, out, jac):
    """Write the next state F_u(z) into `out` (D,), and the Jacobian of F_u at z into `jac` (D,D).

    Row i of the Jacobian is the gradient of entry i of the next state (`unit_jacobian`).
    """
    advance(net, z, u, out)
    hidden = net[10].size
    jac[:] = real(0)
    for i in range(z.size):
        j = i if i < hidden else i - hidden
        unit_jacobian(net, z, out, j, real(1) if i < hidden else real(0), jac[i])


def unit_jacobian(net, z, out, j, of_h, row):
    """Add the gradient of one entry of the next state to `row` (D,).

    The entry is unit j's next h if `of_h` is 1, and unit j's next c if `of_h` is 0. The gradient is
    with respect to the state z. `advance` must first have computed the next state `out` from z.
    """
    _, wh, _, _, own, _, _, _, _, kept_values, back = net
    hidden, has_c = back.size, z.size > back.size
    c, c_next = (z[hidden + j], out[hidden + j]) if has_c else (real(0), real(0))
    da, dr, dh, dc, _ = gate_backward(
        kept_of(kept_values, j, hidden), z[j], c, out[j], c_next, of_h,
        one - of_h if has_c else real(0), own_of(own, j, hidden),
    )  # fmt: skip
    row[j] += dh
    if has_c:
        row[hidden + j] += dc
    if RECURRENT:
        for gate in range(TWO_PRODUCTS, DIRECT):
            for k in range(hidden):
                row[k] += dr[gate] * wh[k, gate * hidden + j]
    if TWO_PRODUCTS:
        # Backpropagate through the candidate's recurrent product, whose input is the first gate
        # times h: add the gradients of this gate and of h.
        for k in range(hidden):
            total, gate = dr[DIRECT] * wh[k, DIRECT * hidden + j], kept_values[k]
            row[k] += total * gate
            back[k] = (total * z[k] + (da[0] if k == j else real(0))) * gate * (one - gate)
        for k in range(hidden):
            for m in range(hidden):
                row[k] += back[m] * wh[k, m]

"""One step of a network as a map F_u of its state, and what is computed from it. Source text for the compiler.

`study.dynamics.build` puts this behind the fused engine's own gate arithmetic, so that there is one arithmetic for
training and for analysis, here on numbers, unit by unit, always in float64. GATES, OWN, KEPT, DIRECT, RECURRENT and
TWO_PRODUCTS are what the cell is like (`study.engines.fused.build.traits`).

    theta      all weights in one vector (see `views`); `sizes` are the hidden size H and how many states there are
    z (D,)     the whole state: h, and c behind it where the cell has one; D = H or 2 H
    u          the input of a step, one channel
    net        wx (G*H,), wh (H,G*H), bx and bh (G*H,), own (OWN*H,), from `unpack`
    room       what a step works in, from `make_room`
    held       (G*H,) bool: pre-activations that are held at `value` (G*H,); empty: none is
"""


def tanh(x):
    """tanh within some 4 units in the last place, by (e^y - 1) and six doublings; it vectorises, math.tanh does not."""
    a = real(-2) * abs(x)
    a = real(-80) if a < real(-80) else a  # written so that a NaN stays one
    y = a * real(0.015625)
    p = real(1.605904383682161e-10)  # 1/13!, and so on up
    p = p * y + real(2.08767569878681e-09)
    p = p * y + real(2.505210838544172e-08)
    p = p * y + real(2.755731922398589e-07)
    p = p * y + real(2.7557319223985893e-06)
    p = p * y + real(2.48015873015873e-05)
    p = p * y + real(0.0001984126984126984)
    p = p * y + real(0.001388888888888889)
    p = p * y + real(0.008333333333333333)
    p = p * y + real(0.041666666666666664)
    p = p * y + real(0.16666666666666666)
    p = p * y + real(0.5)
    p = p * y * y + y
    for _ in range(6):
        p = p * (p + real(2))
    t = -p / (real(2) + p)
    return t if x >= real(0) else -t


def sigmoid(x):
    """The logistic function, as (tanh(x/2) + 1)/2."""
    return real(0.5) * tanh(real(0.5) * x) + real(0.5)


def rectified(x):
    """max(x, 0)."""
    return x if x > real(0) else real(0) * x  # NaN stays one


def where_positive(test, x):
    """x where `test` is positive, otherwise 0."""
    return x if test > real(0) else real(0)


def zero_of(x):
    """0."""
    return real(0)


def views(theta, sizes):
    """wx (G*H,), wh (H,G*H), bx and bh (G*H,), own (OWN*H,) and the readout's weights (2,H) and biases (2,)."""
    hidden = sizes[0]
    rows = GATES * hidden
    recurrent = rows if RECURRENT else 0
    wh = rows
    bx = wh + hidden * recurrent
    bh = bx + rows
    own = bh + recurrent
    w = own + OWN * hidden
    bias = w + 2 * hidden
    return (
        theta[:wh], theta[wh:bx].reshape(hidden, recurrent), theta[bx:bh], theta[bh:own], theta[own:w],
        theta[w:bias].reshape(2, hidden), theta[bias:],
    )  # fmt: skip


def unpack(theta, sizes):
    """The weights as a step wants them."""
    wx, wh, bx, bh, own, _, _ = views(theta, sizes)
    return wx, wh, bx, bh, own


def readout(theta, sizes):
    """The weights (2,H) and biases (2,) of the readout."""
    _, _, _, _, _, w, bias = views(theta, sizes)
    return w, bias


def margin(h, w, b):
    """Second logit minus first, for one state (H,)."""
    first, second = b[0], b[1]
    for j in range(h.size):
        first += w[0, j] * h[j]
        second += w[1, j] * h[j]
    return second - first


def make_room(sizes):
    """a and r (G*H,), what a forward step keeps (KEPT*H,), and two of (H,)."""
    hidden = sizes[0]
    rows = GATES * hidden
    return (
        np.empty(rows),
        np.zeros(rows),
        np.empty(KEPT * hidden),
        np.empty(hidden),
        np.empty(hidden),
    )


def hold(a, r, held, value, first, last):
    """Put held pre-activations in place of what the weights made, from `first` to `last`."""
    for k in range(first, last if held.size > 0 else first):
        if held[k]:
            a[k] = value[k]
            r[k] = real(0)


def advance(net, room, held, value, z, u, out):
    """out = F_u(z); leaves in room's third what the cell's forward step keeps, block by block."""
    wx, wh, bx, bh, own = net
    a, r, values, gated, _ = room
    hidden, rows = gated.size, bx.size
    direct = DIRECT * hidden
    for k in range(rows):
        a[k] = bx[k] + u * wx[k]
    if RECURRENT:
        for k in range(rows):
            r[k] = bh[k]
        for j in range(hidden):
            value_j, row = z[j], wh[j]
            for k in range(direct):
                r[k] += value_j * row[k]
    hold(a, r, held, value, 0, direct)
    if TWO_PRODUCTS:
        for j in range(hidden):
            gated[j] = sigmoid(a[j] + r[j]) * z[j]
        for j in range(hidden):
            value_j, row = gated[j], wh[j]
            for k in range(direct, rows):
                r[k] += value_j * row[k]
        hold(a, r, held, value, direct, rows)
    for j in range(hidden):
        c = z[hidden + j] if z.size > hidden else real(0)
        h_next, c_next, kept_now = gate_forward(
            gates_of(a, j, hidden), gates_of(r, j, hidden), z[j], c, own_of(own, j, hidden)
        )
        out[j] = h_next
        if z.size > hidden:
            out[hidden + j] = c_next
        for k in range(KEPT):
            values[k * hidden + j] = kept_now[k]


def jacobian(net, room, z, u, out, jac):
    """out = F_u(z) and jac (D,D) its derivative: unit by unit a backward step of the engine."""
    a = room[0]
    hidden = room[3].size
    advance(net, room, np.empty(0, np.bool_), a[:0], z, u, out)
    for i in range(z.size):
        j = i if i < hidden else i - hidden
        for k in range(z.size):
            jac[i, k] = real(0)
        unit_jacobian(net, room, z, out, j, real(1) if i < hidden else real(0), jac[i])


def unit_jacobian(net, room, z, out, j, of_h, row):
    """The gradient (D,) of unit j's next h, where `of_h` is 1, or of its next c, where it is 0."""
    _, wh, _, _, own = net
    _, _, values, _, back = room
    hidden, has_c = back.size, z.size > back.size
    c, c_next = (z[hidden + j], out[hidden + j]) if has_c else (real(0), real(0))
    da, dr, dh, dc, _ = gate_backward(
        kept_of(values, j, hidden), z[j], c, out[j], c_next, of_h, one - of_h if has_c else real(0),
        own_of(own, j, hidden),
    )  # fmt: skip
    row[j] += dh
    if has_c:
        row[hidden + j] += dc
    if RECURRENT:
        first = 1 if TWO_PRODUCTS else 0
        for gate in range(first, DIRECT):
            for k in range(hidden):
                row[k] += dr[gate] * wh[k, gate * hidden + j]
    if TWO_PRODUCTS:
        # back through the candidate's product with the first gate times h: to that gate, and to h
        for k in range(hidden):
            total, gate = dr[DIRECT] * wh[k, DIRECT * hidden + j], values[k]
            row[k] += total * gate
            back[k] = (total * z[k] + (da[0] if k == j else real(0))) * gate * (one - gate)
        for k in range(hidden):
            for m in range(hidden):
                row[k] += back[m] * wh[k, m]

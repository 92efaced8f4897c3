"""One layer forward and backward: the part of the loop that is compiled for each cell.

This is source text for the compiler (see `build`). All arrays are flat, so the shapes given here
only say in which order the numbers follow each other. The H units are split into Q blocks of LANES
units, which the processor computes at once. P is Q LANES, and the numbers for units beyond H stay
zero. `theta` holds the weights and `grad` their gradients. `where` says where the weights of the
layer begin in both: wx (Q, inputs, G, LANES), wh (Q, H, G, LANES), bx and bh (Q, G, LANES), own
(Q, OWN, LANES). In this order, the matrix products of a block read one number after another.

    T steps, B sequences per batch, N = T B, H hidden size, G gates
    x (T, B, width), h and c (T + 1, B, P)
    kept (T, B, Q, KEPT, LANES), what the backward pass needs from the forward pass
    da, dr (Q, N, G, LANES), the gradients of what the gates receive (see `gates`)
    u (T, B, P), the first gate times h, in cells whose candidate's matrix multiplies this product
    mask (P,), 1 for the H units and 0 beyond;  ones (N,), all 1
"""


def recurrent(theta, h, before, u, gated, bh, wh, hidden):
    """Return what the gates of one block of units receive from the previous state: GATES Lanes.

    The previous state begins at h[before], and its product with the first gate at u[gated]. `bh`
    and `wh` say where the block's weights begin. The tuple is empty if the cell has no recurrent
    matrix.
    """
    if not RECURRENT:
        return ()
    row = GATES * LANES
    bias = lanes_of(theta, bh, LANES, DIRECT)
    direct = products(bias, h, before, 0, hidden, theta, wh, row, LANES)
    if not TWO_PRODUCTS:
        return direct
    last = DIRECT * LANES
    bias = lanes_of(theta, bh + last, LANES, 1)
    return direct + products(bias, u, gated, 0, hidden, theta, wh + last, row, LANES)


def forward_layer(theta, where, x, width, h, c, kept, keep, u, mask, steps, batch, hidden, reset):
    """Compute the states of every step from h[0] and c[0], and write them into `h` and `c`.

    Also writes into `kept` what the backward pass needs. If `keep` is 1, this is kept for every
    step; if `keep` is 0, each step overwrites what the step before has written. If `reset` is true,
    every step begins at the start state.
    """
    inputs, wx, wh, bx, bh, own = where[0], where[1], where[2], where[3], where[4], where[5]
    room, row = mask.size, GATES * LANES
    blocks = room // LANES
    for t in range(steps):
        for b in range(batch):
            n = t * batch + b
            before, after = (b if reset else n) * room, (n + batch) * room
            at_x, at_u = n * width, n * keep * room
            if TWO_PRODUCTS:
                for q in range(blocks):
                    wx_q, wh_q = wx + q * inputs * row, wh + q * hidden * row
                    bias = lanes_of(theta, bx + q * row, LANES, 1)
                    a = products(bias, x, at_x, 0, inputs, theta, wx_q, row, LANES)
                    bias = lanes_of(theta, bh + q * row, LANES, 1)
                    r = products(bias, h, before, 0, hidden, theta, wh_q, row, LANES)
                    put(u, at_u + q * LANES, sigmoid(a[0] + r[0]) * lanes(h, before + q * LANES))
            for q in range(blocks):
                first, wx_q, wh_q = q * LANES, wx + q * inputs * row, wh + q * hidden * row
                bias = lanes_of(theta, bx + q * row, LANES, GATES)
                a = products(bias, x, at_x, 0, inputs, theta, wx_q, row, LANES)
                r = recurrent(theta, h, before, u, at_u, bh + q * row, wh_q, hidden)
                h_now, c_now = lanes(h, before + first), lanes(c, before + first)
                own_now = lanes_of(theta, own + q * OWN * LANES, LANES, OWN)
                h_next, c_next, kept_now = gate_forward(a, r, h_now, c_now, own_now)
                # The mask keeps the lanes beyond H at zero, so they never become infinite.
                put(h, after + first, where_positive(lanes(mask, first), h_next))
                put(c, after + first, c_next)
                put_all(kept, (n * keep * blocks + q) * KEPT * LANES, LANES, kept_now)


def back_through(back, n, all_steps, turned, gate, gates_there, at, blocks, q, hidden):
    """Back-propagate through a matrix product: return the gradient of block q of its input.

    `back` (Q, N, G, LANES) holds the gradients of the product at all steps, and the index n selects
    one step of one sequence. The input goes to only some of the gates: their number is
    `gates_there`, and `gate` is the index of the first. The transposed matrix begins at turned[at].
    """
    parts = zeros(back, gates_there)
    for s in range(blocks):
        rows = min(LANES, hidden - s * LANES)
        first = ((s * all_steps + n) * GATES + gate) * LANES
        weights = at + ((q * blocks + s) * GATES + gate) * LANES * LANES
        parts = products(parts, back, first, LANES, rows, turned, weights, LANES, LANES * LANES)
    return sum_of(parts)


def through_product(turned, h, before, kept, da, n, all_steps, dh, here, blocks, hidden):
    """Back-propagate through the matrix product of the candidate, whose input is `u`.

    Here `u` is the first gate times h. Adds the gradient of h to `dh`. Completes the gradient of
    the first gate in `da`, and turns it into the gradient of the gate's preactivation.
    """
    for q in range(blocks):
        first = q * LANES
        gate, value = lanes(kept, (n * blocks + q) * KEPT * LANES), lanes(h, before + first)
        total = back_through(da, n, all_steps, turned, DIRECT, 1, 0, blocks, q, hidden)
        put(dh, here + first, lanes(dh, here + first) + total * gate)
        at = (q * all_steps + n) * GATES * LANES
        put(da, at, (lanes(da, at) + total * value) * gate * (one - gate))


def weights_gradient(grad, where, x, width, h, u, da, dr, ones, steps, batch, hidden, room, reset):
    """Add the gradients of a layer's matrices and biases, summed over all steps, to `grad`."""
    inputs, wx, wh, bx, bh = where[0], where[1], where[2], where[3], where[4]
    row, n = GATES * LANES, steps * batch
    back = dr if SPLIT else da
    for q in range(room // LANES):
        at, wx_q, wh_q = q * n * row, wx + q * inputs * row, wh + q * hidden * row
        add_outer(grad, wx_q, row, LANES, GATES, x, 0, width, inputs, da, at, row, LANES, n)
        add_outer(grad, bx + q * row, row, LANES, GATES, ones, 0, 1, 1, da, at, row, LANES, n)
        if RECURRENT:
            add_outer(grad, bh + q * row, row, LANES, GATES, ones, 0, 1, 1, back, at, row, LANES, n)
            # With `reset`, every step begins at the start state.
            calls, size = (steps, batch) if reset else (1, n)
            for t in range(calls):
                now = at + t * batch * row
                add_outer(
                    grad, wh_q, row, LANES, DIRECT, h, 0, room, hidden, back, now, row, LANES, size
                )
            if TWO_PRODUCTS:
                to, now = wh_q + DIRECT * LANES, at + DIRECT * LANES
                add_outer(grad, to, row, LANES, 1, u, 0, room, hidden, back, now, row, LANES, n)


def backward_layer(
    theta, where, turned, grad, x, width, dx, dout, h, c, kept, u, da, dr, dh, dc, dstart, ones,
    steps, batch, hidden, cut, reset,
):  # fmt: skip
    """Back-propagate through a layer, and add the gradients of the layer's weights to `grad`.

    `dout` (T, B, P) holds the gradients of the layer's outputs. Writes the gradients of the layer's
    inputs into `dx` (T, B, P) unless `dx` is empty. Adds the gradient of the start state, summed
    over the batch, to `dstart` (2, P): first h, then c. `turned` holds wh and, above the first
    layer, wx. Both are transposed, with the axes (block of source units, block of target units,
    gate, target unit, source unit) and the shape (Q, Q, G, LANES, LANES). If `cut` is above 0, the
    gradient through the state is cut every `cut` steps.
    """
    own, room, n_all = where[5], dstart.size // 2, steps * batch
    blocks, row = room // LANES, GATES * LANES
    for q in range(0, batch * room, LANES):
        put(dh, q, zero)
        put(dc, q, zero)
    for t in range(steps - 1, -1, -1):
        for b in range(batch):
            n = t * batch + b
            before, after, here = (b if reset else n) * room, (n + batch) * room, b * room
            for q in range(blocks):
                first, at_own = q * LANES, own + q * OWN * LANES
                d = lanes(dh, here + first) + lanes(dout, n * room + first)
                da_now, dr_now, dh_now, dc_now, down = gate_backward(
                    lanes_of(kept, (n * blocks + q) * KEPT * LANES, LANES, KEPT),
                    lanes(h, before + first), lanes(c, before + first),
                    lanes(h, after + first), lanes(c, after + first),
                    d, lanes(dc, here + first), lanes_of(theta, at_own, LANES, OWN),
                )  # fmt: skip
                put_all(da, (q * n_all + n) * row, LANES, da_now)
                if SPLIT:
                    put_all(dr, (q * n_all + n) * row, LANES, dr_now)
                put(dh, here + first, dh_now)
                put(dc, here + first, dc_now)
                if OWN > 0:
                    add_all(grad, at_own, LANES, down)
            if TWO_PRODUCTS:
                through_product(turned, h, before, kept, da, n, n_all, dh, here, blocks, hidden)
            if RECURRENT:
                back = dr if SPLIT else da
                for q in range(blocks):
                    total = back_through(back, n, n_all, turned, 0, DIRECT, 0, blocks, q, hidden)
                    put(dh, here + q * LANES, lanes(dh, here + q * LANES) + total)
            if dx.size > 0:
                at_wx = room * room * GATES
                for q in range(blocks):
                    total = back_through(da, n, n_all, turned, 0, GATES, at_wx, blocks, q, hidden)
                    put(dx, n * room + q * LANES, total)
        if t == 0 or reset:
            for b in range(batch):
                for j in range(room):
                    dstart[j] += dh[b * room + j]
                    dstart[room + j] += dc[b * room + j]
        if reset or (cut > 0 and t % cut == 0):
            for q in range(0, batch * room, LANES):
                put(dh, q, zero)
                put(dc, q, zero)
    weights_gradient(grad, where, x, width, h, u, da, dr, ones, steps, batch, hidden, room, reset)

"""One layer forward and backward: the part of the loop that is compiled for each cell. Source text, see `build`.

All arrays are flat. A unit's numbers lie side by side, H of them in room for P, the next multiple of the lanes;
what lies beyond H stays zero. `theta` has the weights and `grad` their gradients, and `where` says from which number
on a layer has its: wx (inputs, G, P), wh (H, G, P), bx and bh (G, P), own (OWN, P), all transposed against torch's, so
that what a gate wants of neighbouring units lies side by side.

    T steps, B sequences of a batch, H hidden size, G gates;  x (T, B, width), h and c (T + 1, B, P)
    kept (T, B, KEPT, P), from forward for backward; da, dr (T, B, G, P); u (T, B, P): the first gate times h, where
    that is what the candidate's matrix multiplies
"""


def recurrent(theta, h, before, u, gated, bh, wh, hidden, row, room):
    """What the state before contributes to the gates of one block of units: a tuple of GATES, or of none."""
    if not RECURRENT:
        return ()
    direct = products(lanes_of(theta, bh, room, DIRECT), h, before, 0, hidden, theta, wh, row, room)
    if not TWO_PRODUCTS:
        return direct
    last = DIRECT * room
    return direct + products(lanes_of(theta, bh + last, room, 1), u, gated, 0, hidden, theta, wh + last, row, room)


def forward_layer(theta, where, x, width, h, c, kept, keep, u, mask, steps, batch, hidden, reset):
    """States of every step from h[0], c[0]; `keep` 0 leaves only the last step's `kept`."""
    inputs, wx, wh, bx, bh, own = where[0], where[1], where[2], where[3], where[4], where[5]
    room = mask.size
    row = GATES * room
    for t in range(steps):
        for b in range(batch):
            n = t * batch + b
            before, after = (b if reset else n) * room, (n + batch) * room
            at = n * keep * KEPT * room
            if TWO_PRODUCTS:
                for q in range(0, room, LANES):
                    a = products(lanes_of(theta, bx + q, room, 1), x, n * width, 0, inputs, theta, wx + q, row, room)
                    r = products(lanes_of(theta, bh + q, room, 1), h, before, 0, hidden, theta, wh + q, row, room)
                    put(u, n * keep * room + q, sigmoid(a[0] + r[0]) * lanes(h, before + q))
            for q in range(0, room, LANES):
                a = products(lanes_of(theta, bx + q, room, GATES), x, n * width, 0, inputs, theta, wx + q, row, room)
                r = recurrent(theta, h, before, u, n * keep * room, bh + q, wh + q, hidden, row, room)
                h_next, c_next, kept_now = gate_forward(
                    a, r, lanes(h, before + q), lanes(c, before + q), lanes_of(theta, own + q, room, OWN)
                )
                put(h, after + q, where_positive(lanes(mask, q), h_next))  # a unit that is not there never is infinite
                put(c, after + q, c_next)
                put_all(kept, at + q, room, kept_now)


def through_product(turned, h, before, kept, at, da, here, dh, at_dh, hidden, room):
    """Back through the candidate's product with the first gate times h: to that gate, and to h."""
    last = DIRECT * hidden * room
    for q in range(0, room, LANES):
        gate, value = lanes(kept, at + q), lanes(h, before + q)
        total = products(zeros(da, 1), da, here + DIRECT * room, 0, hidden, turned, last + q, room, 0)[0]
        put(dh, at_dh + q, lanes(dh, at_dh + q) + total * gate)
        put(da, here + q, (lanes(da, here + q) + total * value) * gate * (one - gate))


def weights_gradient(grad, where, x, width, h, u, da, dr, ones, steps, batch, hidden, room, reset):
    """Add the gradients of a layer's matrices and biases: sums over all steps of what came in times what came back."""
    inputs, wx, wh, bx, bh = where[0], where[1], where[2], where[3], where[4]
    row, n = GATES * room, steps * batch
    back = dr if SPLIT else da
    for q in range(0, room, LANES):
        add_outer(grad, wx + q, row, room, GATES, x, 0, width, inputs, da, q, row, room, n)
        add_outer(grad, bx + q, row, room, GATES, ones, 0, 1, 1, da, q, row, room, n)
        if RECURRENT:
            add_outer(grad, bh + q, row, room, GATES, ones, 0, 1, 1, back, q, row, room, n)
            if reset:  # the state before is the start state at every step
                for t in range(steps):
                    at = t * batch * row + q
                    add_outer(grad, wh + q, row, room, DIRECT, h, 0, room, hidden, back, at, row, room, batch)
            else:
                add_outer(grad, wh + q, row, room, DIRECT, h, 0, room, hidden, back, q, row, room, n)
            if TWO_PRODUCTS:
                last = q + DIRECT * room
                add_outer(grad, wh + last, row, room, 1, u, 0, room, hidden, back, last, row, room, n)


def backward_layer(
    theta, where, turned, grad, x, width, dx, dout, h, c, kept, u, da, dr, dh, dc, dstart, ones, steps, batch, hidden,
    cut, reset,
):  # fmt: skip
    """Add a layer's gradients to `grad`; dout (T,B,P) in, dx (T,B,P) out unless it is empty.

    `turned` has wh and, above the first layer, wx, as (G, H, P) over the units that they come from. `dstart` (2,P)
    gets the gradient of the start state, summed over the batch.
    """
    own, room = where[5], dstart.size // 2
    row = GATES * room
    for q in range(0, batch * room, LANES):
        put(dh, q, zero)
        put(dc, q, zero)
    for t in range(steps - 1, -1, -1):
        for b in range(batch):
            n = t * batch + b
            before, after, here = (b if reset else n) * room, (n + batch) * room, b * room
            for q in range(0, room, LANES):
                d = lanes(dh, here + q) + lanes(dout, n * room + q)
                da_now, dr_now, dh_now, dc_now, down = gate_backward(
                    lanes_of(kept, n * KEPT * room + q, room, KEPT), lanes(h, before + q), lanes(c, before + q),
                    lanes(h, after + q), lanes(c, after + q), d, lanes(dc, here + q),
                    lanes_of(theta, own + q, room, OWN),
                )  # fmt: skip
                put_all(da, n * row + q, room, da_now)
                if SPLIT:
                    put_all(dr, n * row + q, room, dr_now)
                put(dh, here + q, dh_now)
                put(dc, here + q, dc_now)
                if OWN > 0:
                    add_all(grad, own + q, room, down)
            if TWO_PRODUCTS:
                through_product(turned, h, before, kept, n * KEPT * room, da, n * row, dh, here, hidden, room)
            if RECURRENT:
                for q in range(0, room, LANES):
                    back = dr if SPLIT else da
                    parts = products(zeros(dh, DIRECT), back, n * row, room, hidden, turned, q, room, hidden * room)
                    put(dh, here + q, lanes(dh, here + q) + sum_of(parts))
            if dx.size > 0:
                for q in range(0, room, LANES):
                    first = GATES * hidden * room + q
                    parts = products(zeros(dx, GATES), da, n * row, room, hidden, turned, first, room, hidden * room)
                    put(dx, n * room + q, sum_of(parts))
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

"""One layer forward and backward: the part of the loop that is compiled for each cell.

This is source text for the compiler (see `build`). All arrays are flat, so the shapes given here
only say in which order the numbers follow each other. Sequences are taken eight at a time: a block
of them has SLOTS (8) slots, one per sequence. Units are taken two at a time: there are Q pairs,
that is, P = 2 Q units. If the hidden size is odd, the last unit is idle and stays zero. COUNT (16)
numbers in a row are a pair of units by eight sequences.

`wide` holds the weights of the run, each repeated in all slots, and `gradient` their gradients, per
slot. `room` holds states and everything else that depends on the data. `at` says where things begin
in these arrays, and how large they are: it has one number for each name in PLACES (in `build`).

    T steps, B blocks of sequences, H hidden size, G gates, I inputs of the layer
    wide, gradient   WX (Q, I, G, 16), WH (Q, H, G, 16), BX and BH (Q, G, 16), OWN (Q, OWN, 16)
                     of the input, of the state, their biases, and weights that only some cells have
    wide             WX_BACK (pairs of inputs, H, G, 16) and WH_BACK (Q, H, G, 16), transposed
    room             HS and CS (T + 1, B, P, 8), the states; KEPT (T, B, Q, KEPT, 16), what the
                     backward pass needs; U (T, B, P, 8), the first gate times h, in cells whose
                     candidate's matrix multiplies this product; ONES (8)
                     DA and DR (T, B, G, P, 8), gradients of what the gates receive (see `gates`);
                     DH and DC (B, P, 8), of the states; DOUT and DX (T, B, P, 8), of the outputs
                     and of the inputs; DSTART (2, P, 8), of the start states h and c
"""


def fill(room, first, size):
    """Set `size` numbers of `room` to zero, from room[first] on."""
    for k in range(first, first + size, COUNT):
        put(room, k, zero)


def recurrent(wide, room, wh, bh, before, gated, hidden):
    """Return what the gates of a pair of units receive from the previous state: GATES Lanes.

    The previous state begins at room[before], and its product with the first gate at room[gated].
    `wh` and `bh` say where the pair's weights begin. The tuple is empty if the cell has no
    recurrent matrix.
    """
    if not RECURRENT:
        return ()
    row = GATES * COUNT
    bias = lanes_of(wide, bh, COUNT, DIRECT)
    direct = products(bias, room, (before, 0), hidden, wide, (wh, row, COUNT))
    if not TWO_PRODUCTS:
        return direct
    last = DIRECT * COUNT
    bias = lanes_of(wide, bh + last, COUNT, 1)
    return direct + products(bias, room, (gated, 0), hidden, wide, (wh + last, row, COUNT))


def forward_layer(both, x, room, at):
    """Compute the states of every step from the start state, and write them into `room`.

    `both` are `wide` and `gradient`. `x` holds the inputs from at[XS] on; those of a step are
    at[XSTEP] numbers after those of the step before, and those of a block at[XBLOCK] numbers after
    those of the block before. If at[KEEP] is 1, what the backward pass needs is kept for every
    step; if it is 0, each step overwrites what the step before has written. If at[RESET] is 1,
    every step begins at the start state.
    """
    wide, row, keep, reset = both[0], GATES * COUNT, at[KEEP], at[RESET]
    steps, blocks = at[STEPS], at[BLOCKS]
    hidden, width, xs, x_step, x_block = at[HIDDEN], at[WIDTH], at[XS], at[XSTEP], at[XBLOCK]
    wx, wh, bx, bh, own = at[WX], at[WH], at[BX], at[BH], at[OWNS]
    hs, cs, kepts, us = at[HS], at[CS], at[KEPTS], at[US]
    pairs = (hidden + 1) // 2
    state = pairs * COUNT
    for t in range(steps):
        for b in range(blocks):
            n = t * blocks + b
            old, new = (b if reset else n) * state, (n + blocks) * state
            h, c, u = hs + old, cs + old, us + n * keep * state
            at_x = xs + t * x_step + b * x_block
            if TWO_PRODUCTS:
                for q in range(pairs):
                    bias = lanes_of(wide, bx + q * row, COUNT, 1)
                    a = products(
                        bias, x, (at_x, 0), width, wide, (wx + q * width * row, row, COUNT)
                    )
                    bias = lanes_of(wide, bh + q * row, COUNT, 1)
                    r = products(
                        bias, room, (h, 0), hidden, wide, (wh + q * hidden * row, row, COUNT)
                    )
                    put(room, u + q * COUNT, sigmoid(a[0] + r[0]) * lanes(room, h + q * COUNT))
            for q in range(pairs):
                here = q * COUNT
                bias = lanes_of(wide, bx + q * row, COUNT, GATES)
                a = products(bias, x, (at_x, 0), width, wide, (wx + q * width * row, row, COUNT))
                r = recurrent(wide, room, wh + q * hidden * row, bh + q * row, h, u, hidden)
                h_next, c_next, kept = gate_forward(
                    a, r, lanes(room, h + here), lanes(room, c + here),
                    lanes_of(wide, own + here * OWN, COUNT, OWN),
                )  # fmt: skip
                put(room, hs + new + here, h_next)
                put(room, cs + new + here, c_next)
                put_all(room, kepts + (n * keep * pairs + q) * KEPT * COUNT, COUNT, kept)


def back_through(wide, back, room, first, gate, gates_there, hidden):
    """Back-propagate through a matrix product: return the gradient of a pair of its inputs.

    The gradients of the product begin at room[first], (G, P, 8). Only `gates_there` gates of the
    product, from number `gate` on, take part. The transposed matrix begins at wide[back].
    """
    each, parts = (hidden + 1) // 2 * COUNT, zeros(room, gates_there)
    first, back = first + gate * each, back + gate * COUNT
    return sum_of(products(parts, room, (first, each), hidden, wide, (back, GATES * COUNT, COUNT)))


def through_product(wide, room, back, h, kept, da, dh, hidden):
    """Back-propagate through the product of the candidate's matrix and `u`, the first gate times h.

    Adds the gradient of h to `dh`. Completes the gradient of the first gate in `da`, and turns it
    into the gradient of the gate's preactivation. `back` is the place of the transposed matrix, and
    h, kept, da and dh are places in `room`.
    """
    for q in range((hidden + 1) // 2):
        here = q * COUNT
        gate, value = lanes(room, kept + here * KEPT), lanes(room, h + here)
        total = back_through(wide, back + here * hidden * GATES, room, da, DIRECT, 1, hidden)
        put(room, dh + here, lanes(room, dh + here) + total * gate)
        put(room, da + here, (lanes(room, da + here) + total * value) * gate * (one - gate))


def weights_gradient(gradient, x, room, at):
    """Add the gradients of a layer's matrices and biases, summed over all steps, to `gradient`.

    The inputs in `x` must be at[XBLOCK] numbers per block and step, ordered by step.
    """
    hidden, width, blocks = at[HIDDEN], at[WIDTH], at[BLOCKS]
    row, pairs = GATES * COUNT, (hidden + 1) // 2
    each = pairs * COUNT
    step, n = GATES * each, at[STEPS] * blocks
    back = at[DR] if SPLIT else at[DA]
    for q in range(pairs):
        here = q * COUNT
        ones, da = (at[ONES], 0), (at[DA] + here, step, each)
        to = at[WX] + q * width * row, row, COUNT
        add_outer(GATES, gradient, to, x, (at[XS], at[XBLOCK]), width, room, da, n)
        to = at[BX] + q * row, row, COUNT
        add_outer(GATES, gradient, to, room, ones, 1, room, da, n)
        if RECURRENT:
            dr = back + here, step, each
            to = at[BH] + q * row, row, COUNT
            add_outer(GATES, gradient, to, room, ones, 1, room, dr, n)
            wh, states = at[WH] + q * hidden * row, (at[HS], each)
            # With `reset`, every step begins at the start state.
            calls, size = (at[STEPS], blocks) if at[RESET] else (1, n)
            for t in range(calls):
                dr, to = (back + here + t * blocks * step, step, each), (wh, row, COUNT)
                add_outer(DIRECT, gradient, to, room, states, hidden, room, dr, size)
            if TWO_PRODUCTS:
                dr = back + here + DIRECT * each, step, each
                to = wh + DIRECT * COUNT, row, COUNT
                add_outer(1, gradient, to, room, (at[US], each), hidden, room, dr, n)


def backward_layer(both, x, room, at):
    """Back-propagate through a layer, and add the gradients of its weights to `gradient`.

    Reads the gradients of the layer's outputs from DOUT, and writes those of its inputs into DX if
    at[DOWN] is 1. Writes the gradient of the start state, summed over the blocks, into DSTART. If
    at[CUT] is above 0, the gradient through the state is cut every at[CUT] steps.
    """
    wide, gradient, row, reset, cut = both[0], both[1], GATES * COUNT, at[RESET], at[CUT]
    steps, blocks, hidden, width, down = at[STEPS], at[BLOCKS], at[HIDDEN], at[WIDTH], at[DOWN]
    own, wh_back, wx_back, dout, dx = at[OWNS], at[WH_BACK], at[WX_BACK], at[DOUT], at[DX]
    hs, cs, kepts, das, drs = at[HS], at[CS], at[KEPTS], at[DA], at[DR]
    dhs, dcs, dstart = at[DH], at[DC], at[DSTART]
    pairs = (hidden + 1) // 2
    state = pairs * COUNT
    fill(room, dhs, blocks * state)
    fill(room, dcs, blocks * state)
    fill(room, dstart, 2 * state)
    for t in range(steps - 1, -1, -1):
        for b in range(blocks):
            n = t * blocks + b
            old, new = (b if reset else n) * state, (n + blocks) * state
            da, dr = das + n * GATES * state, drs + n * GATES * state
            dh, dc = dhs + b * state, dcs + b * state
            kept = kepts + n * state * KEPT
            for q in range(pairs):
                here = q * COUNT
                da_now, dr_now, dh_now, dc_now, down_now = gate_backward(
                    lanes_of(room, kept + here * KEPT, COUNT, KEPT),
                    lanes(room, hs + old + here), lanes(room, cs + old + here),
                    lanes(room, hs + new + here), lanes(room, cs + new + here),
                    lanes(room, dh + here) + lanes(room, dout + n * state + here),
                    lanes(room, dc + here), lanes_of(wide, own + here * OWN, COUNT, OWN),
                )  # fmt: skip
                put_all(room, da + here, state, da_now)
                if SPLIT:
                    put_all(room, dr + here, state, dr_now)
                put(room, dh + here, dh_now)
                put(room, dc + here, dc_now)
                if OWN > 0:
                    add_all(gradient, own + here * OWN, COUNT, down_now)
            if TWO_PRODUCTS:
                through_product(wide, room, wh_back, hs + old, kept, da, dh, hidden)
            if RECURRENT:
                back = dr if SPLIT else da
                for q in range(pairs):
                    here = q * COUNT
                    total = back_through(
                        wide, wh_back + q * hidden * row, room, back, 0, DIRECT, hidden
                    )
                    put(room, dh + here, lanes(room, dh + here) + total)
            if down:
                for q in range((width + 1) // 2):
                    total = back_through(
                        wide, wx_back + q * hidden * row, room, da, 0, GATES, hidden
                    )
                    put(room, dx + n * state + q * COUNT, total)
        if t == 0 or reset:
            for b in range(blocks):
                for k in range(0, state, COUNT):
                    here = b * state + k
                    start = lanes(room, dstart + k) + lanes(room, dhs + here)
                    put(room, dstart + k, start)
                    start = lanes(room, dstart + state + k) + lanes(room, dcs + here)
                    put(room, dstart + state + k, start)
        if reset or (cut > 0 and t % cut == 0):
            fill(room, dhs, blocks * state)
            fill(room, dcs, blocks * state)
    weights_gradient(gradient, x, room, at)

"""One layer forward and backward: the part of the loop that is compiled for each cell.

This is source text for the compiler (see `build`). All arrays are flat, so the shapes given here
only say in which order the numbers follow each other. Sequences are taken eight at a time: a block
of them has SLOTS (8) slots, one per sequence. Units are taken two at a time: there are Q pairs,
that is, P = 2 Q units. If the hidden size is odd, the last unit is idle: its weights and its states
are zero. COUNT (16) numbers in a row are a pair of units by eight sequences.

`wide` holds the weights of the run, each repeated in all slots, and `gradient` their gradients, per
slot. `room` holds states and everything else that depends on the data. `at` says where things begin
in these arrays, and how large they are: it has one number for each name in PLACES (in `build`).

    T steps, B blocks of sequences, G gates, I inputs of the layer (as many as units of the layer
    below, or the task's)
    wide, gradient   for each pair of units, which is at[PAIR] numbers long: WX (I, G, 16) of the
                     input, BX (G, 16), WH (P, G, 16) of the state, BH (G, 16), and OWN (OWN, 16),
                     weights that only some cells have
                     H0 and C0 (P, 8), the learned start states
    room             HS and CS (T + 1, B, P, 8), the states; KEPT (T, B, Q, KEPT, 16), what the
                     backward pass needs; U (T, B, P, 8), the first gate times h, in cells whose
                     candidate's matrix multiplies this product; ONES (8)
                     DA and DR (T, B, G, P, 8), gradients of what the gates receive (see `gates`);
                     DH and DC (B, P, 8), of the states; DOUT (T, B, P, 8) and DX (T, B, I, 8), of
                     the outputs and of the inputs
"""


def fill(room, first, size):
    """Set `size` numbers of `room` to zero, from room[first] on."""
    for k in range(first, first + size, COUNT):
        put(room, k, zero)


def recurrent(wide, room, wh, bh, before, gated, units):
    """Return what the gates of a pair of units receive from the previous state: GATES Lanes.

    The previous state begins at room[before], and its product with the first gate at room[gated].
    `wh` and `bh` say where the pair's weights begin. The tuple is empty if the cell has no
    recurrent matrix.
    """
    if not RECURRENT:
        return ()
    bias = lanes_of(wide, bh, COUNT, DIRECT)
    direct = products(bias, room, (before, 0), units, wide, (wh, ROW, COUNT))
    if not TWO_PRODUCTS:
        return direct
    last = DIRECT * COUNT
    bias = lanes_of(wide, bh + last, COUNT, 1)
    return direct + products(bias, room, (gated, 0), units, wide, (wh + last, ROW, COUNT))


def forward_layer(both, x, room, at):
    """Compute the states of every step from the start state, and write them into `room`.

    `both` are `wide` and `gradient`. `x` holds the inputs from at[XS] on; those of a step are
    at[XSTEP] numbers after those of the step before, and those of a block at[XBLOCK] numbers after
    those of the block before. If at[KEEP] is 1, what the backward pass needs is kept for every
    step; if it is 0, each step overwrites what the step before has written. If at[RESET] is 1,
    every step begins at the start state.
    """
    wide, keep, reset, steps, blocks = both[0], at[KEEP], at[RESET], at[STEPS], at[BLOCKS]
    units, width, xs, x_step, x_block = at[UNITS], at[WIDTH], at[XS], at[XSTEP], at[XBLOCK]
    wx, bx, wh, bh, own, pair = at[WX], at[BX], at[WH], at[BH], at[OWNS], at[PAIR]
    hs, cs, kepts, us = at[HS], at[CS], at[KEPTS], at[US]
    pairs, state = units // 2, units * SLOTS
    for t in range(steps):
        for b in range(blocks):
            n = t * blocks + b
            old, new = (b if reset else n) * state, (n + blocks) * state
            h, c, u = hs + old, cs + old, us + n * keep * state
            at_x = xs + t * x_step + b * x_block
            if TWO_PRODUCTS:
                for q in range(pairs):
                    here = q * pair
                    bias = lanes_of(wide, bx + here, COUNT, 1)
                    a = products(bias, x, (at_x, 0), width, wide, (wx + here, ROW, COUNT))
                    bias = lanes_of(wide, bh + here, COUNT, 1)
                    r = products(bias, room, (h, 0), units, wide, (wh + here, ROW, COUNT))
                    put(room, u + q * COUNT, sigmoid(a[0] + r[0]) * lanes(room, h + q * COUNT))
            for q in range(pairs):
                here, mine = q * COUNT, q * pair
                bias = lanes_of(wide, bx + mine, COUNT, GATES)
                a = products(bias, x, (at_x, 0), width, wide, (wx + mine, ROW, COUNT))
                r = recurrent(wide, room, wh + mine, bh + mine, h, u, units)
                h_next, c_next, kept = gate_forward(
                    a, r, lanes(room, h + here), lanes(room, c + here),
                    lanes_of(wide, own + mine, COUNT, OWN),
                )  # fmt: skip
                put(room, hs + new + here, h_next)
                put(room, cs + new + here, c_next)
                put_all(room, kepts + (n * keep * pairs + q) * KEPT * COUNT, COUNT, kept)


def through_product(wide, room, h, kept, da, dh, at):
    """Back-propagate through the product of the candidate's matrix and `u`, the first gate times h.

    Adds the gradient of h to `dh`. Completes the gradient of the first gate in `da`, and turns it
    into the gradient of the gate's preactivation. h, kept, da and dh are places in `room`.
    """
    pairs, state = at[UNITS] // 2, at[UNITS] * SLOTS
    delta, weights = da + DIRECT * state, at[WH] + DIRECT * COUNT
    for q in range(pairs):
        here, first = q * COUNT, weights + 2 * q * ROW
        gate, value = lanes(room, kept + here * KEPT), lanes(room, h + here)
        total = products_back(1, room, (delta, COUNT, 0), pairs, wide, (first, at[PAIR], ROW))
        put(room, dh + here, lanes(room, dh + here) + total * gate)
        put(room, da + here, (lanes(room, da + here) + total * value) * gate * (one - gate))


def weights_gradient(gradient, x, room, at):
    """Add the gradients of a layer's matrices and biases, summed over all steps, to `gradient`.

    The inputs in `x` must be at[XBLOCK] numbers per block and step, ordered by step.
    """
    units, width, blocks = at[UNITS], at[WIDTH], at[BLOCKS]
    each = units * SLOTS
    step, n = GATES * each, at[STEPS] * blocks
    back = at[DR] if SPLIT else at[DA]
    for q in range(units // 2):
        here, mine = q * COUNT, q * at[PAIR]
        ones, da, dr = (at[ONES], 0), (at[DA] + here, step, each), (back + here, step, each)
        to = at[WX] + mine, ROW, COUNT
        add_outer(GATES, gradient, to, x, (at[XS], at[XBLOCK]), width, room, da, n)
        add_outer(GATES, gradient, (at[BX] + mine, ROW, COUNT), room, ones, 1, room, da, n)
        if RECURRENT:
            add_outer(GATES, gradient, (at[BH] + mine, ROW, COUNT), room, ones, 1, room, dr, n)
            wh, states = at[WH] + mine, (at[HS], each)
            # With `reset`, every step begins at the start state.
            calls, size = (at[STEPS], blocks) if at[RESET] else (1, n)
            for t in range(calls):
                dr = back + here + t * blocks * step, step, each
                to = wh, ROW, COUNT
                add_outer(DIRECT, gradient, to, room, states, units, room, dr, size)
            if TWO_PRODUCTS:
                dr, to = (
                    (back + here + DIRECT * each, step, each),
                    (wh + DIRECT * COUNT, ROW, COUNT),
                )
                add_outer(1, gradient, to, room, (at[US], each), units, room, dr, n)


def start_gradient(gradient, room, at):
    """Add the gradients DH and DC of the states before the first step to those of H0 and C0."""
    state = at[UNITS] * SLOTS
    for k in range(0, at[BLOCKS] * state, COUNT):
        h = at[H0] + k % state
        put(gradient, h, lanes(gradient, h) + lanes(room, at[DH] + k))
        if at[STATES] > 1:
            c = at[C0] + k % state
            put(gradient, c, lanes(gradient, c) + lanes(room, at[DC] + k))


def backward_layer(both, x, room, at):
    """Back-propagate through a layer, and add the gradients of its weights to `gradient`.

    Reads the gradients of the layer's outputs from DOUT, and writes those of its inputs into DX if
    at[DOWN] is 1. If at[LEARNED] is 1, the start state has a gradient, too. If at[CUT] is above 0,
    the gradient through the state is cut every at[CUT] steps, the first time at[OFFSET] steps after
    the start.
    """
    wide, gradient, reset, cut, offset = both[0], both[1], at[RESET], at[CUT], at[OFFSET]
    steps, blocks, units, width, pair = at[STEPS], at[BLOCKS], at[UNITS], at[WIDTH], at[PAIR]
    own, wh, wx, dout, dx = at[OWNS], at[WH], at[WX], at[DOUT], at[DX]
    hs, cs, kepts, das, drs, dhs, dcs = at[HS], at[CS], at[KEPTS], at[DA], at[DR], at[DH], at[DC]
    pairs, state = units // 2, units * SLOTS
    fill(room, dhs, blocks * state)
    fill(room, dcs, blocks * state)
    for t in range(steps - 1, -1, -1):
        for b in range(blocks):
            n = t * blocks + b
            old, new = (b if reset else n) * state, (n + blocks) * state
            da, dr = das + n * GATES * state, drs + n * GATES * state
            dh, dc = dhs + b * state, dcs + b * state
            kept = kepts + n * state * KEPT
            for q in range(pairs):
                here, mine = q * COUNT, own + q * pair
                da_now, dr_now, dh_now, dc_now, own_now = gate_backward(
                    lanes_of(room, kept + here * KEPT, COUNT, KEPT),
                    lanes(room, hs + old + here), lanes(room, cs + old + here),
                    lanes(room, hs + new + here), lanes(room, cs + new + here),
                    lanes(room, dh + here) + lanes(room, dout + n * state + here),
                    lanes(room, dc + here), lanes_of(wide, mine, COUNT, OWN),
                )  # fmt: skip
                put_all(room, da + here, state, da_now)
                if SPLIT:
                    put_all(room, dr + here, state, dr_now)
                put(room, dh + here, dh_now)
                put(room, dc + here, dc_now)
                if OWN > 0:
                    add_all(gradient, mine, COUNT, own_now)
            if TWO_PRODUCTS:
                through_product(wide, room, hs + old, kept, da, dh, at)
            if RECURRENT:
                delta = (dr if SPLIT else da), COUNT, state
                for q in range(pairs):
                    weights, here = (wh + 2 * q * ROW, pair, ROW), dh + q * COUNT
                    total = products_back(DIRECT, room, delta, pairs, wide, weights)
                    put(room, here, lanes(room, here) + total)
            if at[DOWN]:
                for q in range(width // 2):
                    weights = wx + 2 * q * ROW, pair, ROW
                    total = products_back(GATES, room, (da, COUNT, state), pairs, wide, weights)
                    put(room, dx + (n * width + 2 * q) * SLOTS, total)
        if at[LEARNED] and (t == 0 or reset):
            start_gradient(gradient, room, at)
        if reset or (cut > 0 and (t - offset) % cut == 0):
            fill(room, dhs, blocks * state)
            fill(room, dcs, blocks * state)
    weights_gradient(gradient, x, room, at)

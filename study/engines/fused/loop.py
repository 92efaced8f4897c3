"""The loop that trains a run. Source text for the compiler, see `build`.

All weights lie in one vector `theta`, all gradients in another of the same layout (`views`). A layer's
matrices are stored transposed, (inputs, gates * H), so that the inner loops run along the gates.

    T steps, B sequences of a batch, I inputs, H hidden size, G gates, S states, L layers
"""


def views(flat, layer, sizes):
    """The weights of one layer in a vector: wx (I,G*H), wh (H,G*H), bx and bh (G*H,), own (extra*H,).

    wh and bh are empty for a cell without recurrent matrix.
    """
    inputs, hidden, rows = sizes[0], sizes[1], sizes[1] * sizes[2]
    recurrent_rows = rows if sizes[6] else 0
    width = inputs if layer == 0 else hidden
    own = sizes[7] * hidden
    first = layer * (hidden * rows + hidden * recurrent_rows + rows + recurrent_rows + own)
    if layer > 0:
        first -= (hidden - inputs) * rows
    middle = first + width * rows
    biases = middle + hidden * recurrent_rows
    last = biases + rows + recurrent_rows
    wx = flat[first:middle].reshape(width, rows)
    wh = flat[middle:biases].reshape(hidden, recurrent_rows)
    return wx, wh, flat[biases : biases + rows], flat[biases + rows : last], flat[last : last + own]


def readout_views(flat, sizes):
    """The readout's weights (2, H) and biases (2,), and the start state (S*L*H,), maybe not in use."""
    hidden, layers, states = sizes[1], sizes[3], sizes[4]
    start = flat.size - states * layers * hidden if sizes[5] else flat.size
    first = start - 2 * hidden - 2
    return flat[first : first + 2 * hidden].reshape(2, hidden), flat[first + 2 * hidden : start], flat[start:]


def forward_layer(x, h, c, a, r, wx, wh, bx, bh, own, two_products, reset):
    """States of every step from h[0], c[0]; x (T,B,I), h and c (T+1,B,H), a and r (T,B,G*H)."""
    steps, batch, inputs = x.shape
    rows, hidden, recurrent_rows = bx.size, wh.shape[0], bh.size
    direct = recurrent_rows - hidden if two_products else recurrent_rows  # columns that h itself multiplies
    u = np.empty(hidden, dtype=h.dtype)
    for t in range(steps):
        before = 0 if reset else t
        for b in range(batch):
            at, rt, hb = a[t, b], r[t, b], h[before, b]
            for k in range(rows):
                at[k] = bx[k]
            for i in range(inputs):
                value, row = x[t, b, i], wx[i]
                for k in range(rows):
                    at[k] += value * row[k]
            for k in range(recurrent_rows):
                rt[k] = bh[k]
            for j in range(hidden):
                value, row = hb[j], wh[j]
                for k in range(direct):
                    rt[k] += value * row[k]
            if two_products:  # the first gate multiplies h before the candidate's matrix does
                for j in range(hidden):
                    at[j] += rt[j]
                sigmoid_all(at[:hidden])
                for j in range(hidden):
                    u[j] = at[j] * hb[j]
                for j in range(hidden):
                    value, row = u[j], wh[j]
                    for k in range(direct, recurrent_rows):
                        rt[k] += value * row[k]
            gate_forward(at, rt, hb, c[before, b], h[t + 1, b], c[t + 1, b], own)


def backward_layer(
    x, dx, dout, h, c, a, r, wx, wh, own, gx, gh, gbx, gbh, gown, dstart, two_products, cut, reset, want_dx
):  # fmt: skip
    """Add a layer's gradients to gx, gh, gbx, gbh, gown; dout (T,B,H) in, dx (T,B,I) out if wanted.

    dstart (S,H) gets the gradient of the start state, summed over the batch.
    """
    steps, batch, inputs = x.shape
    rows, hidden, recurrent_rows = gbx.size, wh.shape[0], gbh.size
    direct = recurrent_rows - hidden if two_products else recurrent_rows
    one = real(1)
    dh, dc = np.zeros((batch, hidden), dtype=h.dtype), np.zeros((batch, c.shape[2]), dtype=h.dtype)
    for t in range(steps - 1, -1, -1):
        before = 0 if reset else t
        for b in range(batch):
            at, rt, hb, d = a[t, b], r[t, b], h[before, b], dh[b]
            for j in range(hidden):
                d[j] += dout[t, b, j]
            gate_backward(at, rt, hb, c[before, b], h[t + 1, b], c[t + 1, b], d, dc[b], own, gown)
            if two_products:
                # `a` still has the first gate's value and `r` what reached it otherwise.
                for j in range(hidden):
                    value, row, weights = at[j] * hb[j], gh[j], wh[j]
                    total = real(0)
                    for k in range(direct, recurrent_rows):
                        row[k] += value * rt[k]
                        total += weights[k] * rt[k]
                    gate = at[j]
                    d[j] += total * gate
                    at[j] = (rt[j] + total * hb[j]) * gate * (one - gate)
                for j in range(hidden):
                    rt[j] = at[j]
            for k in range(rows):
                gbx[k] += at[k]
            for k in range(recurrent_rows):
                gbh[k] += rt[k]
            for i in range(inputs):
                value, row = x[t, b, i], gx[i]
                for k in range(rows):
                    row[k] += value * at[k]
            if recurrent_rows > 0:
                for j in range(hidden):
                    value, row, weights = hb[j], gh[j], wh[j]
                    total = real(0)
                    for k in range(direct):
                        row[k] += value * rt[k]
                        total += weights[k] * rt[k]
                    d[j] += total
            for i in range(inputs if want_dx else 0):
                total, row = real(0), wx[i]
                for k in range(rows):
                    total += row[k] * at[k]
                dx[t, b, i] = total
        if t == 0 or reset:
            for b in range(batch):
                for j in range(hidden):
                    dstart[0, j] += dh[b, j]
                for j in range(c.shape[2]):
                    dstart[1, j] += dc[b, j]
        if reset or (cut > 0 and t % cut == 0):
            dh[:] = real(0)
            dc[:] = real(0)


def set_start(h, c, layer, carried, starts, learned, kind, batch, hidden, layers):
    """h[0] and c[0] of one layer: 0 zeros, 1 learned, 2 drawn for each sequence, 3 carried."""
    for b in range(batch):
        for j in range(hidden):
            if kind == 3:
                h[0, b, j] = carried[0, layer, b, j]
            elif kind == 2:
                h[0, b, j] = starts[b, 0, layer, j]
            elif kind == 1:
                h[0, b, j] = learned[layer * hidden + j]
            else:
                h[0, b, j] = real(0)
        for j in range(c.shape[2]):
            if kind == 3:
                c[0, b, j] = carried[1, layer, b, j]
            elif kind == 2:
                c[0, b, j] = starts[b, 1, layer, j]
            elif kind == 1:
                c[0, b, j] = learned[(layers + layer) * hidden + j]
            else:
                c[0, b, j] = real(0)


def forward(theta, sizes, x, h, c, a, r, carried, starts, kind, reset):
    """All layers; h (L,T+1,B,H) and c filled, h[L-1, 1:] are the outputs."""
    hidden, layers = sizes[1], sizes[3]
    _, _, learned = readout_views(theta, sizes)
    for layer in range(layers):
        wx, wh, bx, bh, own = views(theta, layer, sizes)
        set_start(h[layer], c[layer], layer, carried, starts, learned, kind, x.shape[1], hidden, layers)
        below = x if layer == 0 else h[layer - 1, 1:]
        forward_layer(below, h[layer], c[layer], a[layer], r[layer], wx, wh, bx, bh, own, sizes[8] == 1, reset)


def margin(h, w, b):
    """Second logit minus first, for one state (H,)."""
    first, second = b[0], b[1]
    for j in range(h.size):
        first += w[0, j] * h[j]
        second += w[1, j] * h[j]
    return second - first


def train_batch(theta, grad, sizes, x, labels, h, c, a, r, dout, dx, carried, starts, kind, cut, reset):
    """Add one batch's gradient of its mean loss to `grad`; that loss, nats per label."""
    steps, batch = labels.shape
    hidden, layers, states = sizes[1], sizes[3], sizes[4]
    forward(theta, sizes, x, h, c, a, r, carried, starts, kind, reset)
    w, bias, _ = readout_views(theta, sizes)
    gw, gbias, gstart = readout_views(grad, sizes)
    loss, share = 0.0, real(1) / real(steps * batch)
    for t in range(steps):
        for b in range(batch):
            state, d = h[layers - 1, t + 1, b], dout[t, b]
            m = margin(state, w, bias)
            e = math.exp(-abs(m))
            p = real(1) / (real(1) + e) if m >= real(0) else e / (real(1) + e)
            wrong = -m if labels[t, b] == 1 else m
            loss += max(wrong, real(0)) + math.log1p(e) if wrong == wrong else np.nan
            delta = (p - real(labels[t, b])) * share
            gbias[0] -= delta
            gbias[1] += delta
            for j in range(hidden):
                gw[0, j] -= delta * state[j]
                gw[1, j] += delta * state[j]
                d[j] = delta * (w[1, j] - w[0, j])
    dstart = np.zeros((2, hidden), dtype=h.dtype)
    for layer in range(layers - 1, -1, -1):
        wx, wh, _, _, own = views(theta, layer, sizes)
        gx, gh, gbx, gbh, gown = views(grad, layer, sizes)
        dstart[:] = real(0)
        below = x if layer == 0 else h[layer - 1, 1:]
        backward_layer(
            below, dx, dout, h[layer], c[layer], a[layer], r[layer], wx, wh, own, gx, gh, gbx, gbh, gown, dstart,
            sizes[8] == 1, cut, reset, layer > 0,
        )  # fmt: skip
        if layer > 0:
            dout[:] = dx
        if kind == 1:
            for state_index in range(states):
                for j in range(hidden):
                    gstart[(state_index * layers + layer) * hidden + j] += dstart[state_index, j]
    return loss / (steps * batch)


def clip(grad, largest):
    """As torch.nn.utils.clip_grad_norm_, over the whole gradient."""
    total = 0.0
    for k in range(grad.size):
        total += grad[k] * grad[k]
    factor = real(min(1.0, largest / (math.sqrt(total) + 1e-6)))
    for k in range(grad.size):
        grad[k] *= factor


def step(kind, theta, grad, memory, active, t, lr, s):
    """One optimizer step on the first `active` weights, as torch.optim; `s` its settings, t from 1."""
    m, v, w = memory[0], memory[1], memory[2]
    rate = real(lr)
    if kind == 0:  # SGD: momentum, dampening, weight_decay, nesterov
        momentum, keep, decay, nesterov = real(s[0]), real(1.0 - s[1]), real(s[2]), s[3] != 0
        for k in range(active):
            g = grad[k] + decay * theta[k]
            if s[0] != 0:
                m[k] = g if t == 1 else momentum * m[k] + keep * g
                g = g + momentum * m[k] if nesterov else m[k]
            theta[k] -= rate * g
    elif kind == 1:  # RMSprop: alpha, eps, weight_decay, momentum, centered
        alpha, rest, eps, decay, momentum = real(s[0]), real(1.0 - s[0]), real(s[1]), real(s[2]), real(s[3])
        for k in range(active):
            g = grad[k] + decay * theta[k]
            v[k] = alpha * v[k] + rest * g * g
            square = v[k]
            if s[4] != 0:
                w[k] += rest * (g - w[k])
                square -= w[k] * w[k]
            g = g / (math.sqrt(square) + eps)
            if s[3] > 0:
                m[k] = momentum * m[k] + g
                g = m[k]
            theta[k] -= rate * g
    elif kind == 2:  # Adagrad: lr_decay, weight_decay, initial_accumulator_value, eps
        slow, decay, eps = real(lr / (1.0 + (t - 1) * s[0])), real(s[1]), real(s[3])
        for k in range(active):
            g = grad[k] + decay * theta[k]
            v[k] = (real(s[2]) if t == 1 else v[k]) + g * g
            theta[k] -= slow * g / (math.sqrt(v[k]) + eps)
    else:  # Adam (3) and AdamW (4): beta1, beta2, eps, weight_decay, amsgrad
        rest1, beta2, rest2, eps = real(1.0 - s[0]), real(s[1]), real(1.0 - s[1]), real(s[2])
        decay = real(s[3]) if kind == 3 else real(0)
        shrink = real(1.0 - lr * s[3]) if kind == 4 else real(1)
        size, root = real(lr / (1.0 - s[0] ** t)), real(math.sqrt(1.0 - s[1] ** t))
        for k in range(active):
            theta[k] *= shrink
            g = grad[k] + decay * theta[k]
            m[k] += rest1 * (g - m[k])
            v[k] = beta2 * v[k] + rest2 * g * g
            second = v[k]
            if s[4] != 0:
                w[k] = max(w[k], v[k])
                second = w[k]
            theta[k] -= size * m[k] / (math.sqrt(second) / root + eps)


def buffers(steps, batch, sizes, dtype):
    """Room for the states h, c (L,T+1,B,.) and the gates' parts a, r (L,T,B,G*H) of one batch."""
    hidden, rows, layers = sizes[1], sizes[1] * sizes[2], sizes[3]
    width = hidden if sizes[4] == 2 else 0
    h = np.empty((layers, steps + 1, batch, hidden), dtype=dtype)
    c = np.empty((layers, steps + 1, batch, width), dtype=dtype)
    a = np.empty((layers, steps, batch, rows), dtype=dtype)
    r = np.empty((layers, steps, batch, rows), dtype=dtype)
    return h, c, a, r


def evaluate(theta, sizes, x, labels, starts, kind, reset, correct):
    """Mean loss on sequences x (T,n,I) with labels (T,n), a few at a time; fills correct (n,T) uint8."""
    steps, n, _ = x.shape
    layers = sizes[3]
    chunk = max(1, min(n, 65536 // (steps * sizes[1] * sizes[2])))
    h, c, a, r = buffers(steps, chunk, sizes, theta.dtype)
    carried = np.empty((2, 0, 0, 0), dtype=theta.dtype)
    w, bias, _ = readout_views(theta, sizes)
    loss = 0.0
    for first in range(0, n, chunk):
        count = min(chunk, n - first)
        part = x[:, first : first + count].copy()
        some = starts[first : first + count] if kind == 2 else starts[:0]
        forward(theta, sizes, part, h, c, a, r, carried, some, kind, reset)
        for t in range(steps):
            for b in range(count):
                m = margin(h[layers - 1, t + 1, b], w, bias)
                label = labels[t, first + b]
                wrong = -m if label == 1 else m
                loss += max(wrong, real(0)) + math.log1p(math.exp(-abs(m))) if m == m else np.nan
                correct[first + b, t] = (1 if m > real(0) else 0) == label
    return loss / (n * steps)


def counted(correct):
    """Accuracy and exact share over t >= 1; correct (n,T)."""
    n, steps = correct.shape
    right, exact = 0, 0
    for i in range(n):
        in_sequence = 0
        for t in range(1, steps):
            in_sequence += correct[i, t]
        right += in_sequence
        exact += 1 if in_sequence == steps - 1 else 0
    return right / (n * (steps - 1)), exact / n


def update(theta, grad, memory, sizes, options, numbers, settings, x, labels, starts, carried, h, c, a, r, dout, dx):
    """One optimizer step; the mean training loss before it. `options` and `numbers` as in `train_segment`."""
    if options[ACCUMULATE] == 0:
        grad[:] = real(0)
    total, layers, steps = 0.0, sizes[3], labels.shape[1]
    start_used = options[ACCUMULATE] == 1
    for _ in range(options[BATCHES_PER_UPDATE]):
        i = options[NEXT_BATCH] % x.shape[0]
        options[NEXT_BATCH] += 1
        kind = 3 if options[CARRIED] == 1 else options[START_KIND]
        start_used = start_used or kind == 1
        total += train_batch(
            theta, grad, sizes, x[i], labels[i], h, c, a, r, dout, dx, carried, starts[i % starts.shape[0]], kind,
            options[CUT], options[RESET] == 1,
        )  # fmt: skip
        if options[ACROSS] == 1:
            options[CARRIED] = 1
            for layer in range(layers):
                carried[0, layer] = h[layer, steps]
                for b in range(c.shape[2]):
                    for j in range(c.shape[3]):
                        carried[1, layer, b, j] = c[layer, steps, b, j]
    if numbers[CLIP_NORM] > 0:
        clip(grad, numbers[CLIP_NORM])
    options[UPDATES] += 1
    # A learned start state that no batch used has no gradient, and torch then leaves it alone.
    active = theta.size if start_used else theta.size - readout_views(theta, sizes)[2].size
    step(options[OPTIMIZER], theta, grad, memory, active, options[UPDATES], numbers[LR], settings)
    return total / options[BATCHES_PER_UPDATE]


def train_segment(
    theta, grad, memory, sizes, options, numbers, settings, x, labels, starts, carried,
    ex, elabels, estarts, points, correct, clock,
):  # fmt: skip
    """Train through up to `len(ex)` evaluations; how many were done. Stops when solved or diverged.

    Without batches it evaluates only. `correct` (n,T) tells of the last evaluation.

    x (batches,T,B,I), labels (batches,T,B); ex (evaluations,T,n,I), elabels (evaluations,T,n); a row of `points`
    for each evaluation: updates, training loss, loss, accuracy, exact share, seconds of training so far.
    """
    batch = labels.shape[2]
    h, c, a, r = buffers(labels.shape[1], batch, sizes, theta.dtype)
    dout, dx = np.empty(h[0, 1:].shape, dtype=theta.dtype), np.empty(h[0, 1:].shape, dtype=theta.dtype)
    for e in range(ex.shape[0]):
        started, losses, count, loss = now(clock), 0.0, 0, 0.0
        while x.shape[0] > 0:
            loss = update(
                theta, grad, memory, sizes, options, numbers, settings, x, labels, starts, carried,
                h, c, a, r, dout, dx,
            )  # fmt: skip
            losses += loss
            count += 1
            done = options[UPDATES]
            if not math.isfinite(loss) or done % options[EVAL_EVERY] == 0 or done == options[MAX_UPDATES]:
                break
        trained = now(clock)
        numbers[TRAIN_SECONDS] += trained - started
        if not math.isfinite(loss):
            options[DIVERGED] = options[UPDATES]
            return e
        seen = evaluate(
            theta,
            sizes,
            ex[e],
            elabels[e],
            estarts[e % estarts.shape[0]],
            options[START_KIND],
            options[RESET] == 1,
            correct,
        )
        accuracy, exact = counted(correct)
        numbers[EVALUATION_SECONDS] += now(clock) - trained
        points[e, 0], points[e, 1], points[e, 2] = options[UPDATES], losses / count if count > 0 else np.nan, seen
        points[e, 3], points[e, 4], points[e, 5] = accuracy, exact, numbers[TRAIN_SECONDS]
        if not math.isfinite(seen):
            options[DIVERGED] = options[UPDATES]
            return e + 1
        options[CONSECUTIVE] = options[CONSECUTIVE] + 1 if exact == 1.0 else 0
        if options[STOP_AFTER] > 0 and options[CONSECUTIVE] >= options[STOP_AFTER]:
            return e + 1
    return ex.shape[0]

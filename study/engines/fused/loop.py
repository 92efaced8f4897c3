"""The loop that trains a run: the part that is the same for every cell.

This is source text for the compiler (see `build`). All arrays are flat. Those of states have space
for P units, which is H rounded up to whole vectors of lanes (see `layers`). `theta` holds all
weights, and `layout` (L + 1, 6) says where in `theta` they lie: one row per layer, then a row for
the readout, its biases and the start state. `sizes`, `options` and `numbers` hold one number for
each name in SIZES, OPTIONS and NUMBERS (in `build`). The loop allocates nothing: `room` and
`test_room` are tuples of arrays that the caller made (see `_training_room` and `_test_room` in the
package's `__init__`).

    T steps, B sequences per batch, n sequences per evaluation, I inputs
    H hidden size, G gates, S states of the cell (h and perhaps c), L layers
"""


def clear(array):
    """Set every number in the array to zero."""
    for k in range(array.size):
        array[k] = real(0)


def copy(target, source):
    """Copy `source` into `target`, which has the same size."""
    for k in range(target.size):
        target[k] = source[k]


def set_start(h, c, sizes, layer, kind, carried, starts, first, theta, learned, batch):
    """Write the start state of one layer into h[0] and c[0].

    `kind` says where the start state comes from: 0 for zeros, 1 for a learned state, which begins
    at theta[learned], 2 for a state drawn for each sequence, in `starts` from sequence `first` on,
    and 3 for the last state of the batch before, in `carried`.
    """
    hidden, room, layers, states = sizes[HIDDEN], sizes[PADDED], sizes[LAYERS], sizes[STATES]
    for b in range(batch):
        for state in range(2):
            target = h if state == 0 else c
            for j in range(room):
                value = real(0)
                if state < states and j < hidden:
                    if kind == 3:
                        value = carried[((state * layers + layer) * batch + b) * room + j]
                    elif kind == 2:
                        at = ((first + b) * states + state) * layers + layer
                        value = starts[at * hidden + j]
                    elif kind == 1:
                        value = theta[learned + (state * layers + layer) * room + j]
                target[b * room + j] = value


def forward(
    forward_layer, theta, layout, sizes, x, h, c, kept, keep, u, mask, carried, starts, first, kind,
    steps, batch, reset,
):  # fmt: skip
    """Run all layers, and write their states into `h` and `c`, (L, T+1, B, P) each.

    The outputs of the last layer are h[L-1, 1:]. `set_start` explains `kind`, and `forward_layer`
    explains `keep`.
    """
    hidden, room, layers = sizes[HIDDEN], sizes[PADDED], sizes[LAYERS]
    states, each = (steps + 1) * batch * room, keep * steps * batch * room
    learned = layout[layers, 2]
    for layer in range(layers):
        begin, end = layer * states, (layer + 1) * states
        h_here, c_here = h[begin:end], c[begin:end]
        set_start(
            h_here, c_here, sizes, layer, kind, carried, starts, first, theta, learned, batch
        )  # fmt: skip
        below = x if layer == 0 else h[begin - states + batch * room : begin]
        width = sizes[INPUTS] if layer == 0 else room
        kept_here, u_here = kept[layer * each * sizes[KEPT] :], u[layer * each :]
        forward_layer(
            theta, layout[layer], below, width, h_here, c_here, kept_here, keep, u_here, mask,
            steps, batch, hidden, reset,
        )  # fmt: skip


def contrast(theta, layout, sizes, difference):
    """Write the readout's second row minus its first into `difference` (P,).

    Returns the readout's second bias minus its first.
    """
    w, b, room = layout[sizes[LAYERS], 0], layout[sizes[LAYERS], 1], sizes[PADDED]
    for j in range(room):
        difference[j] = theta[w + room + j] - theta[w + j]
    return theta[b + 1] - theta[b]


def margin(h, at, difference, bias):
    """Return the second logit minus the first for the state that begins at h[at]."""
    total = lanes(h, at) * lanes(difference, 0)
    for q in range(LANES, difference.size, LANES):
        total = total + lanes(h, at + q) * lanes(difference, q)
    return across(total) + bias


def turn(theta, layout, sizes, layer, turned):
    """Write the layer's matrix wh into `turned`, transposed for the backward pass.

    In layers above the first, write wx too. `backward_layer` describes the order in `turned`.
    """
    hidden, gates, blocks = sizes[HIDDEN], sizes[GATES], sizes[PADDED] // LANES
    for which in range(2 if layer > 0 else 1):
        first = layout[layer, 1] if which == 1 else layout[layer, 2]
        for q in range(blocks if first >= 0 else 0):
            units = min(LANES, hidden - q * LANES)
            for s in range(blocks):
                for g in range(gates):
                    at = (((which * blocks + q) * blocks + s) * gates + g) * LANES * LANES
                    for i in range(units):
                        source = first + ((s * hidden + q * LANES + i) * gates + g) * LANES
                        for j in range(LANES):
                            turned[at + j * LANES + i] = theta[source + j]


def loss_and_deltas(h, at, labels, difference, bias, delta, share):
    """Return the sum of the losses, in nats, of the states that begin at h[at], one per label.

    `difference` and `bias` are the results of `contrast`. Writes into `delta` the derivative of
    each loss with respect to the second logit minus the first, times `share`. The sum of log(1 + e)
    over many labels is computed at once, as the logarithm of a product.
    """
    loss, product = 0.0, 1.0
    for n in range(labels.size):
        m = margin(h, at + n * difference.size, difference, bias)
        e = math.exp(-abs(m))
        p = real(1) / (real(1) + e) if m >= real(0) else e / (real(1) + e)
        wrong = -m if labels[n] == 1 else m
        loss += max(wrong, real(0)) if wrong == wrong else np.nan
        product *= 1.0 + e
        if product > 1e200:
            loss += math.log(product)
            product = 1.0
        delta[n] = (p - real(labels[n])) * share
    return loss + math.log(product)


def train_batch(
    forward_layer, backward_layer, theta, grad, layout, sizes, x, labels, room, carried, starts,
    kind, cut, reset,
):  # fmt: skip
    """Return the mean loss of one batch, in nats per label, and add its gradient to `grad`."""
    h, c, kept, u, mask, ones, delta, difference = room[:8]
    dout, dx, da, dr, dh, dc, dstart, turned, fresh = room[8:]
    hidden, width, layers = sizes[HIDDEN], sizes[PADDED], sizes[LAYERS]
    steps, batch = sizes[STEPS], sizes[BATCH]
    n, states, each = steps * batch, (steps + 1) * batch * width, steps * batch * width
    forward(
        forward_layer, theta, layout, sizes, x, h, c, kept, 1, u, mask, carried, starts, 0, kind,
        steps, batch, reset,
    )  # fmt: skip
    bias = contrast(theta, layout, sizes, difference)
    outputs = h[(layers - 1) * states + batch * width :]
    loss = loss_and_deltas(outputs, 0, labels, difference, bias, delta, real(1) / real(n))
    clear(fresh)
    readout_gradient(fresh, layout[layers], outputs, delta, width)
    for i in range(n):
        for q in range(0, width, LANES):
            put(dout, i * width + q, lanes(difference, q) * delta[i])
    for layer in range(layers - 1, -1, -1):
        turn(theta, layout, sizes, layer, turned)
        clear(dstart)
        begin, end = layer * states, (layer + 1) * states
        below = x if layer == 0 else h[begin - states + batch * width : begin]
        inputs, dx_here = (sizes[INPUTS], dx[:0]) if layer == 0 else (width, dx)
        backward_layer(
            theta, layout[layer], turned, fresh, below, inputs, dx_here, dout, h[begin:end],
            c[begin:end], kept[layer * each * sizes[KEPT] :], u[layer * each :], da, dr, dh, dc,
            dstart, ones, steps, batch, hidden, cut, reset,
        )  # fmt: skip
        if layer > 0:
            copy(dout, dx)
        if kind == 1:
            for state in range(sizes[STATES]):
                first = layout[layers, 2] + (state * layers + layer) * width
                for j in range(width):
                    fresh[first + j] += dstart[state * width + j]
    for k in range(grad.size):
        grad[k] += fresh[k]
    return loss / n


def readout_gradient(fresh, where, outputs, delta, width):
    """Write the gradients of the readout's two rows and two biases into `fresh`.

    `delta` holds the derivative of the loss with respect to the second logit minus the first. So
    the gradient of the first row is minus that of the second, and likewise for the biases.
    """
    w, b = where[0], where[1]
    for q in range(0, width, LANES):
        add_outer(fresh, w + width + q, 0, 0, 1, delta, 0, 1, 1, outputs, q, width, 0, delta.size)
    for j in range(width):
        fresh[w + j] = -fresh[w + width + j]
    total = real(0)
    for n in range(delta.size):
        total += delta[n]
    fresh[b], fresh[b + 1] = -total, total


def clip(grad, largest):
    """Scale down a gradient whose norm exceeds `largest`, as torch's `clip_grad_norm_` does."""
    total = 0.0
    for k in range(grad.size):
        total += grad[k] * grad[k]
    factor = real(min(1.0, largest / (math.sqrt(total) + 1e-6)))
    for k in range(grad.size):
        grad[k] *= factor


def step(kind, theta, grad, memory, active, t, lr, s):
    """Update the first `active` weights in `theta` as torch.optim does.

    `kind` is the number of the optimizer and `s` its settings, both as in the branches below.
    `memory` (3, weights) holds its running sums and means. t counts updates from 1.
    """
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
        alpha, rest, eps = real(s[0]), real(1.0 - s[0]), real(s[1])
        decay, momentum = real(s[2]), real(s[3])
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


def evaluate(
    forward_layer, theta, layout, sizes, x, labels, steps, n, chunk, starts, kind, reset, room,
    correct,
):  # fmt: skip
    """Return the mean loss, in nats per label, on sequences x (T, n, I) with labels (T, n).

    Writes into `correct` (n, T) uint8 which labels are right. Evaluates `chunk` sequences at a
    time. `set_start` explains `kind`.
    """
    h, c, kept, u, mask, difference, part = room
    width, layers, inputs = sizes[PADDED], sizes[LAYERS], sizes[INPUTS]
    bias = contrast(theta, layout, sizes, difference)
    loss, product = 0.0, 1.0
    for first in range(0, n, chunk):
        count = min(chunk, n - first)
        for t in range(steps):
            for k in range(count * inputs):
                part[t * count * inputs + k] = x[(t * n + first) * inputs + k]
        forward(
            forward_layer, theta, layout, sizes, part, h, c, kept, 0, u, mask, starts, starts,
            first, kind, steps, count, reset,
        )  # fmt: skip
        outputs = h[((layers - 1) * (steps + 1) + 1) * count * width :]
        for t in range(steps):
            for b in range(count):
                m = margin(outputs, (t * count + b) * width, difference, bias)
                label = labels[t * n + first + b]
                wrong = -m if label == 1 else m
                loss += max(wrong, real(0)) if wrong == wrong else np.nan
                product *= 1.0 + math.exp(-abs(m))
                if product > 1e200:
                    loss += math.log(product)
                    product = 1.0
                correct[(first + b) * steps + t] = (1 if m > real(0) else 0) == label
    return (loss + math.log(product)) / (n * steps)


def counted(correct, n, steps):
    """Return the accuracy and the exact share, both from step 1 on.

    `correct` (n, T) says which labels are right: 1 for right, 0 for wrong. The exact share is the
    share of sequences whose labels are all right.
    """
    right, exact = 0, 0
    for i in range(n):
        in_sequence = 0
        for t in range(1, steps):
            in_sequence += correct[i * steps + t]
        right += in_sequence
        exact += 1 if in_sequence == steps - 1 else 0
    return right / (n * (steps - 1)), exact / n


def update(
    forward_layer, backward_layer, theta, grad, memory, layout, sizes, options, numbers, settings,
    x, labels, starts, carried, room,
):  # fmt: skip
    """Take one optimizer step; return the mean loss before the step, in nats per label."""
    if options[ACCUMULATE] == 0:
        clear(grad)
    total, start_used = 0.0, options[ACCUMULATE] == 1
    for _ in range(options[BATCHES_PER_UPDATE]):
        i = options[NEXT_BATCH] % x.shape[0]
        options[NEXT_BATCH] += 1
        kind = 3 if options[CARRIED] == 1 else options[START_KIND]
        start_used = start_used or kind == 1
        total += train_batch(
            forward_layer, backward_layer, theta, grad, layout, sizes, x[i], labels[i], room,
            carried, starts[i % starts.shape[0]], kind, options[CUT], options[RESET],
        )  # fmt: skip
        if options[ACROSS] == 1:
            options[CARRIED] = 1
            carry(room[0], room[1], sizes, carried)
    if numbers[CLIP_NORM] > 0:
        clip(grad, numbers[CLIP_NORM])
    options[UPDATES] += 1
    # If no batch used the learned start state, it has no gradient, and torch does not update it.
    active = theta.size if start_used or sizes[LEARNED] == 0 else layout[sizes[LAYERS], 2]
    step(options[OPTIMIZER], theta, grad, memory, active, options[UPDATES], numbers[LR], settings)
    return total / options[BATCHES_PER_UPDATE]


def carry(h, c, sizes, carried):
    """Copy the states after the last step of a batch into `carried` (2, L, B, P)."""
    layers, steps, each = sizes[LAYERS], sizes[STEPS], sizes[BATCH] * sizes[PADDED]
    for layer in range(layers):
        last = (layer * (steps + 1) + steps) * each
        for k in range(each):
            carried[layer * each + k] = h[last + k]
            carried[(layers + layer) * each + k] = c[last + k]


def train_segment(
    forward_layer, backward_layer, theta, grad, memory, layout, sizes, options, numbers, settings,
    x, labels, starts, carried, ex, elabels, estarts, tested, points, correct, room, test_room,
    clock,
):  # fmt: skip
    """Train until `len(ex)` evaluations are done; return the number of evaluations done.

    Training stops early when the run has solved the task or diverges. Without training batches, the
    network is only evaluated. Writes into `correct` (n*T,) which labels were right in the last
    evaluation.

    The training data are x (batches, T*B*I) and labels (batches, T*B). The evaluation data are `ex`
    (evaluations, T*n*I) and `elabels` (evaluations, T*n). `starts` and `estarts` hold the start
    states of both, if these are drawn. `tested` holds T, n and the number of sequences that are
    evaluated at a time. Writes one row of six measurements per evaluation into `points`: updates,
    training loss, loss, accuracy, exact share, seconds of training so far.
    """
    for e in range(ex.shape[0]):
        started, losses, count, loss = now(clock), 0.0, 0, 0.0
        while x.shape[0] > 0:
            loss = update(
                forward_layer, backward_layer, theta, grad, memory, layout, sizes, options, numbers,
                settings, x, labels, starts, carried, room,
            )  # fmt: skip
            losses += loss
            count += 1
            done = options[UPDATES]
            is_due = done % options[EVAL_EVERY] == 0 or done == options[MAX_UPDATES]
            if is_due or not math.isfinite(loss):
                break
        trained = now(clock)
        numbers[TRAIN_SECONDS] += trained - started
        if not math.isfinite(loss):
            options[DIVERGED] = options[UPDATES]
            return e
        seen = evaluate(
            forward_layer, theta, layout, sizes, ex[e], elabels[e], tested[0], tested[1],
            tested[2], estarts[e % estarts.shape[0]], options[START_KIND], options[RESET],
            test_room, correct,
        )  # fmt: skip
        accuracy, exact = counted(correct, tested[1], tested[0])
        numbers[EVALUATION_SECONDS] += now(clock) - trained
        points[e, 0], points[e, 1] = options[UPDATES], losses / count if count > 0 else np.nan
        points[e, 2], points[e, 3], points[e, 4] = seen, accuracy, exact
        points[e, 5] = numbers[TRAIN_SECONDS]
        if not math.isfinite(seen):
            options[DIVERGED] = options[UPDATES]
            return e + 1
        options[CONSECUTIVE] = options[CONSECUTIVE] + 1 if exact == 1.0 else 0
        if options[STOP_AFTER] > 0 and options[CONSECUTIVE] >= options[STOP_AFTER]:
            return e + 1
    return ex.shape[0]

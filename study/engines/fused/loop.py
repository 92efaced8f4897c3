"""The loop that trains runs: the part that is the same for every cell.

This is source text for the compiler (see `build`). All arrays are flat; `layers` explains `wide`,
`gradient`, `room` and their order. The loop allocates nothing. It trains R runs side by side, which
have networks of the same shape: R is 1, or SLOTS divided by the number of sequences per batch, and
run r has the slots from r SLOTS / R on. Nothing that a run computes depends on its neighbours.

    memory (R, 5, weights)   the weights, in the order of `wide`, their gradient, and three rows of
                             running means for the optimizer
    wide (2, 8 weights)      the weights, each in all slots of its run, and their gradients by slot
    idle, rest               the numbers of weights of idle units, and what these weights stay at
    at (2, L + 1, PLACES)    for training and for evaluation: a row per layer, then the readout's,
                             which is like a layer with one gate. To it, the classes are units
    options, numbers         the loop's variables, by the names OPTIONS and NUMBERS in `build`:
                             (R, ...) each, a row per run
    exactly                  float64: 16 numbers of scratch, the losses of the 8 slots, and COUNTED

    T steps, B sequences per batch, n sequences per evaluation, I inputs
    H hidden size, G gates, S states of the cell (h and perhaps c), L layers, K classes
"""


def clear(array):
    """Set every number in the array to zero."""
    for k in range(array.size):
        array[k] = real(0)


def repeat(memory, wide):
    """Write every weight into the slots of its run."""
    runs = memory.shape[0]
    each = SLOTS // runs
    if runs == 1:
        for k in range(0, memory.shape[2], 2):
            put(wide, k * SLOTS, halves(memory[0, 0, k], memory[0, 0, k + 1]))
        return
    for k in range(memory.shape[2]):
        for s in range(SLOTS):
            wide[k * SLOTS + s] = memory[s // each, 0, k]


def gather(memory, gradient):
    """Add the gradients in the slots of each run to the run's gradient."""
    runs = memory.shape[0]
    each = SLOTS // runs
    if runs == 1:
        for k in range(0, memory.shape[2], 2):
            first, second = folded(lanes(gradient, k * SLOTS))
            memory[0, 1, k] += first
            memory[0, 1, k + 1] += second
        return
    for k in range(memory.shape[2]):
        for r in range(runs):
            total = real(0)
            for s in range(r * each, (r + 1) * each):
                total += gradient[k * SLOTS + s]
            memory[r, 1, k] += total


def set_start(wide, room, at, layer, kind, source, first):
    """Write the start states of one layer, h and c, into `room`.

    `kind` says where they come from: 0 for zeros, 1 for a learned state in `wide`, and 2 for states
    in `source` (blocks, 2, L, P, 8) from block `first` on, which were drawn, or carried over from
    the batch before. `at` holds the places of all layers.
    """
    layers, a = at.shape[0] - 1, at[layer]
    state = a[UNITS] * SLOTS
    for b in range(a[BLOCKS]):
        for which in range(2):
            target = (a[HS] if which == 0 else a[CS]) + b * state
            drawn = (((first + b) * 2 + which) * layers + layer) * state
            learned = a[H0] if which == 0 else a[C0]
            for k in range(0, state, COUNT):
                if kind == 2:
                    put(room, target + k, lanes(source, drawn + k))
                elif kind == 1 and which < a[STATES]:
                    put(room, target + k, lanes(wide, learned + k))
                else:
                    put(room, target + k, zero)


def carry(room, at, carried):
    """Copy the states after the last step of a batch into `carried` (blocks, 2, L, P, 8)."""
    layers = at.shape[0] - 1
    for layer in range(layers):
        a = at[layer]
        state = a[UNITS] * SLOTS
        for b in range(a[BLOCKS]):
            for which in range(2):
                last = (a[STEPS] * a[BLOCKS] + b) * state + (a[HS] if which == 0 else a[CS])
                target = ((b * 2 + which) * layers + layer) * state
                for q in range(0, state, COUNT):
                    put(carried, target + q, lanes(room, last + q))


def run_layers(forward, wide, x, room, at, kind, source, first):
    """Run all layers from their start states; see `set_start` for the last three arguments."""
    for layer in range(at.shape[0] - 1):
        set_start(wide[0], room, at, layer, kind, source, first)
        forward(wide, x if layer == 0 else room, room, at[layer])
        # The outputs are the inputs of the next layer, or of the readout.
        above, step = at[layer + 1], at[layer, BLOCKS] * at[layer + 1, XBLOCK]
        above[XS], above[XSTEP] = at[layer, HS] + step, step


def read_out(wide, room, labels, exactly, at, learns):
    """Add the losses, in nats, of all labels of the last layer's states to those of their slots.

    `at` is the readout's row of places. COUNTED (B, 16), in `exactly`, says which slots hold a
    sequence, one per sequence. If `learns`, writes the derivatives of the losses with respect to
    the logits, times SHARE, into DA. Otherwise counts each sequence's wrong labels, and finds the
    first. The logarithm is taken of the product of many sums of exponentials at once.
    """
    blocks, steps, width, pairs = at[BLOCKS], at[STEPS], at[WIDTH], at[UNITS] // 2
    state = width * SLOTS
    waiting = 0
    product = halves(1.0, 1.0)
    beyond = halves(0.0, 0.0)
    for t in range(steps):
        for b in range(blocks):
            n = t * blocks + b
            h, logits = at[XS] + n * state, at[DA] + n * pairs * COUNT
            for q in range(pairs):
                bias = lanes_of(wide, at[BX] + q * at[PAIR], COUNT, 1)
                weights = at[WX] + q * at[PAIR], COUNT, COUNT
                logit = products(bias, room, (h, 0), width, wide, weights)
                put(room, logits + q * COUNT, logit[0])
            top = lanes(room, logits)
            for q in range(1, pairs):
                top = larger(top, lanes(room, logits + q * COUNT))
            top = larger(top, swapped(top))
            label = spread(labels, t * at[LABEL_STEP] + b * at[LABEL_BLOCK])
            total, picked = zero_of(top), zero_of(top)
            exact = widened(total)
            for q in range(pairs):
                z = lanes(room, logits + q * COUNT)
                this = halves(real(2 * q), real(2 * q + 1))
                picked = picked + where_equal(label, this, z)
                e = exp(z - top)
                total, exact = total + e, exact + widened(e)
                if learns:
                    put(room, logits + q * COUNT, e)
            total, exact = total + swapped(total), exact + swapped(exact)
            picked = picked + swapped(picked)
            is_counted = lanes(exactly, at[COUNTED] + b * COUNT)
            beyond = beyond + where_positive(is_counted, widened(top - picked))
            product = product * (where_positive(is_counted, exact - 1.0) + 1.0)
            waiting += 1
            if waiting == 256:  # a product of 256 sums of up to 15 classes is finite
                add_logarithms(product, exactly)
                product, waiting = halves(1.0, 1.0), 0
            bad = zero_of(top)
            for q in range(pairs):
                z = lanes(room, logits + q * COUNT)
                this = halves(real(2 * q), real(2 * q + 1))
                if learns:
                    hit = where_equal(label, this, halves(one, one))
                    share = lanes(room, at[SHARE] + b * COUNT)
                    put(room, logits + q * COUNT, (z / total - hit) * share)
                else:
                    bad = bad + beats(z, this, picked, label)
            if not learns and t > 0:
                bad = bad + swapped(bad)
                wrong, soonest = at[WRONG] + b * COUNT, at[SOONEST] + b * COUNT
                more = where_positive(bad, halves(one, one))
                put(room, wrong, lanes(room, wrong) + more)
                left = halves(real(steps - t), real(steps - t))
                put(room, soonest, larger(lanes(room, soonest), where_positive(bad, left)))
    add_logarithms(product, exactly)
    put(exactly, 0, beyond)
    for s in range(SLOTS):
        exactly[COUNT + s] += exactly[s]


def add_logarithms(product, exactly):
    """Add the logarithms of the first half of `product` to the losses of the slots."""
    put(exactly, 0, product)
    for s in range(SLOTS):
        exactly[COUNT + s] += math.log(exactly[s])


def train_batch(forward, backward, wide, room, exactly, at, batch, kind, source):
    """Add the losses of one batch to those of the slots, and its gradient to wide[1].

    `forward` and `backward` are the functions of the cell in `layers`, and `batch` the inputs and
    labels. See `set_start` for `kind` and `source`.
    """
    x, labels = batch
    last = at.shape[0] - 1
    at[:, LEARNED] = kind == 1
    run_layers(forward, wide, x, room, at, kind, source, 0)
    out = at[last]
    read_out(wide[0], room, labels, exactly, out, True)
    n, width, pairs = out[STEPS] * out[BLOCKS], out[WIDTH], out[UNITS] // 2
    step, states = pairs * COUNT, (out[XS], out[WIDTH] * SLOTS)
    for q in range(pairs):
        delta, mine = (out[DA] + q * COUNT, step, COUNT), q * out[PAIR]
        to = out[WX] + mine, COUNT, COUNT
        add_outer(1, wide[1], to, room, states, width, room, delta, n)
        to = out[BX] + mine, COUNT, COUNT
        add_outer(1, wide[1], to, room, (out[ONES], 0), 1, room, delta, n)
    for i in range(n):
        delta = out[DA] + i * step, COUNT, 0
        for j in range(0, width, 2):
            weights = out[WX] + j * COUNT, out[PAIR], COUNT
            total = products_back(1, room, delta, pairs, wide[0], weights)
            put(room, out[DX] + (i * width + j) * SLOTS, total)
    for layer in range(last - 1, -1, -1):
        backward(wide, x if layer == 0 else room, room, at[layer])


def clip(grad, largest):
    """Scale down a gradient whose norm exceeds `largest`, as torch's `clip_grad_norm_` does."""
    total = 0.0
    for k in range(grad.size):
        total += grad[k] * grad[k]
    factor = real(min(1.0, largest / (math.sqrt(total) + 1e-6)))
    for k in range(grad.size):
        grad[k] *= factor


def step(kind, memory, active, t, lr, s):
    """Update the first `active` weights as torch.optim does.

    `kind` is the number of the optimizer and `s` its settings, both as in the branches below. t
    counts updates from 1.
    """
    theta, grad, m, v, w = memory[0], memory[1], memory[2], memory[3], memory[4]
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


def evaluate(forward, wide, room, exactly, at, test, kind, source, found):
    """Return the mean loss, in nats per label, of one run on sequences x (blocks, T, I, 8).

    Writes into `found` (2, 8 blocks) how many labels of each sequence are wrong, and how many steps
    remain at its first wrong label, both from step 1 on. `at` holds the places of all layers and of
    the readout, which have room for BLOCKS blocks at a time. See `set_start` for the rest.
    """
    x, labels = test
    last = at.shape[0] - 1
    out = at[last]
    at_a_time, blocks = out[BLOCKS], found.shape[1] // SLOTS
    exactly[COUNT : COUNT + SLOTS] = 0.0
    for first in range(0, blocks, at_a_time):
        count = min(at_a_time, blocks - first)
        at[:, BLOCKS] = count
        for k in range(0, count * COUNT, COUNT):
            put(room, out[WRONG] + k, zero)
            put(room, out[SOONEST] + k, zero)
        part = x[first * at[0, XBLOCK] :]
        run_layers(forward, wide, part, room, at, kind, source, first)
        part = labels[first * out[LABEL_BLOCK] :]
        out[COUNTED] = (2 + first) * COUNT
        read_out(wide[0], room, part, exactly, out, False)
        for b in range(count):
            for k in range(SLOTS):
                found[0, (first + b) * SLOTS + k] = room[out[WRONG] + b * COUNT + k]
                found[1, (first + b) * SLOTS + k] = room[out[SOONEST] + b * COUNT + k]
    at[:, BLOCKS] = at_a_time
    return mean_loss(exactly, out, 0, SLOTS)


def mean_loss(exactly, out, first, end):
    """Return the mean loss, in nats per label, of the slots from `first` to `end`."""
    total = 0.0
    for s in range(first, end):
        total += exactly[COUNT + s]
    return total / (out[STEPS] * out[SEQUENCES])


def counted(found, n, steps):
    """Return the accuracy and the exact share of n sequences, both from step 1 on.

    The exact share is the share of sequences whose labels are all right. See `evaluate` for
    `found`.
    """
    right, exact = n * (steps - 1), 0
    for i in range(n):
        right -= int(found[0, i])
        exact += 1 if found[0, i] == 0 else 0
    return right / (n * (steps - 1)), exact / n


def update(forward, backward, weights, rooms, at, options, numbers, data):
    """Let all runs that are in training take one optimizer step.

    Adds the mean losses before the step, in nats per label, to LOSSES.
    """
    memory, wide, _, idle, rest = weights
    x, labels, starts, carried, cuts = data
    runs, each = memory.shape[0], SLOTS // memory.shape[0]
    for r in range(runs):
        if options[r, ACCUMULATE] == 0:
            clear(memory[r, 1])
        numbers[r, LOSS] = 0.0
    clear(wide[1])
    room, exactly = rooms[:2]
    batches, start_used = options[0, BATCHES_PER_UPDATE], options[0, ACCUMULATE] == 1
    at[:, OFFSET] = cuts[options[0, NEXT_UPDATE] % cuts.size]
    options[0, NEXT_UPDATE] += 1
    for _ in range(batches):
        i = options[0, NEXT_BATCH] % x.shape[0]
        options[0, NEXT_BATCH] += 1
        kind = 2 if options[0, CARRIED] == 1 else options[0, START_KIND]
        start_used = start_used or kind == 1
        source = carried if options[0, CARRIED] == 1 else starts[i]
        batch = x[i], labels[i]
        exactly[COUNT : COUNT + SLOTS] = 0.0
        train_batch(forward, backward, wide, room, exactly, at, batch, kind, source)
        for r in range(runs):
            loss = mean_loss(exactly, at[at.shape[0] - 1], r * each, (r + 1) * each)
            numbers[r, LOSS] += loss / batches
        if options[0, ACROSS] == 1:
            options[0, CARRIED] = 1
            carry(room, at, carried)
    gather(memory, wide[1])
    # If no batch used the learned start state, it has no gradient, and torch does not update it.
    is_fixed = options[0, START_KIND] != 1 or start_used
    active = memory.shape[2] if is_fixed else at[0, H0] // SLOTS
    for r in range(runs):
        if options[r, TRAINS] == 1:
            mine, settings = memory[r], numbers[r, SETTINGS:]
            if numbers[r, CLIP_NORM] > 0:
                clip(mine[1], numbers[r, CLIP_NORM])
            options[r, UPDATES] += 1
            step(options[r, OPTIMIZER], mine, active, options[r, UPDATES], numbers[r, LR], settings)
            for k in range(idle.size):
                mine[0, idle[k]] = rest[k]
    repeat(memory, wide[0])


def train_until_due(forward, backward, weights, rooms, at, options, numbers, data):
    """Train all runs until their next evaluation; add up their losses in LOSSES.

    A FRESH run is due at once, before its first update.
    """
    runs, training = options.shape[0], 0
    for r in range(runs):
        numbers[r, LOSSES] = 0.0
        options[r, STEPS_DONE] = 0
        options[r, TRAINS] = options[r, LIVE] * (1 - options[r, FRESH])
        options[r, FRESH] = 0
        training += options[r, TRAINS]
    while training > 0:
        update(forward, backward, weights, rooms, at, options, numbers, data)
        for r in range(runs):
            if options[r, TRAINS] == 1:
                numbers[r, LOSSES] += numbers[r, LOSS]
                options[r, STEPS_DONE] += 1
                done = options[r, UPDATES]
                is_due = done % options[r, EVAL_EVERY] == 0 or done == options[r, MAX_UPDATES]
                if is_due or not math.isfinite(numbers[r, LOSS]):
                    options[r, TRAINS] = 0
                    training -= 1


def measure(options, numbers, point, seen, accuracy, exact):
    """Write one run's measurements into `point`, and decide whether its training ends here.

    `options` and `numbers` are the run's rows. `seen` is the loss of the evaluation.
    """
    point[0], point[1] = options[UPDATES], np.nan
    if options[STEPS_DONE] > 0:
        point[1] = numbers[LOSSES] / options[STEPS_DONE]
    point[2], point[3], point[4] = seen, accuracy, exact
    point[5] = numbers[TRAIN_SECONDS]
    options[EVALUATED] += 1
    if not math.isfinite(seen):
        options[DIVERGED] = options[UPDATES]
    options[CONSECUTIVE] = options[CONSECUTIVE] + 1 if exact == 1.0 else 0
    is_solved = options[STOP_AFTER] > 0 and options[CONSECUTIVE] >= options[STOP_AFTER]
    if is_solved or options[DIVERGED] > 0 or options[UPDATES] >= options[MAX_UPDATES]:
        options[LIVE] = 0


def train_segment(forward, backward, weights, rooms, at, options, numbers, data, tests, results):
    """Train the runs that are LIVE until all evaluations in `tests` are done, or no run is LIVE.

    A run stops being LIVE when it has solved the task, used up its updates, or diverged. The first
    evaluation of a FRESH run takes place before any update.

    `weights` are `memory`, two arrays like `wide`, for training and for evaluating one of several
    runs, and `idle` and `rest`. `rooms` are two arrays for training, the second of float64, and two
    for evaluation. `data` are the training batches, x (batches, T*B*I), labels (batches, T*B) and
    start states, the states carried from batch to batch, and the offset of the cuts of each update,
    which are repeated. `tests` are the evaluations of each run: x (R, evaluations, T*n*I), labels
    and start states. `results` are `points`, `found` (see `evaluate`) and an array for the clock.
    Writes one row of six measurements per run and evaluation into `points` (R, evaluations, 6):
    updates, training loss, loss, accuracy, exact share, seconds of training so far. Runs that train
    side by side share the time equally.
    """
    memory, wide, wide_of_one = weights[:3]
    points, found, clock = results
    ex, runs = tests[0], memory.shape[0]
    out, before = at[1, at.shape[1] - 1], flush_denormals(-1)
    repeat(memory, wide[0])
    for e in range(ex.shape[1]):
        started, live = now(clock), 0
        for r in range(runs):
            live += options[r, LIVE]
            numbers[r, LOSS] = 0.0
        if live == 0:
            break
        train_until_due(forward, backward, weights, rooms, at[0], options, numbers, data)
        seconds = (now(clock) - started) / live
        for r in range(runs):
            if options[r, LIVE] == 0:
                continue
            numbers[r, TRAIN_SECONDS] += seconds
            if not math.isfinite(numbers[r, LOSS]):
                options[r, DIVERGED], options[r, LIVE] = options[r, UPDATES], 0
                continue
            trained, of_run = now(clock), wide
            if runs > 1:
                of_run = wide_of_one
                repeat(memory[r : r + 1], of_run[0])
            test, starts = (ex[r, e], tests[1][r, e]), tests[2][r, e]
            seen = evaluate(
                forward, of_run, rooms[2], rooms[3], at[1], test, options[r, START_KIND], starts,
                found,
            )  # fmt: skip
            accuracy, exact = counted(found, out[SEQUENCES], out[STEPS])
            numbers[r, EVALUATION_SECONDS] += now(clock) - trained
            measure(options[r], numbers[r], points[r, e], seen, accuracy, exact)
    flush_denormals(before)

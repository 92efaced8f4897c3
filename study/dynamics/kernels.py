"""What is computed from the map of `step`: roots, orbits, slips, exponents. Source text for the compiler.

Arguments are those of `step`: the weights `theta`, `sizes`, states z (D,), inputs u, what is held and at which value.
"""


def solve(matrix, b):
    """Gaussian elimination with partial pivoting, both overwritten; whether `b` now has the solution."""
    n = b.size
    for i in range(n):
        best = i
        for k in range(i + 1, n):
            if abs(matrix[k, i]) > abs(matrix[best, i]):
                best = k
        if not abs(matrix[best, i]) > 1e-300:
            return False
        if best != i:
            for j in range(n):
                matrix[i, j], matrix[best, j] = matrix[best, j], matrix[i, j]
            b[i], b[best] = b[best], b[i]
        for k in range(i + 1, n):
            factor = matrix[k, i] / matrix[i, i]
            if factor != 0:
                for j in range(i, n):
                    matrix[k, j] -= factor * matrix[i, j]
                b[k] -= factor * b[i]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            b[i] -= matrix[i, j] * b[j]
        b[i] /= matrix[i, i]
    return True


def miss(net, room, z, u, period, difference, now, out):
    """difference = F^period(z) - z; its largest entry, infinite where it is no number."""
    now[:] = z
    for _ in range(period):
        advance(net, room, difference[:0] > 0, difference[:0], now, u, out)
        now[:] = out
    worst = 0.0
    for j in range(z.size):
        difference[j] = now[j] - z[j]
        worst = max(worst, abs(difference[j])) if difference[j] == difference[j] else np.inf
    return worst


def newton(net, room, z, u, period, most, tolerance):
    """Move z to a root of F^period - id by damped Newton steps; the residual it got to, largest entry."""
    n = z.size
    jac, product, work = np.empty((n, n)), np.empty((n, n)), np.empty((n, n))
    difference, now, out, trial = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    residual = miss(net, room, z, u, period, difference, now, out)
    for _ in range(most):
        if not residual > tolerance or not residual < 1e9:
            break
        now[:] = z
        for step in range(period):
            jacobian(net, room, now, u, out, jac)
            if step == 0:
                product[:] = jac
            else:
                multiply(jac, product, work)
                product[:] = work
            now[:] = out
        for i in range(n):
            product[i, i] -= 1.0
        move = difference.copy()
        if not solve(product, move):
            break
        size, better = 1.0, np.inf
        for _ in range(8):
            for j in range(n):
                trial[j] = z[j] - size * move[j]
            better = miss(net, room, trial, u, period, difference, now, out)
            if better < residual:
                break
            size *= 0.5
        if not better < residual:
            break
        z[:] = trial
        residual = better
    return residual


def multiply(left, right, out):
    """out = left @ right, square."""
    n = left.shape[0]
    for i in range(n):
        for j in range(n):
            out[i, j] = 0.0
        for k in range(n):
            factor = left[i, k]
            if factor != 0:
                for j in range(n):
                    out[i, j] += factor * right[k, j]


def find_roots(theta, sizes, starts, u, period, most, tolerance, roots):
    """Newton from each of starts (S,D) into roots (S,D); their residuals (S,)."""
    net, room = unpack(theta, sizes), make_room(sizes)
    residuals = np.empty(len(starts))
    for s in range(len(starts)):
        roots[s] = starts[s]
        residuals[s] = newton(net, room, roots[s], u, period, most, tolerance)
    return residuals


def derivatives(theta, sizes, points, inputs, images, jacobians):
    """images (S,D) and jacobians (S,D,D) of F at points (S,D) under inputs (S,)."""
    net, room = unpack(theta, sizes), make_room(sizes)
    for s in range(len(points)):
        jacobian(net, room, points[s], inputs[s], images[s], jacobians[s])


def follow(theta, sizes, held, value, jolts, states, inputs, wrong, gates):
    """Run states (B,D), overwritten, through inputs (B,T) against the labels 1, 0, 1, ... of step 0 on.

    `wrong` (B,T) uint8 gets 1 where the label is wrong; `jolts` (B,T,D), or none of them, is added to the state after
    each step; `gates` (KEPT*H,) gets the mean of what the cell's forward step keeps.
    """
    net, room = unpack(theta, sizes), make_room(sizes)
    w, bias = readout(theta, sizes)
    hidden = sizes[0]
    out = np.empty(states.shape[1])
    gates[:] = 0.0
    for b in range(inputs.shape[0]):
        z = states[b]
        for t in range(inputs.shape[1]):
            advance(net, room, held, value, z, inputs[b, t], out)
            z[:] = out
            for k in range(gates.size):
                gates[k] += room[2][k]
            # NaN counts as label 0, as in the engine's evaluation
            wrong[b, t] = (1 if margin(z[:hidden], w, bias) > 0 else 0) != 1 - t % 2
            for j in range(z.size if jolts.shape[0] > 0 else 0):
                z[j] += jolts[b, t, j]
    for k in range(gates.size):
        gates[k] /= inputs.size


def visit(theta, sizes, z, inputs, states):
    """states (T,D) after each step of inputs (T,) from z."""
    net, room = unpack(theta, sizes), make_room(sizes)
    none = np.empty(0, np.bool_)
    before = z
    for t in range(inputs.size):
        advance(net, room, none, z[:0], before, inputs[t], states[t])
        before = states[t]


def count_slips(theta, sizes, inputs, most, counts):
    """Run from the zero state through inputs (T,) until `most` slips; counts: steps, slips, first error, errors.

    A slip is a step t >= 1 at which the labels change from right to wrong or back (step 0 is taken for right).
    The first error is the first wrong step t >= 1, or -1. Returns the smallest |logit margin| over t >= 1.
    """
    net, room = unpack(theta, sizes), make_room(sizes)
    w, bias = readout(theta, sizes)
    hidden, width = sizes[0], sizes[0] * sizes[1]
    none = np.empty(0, np.bool_)
    z, out = np.zeros(width), np.empty(width)
    slips, first, errors, was_wrong, smallest, t = 0, -1, 0, False, np.inf, 0
    while t < inputs.size and slips < most:
        advance(net, room, none, z[:0], z, inputs[t], out)
        z, out = out, z
        if t > 0:
            m = margin(z[:hidden], w, bias)
            is_wrong = (1 if m > 0 else 0) != 1 - t % 2
            slips += 1 if is_wrong != was_wrong else 0
            errors += 1 if is_wrong else 0
            if is_wrong and first < 0:
                first = t
            was_wrong = is_wrong
            smallest = min(smallest, abs(m))
        t += 1
    counts[0], counts[1], counts[2], counts[3] = t, slips, first, errors
    return smallest


def lyapunov(theta, sizes, z, inputs, burn, exponents):
    """Exponents (D,), nats per step, largest first in the limit, along inputs (T,) from z, overwritten.

    Benettin's method: tangent vectors carried by the Jacobian and made orthonormal (QR by Gram-Schmidt, twice for
    rounding) at every step; the first `burn` steps align them and are not counted.
    """
    net, room = unpack(theta, sizes), make_room(sizes)
    n = z.size
    jac, q, work, out = np.empty((n, n)), np.eye(n), np.empty((n, n)), np.empty(n)
    exponents[:] = 0.0
    for t in range(inputs.size):
        jacobian(net, room, z, inputs[t], out, jac)
        z[:] = out
        multiply(q, jac.T, work)  # rows of q are the vectors
        for i in range(n):
            length = 0.0
            for _ in range(2):
                for k in range(i):
                    dot = 0.0
                    for j in range(n):
                        dot += work[i, j] * q[k, j]
                    for j in range(n):
                        work[i, j] -= dot * q[k, j]
            for j in range(n):
                length += work[i, j] * work[i, j]
            length = math.sqrt(length)
            if t >= burn:
                exponents[i] += math.log(length) if length > 1e-300 else -690.0
            for j in range(n):
                q[i, j] = work[i, j] / length if length > 1e-300 else (1.0 if i == j else 0.0)
    for i in range(n):
        exponents[i] /= inputs.size - burn


def settle(theta, sizes, states, u, steps):
    """Move each of states (B,D) on by `steps` steps under the constant input u."""
    net, room = unpack(theta, sizes), make_room(sizes)
    none = np.empty(0, np.bool_)
    out = np.empty(states.shape[1])
    for b in range(len(states)):
        for _ in range(steps):
            advance(net, room, none, out[:0], states[b], u, out)
            states[b] = out


def shrink(theta, sizes, z, twin, inputs, share):
    """Steps until the distance of twin from z, both driven by inputs (T,), is `share` of what it was; -1: never."""
    net, room = unpack(theta, sizes), make_room(sizes)
    none = np.empty(0, np.bool_)
    out = np.empty(z.size)
    start = math.sqrt(((twin - z) ** 2).sum())
    reached = -1
    for t in range(inputs.size):
        advance(net, room, none, out[:0], z, inputs[t], out)
        z[:] = out
        advance(net, room, none, out[:0], twin, inputs[t], out)
        twin[:] = out
        near = math.sqrt(((twin - z) ** 2).sum()) <= share * start
        if near and reached < 0:
            reached = t + 1
        elif not near:
            reached = -1
    return reached

"""Find the roots of a network, count its slips, and measure its stability, in compiled code.

`study.dynamics.build` compiles this file for each cell, together with `step`. Therefore this file
imports nothing, and uses the functions and names that `step` and `build` define.

Under the input u, one step of the network leads from a state z to the next state F_u(z). F_u^period
denotes this step, repeated `period` times with the same u. A root is a state z with
F_u^period(z) = z, to which the network returns after `period` steps. A slip is a step at which the
network's labels change from right to wrong or from wrong to right. Stability is measured by
Lyapunov exponents, the rates at which nearby states move apart.

Most functions share some arguments: `theta` holds all weights in one vector, `hidden` is the hidden
size, z (D,) is a state, and u is an input.
"""

MOST_NEWTON_STEPS = 60
TOLERANCE = 1e-13  # Newton's method stops when the residual is this small


def solve(matrix, b):
    """Solve matrix @ x = b by Gaussian elimination with pivoting.

    Overwrites `matrix`, and writes the solution x into `b`. Returns True if there is a solution,
    and False if the matrix is singular.
    """
    n = b.size
    for i in range(n):
        best = i
        for k in range(i + 1, n):
            if abs(matrix[k, i]) > abs(matrix[best, i]):
                best = k
        if not abs(matrix[best, i]) > 1e-300:
            return False
        for j in range(n):
            matrix[i, j], matrix[best, j] = matrix[best, j], matrix[i, j]
        b[i], b[best] = b[best], b[i]
        for k in range(i + 1, n):
            factor = matrix[k, i] / matrix[i, i]
            for j in range(i, n):
                matrix[k, j] -= factor * matrix[i, j]
            b[k] -= factor * b[i]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            b[i] -= matrix[i, j] * b[j]
        b[i] /= matrix[i, i]
    return True


def miss(net, z, u, period, difference):
    """Compute how far the state moves from z in `period` steps under input u.

    Writes the difference F_u^period(z) - z into `difference` (D,), where F_u^period is the
    network's step, applied `period` times. Returns the largest absolute entry of the difference, or
    NaN if an entry is NaN. `net` comes from `unpack` in `step`.
    """
    now, out = z.copy(), np.empty(z.size)
    for _ in range(period):
        advance(net, now, u, out)
        now[:] = out
    difference[:] = now - z
    return np.abs(difference).max()


def newton(theta, hidden, z, u, period):
    """Search for a root by damped Newton steps from the state z, and return the residual.

    A root is a state with F_u^period(z) = z, where F_u^period is the step of the network under
    input u, applied `period` times. Overwrites z with the last state of the search. The residual is
    the largest absolute entry of F_u^period(z) - z.
    """
    net, n = unpack(theta, hidden), z.size
    jac, product, work = np.empty((n, n)), np.empty((n, n)), np.empty((n, n))
    difference, out, trial = np.empty(n), np.empty(n), np.empty(n)
    residual = miss(net, z, u, period, difference)
    for _ in range(MOST_NEWTON_STEPS):
        if not residual > TOLERANCE or not residual < 1e9:
            break
        now = z.copy()
        product[:] = np.eye(n)
        for _ in range(period):
            jacobian(net, now, u, out, jac)
            multiply(jac, product, work)
            product[:], now[:] = work, out
        product -= np.eye(n)
        move = difference.copy()
        if not solve(product, move):
            break
        size, better = 1.0, np.inf
        for _ in range(8):
            for j in range(n):
                trial[j] = z[j] - size * move[j]
            better = miss(net, trial, u, period, difference)
            if better < residual:
                break
            size *= 0.5
        if not better < residual:
            break
        z[:] = trial
        residual = better
    return residual


def multiply(left, right, out):
    """Write the product left @ right of two square matrices into `out`."""
    out[:] = 0.0
    n = left.shape[0]
    for i in range(n):
        for k in range(n):
            factor = left[i, k]
            for j in range(n):
                out[i, j] += factor * right[k, j]


def derivatives(theta, hidden, points, inputs, images, jacobians):
    """Compute one step of the network, and its Jacobian, from each of the states `points` (S,D).

    `inputs` (S,) has one input per point. Writes the next states into `images` (S,D) and the
    Jacobians into `jacobians` (S,D,D).
    """
    net = unpack(theta, hidden)
    for s in range(len(points)):
        jacobian(net, points[s], inputs[s], images[s], jacobians[s])


def visit(theta, hidden, starts, inputs, jolts, states, gates):
    """Run the network on B sequences, and write the state after each step into `states` (B,T,D).

    Sequence b begins in state b of `starts` (B,D), and has row b of `inputs` (B,T) as its inputs.
    If `jolts` (B,T,D) is not empty, it has one vector (D,) per state. Each vector is added to its
    state after this state was written. `advance` stores values for the backward step, which are
    mostly values of gates. The means of these values over all sequences and steps are written into
    `gates` (KEPT*H,).
    """
    net = unpack(theta, hidden)
    kept_values = net[9]
    gates[:] = 0.0
    before = np.empty(starts.shape[1])
    for b in range(inputs.shape[0]):
        before[:] = starts[b]
        for t in range(inputs.shape[1]):
            advance(net, before, inputs[b, t], states[b, t])
            for j in range(before.size):
                before[j] = states[b, t, j] + (jolts[b, t, j] if jolts.size > 0 else 0.0)
            for k in range(gates.size):
                gates[k] += kept_values[k]
    for k in range(gates.size):
        gates[k] /= inputs.size


def count_slips(theta, hidden, z, inputs, most):
    """Run the network from state z with inputs (T,), and count its slips up to `most`.

    A slip is a step at which the network's labels change from right to wrong or from wrong to
    right. Step 0 counts as right. The run stops after `most` slips. Returns five numbers: the steps
    that were run, the slips, the first wrong step (-1 if no step is wrong), the number of wrong
    steps, and the smallest absolute difference between the two logits. The last three numbers
    ignore step 0. Overwrites z.
    """
    net = unpack(theta, hidden)
    out = np.empty(z.size)
    slips, first, errors, was_wrong, smallest, t = 0, -1, 0, False, np.inf, 0
    while t < inputs.size and slips < most:
        advance(net, z, inputs[t], out)
        z, out = out, z
        if t > 0:
            m = margin(net, z)
            is_wrong = (1 if m > 0 else 0) != 1 - t % 2
            slips += is_wrong != was_wrong
            errors += is_wrong
            if is_wrong and first < 0:
                first = t
            was_wrong = is_wrong
            smallest = min(smallest, abs(m))
        t += 1
    return t, slips, first, errors, smallest


def lyapunov(theta, hidden, z, inputs, burn, exponents):
    """Compute the Lyapunov exponents of the orbit that starts at z under inputs (T,).

    Writes the exponents, in nats per step, into `exponents` (D,), and overwrites z. In long orbits
    the largest exponent comes first. In Benettin's method, which is used here, the Jacobian of each
    step multiplies D tangent vectors. The vectors are then made orthonormal again by the
    Gram-Schmidt process, which runs twice because of rounding. The exponents are the mean
    logarithms of the vectors' growth. The first `burn` steps only align the vectors, and are left
    out of this mean.
    """
    net = unpack(theta, hidden)
    n = z.size
    jac, q, work, out = np.empty((n, n)), np.eye(n), np.empty((n, n)), np.empty(n)
    exponents[:] = 0.0
    for t in range(inputs.size):
        jacobian(net, z, inputs[t], out, jac)
        z[:] = out
        multiply(q, jac.T, work)  # the rows of q are the tangent vectors
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

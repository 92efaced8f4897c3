// A network as a map from its state to its next one: fixed points, cycles, eigenvalues, basins.
import { jacobian, margin, step } from "./cells.mjs";
import { eigenvalues, identity, modulus, product, solved } from "./linear.mjs";

const SETTLING = 300; // steps under the mean input before Newton's method starts
const CYCLING = 500; // steps after which a network should be on its cycle
const FOUND = 1e-9; // largest residual of a fixed point
const FARTHEST = 1e5; // beyond it, rounding makes states seem fixed that are not

/** Return the state after `n` steps of the constant input u. */
export function settled(net, state, u, n) {
  for (let k = 0; k < n; k++) state = step(net, state, u).state;
  return state;
}

/** Return the state after step 0 from the zero state, when the input is the cue. */
export const afterCue = (net) => step(net, new Float64Array(net.D), 1).state;

/** Return the image of a state after `period` steps of the input u, and the Jacobian there. */
function repeated(net, state, u, period) {
  let matrix = identity(net.D);
  for (let k = 0; k < period; k++) {
    matrix = product(jacobian(net, state, u), matrix);
    state = step(net, state, u).state;
  }
  return { image: state, matrix };
}

/** Whether a search of Newton's method has found a fixed point or a cycle. */
const isFound = ({ point, residual }) =>
  residual < FOUND && point.every((x) => Math.abs(x) <= FARTHEST);

const distanceOf = (a, b) => a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i])), 0);

/** Search, by Newton's method, for a state that returns after `period` steps of the input u. */
export function newton(net, start, u, period) {
  let point = Float64Array.from(start),
    at = repeated(net, point, u, period);
  let residual = distanceOf(at.image, point);
  for (let k = 0, fraction = 1; k < 100 && residual > 1e-14 && fraction > 1 / 300; k++) {
    const matrix = identity(net.D).map((row, i) => row.map((x, j) => x - at.matrix[i][j]));
    const move = solved(
      matrix,
      Array.from(at.image, (x, i) => x - point[i]),
    );
    if (!move) break;
    const trial = point.map((x, i) => x + fraction * move[i]);
    const next = repeated(net, trial, u, period),
      missed = distanceOf(next.image, trial);
    if (missed < residual) [point, at, residual, fraction] = [trial, next, missed, 1];
    else fraction /= 2;
  }
  return { point, residual, matrix: at.matrix };
}

/**
 * Return the fixed point under the mean input and the eigenvalues there, or null if none is found.
 *
 * The search starts from `near`, the fixed point of a similar network, if it is given.
 */
export function spectrum(net, near = null) {
  let found = near && newton(net, near, net.mean, 1);
  if (!found || !isFound(found))
    found = newton(net, settled(net, afterCue(net), net.mean, SETTLING), net.mean, 1);
  if (!isFound(found)) return null;
  return { point: found.point, values: eigenvalues(found.matrix) };
}

/** Return the eigenvalues `after` in the order in which they best continue `before`. */
export function continued(before, after) {
  const left = [...after],
    found = Array(after.length);
  const pairs = before.flatMap((a, i) =>
    after.map((b) => ({ i, b, far: Math.hypot(a[0] - b[0], a[1] - b[1]) })),
  );
  for (const { i, b } of pairs.sort((p, q) => p.far - q.far))
    if (!found[i] && left.includes(b)) [found[i]] = left.splice(left.indexOf(b), 1);
  return found;
}

/** Return the labels 0 and 1 that a network gives in states. */
export const labelsIn = (net, states) => states.map((state) => +(margin(net, state) > 0));

/** Return the label of step t. */
export const labelAt = (pattern, t) => +pattern[t % pattern.length];

/**
 * Return the cycle on which a network ends under the mean input, from the cue on.
 *
 * `points` begin with the state of a step t that is a multiple of the pattern's length. `period` is
 * 0 if the state does not repeat. `isRight` says whether the network gives the right labels there.
 */
export function cycleOf(net) {
  const p = net.pattern.length,
    u = net.mean,
    rounds = Math.ceil(CYCLING / p);
  const start = settled(net, afterCue(net), u, rounds * p);
  let state = start,
    period = 0;
  for (let m = 1; m <= 2 * p && !period; m++) {
    state = step(net, state, u).state;
    if (distanceOf(state, start) < 1e-6) period = m;
  }
  const exact = period ? newton(net, start, u, period) : { point: start, residual: NaN };
  const points = [exact.point];
  while (points.length < (period || p)) points.push(step(net, points.at(-1), u).state);
  const given = Array.from({ length: p }, (_, t) => points[t % points.length]);
  const isRight =
    period > 0 &&
    p % period === 0 &&
    labelsIn(net, given).every((label, t) => label === labelAt(net.pattern, t));
  const multipliers = period ? eigenvalues(exact.matrix) : [];
  return { points, period, isRight, multipliers, residual: exact.residual };
}

/** Return the fixed point around which the network moves, nearest to the middle of its cycle. */
export function centreOf(net, cycle) {
  const mean = cycle.points[0].map(
    (_, i) => cycle.points.reduce((sum, point) => sum + point[i], 0) / cycle.points.length,
  );
  const toward = (point, part) => point.map((x, i) => mean[i] + part * (x - mean[i]));
  const between = cycle.points.flatMap((point) =>
    [0.25, 0.5, 0.75].map((part) => toward(point, part)),
  );
  const visited = [new Float64Array(net.D)];
  while (visited.length < 24)
    visited.push(step(net, visited.at(-1), visited.length > 1 ? net.mean : 1).state);
  const starts = [mean, ...between, ...visited, ...cycle.points];
  const found = starts.map((start) => newton(net, start, net.mean, 1)).filter(isFound);
  if (!found.length) return null;
  const far = (candidate) => distanceOf(candidate.point, mean);
  const best = found.reduce((a, b) => (far(b) < far(a) ? b : a));
  return { point: best.point, values: eigenvalues(best.matrix) };
}

/**
 * Return to which point of a cycle a state leads if only every `period`-th step counts.
 *
 * The result is the number of the point, or -1 if the state reaches none within `rounds` periods.
 */
export function leadsTo(net, cycle, state, rounds = 60) {
  const near = 0.02 * sizeOf(cycle);
  for (let k = 0; k < rounds; k++) {
    for (let i = 0; i < cycle.points.length; i++)
      if (distanceOf(cycle.points[i], state) < near) return i;
    state = settled(net, state, net.mean, cycle.period);
  }
  return -1;
}

/** Return the largest distance between two points of a cycle, or 1 for a point of rest. */
export function sizeOf(cycle) {
  const first = cycle.points[0];
  return Math.max(...cycle.points.map((point) => distanceOf(point, first))) || 1;
}

/** Return the largest modulus of a list of eigenvalues. */
export const radius = (values) => Math.max(...values.map(modulus));

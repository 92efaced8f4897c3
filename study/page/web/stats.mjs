// Estimates with 95 % intervals, as in `study/stats`.

const Z = 1.959963984540054; // the 97.5th percentile of the normal distribution

/** Return Wilson's interval [low, high] of a share; `n` may be fractional. */
export function wilson(successes, n) {
  if (!(n > 0)) return [0, 1];
  const share = successes / n,
    centre = (share + Z ** 2 / (2 * n)) / (1 + Z ** 2 / n);
  const half =
    (Z / (1 + Z ** 2 / n)) * Math.sqrt((share * (1 - share)) / n + Z ** 2 / (4 * n ** 2));
  return [
    successes === 0 ? 0 : Math.max(0, centre - half),
    successes === n ? 1 : Math.min(1, centre + half),
  ];
}

/**
 * Return the share of runs that have solved the task by each time (Kaplan and Meier).
 *
 * `times` are times of convergence or censoring. The band is Rothman's, as in the study.
 */
export function solvedCurve(times, isSolved) {
  const n = times.length,
    order = [...times.keys()].sort((a, b) => times[a] - times[b]);
  const curve = { times: [0], solved: [0], low: [0], high: [wilson(0, n)[1]], n };
  let survival = 1,
    greenwood = 0,
    atRisk = n,
    known = null;
  for (let first = 0; first < n;) {
    const time = times[order[first]];
    let last = first,
      solved = 0;
    for (; last < n && times[order[last]] === time; last++) solved += +isSolved[order[last]];
    survival *= 1 - solved / atRisk;
    greenwood += solved / (atRisk * (atRisk - solved));
    const size = survival === 1 ? atRisk : (1 - survival) / (survival * greenwood);
    if (Number.isFinite(size)) known = size;
    const [low, high] = wilson((1 - survival) * (known ?? n), known ?? n);
    curve.times.push(time);
    curve.solved.push(1 - survival);
    curve.low.push(low);
    curve.high.push(high);
    atRisk -= last - first;
    first = last;
  }
  return curve;
}

/** Return the time by which half of the runs solved the task, with its interval. */
export function medianTime(curve) {
  const first = (reached) => {
    const at = reached.findIndex((share) => share >= 0.5 - 1e-12);
    return at < 0 ? Infinity : curve.times[at];
  };
  return { value: first(curve.solved), low: first(curve.high), high: first(curve.low) };
}

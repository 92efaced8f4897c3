// Small dense matrices, as lists of rows. Complex numbers are pairs [real, imaginary].

export const identity = (n) =>
  Array.from({ length: n }, (_, i) => Float64Array.from({ length: n }, (_, j) => +(i === j)));

/** Return the product of two square matrices. */
export function product(a, b) {
  return a.map((row) =>
    Float64Array.from(row, (_, j) => row.reduce((sum, x, k) => sum + x * b[k][j], 0)),
  );
}

/** Return the solution x of a x = b by elimination with pivots, or null if `a` is singular. */
export function solved(a, b) {
  const n = b.length,
    m = a.map((row, i) => [...row, b[i]]);
  for (let k = 0; k < n; k++) {
    let best = k;
    for (let i = k + 1; i < n; i++) if (Math.abs(m[i][k]) > Math.abs(m[best][k])) best = i;
    if (!m[best][k]) return null;
    [m[k], m[best]] = [m[best], m[k]];
    for (let i = k + 1; i < n; i++) {
      const factor = m[i][k] / m[k][k];
      for (let j = k; j <= n; j++) m[i][j] -= factor * m[k][j];
    }
  }
  const x = new Float64Array(n);
  for (let i = n - 1; i >= 0; i--) {
    let sum = m[i][n];
    for (let j = i + 1; j < n; j++) sum -= m[i][j] * x[j];
    x[i] = sum / m[i][i];
  }
  return x;
}

const times = ([a, b], [c, d]) => [a * c - b * d, a * d + b * c];
const plus = ([a, b], [c, d]) => [a + c, b + d];
const less = ([a, b], [c, d]) => [a - c, b - d];
const scaled = ([a, b], s) => [a * s, b * s];
const conjugate = ([a, b]) => [a, -b];
const square = ([a, b]) => a * a + b * b;

/** The modulus of a complex number. */
export const modulus = ([a, b]) => Math.hypot(a, b);

/** The angle of a complex number, from -π to π. */
export const angle = ([a, b]) => Math.atan2(b, a);

function root(z) {
  const r = modulus(z),
    a = Math.sqrt((r + Math.abs(z[0])) / 2);
  if (!a) return [0, 0];
  const b = z[1] / (2 * a);
  return z[0] >= 0 ? [a, b] : [Math.abs(b), z[1] < 0 ? -a : a];
}

/** Return both eigenvalues of a complex 2 by 2 matrix; the first is the nearer to `d`. */
function pairOf(a, b, c, d) {
  const half = scaled(less(a, d), 0.5);
  const spread = root(plus(times(half, half), times(b, c)));
  const middle = scaled(plus(a, d), 0.5);
  const both = [plus(middle, spread), less(middle, spread)];
  return square(less(both[0], d)) <= square(less(both[1], d)) ? both : both.reverse();
}

/** Return a real matrix in Hessenberg form, which has the same eigenvalues, as complex numbers. */
function hessenberg(matrix) {
  const a = matrix.map((row) => [...row]),
    n = a.length;
  for (let k = 0; k < n - 2; k++) {
    const x = a.slice(k + 1).map((row) => row[k]);
    const norm = Math.hypot(...x);
    if (!norm) continue;
    x[0] += x[0] < 0 ? -norm : norm;
    const size = Math.hypot(...x),
      v = x.map((value) => value / size);
    for (let j = 0; j < n; j++) {
      const dot = v.reduce((sum, value, i) => sum + value * a[k + 1 + i][j], 0);
      v.forEach((value, i) => (a[k + 1 + i][j] -= 2 * dot * value));
    }
    for (const row of a) {
      const dot = v.reduce((sum, value, i) => sum + value * row[k + 1 + i], 0);
      v.forEach((value, i) => (row[k + 1 + i] -= 2 * dot * value));
    }
  }
  return a.map((row, i) => row.map((value, j) => [j < i - 1 ? 0 : value, 0]));
}

/** Do one shifted QR step on the rows and columns `low` to `high` of a Hessenberg matrix. */
function turn(h, low, high, shift) {
  const turns = [];
  for (let k = low; k <= high; k++) h[k][k] = less(h[k][k], shift);
  for (let k = low; k < high; k++) {
    const a = h[k][k],
      b = h[k + 1][k],
      norm = Math.hypot(modulus(a), modulus(b)) || 1;
    const c = scaled(a, 1 / norm),
      s = scaled(b, 1 / norm);
    turns.push([c, s]);
    for (let j = k; j <= high; j++) {
      const [x, y] = [h[k][j], h[k + 1][j]];
      h[k][j] = plus(times(conjugate(c), x), times(conjugate(s), y));
      h[k + 1][j] = less(times(c, y), times(s, x));
    }
  }
  turns.forEach(([c, s], at) => {
    const k = low + at;
    for (let i = low; i <= Math.min(k + 1, high); i++) {
      const [x, y] = [h[i][k], h[i][k + 1]];
      h[i][k] = plus(times(x, c), times(y, s));
      h[i][k + 1] = less(times(y, conjugate(c)), times(x, conjugate(s)));
    }
  });
  for (let k = low; k <= high; k++) h[k][k] = plus(h[k][k], shift);
}

/** Return the eigenvalues of a real matrix, largest modulus first, as complex numbers. */
export function eigenvalues(matrix) {
  const h = hessenberg(matrix),
    found = [];
  let high = h.length - 1,
    tries = 0;
  while (high >= 0) {
    let low = high;
    while (low > 0) {
      const near = modulus(h[low][low]) + modulus(h[low - 1][low - 1]);
      if (modulus(h[low][low - 1]) <= 2.3e-16 * near) break;
      low--;
    }
    if (low === high) {
      found.push(h[high--][high + 1]);
      tries = 0;
    } else if (low === high - 1) {
      found.push(...pairOf(h[low][low], h[low][high], h[high][low], h[high][high]));
      high -= 2;
      tries = 0;
    } else {
      if (++tries > 500) return found.concat(Array(high + 1).fill([NaN, NaN]));
      const last = high - 1;
      const odd = tries % 11 === 10; // a shift of another kind, should the usual one go in circles
      const shift = odd
        ? [modulus(h[high][last]), modulus(h[high][last])]
        : pairOf(h[last][last], h[last][high], h[high][last], h[high][high])[0];
      turn(h, low, high, shift);
    }
  }
  return found.sort((a, b) => modulus(b) - modulus(a) || b[1] - a[1]);
}

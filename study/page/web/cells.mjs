// One step of each cell, as in `study/model/cells.py`, and its Jacobian.
//
// A state is a list of D numbers: h, followed by c if the cell has one. The input is one number u.

const GATES = { lstm: ["i", "f", "g", "o"], gru: ["r", "z", "n"], rnn_tanh: ["h"] };

/** The names of the gates of each cell that the page can compute. */
export const gatesOf = (cell) => GATES[cell];

const sigmoid = (x) => 1 / (1 + Math.exp(-x));

/** Return a network: its sizes, its weights by name, and the readout's margin v·h + v0. */
export function networkOf({ cell, hidden, pattern, noise }, flat) {
  const rows = GATES[cell].length * hidden;
  let at = 0;
  const take = (n) => Float64Array.from(flat.subarray(at, (at += n)));
  const net = {
    cell, hidden, pattern, noise, D: cell === "lstm" ? 2 * hidden : hidden,
    ih: take(rows), hh: take(rows * hidden), bih: take(rows), bhh: take(rows),
  };
  const weight = take(2 * hidden), bias = take(2);
  net.v = Float64Array.from({ length: hidden }, (_, j) => weight[hidden + j] - weight[j]);
  net.v0 = bias[1] - bias[0];
  net.mean = noise / 2;
  return net;
}

/** Return the logit of label 1 minus the logit of label 0 in a state. */
export function margin(net, state) {
  let sum = net.v0;
  for (let j = 0; j < net.hidden; j++) sum += net.v[j] * state[j];
  return sum;
}

/** Return the two parts of a row's sum: that of the input, and that of the hidden state. */
function partsOf(net, row, state, u) {
  let recurrent = net.bhh[row];
  for (let k = 0; k < net.hidden; k++) recurrent += net.hh[row * net.hidden + k] * state[k];
  return [net.ih[row] * u + net.bih[row], recurrent];
}

/**
 * Return the next state and the gates, each a list of H numbers by the gate's name.
 *
 * `edit.frozen` holds gates at a number. `edit.c` replaces the cell state after it was computed
 * and before h is read from it.
 */
export function step(net, state, u, edit = {}) {
  const H = net.hidden, names = GATES[net.cell], frozen = edit.frozen ?? {};
  const next = new Float64Array(net.D), gates = {};
  for (const name of names) gates[name] = new Float64Array(H);
  for (let j = 0; j < H; j++) {
    const sums = names.map((_, g) => partsOf(net, g * H + j, state, u));
    const value = (name, x) => (gates[name][j] = frozen[name] ?? x);
    const sum = (g) => sums[g][0] + sums[g][1];
    if (net.cell === "lstm") {
      const i = value("i", sigmoid(sum(0))), f = value("f", sigmoid(sum(1)));
      const g = value("g", Math.tanh(sum(2))), o = value("o", sigmoid(sum(3)));
      const c = edit.c ? edit.c[j] : f * state[H + j] + i * g;
      next[H + j] = c;
      next[j] = o * Math.tanh(c);
    } else if (net.cell === "gru") {
      const r = value("r", sigmoid(sum(0))), z = value("z", sigmoid(sum(1)));
      const n = value("n", Math.tanh(sums[2][0] + r * sums[2][1]));
      next[j] = (1 - z) * n + z * state[j];
    } else next[j] = value("h", Math.tanh(sum(0)));
  }
  return { state: next, gates };
}

/** Return the Jacobian (D rows of D numbers) of one step at a state. */
export function jacobian(net, state, u) {
  const H = net.hidden, D = net.D;
  const { state: next, gates } = step(net, state, u);
  const rows = Array.from({ length: D }, () => new Float64Array(D));
  const w = (g, j, k) => net.hh[(g * H + j) * H + k];
  for (let j = 0; j < H; j++)
    for (let k = 0; k < H; k++) {
      if (net.cell === "lstm") {
        const i = gates.i[j], f = gates.f[j], g = gates.g[j], o = gates.o[j];
        const t = Math.tanh(next[H + j]), slope = o * (1 - t * t);
        const dc = state[H + j] * f * (1 - f) * w(1, j, k) + g * i * (1 - i) * w(0, j, k)
          + i * (1 - g * g) * w(2, j, k);
        rows[H + j][k] = dc;
        rows[j][k] = t * o * (1 - o) * w(3, j, k) + slope * dc;
        if (j === k) [rows[H + j][H + k], rows[j][H + k]] = [f, slope * f];
      } else if (net.cell === "gru") {
        const r = gates.r[j], z = gates.z[j], n = gates.n[j];
        const recurrent = partsOf(net, 2 * H + j, state, u)[1];
        const dn = (1 - n * n) * (r * (1 - r) * w(0, j, k) * recurrent + r * w(2, j, k));
        rows[j][k] = (1 - z) * dn + (state[j] - n) * z * (1 - z) * w(1, j, k) + (j === k ? z : 0);
      } else rows[j][k] = (1 - next[j] * next[j]) * w(0, j, k);
    }
  return rows;
}

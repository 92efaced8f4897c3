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
    cell,
    hidden,
    pattern,
    noise,
    D: cell === "lstm" ? 2 * hidden : hidden,
    ih: take(rows),
    hh: take(rows * hidden),
    bih: take(rows),
    bhh: take(rows),
  };
  net.fromInput = new Float64Array(rows); // room in which a step computes
  net.fromState = new Float64Array(rows);
  const weight = take(2 * hidden),
    bias = take(2);
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

/** Compute both parts of every row's sum: that of the input, and that of the hidden state. */
function sum(net, state, u) {
  const { hidden, ih, hh, bih, bhh, fromInput, fromState } = net;
  for (let row = 0; row < ih.length; row++) {
    let recurrent = bhh[row];
    for (let k = 0; k < hidden; k++) recurrent += hh[row * hidden + k] * state[k];
    fromInput[row] = ih[row] * u + bih[row];
    fromState[row] = recurrent;
  }
}

/**
 * Return the next state, and the H numbers of each gate, one gate after the other.
 *
 * `edit.frozen` holds gates, given by name, at a number. `edit.c` replaces the cell state after it
 * was computed and before h is read from it.
 */
export function step(net, state, u, edit = {}) {
  const H = net.hidden,
    { fromInput, fromState } = net,
    { frozen, c: given } = edit;
  const next = new Float64Array(net.D),
    gates = new Float64Array(fromInput.length);
  const total = (g, j) => fromInput[g * H + j] + fromState[g * H + j];
  const gate = (g, j, x) => (gates[g * H + j] = frozen?.[GATES[net.cell][g]] ?? x);
  sum(net, state, u);
  for (let j = 0; j < H; j++) {
    if (net.cell === "lstm") {
      const i = gate(0, j, sigmoid(total(0, j))),
        f = gate(1, j, sigmoid(total(1, j)));
      const g = gate(2, j, Math.tanh(total(2, j))),
        o = gate(3, j, sigmoid(total(3, j)));
      const c = given ? given[j] : f * state[H + j] + i * g;
      next[H + j] = c;
      next[j] = o * Math.tanh(c);
    } else if (net.cell === "gru") {
      const r = gate(0, j, sigmoid(total(0, j))),
        z = gate(1, j, sigmoid(total(1, j)));
      const n = gate(2, j, Math.tanh(fromInput[2 * H + j] + r * fromState[2 * H + j]));
      next[j] = (1 - z) * n + z * state[j];
    } else next[j] = gate(0, j, Math.tanh(total(0, j)));
  }
  return { state: next, gates };
}

/** Return the H numbers of a gate, given by name. */
export function gateOf(net, gates, name) {
  const g = GATES[net.cell].indexOf(name);
  return gates.subarray(g * net.hidden, (g + 1) * net.hidden);
}

/** Return the Jacobian (D rows of D numbers) of one step at a state. */
export function jacobian(net, state, u) {
  const H = net.hidden,
    D = net.D;
  const { state: next, gates } = step(net, state, u);
  const rows = Array.from({ length: D }, () => new Float64Array(D));
  const w = (g, j, k) => net.hh[(g * H + j) * H + k];
  for (let j = 0; j < H; j++)
    for (let k = 0; k < H; k++) {
      if (net.cell === "lstm") {
        const [i, f, g, o] = [0, 1, 2, 3].map((row) => gates[row * H + j]);
        const t = Math.tanh(next[H + j]),
          slope = o * (1 - t * t);
        const dc =
          state[H + j] * f * (1 - f) * w(1, j, k) +
          g * i * (1 - i) * w(0, j, k) +
          i * (1 - g * g) * w(2, j, k);
        rows[H + j][k] = dc;
        rows[j][k] = t * o * (1 - o) * w(3, j, k) + slope * dc;
        if (j === k) [rows[H + j][H + k], rows[j][H + k]] = [f, slope * f];
      } else if (net.cell === "gru") {
        const [r, z, n] = [0, 1, 2].map((row) => gates[row * H + j]);
        const recurrent = net.fromState[2 * H + j];
        const dn = (1 - n * n) * (r * (1 - r) * w(0, j, k) * recurrent + r * w(2, j, k));
        rows[j][k] = (1 - z) * dn + (state[j] - n) * z * (1 - z) * w(1, j, k) + (j === k ? z : 0);
      } else rows[j][k] = (1 - next[j] * next[j]) * w(0, j, k);
    }
  return rows;
}

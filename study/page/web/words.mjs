// Numbers and names as text.

const CELLS = { lstm: "LSTM", gru: "GRU", rnn_tanh: "tanh network" };

/** Return the display name of a cell. */
export const cellName = (cell) => CELLS[cell] ?? cell;

/** Return a number with `digits` significant digits and a true minus. */
export function number(x, digits = 3) {
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "–";
  if (x === 0) return "0";
  const small = Math.abs(x) < 1e-3;
  const text = small ? x.toExponential(1) : `${+x.toPrecision(digits)}`;
  const [factor, power] = text.split("e");
  const raised =
    power && [...`${+power}`].map((d) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(d)]).join("");
  return (power ? `${factor} × 10${raised}` : text).replace("-", "−");
}

/** Return a share with its interval, such as `0.915 [0.868, 0.946]`. */
export const shareText = (value, [low, high]) =>
  `${value.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}]`;

/** Return a complex number as text. */
export function complexText([a, b]) {
  const real = number(a);
  return Math.abs(b) < 1e-9 ? real : `${real} ${b < 0 ? "−" : "+"} ${number(Math.abs(b))}i`;
}

/** Return a noun with its number, such as `3 steps`. */
export const counted = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

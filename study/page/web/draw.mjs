// Draw on canvases that fit their box, in the colours of the style sheet.

/** Return an element by its id. */
export const byId = (id) => document.getElementById(id);

/** Whether the reader asks for no motion. */
export const isStill = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Return a colour of the style sheet, such as `one` for `--one`. */
export const colour = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Return all colours that pictures use, by name. */
export function palette() {
  const names = [
    "ink",
    "soft",
    "faint",
    "paper",
    "panel",
    "one",
    "zero",
    "one-tint",
    "zero-tint",
    "accent",
    "a",
    "b",
    "c",
    "d",
    "e",
    "f",
    "g",
    "h",
  ];
  return Object.fromEntries(names.map((name) => [name.replace("-", "_"), colour(name)]));
}

/** Return an element with attributes, and texts or elements in it. */
export function make(tag, attributes = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...inside.filter((part) => part != null));
  return element;
}

/** Fill a `select` with options: pairs of a value and a text. */
export function fill(select, options, chosen) {
  select.replaceChildren(
    ...options.map(([value, text, disabled]) =>
      make("option", { value, disabled: !!disabled, selected: value === chosen }, text),
    ),
  );
}

/** A canvas whose drawing is in CSS pixels, drawn again when its box or the colours change. */
export class Surface {
  constructor(canvas, paint) {
    this.canvas = canvas;
    this.paint = paint;
    this.context = canvas.getContext("2d");
    new ResizeObserver(() => this.fit()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  fit() {
    const box = this.canvas.getBoundingClientRect(),
      ratio = devicePixelRatio || 1;
    if (!box.width) return;
    [this.width, this.height] = [box.width, box.height];
    this.canvas.width = Math.round(box.width * ratio);
    this.canvas.height = Math.round(box.height * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.draw();
  }

  draw() {
    if (!this.width) return;
    this.context.clearRect(0, 0, this.width, this.height);
    this.paint(this.context, this.width, this.height, palette());
  }

  /** Return the place of a pointer event on the canvas, in CSS pixels. */
  placeOf(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }
}

/** Return a scale from numbers to pixels; `log` makes it logarithmic. */
export function scale(low, high, from, to, log = false) {
  const f = log ? Math.log10 : (x) => x,
    [a, b] = [f(low), f(high)];
  const at = (x) => from + ((to - from) * (f(x) - a)) / (b - a || 1);
  at.back = (pixel) => {
    const value = a + ((b - a) * (pixel - from)) / (to - from);
    return log ? 10 ** value : value;
  };
  at.ends = [low, high];
  at.log = log;
  return at;
}

/** Return some round numbers within a scale. */
export function ticks(at, most = 6) {
  const [low, high] = at.ends;
  if (at.log) {
    const found = [];
    for (let e = Math.floor(Math.log10(low)); 10 ** e <= high * 1.001; e++)
      for (const m of high / low > 300 ? [1] : [1, 3]) found.push(m * 10 ** e);
    return found.filter((x) => x >= low * 0.999 && x <= high * 1.001);
  }
  const rough = (high - low) / most,
    unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * unit).find((s) => s >= rough);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++)
    found.push(Math.round(k * step * 1e9) / 1e9);
  return found;
}

/** Return a number as short text for an axis. */
export const tickText = (x) =>
  Math.abs(x) >= 1000 ? x.toLocaleString("en") : `${+x.toPrecision(3)}`.replace("-", "−");

/** Draw axes with ticks and names for the scales `x` and `y`. */
export function axes(g, paint, x, y, [left, top, right, bottom], names, options = {}) {
  g.font = "12px system-ui, sans-serif";
  g.fillStyle = paint.soft;
  g.strokeStyle = paint.faint;
  g.lineWidth = 1;
  g.textAlign = "center";
  g.textBaseline = "top";
  for (const value of options.xTicks ?? ticks(x, Math.max(3, (right - left) / 90))) {
    line(g, [
      [x(value), top],
      [x(value), bottom],
    ]);
    g.fillText((options.xText ?? tickText)(value), x(value), bottom + 6);
  }
  g.textAlign = "right";
  g.textBaseline = "middle";
  for (const value of options.yTicks ?? ticks(y, Math.max(3, (bottom - top) / 60))) {
    line(g, [
      [left, y(value)],
      [right, y(value)],
    ]);
    g.fillText((options.yText ?? tickText)(value), left - 7, y(value));
  }
  g.fillStyle = paint.ink;
  g.textAlign = "right";
  g.textBaseline = "bottom";
  g.fillText(names[0], right, bottom + 38);
  g.textAlign = "left";
  g.fillText(names[1], 2, top - 8);
}

/** Draw a line through points [x, y] in pixels. */
export function line(g, points, close = false) {
  g.beginPath();
  points.forEach(([x, y], i) => (i ? g.lineTo(x, y) : g.moveTo(x, y)));
  if (close) g.closePath();
  g.stroke();
}

/** Draw a mark: `circle`, `square` or `cross`. */
export function mark(g, kind, x, y, size, fillStyle, strokeStyle, width = 1.5) {
  g.beginPath();
  if (kind === "circle") g.arc(x, y, size, 0, 2 * Math.PI);
  else if (kind === "square") g.rect(x - size * 0.9, y - size * 0.9, size * 1.8, size * 1.8);
  else {
    for (const s of [-1, 1]) {
      g.moveTo(x - size, y - s * size);
      g.lineTo(x + size, y + s * size);
    }
  }
  g.lineWidth = width;
  if (fillStyle && kind !== "cross") {
    g.fillStyle = fillStyle;
    g.fill();
  }
  g.strokeStyle = strokeStyle;
  g.stroke();
}

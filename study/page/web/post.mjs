// The post's training loop, answered by hand: switches, losses of many seeds, and what share learns.
import { axes, byId, fill, line, mark, scale, Surface } from "./draw.mjs";
import { medianTime, solvedCurve, wilson } from "./stats.mjs";
import { counted, number, shareText } from "./words.mjs";

const SWITCHES = ["step_after", "zeroed", "optimizer", "lr", "epochs"];
const NAMES = { sgd: "SGD", momentum: "momentum 0.9", adam: "Adam", rmsprop: "RMSprop" };
const MISSING_LOSS = 65535,
  FINEST = 1e4,
  PLATEAU = Math.LN2;
const WRITTEN = { step_after: "epoch", zeroed: false, optimizer: "sgd", lr: 0.1, epochs: 500 };

const differing = (a, b) => SWITCHES.filter((name) => a[name] !== b[name]);

/** Return the median epoch at which the loss leaves the plateau, with its interval. */
export function leavingTime({ left, n, epochs }) {
  const times = [...left, ...Array(n - left.length).fill(epochs)];
  return medianTime(
    solvedCurve(
      times,
      times.map((_, i) => i < left.length),
    ),
  );
}

/** Return the settings in the order in which they are preferred, one entry per setting. */
export function distinct(entries) {
  const found = new Map();
  for (const entry of [...entries].sort((a, b) => b.n - a.n)) {
    const key = SWITCHES.map((name) => entry[name]).join();
    if (!found.has(key)) found.set(key, entry);
  }
  return [...found.values()];
}

/** The part of the page with the post's loop. */
export class Post {
  constructor(entries, plateau, changed) {
    this.entries = distinct(entries);
    this.plateau = plateau; // runs of the post's own loop with budgets long enough to leave ln 2
    this.changed = changed;
    this.losses = new Surface(byId("post-losses"), (...all) => this.paintLosses(...all));
    this.rates = new Surface(byId("post-rates"), (...all) => this.paintRates(...all));
    for (const name of SWITCHES)
      byId(`post-${name}`).addEventListener("change", () =>
        this.turn(name, byId(`post-${name}`).value),
      );
    byId("post-reset").addEventListener("click", () => this.show(WRITTEN));
  }

  /** Show the trained setting that is nearest to what is wished. */
  show(wish) {
    const near = (entry) => differing(entry, wish).length;
    this.now = this.entries.reduce((a, b) => (near(b) < near(a) ? b : a));
    const texts = {
      step_after: (value) => value,
      zeroed: (value) => (value ? "zeroed before each step" : "never zeroed"),
      optimizer: (value) => NAMES[value] ?? value,
      lr: (value) => number(value),
      epochs: (value) => value.toLocaleString("en"),
    };
    for (const name of SWITCHES) {
      const values = [...new Set(this.entries.map((entry) => entry[name]))];
      values.sort((a, b) => (typeof a === "number" ? a - b : `${a}`.localeCompare(`${b}`)));
      fill(
        byId(`post-${name}`),
        values.map((value) => [`${value}`, texts[name](value)]),
        `${this.now[name]}`,
      );
    }
    this.losses.draw();
    this.rates.draw();
    byId("post-answer").textContent = this.answer();
    this.changed();
  }

  /** Turn one switch. What was not trained is replaced by the nearest setting that was. */
  turn(name, text) {
    const wish = {
      ...this.now,
      [name]: this.entries.map((e) => e[name]).find((v) => `${v}` === text),
    };
    const some = this.entries.filter((entry) => entry[name] === wish[name]);
    const near = (entry) => differing(entry, wish).length;
    const best = some.reduce((a, b) => (near(b) < near(a) ? b : a));
    const others = differing(best, wish);
    this.show(best);
    byId("post-note").textContent = others.length
      ? `That combination was not trained. This is the nearest one that was; it differs in ${others
          .map(
            (other) =>
              ({ lr: "the rate", step_after: "when the optimizer steps", zeroed: "the zeroing" })[
                other
              ] ?? `the ${other}`,
          )
          .join(" and ")}.`
      : "";
  }

  /** Return what share of the networks learned, how long that took, and what it says. */
  answer() {
    const { now } = this,
      interval = wilson(now.solved, now.n),
      time = leavingTime(now);
    const parts = [
      `${now.solved} of ${now.n} networks solved the task within ${now.epochs.toLocaleString("en")} ` +
        `epochs: ${shareText(now.solved / now.n, interval)}.`,
    ];
    parts.push(
      Number.isFinite(time.value)
        ? `Half of them left the plateau by epoch ${number(time.value)} [${number(time.low)}, ${number(time.high)}].`
        : `Fewer than half left the plateau: the loss of ${counted(now.left.length, "network")} fell below 90 % of ln 2.`,
    );
    const other = this.entries.find(
      (entry) => entry.zeroed !== now.zeroed && differing(entry, now).length === 1,
    );
    if (other) {
      const theirs = wilson(other.solved, other.n);
      parts.push(
        `With gradients ${other.zeroed ? "zeroed before each step" : "never zeroed"} and all else equal it ` +
          `is ${other.solved} of ${other.n}, ${shareText(other.solved / other.n, theirs)}.`,
      );
    }
    return parts.join(" ");
  }

  paintLosses(g, width, height, paint) {
    if (!this.now) return;
    const { now } = this,
      n = now.epochs_shown.length,
      box = [44, 34, width - 14, height - 44];
    const x = scale(0, now.epochs, box[0], box[2]),
      y = scale(0, 2 * PLATEAU, box[3], box[1]);
    axes(g, paint, x, y, box, ["epoch", "loss on fresh noise, nats per label"]);
    g.strokeStyle = paint.soft;
    g.setLineDash([2, 3]);
    line(g, [
      [box[0], y(PLATEAU)],
      [box[2], y(PLATEAU)],
    ]);
    g.fillStyle = paint.soft;
    g.textAlign = "right";
    g.fillText("ln 2", box[2] - 4, y(PLATEAU) - 12);
    g.save();
    g.beginPath();
    g.rect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
    g.clip();
    now.solved_by.forEach((isSolved, run) => {
      const points = [];
      for (let k = 0; k < n; k++) {
        const loss = now.losses[run * n + k];
        if (loss !== MISSING_LOSS) points.push([x(now.epochs_shown[k]), y(loss / FINEST)]);
      }
      g.strokeStyle = isSolved ? paint.one : paint.zero;
      g.setLineDash(isSolved ? [] : [4, 3]);
      g.lineWidth = 1;
      g.globalAlpha = 0.75;
      line(g, points);
    });
    g.restore();
    g.setLineDash([]);
    g.globalAlpha = 1;
  }

  /** Draw the median time on the plateau against the rate, on two log axes. */
  paintRates(g, width, height, paint) {
    if (!this.now) return;
    const { now } = this,
      box = [60, 34, width - 18, height - 44];
    const isPosts = now.optimizer === "sgd" && now.step_after === "epoch" && this.plateau.length;
    const same = isPosts
      ? this.plateau
      : this.entries.filter((entry) =>
          differing(entry, now).every((name) => name === "lr" || name === "zeroed"),
        );
    const rates = same.map(({ lr }) => lr),
      budget = now.epochs;
    const times = same
      .map(leavingTime)
      .flatMap(({ value, low, high }) => [value, low, high])
      .filter((t) => t > 0 && Number.isFinite(t));
    const least = Math.max(1, Math.min(budget / 10, ...times) / 1.5);
    const most = isPosts ? Math.max(budget, ...times) * 1.5 : budget;
    const x = scale(Math.min(...rates) / 2, Math.max(...rates) * 2, box[0], box[2], true);
    const y = scale(least, most * 1.6, box[3], box[1], true);
    axes(g, paint, x, y, box, ["learning rate", "median epoch at which the loss leaves ln 2"]);
    g.strokeStyle = paint.soft;
    g.setLineDash([2, 3]);
    line(g, [
      [box[0], y(budget)],
      [box[2], y(budget)],
    ]);
    g.setLineDash([]);
    g.fillStyle = paint.soft;
    g.textAlign = "left";
    g.fillText(isPosts ? "the budget" : "budget; ▲ beyond it", box[0] + 5, y(budget) - 4);
    const within = (value) => Math.min(most, Math.max(least, value));
    for (const entry of same) {
      const { value, low, high } = leavingTime(entry),
        isNow = entry.lr === now.lr && entry.zeroed === now.zeroed;
      const at = x(entry.lr) + (entry.zeroed ? 4 : -4),
        tint = entry.zeroed ? paint.zero : paint.one;
      g.strokeStyle = tint;
      g.lineWidth = 1.5;
      line(g, [
        [at, y(within(low))],
        [at, y(within(high))],
      ]);
      const shape = entry.zeroed ? "square" : "circle",
        size = isNow ? 8 : 5;
      if (Number.isFinite(value))
        mark(g, shape, at, y(within(value)), size, tint, isNow ? paint.ink : tint, isNow ? 2.5 : 1);
      else {
        g.fillStyle = tint;
        g.textAlign = "center";
        g.fillText("▲", at, y(budget) + (isNow ? 20 : 14));
        if (isNow) mark(g, "circle", at, y(budget) + 13, 11, null, paint.ink, 2);
      }
    }
    if (rates.length < 3) return;
    // Theory: time falls as one over the rate if gradients are zeroed, else as its square root.
    for (const zeroed of [true, false]) {
      const known = same.filter(
        (entry) => entry.zeroed === zeroed && Number.isFinite(leavingTime(entry).value),
      );
      const from = known[known.length >> 1];
      if (!from) continue;
      g.strokeStyle = zeroed ? paint.zero : paint.one;
      g.setLineDash([6, 4]);
      g.save();
      g.beginPath();
      g.rect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
      g.clip();
      const power = zeroed ? 1 : 0.5,
        t = leavingTime(from).value;
      line(
        g,
        x.ends.map((rate) => [x(rate), y(t * (from.lr / rate) ** power)]),
      );
      g.restore();
    }
    g.setLineDash([]);
  }
}

// Watch a network learn: its eigenvalues over the complex plane, its loss, and its state plane.
import { networkOf } from "./cells.mjs";
import { continued, labelAt, radius, spectrum } from "./dynamics.mjs";
import { axes, byId, fill, line, make, mark, scale, Surface } from "./draw.mjs";
import { Foreseen } from "./foreseen.mjs";
import { kindOf, kindText } from "./networks.mjs";
import { frameOf, planeOf } from "./flat.mjs";
import { PlaneView } from "./plane.mjs";
import { Player } from "./player.mjs";
import { angle, modulus } from "./linear.mjs";
import { complexText, counted, number } from "./words.mjs";

const POWER = 1e-9;

/** Return the angles in [0, 2π) at which a pattern's harmonics have power. */
export function anglesOf(pattern) {
  const p = pattern.length,
    labels = Array.from({ length: p }, (_, t) => labelAt(pattern, t));
  const mean = labels.reduce((sum, y) => sum + y, 0) / p;
  return Array.from({ length: p }, (_, k) => (2 * Math.PI * k) / p).filter((w) => {
    const real = labels.reduce((sum, y, t) => sum + (y - mean) * Math.cos(w * t), 0);
    const imaginary = labels.reduce((sum, y, t) => sum + (y - mean) * Math.sin(w * t), 0);
    return Math.hypot(real, imaginary) / p > POWER;
  });
}

/** Return the eigenvalues at the fixed point after each stored update, each in its own place. */
export function trails(entry) {
  const { weights, updates } = entry.learning,
    size = weights.length / updates.length;
  let near = null,
    last = null;
  return Array.from(updates, (_, k) => {
    const found = spectrum(networkOf(entry, weights.subarray(k * size, (k + 1) * size)), near);
    if (!found) return null;
    near = found.point;
    last = last ? continued(last, found.values) : found.values;
    return last;
  });
}

/** Whether a pair of eigenvalues crossed at an angle other than 180°, as was predicted. */
const turns = ({ pattern, learning }) =>
  pattern.length > 2 && learning.crossing !== null && learning.predicted !== null;

/** The part of the page on which a network learns. */
export class Learning {
  constructor(networks, changed) {
    this.networks = networks.filter(({ learning }) => learning);
    this.changed = changed;
    this.circle = new Surface(byId("circle"), (...all) => this.paintCircle(...all));
    this.loss = new Surface(byId("loss"), (...all) => this.paintLoss(...all));
    this.plane = new PlaneView(byId("learning-plane"));
    this.foreseen = new Foreseen(this.networks, (entry) => this.show(entry));
    byId("update").addEventListener("input", () => this.turn(+byId("update").value));
    byId("learning-play").addEventListener("click", () => (this.timer ? this.stop() : this.play()));
    for (const id of ["learning-kind", "learning-pattern", "learning-seed"])
      byId(id).addEventListener("change", () => this.pick({ [id.slice(9)]: byId(id).value }));
  }

  pick({ id = null, at = null, ...wish } = {}) {
    const all = this.networks,
      entry = this.entry ?? all.find(turns) ?? all[0];
    const now = { kind: kindOf(entry), pattern: entry.pattern, seed: `${entry.seed}`, ...wish };
    const ofKind = all.filter((one) => kindOf(one) === now.kind);
    const ofPattern = ofKind.filter(({ pattern }) => pattern === now.pattern);
    const some = ofPattern.length ? ofPattern : ofKind;
    const same = some.find(({ seed }) => `${seed}` === now.seed);
    this.show(all.find((one) => one.id === id) ?? same ?? some[0], at);
  }

  show(entry, at = null) {
    this.stop();
    this.entry = entry;
    const all = this.networks,
      ofKind = all.filter((one) => kindOf(one) === kindOf(entry));
    const some = ofKind.filter(({ pattern }) => pattern === entry.pattern);
    fill(
      byId("learning-kind"),
      [...new Map(all.map((one) => [kindOf(one), kindText(one)]))],
      kindOf(entry),
    );
    fill(
      byId("learning-pattern"),
      [...new Set(ofKind.map((one) => one.pattern))].map((p) => [p, p]),
      entry.pattern,
    );
    fill(
      byId("learning-seed"),
      some.map((one) => [`${one.seed}`, `${one.seed}`]),
      `${entry.seed}`,
    );
    this.trails = trails(entry);
    this.angles = anglesOf(entry.pattern);
    const { updates, weights, crossing, locking } = entry.learning;
    const last = new Player(entry, weights.subarray(-weights.length / updates.length));
    const plane = planeOf(last); // a frame that stays, if the plane does
    this.frame = plane.isWhole ? frameOf(last, plane) : null;
    byId("update").max = updates.length - 1;
    byId("moments").replaceChildren(
      ...this.moments().map(([name, update]) =>
        make(
          "button",
          { type: "button", class: "moment", onclick: () => this.to(update) },
          `${name}: update ${update.toLocaleString("en")}`,
        ),
      ),
    );
    const born = updates.findIndex((update) => update >= (locking ?? crossing ?? Infinity));
    this.turn(Math.min(at ?? (born < 0 ? Infinity : born + 1), updates.length - 1));
  }

  /** Return the named moments that have come: pairs of a name and an update. */
  moments() {
    const { crossing, leaving, locking } = this.entry.learning;
    return [
      ["an eigenvalue crosses", crossing],
      ["the loss leaves", leaving],
      ["the cycle is there", locking],
    ].filter(([, update]) => update !== null);
  }

  to(update) {
    this.stop();
    const at = this.entry.learning.updates.findIndex((shown) => shown >= update);
    if (at >= 0) this.turn(at);
  }

  turn(at) {
    this.at = at;
    byId("update").value = at;
    const { weights, updates } = this.entry.learning,
      size = weights.length / updates.length;
    this.player = new Player(this.entry, weights.subarray(at * size, (at + 1) * size));
    this.plane.show(this.player, this.frame);
    this.circle.draw();
    this.loss.draw();
    this.foreseen.show(this.entry);
    byId("update-value").textContent = `update ${updates[at].toLocaleString("en")}`;
    byId("update").setAttribute("aria-valuetext", `update ${updates[at]}`);
    byId("learned").textContent = this.sentence();
    this.changed();
  }

  /** Return what is to be seen at this update, and how it compares with what was predicted. */
  sentence() {
    const { learning, pattern } = this.entry,
      { cycle } = this.player,
      values = this.trails[this.at];
    const parts = [],
      update = learning.updates[this.at];
    if (values) {
      const outer = values.reduce((a, b) => (modulus(b) > modulus(a) ? b : a));
      const turned = (Math.abs(angle(outer)) / Math.PI) * 180;
      parts.push(
        `After ${counted(update, "update")}, the outermost eigenvalue is ${complexText(outer)}: modulus ` +
          `${number(modulus(outer))}, angle ${number(turned)}°. It lies ${radius(values) < 1 ? "inside" : "outside"} ` +
          "the circle.",
      );
    } else parts.push(`After ${counted(update, "update")}, no fixed point was found.`);
    const rests = cycle.period === 1 ? "comes to rest" : "does not repeat within 500 steps";
    parts.push(
      cycle.period < 2
        ? `Under the mean input, the state ${rests}.`
        : cycle.isRight
          ? `A cycle of period ${cycle.period} carries the pattern ${pattern}.`
          : `There is a cycle of period ${cycle.period}, but its answers are not yet right.`,
    );
    const { crossing, predicted } = learning;
    if (crossing !== null && predicted !== null)
      parts.push(
        `The crossing came at update ${crossing}; the initial weights alone predict ${predicted}.`,
      );
    else if (crossing !== null)
      parts.push(
        `The crossing came at update ${crossing}. ` +
          (this.entry.hidden > 2
            ? "For sequences that stay the same, none is predicted."
            : "The initial weights predict none within the budget."),
      );
    else
      parts.push(
        "No eigenvalue at this fixed point was seen to cross: here the cycle came about in another way.",
      );
    return parts.join(" ");
  }

  play() {
    if (this.at >= this.entry.learning.updates.length - 1) this.turn(0);
    byId("learning-play").textContent = "Pause";
    byId("learned").setAttribute("aria-live", "off");
    this.timer = setInterval(() => {
      if (this.at >= this.entry.learning.updates.length - 1) this.stop();
      else this.turn(this.at + 1);
    }, 140);
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    byId("learning-play").textContent = "Play";
    byId("learned").setAttribute("aria-live", "polite");
  }

  paintCircle(g, width, height, paint) {
    if (!this.entry) return;
    const middle = [width / 2, height / 2],
      unit = (Math.min(width, height) * 0.5) / 1.46;
    const spot = ([a, b]) => [middle[0] + a * unit, middle[1] - b * unit];
    g.strokeStyle = paint.faint;
    g.lineWidth = 1;
    line(g, [spot([-1.42, 0]), spot([1.42, 0])]);
    line(g, [spot([0, -1.42]), spot([0, 1.42])]);
    g.strokeStyle = paint.soft;
    g.lineWidth = 1.5;
    g.beginPath();
    g.arc(...middle, unit, 0, 2 * Math.PI);
    g.stroke();
    g.font = "12px system-ui, sans-serif";
    g.textAlign = "center";
    g.textBaseline = "middle";
    for (const w of this.angles) {
      const place = [Math.cos(w), Math.sin(w)];
      line(g, [spot(place.map((z) => 0.94 * z)), spot(place.map((z) => 1.06 * z))]);
      mark(g, "circle", ...spot(place), 9, null, paint.accent, 2);
      g.fillStyle = paint.soft;
      g.fillText(
        `${number(((w > Math.PI + 1e-9 ? w - 2 * Math.PI : w) / Math.PI) * 180)}°`,
        ...spot(place.map((z) => 1.33 * z)),
      );
    }
    const colours = [paint.one, paint.zero, paint.c, paint.d, paint.e, paint.f];
    const past = this.trails.slice(0, this.at + 1);
    past.forEach((values, k) =>
      values?.forEach((value, i) => {
        const isNow = k === this.at;
        g.globalAlpha = isNow ? 1 : 0.1 + (0.45 * k) / past.length;
        const fill = colours[i % colours.length];
        mark(
          g,
          "circle",
          ...spot(value),
          isNow ? 6 : 2.4,
          fill,
          isNow ? paint.ink : fill,
          isNow ? 1.5 : 0,
        );
      }),
    );
    g.globalAlpha = 1;
  }

  paintLoss(g, width, height, paint) {
    if (!this.entry) return;
    const { learning } = this.entry,
      { loss_updates: at, losses } = learning;
    const box = [44, 34, width - 16, height - 44];
    const x = scale(0, at.at(-1), box[0], box[2]);
    const y = scale(0, Math.max(learning.plateau * 1.3, ...losses), box[3], box[1]);
    axes(g, paint, x, y, box, ["update", "loss, nats per label"]);
    const across = (value, dash, stroke, text, isLeft, drop) => {
      g.strokeStyle = stroke;
      g.setLineDash(dash);
      g.lineWidth = 1.5;
      line(g, [
        [x(value), box[1]],
        [x(value), box[3]],
      ]);
      g.setLineDash([]);
      g.fillStyle = stroke;
      g.textAlign = isLeft ? "right" : "left";
      g.fillText(text, x(value) + (isLeft ? -5 : 5), box[1] + drop);
    };
    g.strokeStyle = paint.soft;
    g.setLineDash([2, 3]);
    line(g, [
      [box[0], y(learning.plateau)],
      [box[2], y(learning.plateau)],
    ]);
    g.setLineDash([]);
    g.strokeStyle = paint.ink;
    g.lineWidth = 1.6;
    line(
      g,
      Array.from(losses, (loss, k) => [x(at[k]), y(loss)]),
    );
    const { crossing, predicted } = learning,
      last = at.at(-1);
    if (crossing !== null) across(crossing, [], paint.one, "crossing", crossing > last * 0.6, 16);
    if (predicted !== null && predicted <= last)
      across(predicted, [6, 4], paint.zero, "predicted", predicted > last * 0.6, 32);
    const now = learning.updates[this.at];
    g.strokeStyle = paint.accent;
    g.lineWidth = 2;
    line(g, [
      [x(now), box[1]],
      [x(now), box[3]],
    ]);
  }
}

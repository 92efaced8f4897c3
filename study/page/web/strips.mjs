// The strip of time: inputs as bars, answers above labels; inputs to come can be drawn by hand.
import { line, mark, scale, Surface } from "./draw.mjs";

const GAP = 84; // pixels left of the strip, for the names of its rows
const STEP = 25; // pixels per step, or a little more

/** The picture of a player's last steps and next inputs. */
export class StripView {
  constructor(canvas, changed) {
    this.surface = new Surface(canvas, (...all) => this.paint(...all));
    const set = (event) => {
      const [x, y] = this.surface.placeOf(event),
        i = Math.floor((x - this.now) / this.wide);
      if (!this.player || i < 0 || i >= this.player.coming.length || y > 90) return;
      this.player.coming[i] = Math.round(this.y.back(Math.max(8, Math.min(82, y))) * 100) / 100;
      changed();
      this.surface.draw();
    };
    canvas.addEventListener("pointerdown", (event) => {
      this.isHeld = true;
      set(event);
    });
    canvas.addEventListener("pointermove", (event) => this.isHeld && set(event));
    for (const end of ["pointerup", "pointercancel", "pointerleave"])
      canvas.addEventListener(end, () => (this.isHeld = false));
  }

  show(player) {
    this.player = player;
    this.surface.draw();
  }

  paint(g, width, height, paint) {
    const { player } = this;
    if (!player) return;
    const fits = Math.max(8, Math.floor((width - GAP) / STEP)),
      ahead = Math.min(8, fits >> 2);
    const shown = fits - ahead,
      wide = (this.wide = (width - GAP) / fits);
    const first = Math.max(0, player.t - shown),
      past = player.past.filter(({ t }) => t >= first);
    const at = (t) => GAP + (t - first + 0.5) * wide;
    this.now = GAP + (player.t - first) * wide;
    const strongest = Math.max(1.6, 0.9 + 0.5 * player.noise);
    const y = (this.y = scale(1 - strongest, strongest, 84, 6));
    this.paintNames(g, paint);
    g.strokeStyle = paint.faint;
    g.lineWidth = 1;
    line(g, [
      [GAP, y(0)],
      [width, y(0)],
    ]);
    const bar = (t, u, fill) => {
      g.fillStyle = fill;
      g.fillRect(
        at(t) - wide * 0.3,
        Math.min(y(u), y(0)),
        wide * 0.6,
        Math.max(1.5, Math.abs(y(u) - y(0))),
      );
    };
    for (const { t, u } of past) bar(t, u, t ? paint.soft : paint.accent);
    player.coming.slice(0, ahead).forEach((u, i) => {
      const value = player.held ?? u,
        t = player.t + i;
      bar(t, value, player.cue && t === 0 && player.held === null ? paint.accent : paint.faint);
    });
    for (const { t, answer, label, isWrong } of past) {
      this.paintAnswer(g, paint, at(t), 114, answer, t > 0 && isWrong);
      this.paintLabel(g, paint, at(t), 150, label);
    }
    for (let i = 0; i < ahead; i++)
      this.paintLabel(
        g,
        paint,
        at(player.t + i),
        150,
        +player.net.pattern[(player.t + i) % player.net.pattern.length],
        0.4,
      );
    g.strokeStyle = paint.accent;
    g.lineWidth = 1.5;
    line(g, [
      [this.now, 4],
      [this.now, height - 6],
    ]);
  }

  paintNames(g, paint) {
    g.font = "13px system-ui, sans-serif";
    g.fillStyle = paint.soft;
    g.textAlign = "left";
    g.textBaseline = "middle";
    for (const [text, y] of [
      ["input", 48],
      ["answer", 114],
      ["label", 150],
    ])
      g.fillText(text, 2, y);
  }

  paintAnswer(g, paint, x, y, answer, isWrong) {
    const fill = answer ? paint.one : paint.zero;
    mark(
      g,
      answer ? "circle" : "square",
      x,
      y,
      10,
      fill,
      isWrong ? paint.ink : fill,
      isWrong ? 2.5 : 1,
    );
    g.fillStyle = paint.paper;
    g.font = "600 13px system-ui, sans-serif";
    g.textAlign = "center";
    g.fillText(answer, x, y + 1);
    if (isWrong) mark(g, "cross", x, y + 18, 3.5, null, paint.ink, 2);
  }

  paintLabel(g, paint, x, y, label, strength = 1) {
    g.globalAlpha = strength;
    g.fillStyle = paint.ink;
    g.font = "14px system-ui, sans-serif";
    g.textAlign = "center";
    g.fillText(label, x, y);
    g.globalAlpha = 1;
  }
}

// The plane of states: what is answered where, where states go, the cycle, and the state itself.
import { margin } from "./cells.mjs";
import { leadsTo, radius, settled } from "./dynamics.mjs";
import { isStill, line, mark, scale, Surface, ticks, tickText } from "./draw.mjs";
import { flat, frameOf, lifted, outlines, planeOf } from "./flat.mjs";

const CELLS_ACROSS = 72; // places along a side at which it is asked where a state leads
const SLICE = 12; // milliseconds for which the page may stand still
const ARROWS = 13; // arrows along a side
const EDGE = { left: 46, top: 14, right: 14, bottom: 40 };

/** The picture of a player's plane, which follows the player and can be touched. */
export class PlaneView {
  constructor(canvas, touched = null) {
    this.surface = new Surface(canvas, (...all) => this.paint(...all));
    this.touched = touched;
    if (touched) this.listen(canvas);
  }

  /** Show another player, in a frame of its own unless one is given. */
  show(player, frame = null) {
    this.player = player;
    this.plane = planeOf(player);
    this.frame = frame ?? frameOf(player, this.plane);
    this.separatrix = [];
    this.from = this.to = null;
    this.surface.draw();
    this.divide();
  }

  /**
   * Find to which point of the cycle each place of a grid on the plane leads, and draw it then.
   *
   * This takes some tenths of a second, so it is done in slices, between which the page can move.
   */
  async divide() {
    const {
        player: { net, cycle, centre },
        frame,
        plane,
      } = this,
      n = CELLS_ACROSS;
    if (cycle.period < 2) return;
    const like = centre?.point ?? cycle.points[0],
      found = new Int8Array(n * n);
    const at = (i, [low, high]) => low + ((high - low) * (i + 0.5)) / n;
    for (let k = 0, began = performance.now(); k < n * n; k++) {
      const place = [at(k % n, frame[0]), at(Math.floor(k / n), frame[1])];
      found[k] = leadsTo(net, cycle, lifted(plane, place, like), 30);
      if (performance.now() - began < SLICE) continue;
      await new Promise((go) => setTimeout(go));
      if (this.plane !== plane) return; // another network is shown by now
      began = performance.now();
    }
    this.separatrix = outlines(n, (i, row) => found[row * n + i]);
    this.surface.draw();
  }

  /** Let the state glide to where the player has it now. */
  glide() {
    const now = flat(this.plane, this.player.state);
    this.from = this.to ?? now;
    this.to = now;
    this.began = performance.now();
    if (isStill()) this.from = now;
    else requestAnimationFrame(() => this.animate());
    this.surface.draw();
  }

  animate() {
    this.surface.draw();
    if (performance.now() - this.began < 240) requestAnimationFrame(() => this.animate());
  }

  /** Return where the state is drawn now, on its way from one place to the next. */
  position() {
    if (!this.to) return flat(this.plane, this.player.state);
    const part = Math.min(1, (performance.now() - this.began) / 220),
      eased = 1 - (1 - part) ** 3;
    return this.to.map((x, k) => this.from[k] + (x - this.from[k]) * eased);
  }

  paint(g, width, height, paint) {
    if (!this.player) return;
    const { net, cycle, centre } = this.player;
    const box = [EDGE.left, EDGE.top, width - EDGE.right, height - EDGE.bottom];
    const x = (this.x = scale(...this.frame[0], box[0], box[2]));
    const y = (this.y = scale(...this.frame[1], box[3], box[1]));
    const spot = (state) => {
      const [a, b] = flat(this.plane, state);
      return [x(a), y(b)];
    };
    g.save();
    g.beginPath();
    g.rect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
    g.clip();
    this.paintAnswers(g, paint, box);
    this.paintSeparatrix(g, paint, box);
    this.paintArrows(g, paint);
    g.strokeStyle = paint.ink;
    g.lineWidth = 1.2;
    if (cycle.period > 1) line(g, cycle.points.map(spot), cycle.period > 2);
    for (const point of cycle.period ? cycle.points : []) {
      const one = margin(net, point) > 0;
      mark(
        g,
        one ? "circle" : "square",
        ...spot(point),
        7,
        one ? paint.one : paint.zero,
        paint.ink,
      );
    }
    if (centre && radius(centre.values) > 1) {
      mark(g, "cross", ...spot(centre.point), 7, null, paint.paper, 5);
      mark(g, "cross", ...spot(centre.point), 7, null, paint.ink, 2.4);
    }
    this.paintPath(g, paint, spot);
    g.restore();
    this.paintFrame(g, paint, x, y, box);
  }

  /** Colour the halves of the plane by the label that is answered there. */
  paintAnswers(g, paint, [left, top, right, bottom]) {
    const { net, centre, cycle } = this.player,
      like = centre?.point ?? cycle.points[0];
    const value = (a, b) => margin(net, lifted(this.plane, [this.x.back(a), this.y.back(b)], like));
    const base = value(left, top),
      across = (value(right, top) - base) / (right - left);
    const down = (value(left, bottom) - base) / (bottom - top);
    const corners = [
      [left, top],
      [right, top],
      [right, bottom],
      [left, bottom],
    ];
    const height = ([a, b]) => base + across * (a - left) + down * (b - top);
    g.fillStyle = paint.zero_tint;
    g.fillRect(left, top, right - left, bottom - top);
    const above = [];
    corners.forEach((corner, i) => {
      const next = corners[(i + 1) % 4],
        [m, k] = [height(corner), height(next)];
      if (m > 0) above.push(corner);
      if (m > 0 !== k > 0)
        above.push(corner.map((z, axis) => z + ((next[axis] - z) * m) / (m - k)));
    });
    g.fillStyle = paint.one_tint;
    g.beginPath();
    above.forEach(([a, b], i) => (i ? g.lineTo(a, b) : g.moveTo(a, b)));
    g.fill();
  }

  /** Draw the separatrix: the lines between places that lead to different points of the cycle. */
  paintSeparatrix(g, paint, [left, top, right, bottom]) {
    const n = CELLS_ACROSS,
      [w, h] = [(right - left) / n, (bottom - top) / n];
    g.strokeStyle = paint.ink;
    g.lineWidth = 1.6;
    g.setLineDash([5, 4]);
    for (const path of this.separatrix)
      line(
        g,
        path.map(([i, row]) => [left + i * w, bottom - row * h]),
      );
    g.setLineDash([]);
  }

  /** Draw arrows from places to where the network is one period later. */
  paintArrows(g, paint) {
    const { net, centre, cycle } = this.player,
      like = centre?.point ?? cycle.points[0];
    this.arrows ??= null;
    if (this.arrows?.plane !== this.plane) {
      const list = [],
        at = (i, [low, high]) => low + ((high - low) * (i + 0.5)) / ARROWS;
      for (let i = 0; i < ARROWS; i++)
        for (let j = 0; j < ARROWS; j++) {
          const place = [at(i, this.frame[0]), at(j, this.frame[1])];
          const state = lifted(this.plane, place, like);
          list.push([place, flat(this.plane, settled(net, state, net.mean, net.pattern.length))]);
        }
      this.arrows = { plane: this.plane, list };
    }
    g.strokeStyle = g.fillStyle = paint.soft;
    g.lineWidth = 1;
    for (const [from, to] of this.arrows.list) {
      const [a, b] = [this.x(from[0]), this.y(from[1])];
      const [dx, dy] = [this.x(to[0]) - a, this.y(to[1]) - b],
        far = Math.hypot(dx, dy);
      if (far < 1) continue;
      const long = Math.min(13, 3 + 0.35 * Math.sqrt(far) * 2),
        [ux, uy] = [dx / far, dy / far];
      const tip = [a + ux * long, b + uy * long];
      line(g, [[a, b], tip]);
      line(g, [
        [tip[0] - 4 * ux - 2.4 * uy, tip[1] - 4 * uy + 2.4 * ux],
        tip,
        [tip[0] - 4 * ux + 2.4 * uy, tip[1] - 4 * uy - 2.4 * ux],
      ]);
    }
  }

  /** Draw the last states, the state now, and the state it would have if it had been left alone. */
  paintPath(g, paint, spot) {
    const { past, twin } = this.player;
    if (!this.touched) return;
    const last = past.slice(-8);
    last.forEach(({ state }, k) => {
      g.globalAlpha = 0.12 + (0.5 * k) / last.length;
      mark(g, "circle", ...spot(state), 2.6, paint.ink, paint.ink, 0);
    });
    g.globalAlpha = 1;
    if (twin) mark(g, "circle", ...spot(twin), 9, null, paint.soft, 1.5);
    const [a, b] = this.position();
    mark(g, "circle", this.x(a), this.y(b), 11, paint.paper, paint.accent, 3.5);
    mark(g, "circle", this.x(a), this.y(b), 3, paint.accent, paint.accent, 1);
  }

  paintFrame(g, paint, x, y, [left, top, right, bottom]) {
    g.strokeStyle = paint.faint;
    g.lineWidth = 1;
    g.strokeRect(left, top, right - left, bottom - top);
    g.fillStyle = paint.soft;
    g.font = "12px system-ui, sans-serif";
    g.textAlign = "center";
    g.textBaseline = "top";
    for (const value of ticks(x, 5)) g.fillText(tickText(value), x(value), bottom + 5);
    g.textAlign = "right";
    g.textBaseline = "middle";
    for (const value of ticks(y, 5)) g.fillText(tickText(value), left - 6, y(value));
    g.fillStyle = paint.ink;
    g.font = "italic 14px Georgia, serif";
    g.textBaseline = "bottom";
    g.fillText(this.plane.names[0], right, bottom + 38);
    g.textAlign = "left";
    g.textBaseline = "top";
    g.fillText(this.plane.names[1], left + 7, top + 6);
  }

  /** Let the reader drag the state, or move it with the arrow keys. */
  listen(canvas) {
    const go = (event) => {
      const [a, b] = this.surface.placeOf(event);
      const within = (value, [low, high]) => Math.min(high, Math.max(low, value));
      const place = [within(this.x.back(a), this.frame[0]), within(this.y.back(b), this.frame[1])];
      this.touched(lifted(this.plane, place, this.player.state));
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.isHeld = true;
      go(event);
    });
    canvas.addEventListener("pointermove", (event) => this.isHeld && go(event));
    for (const end of ["pointerup", "pointercancel"])
      canvas.addEventListener(end, () => (this.isHeld = false));
    canvas.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
      if (!way[event.key]) return;
      event.preventDefault();
      const now = flat(this.plane, this.player.state),
        part = event.shiftKey ? 0.005 : 0.03;
      const place = now.map(
        (z, k) => z + way[event.key][k] * part * (this.frame[k][1] - this.frame[k][0]),
      );
      this.touched(lifted(this.plane, place, this.player.state));
    });
  }

  /** Put the state where the player has it, at once. */
  jump() {
    this.from = this.to = flat(this.plane, this.player.state);
    this.began = -Infinity;
    this.surface.draw();
  }
}

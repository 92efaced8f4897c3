// Planes in the space of states: which one is drawn, and how states come onto it and off it.
import { quiet } from "./player.mjs";

const FAR = 30; // a fixed point with a larger entry is not in the picture
const REACH = 1.15; // how far a picture goes along h, which cannot leave (-1, 1)

/** Return the plane in which a network's states are drawn: an origin and two axes (unit vectors). */
export function planeOf(player) {
  const { net } = player,
    names = net.cell === "lstm" ? ["h", "c"] : ["h₁", "h₂"];
  const unit = (i) => Float64Array.from({ length: net.D }, (_, j) => +(i === j));
  if (net.D === 2)
    return { origin: new Float64Array(2), axes: [unit(0), unit(1)], names, isWhole: true };
  const states = quiet(net, 60).slice(20);
  const origin = unit(-1).map((_, i) => states.reduce((s, z) => s + z[i], 0) / states.length);
  const size = Math.hypot(...net.v);
  const first = unit(-1).map((_, i) => (i < net.hidden ? net.v[i] / size : 0));
  const along = dotted(origin, first);
  const rest = states.map((z) =>
    without(
      z.map((x, i) => x - origin[i]),
      first,
    ),
  );
  const start = player.centre
    ? without(
        player.centre.point.map((x, i) => x - origin[i]),
        first,
      )
    : null;
  const second = principal(rest, start);
  const moved = origin.map((x, i) => x - along * first[i]); // so that the first axis starts at 0
  return {
    origin: moved,
    axes: [first, second],
    isWhole: false,
    names: ["along the readout", "first principal axis of the rest"],
  };
}

const dotted = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);

function without(z, direction) {
  const along = dotted(z, direction);
  return z.map((x, i) => x - along * direction[i]);
}

/** Return the unit vector along which states vary most, by the power method. */
function principal(states, start) {
  const usable = start && Math.hypot(...start) > 1e-6 ? start : states[0];
  let vector = Float64Array.from(usable, (x, i) => x + 1e-3 * Math.cos(i));
  for (let k = 0; k < 200; k++) {
    const next = vector.map(() => 0);
    for (const z of states) {
      const along = dotted(z, vector);
      z.forEach((x, i) => (next[i] += along * x));
    }
    const norm = Math.hypot(...next);
    if (norm < 1e-12) break;
    vector = next.map((x) => x / norm);
  }
  const norm = Math.hypot(...vector);
  return vector.map((x) => x / norm);
}

/** Return the coordinates of a state on a plane. */
export function flat({ origin, axes }, state) {
  const moved = state.map((x, i) => x - origin[i]);
  return axes.map((axis) => dotted(moved, axis));
}

/** Return the state at coordinates of a plane; what lies across the plane is that of `like`. */
export function lifted(plane, [x, y], like) {
  const [a, b] = flat(plane, like),
    [first, second] = plane.axes;
  return Float64Array.from(like, (z, i) => z + (x - a) * first[i] + (y - b) * second[i]);
}

/** Return the ends of both coordinates of a picture that has room for all that a player does. */
export function frameOf({ net, cycle, centre }, plane) {
  const states = [...cycle.points, ...quiet(net, 8)];
  if (centre?.point.every((x) => Math.abs(x) < FAR)) states.push(centre.point);
  const places = states.map((state) => flat(plane, state));
  return [0, 1].map((k) => {
    const values = places.map((place) => place[k]);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const room = 0.32 * Math.max(high - low, 0.35);
    const most = plane.isWhole && k < net.hidden ? REACH : Infinity;
    return [Math.max(-most, low - room), Math.min(most, high + room)];
  });
}

/**
 * Return the lines between the unlike neighbours of an n by n grid, as chains of corners.
 *
 * No line is drawn beside a negative number, which says that a place leads nowhere known.
 */
export function outlines(n, at) {
  const edges = new Map(),
    add = (a, b) => {
      for (const [p, q] of [
        [a, b],
        [b, a],
      ]) {
        const key = p.join();
        if (!edges.has(key)) edges.set(key, []);
        edges.get(key).push(q);
      }
    };
  const differs = (a, b) => a !== b && a >= 0 && b >= 0;
  for (let row = 0; row < n; row++)
    for (let i = 0; i < n; i++) {
      if (i + 1 < n && differs(at(i, row), at(i + 1, row))) add([i + 1, row], [i + 1, row + 1]);
      if (row + 1 < n && differs(at(i, row), at(i, row + 1))) add([i, row + 1], [i + 1, row + 1]);
    }
  const used = new Set(),
    name = (a, b) => [a.join(), b.join()].sort().join(" ");
  const follow = (start) => {
    const path = [start];
    for (;;) {
      const here = path.at(-1);
      const next = edges.get(here.join()).find((b) => !used.has(name(here, b)));
      if (!next) return path;
      used.add(name(here, next));
      path.push(next);
    }
  };
  const corners = [...edges.keys()].map((key) => key.split(",").map(Number));
  const ends = corners.filter((corner) => edges.get(corner.join()).length % 2);
  return [...ends, ...corners]
    .map(follow)
    .filter((path) => path.length > 1)
    .map(smooth);
}

/** Return a chain of corners with its stairs smoothed. */
function smooth(path) {
  for (let round = 0; round < 3; round++)
    path = path.map(([a, b], k) => {
      const [p, q] = [path[Math.max(0, k - 1)], path[Math.min(path.length - 1, k + 1)]];
      return k && k < path.length - 1
        ? [(p[0] + 2 * a + q[0]) / 4, (p[1] + 2 * b + q[1]) / 4]
        : [a, b];
    });
  return path;
}

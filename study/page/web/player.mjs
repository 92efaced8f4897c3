// A network that runs step by step, and all that a reader can do to it. Nothing here draws.
import { gateOf, margin, networkOf, step } from "./cells.mjs";
import { afterCue, centreOf, cycleOf, labelAt, radius } from "./dynamics.mjs";

const AHEAD = 10; // inputs that are drawn, and shown, before they are used
export const ROUNDS = 60; // periods for which it is asked what a network will do
const KEPT = 400; // steps of the past that are kept

/** Return a generator of numbers from 0 to 1 (mulberry32), so that a page always starts alike. */
export function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** A network in the course of one sequence. */
export class Player {
  constructor(entry, weights = entry.weights) {
    this.entry = entry;
    this.net = networkOf(entry, weights);
    this.cycle = cycleOf(this.net);
    this.centre = centreOf(this.net, this.cycle);
    this.noise = 1;
    this.cue = true;
    this.frozen = {};
    this.restart();
  }

  /** Begin a sequence: the state is zero, and the first input is the cue if there is one. */
  restart() {
    this.draw = random(7);
    this.t = 0;
    this.state = new Float64Array(this.net.D);
    this.gates = null;
    this.held = null;
    this.edit = {};
    this.past = [];
    this.deed = null;
    this.twin = null;
    this.coming = [];
    this.refill();
    if (this.cue) this.coming[0] = 1;
  }

  /** Return one input: its mean, and noise around it, as strong as in training if `noise` is 1. */
  input() {
    return this.net.mean + this.noise * this.entry.noise * (this.draw() - 0.5);
  }

  refill() {
    while (this.coming.length < AHEAD) this.coming.push(this.input());
  }

  /** Set how strong the noise is, from the next input on that is not the cue. */
  setNoise(level) {
    this.noise = level;
    this.coming = this.coming.map((u, i) => (this.t + i === 0 && this.cue ? u : this.input()));
  }

  /** Do one step. */
  step() {
    const u = this.held ?? this.coming.shift();
    const before = this.state;
    const { state, gates } = step(this.net, before, u, { frozen: this.frozen, ...this.edit });
    if (this.twin) this.twin = step(this.net, this.twin, u, { frozen: this.frozen }).state;
    const answer = +(margin(this.net, state) > 0),
      label = labelAt(this.net.pattern, this.t);
    this.past.push({
      t: this.t,
      u,
      before,
      state,
      gates,
      answer,
      label,
      isWrong: answer !== label,
    });
    if (this.past.length > KEPT) this.past.shift();
    Object.assign(this, { state, gates, edit: {}, t: this.t + 1 });
    this.refill();
    if (this.deed && this.t > this.deed.t) {
      this.deed.steps++;
      this.deed.wrong += answer !== label && this.t > 1;
    }
  }

  /** Begin to count what comes of an action, after it has changed the state. */
  did(kind, details = {}) {
    this.deed = { kind, t: this.t, steps: 0, wrong: 0, ...details };
  }

  /** Put the network into another state. */
  moveTo(state) {
    const before = this.deed?.kind === "move" && !this.deed.steps ? this.deed.from : this.state;
    this.twin = Float64Array.from(before);
    this.state = Float64Array.from(state);
    this.did("move", { from: this.twin, far: distance(before, state) });
  }

  /** Push the state by a part of the cycle's size, towards the fixed point amid it. */
  push(part) {
    const size = part * spanOf(this.cycle),
      before = Float64Array.from(this.state);
    const goal = this.centre?.point ?? before.map(() => 0);
    const far = distance(goal, before) || 1;
    this.twin = before;
    this.state = before.map((x, i) => x + (size * (goal[i] - x)) / far);
    this.did("push", { far: size });
  }

  /** Return the state of the step before, or null if there is none. */
  earlier() {
    return this.past.length ? this.past.at(-1).before : null;
  }

  /** Take h, c or both from the state of the step before. */
  swap(part) {
    const donor = this.earlier(),
      H = this.net.hidden;
    if (!donor) return;
    const isTaken = (i) => part === "both" || i < H === (part === "h");
    this.twin = Float64Array.from(this.state);
    this.state = this.state.map((x, i) => (isTaken(i) ? donor[i] : x));
    this.did("swap", { part, far: distance(this.twin, this.state) });
  }

  /** In the next step, replace c after it is computed and before h is read from it. */
  swapInside() {
    if (!this.past.length) return;
    this.twin = Float64Array.from(this.state);
    this.edit = { c: this.state.slice(this.net.hidden) };
    this.did("inside", {});
  }

  /** Hold a gate at the mean of its last values, or let it go. */
  freeze(name) {
    if (name in this.frozen) delete this.frozen[name];
    else if (this.gates) {
      const values = gateOf(this.net, this.gates, name);
      this.frozen[name] = values.reduce((sum, x) => sum + x, 0) / values.length;
    }
    this.twin = null;
    this.did("freeze", { gate: name, value: this.frozen[name] });
  }

  /**
   * Return how many steps late the network answers in the end, or null if it loses the pattern.
   *
   * It is left alone with the mean input, from its present state on. 0 means that it is right.
   */
  fate() {
    const p = this.net.pattern.length,
      labels = [];
    let state = this.state,
      edit = this.edit;
    for (let k = 0; k < ROUNDS * p; k++) {
      ({ state } = step(this.net, state, this.net.mean, { frozen: this.frozen, ...edit }));
      edit = {};
      if (k >= (ROUNDS - 2) * p) labels.push(+(margin(this.net, state) > 0));
    }
    for (let late = 0; late < p; late++)
      if (labels.every((label, k) => label === labelAt(this.net.pattern, this.t + k + p - late)))
        return late;
    return null;
  }

  /** Return the distance from the network that nothing was done to, or null. */
  apart() {
    return this.twin && distance(this.twin, this.state);
  }

  /** Return the factor by which a small push shrinks in one period, by the cycle's multipliers. */
  shrinking() {
    return this.cycle.period ? radius(this.cycle.multipliers) : null;
  }
}

/** Return the distance between two states. */
export const distance = (a, b) => Math.hypot(...Array.from(a, (x, i) => x - b[i]));

/** Return the largest distance between two points of a cycle, or 1 if it is a point. */
export function spanOf(cycle) {
  return Math.max(...cycle.points.map((point) => distance(point, cycle.points[0]))) || 1;
}

/** Run a network for `n` steps after the cue, with mean input, and return its states. */
export function quiet(net, n) {
  const states = [afterCue(net)];
  while (states.length < n) states.push(step(net, states.at(-1), net.mean).state);
  return states;
}

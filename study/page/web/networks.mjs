// The stage: choose a network, run it, look at its state and touch it.
import { byId, fill, isStill } from "./draw.mjs";
import { PlaneView } from "./plane.mjs";
import { Player } from "./player.mjs";
import { StripView } from "./strips.mjs";
import { Touch } from "./touch.mjs";
import { cellName, complexText, counted, number } from "./words.mjs";

const PACE = 330; // milliseconds per step
const BEFORE = 12; // steps that a network has done when it is first shown

/** Return the name of a kind of network, which many seeds share. */
export const kindOf = ({ cell, hidden, accumulate }) =>
  `${cell} ${hidden}${hidden > 2 ? (accumulate ? " post" : " zeroed") : ""}`;

/** Return a kind in words. */
export function kindText(entry) {
  const text = `${cellName(entry.cell)}, ${counted(entry.hidden, "unit")}`;
  return entry.hidden <= 2
    ? text
    : `the post's LSTM, ${entry.accumulate ? "never zeroed" : "zeroed"}`;
}

const statusText = (entry) => (entry.status === "solved" ? "" : " (did not learn)");

/** The part of the page with one running network. */
export class Stage {
  constructor(networks, changed) {
    this.networks = networks;
    this.changed = changed;
    this.plane = new PlaneView(byId("plane"), (state) => this.moved(state));
    this.strip = new StripView(byId("strip"), () => this.act((player) => player.did("draw")));
    this.touch = new Touch((change) => this.act(change));
    byId("step").addEventListener("click", () => this.stop() || this.step());
    byId("run").addEventListener("click", () => (this.timer ? this.stop() : this.start()));
    byId("restart").addEventListener("click", () =>
      this.act((player) => {
        player.restart();
        byId("hold").checked = false;
      }),
    );
    for (const id of ["kind", "pattern", "seed"])
      byId(id).addEventListener("change", () => this.pick({ [id]: byId(id).value }));
  }

  /** Return the network that is shown first. */
  usual() {
    return this.networks.find(({ status }) => status === "solved") ?? this.networks[0];
  }

  /** Choose a network: by its id, or by what has changed among its kind, pattern and seed. */
  pick({ id = null, ...wish } = {}) {
    const all = this.networks,
      entry = this.entry ?? this.usual();
    const now = { kind: kindOf(entry), pattern: entry.pattern, seed: `${entry.seed}`, ...wish };
    const ofKind = all.filter((one) => kindOf(one) === now.kind);
    const ofPattern = ofKind.filter(({ pattern }) => pattern === now.pattern);
    const some = ofPattern.length ? ofPattern : ofKind;
    const solved = some.find(({ status }) => status === "solved") ?? some[0];
    const same = "seed" in wish && some.find(({ seed }) => `${seed}` === now.seed);
    this.show(all.find((one) => one.id === id) ?? (same || solved));
  }

  show(entry) {
    this.stop();
    this.entry = entry;
    const all = this.networks,
      kinds = new Map(all.map((one) => [kindOf(one), kindText(one)]));
    const ofKind = all.filter((one) => kindOf(one) === kindOf(entry));
    const some = ofKind.filter(({ pattern }) => pattern === entry.pattern);
    fill(byId("kind"), [...kinds], kindOf(entry));
    fill(
      byId("pattern"),
      [...new Set(ofKind.map((one) => one.pattern))].map((p) => [p, p]),
      entry.pattern,
    );
    fill(
      byId("seed"),
      some.map((one) => [`${one.seed}`, `${one.seed}${statusText(one)}`]),
      `${entry.seed}`,
    );
    this.player = new Player(entry);
    for (let k = 0; k < BEFORE; k++) this.player.step();
    this.plane.show(this.player);
    this.strip.show(this.player);
    this.touch.show(this.player);
    byId("about").textContent = this.about();
    this.changed();
  }

  /** Return what the network's state does, in words. */
  about() {
    const { cycle, centre, net } = this.player,
      { entry } = this,
      parts = [];
    parts.push(
      `Trained for ${counted(entry.updates, "update")} with ${entry.optimizer === "adam" ? "Adam" : "SGD"}.`,
    );
    if (!cycle.period) parts.push("Under the mean input, its state does not repeat.");
    else if (cycle.period === 1) parts.push("Under the mean input, its state comes to rest.");
    else {
      parts.push(
        `Under the mean input, its state repeats every ${counted(cycle.period, "step")}, with ` +
          `the largest multiplier ${number(this.player.shrinking(), 2)}, and the answers are ` +
          `${cycle.isRight ? "right" : "not all right"}.`,
      );
    }
    if (centre)
      parts.push(
        `At the fixed point ${cycle.period > 1 ? "amid the cycle " : ""}the outermost eigenvalue is ` +
          `${complexText(centre.values[0])}.`,
      );
    if (!this.plane.plane.isWhole)
      parts.push(
        `Its state has ${net.D} numbers, so this plane is a projection: arrows, halves and the ` +
          "dashed line are those of a slice through the fixed point.",
      );
    return parts.join(" ");
  }

  /** Change the player, and show what came of it. */
  act(change) {
    change(this.player);
    this.plane.glide();
    this.strip.surface.draw();
    this.touch.update(this.player);
  }

  moved(state) {
    this.player.moveTo(state);
    this.plane.jump();
    this.touch.update(this.player);
  }

  step() {
    this.act((player) => player.step());
  }

  /** Take some steps one after the other; `isNew` begins a new sequence first. */
  walk(steps, isNew = false) {
    this.stop();
    if (isNew) this.act((player) => player.restart());
    if (isStill()) {
      for (let k = 0; k < steps; k++) this.step();
      return;
    }
    this.start(() => (steps-- > 0 ? this.step() : this.stop()));
  }

  /** Do something at every step's time, by default a step. Screen readers are told at the end. */
  start(act = () => this.step()) {
    this.timer = setInterval(act, PACE);
    byId("run").textContent = "Pause";
    byId("consequence").setAttribute("aria-live", "off");
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    byId("run").textContent = "Run";
    byId("consequence").setAttribute("aria-live", "polite");
  }
}

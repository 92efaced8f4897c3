// What a reader can do to a running network, and the sentence that says what came of it.
import { gateOf, gatesOf } from "./cells.mjs";
import { byId, make } from "./draw.mjs";
import { ROUNDS, spanOf } from "./player.mjs";
import { counted, number } from "./words.mjs";

const GATE_NAMES = {
  i: "input gate",
  f: "forget gate",
  g: "candidate",
  o: "output gate",
  r: "reset gate",
  z: "update gate",
  n: "candidate",
  h: "new state",
};

/** Return what the reader's last action was, as the beginning of a sentence. */
function deedText({ deed, net, twin }) {
  const far = deed.far && number(deed.far, 2);
  return {
    move: () => `You moved the state by ${far}`,
    push: () => `You pushed the state by ${far}`,
    swap: () =>
      deed.part === "both"
        ? `You put the network into the state of the step before, ${far} away`
        : `You took ${deed.part} from the step before and left ${deed.part === "h" ? "c" : "h"} as it was`,
    inside: () => "You put back the old c within the step, before h was read from it",
    freeze: () =>
      deed.value === undefined
        ? `You let the ${GATE_NAMES[deed.gate]} go`
        : `You hold the ${GATE_NAMES[deed.gate]} ${deed.gate} at ${number(deed.value, 2)}`,
    noise: () => `You set the noise to ${number(deed.level, 2)} times that of training`,
    hold: () =>
      deed.level === null
        ? "You let the input go"
        : `You hold the input at ${number(deed.level, 2)}`,
    draw: () => "You drew inputs by hand",
    cue: () =>
      deed.isThere ? "The sequence begins with its cue" : "The sequence begins without a cue",
    restart: () => "A new sequence begins",
  }[deed.kind](net, twin);
}

/** Return what the network will do if it is left alone with the mean input from now on. */
function fateText(fate, p) {
  const alone = `Left alone with the mean input, ${ROUNDS} periods from now it`;
  if (fate === null) return `${alone} has lost the pattern`;
  if (fate === 0) return `${alone} answers rightly`;
  const late = fate === 1 ? "one step" : `${fate} steps`;
  return `${alone} is still ${late} late${p === 2 ? ", so every answer is wrong" : ""}: it keeps the pattern, not the phase`;
}

/** Return the sentences that say what came of the reader's last action, as far as it has come. */
export function consequence(player) {
  const { deed, net } = player,
    p = net.pattern.length;
  if (!deed) return "";
  const fate = player.fate();
  const parts = [`${deedText(player)}.`];
  if (deed.steps) {
    const { wrong, steps } = deed;
    const share = wrong
      ? `${wrong} of the ${counted(steps, "answer")} since ${wrong === 1 ? "was" : "were"} wrong`
      : `${steps === 1 ? "The answer since was" : `All ${counted(steps, "answer")} since were`} right`;
    parts.push(`${share}.`);
  }
  const apart = player.apart(),
    span = spanOf(player.cycle);
  if (apart !== null && deed.kind !== "freeze" && deed.steps) {
    const part = apart / span;
    parts.push(
      part < 1e-3
        ? "The state is back where it would have been without you."
        : `The state is ${number(apart, 2)} from where it would have been without you.`,
    );
  }
  const shrinks = player.shrinking();
  if (deed.kind === "push" && shrinks !== null && fate === 0)
    parts.push(
      `A small push changes by a factor of ${number(shrinks, 2)} every ${counted(p, "step")}, ` +
        `the largest multiplier of the cycle.`,
    );
  parts.push(`${fateText(fate, p)}.`);
  return parts.join(" ");
}

/** Return the player after at least one step: before the cue there is no state to touch. */
function begun(player) {
  if (!player.past.length) player.step();
  return player;
}

/** The buttons, sliders and gates beside the plane. */
export class Touch {
  /** `act` is called with a function that changes the player. */
  constructor(act) {
    this.act = act;
    const on = (id, change) =>
      byId(id).addEventListener("click", () => act((player) => change(begun(player))));
    on("push", (player) => player.push(0.15));
    on("shove", (player) => player.push(0.9));
    on("phase", (player) => player.swap("both"));
    on("swap-h", (player) => player.swap("h"));
    on("swap-c", (player) => player.swap("c"));
    on("swap-inside", (player) => player.swapInside());
    byId("noise").addEventListener("input", (event) =>
      act((player) => {
        player.setNoise(+event.target.value);
        player.did("noise", { level: player.noise });
      }),
    );
    byId("hold").addEventListener("change", (event) =>
      act((player) => {
        player.held = event.target.checked ? +byId("held").value : null;
        player.did("hold", { level: player.held });
      }),
    );
    byId("held").addEventListener("input", (event) =>
      act((player) => {
        byId("hold").checked = true;
        player.held = +event.target.value;
        player.did("hold", { level: player.held });
      }),
    );
    byId("cue").addEventListener("change", (event) =>
      act((player) => {
        player.cue = event.target.checked;
        player.restart();
        player.did("cue", { isThere: player.cue });
      }),
    );
  }

  /** Fit the controls to another player. */
  show(player) {
    const hasC = player.net.cell === "lstm";
    for (const id of ["swap-h", "swap-c", "swap-inside"]) byId(id).hidden = !hasC;
    this.bars = {};
    byId("gates").replaceChildren(
      ...gatesOf(player.net.cell).map((name) => {
        const bars = make("span", { class: "bars" });
        const button = make(
          "button",
          {
            type: "button",
            class: "gate",
            "aria-pressed": "false",
            id: `gate-${name}`,
            onclick: () => this.act((now) => begun(now).freeze(name)),
          },
          make("i", {}, name),
          make("span", { class: "name" }, GATE_NAMES[name]),
          bars,
        );
        this.bars[name] = { button, bars };
        return button;
      }),
    );
    byId("noise").value = player.noise;
    byId("hold").checked = player.held !== null;
    byId("cue").checked = player.cue;
    this.update(player);
  }

  /** Show the player's gates, state and controls as they are now. */
  update(player) {
    byId("noise-value").textContent = `${number(player.noise, 2)}×`;
    byId("held-value").textContent = number(+byId("held").value, 2);
    for (const [name, { button, bars }] of Object.entries(this.bars)) {
      const isHeld = name in player.frozen,
        values = player.gates ? gateOf(player.net, player.gates, name) : [];
      button.setAttribute("aria-pressed", isHeld);
      const signed = ["g", "n", "h"].includes(name);
      bars.replaceChildren(
        ...Array.from(values, (x) => {
          const share = signed ? (x + 1) / 2 : x,
            bar = make("span", { class: "bar" });
          bar.style.setProperty("--share", share);
          return bar;
        }),
      );
      const text = Array.from(values, (x) => number(x, 2)).join(", ");
      button.setAttribute(
        "aria-label",
        `${GATE_NAMES[name]} ${name}: ${text || "no step yet"}; ${isHeld ? "held" : "free"}`,
      );
    }
    const H = player.net.hidden,
      rows = [["h", player.state.slice(0, H)]];
    if (player.net.cell === "lstm") rows.push(["c", player.state.slice(H)]);
    byId("state").replaceChildren(
      ...rows.map(([name, values]) =>
        make(
          "div",
          {},
          make("i", {}, name),
          ` ${Array.from(values, (x) => number(x, 2)).join(", ")}`,
        ),
      ),
    );
    for (const id of ["phase", "swap-h", "swap-c", "swap-inside"])
      byId(id).disabled = !player.past.length;
    byId("consequence").textContent = consequence(player);
  }
}

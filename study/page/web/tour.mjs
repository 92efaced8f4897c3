// A tour in five steps for someone who has never seen a hidden state.
import { byId } from "./draw.mjs";
import { spanOf } from "./player.mjs";
import { number } from "./words.mjs";

/** Return the steps: a title, a text made from the player, a button's text and what it does. */
export const TOUR = [
  {
    title: "What comes in",
    text: () =>
      "At each step the network is given one number, a grey bar. The first, in green, is a " +
      "cue: it says that the sequence begins. All later ones are noise, and say nothing about what is " +
      "asked for.",
    offer: "Show me six steps",
    go: (stage) => stage.walk(6, true),
  },
  {
    title: "What is to come out",
    text: ({ net }) =>
      `The answers should be ${[...net.pattern, ...net.pattern].join(", ")} and so on ` +
      "for ever: a circle for 1, a square for 0. The labels, which it never sees, stand below. " +
      "Wrong answers are crossed.",
    offer: "Run it for twelve more",
    go: (stage) => stage.walk(12),
  },
  {
    title: "Where the answer must be kept",
    text: ({ net, state }) =>
      "If the input does not say where in the pattern we are, the network must " +
      "keep it somewhere. All that it carries from one step to the next is its hidden state, here " +
      `${net.D} numbers (${Array.from(state, (x) => number(x, 2)).join(" and ")} now), so a point in a ` +
      "plane. In the blue half it answers 1, in the orange half 0. It hops between them.",
    offer: "Watch it hop, four steps",
    go: (stage) => stage.walk(4),
  },
  {
    title: "Touch it: a small push",
    text: ({ cycle }) =>
      "Push the state a little, and it comes back within a few steps: the hopping is " +
      `a stable cycle. Every period, a small push is multiplied by ${number(cycleFactor(cycle), 2)}.`,
    offer: "Push it a little",
    go: (stage) => {
      stage.act((player) => player.push(0.15));
      stage.walk(6);
    },
  },
  {
    title: "Touch it: a large one",
    text: ({ cycle }) =>
      "Now carry it across the dashed line, or let us do it. It hops as before, and " +
      "yet it is out of step, and the noise cannot tell it so. What you moved, by " +
      `${number(spanOf(cycle), 2)}, was its only memory of where it is. Drag the point back to mend it.`,
    offer: "Carry it across",
    go: (stage) => {
      stage.act((player) => player.swap("both"));
      stage.walk(8);
    },
  },
];

const cycleFactor = (cycle) => Math.max(...cycle.multipliers.map(([a, b]) => Math.hypot(a, b)));

/** The card of the tour. */
export class Tour {
  constructor(stage) {
    this.stage = stage;
    this.at = 0;
    const on = (id, act) =>
      byId(id).addEventListener("click", () => {
        this.setOut();
        act();
      });
    on("tour-back", () => this.go(this.at - 1));
    on("tour-next", () => this.go(this.at + 1));
    on("tour-do", () => TOUR[this.at].go(stage));
    this.go(0);
  }

  /** Choose a network that the tour is true of: a plane on which a cycle gives the right answers. */
  setOut() {
    const { stage } = this,
      { net, cycle } = stage.player;
    if (net.D !== 2 || !cycle.isRight) stage.show(stage.usual());
    if (!stage.player.past.length) stage.player.step();
  }

  go(at) {
    this.at = Math.max(0, Math.min(TOUR.length - 1, at));
    const { title, text, offer } = TOUR[this.at];
    byId("tour-count").textContent = `${this.at + 1} of ${TOUR.length}`;
    byId("tour-title").textContent = title;
    byId("tour-text").textContent = text(this.stage.player);
    byId("tour-do").textContent = offer;
    byId("tour-back").disabled = this.at === 0;
    byId("tour-next").disabled = this.at === TOUR.length - 1;
  }
}

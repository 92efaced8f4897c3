// A tour in five steps for someone who has never seen a hidden state.
import { byId } from "./draw.mjs";

/** Return the steps: a title, a text made from the player, a button's text and what it does. */
export const TOUR = [
  {
    title: "What comes in",
    text: () =>
      "At each step the network is given one number, a bar. The first, in green, is a cue: it says " +
      "that the sequence begins. All later ones are noise, and give no hint of the answer.",
    offer: "Begin again, six steps",
    go: (stage) => stage.walk(6, true),
  },
  {
    title: "What it should answer",
    text: ({ net }) =>
      `The answers should be ${[...net.pattern, ...net.pattern].join(", ")} and so on ` +
      "for ever: a circle for 1, a square for 0. The labels below are for us; the network does not " +
      "see them. Wrong answers are crossed.",
    offer: "Run it for twelve more",
    go: (stage) => stage.walk(12),
  },
  {
    title: "Where the answer must be kept",
    text: () =>
      "If the input does not say where in the pattern we are, the network must keep it somewhere. " +
      "From one step to the next it carries only its state, here two numbers, so a point in a plane. " +
      "Each step makes a new state from the old one and the input, by a rule that training found. In " +
      "the blue half the answer is 1, in the orange half 0, and the point hops between them.",
    offer: "Watch it hop, four steps",
    go: (stage) => stage.walk(4),
  },
  {
    title: "Touch it: a small push",
    text: () =>
      "Push the state a little: step by step it comes back to its path. Such a path, round which the " +
      "state goes for ever and to which it returns, is called a stable cycle.",
    offer: "Push it a little",
    go: (stage) => {
      stage.act((player) => player.push(0.15));
      stage.walk(6);
    },
  },
  {
    title: "Touch it: a large one",
    text: () =>
      "Now carry it across the dashed line, the border between being in step and out of step, or let " +
      "us do it. It hops as regularly as before, but late, and nothing in the noise can put it right. " +
      "The point was its only memory of where it is. Drag it back to mend it. Further down you can " +
      "watch a network learn all this.",
    offer: "Carry it across",
    go: (stage) => {
      stage.act((player) => player.swap("both"));
      stage.walk(8);
    },
  },
];

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

// The crossings that initial weights alone predict, beside those that were measured.
import { axes, byId, line, mark, scale, Surface } from "./draw.mjs";
import { kindOf, kindText } from "./networks.mjs";

const isForeseen = ({ learning }) => learning.predicted !== null && learning.crossing !== null;

/** Return how many networks crossed, and how near to the prediction, in words. */
function foreseenText(networks) {
  const open = networks.filter(({ hidden }) => hidden <= 2),
    both = open.filter(isForeseen);
  const ratios = both.map(({ learning }) => learning.crossing / learning.predicted);
  const near = ratios.filter((ratio) => ratio > 1 / 1.25 && ratio < 1.25).length;
  const crossed = open.filter(({ learning }) => learning.crossing !== null).length;
  const said = open.filter(({ learning }) => learning.predicted !== null).length;
  return (
    `Of the ${open.length} networks of one or two units here, the first to solve the task of each kind, ` +
    `${crossed} crossed while we followed them, and for ${said} a crossing is predicted from the initial ` +
    `weights alone. Of the ${both.length} with both, ${near} crossed within a factor of 1.25 of the prediction. ` +
    "Choose a mark to see its network."
  );
}

/** The picture of all networks that were followed; a click on a mark picks its network. */
export class Foreseen {
  constructor(networks, pick) {
    this.networks = networks;
    this.pick = pick;
    this.surface = new Surface(byId("foreseen"), (...all) => this.paint(...all));
    byId("foreseen").addEventListener("click", (event) => this.hit(event));
    byId("foreseen-text").textContent = foreseenText(networks);
  }

  /** Ring the mark of a network. */
  show(entry) {
    this.entry = entry;
    this.surface.draw();
  }

  /** Draw the measured crossing of each network against the predicted one, on two log axes. */
  paint(g, width, height, paint) {
    const known = this.networks.filter(isForeseen),
      box = [56, 34, width - 18, height - 44];
    if (!known.length) return;
    const all = known.flatMap(({ learning }) => [learning.predicted, learning.crossing]);
    const ends = [Math.max(1, Math.min(...all)) / 1.5, Math.max(...all) * 1.5];
    const x = scale(...ends, box[0], box[2], true),
      y = scale(...ends, box[3], box[1], true);
    axes(g, paint, x, y, box, ["predicted update", "measured update of the crossing"]);
    g.strokeStyle = paint.soft;
    g.setLineDash([6, 4]);
    line(
      g,
      ends.map((end) => [x(end), y(end)]),
    );
    g.setLineDash([]);
    const kinds = [...new Set(known.map(kindOf))];
    this.spots = known.map((entry) => {
      const { predicted, crossing } = entry.learning,
        isNow = entry === this.entry;
      const shape = ["circle", "square", "cross"][kinds.indexOf(kindOf(entry)) % 3];
      const tint = paint["abcde"[kinds.indexOf(kindOf(entry)) % 5]];
      const place = [x(predicted), y(crossing)];
      mark(g, shape, ...place, 5.5, tint, tint, shape === "cross" ? 2.4 : 1);
      if (isNow) mark(g, "circle", ...place, 11, null, paint.ink, 2);
      return [place, entry];
    });
    kinds.forEach((kind, k) => {
      const tint = paint["abcde"[k % 5]],
        at = box[1] + 16 + 18 * k;
      mark(
        g,
        ["circle", "square", "cross"][k % 3],
        box[0] + 14,
        at,
        5,
        tint,
        tint,
        k % 3 === 2 ? 2.4 : 1,
      );
      g.fillStyle = paint.soft;
      g.textAlign = "left";
      g.textBaseline = "middle";
      g.fillText(kindText(known.find((entry) => kindOf(entry) === kind)), box[0] + 26, at);
    });
  }

  /** Show the network whose mark is nearest to a click. */
  hit(event) {
    const [a, b] = this.surface.placeOf(event);
    const far = ([[x, y]]) => Math.hypot(a - x, b - y);
    const near = (this.spots ?? []).reduce((p, q) => (p && far(p) < far(q) ? p : q), null);
    if (near && far(near) < 24) this.pick(near[1]);
  }
}

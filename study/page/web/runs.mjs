// Browse all runs: filter, group, share solved by update with bands, a table, and single runs.
import { axes, byId, fill, line, make, scale, Surface } from "./draw.mjs";
import { Rows } from "./rows.mjs";
import { counted, number, shareText } from "./words.mjs";

const MOST_CURVES = 8;
const MOST_LISTED = 12;
const DASHES_OF = [[], [7, 3], [2, 3], [9, 3, 2, 3], [4, 4], [12, 3], [1, 2], [6, 2, 2, 2, 2, 2]];

/** The part of the page with all runs. */
export class Runs {
  constructor(folders, changed) {
    this.tables = Object.fromEntries(folders.map((folder) => [folder.name, new Rows(folder)]));
    this.changed = changed;
    this.chart = new Surface(byId("curves"), (...all) => this.paint(...all));
    byId("folder").addEventListener("change", () => this.show({ from: byId("folder").value }));
    byId("block").addEventListener("change", () =>
      this.show({ ...this.view, block: byId("block").value, where: {}, by: null }),
    );
    for (const id of ["by", "by-2"])
      byId(id).addEventListener("change", () => {
        const by = [byId("by").value, byId("by-2").value].filter(
          (name, i, all) => name && all.indexOf(name) === i,
        );
        this.show({ ...this.view, by });
      });
    byId("clear").addEventListener("click", () => this.show({ ...this.view, where: {} }));
    byId("csv").addEventListener("click", () => this.download());
    byId("curves").addEventListener("click", (event) => this.hit(event));
  }

  /** Show a view: the folder, a block, the settings to group by and the values to keep. */
  show({ from = null, block = null, by = null, where = {}, group = null } = {}) {
    const name = from in this.tables ? from : Object.keys(this.tables)[0];
    const rows = (this.rows = this.tables[name]);
    const known = ["", ...rows.blocks];
    const preferred = rows.blocks.includes("headline") ? "headline" : "";
    const chosenBlock = known.includes(block) ? block : preferred;
    const kept = Object.fromEntries(
      Object.entries(where).filter(([key]) => rows.names.includes(key)),
    );
    const inBlock = rows.chosen(chosenBlock),
      differing = rows.differing(inBlock);
    const usual = ["cell", "optimizer"].filter((key) => differing.includes(key));
    const groupBy = by
      ? by.filter((key) => rows.names.includes(key))
      : usual.length
        ? usual
        : differing.slice(0, 1);
    this.view = { from: name, block: chosenBlock, by: groupBy, where: kept };
    this.runs = rows.chosen(chosenBlock, kept);
    this.groups = rows.groups(this.runs, groupBy);
    this.picked = this.groups.find(({ key }) => key.join("~") === group) ?? null;
    this.controls(known, differing, inBlock);
    this.table();
    this.single();
    this.chart.draw();
    this.changed();
  }

  controls(blocks, differing, inBlock) {
    const { from, block, by, where } = this.view;
    fill(
      byId("folder"),
      Object.entries(this.tables).map(([name, { n }]) => [
        name,
        `${name} (${n.toLocaleString("en")})`,
      ]),
      from,
    );
    fill(
      byId("block"),
      blocks.map((name) => [name, name || "all blocks"]),
      block,
    );
    const names = [...new Set([...by, ...differing])].map((name) => [name, name]);
    fill(byId("by"), [["", "nothing"], ...names], by[0] ?? "");
    fill(byId("by-2"), [["", "nothing else"], ...names], by[1] ?? "");
    byId("filters").replaceChildren(
      ...differing.map((name) => this.filter(name, inBlock, where[name])),
    );
    byId("clear").hidden = !Object.keys(where).length;
  }

  /** Return a box in which the reader chooses the values of a setting. */
  filter(name, inBlock, kept) {
    const values = this.rows.values(name, inBlock);
    const boxes = values.map((value) =>
      make(
        "label",
        {},
        make("input", {
          type: "checkbox",
          value,
          checked: !kept || kept.includes(value),
          onchange: () => {
            const on = boxes
              .map((label) => label.firstChild)
              .filter(({ checked }) => checked)
              .map((box) => box.value);
            const { [name]: _, ...where } = this.view.where;
            this.show({
              ...this.view,
              where: on.length === values.length || !on.length ? where : { ...where, [name]: on },
            });
          },
        }),
        value,
      ),
    );
    const text = kept ? `${name}: ${kept.join(", ")}` : name;
    return make(
      "details",
      { class: `filter${kept ? " on" : ""}`, name: "filter" },
      make("summary", {}, text),
      make("div", { class: "values" }, ...boxes),
    );
  }

  table() {
    const { by } = this.view,
      isPooled = this.groups.some(({ pooled }) => pooled.length);
    byId("counts").textContent =
      `${counted(this.runs.length, "run")} in ${counted(this.groups.length, "group")}.` +
      (this.groups.length > MOST_CURVES
        ? ` The picture shows the first ${MOST_CURVES} groups; filter to see others.`
        : "") +
      (isPooled
        ? " Groups whose runs differ in other settings are no sample, so they have no intervals."
        : "");
    const head = [
      ...(by.length ? by : ["all"]),
      "n",
      "solved [95 %]",
      "median updates [95 %]",
      ...(isPooled ? ["pooled over"] : []),
    ];
    const body = this.groups.map((group, i) => {
      const { n, share, interval, median, pooled } = group;
      const solved = !n ? "–" : interval ? shareText(share, interval) : share.toFixed(3);
      const time = !n
        ? "–"
        : updatesText(median.value) +
          (interval ? ` [${updatesText(median.low)}, ${updatesText(median.high)}]` : "");
      const name = group.key.join(", ") || "all runs";
      const button = make(
        "button",
        {
          type: "button",
          class: "row",
          onclick: () => this.pick(group),
          "aria-label": `show the runs of ${name}`,
        },
        group.key[0] ?? "all runs",
      );
      if (i < MOST_CURVES) button.style.setProperty("--mark", `var(--${"abcdefgh"[i]})`);
      else button.classList.add("plain");
      const row = make(
        "tr",
        { "aria-current": group === this.picked && "true", onclick: () => this.pick(group) },
        make("th", { scope: "row" }, button),
        ...group.key.slice(1).map((text) => make("td", {}, text)),
        make("td", {}, n.toLocaleString("en")),
        make("td", {}, solved),
        make("td", {}, time),
        isPooled ? make("td", {}, pooled.join(", ")) : null,
      );
      return row;
    });
    byId("groups").replaceChildren(
      make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))),
      make("tbody", {}, ...body),
    );
  }

  pick(group) {
    this.picked = group;
    for (const [i, row] of [...byId("groups").tBodies[0].rows].entries())
      row.toggleAttribute("aria-current", this.groups[i] === group);
    this.single();
    this.chart.draw();
    this.changed();
  }

  /** List the runs of the picked group, with the command that trains each again. */
  single() {
    const place = byId("picked");
    place.hidden = !this.picked;
    if (!this.picked) return;
    const { key, runs } = this.picked,
      { rows } = this;
    const { status, statuses, time } = rows.folder;
    const items = runs.slice(0, MOST_LISTED).map((run) =>
      make(
        "li",
        {},
        make(
          "button",
          {
            type: "button",
            onclick: () => this.command(run),
          },
          make("code", {}, rows.id(run)),
        ),
        ` seed ${rows.folder.seed[run]}, ${statuses[status[run]]}` +
          (status[run] < 3 ? ` at update ${time[run].toLocaleString("en")}` : ""),
      ),
    );
    place.replaceChildren(
      make("h3", {}, key.join(", ") || "all runs"),
      make(
        "p",
        {},
        `${counted(runs.length, "run")}${runs.length > MOST_LISTED ? `, of which these are the first ${MOST_LISTED}; the CSV has all` : ""}. ` +
          "Choose one for the command that trains it again.",
      ),
      make("ul", { class: "ids" }, ...items),
      make("pre", { id: "command", tabindex: "0" }),
    );
    this.command(runs[0]);
  }

  command(run) {
    const call = this.rows.call(run);
    byId("command").textContent = call
      ? `python -c "import study; print(study.train(${call}).final)"`
      : "This run was made by another version of the code.";
  }

  download() {
    const runs = this.picked?.runs ?? this.runs;
    const blob = new Blob([this.rows.csv(runs)], { type: "text/csv" }),
      url = URL.createObjectURL(blob);
    make("a", { href: url, download: `${this.view.from}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }

  paint(g, width, height, paint) {
    if (!this.groups) return;
    const shown = this.groups.slice(0, MOST_CURVES).filter(({ n }) => n);
    const last = Math.max(1, ...shown.map(({ curve }) => curve.times.at(-1)));
    const first = Math.max(
      1,
      Math.min(
        ...shown.flatMap(({ curve }) => curve.times.filter((t) => t > 0).slice(0, 1)),
        last / 2,
      ) / 1.3,
    );
    const box = [44, 34, width - 16, height - 44];
    const x = scale(first, last, box[0], box[2], true),
      y = scale(0, 1, box[3], box[1]);
    axes(g, paint, x, y, box, ["updates", "share solved"]);
    this.drawn = [];
    shown.forEach(({ curve, interval }, i) => {
      const tint = paint["abcdefgh"[i]],
        isPicked = shown[i] === this.picked;
      if (interval) {
        g.fillStyle = tint;
        g.globalAlpha = this.picked && !isPicked ? 0.06 : 0.16;
        const up = stairs(curve.times, curve.high, x, y, first),
          down = stairs(curve.times, curve.low, x, y, first);
        g.beginPath();
        [...up, ...down.reverse()].forEach(([a, b], k) => (k ? g.lineTo(a, b) : g.moveTo(a, b)));
        g.fill();
      }
      g.globalAlpha = this.picked && !isPicked ? 0.35 : 1;
      g.strokeStyle = tint;
      g.lineWidth = isPicked ? 3.2 : 2;
      g.setLineDash(DASHES_OF[i]);
      const path = stairs(curve.times, curve.solved, x, y, first);
      line(g, path);
      this.drawn.push([path, shown[i]]);
    });
    g.setLineDash([]);
    g.globalAlpha = 1;
  }

  /** Pick the group whose curve is nearest to a click. */
  hit(event) {
    const [a, b] = this.chart.placeOf(event);
    const far = (path) =>
      Math.min(
        ...path.slice(1).map(([x2, y2], k) => {
          const [x1, y1] = path[k],
            dx = x2 - x1,
            dy = y2 - y1;
          const part = Math.max(
            0,
            Math.min(1, ((a - x1) * dx + (b - y1) * dy) / (dx * dx + dy * dy || 1)),
          );
          return Math.hypot(a - x1 - part * dx, b - y1 - part * dy);
        }),
      );
    const near = (this.drawn ?? [])
      .map(([path, group]) => [far(path), group])
      .sort((p, q) => p[0] - q[0])[0];
    if (near && near[0] < 24) this.pick(near[1]);
  }
}

const updatesText = (time) => (Number.isFinite(time) ? number(time, 6) : "beyond budget");

/** Return the corners of a step function, which keeps its last value to the right. */
function stairs(times, values, x, y, first) {
  const path = [];
  times.forEach((time, k) => {
    const at = x(Math.max(first, time));
    if (k) path.push([at, y(values[k - 1])]);
    path.push([at, y(values[k])]);
  });
  return path;
}

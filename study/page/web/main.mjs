// Put the page together, and keep the view in the address.
import { unpacked } from "./data.mjs";
import { byId, make } from "./draw.mjs";
import { Learning } from "./learning.mjs";
import { Stage } from "./networks.mjs";
import { Post } from "./post.mjs";
import { Runs } from "./runs.mjs";
import { Tour } from "./tour.mjs";

const GRIDS = { networks: "page", learning: "page", post: "forum", runs: "main" };

/** Return the view in the address as an object: the section, and what is shown in the parts. */
export function viewOf(hash) {
  const [section, ...rest] = hash.replace(/^#/, "").split("&"),
    given = new URLSearchParams(rest.join("&"));
  const where = {};
  for (const [name, value] of given)
    if (name.startsWith("is.")) where[name.slice(3)] = value.split("|");
  const by = given.has("by") ? given.get("by").split(",").filter(Boolean) : null;
  return {
    section,
    net: given.get("net"),
    learn: given.get("learn"),
    at: given.has("at") ? +given.get("at") : null,
    loop: given.get("loop"),
    runs: {
      from: given.get("from"),
      block: given.get("block"),
      by,
      where,
      group: given.get("group"),
    },
  };
}

/** Return the address of a view. */
export function hashOf({ section, net, learn, at, loop, runs }) {
  const given = new URLSearchParams();
  const put = (name, value) => value != null && value !== "" && given.set(name, value);
  put("net", net);
  put("learn", learn);
  put("at", at);
  put("loop", loop);
  if (runs) {
    put("from", runs.from);
    given.set("block", runs.block);
    given.set("by", runs.by.join(","));
    for (const [name, values] of Object.entries(runs.where))
      given.set(`is.${name}`, values.join("|"));
    put("group", runs.group);
  }
  return `#${section}&${given}`;
}

/** Say which grid makes the data that a part of the page lacks. */
function missing(part) {
  const grid = GRIDS[part];
  byId(part)
    .querySelector(".body")
    .replaceChildren(
      make(
        "p",
        { class: "missing" },
        "This part has no data. It needs the results of another grid: ",
        make("code", {}, `study grid experiments/${grid}.yaml`),
        " and then ",
        make("code", {}, `study page results/${grid} …`),
        ".",
      ),
    );
}

function colophon({ version, folders }) {
  const rows = folders.map(({ name, runs, date, commit, packages }) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, name),
      make("td", {}, runs.toLocaleString("en")),
      make("td", {}, date),
      make("td", {}, make("code", {}, commit.slice(0, 7) || "unknown")),
      make(
        "td",
        {},
        ["python", "torch", "numpy", "numba"]
          .filter((p) => packages[p])
          .map((p) => `${p} ${packages[p]}`)
          .join(", "),
      ),
    ),
  );
  byId("origin").replaceChildren(
    make(
      "thead",
      {},
      make(
        "tr",
        {},
        ...["results", "runs", "trained until", "commit", "with"].map((text) =>
          make("th", { scope: "col" }, text),
        ),
      ),
    ),
    make("tbody", {}, ...rows),
  );
  byId("version").textContent = version;
}

const parsed = (text) =>
  Object.fromEntries(
    (text ?? "")
      .split(",")
      .filter(Boolean)
      .map((part) => {
        const [name, value] = part.split(":");
        return [
          name,
          { true: true, false: false }[value] ?? (Number.isNaN(+value) ? value : +value),
        ];
      }),
  );

async function start() {
  const data = await unpacked(byId("data").textContent),
    view = viewOf(location.hash);
  let section = view.section || "tour",
    isReady = false;
  const parts = {};
  const changed = () => {
    if (!isReady) return;
    const { stage, learning, post, runs } = parts;
    const loop =
      post &&
      ["step_after", "zeroed", "optimizer", "lr", "epochs"]
        .map((name) => `${name}:${post.now[name]}`)
        .join(",");
    history.replaceState(
      null,
      "",
      hashOf({
        section,
        net: stage?.entry.id,
        learn: learning?.entry.id,
        at: learning?.at,
        loop,
        runs: runs && { ...runs.view, group: runs.picked?.key.join("~") },
      }),
    );
  };
  if (data.networks.length) {
    parts.stage = new Stage(data.networks, () => {
      parts.tour?.go(parts.tour.at);
      changed();
    });
    parts.stage.pick({ id: view.net });
    parts.tour = new Tour(parts.stage);
    parts.learning = new Learning(data.networks, changed);
    parts.learning.pick({ id: view.learn, at: view.at });
  } else ["networks", "learning"].forEach(missing);
  if (data.post.length) {
    parts.post = new Post(data.post, data.plateau, changed);
    const loop = parsed(view.loop);
    if (view.loop) parts.post.show(loop);
    else byId("post-reset").click();
  } else missing("post");
  if (data.folders.length) {
    parts.runs = new Runs(data.folders, changed);
    const fallback = data.folders.some(({ name }) => name === "main") ? "main" : null;
    parts.runs.show({ ...view.runs, from: view.runs.from ?? fallback });
  } else missing("runs");
  colophon(data.origin);
  for (const link of document.querySelectorAll("nav a"))
    link.addEventListener("click", (event) => {
      event.preventDefault();
      section = link.hash.slice(1);
      changed();
      const place = byId(section);
      place.scrollIntoView();
      (place.querySelector("h2") ?? place).focus({ preventScroll: true });
    });
  isReady = true;
  byId(view.section)?.scrollIntoView();
  document.documentElement.dataset.ready = Math.round(performance.now());
}

if (typeof document !== "undefined") start();

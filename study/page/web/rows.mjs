// Choose and group stored runs, as `study summary` does. Nothing here draws.
import { medianTime, solvedCurve, wilson } from "./stats.mjs";

const ENDED = 3; // the first statuses are those of runs that finished training

/** Return a setting's value as text, as in a grid file. */
export const settingText = (value) => (value === null ? "none" : `${value}`);

/** The runs of one results folder. */
export class Rows {
  constructor(folder) {
    this.folder = folder;
    this.n = folder.seed.length;
    this.names = Object.keys(folder.settings);
    this.texts = Object.fromEntries(
      this.names.map((name) => [name, folder.settings[name].map(settingText)]),
    );
    this.blocks = [...new Set(folder.blocks.flatMap((list) => list.split(", ")))].sort();
  }

  /** Return a setting of a run as text. */
  text(name, run) {
    const { constant, combination } = this.folder;
    return name in this.texts ? this.texts[name][combination[run]] : settingText(constant[name]);
  }

  /** Return the runs of a block ("" for all) in which each setting has one of its given values. */
  chosen(block, where = {}) {
    const inBlock = this.folder.blocks.map((list) => !block || list.split(", ").includes(block));
    const { combination, block: of } = this.folder,
      tests = Object.entries(where);
    const fits = Array.from({ length: this.folder.calls.length }, (_, k) =>
      tests.every(([name, values]) =>
        values.includes(this.texts[name]?.[k] ?? settingText(this.folder.constant[name])),
      ),
    );
    return Array.from({ length: this.n }, (_, run) => run).filter(
      (run) => inBlock[of[run]] && fits[combination[run]],
    );
  }

  /** Return the values that a setting has among runs, in order. */
  values(name, runs) {
    const found = [...new Set(runs.map((run) => this.text(name, run)))];
    return found.sort((a, b) => a - b || a.localeCompare(b));
  }

  /** Return the settings that differ among runs, without those that follow from others. */
  differing(runs) {
    const { combination, following, of_task: ofTask } = this.folder;
    const kinds = [...new Set(runs.map((run) => combination[run]))];
    const differs = (name) => kinds.some((k) => this.texts[name][k] !== this.texts[name][kinds[0]]);
    const found = this.names.filter(differs);
    const left = [...following, ...(found.includes("task") ? ofTask : [])];
    return found.filter((name) => !left.includes(name));
  }

  /**
   * Return one group per combination of the settings `by`, each with its share and its curve.
   *
   * A group whose runs differ in other settings has no intervals: `pooled` names these settings.
   */
  groups(runs, by) {
    const found = new Map();
    for (const run of runs) {
      const key = by.map((name) => this.text(name, run));
      const id = key.join("\n");
      if (!found.has(id)) found.set(id, { key, runs: [] });
      found.get(id).runs.push(run);
    }
    const compared = (a, b) => a - b || a.localeCompare(b);
    return [...found.values()]
      .map((group) => ({ ...group, ...this.summary(group.runs) }))
      .sort((a, b) => a.key.reduce((order, text, i) => order || compared(text, b.key[i]), 0));
  }

  summary(runs) {
    const { status, time, solved } = this.folder;
    const ended = runs.filter((run) => status[run] < ENDED),
      n = ended.length;
    const count = ended.reduce((sum, run) => sum + solved[run], 0);
    const curve = solvedCurve(
      ended.map((run) => time[run]),
      ended.map((run) => solved[run]),
    );
    const pooled = this.differing(ended),
      median = medianTime(curve);
    return {
      n,
      solved: count,
      share: n ? count / n : NaN,
      interval: pooled.length ? null : wilson(count, n),
      curve,
      median,
      pooled,
    };
  }

  /** Return the identity of a run. */
  id(run) {
    return Array.from(this.folder.ids.subarray(10 * run, 10 * run + 10), (byte) =>
      byte.toString(16).padStart(2, "0"),
    ).join("");
  }

  /** Return the line of Python that trains a run again, or null if today's code makes another. */
  call(run) {
    const call = this.folder.calls[this.folder.combination[run]];
    return call === null ? null : `study.Run(${call}${call && ", "}seed=${this.folder.seed[run]})`;
  }

  /** Return runs as CSV text, with the settings that vary, the status and the censored time. */
  csv(runs) {
    const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const head = ["run_id", "blocks", ...this.names, "seed", "status", "solved", "updates"];
    const { blocks, block, seed, status, statuses, solved, time } = this.folder;
    const lines = runs.map((run) => [
      this.id(run),
      blocks[block[run]],
      ...this.names.map((name) => this.text(name, run)),
      `${seed[run]}`,
      statuses[status[run]],
      `${solved[run]}`,
      status[run] < ENDED ? `${time[run]}` : "",
    ]);
    return `${[head, ...lines].map((entries) => entries.map(quoted).join(",")).join("\n")}\n`;
  }
}

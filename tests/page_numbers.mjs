// The numbers of the page's modules, held to the study's; `tests/test_page.py` runs this file.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { gateOf, jacobian, networkOf, step } from "../study/page/web/cells.mjs";
import { unpacked } from "../study/page/web/data.mjs";
import { continued, cycleOf, newton, settled, spectrum } from "../study/page/web/dynamics.mjs";
import { eigenvalues, product, solved } from "../study/page/web/linear.mjs";
import { outlines } from "../study/page/web/flat.mjs";
import { anglesOf, trails } from "../study/page/web/learning.mjs";
import { distinct, leavingTime } from "../study/page/web/post.mjs";
import { Player, distance } from "../study/page/web/player.mjs";
import { Rows } from "../study/page/web/rows.mjs";
import { medianTime, solvedCurve, wilson } from "../study/page/web/stats.mjs";
import { number, shareText } from "../study/page/web/words.mjs";
import { hashOf, viewOf } from "../study/page/web/main.mjs";

const known = await unpacked(readFileSync(process.env.PAGE_REFERENCE, "utf8"));

function near(found, wanted, most, what = "") {
  assert.equal(found.length, wanted.length, what);
  for (const [i, x] of Array.from(found).entries())
    assert.ok(
      Math.abs(x - wanted[i]) <= most * Math.max(1, Math.abs(wanted[i])) || x === wanted[i],
      `${what}: ${x}, not ${wanted[i]}`,
    );
}

/** Return eigenvalues in the order of `wanted`, pairs in one list, since ties may come either way. */
function matchedTo(wanted, found) {
  const pairs = Array.from({ length: found.length }, (_, i) => [wanted[2 * i], wanted[2 * i + 1]]);
  return continued(pairs, found).flatMap((pair) => [...pair]);
}

for (const one of known.networks) {
  const net = networkOf(one.entry, one.entry.weights),
    name = `${one.entry.cell} ${one.entry.hidden}`;

  test(`${name} on ${one.entry.pattern}: states, Jacobians, fixed point, cycle`, () => {
    let state = new Float64Array(net.D);
    const states = [];
    for (const u of one.inputs) states.push(...(state = step(net, state, u).state));
    near(states, one.states, 1e-12, "states");
    const matrix = jacobian(net, Float64Array.from(one.states.slice(-net.D)), net.mean);
    near(
      matrix.flatMap((row) => [...row]),
      one.jacobian,
      1e-12,
      "Jacobian",
    );
    const found = spectrum(net);
    if (one.fixed.some((x) => Math.abs(x) > 1e5)) {
      assert.equal(found, null); // a state so far away only seems fixed, for want of digits
      return;
    }
    near(found.point, one.fixed, 1e-9, "fixed point");
    near(matchedTo(one.eigenvalues, found.values), one.eigenvalues, 1e-7, "eigenvalues");
    const cycle = cycleOf(net);
    assert.equal(cycle.period, one.period);
    assert.equal(cycle.isRight, one.right);
    near(
      cycle.points.flatMap((point) => [...point]),
      one.cycle,
      1e-9,
      "cycle",
    );
    near(
      cycle.multipliers.map(([a, b]) => Math.hypot(a, b)),
      one.multipliers,
      1e-7,
      "multipliers",
    );
  });

  test(`${name} on ${one.entry.pattern}: the Jacobian is the derivative of a step`, () => {
    const state = Float64Array.from(one.states.slice(0, net.D)),
      e = 1e-6;
    const matrix = jacobian(net, state, 0.3);
    for (let k = 0; k < net.D; k++) {
      const moved = [1, -1].map(
        (s) =>
          step(
            net,
            state.map((x, i) => x + s * e * (i === k)),
            0.3,
          ).state,
      );
      near(
        matrix.map((row) => row[k]),
        moved[0].map((x, i) => (x - moved[1][i]) / (2 * e)),
        1e-8,
      );
    }
  });
}

test("eigenvalues of matrices of any kind", () => {
  for (const { matrix, n, values } of known.matrices) {
    const rows = Array.from({ length: n }, (_, i) => matrix.slice(i * n, (i + 1) * n));
    near(matchedTo(values, eigenvalues(rows)), values, 1e-9, `${n} by ${n}`);
  }
});

test("shares, curves and medians", () => {
  for (const { times, solved: is, n, count, ends, curve, median } of known.samples) {
    near(wilson(count, n), ends, 1e-12, "Wilson");
    const found = solvedCurve([...times], [...is]);
    for (const name of ["times", "solved", "low", "high"])
      near(found[name], curve[name], 1e-12, name);
    const half = medianTime(found);
    near(
      [half.value, half.low, half.high],
      median.map((x) => x ?? Infinity),
      0,
      "median",
    );
  }
});

test("groups have the shares and medians of `study summary`", () => {
  const rows = new Rows(known.folder);
  for (const { block, by, groups } of known.summaries) {
    const found = rows.groups(rows.chosen(block), by);
    assert.equal(found.length, groups.length);
    const named = Object.fromEntries(found.map((group) => [group.key.join(), group]));
    for (const { key, n, share, low, high, median, pooled } of groups) {
      const group = named[key.join()];
      assert.equal(group.n, n);
      near([group.share], [share], 1e-12, "share");
      assert.equal(group.pooled.join(", "), pooled);
      if (pooled) assert.equal(group.interval, null);
      else near(group.interval, [low, high], 1e-12, "interval");
      near([group.median.value], [median ?? Infinity], 0, "median");
    }
  }
});

test("a filter keeps the runs that have one of the values", () => {
  const rows = new Rows(known.folder),
    all = rows.chosen(""),
    cell = rows.values("cell", all)[0];
  const some = rows.chosen("", { cell: [cell] });
  assert.ok(some.length > 0 && some.length < all.length);
  assert.equal(all.filter((run) => rows.text("cell", run) === cell).length, some.length);
  const lines = rows.csv(some).trim().split("\n");
  assert.equal(lines.length, some.length + 1);
  assert.match(lines[1], new RegExp(`^${rows.id(some[0])},`));
});

test("a player is pushed, swapped, held, and counts its wrong answers", () => {
  const entry = known.networks.find(
    ({ entry: { cell, pattern, status } }) =>
      cell === "lstm" && pattern === "10" && status === "solved",
  ).entry;
  const player = new Player(entry);
  for (let k = 0; k < 12; k++) player.step();
  assert.ok(player.past.slice(1).every(({ isWrong }) => !isWrong));
  player.push(0.05);
  assert.equal(player.fate(), 0);
  const pushed = player.apart();
  for (let k = 0; k < 20; k++) player.step();
  assert.ok(player.apart() < pushed / 10);
  player.swap("both");
  assert.equal(player.fate(), 1);
  for (let k = 0; k < 20; k++) player.step();
  assert.deepEqual([player.deed.steps, player.deed.wrong], [20, 20]);
  player.restart();
  player.step();
  player.freeze("o");
  const held = player.frozen.o;
  player.step();
  assert.equal(gateOf(player.net, player.gates, "o")[0], held);
  player.freeze("o");
  assert.deepEqual(player.frozen, {});
  player.swapInside();
  const c = player.state[1];
  player.step();
  assert.equal(player.state[1], c);
  player.setNoise(0);
  assert.ok(player.coming.every((u) => u === player.net.mean));
  assert.equal(distance([0, 3], [4, 0]), 5);
});

test("a hidden state that is only h swaps nothing else", () => {
  const player = new Player(known.networks.find(({ entry }) => entry.cell === "lstm").entry);
  for (let k = 0; k < 5; k++) player.step();
  const { state, past } = player,
    before = past.at(-1).before,
    H = player.net.hidden;
  player.swap("h");
  near(player.state, [...before.slice(0, H), ...state.slice(H)], 0);
});

test("linear equations, Newton's method, and lines between unlike places", () => {
  near(
    solved(
      [
        [0, 2],
        [3, 4],
      ],
      [2, 10],
    ),
    [2, 1],
    1e-15,
  );
  assert.equal(
    solved(
      [
        [1, 1],
        [1, 1],
      ],
      [1, 2],
    ),
    null,
  );
  near(
    product(
      [
        [1, 2],
        [3, 4],
      ],
      [
        [0, 1],
        [1, 0],
      ],
    )[1],
    [4, 3],
    0,
  );
  const { entry } = known.networks[0],
    net = networkOf(entry, entry.weights);
  const { point, residual } = newton(
    net,
    settled(net, new Float64Array(net.D), net.mean, 50),
    net.mean,
    2,
  );
  assert.ok(residual < 1e-12);
  near(settled(net, point, net.mean, 2), point, 1e-12);
  const [path, ...others] = outlines(8, (i) => +(i > 3));
  assert.equal(others.length, 0);
  assert.ok(path.length === 9 && path.every(([i]) => i === 4));
});

test("a view survives its way through the address", () => {
  const view = {
    section: "runs",
    net: "ab",
    learn: "cd",
    at: 3,
    loop: "lr:0.1",
    runs: {
      from: "main",
      block: "headline",
      by: ["cell", "lr"],
      where: { lr: ["0.1", "3"] },
      group: "gru~0.1",
    },
  };
  assert.deepEqual(viewOf(hashOf(view)), view);
  assert.equal(viewOf("#runs").section, "runs");
});

test("numbers as text", () => {
  assert.equal(number(-0.12345), "−0.123");
  assert.equal(number(0.00012345), "1.2 × 10⁻⁴");
  assert.equal(number(Infinity), "∞");
  assert.equal(shareText(0.5, [0.4, 0.6]), "0.500 [0.400, 0.600]");
});

test("eigenvalues wander as the study says, and a pattern has its angles", () => {
  assert.ok(known.followed.length > 4);
  for (const { entry, values, angles } of known.followed) {
    const found = trails(entry),
      size = values.length / found.length;
    near(anglesOf(entry.pattern), angles, 1e-12, "angles");
    found.forEach((some, k) => {
      const wanted = values.slice(k * size, (k + 1) * size);
      near(matchedTo(wanted, some), wanted, 1e-6, `${entry.cell} ${entry.pattern}, look ${k}`);
    });
  }
});

test("the time on the plateau is that of the answer to the post", () => {
  for (const { entry, median } of known.waits) {
    const { value, low, high } = leavingTime(entry);
    const wanted = median.map((x) => x ?? Infinity);
    near([value, low, high], wanted, 0, "median epoch");
    assert.equal(distinct([entry, { ...entry, n: 1 }])[0], entry);
  }
});

"use strict";
/* How good the signals are: a table, best-of-n by each of them, and the score by tenths of its
   rollouts, where dots show a number from 0 to 1 itself. */

class Signals {
  constructor(signals, notes) {
    this.signals = signals;
    const section = document.getElementById("signals");
    section.hidden = false;
    if (!signals.length) { section.remove(); return; }
    this.place = document.getElementById("signal-plots");
    document.getElementById("signal-notes").append(...notes.map((note) => make("li", {}, note)));
    this.table();
    this.draw();
    for (const inks of ["(prefers-color-scheme: dark)", "print"]) matchMedia(inks).addEventListener("change", () => this.draw());
    new ResizeObserver(() => this.width() !== this.drawn && this.draw()).observe(this.place);
  }

  table() {
    const span = (row, name) => row[`${name}_low`] === undefined ? "" : ` [${percent(row[`${name}_low`])}, ${percent(row[`${name}_high`])}]`;
    const columns = [
      ["signal", (row) => row.signal],
      ["AUROC, %", (row) => percent(row.auroc) + span(row, "auroc")],
      ["best-of-n, highest", (row) => `${percent(row.score_highest)} at ${row.n_highest}`],
      ["whole pool", (row) => `${percent(row.score_last)} at ${row.n_last}`],
      ["fall, points", (row) => percent(row.fall) + span(row, "fall")],
      ["calibration error", (row) => percent(row.calibration_error)],
    ];
    const key = () => make("span", { class: "key", "aria-hidden": "true" });
    const head = make("tr", {}, ...columns.map(([name]) => make("th", { scope: "col" }, name)));
    const body = this.signals.map((row) => make("tr", {}, ...columns.map(([, shown], k) => make(k ? "td" : "th", { scope: k ? null : "row" }, k ? null : key(), shown(row)))));
    document.getElementById("signal-table").replaceChildren(make("thead", {}, head), make("tbody", {}, ...body));
    // the page's policy forbids style attributes in markup; a script may set them
    document.querySelectorAll("#signal-table .key").forEach((mark, k) => { mark.style.background = this.ink(this.signals[k].look[0]); });
  }

  ink(colour) {
    return colour === BLACK ? "var(--ink)" : colour;
  }

  width() {
    return Math.max(280, this.place.clientWidth > 720 ? this.place.clientWidth / 2 - 8 : this.place.clientWidth);
  }

  draw() {
    this.drawn = this.width();
    this.place.replaceChildren();
    const line = (look, points, marked = true) => ({ look, points: new Map(points), marked });
    const score = (rows, at) => rows.map((row) => [row[at], row.score]);
    const whole = this.signals.filter(({ bins }) => bins.every(({ number }) => number >= 0 && number <= 1));
    this.plot("best of n by the signal (log)", 3, this.signals.map(({ look, curve }) => line(look, score(curve, "n"))));
    this.plot("tenth of rollouts, by the signal", 1, [
      ...this.signals.map(({ look, bins }) => line(look, score(bins, "bin"))),
      ...whole.map(({ look, bins }) => line([look[0], [1, 2]], bins.map(({ bin, number }) => [bin, number]), false)),
    ]);
  }

  plot(label, distr, lines) {
    const xs = [...new Set(lines.flatMap(({ points }) => [...points.keys()]))].sort((a, b) => a - b);
    const css = getComputedStyle(document.documentElement);
    const ink = css.getPropertyValue("--ink").trim(), grid = css.getPropertyValue("--line").trim();
    const frame = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid } };
    const series = lines.map(({ look: [colour, dash], marked }) => {
      const stroke = colour === BLACK ? ink : colour;
      return { stroke, dash: dash.map((length) => 2 * length), width: 2, spanGaps: true, points: { show: marked, size: 6, stroke, fill: stroke } };
    });
    const values = lines.map(({ points }) => xs.map((x) => points.has(x) ? 100 * points.get(x) : null));
    const place = make("div", { role: "img", "aria-label": `Score in percent against ${label}, ${this.signals.length} signals; the numbers are in signals-curve.csv and signals-bins.csv` });
    this.place.append(place);
    new uPlot({
      width: this.drawn, height: 300, legend: { show: false }, cursor: { drag: { x: false, y: false } },
      series: [{}, ...series],
      scales: { x: { time: false, distr, log: 2, range: () => distr === 3 ? [xs[0] * 0.9, xs.at(-1) * 1.1] : [0.5, xs.at(-1) + 0.5] }, y: { range: (_, low, high) => [Math.max(0, Math.floor(low / 5) * 5), Math.min(100, Math.ceil(high / 5) * 5)] } },
      axes: [{ ...frame, splits: () => xs, filter: (_, all) => all, values: (_, all) => all.map((x) => fixed(x, 0)), label }, { ...frame, label: "score, %" }],
    }, [xs, ...values], place);
  }
}

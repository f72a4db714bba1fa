"use strict";
/* The curves: score against rollouts or tokens, drawn by uPlot; methods are switched by buttons. */

const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7f7f7f"];
const NONE = 0.5; // where a method that reads no rollout stands on the logarithmic axis
const DASHES = [[], [8, 4], [2, 3]];

class Curves {
  constructor(table) {
    this.methods = new Map();
    for (const row of table) {
      if (row.score === undefined || row.n === undefined) continue;
      if (!this.methods.has(row.method)) this.methods.set(row.method, []);
      this.methods.get(row.method).push(row);
    }
    this.shown = new Set(this.methods.keys());
    this.place = document.getElementById("plot");
    this.axis = document.getElementById("axis");
    this.bands = document.getElementById("bands");
    this.axis.addEventListener("change", () => this.draw());
    this.bands.addEventListener("change", () => this.draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    new ResizeObserver(() => this.plot && this.plot.setSize(this.size())).observe(this.place);
    this.legend();
    this.draw();
  }

  style(name) {
    const index = [...this.methods.keys()].indexOf(name);
    return { colour: COLOURS[index % COLOURS.length], dash: DASHES[Math.floor(index / COLOURS.length) % 3] };
  }

  legend() {
    const buttons = [...this.methods.keys()].map((name) => {
      const { colour, dash } = this.style(name);
      const line = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      line.setAttribute("viewBox", "0 0 28 12");
      line.setAttribute("aria-hidden", "true");
      const stroke = document.createElementNS("http://www.w3.org/2000/svg", "path");
      for (const [key, value] of [["d", "M0 6H28"], ["stroke", colour], ["stroke-width", 3], ["stroke-dasharray", dash.join(" ")]]) stroke.setAttribute(key, value);
      line.append(stroke);
      const button = make("button", { type: "button", "aria-pressed": "true" }, line, name);
      button.addEventListener("click", () => {
        if (!this.shown.delete(name)) this.shown.add(name);
        button.setAttribute("aria-pressed", String(this.shown.has(name)));
        this.draw();
      });
      return button;
    });
    document.getElementById("legend").replaceChildren(...buttons);
  }

  size() {
    return { width: Math.max(280, this.place.clientWidth), height: Math.max(300, Math.min(440, this.place.clientWidth * 0.6)) };
  }

  draw() {
    const tokens = this.axis.value === "tokens";
    const at = (row) => tokens ? row.prompt_tokens + row.completion_tokens : row.n || NONE;
    const names = [...this.shown];
    const xs = [...new Set(names.flatMap((name) => this.methods.get(name).map(at)))].filter((x) => x > 0).sort((a, b) => a - b);
    const css = getComputedStyle(document.documentElement);
    const ink = css.getPropertyValue("--ink").trim(), grid = css.getPropertyValue("--line").trim();
    const data = [xs], series = [{}], bands = [];
    for (const name of names) {
      const { colour, dash } = this.style(name);
      const rows = new Map(this.methods.get(name).map((row) => [at(row), row]));
      const values = (field) => xs.map((x) => rows.has(x) && rows.get(x)[field] !== undefined ? 100 * rows.get(x)[field] : null);
      data.push(values("score"));
      series.push({ label: name, stroke: colour, dash, width: 2, spanGaps: true, points: { show: true, size: 7, fill: colour } });
      if (this.bands.checked) {
        data.push(values("ci_high"), values("ci_low"));
        const edge = { stroke: "transparent", width: 0, spanGaps: true, points: { show: false } };
        series.push(edge, { ...edge });
        bands.push({ series: [data.length - 2, data.length - 1], fill: colour + "26" });
      }
    }
    if (this.plot) this.plot.destroy();
    this.place.setAttribute("aria-label", `Score in percent against ${tokens ? "tokens per question" : "rollouts n"}, ${names.length} methods; the same numbers are in the table`);
    const stroke = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid } };
    const ticks = [...new Set([...this.methods.values()].flat().map((row) => row.n || NONE))].sort((a, b) => a - b);
    const bare = tokens ? {} : { splits: () => ticks, filter: (_, all) => all, values: (_, all) => all.map((n) => n === NONE ? "0" : String(n)) };
    this.plot = new uPlot({
      ...this.size(), series, bands, legend: { show: false },
      scales: { x: { time: false, distr: 3, log: 2, ...(xs.length ? { range: () => [xs[0] * 0.9, xs[xs.length - 1] * 1.1] } : {}) }, y: { range: (_, low, high) => [Math.max(0, Math.floor((low ?? 0) / 5) * 5), Math.min(100, Math.ceil((high ?? 100) / 5) * 5 || 100)] } },
      axes: [{ ...stroke, ...bare, label: tokens ? "tokens per question (log)" : "rollouts n (log)" }, { ...stroke, label: "score, %" }],
      cursor: { drag: { x: false, y: false } },
      hooks: { setCursor: [(plot) => this.told(plot, xs, names)] },
    }, data, this.place);
    this.tip = make("div", { class: "note", id: "tip", "aria-hidden": "true" });
    this.place.append(this.tip);
  }

  told(plot, xs, names) {
    if (!this.tip) return;
    const index = plot.cursor.idx;
    const step = this.bands.checked ? 3 : 1;
    const said = index === null || index === undefined ? [] : names.flatMap((name, k) => {
      const value = plot.data[1 + k * step][index];
      return value === null ? [] : [`${name} ${value.toFixed(1)}`];
    });
    const unit = this.axis.value === "tokens" ? "tokens" : "n";
    this.tip.textContent = said.length ? `${unit} = ${xs[index] === NONE ? 0 : Math.round(xs[index])}: ${said.join(" · ")} %` : "";
  }
}

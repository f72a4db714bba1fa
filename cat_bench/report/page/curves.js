"use strict";
/* The curves: score against rollouts or tokens, drawn by uPlot; methods are switched by buttons. */

const NONE = 0.5; // where a method that reads no rollout stands on the logarithmic axis
const BLACK = "#000000"; // drawn in the page's ink, which is light where the page is dark

/* Round places between two numbers of tokens, as many as there is room for. */
function decades(low, high) {
  const steps = high > 100 * low ? [1] : [1, 2, 5], found = [];
  for (let ten = 10 ** Math.floor(Math.log10(low)); ten <= high; ten *= 10) found.push(...steps.map((step) => step * ten));
  return found.filter((x) => x >= 0.9 * low && x <= 1.1 * high);
}

class Curves {
  constructor(table, looks) {
    this.looks = looks;
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
    if (!this.methods.size) {
      this.place.replaceChildren(make("p", { class: "note" }, "No method has a score."));
      this.axis.closest(".bar").hidden = true;
      return;
    }
    this.axis.addEventListener("change", () => this.draw());
    this.bands.addEventListener("change", () => this.draw());
    for (const inks of ["(prefers-color-scheme: dark)", "print"]) matchMedia(inks).addEventListener("change", () => this.draw());
    new ResizeObserver(() => this.plot && this.plot.setSize(this.size())).observe(this.place);
    this.legend();
    this.draw();
  }

  style(name) {
    const [colour, dash, outline] = this.looks[name];
    return { colour: colour === BLACK ? "var(--ink)" : colour, dash: dash.map((length) => 2 * length), outline };
  }

  /* The method's marker at each point of its line, as in the figures; one point has no band, but a
     bar from `low` to `high`. */
  markers(outline, [low, high]) {
    return (plot, series, from, to) => {
      const fill = new Path2D(), stroke = new Path2D(), size = 8 * devicePixelRatio;
      for (let at = from; at <= to; at++) {
        const value = plot.data[series][at];
        if (value === null) continue;
        const x = plot.valToPos(plot.data[0][at], "x", true), y = (share) => plot.valToPos(share, "y", true);
        outline.forEach(([right, up], k) => fill[k ? "lineTo" : "moveTo"](x + size * right, y(value) - size * up));
        fill.closePath();
        if (low === undefined) continue;
        stroke.moveTo(x, y(low));
        stroke.lineTo(x, y(high));
      }
      return { fill, stroke };
    };
  }

  legend() {
    const buttons = [...this.methods.keys()].map((name) => {
      const { colour, dash, outline } = this.style(name);
      const corners = outline.map(([right, up]) => `${14 + 8 * right} ${6 - 8 * up}`);
      const line = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      line.setAttribute("viewBox", "0 0 28 12");
      line.setAttribute("aria-hidden", "true");
      for (const shape of [{ d: "M0 6H28", stroke: colour, "stroke-width": 2, "stroke-dasharray": dash.join(" ") }, { d: `M${corners.join("L")}Z`, fill: colour }]) {
        const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
        for (const [key, value] of Object.entries(shape)) path.setAttribute(key, value);
        line.append(path);
      }
      const button = make("button", { type: "button", "aria-pressed": "true" }, line, called(name));
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
    const faint = Math.round(255 * Math.min(0.15, 0.6 / names.length)).toString(16).padStart(2, "0");
    for (const name of names) {
      const look = this.style(name), { dash } = look;
      const colour = look.colour.startsWith("var") ? ink : look.colour;
      const rows = new Map(this.methods.get(name).map((row) => [at(row), row]));
      const values = (field) => xs.map((x) => rows.has(x) && rows.get(x)[field] !== undefined ? 100 * rows.get(x)[field] : null);
      const [only] = rows.values(), alone = this.bands.checked && rows.size === 1 && only.ci_low !== undefined;
      const reach = alone ? [100 * only.ci_low, 100 * only.ci_high] : [];
      data.push(values("score"));
      series.push({ label: name, stroke: colour, dash, width: 2, spanGaps: true, points: { show: true, size: 7, width: 1.5, stroke: colour, fill: colour, paths: this.markers(look.outline, reach) } });
      if (this.bands.checked) {
        data.push(values("ci_high"), values("ci_low"));
        const edge = { stroke: "transparent", width: 0, spanGaps: true, points: { show: false } };
        series.push(edge, { ...edge });
        bands.push({ series: [data.length - 2, data.length - 1], fill: colour + faint });
      }
    }
    if (this.plot) this.plot.destroy();
    this.place.setAttribute("aria-label", `Score in percent against ${tokens ? "tokens per question" : "rollouts n"}, ${names.length} methods; the same numbers are in the table`);
    const stroke = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid } };
    const ticks = tokens ? decades(xs[0], xs[xs.length - 1]) : [...new Set([...this.methods.values()].flat().map((row) => row.n || NONE))].sort((a, b) => a - b);
    const bare = { splits: () => ticks, filter: (_, all) => all, values: (_, all) => all.map((x) => x === NONE ? "0" : fixed(x, 0)) };
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
      return value === null ? [] : [`${name} ${fixed(value)}`];
    });
    const unit = this.axis.value === "tokens" ? "tokens" : "n";
    this.tip.textContent = said.length ? `${unit} = ${xs[index] === NONE ? 0 : fixed(xs[index], 0)}: ${said.join(" · ")} %` : "";
  }
}

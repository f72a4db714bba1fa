"use strict";
/* The table, and the explorer: a list of questions, and the one that is open. */

const PAGE = 200;
const byId = (id) => document.getElementById(id);
let run, keyAt, everywhere, references;

const COLUMNS = [
  ["method", (row) => row.method, (row) => called(row.method)],
  ["n", (row) => row.n, (row) => row.n ?? ""],
  ["score, %", (row) => row.score, (row) => percent(row.score)],
  ["95 % interval", (row) => row.ci_low, (row) => row.ci_low === undefined ? "" : `[${percent(row.ci_low)}, ${percent(row.ci_high)}]`],
  ["difference, points", (row) => row.diff, difference],
  ["p (Holm)", (row) => row.p_holm, (row) => row.p_holm === undefined ? "" : row.p_holm < 0.001 ? "<0.001" : fixed(row.p_holm, 3)],
  ["calls", (row) => row.calls, (row) => row.calls === undefined ? "" : fixed(row.calls)],
  ["tokens", tokensOf, (row) => tokensOf(row) === undefined ? "" : fixed(tokensOf(row), 0)],
  ["notes", (row) => remarks(row), remarks],
];

function called(method) {
  return run.frames[method] ? `${method} (${run.frames[method]})` : method;
}

function tokensOf(row) {
  return row.prompt_tokens === undefined ? undefined : row.prompt_tokens + row.completion_tokens;
}

function difference(row) {
  if (row.diff === undefined) return references.has(row.method) || references.has(`${row.method}@${row.n}`) ? "reference" : "";
  const span = row.diff_low === undefined ? "" : ` [${signed(row.diff_low)}, ${signed(row.diff_high)}]`;
  return `${signed(row.diff)}${span} vs ${row.reference}`;
}

function flagsOf(row) {
  return row.flag ? row.flag.split("; ") : [];
}

function remarks(row) {
  const said = [];
  if (row.reason) said.push(`not available: ${row.reason}`);
  if (row.unscored) said.push(`${row.unscored} unscored`);
  if (row.abstained > 0) said.push(`abstained ${percent(row.abstained)} %`);
  if (row.fallback > 0) said.push(`fallback ${percent(row.fallback)} %`);
  said.push(...flagsOf(row).filter((flag) => !everywhere.includes(flag)));
  return said.join("; ");
}

class Table {
  constructor() {
    this.sorted = { index: 2, descending: true };
    this.select = byId("table-n");
    const budgets = [...new Set(run.table.map((row) => row.n))].filter((n) => n !== undefined).sort((a, b) => a - b);
    this.select.append(new Option("each method's largest", "largest"), new Option("all", "all"), ...budgets.map((n) => new Option(String(n), String(n))));
    this.select.addEventListener("change", () => this.draw());
    this.draw();
  }

  rows() {
    const wanted = this.select.value;
    if (wanted === "all") return run.table;
    if (wanted !== "largest") return run.table.filter((row) => String(row.n) === wanted);
    const largest = new Map();
    for (const row of run.table) if (!largest.has(row.method) || (row.n ?? 0) >= (largest.get(row.method).n ?? 0)) largest.set(row.method, row);
    return [...largest.values()];
  }

  draw(focus = null) {
    const { index, descending } = this.sorted;
    const of = COLUMNS[index][1];
    const rows = [...this.rows()].sort((a, b) => {
      const [x, y] = [of(a), of(b)];
      if (x === undefined || x === "") return y === undefined || y === "" ? 0 : 1;
      if (y === undefined || y === "") return -1;
      const order = typeof x === "number" ? x - y : String(x).localeCompare(String(y));
      return descending ? -order : order;
    });
    const columns = COLUMNS.filter(([name, , shown]) => name !== "notes" || rows.some(shown));
    const heads = columns.map(([name], k) => {
      const button = make("button", { type: "button" }, name);
      button.addEventListener("click", () => {
        this.sorted = { index: k, descending: this.sorted.index === k ? !this.sorted.descending : k > 1 };
        this.draw(k);
      });
      return make("th", { scope: "col", class: k === 8 ? "left" : null, "aria-sort": k === index ? (descending ? "descending" : "ascending") : null }, button);
    });
    const body = rows.map((row) => make("tr", { class: row.method in run.frames ? "frame" : null },
      ...columns.map(([, , shown], k) => make(k ? "td" : "th", { scope: k ? null : "row", class: k === 8 ? "note" : null }, String(shown(row))))));
    byId("table").replaceChildren(make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...body));
    byId("table-note").textContent = `${everywhere.length ? `All rows: ${everywhere.join("; ")}. ` : ""}Floor: a random rollout. Ceiling: the best possible pick. How intervals and differences are made: table.md beside this page.`;
    if (focus !== null) byId("table").querySelectorAll("thead button")[focus].focus();
  }
}

class Explorer {
  constructor() {
    this.parts = Object.fromEntries(["filter", "method-a", "method-b", "budget", "find", "math"].map((id) => [id, byId(id)]));
    this.list = byId("list");
    this.detail = byId("detail");
    this.limit = PAGE;
    const methods = [...new Set(run.keys.map(([method]) => method))].filter((name) => !(name in run.frames));
    for (const [id, ...wanted] of [["method-a", "cat"], ["method-b", "majority", "single"]]) {
      this.parts[id].append(...methods.map((name) => new Option(name, name)));
      this.parts[id].value = wanted.find((name) => methods.includes(name)) ?? methods[0];
    }
    const budgets = [...new Set(run.keys.map(([, n]) => n))].filter((n) => n > 0).sort((a, b) => a - b);
    this.parts.budget.append(...budgets.map((n) => new Option(String(n), String(n))));
    this.parts.budget.value = String(budgets[budgets.length - 1]);
    for (const id of ["method-a", "method-b", "budget"]) this.parts[id].parentElement.hidden = !methods.length;
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    this.parts.find.addEventListener("input", () => this.filter());
    byId("filters").addEventListener("change", (event) => {
      this.filter();
      if ([this.parts.math, this.parts.budget].includes(event.target) && this.open !== undefined) this.show(this.open, false);
    });
    this.list.addEventListener("focusin", (event) => { for (const button of this.list.children) button.tabIndex = button === event.target ? 0 : -1; });
    this.list.addEventListener("keydown", (event) => this.moved(event));
    addEventListener("hashchange", () => this.fromHash());
    this.draw();
    this.fromHash();
  }

  value(question, method, n) {
    const at = keyAt.get(`${method}\n${n}`) ?? alone(method);
    return at === undefined ? null : question[2][at];
  }

  holds(question) {
    const n = this.parts.budget.value;
    const [a, b] = [this.parts["method-a"].value, this.parts["method-b"].value].map((name) => this.value(question, name, n));
    switch (this.parts.filter.value) {
      case "beats": return a !== null && b !== null && (run.graded ? a > b : a >= 0.5 && b < 0.5);
      case "nobody": { const best = this.value(question, "oracle", Math.max(...run.keys.filter(([m]) => m === "oracle").map(([, k]) => k))); return best !== null && best <= 0; }
      case "everybody": { const mean = this.value(question, "single", n); return mean !== null && mean >= 1; }
      case "unscored": return run.keys.some(([, k], at) => String(k) === n && question[2][at] === null);
      default: return true;
    }
  }

  found() {
    const words = this.parts.find.value.trim().toLowerCase();
    return run.questions.map((question, place) => [question, place]).filter(([question]) =>
      this.holds(question) && (!words || question[0].toLowerCase().includes(words) || question[1].toLowerCase().includes(words)));
  }

  draw() {
    const found = this.found();
    const beats = this.parts.filter.value === "beats";
    for (const id of ["method-a", "method-b"]) this.parts[id].disabled = !beats;
    byId("count").textContent = `${found.length} of ${run.questions.length} questions`;
    const buttons = found.slice(0, this.limit).map(([question, place]) => {
      const button = make("button", { type: "button", "data-place": place, "aria-current": place === this.open ? "true" : null },
        make("strong", { dir: "auto" }, question[0]), make("bdi", {}, question[1]));
      button.addEventListener("click", () => this.show(place, true));
      return button;
    });
    const entered = Math.max(0, buttons.findIndex((button) => button.hasAttribute("aria-current")));
    buttons.forEach((button, at) => { button.tabIndex = at === entered ? 0 : -1; });
    if (found.length > this.limit) {
      const more = make("button", { type: "button", class: "more" }, `${found.length - this.limit} more`);
      more.addEventListener("click", () => { const at = this.limit; this.limit += PAGE; this.draw(); this.list.children[at].focus(); });
      buttons.push(more);
    }
    this.list.replaceChildren(...buttons);
  }

  moved(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    if (!step) return;
    const all = [...this.list.children];
    const at = Math.min(all.length - 1, Math.max(0, all.indexOf(document.activeElement) + step));
    all[at].focus();
    event.preventDefault();
  }

  fromHash() {
    const name = decodeURIComponent(location.hash.replace(/^#q=/, ""));
    const place = location.hash.startsWith("#q=") ? run.questions.findIndex(([id]) => id === name) : -1;
    if (place >= 0 && place !== this.open) this.show(place, false);
  }

  filter() {
    this.limit = PAGE;
    this.draw();
  }

  async show(place, focus) {
    this.open = place;
    for (const button of this.list.children) {
      if (button.dataset.place === String(place)) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
    const chunk = await unpacked(`q${place}`);
    if (this.open !== place) return;
    const [name] = run.questions[place];
    this.detail.replaceChildren(...this.parts_of(name, chunk));
    this.detail.scrollTop = 0;
    if (!focus) return;
    history.replaceState(null, "", `#q=${encodeURIComponent(name)}`);
    this.detail.focus({ preventScroll: true });
    if (this.detail.getBoundingClientRect().top < 0 || matchMedia("(max-width: 46rem)").matches) this.detail.scrollIntoView();
  }

  parts_of(name, chunk) {
    const math = this.parts.math.checked, n = Number(this.parts.budget.value);
    const meta = Object.entries(chunk.meta || {}).map(([key, value]) => `${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`).join(" · ");
    const rows = chunk.rows.filter((row) => row.n === n || !chunk.rows.some((other) => other.method === row.method && other.n === n));
    return [
      make("h3", { dir: "auto" }, name),
      meta ? make("p", { class: "note", dir: "auto" }, meta) : null,
      written(chunk.text, { math, kind: "question" }),
      chunk.right === undefined ? null : make("p", {}, "right answer ", make("span", { class: "answer", dir: "auto" }, chunk.right)),
      rows.length ? make("h3", {}, `Methods at n = ${n}`) : null,
      ...[...new Set(rows.map((row) => row.method))].map((method) => this.method(method, rows.filter((row) => row.method === method), chunk)),
      make("h3", {}, `Rollouts (${chunk.rollouts.length})`),
      ...chunk.rollouts.map((rollout) => this.rollout(rollout, chunk)),
    ].filter(Boolean);
  }

  method(name, rows, chunk) {
    const values = rows.filter((row) => row.score !== undefined).map((row) => row.score);
    const mean = values.length ? values.reduce((a, b) => a + b, 0) / values.length : undefined;
    const draws = rows.length > 1 ? `${rows.length} draws` : rows[0].draw === undefined ? "exact" : "1 draw";
    const inside = () => rows.map((row) => this.estimate(row, chunk, rows.length > 1));
    const n = rows[0].n === Number(this.parts.budget.value) ? "" : `n = ${rows[0].n}`;
    return this.folded([make("strong", {}, name), score(mean), make("span", { class: "soft" }, [draws, n].filter(Boolean).join(", "))], inside, "method");
  }

  estimate(row, chunk, several) {
    const said = [];
    if (several) said.push(`draw ${row.draw}`);
    if (row.slots) said.push(`read rollouts ${row.slots.join(", ")}`);
    if (row.picks) said.push(`picked ${picked(row.picks, row.of)}`);
    if (row.abstained) said.push(`abstained ${percent(row.abstained)} %`);
    if (row.fallback) said.push(`fallback: ${row.fallback}`);
    if (row.failed) said.push(row.failed);
    return make("div", {},
      make("p", { class: "soft", dir: "auto" }, score(row.score), " ", said.join("; ")),
      row.answer === undefined ? null : make("p", {}, "answer ", make("span", { class: "answer", dir: "auto" }, row.answer)),
      row.text === undefined ? null : written(row.text, { math: this.parts.math.checked }));
  }

  rollout(rollout, chunk) {
    const head = [
      make("strong", {}, `#${rollout.slot}`), score(rollout.score),
      rollout.answer === undefined ? null : make("span", { class: "answer", dir: "auto" }, shortened(rollout.answer)),
      rollout.cluster === undefined ? null : make("span", { class: "chip" }, `cluster ${rollout.cluster}`),
      rollout.met ? make("span", { class: "soft" }, `${rollout.met.filter(Boolean).length} of ${rollout.met.length} criteria`) : null,
      make("span", { class: "soft", dir: "auto" }, rollout.failed ?? [rollout.finish, `${rollout.completion_tokens ?? 0} tokens`].filter(Boolean).join(", ")),
    ];
    return this.folded(head, () => [
      rollout.text === undefined ? make("p", { class: "note" }, rollout.failed ? "There is no text." : "The text is not in the cache that this page was made from, or the task's data are not here (CAT_BENCH_CACHE, CAT_BENCH_DATA).") : null,
      rollout.reasoning ? this.folded([make("span", { class: "soft" }, "reasoning")], () => [written(rollout.reasoning, { math: this.parts.math.checked })]) : null,
      rollout.text === undefined ? null : written(rollout.text, { math: this.parts.math.checked }),
      rollout.cut ? make("p", { class: "note" }, `Cut here; the whole text has ${rollout.cut} characters.`) : null,
      rollout.met ? verdicts(rollout.met, chunk.criteria || []) : null,
    ].filter(Boolean), "rollout");
  }

  folded(head, inside, kind = null) {
    const block = make("details", { class: kind }, make("summary", {}, ...head.filter(Boolean)));
    block.addEventListener("toggle", () => { if (block.open && block.children.length === 1) block.append(...inside()); });
    return block;
  }
}

function alone(method) {
  const own = run.keys.map(([name], at) => [name, at]).filter(([name]) => name === method);
  return own.length === 1 ? own[0][1] : undefined;
}

function score(value) {
  if (value === undefined || value === null) return make("span", { class: "soft" }, "unscored");
  if (run.graded) return make("span", { class: value >= 0.5 ? "good" : "bad" }, `${percent(value)} %`);
  const [kind, word] = value >= 0.5 ? ["good", "✓ right"] : ["bad", "✗ wrong"];
  return make("span", { class: kind }, value > 0 && value < 1 ? `${percent(value, 0)} % right` : word);
}

function picked(picks, of) {
  const shown = picks.map(([slot, weight]) => `#${slot} (${percent(weight)} %)`).join(", ");
  return of > picks.length ? `${shown}, and ${of - picks.length} more` : shown;
}

function shortened(text) {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

function verdicts(met, criteria) {
  return make("ol", { class: "verdicts" }, ...met.map((yes, at) => {
    const [text, points] = criteria[at] ?? [`criterion ${at + 1}`, undefined];
    return make("li", {}, make("span", { class: Boolean(yes) === (points === undefined || points > 0) ? "good" : "bad" }, yes ? "met" : "not met"), points === undefined ? ": " : ` (${points} points): `, make("bdi", {}, text));
  }));
}

async function start() {
  run = await unpacked("index");
  keyAt = new Map(run.keys.map(([method, n], at) => [`${method}\n${n}`, at]));
  const scored = run.table.filter((row) => row.score !== undefined);
  everywhere = scored.length ? flagsOf(scored[0]).filter((flag) => scored.every((row) => flagsOf(row).includes(flag))) : [];
  byId("title").textContent = `${run.task} · ${run.model}`;
  byId("facts").textContent = run.facts.join(" · ");
  references = new Set(run.table.map((row) => row.reference));
  new Table();
  new Curves(run.table, run.looks);
  new Explorer();
  document.body.dataset.ready = "yes";
}

start().catch((error) => { byId("facts").textContent = `This page cannot be shown: ${error.message}`; throw error; });

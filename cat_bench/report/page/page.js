"use strict";
/* The table, and the explorer: a list of questions, and the one that is open. */

const PAGE = 200;
/* By how much a graded score is really above another one. */
const MARGIN = 0.1;
const byId = (id) => document.getElementById(id);
let run, keyAt, everywhere, references;

const COLUMNS = [
  ["method", (row) => row.method, (row) => called(row.method)],
  ["n", (row) => row.n, (row) => row.n ?? ""],
  ["score, %", (row) => row.score, (row) => row.score === undefined && row.unlabelled ? "unlabelled" : percent(row.score)],
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
  if (row.unlabelled && row.questions) said.push(`${row.unlabelled} unlabelled`);
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
    const framed = (row) => Number(row.method in run.frames);
    const rows = [...this.rows()].sort((a, b) => {
      if (framed(a) !== framed(b)) return framed(a) - framed(b);
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
    byId("table-note").textContent = `${everywhere.length ? `All rows: ${everywhere.join("; ")}. ` : ""}Floor: a random rollout. Ceiling: the best possible pick.`;
    if (focus !== null) byId("table").querySelectorAll("thead button")[focus].focus();
  }
}

class Explorer {
  constructor() {
    this.parts = Object.fromEntries(["filter", "method-a", "method-b", "budget", "group", "find", "where", "math"].map((id) => [id, byId(id)]));
    this.list = byId("list");
    this.detail = byId("detail");
    this.limit = PAGE;
    this.matching = null;
    const methods = [...new Set(run.keys.map(([method]) => method))].filter((name) => !(name in run.frames));
    for (const [id, ...wanted] of [["method-a", "cat"], ["method-b", "majority", "single"]]) {
      this.parts[id].append(...methods.map((name) => new Option(name, name)));
      this.parts[id].value = wanted.find((name) => methods.includes(name)) ?? methods[0];
    }
    const budgets = [...new Set(run.keys.map(([, n]) => n))].filter((n) => n > 0).sort((a, b) => a - b);
    this.parts.budget.append(...budgets.map((n) => new Option(String(n), String(n))));
    this.parts.budget.value = String(this.shared(budgets));
    if (run.graded) this.parts.filter.querySelector("[value=beats]").textContent = `A ${percent(MARGIN, 0)} points above B`;
    for (const [field, [names]] of Object.entries(run.groups)) {
      const group = make("optgroup", { label: field });
      group.append(...names.map((name) => new Option(`${field}: ${name}`, JSON.stringify([field, name]))));
      this.parts.group.append(group);
    }
    this.parts.group.parentElement.hidden = !Object.keys(run.groups).length;
    for (const id of ["method-a", "method-b", "budget"]) this.parts[id].parentElement.hidden = !methods.length;
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    this.parts.find.addEventListener("input", () => this.filter());
    byId("filters").addEventListener("change", (event) => {
      if (event.target === this.parts.find) return;
      this.filter();
      if ([this.parts.math, this.parts.budget].includes(event.target) && this.open !== undefined) this.show(this.open, false);
    });
    this.list.addEventListener("focusin", (event) => { for (const button of this.list.children) button.tabIndex = button === event.target ? 0 : -1; });
    this.list.addEventListener("keydown", (event) => this.moved(event));
    addEventListener("hashchange", () => this.fromHash());
    this.draw();
    this.fromHash();
  }

  /* The largest n at which both methods have a score. */
  shared(budgets) {
    const both = ["method-a", "method-b"].map((id) => this.parts[id].value);
    const common = budgets.filter((n) => both.every((name) => keyAt.has(`${name}\n${n}`)));
    return (common.length ? common : budgets).at(-1);
  }

  value(question, method, n) {
    const at = keyAt.get(`${method}\n${n}`) ?? alone(method);
    return at === undefined ? null : question[2][at];
  }

  pair(question) {
    return ["method-a", "method-b"].map((id) => this.value(question, this.parts[id].value, this.parts.budget.value));
  }

  holds(question, place) {
    const n = this.parts.budget.value;
    if (this.parts.group.value) {
      const [field, name] = JSON.parse(this.parts.group.value);
      if (run.groups[field][1][place] !== name) return false;
    }
    switch (this.parts.filter.value) {
      case "beats": { const [a, b] = this.pair(question); return a !== null && b !== null && a - b >= (run.graded ? MARGIN : 0.5) - 1e-9; }
      case "nobody": { const best = this.value(question, "oracle", Math.max(...run.keys.filter(([m]) => m === "oracle").map(([, k]) => k))); return best !== null && best <= 0; }
      case "everybody": { const mean = this.value(question, "single", n); return mean !== null && mean >= 1; }
      case "unscored": return run.keys.some(([, k], at) => String(k) === n && question[2][at] === null);
      default: return true;
    }
  }

  get words() {
    return this.parts.find.value.trim().toLowerCase();
  }

  get inResponses() {
    return this.words && this.parts.where.value === "responses";
  }

  found() {
    const words = this.words;
    return run.questions.map((question, place) => [question, place]).filter(([question, place]) => this.holds(question, place) && (
      this.inResponses ? this.matching?.has(place) : !words || question[0].toLowerCase().includes(words) || question[1].toLowerCase().includes(words)));
  }

  /* Look through every response, question by question, unless the words change meanwhile. */
  async search() {
    const words = this.words, matching = new Set();
    this.matching = matching;
    for (let place = 0; place < run.questions.length; place += 1) {
      const chunk = await unpacked(`q${place}`);
      if (this.words !== words || !this.inResponses) return;
      if (written_by(chunk).some((text) => has(text, words))) matching.add(place);
      if (place % 20 === 19) byId("count").textContent = `searching: ${place + 1} of ${run.questions.length} questions`;
    }
    this.draw();
    if (this.open !== undefined && matching.has(this.open)) this.show(this.open, false);
  }

  draw() {
    const found = this.found();
    const [a, b] = ["method-a", "method-b"].map((id) => this.parts[id].value);
    byId("count").textContent = `${found.length} of ${run.questions.length} questions`;
    byId("key").textContent = a ? `A: ${a}. B: ${b}. At n = ${this.parts.budget.value}: ${run.graded ? "the score, %" : "✓ right, ✗ wrong, % right in part"}.` : "";
    const buttons = found.slice(0, this.limit).map(([question, place]) => {
      const marks = this.pair(question).map((value, at) => mark("AB"[at], value));
      const button = make("button", { type: "button", "data-place": place, "aria-current": place === this.open ? "true" : null },
        make("strong", { dir: "auto" }, question[0]), a ? make("span", { class: "marks" }, ...marks) : null, make("bdi", {}, question[1]));
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
    clearTimeout(this.waiting);
    this.matching = null;
    if (this.inResponses) this.waiting = setTimeout(() => this.search(), 250);
    this.draw();
    if (this.inResponses) byId("count").textContent = "searching";
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
    const math = this.parts.math.checked, n = Number(this.parts.budget.value);
    this.detail.replaceChildren(...new Opened(name, chunk, { math, n, words: this.inResponses ? this.words : "" }).parts());
    this.detail.scrollTop = 0;
    if (!focus) return;
    history.replaceState(null, "", `#q=${encodeURIComponent(name)}`);
    this.detail.focus({ preventScroll: true });
    if (this.detail.getBoundingClientRect().top < 0 || matchMedia("(max-width: 46rem)").matches) this.detail.scrollIntoView();
  }
}

function alone(method) {
  const own = run.keys.map(([name], at) => [name, at]).filter(([name]) => name === method);
  return own.length === 1 ? own[0][1] : undefined;
}

function score(value) {
  if (value === undefined || value === null) return make("span", { class: "soft" }, run.lack);
  if (run.graded) return make("span", { class: value >= 0.5 ? "good" : "bad" }, `${percent(value)} %`);
  const [kind, word] = value >= 0.5 ? ["good", "✓ right"] : ["bad", "✗ wrong"];
  return make("span", { class: kind }, value > 0 && value < 1 ? `${percent(value, 0)} % right` : word);
}

/* A method's score of a question in the list: right, wrong, or how far. */
function mark(letter, value) {
  if (value === null || value === undefined) return make("span", { class: "soft" }, `${letter} –`);
  const whole = value >= 1 - 1e-9 ? "✓" : value <= 1e-9 ? "✗" : percent(value, 0);
  return make("span", { class: value >= 0.5 ? "good" : "bad" }, `${letter} ${run.graded ? percent(value, 0) : whole}`);
}

function written_by(chunk) {
  return [...chunk.rollouts, ...chunk.rows].flatMap((each) => [each.text, each.reasoning]).filter((text) => text !== undefined);
}

function has(text, words) {
  return Boolean(words) && text !== undefined && text.toLowerCase().includes(words);
}

async function start() {
  run = await unpacked("index");
  keyAt = new Map(run.keys.map(([method, n], at) => [`${method}\n${n}`, at]));
  const scored = run.table.filter((row) => row.score !== undefined);
  everywhere = scored.length ? flagsOf(scored[0]).filter((flag) => scored.every((row) => flagsOf(row).includes(flag))) : [];
  byId("title").textContent = `${run.task} · ${run.model}`;
  byId("facts").textContent = run.facts.join(" · ");
  byId("notes").append(...run.notes.map((note) => make("li", { dir: "auto" }, note)));
  references = new Set(run.table.map((row) => row.reference));
  new Table();
  new Curves(run.table, run.looks);
  new Signals(run.signals, run.signal_notes);
  new Explorer();
  document.body.dataset.ready = "yes";
}

start().catch((error) => { byId("facts").textContent = `This page cannot be shown: ${error.message}`; throw error; });

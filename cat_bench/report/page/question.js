"use strict";
/* The open question: its methods, its rollouts, and what was sent for them. */

class Opened {
  constructor(name, chunk, { math, n, words }) {
    Object.assign(this, { name, chunk, math, n, words });
  }

  parts() {
    const { chunk, math } = this;
    const meta = Object.entries(chunk.meta || {}).map(([key, value]) => `${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`).join(" · ");
    const methods = [...new Set(chunk.rows.map((row) => row.method))];
    return [
      make("h3", { dir: "auto" }, this.name),
      meta ? make("p", { class: "note", dir: "auto" }, meta) : null,
      written(chunk.text, { math, kind: "question" }),
      chunk.right === undefined ? null : make("p", {}, "right answer ", make("span", { class: "answer", dir: "auto" }, chunk.right)),
      methods.length ? make("h3", {}, `Methods at n = ${this.n}`) : null,
      ...methods.map((method) => this.method(method)),
      make("h3", {}, `Rollouts (${chunk.rollouts.length})`),
      chunk.asked === undefined ? null : this.folded([make("span", {}, "what was sent for each rollout"), this.how(chunk.sent[chunk.asked])], () => this.messages(chunk.sent[chunk.asked]), "call"),
      run.unsent ? make("p", { class: "note" }, run.unsent) : null,
      ...chunk.rollouts.map((rollout) => this.rollout(rollout)),
    ].filter(Boolean);
  }

  method(name) {
    const every = this.chunk.rows.filter((row) => row.method === name);
    const budgets = every.map((row) => row.n), below = budgets.filter((n) => n <= this.n);
    const n = Math.max(...(below.length ? below : budgets));
    const rows = every.filter((row) => row.n === n);
    const values = rows.filter((row) => row.score !== undefined).map((row) => row.score);
    const mean = values.length ? values.reduce((a, b) => a + b, 0) / values.length : undefined;
    const draws = rows.length > 1 ? `${rows.length} draws` : rows[0].draw === undefined ? "exact" : "1 draw";
    const inside = () => rows.map((row) => this.estimate(row, rows.length > 1));
    const head = [make("strong", {}, name), score(mean), make("span", { class: "soft" }, n === this.n ? draws : `${draws}, n = ${n}`)];
    return this.folded([...head, this.match(rows)], inside, "method");
  }

  estimate(row, several) {
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
      row.text === undefined ? null : this.text(row.text),
      ...this.calls(row, "calls", "call"),
      ...this.calls(row, "verdicts", "verdict"));
  }

  rollout(rollout) {
    const head = [
      make("strong", {}, `#${rollout.slot}`), score(rollout.score),
      rollout.answer === undefined ? null : make("span", { class: "answer", dir: "auto" }, shortened(rollout.answer)),
      rollout.cluster === undefined ? null : make("span", { class: "chip" }, `cluster ${rollout.cluster}`),
      rollout.met ? make("span", { class: "soft" }, `${rollout.met.filter(Boolean).length} of ${rollout.met.length} criteria`) : null,
      make("span", { class: "soft", dir: "auto" }, rollout.failed ?? [rollout.finish, `${rollout.completion_tokens ?? 0} tokens`].filter(Boolean).join(", ")),
      this.match([rollout]),
    ];
    return this.folded(head, () => [
      rollout.text === undefined ? make("p", { class: "note" }, rollout.failed ? "There is no text." : "The text is not in the cache that this page was made from, or the task's data are not here (CAT_BENCH_CACHE, CAT_BENCH_DATA).") : null,
      ...this.reply(rollout),
      rollout.met ? verdicts(rollout.met, this.chunk.criteria || []) : null,
      ...this.calls(rollout, "verdicts", "verdict"),
    ].filter(Boolean), "rollout");
  }

  /* The texts of a reply: its reasoning, and what it says. */
  reply(reply) {
    return [
      reply.reasoning ? this.folded([make("span", { class: "soft" }, "reasoning")], () => [this.text(reply.reasoning)]) : null,
      reply.text === undefined ? null : this.text(reply.text),
      reply.cut ? cut(reply.cut) : null,
    ].filter(Boolean);
  }

  calls(row, name, word) {
    const calls = row[name] ?? [], all = row[`${name}_of`] ?? calls.length;
    const blocks = calls.map(([place, slot, result], at) => {
      const sent = this.chunk.sent[place];
      const head = [make("span", {}, all > 1 ? `${word} ${at + 1} of ${all}` : word), this.how(sent, slot)];
      return this.folded(head, () => [
        ...this.messages(sent),
        make("p", { class: "soft" }, "reply", result.finish ? `, ${result.finish}` : "", result.completion_tokens === undefined ? "" : `, ${result.completion_tokens} tokens`),
        ...this.reply(result),
        result.text === undefined ? make("p", { class: "note", dir: "auto" }, result.failed ?? "The call is not in the cache that this page was made from.") : null,
      ].filter(Boolean), "call");
    });
    return all > calls.length ? [...blocks, make("p", { class: "note" }, `And ${all - calls.length} more: cat-bench show RUN --question ID --full.`)] : blocks;
  }

  how(sent, slot = 0) {
    const sampling = Object.entries(sent.sampling).map(([name, value]) => `${name} ${typeof value === "string" ? value : JSON.stringify(value)}`);
    const said = [`${sent.role} ${sent.model ?? ""}`, sent.kind, ...sampling, slot ? `slot ${slot}` : ""];
    return make("span", { class: "soft", dir: "auto" }, said.filter(Boolean).join(", "));
  }

  messages(sent) {
    const shown = sent.messages.map(([role, ...content]) => [role, content]);
    if (sent.text) shown.push([sent.kind, sent.text]);
    return shown.flatMap(([role, content]) => [
      make("p", { class: "soft" }, role),
      written(content.map((part) => this.whole(part)).join(""), { math: false, kind: "sent" }),
      ...content.filter((part) => part?.cut !== undefined).map((part) => cut(part.of)),
    ]);
  }

  /* A part of a message: a string, or the text of a rollout or of the question that it quotes. */
  whole(part) {
    if (typeof part === "number") return part < 0 ? this.chunk.text : this.chunk.rollouts.find((rollout) => rollout.slot === part).text;
    return part.cut ?? part;
  }

  text(text) {
    return written(text, { math: this.math });
  }

  match(each) {
    const found = each.some((one) => has(one.text, this.words) || has(one.reasoning, this.words));
    return found ? make("span", { class: "chip match" }, "found here") : null;
  }

  folded(head, inside, kind = null) {
    const block = make("details", { class: kind }, make("summary", {}, ...head.filter(Boolean)));
    block.addEventListener("toggle", () => { if (block.open && block.children.length === 1) block.append(...inside()); });
    return block;
  }
}

function cut(length) {
  return make("p", { class: "note" }, `Cut here; the whole text has ${length} characters.`);
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

"use strict";
/* Texts that models wrote: always text nodes; formulas become MathML, and stay text where they
   cannot be read. Every element comes from `make`, and nothing here parses markup. */

const LONGEST_FORMULA = 3000;
const MOST_FORMULAS = 500;
const DELIMITED = /\$\$([\s\S]+?)\$\$|\\\[([\s\S]+?)\\\]|\\\(([\s\S]+?)\\\)|\$(?![\s$])((?:[^$\n\\]|\\.){1,400}?)(?<![\s\\])\$(?!\d)|(\\boxed\{(?:[^{}\n]|\{(?:[^{}\n]|\{[^{}\n]*\})*\})*\})/g;

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function formula(source, display) {
  if (source.length > LONGEST_FORMULA) return null;
  const place = document.createElement("span");
  try {
    katex.render(source, place, { output: "mathml", displayMode: display, throwOnError: true, strict: "ignore", trust: false, maxExpand: 200, maxSize: 20 });
  } catch (error) {
    return null;
  }
  return place;
}

function written(text, { math = true, kind = "" } = {}) {
  const block = make("div", { class: `text ${kind}`.trim(), dir: "auto", tabindex: text.length > 1500 ? 0 : null, role: text.length > 1500 ? "region" : null, "aria-label": text.length > 1500 ? "text" : null });
  let done = 0, count = 0;
  if (math) {
    for (const found of text.matchAll(DELIMITED)) {
      if (++count > MOST_FORMULAS) break;
      const source = found.slice(1).find((part) => part !== undefined);
      const shown = formula(source, found[1] !== undefined || found[2] !== undefined);
      if (shown === null) continue;
      block.append(text.slice(done, found.index), shown);
      done = found.index + found[0].length;
    }
  }
  block.append(text.slice(done));
  return block;
}

async function unpacked(id) {
  const packed = atob(document.getElementById(id).textContent);
  const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

/* A number with so many decimals, a half away from zero: what report/rounding.py says it is. */
function fixed(value, digits = 1) {
  const scale = 10 ** digits, size = Math.round(Number((Math.abs(value) * scale).toFixed(9 - digits))) / scale;
  return (value < 0 && size ? "−" : "") + size.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

const percent = (share, digits = 1) => share === undefined || share === null ? "" : fixed(100 * share, digits);
const signed = (share) => percent(share).replace(/^(?!−)/, "+");

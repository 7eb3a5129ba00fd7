"use strict";
// Everything a model wrote reaches the page as text nodes only.
const data = JSON.parse(document.getElementById("data").textContent);
const dialog = document.getElementById("task");
const root = document.documentElement;

function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "on") element.addEventListener("click", value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

const code = (text) => h("pre", null, h("code", null, text));
const chip = (text, kind) => h("span", { class: "chip " + (kind || "") }, text);
const more = (label, ...children) => h("details", { class: "try" }, h("summary", null, ...label), ...children);

async function unpack(blob) {
  const bytes = Uint8Array.from(atob(blob), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

function tree(nodes) {
  const shown = nodes.filter((node) => /^root(\.|$)/.test(node.id));
  const children = (id) => shown.filter((node) => node.id.slice(0, node.id.lastIndexOf(".")) === id && node.id.includes("."));
  const item = (node) => {
    const below = children(node.id);
    return h("li", null, h("code", null, node.name || node.id), " ", chip(node.state, node.state === "solved" ? "yes" : node.state === "failed" ? "no" : ""),
      node.plan ? "plan: " + node.plan : "", below.length ? h("ul", null, ...below.map(item)) : null);
  };
  return h("ul", { class: "tree" }, ...shown.filter((node) => node.id === "root").map(item));
}

function candidate(one) {
  const found = one.evidence;
  const passes = found.loads && found.examples_passed === found.examples_total;
  const examples = found.loads ? `${found.examples_passed}/${found.examples_total} examples` : "does not load";
  const checks = found.checks_total ? `, ${found.checks_passed}/${found.checks_total} generated checks` : "";
  const failure = found.failure ? `${found.failure.code}: expected ${found.failure.expected}, got ${found.failure.observed}` : found.detail;
  return more([chip(examples, passes ? "yes" : "no"), `${one.step}: ${one.origin} of ${one.node}, rule ${one.rule}${one.cut ? ", cut" : ""}${checks}`],
    failure ? h("p", null, failure) : null, code(one.source));
}

function call(one) {
  const tokens = one.texts.reduce((sum, text) => sum + text.tokens, 0);
  const answers = one.texts.map((text, i) => h("div", null, h("p", { class: "note" }, `answer ${i + 1}: ${text.tokens} tokens, ended by ${text.ended}`), code(text.text)));
  return more([`${one.step}: ${one.role}, ${one.texts.length} ${one.texts.length === 1 ? "answer" : "answers"}, ${tokens} tokens`],
    h("h3", null, "Prompt"), code(one.prompt), h("h3", null, "What it said"), ...answers);
}

function attempts(held) {
  const trace = held.trace;
  if (!trace) return [h("p", { class: "warnings" }, "The trace of this sample is missing: its tree and attempts cannot be shown.")];
  const parts = [h("h3", null, "Tree of functions"), tree(trace.nodes)];
  if (trace.candidates) parts.push(h("h3", null, `What was tried (${trace.candidates.length})`), ...trace.candidates.map(candidate));
  if (trace.calls) parts.push(h("h3", null, `What the model was asked (${trace.calls.length})`), ...trace.calls.map(call));
  if (trace.notes.length) parts.push(h("h3", null, "Notes"), h("ul", null, ...trace.notes.map((note) => h("li", null, note))));
  if (held.left_out) parts.push(h("p", { class: "warnings" }, `Left out to keep this page small: ${held.left_out}. It is in the run's traces folder.`));
  return parts;
}

function verdict(outcome) {
  const base = outcome.base === null ? chip("not judged") : chip(outcome.base ? "✓ passed" : "✗ " + outcome.status, outcome.base ? "yes" : "no");
  const plus = outcome.plus === null ? null : chip(outcome.plus ? "✓ plus" : "✗ plus", outcome.plus ? "yes" : "no");
  return [base, plus, ` claims ${outcome.claim} · ${outcome.tokens} tokens · rule ${outcome.rule}${outcome.cut ? " · cut" : ""}`].filter((part) => part !== null);
}

async function sample(arm, task, outcome, open) {
  const blob = data.packed[`${arm}\n${task}\n${outcome.sample}`];
  const several = data.outcomes[`${arm}\n${task}`].length > 1;
  const block = h("details", { open: open && outcome.sample === 0 }, h("summary", null, `${arm}${several ? ", sample " + outcome.sample : ""} `, ...verdict(outcome)));
  const held = await unpack(blob);
  block.append(outcome.detail ? h("p", null, "Hidden tests: " + outcome.detail) : "", held.trace && held.trace.statement ? h("p", null, "The team says: " + held.trace.statement) : "",
    held.solution ? code(held.solution) : h("p", null, "No code was found in any answer."));
  if (held.raw) block.append(more(["The answer as it was written"], code(held.raw)));
  block.append(...attempts(held));
  return { block, task: held.trace ? held.trace.task : "" };
}

async function show(task, arm) {
  const at = data.tasks.indexOf(task);
  if (at < 0) return;
  const go = (step) => () => { location.hash = "task=" + encodeURIComponent(data.tasks[at + step]) + (arm ? "&arm=" + encodeURIComponent(arm) : ""); };
  const shown = h("div", null);
  const button = (text, step) => h("button", { type: "button", on: go(step), disabled: data.tasks[at + step] === undefined }, text);
  dialog.replaceChildren(h("div", { class: "bar" }, h("h2", { id: "task-name", tabindex: "-1", autofocus: true }, task), button("Previous", -1), button("Next", 1),
    h("button", { type: "button", on: () => dialog.close() }, "Close")), shown);
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  const wanted = arm || data.arms[data.arms.length - 1];
  const found = [];
  for (const name of data.arms) {
    const outcomes = data.outcomes[`${name}\n${task}`];
    if (!outcomes.length) found.push({ block: h("p", null, name + ": not generated yet."), task: "" });
    for (const outcome of outcomes) found.push(await sample(name, task, outcome, name === wanted));
  }
  const asked = found.map((one) => one.task).find(Boolean);
  shown.replaceChildren(...(asked ? [h("h3", null, "Task"), code(asked)] : []), h("h3", null, "Arms"), ...found.map((one) => one.block));
  dialog.dataset.ready = task;
}

function follow() {
  const asked = new URLSearchParams(location.hash.slice(1).replace(/\+/g, "%2B"));
  if (asked.has("task")) show(asked.get("task"), asked.get("arm"));
  else if (dialog.open) dialog.close();
}

dialog.addEventListener("close", () => { if (location.hash) history.pushState(null, "", location.pathname + location.search); });
window.addEventListener("hashchange", follow);
const theme = document.getElementById("theme");
theme.hidden = false;
theme.addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
follow();

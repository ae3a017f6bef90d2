// The list of runs: filtered and a page at a time. What is chosen stands behind the # of the address, so that
// links lead to it and the browser's "back" leaves it. Whatever was written elsewhere is set as text.
"use strict";

const AT_ONCE = 100;
const FIELDS = ["repo", "outcome", "worker", "model"];
const {words, runs} = JSON.parse(document.getElementById("data").textContent);
const list = document.querySelector("ol.runs");
const pattern = document.querySelector("template").content.firstElementChild;
const form = document.querySelector(".filters");
const found = runs.map(unpacked);
let shown = [];
let chosen = {};

function unpacked([finished, moment, id, repo, number, issueUrl, verdict, outcome, state, proof, title, detail, cause,
  worker, model, seconds, turns, cost, pullUrl, pullNumber, page]) {
  const w = key => words[key];
  const run = {finished, moment: w(moment), repo: w(repo), number, issueUrl, verdict: w(verdict), outcome: w(outcome),
    state: w(state), proof: w(proof), title: w(title), detail: w(detail), cause: w(cause), worker: w(worker),
    model: w(model), seconds: w(seconds), turns: w(turns), cost: w(cost), pullUrl, pullNumber: w(pullNumber), page};
  run.name = number === null ? run.repo : `${run.repo}#${number}`;
  run.text = [run.name, id, run.title, run.detail, run.outcome, run.proof, run.worker, run.model].join("\n").toLowerCase();
  return run;
}

function setText(place, selector, text) {
  const part = place.querySelector(selector);
  if (text) (part.querySelector("bdi") || part).textContent = text;
  else part.remove();
}

function setLink(link, url, text) {
  if (url) [link.href, link.textContent] = [url, text];
  else link.replaceWith(text);
}

function item(run) {
  const one = pattern.cloneNode(true);
  const badge = one.querySelector(".badge");
  badge.className = `badge ${run.verdict}`;
  badge.querySelector(".sign").textContent = {passed: "✓", failed: "✕", neither: "–"}[run.verdict];
  badge.childNodes[1].textContent = run.state ? `${run.outcome} ` : run.outcome;
  setText(badge, ".state", run.state);
  const proof = one.querySelector(".proof");
  proof.className = `proof ${run.proof}`;
  if (run.proof) proof.textContent = run.proof;
  else proof.remove();
  setLink(one.querySelector(".issue a"), run.issueUrl, run.name);
  setText(one, ".title", run.title);
  setText(one, ".detail", run.detail);
  const time = one.querySelector("time");
  [time.dateTime, time.textContent] = [run.finished, run.moment];
  setText(one, ".worker", run.worker);
  setText(one, ".model", run.model);
  const spent = one.querySelector(".spent");
  if (run.seconds) [run.seconds, run.turns, run.cost].forEach((text, at) => { spent.children[at].textContent = text; });
  else spent.replaceChildren();
  const [pull, page] = one.querySelectorAll(".links a");
  if (run.pullUrl) setLink(pull, run.pullUrl, `pull ${run.pullNumber}`);
  else pull.remove();
  if (run.page) page.href = run.page;
  else page.remove();
  return one;
}

function isChosen(run) {
  return FIELDS.every(field => !chosen[field] || run[field] === chosen[field])
    && (!chosen.cause || run.cause === chosen.cause) && (!chosen.since || run.finished >= chosen.since)
    && chosen.texts.every(text => run.text.includes(text));
}

function show() {
  shown = found.filter(isChosen);
  const pages = Math.max(Math.ceil(shown.length / AT_ONCE), 1);
  const at = Math.min(Math.max(Number.parseInt(chosen.page, 10) || 1, 1), pages);
  list.replaceChildren(...shown.slice((at - 1) * AT_ONCE, at * AT_ONCE).map(item));
  const all = runs.length.toLocaleString("en"), some = shown.length.toLocaleString("en");
  const of = shown.length === runs.length ? `${all} ${runs.length === 1 ? "run" : "runs"}` : `${some} of ${all} runs`;
  document.querySelector(".count").textContent = pages > 1 ? `${of}, page ${at} of ${pages}` : of;
  const nav = document.querySelector("nav.pages");
  nav.hidden = pages === 1;
  nav.querySelector("span").textContent = `page ${at} of ${pages}`;
  nav.querySelector(".newer").disabled = at === 1;
  nav.querySelector(".older").disabled = at === pages;
  chosen.page = at;
  const only = document.querySelector(".chosen");
  only.hidden = !chosen.cause && !chosen.since;
  only.querySelector("span").textContent = [chosen.cause && `Cause: ${chosen.cause}`,
    chosen.since && `since ${chosen.since.slice(0, 10)}`].filter(Boolean).join(", ");
}

function take() {
  const given = new URLSearchParams(location.hash.slice(1));
  chosen = Object.fromEntries(given);
  for (const field of [...FIELDS, "text"]) {
    form.elements[field].value = chosen[field] || "";
    if (chosen[field] && form.elements[field].value !== chosen[field]) {
      form.elements[field].add(new Option(chosen[field]));
      form.elements[field].value = chosen[field];
    }
  }
  chosen.texts = (chosen.text || "").toLowerCase().split(/\s+/).filter(Boolean);
  show();
}

function choose(changes, {replaces = false} = {}) {
  const {texts, ...kept} = {...chosen, page: "", ...changes};
  const hash = new URLSearchParams(Object.entries(kept).filter(([, value]) => value && value !== 1)).toString();
  history[replaces ? "replaceState" : "pushState"](null, "", hash ? `#${hash}` : location.pathname + location.search);
  take();
}

function turn(by) {
  choose({page: chosen.page + by});
  document.querySelector(".count").scrollIntoView();
}

for (const field of FIELDS) {
  const values = [...new Set(found.map(run => run[field]))].filter(Boolean).sort();
  form.elements[field].append(...values.map(value => new Option(value)));
  form.elements[field].addEventListener("change", event => choose({[field]: event.target.value}));
}
form.elements.text.addEventListener("input", event => choose({text: event.target.value}, {replaces: true}));
form.addEventListener("submit", event => event.preventDefault());
document.querySelector(".chosen button").addEventListener("click", () => choose({cause: "", since: ""}));
document.querySelector(".newer").addEventListener("click", () => turn(-1));
document.querySelector(".older").addEventListener("click", () => turn(1));
addEventListener("hashchange", take);
addEventListener("popstate", take);
form.hidden = false;
take();

// Keeps a page as things are, without loading it again. Whatever comes is set as text.
"use strict";

const MOST_LINES = 2000;
const RETRY_MS = 5000;
const RENEW_MS = 1000;
const page = document.body;
const live = document.querySelector(".live");
let state = {};
let source = null;
let fetching = false;
let waits = false;  // a newer page, for the end of a selection

function text(selector, value) {
  const found = live && live.querySelector(selector);
  if (found && found.textContent !== value) found.textContent = value;
}

function clock(seconds) {
  const whole = Math.max(Math.floor(seconds), 0);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")} min`;
}

function connected(is) {
  text(".connection", is ? "live" : "");
  document.querySelector(".lost").textContent = is ? "" : "No connection: this is as it was. Trying again.";
}

function showState() {
  const now = Date.now() / 1000;
  const left = state.ends ? ` · ${clock(state.ends - now)} left` : "";
  const bound = state.longest ? ` of ${clock(state.longest)}` : "";
  const took = state.since ? `${clock(now - state.since)}${bound} · ` : "";  // before what may be cut off
  text(".said", (state.said || "") + left);
  text(".doing", state.doing ? `> ${took}${state.doing}` : "");
  text(".printed", state.output || "");
}

function addLines(lines) {
  const log = live && live.querySelector(".log");
  if (!log) return;
  const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  for (const [style, indent, words] of lines) {
    const line = document.createElement("p");
    line.className = `${style} in${indent}`;
    line.textContent = words;
    log.append(line);
  }
  while (log.childElementCount > MOST_LINES) log.firstElementChild.remove();
  if (follows) log.scrollTop = log.scrollHeight;
}

function opened() {
  return new Map([...document.querySelectorAll("main details")].map(one => [nameOf(one), one.open]));
}

function nameOf(details) {
  const section = details.closest("section");
  return `${section ? section.getAttribute("aria-labelledby") : ""} ${details.firstElementChild.textContent}`;
}

// How what has the focus is found in another page: by where it leads, or by what it is called.
function named(element) {
  if (!element) return null;
  if (element.href) return `a ${element.getAttribute("href")}`;
  if (element.localName === "summary") return `summary ${nameOf(element.parentElement)}`;
  return element.getAttribute("aria-label");
}

function scrolled() {
  const parts = [...document.querySelectorAll("main [aria-label][tabindex], nav.inside")];
  return new Map(parts.map(one => [named(one), [one.scrollLeft, one.scrollTop]]));
}

function isSelecting() {
  const chosen = getSelection();
  return !chosen.isCollapsed && document.querySelector("main").contains(chosen.anchorNode);
}

// The page as it is now, in place of what is shown; what is open, scrolled or has the focus, and the log, stay
// as they are.
async function renew() {
  if (fetching) return;
  fetching = true;
  let isNew = false;
  try {
    const answer = await fetch(location.pathname, {cache: "no-store"});
    if (!answer.ok || answer.redirected) return;
    waits = isSelecting();
    if (waits) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const open = opened();
    for (const one of fresh.querySelectorAll("main details")) {
      if (open.has(nameOf(one))) one.open = open.get(nameOf(one));
    }
    const place = fresh.querySelector(".live");
    if (live && place) place.replaceWith(live);
    else if (live) fresh.querySelector("main").prepend(live);
    const [focus, places] = [named(document.activeElement), scrolled()];
    for (const part of ["header.top", "nav.inside", "main", "footer"]) {
      const [old, now] = [document.querySelector(part), fresh.querySelector(part)];
      if (old && now) old.replaceWith(now);
      else if (now) document.querySelector("main").before(now);
    }
    for (const one of document.querySelectorAll("a, summary, [aria-label]")) {
      const name = named(one);
      if (places.has(name)) [one.scrollLeft, one.scrollTop] = places.get(name);
      if (focus && name === focus && document.activeElement === page) one.focus({preventScroll: true});
    }
    document.title = fresh.title;
    document.querySelector("link[rel=icon]").href = fresh.querySelector("link[rel=icon]").href;
    page.dataset.stamp = fresh.body.dataset.stamp || state.stamp;  // a run that is over has none
    isNew = true;
  } catch (error) {
    // the server is away: the stream says so, and brings the next stamp when it is back
  } finally {
    fetching = false;
  }
  // What was given was a second old, or the run went on meanwhile.
  if (live && isNew && page.dataset.stamp !== state.stamp) setTimeout(renew, RENEW_MS);
}

function connect() {
  if (source) return;
  source = new EventSource(live ? live.dataset.events : "/events");
  source.onopen = () => connected(true);
  source.onerror = () => {
    connected(false);
    if (source && source.readyState === EventSource.CLOSED) {  // it was refused, and tries no more by itself
      source = null;
      setTimeout(() => document.hidden || connect(), RETRY_MS);
    }
  };
  source.addEventListener("begin", () => live && live.querySelector(".log").replaceChildren());
  source.addEventListener("lines", event => addLines(JSON.parse(event.data)));
  source.addEventListener("state", event => {
    state = JSON.parse(event.data);
    showState();
    if (state.stamp !== page.dataset.stamp) renew();
    if (state.over) {
      text(".connection", "over");
      source.onerror = null;
      source.close();
    }
  });
}

document.addEventListener("selectionchange", () => {
  if (waits && !isSelecting()) renew();
});
document.addEventListener("visibilitychange", () => {
  // A browser has few connections for one address: tabs that nobody sees give theirs back.
  if (!document.hidden) connect();
  else if (source) {
    source.close();
    source = null;
  }
});
if (!document.hidden) connect();
if (live) setInterval(showState, 1000);

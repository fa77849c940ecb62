// Elements, the keyboard inside a group, and the words that hovering or focusing shows.
// Texts reach the page as text nodes alone; the page's policy refuses any other way.

import { locale } from "./texts.js";

export const byId = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// A place whose content `fill` makes: the content itself takes part in the layout around it.
export const place = (attributes = {}) => element("div", { class: "part", ...attributes });

const madeFrom = new WeakMap();

// Fills a place anew if the language or anything else that its content is made from has changed:
// what has not changed keeps the focus that is in it.
export function fill(at, from, make) {
  const now = [locale(), ...from];
  const before = madeFrom.get(at);
  if (before && now.every((value, index) => value === before[index])) return;
  madeFrom.set(at, now);
  at.replaceChildren(...make().filter(Boolean));
}

// Says something to a screen reader, without moving the focus.
export function announce(words) {
  byId("announcer").textContent = words;
}

// An element that explains itself on hover, on focus and to a screen reader.
export function explained(made, words) {
  made.dataset.tip = words;
  made.setAttribute("aria-label", words);
  return made;
}

// One stop for the Tab key; the arrow keys walk inside. A table is walked in two directions.
export function walkable(container) {
  const stops = [...container.querySelectorAll("[data-tip]")];
  const rows = [...container.querySelectorAll("tr")]
    .map((row) => [...row.querySelectorAll("[data-tip]")])
    .filter((row) => row.length);
  stops.forEach((stop, index) => (stop.tabIndex = index ? -1 : 0));

  function next(from, key) {
    const row = rows.findIndex((cells) => cells.includes(from));
    const at = row < 0 ? stops.indexOf(from) : rows[row].indexOf(from);
    const line = row < 0 ? stops : rows[row];
    if (key === "ArrowRight") return line[at + 1];
    if (key === "ArrowLeft") return line[at - 1];
    if (key === "Home") return line[0];
    if (key === "End") return line.at(-1);
    if (key === "ArrowDown") return row < 0 ? line[at + 1] : rows[row + 1]?.[at];
    if (key === "ArrowUp") return row < 0 ? line[at - 1] : rows[row - 1]?.[at];
    return undefined;
  }

  container.addEventListener("keydown", (event) => {
    const to = next(event.target, event.key);
    if (!to) return;
    event.preventDefault();
    to.focus();
  });
  container.addEventListener("focusin", (event) => {
    if (!stops.includes(event.target)) return;
    for (const stop of stops) stop.tabIndex = stop === event.target ? 0 : -1;
  });
  return container;
}

export function startTips() {
  const tip = byId("tip");
  let hiding;
  let shown = null;

  function show(target) {
    clearTimeout(hiding);
    shown = target;
    tip.textContent = target.dataset.tip;
    tip.hidden = false;
    const at = target.getClientRects()[0] ?? target.getBoundingClientRect();
    const box = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, at.left), document.documentElement.clientWidth - box.width - 8);
    const below = at.bottom + box.height + 12 < innerHeight;
    tip.style.setProperty("left", `${left}px`);
    tip.style.setProperty("top", `${below ? at.bottom + 6 : at.top - box.height - 6}px`);
  }
  function hide() {
    tip.hidden = true;
  }
  // Late enough for the pointer to reach the words themselves.
  function hideSoon() {
    clearTimeout(hiding);
    hiding = setTimeout(hide, 150);
  }

  const explainedAt = (event) => event.target.closest?.("[data-tip]");
  document.addEventListener("pointerover", (event) => {
    const target = explainedAt(event);
    if (target) show(target);
    else if (event.target === tip) clearTimeout(hiding);
  });
  document.addEventListener("pointerout", hideSoon);
  document.addEventListener("focusin", (event) => {
    const target = explainedAt(event);
    if (target) show(target);
  });
  document.addEventListener("focusout", hideSoon);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
  // Walking with the arrow keys scrolls, and the words go along.
  const move = () => (shown === document.activeElement && !tip.hidden ? show(shown) : hide());
  addEventListener("scroll", move, { capture: true, passive: true });
}

// Libraries kept by others, fetched when they are first needed. The addresses are fixed here, and
// the page's policy lets no other script in.
const LIBRARIES = {
  Chart: "web/vendor/chart.js/chart.umd.min.js",
  Papa: "web/vendor/papaparse/papaparse.min.js",
};
const trusted = globalThis.trustedTypes?.createPolicy("libraries", {
  createScriptURL: (name) => LIBRARIES[name],
});
const loading = {};

export function library(name) {
  loading[name] ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = trusted ? trusted.createScriptURL(name) : LIBRARIES[name];
    script.onload = () => resolve(globalThis[name]);
    script.onerror = () => {
      delete loading[name];
      reject(new Error(`${name} could not be loaded`));
    };
    document.head.append(script);
  });
  return loading[name];
}

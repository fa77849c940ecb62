// Elements, the keyboard inside a group, and tips shown on hover and focus.
// Texts reach the page as text nodes alone; the page's policy refuses any other way.

import { locale } from "./texts.js";

/**
 * Return the element with an id; `kind` is its class where more than an HTMLElement is needed.
 *
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @param {new () => T} [kind]
 * @returns {T}
 */
export const byId = (id, kind) => /** @type {T} */ (document.getElementById(id));

/**
 * Create an element; an attribute that is null or false is left out.
 *
 * @template {keyof HTMLElementTagNameMap} N
 * @param {N} name
 * @param {Record<string, string | number | boolean | null>} attributes
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[N]}
 */
export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) node.setAttribute(key, String(value));
  }
  node.append(...children);
  return node;
}

/**
 * Create an element for `fill`, whose children take part in the layout around it.
 *
 * @param {Record<string, string>} attributes
 */
export const place = (attributes = {}) => element("div", { class: "part", ...attributes });

/** @type {WeakMap<Element, unknown[]>} */
const inputsOf = new WeakMap();

/**
 * Replace an element's children if the language or any of the inputs that they are made from has
 * changed; otherwise the focus inside them is kept.
 *
 * @param {Element} container
 * @param {unknown[]} inputs
 * @param {() => (Node | string | false | null | undefined)[]} make
 */
export function fill(container, inputs, make) {
  const now = [locale(), ...inputs];
  const before = inputsOf.get(container);
  if (before && now.every((value, index) => value === before[index])) return;
  inputsOf.set(container, now);
  container.replaceChildren(.../** @type {(Node | string)[]} */ (make().filter(Boolean)));
}

/**
 * Say something to a screen reader, without moving the focus.
 *
 * @param {string} words
 */
export function announce(words) {
  byId("announcer").textContent = words;
}

/**
 * Let an element explain itself on hover, on focus and to a screen reader.
 *
 * @template {HTMLElement} T
 * @param {T} node
 * @param {string} words
 * @returns {T}
 */
export function explained(node, words) {
  node.dataset.tip = words;
  node.setAttribute("aria-label", words);
  return node;
}

/**
 * Give a group one stop for the Tab key; the arrow keys move inside, in a table in two directions.
 *
 * @template {HTMLElement} T
 * @param {T} container
 * @returns {T}
 */
export function walkable(container) {
  /** @type {(scope: Element) => HTMLElement[]} */
  const explainedIn = (scope) => [...scope.querySelectorAll("[data-tip]")].map((node) => /** @type {HTMLElement} */ (node));
  container.dataset.tips = "";
  const stops = explainedIn(container);
  const rows = [...container.querySelectorAll("tr")].map(explainedIn).filter((row) => row.length);
  stops.forEach((stop, index) => (stop.tabIndex = index ? -1 : 0));

  /** @type {(from: HTMLElement, key: string) => HTMLElement | undefined} */
  function next(from, key) {
    const row = rows.findIndex((cells) => cells.includes(from));
    const line = row < 0 ? stops : rows[row];
    const index = line.indexOf(from);
    if (key === "ArrowRight") return line[index + 1];
    if (key === "ArrowLeft") return line[index - 1];
    if (key === "Home") return line[0];
    if (key === "End") return line.at(-1);
    if (key === "ArrowDown") return row < 0 ? line[index + 1] : rows[row + 1]?.[index];
    if (key === "ArrowUp") return row < 0 ? line[index - 1] : rows[row - 1]?.[index];
    return undefined;
  }

  container.addEventListener("keydown", (event) => {
    const to = next(/** @type {HTMLElement} */ (event.target), event.key);
    if (!to) return;
    event.preventDefault();
    to.focus();
  });
  container.addEventListener("focusin", (event) => {
    if (!stops.includes(/** @type {HTMLElement} */ (event.target))) return;
    for (const stop of stops) stop.tabIndex = stop === event.target ? 0 : -1;
  });
  return container;
}

/**
 * Let a wide element scroll sideways, with a cue where there is more.
 *
 * @param {HTMLElement} content
 */
export function scrollable(content) {
  const box = element("div", { class: "scroll" }, content);
  const look = () => {
    box.toggleAttribute("data-more-before", box.scrollLeft > 1);
    box.toggleAttribute("data-more-after", box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
  };
  box.addEventListener("scroll", look, { passive: true });
  new ResizeObserver(look).observe(box);
  return box;
}

// Between an element and its tip, in pixels.
const GAP = 6;

/** Show what `explained` has set, on hover and on focus. */
export function startTips() {
  const tip = byId("tip");
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let hiding;
  /** @type {HTMLElement | null} */
  let shown = null;

  /** @param {HTMLElement} target */
  function show(target) {
    clearTimeout(hiding);
    shown = target;
    tip.textContent = target.dataset.tip ?? "";
    tip.hidden = false;
    const anchor = target.getClientRects()[0] ?? target.getBoundingClientRect();
    const group = target.closest("[data-tips]")?.getBoundingClientRect() ?? anchor;
    const box = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, anchor.left), document.documentElement.clientWidth - box.width - 8);
    /** @type {(top: number) => boolean} */
    const fits = (top) => top >= 8 && top + box.height <= innerHeight - 8;
    // Beside the whole group, so that it covers none of what it is read with; if that is too large,
    // beside the element.
    const tops = [group, anchor].flatMap((part) => [part.bottom + GAP, part.top - box.height - GAP]);
    tip.style.setProperty("left", `${left}px`);
    tip.style.setProperty("top", `${tops.find(fits) ?? anchor.bottom + GAP}px`);
  }
  function hide() {
    tip.hidden = true;
  }
  // Late enough for the pointer to reach the words themselves.
  function hideSoon() {
    clearTimeout(hiding);
    hiding = setTimeout(hide, 150);
  }

  /** @type {(event: Event) => HTMLElement | null | undefined} */
  const targetOf = ({ target }) =>
    /** @type {HTMLElement | null | undefined} */ (/** @type {Element} */ (target).closest?.("[data-tip]"));
  document.addEventListener("pointerover", (event) => {
    const target = targetOf(event);
    if (target) show(target);
    else if (event.target === tip) clearTimeout(hiding);
  });
  document.addEventListener("pointerout", hideSoon);
  document.addEventListener("focusin", (event) => {
    const target = targetOf(event);
    if (target) show(target);
  });
  document.addEventListener("focusout", hideSoon);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
  // Moving with the arrow keys scrolls, and the tip follows.
  const move = () => (shown && shown === document.activeElement && !tip.hidden ? show(shown) : hide());
  addEventListener("scroll", move, { capture: true, passive: true });
}

const URL_LIFETIME_MS = 60_000;

/** @param {string} cell */
const quoted = (cell) => (/[",\r\n]|^\s|\s$/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);

/**
 * Save rows of cells as a CSV file. The byte order mark tells Excel that it is UTF-8.
 *
 * @type {(name: string, rows: string[][]) => void}
 */
export function saveCsv(name, rows) {
  const lines = rows.map((row) => `${row.map(quoted).join(",")}\r\n`);
  const address = URL.createObjectURL(new Blob(["\ufeff", ...lines], { type: "text/csv" }));
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), URL_LIFETIME_MS);
}

// Third-party libraries, fetched when they are first needed. The addresses are fixed here, and the
// page's policy lets no other script in.
/** @type {Record<string, string>} */
const LIBRARIES = {
  Chart: "web/vendor/chart.js/chart.umd.min.js",
  fflate: "web/vendor/fflate/fflate.js",
  readXlsxFile: "web/vendor/read-excel-file/read-excel-file.min.js",
};
const trusted = globalThis.trustedTypes?.createPolicy("libraries", {
  createScriptURL: (name) => LIBRARIES[name],
});
/** @type {Record<string, Promise<any> | undefined>} */
const loading = {};

/**
 * Load a library once and return its global object.
 *
 * @param {"Chart" | "fflate" | "readXlsxFile"} name
 * @returns {Promise<any>}
 */
export function library(name) {
  loading[name] ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = trusted ? trusted.createScriptURL(name) : LIBRARIES[name];
    script.onload = () => resolve(/** @type {any} */ (globalThis)[name]);
    script.onerror = () => {
      delete loading[name];
      reject(new Error(`${name} could not be loaded`));
    };
    document.head.append(script);
  });
  return loading[name];
}

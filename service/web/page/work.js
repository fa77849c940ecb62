// Work that a visitor waits for: a busy sign soon, a way to cancel it later. New work ends the old.

import { element } from "./dom.js";
import { t } from "./texts.js";

const BUSY_AFTER_MS = 150;
const STILL_AFTER_MS = 10_000;

/**
 * Return a function that runs a job in place of the one that runs already. The job gets the signal
 * that ends it.
 *
 * @param {object} parts
 * @param {HTMLElement} parts.button what starts the work; its words say that it runs
 * @param {HTMLElement} parts.region what the work will change
 * @param {HTMLElement} parts.notice where a long wait is told of, and can be cancelled
 * @param {() => void} parts.onBusy is called once the work is too long to pass unnoticed
 * @param {() => void} parts.onCancel is called when the visitor has cancelled it
 * @returns {(job: (signal: AbortSignal) => Promise<void>) => Promise<void>}
 */
export function worker({ button, region, notice, onBusy, onCancel }) {
  const idle = /** @type {import("./texts.js").Key} */ (button.dataset.t);
  /** @type {AbortController | null} */
  let running = null;

  /** @param {boolean} busy */
  function show(busy) {
    const words = busy ? "analysing" : idle;
    button.dataset.t = words;
    button.textContent = t(words);
    button.classList.toggle("busy", busy);
    region.setAttribute("aria-busy", String(busy));
    if (!busy) notice.replaceChildren();
  }

  function offerCancel() {
    const cancel = element("button", { type: "button", class: "quiet", "data-t": "cancel" }, t("cancel"));
    cancel.addEventListener("click", () => {
      running?.abort();
      onCancel();
    });
    const words = element("span", { "data-t": "stillWaiting" }, t("stillWaiting"));
    notice.replaceChildren(element("div", { class: "waiting under" }, words, cancel));
  }

  return async function start(job) {
    running?.abort();
    const controller = (running = new AbortController());
    const soon = setTimeout(() => {
      show(true);
      onBusy();
    }, BUSY_AFTER_MS);
    const later = setTimeout(offerCancel, STILL_AFTER_MS);
    try {
      await job(controller.signal);
    } finally {
      clearTimeout(soon);
      clearTimeout(later);
      if (running === controller) show(false);
    }
  };
}

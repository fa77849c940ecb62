// The page: tabs, language, theme.

import { model } from "./api.js";
import { startBulk } from "./bulk/bulk.js";
import { openCompare, startCompare } from "./compare.js";
import { byId, startTips } from "./dom.js";
import { initialView, keepView } from "./link.js";
import { startSingle } from "./single.js";
import { store, stored } from "./storage.js";
import { onLanguage, otherLanguage, t, tellLanguage } from "./texts.js";

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const tabs = [...document.querySelectorAll("[role=tab]")].map((tab) => /** @type {HTMLElement} */ (tab));
/** @type {Record<string, () => void>} */
const onOpen = { compare: openCompare };

const isDark = () => (document.documentElement.dataset.theme ?? (prefersDark.matches ? "dark" : "light")) === "dark";

/** @param {HTMLElement} tab */
const panelOf = (tab) => tab.getAttribute("aria-controls") ?? "";

function nameTheme() {
  byId("theme").textContent = t(isDark() ? "light" : "dark");
  document.dispatchEvent(new Event("theme"));
}

/** @param {HTMLElement} tab */
function open(tab) {
  for (const other of tabs) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", String(chosen));
    other.tabIndex = chosen ? 0 : -1;
    byId(panelOf(other)).hidden = !chosen;
  }
  keepView({ tab: panelOf(tab) });
  onOpen[panelOf(tab)]?.();
}

function startTabs() {
  for (const [index, tab] of tabs.entries()) {
    tab.addEventListener("click", () => open(tab));
    tab.addEventListener("keydown", (event) => {
      const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
      if (!step) return;
      const next = tabs[(index + step + tabs.length) % tabs.length];
      open(next);
      next.focus();
    });
  }
}

const theme = stored("localStorage", "theme");
if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
byId("theme").addEventListener("click", () => {
  const chosen = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = chosen;
  store("localStorage", "theme", chosen);
  nameTheme();
});
prefersDark.addEventListener("change", nameTheme);
byId("language").addEventListener("click", otherLanguage);

/** @type {ServedModel | null} */
let served = null;

function nameModel() {
  if (!served) return;
  byId("model").textContent = t("modelLine", served);
  byId("card-open").hidden = false;
}

byId("card-open").addEventListener("click", async () => {
  const { showCard } = await import("./card.js");
  showCard(served?.card ?? "");
});
onLanguage(() => {
  const button = byId("language");
  button.textContent = t("otherLanguage");
  button.lang = t("otherLanguage") === "English" ? "en" : "zh-CN";
  nameTheme();
  nameModel();
});

startTabs();
startTips();
startCompare();
startBulk();
const { tab: opened } = initialView();
const first = startSingle();
tellLanguage();
open(tabs.find((tab) => panelOf(tab) === opened) ?? tabs[0]);
await first;
served = await model().catch(() => null);
nameModel();

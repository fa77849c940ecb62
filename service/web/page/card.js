// The model card, as its Markdown is: headings, paragraphs, lists, tables. No part of it becomes HTML.

import { byId, element } from "./dom.js";
import { t } from "./texts.js";

/** @typedef {"h2" | "h3" | "h4" | "p" | "th" | "td" | "li"} Block */

/**
 * Write a line; `code` and **strong** are marked, and a link keeps its words.
 *
 * @type {(name: Block, line: string) => HTMLElement}
 */
function written(name, line) {
  const node = element(name);
  for (const part of line.split(/(`[^`]+`|\*\*[^*]+\*\*|\[[^\][]*\]\([^()]*\))/)) {
    if (/^`/.test(part)) node.append(element("code", {}, part.slice(1, -1)));
    else if (/^\*\*/.test(part)) node.append(element("strong", {}, part.slice(2, -2)));
    else if (/^\[.*\)$/.test(part)) node.append(part.slice(1, part.indexOf("]")));
    else node.append(part);
  }
  return node;
}

/** @param {string} row */
const cells = (row) => row.replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());

/** @param {string[]} lines */
function tableOf(lines) {
  const [head, , ...rows] = lines.map(cells);
  /** @type {(name: "th" | "td", row: string[]) => HTMLElement} */
  const line = (name, row) => element("tr", {}, ...row.map((cell) => written(name, cell)));
  const table = element("table", { class: "plain" }, element("thead", {}, line("th", head)));
  table.append(element("tbody", {}, ...rows.map((row) => line("td", row))));
  return element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": t("table") }, table);
}

/** @type {(block: string) => Node[]} */
function blockOf(block) {
  const lines = block.split("\n");
  const heading = /^(#{1,3}) (.*)/.exec(lines[0]);
  if (heading) {
    const name = /** @type {Block} */ (`h${heading[1].length + 1}`);
    const rest = lines.slice(1).join("\n");
    return [written(name, heading[2]), ...(rest ? blockOf(rest) : [])];
  }
  if (lines[0].startsWith("|")) return [tableOf(lines.filter((line) => line.startsWith("|")))];
  if (/^[-*] /.test(lines[0])) {
    const items = block.split(/\n[-*] /);
    items[0] = items[0].slice(2);
    return [element("ul", {}, ...items.map((item) => written("li", item)))];
  }
  // Pictures lie beside the card, which has been sent alone.
  if (lines[0].startsWith("![")) return lines.length > 1 ? blockOf(lines.slice(1).join("\n")) : [];
  return [written("p", block)];
}

/**
 * Show the card in a dialogue.
 *
 * @param {string} card
 */
export function showCard(card) {
  const text = card.replace(/^---\n[\s\S]*?\n---\n/, "").replace(/<!--[\s\S]*?-->/g, "");
  byId("card-text").replaceChildren(...text.split(/\n{2,}/).filter((block) => block.trim()).flatMap((block) => blockOf(block.trim())));
  const dialog = byId("card", HTMLDialogElement);
  dialog.showModal();
  dialog.scrollTop = 0;
}

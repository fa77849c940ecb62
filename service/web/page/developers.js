// For developers: the request as code, the reply as it came, and a link to what is shown.

import { element } from "./dom.js";
import { currentKey } from "./key.js";
import { currentLanguage, t } from "./texts.js";
import { linkTo } from "./link.js";

/** @typedef {"curl" | "python" | "javascript" | "reply"} Form */

/** @type {Form[]} */
const FORMS = ["curl", "python", "javascript", "reply"];
/** @type {Form} */
let chosen = "curl";

/**
 * The request for a text in a form. A key is named, never shown.
 *
 * @type {Record<Exclude<Form, "reply">, (address: string, body: { text: string }, keyed: boolean) => string>}
 */
const CODE = {
  curl: (address, body, keyed) =>
    [
      `curl -s ${address}`,
      ...(keyed ? [`  -H "authorization: Bearer $SENTIMENT_KEY"`] : []),
      `  -H 'content-type: application/json'`,
      `  -d '${JSON.stringify(body).replaceAll("'", "'\\''")}'`,
    ].join(" \\\n"),
  python: (address, body, keyed) =>
    [
      "import json",
      ...(keyed ? ["import os"] : []),
      "from urllib.request import Request, urlopen",
      "",
      `body = json.dumps(${JSON.stringify(body)}).encode()`,
      `headers = {"content-type": "application/json"}`,
      ...(keyed ? [`headers["authorization"] = f"Bearer {os.environ['SENTIMENT_KEY']}"`] : []),
      `with urlopen(Request("${address}", body, headers)) as reply:`,
      "    print(json.load(reply))",
    ].join("\n"),
  javascript: (address, body, keyed) =>
    [
      `const reply = await fetch("${address}", {`,
      `  method: "POST",`,
      "  headers: {",
      `    "content-type": "application/json",`,
      ...(keyed ? ["    authorization: `Bearer ${process.env.SENTIMENT_KEY}`,"] : []),
      "  },",
      `  body: JSON.stringify(${JSON.stringify(body)}),`,
      "});",
      "console.log(await reply.json());",
    ].join("\n"),
};

/**
 * Copy words and say so on the button; where that is forbidden, select them instead.
 *
 * @type {(button: HTMLElement, words: string, shown: Node) => Promise<void>}
 */
async function copy(button, words, shown) {
  try {
    await navigator.clipboard.writeText(words);
    button.textContent = t("copied");
  } catch {
    if (shown instanceof HTMLInputElement) shown.select();
    else getSelection()?.selectAllChildren(shown);
    button.textContent = t("selected");
  }
}

/**
 * Offer a link to what is shown.
 *
 * @param {import("./link.js").View} view
 */
export function linkView(view) {
  const address = linkTo({ ...view, lang: currentLanguage() });
  const link = element("input", { class: "address", readonly: "", value: address, "aria-label": t("link") });
  const button = element("button", { type: "button", class: "quiet copy-link" }, t("copyLink"));
  button.addEventListener("click", () => copy(button, address, link));
  link.addEventListener("focus", () => link.select());
  return [
    element("div", { class: "link" }, link, button),
    element("p", { class: "hint" }, t("linkHint")),
  ];
}

/** @type {(text: string, reply: object) => HTMLElement} */
export function developersView(text, reply) {
  const code = element("code");
  const block = element("pre", { class: "scroll code", tabindex: "0", "aria-label": t("code") }, code);
  const copyCode = element("button", { type: "button", class: "quiet", id: "copy-code" });
  const buttons = FORMS.map((form) => {
    const button = element("button", { type: "button", class: "chip", id: `code-${form}` }, t(form));
    button.addEventListener("click", () => choose(form));
    return button;
  });

  /** @param {Form} form */
  function choose(form) {
    chosen = form;
    const address = new URL("v1/predict", document.baseURI).href;
    code.textContent =
      form === "reply"
        ? JSON.stringify(reply, null, 2)
        : CODE[form](address, { text }, currentKey() !== null);
    buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(FORMS[index] === form)));
    copyCode.textContent = t("copy");
  }
  copyCode.addEventListener("click", () => copy(copyCode, code.textContent ?? "", code));
  choose(chosen);

  return element(
    "details",
    { class: "card", id: "developers" },
    element("summary", {}, element("h2", {}, t("developers"))),
    element("div", { class: "under" }, element("div", { class: "chips" }, ...buttons), copyCode),
    block,
    element("p", { class: "hint" }, t("otherCalls"), " ", element("a", { href: "docs" }, t("apiDocs"))),
    ...linkView({ tab: "single", text }),
  );
}

// A file of its own, so that a Content-Security-Policy needs no inline script.

const dark = matchMedia("(prefers-color-scheme: dark)");
const followTheme = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", followTheme);
followTheme();

/**
 * Shows an error as one line: the page describes each at its top, and their bodies are all alike.
 * @param {any} Response how Swagger UI shows a response
 * @param {any} system
 */
const problemsInShort = (Response, { React: { createElement } }) => (/** @type {any} */ props) => {
  const problem = props.response.getIn(["content", "application/problem+json"]);
  if (!problem) return createElement(Response, props);
  return createElement(
    "tr",
    { className: "response" },
    createElement("td", { className: "response-col_status" }, props.code),
    createElement("td", { className: "response-col_description" }, problem.getIn(["example", "title"])),
  );
};

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  plugins: [() => ({ wrapComponents: { response: problemsInShort } })],
});

// A file of its own, so that a Content-Security-Policy needs no inline script.
SwaggerUIBundle({ url: "openapi.json", dom_id: "#docs", deepLinking: true });

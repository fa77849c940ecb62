"""The examples of the OpenAPI document: what the service replies with the model that ships.

    .venv/bin/python -m bench.examples > service/examples.json

For each operation, by its id, a request and the reply to it. After a release of a model, store
them anew; a test compares them.
"""

import json
from typing import Any

from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings

_LINES = '{"id": "a", "text": "很好吃"}\n{"id": "b", "text": ""}\n'
_POSTS: dict[str, tuple[str, Any]] = {
    "predict": ("/v1/predict", {"text": "房间干净，服务也好"}),
    "predictBatch": (
        "/v1/predict/batch",
        {"items": [{"id": 1, "text": "很好吃"}, {"id": "b", "text": ""}, "发货太慢了"]},
    ),
    "analyze": ("/v1/analyze", {"text": "房间干净。早餐太差！"}),
    "explain": ("/v1/explain", {"text": "早餐不好吃"}),
}
_GETS = {
    "checkLiveness": "/livez",
    "checkReadiness": "/readyz",
    "getHealth": "/health",
    "listModels": "/v1/models",
    "getModel": "/v1/model",
}
# Of the model card, which is long, the document shows the first lines alone.
CARD_LINES = 6


def examples(client: TestClient) -> dict[str, dict[str, Any]]:
    """Return a request and its reply for each operation that has a body to show."""
    shown: dict[str, dict[str, Any]] = {}
    for name, (path, request) in _POSTS.items():
        shown[name] = {"request": request, "response": client.post(path, json=request).json()}
    headers = {"content-type": "application/x-ndjson"}
    reply = client.post("/v1/predict/stream", content=_LINES.encode(), headers=headers)
    shown["predictStream"] = {"request": _LINES, "response": reply.text}
    for name, path in _GETS.items():
        shown[name] = {"response": client.get(path).json()}
    model = shown["getModel"]["response"]
    model["card"] = "".join(model["card"].splitlines(keepends=True)[:CARD_LINES])
    return shown


def main() -> None:
    """Prints the examples."""
    with TestClient(create_app(Settings())) as client:
        while client.get("/readyz").status_code != 200:
            pass
        print(json.dumps(examples(client), ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()

"""Requests, and what every reply holds."""

from http.client import HTTPConnection
from typing import Any

import httpx2
from fastapi.testclient import TestClient

from tests.support.clock import wait_for

JSON = {"content-type": "application/json"}

# What every answer tells a browser.
SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


def assert_problem(response: Any, status: int, detail: str = "") -> dict[str, Any]:
    """Check a problem body and return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail", "instance", "request_id"} <= set(body)
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    assert detail in body["detail"]
    return body


def wait_ready(service: TestClient | str) -> None:
    """Wait until a service, given by its test client or its address, takes requests."""
    if isinstance(service, str):
        wait_for(lambda: httpx2.get(f"{service}/readyz").status_code == 200)
    else:
        wait_for(lambda: service.get("/readyz").status_code == 200)


def status(address: str) -> str:
    """Return the status that ``/health`` reports."""
    return str(httpx2.get(f"{address}/health").json()["status"])


def answers(url: str) -> bool:
    """Whether something listens there already and replies 200."""
    try:
        return httpx2.get(url).status_code == 200
    except httpx2.TransportError:
        return False


def ask(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    """Return the status and the body that a local port replies."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def assert_secure(answer: Any, cache: str = "no-store") -> None:
    assert {name: answer.headers.get(name) for name in SECURITY} == SECURITY
    assert answer.headers["cache-control"] == cache
    for name in (*SECURITY, "cache-control", "x-request-id"):
        assert len(answer.headers.get_list(name)) == 1

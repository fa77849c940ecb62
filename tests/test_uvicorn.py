"""The parts of uvicorn that the protocol builds on, though nobody promises them."""

import ast
import asyncio
import tomllib
from inspect import signature
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from service.process import protocol
from tests.support.repository import read

# Attributes and methods of HttpToolsProtocol that service/process/protocol.py reads or overrides.
PROTOCOL = {
    "_unset_keepalive_if_required",
    "connection_lost",
    "connection_made",
    "client",
    "connections",
    "cycle",
    "data_received",
    "eof_received",
    "expect_100_continue",
    "flow",
    "headers",
    "loop",
    "on_body",
    "on_header",
    "on_headers_complete",
    "on_message_begin",
    "on_message_complete",
    "on_response_complete",
    "parser",
    "pipeline",
    "send_400_response",
    "server_state",
    "timeout_keep_alive",
    "timeout_keep_alive_handler",
    "timeout_keep_alive_task",
    "transport",
    "url",
}
# Those of its RequestResponseCycle.
CYCLE = {"body", "keep_alive", "response_complete", "response_started", "scope"}


def used_by_the_protocol() -> tuple[set[str], set[str]]:
    """Return the attributes of ``self`` and of the cycle that our class does not define itself."""
    module = ast.parse(Path(protocol.__file__).read_text(encoding="utf-8"))
    (ours,) = (
        node
        for node in module.body
        if isinstance(node, ast.ClassDef) and node.name == "HttpProtocol"
    )
    functions = [node for node in ours.body if isinstance(node, ast.FunctionDef)]
    constructor = next(node for node in functions if node.name == "__init__")
    defined = {node.name for node in functions if not hasattr(HttpToolsProtocol, node.name)} | {
        node.attr
        for node in ast.walk(constructor)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    of_self, of_cycle = set(), set()
    for node in ast.walk(ours):
        if isinstance(node, ast.FunctionDef) and hasattr(HttpToolsProtocol, node.name):
            of_self.add(node.name)
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            if owner in ("self", "super()"):
                of_self.add(node.attr)
            elif owner in ("cycle", "self.cycle"):
                of_cycle.add(node.attr)
    return of_self - defined - {"__init__"}, of_cycle


def test_what_the_protocol_uses_of_uvicorn_is_written_down() -> None:
    assert used_by_the_protocol() == (PROTOCOL, CYCLE)


def test_this_uvicorn_has_what_the_protocol_uses() -> None:
    async def application(scope: object, receive: object, send: object) -> None:
        """Answer nothing."""

    async def connect() -> HttpToolsProtocol:
        config = uvicorn.Config(application, log_config=None)
        config.load()
        return HttpToolsProtocol(config, ServerState(), {})

    connection = asyncio.run(connect())
    connection.on_message_begin()
    assert [name for name in PROTOCOL if not hasattr(connection, name)] == []
    arguments: dict[str, Any] = dict.fromkeys(signature(RequestResponseCycle).parameters)
    cycle = RequestResponseCycle(**arguments)
    assert [name for name in CYCLE if not hasattr(cycle, name)] == []
    assert STATUS_LINE[100].startswith(b"HTTP/1.1 100 ")


def test_only_tested_versions_of_uvicorn_are_installed() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    (pinned,) = (text for text in project["dependencies"] if text.startswith("uvicorn"))
    major, minor, _ = uvicorn.__version__.split(".")
    assert pinned == f"uvicorn>={major}.{minor},<{major}.{int(minor) + 1}"

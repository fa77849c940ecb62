"""Calls of the application in this process: ASGI message by message, or over a socket."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import uvicorn
from starlette.types import ASGIApp, Message, Receive
from uvicorn.server import ServerState

from bench.attacks.wire import Target
from service.edge.quick_refusal import QuickRefusal
from service.process.protocol import Connections, HttpProtocol
from tests.support.http import JSON

BODY = '{"text": "好"}'.encode()

_numbers = itertools.count()


async def post(app: ASGIApp, receive: Receive, path: str = "/v1/predict", **headers: str) -> int:
    """Return the status of a new client's request; ``receive`` gives its body and its end."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    all_headers = {**JSON, **{name.replace("_", "-"): text for name, text in headers.items()}}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"a")]
        + [(name.encode(), value.encode()) for name, value in all_headers.items()],
        "client": (f"client-{next(_numbers)}", 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    await asyncio.sleep(0)  # in the next step of the event loop it is counted and logged
    return int(sent[0]["status"])


def body_then(left: asyncio.Event) -> Receive:
    """A client that sends its body at once and disconnects when ``left`` is set."""
    messages = [{"type": "http.request", "body": BODY, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    return receive


def sends(*messages: Message) -> Receive:
    """A client that sends these messages and then stays silent."""
    left = list(messages)

    async def receive() -> Message:
        if left:
            return left.pop(0)
        await asyncio.Event().wait()
        raise AssertionError("nothing comes")

    return receive


def part(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def unreadable() -> Message:
    raise AssertionError("the body was read")


@asynccontextmanager
async def listening(
    app: ASGIApp, most: int = 100, refusal: QuickRefusal | None = None
) -> AsyncIterator[Target]:
    """Serve the application in this process, on a port with at most ``most`` connections."""
    loop = asyncio.get_running_loop()
    config = uvicorn.Config(
        app,
        http=partial(HttpProtocol, Connections(most, 600, refusal)),  # type: ignore[arg-type]
        log_config=None,
    )
    config.load()
    state = ServerState()
    protocol = partial(config.http_protocol_class, config=config, server_state=state, app_state={})  # type: ignore[call-arg]
    server = await loop.create_server(protocol, "127.0.0.1", 0)
    try:
        yield Target(*server.sockets[0].getsockname())
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        await asyncio.gather(*state.tasks)

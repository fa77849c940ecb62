"""How connections are accepted, read and written in the event loop."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
import uvicorn
import uvloop
from uvicorn.server import ServerState

from service.edge.quick_refusal import QuickRefusal
from service.process.acceptor import Acceptor
from service.process.protocol import Connections, HttpProtocol
from service.process.server import listening_socket
from tests.support.clock import until

# Both: the service's loop, and that of the probes.
LOOPS = pytest.mark.parametrize("run", [uvloop.run, asyncio.run])
Run = Callable[[Awaitable[None]], None]


@LOOPS
def test_many_connections_are_accepted_in_a_turn(run: Run) -> None:
    async def accept() -> None:
        listening = listening_socket("127.0.0.1", 0)
        clients = [socket.create_connection(listening.getsockname()) for _ in range(200)]
        made: list[asyncio.Protocol] = []

        class Connected(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                made.append(self)

        acceptor = Acceptor(listening, Connected, per_turn=64)
        turns = 0
        while len(made) < len(clients):
            await asyncio.sleep(0)
            turns += 1
        acceptor.close()
        for client in clients:
            client.close()
        assert turns < len(clients) / 4

    run(accept())


class Written(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.reading = True
        self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 1) if name == "peername" else default

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.written.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Bodies:
    """An application that answers a body with its length."""

    def __init__(self) -> None:
        self.received = 0

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        assert callable(receive)
        assert callable(send)
        more = True
        while more:
            message = await receive()
            self.received += len(message.get("body", b""))
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%d" % self.received})


class Refusing:
    """Refuses every request by its head."""

    def response(self, *_: object) -> bytes:
        return b"content-length: 0\r\n\r\n"


def connected(application: Bodies, refusal: Refusing | None = None) -> tuple[HttpProtocol, Written]:
    config = uvicorn.Config(application, log_config=None)
    config.load()
    protocol = HttpProtocol(
        Connections(8, 60.0, cast(QuickRefusal, refusal)),
        config=config,
        server_state=ServerState(),
        app_state={},
    )
    transport = Written()
    protocol.connection_made(transport)
    return protocol, transport


@LOOPS
def test_head_and_body_of_a_response_are_sent_together(run: Run) -> None:
    async def ask() -> None:
        protocol, transport = connected(Bodies())
        protocol.data_received(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc")
        await until(lambda: transport.written)
        (response,) = transport.written
        assert response.startswith(b"HTTP/1.1 200")
        assert response.endswith(b"\r\n\r\n1\r\n3\r\n0\r\n\r\n")
        protocol.connection_lost(None)

    run(ask())


@LOOPS
def test_much_data_is_parsed_in_turns_while_nothing_more_is_read(run: Run) -> None:
    async def ask() -> None:
        application = Bodies()
        protocol, transport = connected(application)
        head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
        chunks = b"1\r\na\r\n" * 40_000
        protocol.data_received(head + chunks)
        longest = 0
        while application.received < 40_000:
            before = application.received
            assert not transport.reading or before > 30_000
            await asyncio.sleep(0)
            longest = max(longest, application.received - before)
        assert 0 < longest < 10_000
        await until(lambda: transport.reading)
        protocol.data_received(b"0\r\n\r\n")
        await until(lambda: transport.written)
        assert b"40000" in transport.written[0]
        protocol.connection_lost(None)

    run(ask())


POST = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc"


@LOOPS
def test_a_trailer_is_no_header(run: Run) -> None:
    async def ask() -> None:
        protocol, transport = connected(Bodies())
        head = b"POST / HTTP/1.1\r\nhost: a\r\nx-kept: 1\r\ntransfer-encoding: chunked\r\n\r\n"
        trailers = b"authorization: Bearer a\r\nx-forwarded-for: 192.0.2.7\r\n"
        protocol.data_received(head + b"1\r\na\r\n0\r\n" + trailers + b"\r\n")
        names = [name for name, _ in protocol.cycle.scope["headers"]]
        assert names == [b"host", b"x-kept", b"transfer-encoding"]
        await until(lambda: transport.written)
        assert transport.written[0].startswith(b"HTTP/1.1 200")
        protocol.connection_lost(None)

    run(ask())


@LOOPS
def test_a_client_that_does_not_read_is_refused_no_further_on_the_wire(run: Run) -> None:
    async def ask() -> None:
        protocol, transport = connected(Bodies(), Refusing())
        protocol.data_received(POST)
        await asyncio.sleep(0)
        assert transport.written[0].startswith(b"HTTP/1.1 429")
        protocol.pause_writing()
        protocol.data_received(POST * 2)
        await asyncio.sleep(0)
        assert len(transport.written) == 1
        assert len(protocol.pipeline) == 1  # where the other waits, and few have room
        protocol.connection_lost(None)

    run(ask())


@LOOPS
@pytest.mark.parametrize("rest", [b"abc", b""])
def test_a_connection_is_kept_as_long_after_a_refusal_as_after_any_response(
    run: Run, rest: bytes
) -> None:
    async def ask() -> None:
        protocol, _ = connected(Bodies(), Refusing())
        protocol.data_received(POST.removesuffix(rest))
        assert (protocol._timer is None) is not bool(rest)
        protocol.data_received(rest)
        assert protocol._timer is None
        assert protocol.timeout_keep_alive_task
        protocol.data_received(b"POST")
        assert protocol._timer
        assert protocol.timeout_keep_alive_task is None
        protocol.connection_lost(None)

    run(ask())


@LOOPS
def test_empty_lines_keep_no_connection_open(run: Run) -> None:
    async def ask() -> None:
        protocol, transport = connected(Bodies())
        protocol.data_received(b"\r\n\r\n")
        assert protocol._timer
        protocol.data_received(b"\r\n" + POST)
        await until(lambda: transport.written)
        for empty in (b"\r\n\r\n", b"\r", b"\n"):
            protocol.data_received(empty)
            assert protocol.timeout_keep_alive_task
        protocol.connection_lost(None)

    run(ask())


@LOOPS
def test_nothing_is_read_once_a_pipeline_is_broken(run: Run) -> None:
    async def ask() -> None:
        protocol, transport = connected(Bodies())
        protocol.data_received(POST + b"nonsense\r\n\r\n")
        assert not transport.reading
        while not transport.closed:
            assert not transport.reading
            await asyncio.sleep(0)
        assert transport.written[0].startswith(b"HTTP/1.1 200")
        protocol.connection_lost(None)

    run(ask())

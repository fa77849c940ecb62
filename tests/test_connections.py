"""How connections are accepted, read and written in the event loop."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvicorn
import uvloop
from uvicorn.server import ServerState

from service.process.acceptor import Acceptor
from service.process.protocol import Connections, HttpProtocol
from service.process.server import listening_socket

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


def connected(application: Bodies) -> tuple[HttpProtocol, Written]:
    config = uvicorn.Config(application, log_config=None)
    config.load()
    protocol = HttpProtocol(
        Connections(8, 60.0), config=config, server_state=ServerState(), app_state={}
    )
    transport = Written()
    protocol.connection_made(transport)
    return protocol, transport


@LOOPS
def test_head_and_body_of_a_response_are_sent_together(run: Run) -> None:
    async def ask() -> None:
        protocol, transport = connected(Bodies())
        protocol.data_received(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc")
        while not transport.written:
            await asyncio.sleep(0)
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
        while not transport.reading:
            await asyncio.sleep(0)
        protocol.data_received(b"0\r\n\r\n")
        while not transport.written:
            await asyncio.sleep(0)
        assert b"40000" in transport.written[0]
        protocol.connection_lost(None)

    run(ask())

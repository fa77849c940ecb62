"""HTTP as bytes: requests, a running service that gets them, and what comes back."""

import re
import socket
from dataclasses import dataclass
from pathlib import Path

TEXT = '{"text": "房间很好"}'.encode()
ITEMS = '{"items": [{"text": "房间很好"}, {"text": "房间很差"}]}'.encode()


@dataclass(frozen=True)
class Wire:
    """A running service, byte by byte."""

    ports: dict[str, int]
    log: Path

    def connect(self, port: str = "main") -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.ports[port]), timeout=30)

    def ask(self, sent: bytes, port: str = "main", *, half_closed: bool = True) -> bytes:
        """All that comes back until the service closes the connection."""
        with self.connect(port) as connection:
            connection.sendall(sent)
            if half_closed:
                connection.shutdown(socket.SHUT_WR)
            return received(connection)


def received(connection: socket.socket) -> bytes:
    data = b""
    while part := connection.recv(2**16):
        data += part
    return data


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", answer)]


def header(answer: bytes, name: str) -> str:
    """A header of the first answer, or nothing."""
    head = answer.partition(b"\r\n\r\n")[0].decode("latin-1")
    found = re.search(rf"^{name}: ([^\r]*)\r?$", head, re.IGNORECASE | re.MULTILINE)
    return found[1] if found else ""


HOST = b"Host: localhost\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
NEXT = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"


def get(headers: bytes = HOST, line: bytes = b"GET /livez HTTP/1.1") -> bytes:
    return line + b"\r\n" + headers + b"\r\n"


def post(headers: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"POST /livez HTTP/" + version + b"\r\n" + HOST + headers + b"\r\n" + body

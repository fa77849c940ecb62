"""The service in a process of its own, and a load balancer in front of several."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.clock import wait_for
from tests.support.http import answers
from tests.support.repository import ROOT

HAPROXY = ROOT / "deploy" / "haproxy" / "haproxy.cfg"

# However busy the machine is, nothing is refused unless a test means it to be.
PATIENT = {
    "SENTIMENT_MAX_QUEUE_SECONDS": "60",
    "SENTIMENT_DEADLINE_SECONDS": "60",
    "SENTIMENT_STREAM_IDLE_SECONDS": "60",
}


# A queue of one batch is saturated for as long as that batch runs.
QUEUE_OF_ONE_BATCH = {
    "SENTIMENT_MAX_QUEUE_TEXTS": "80",
    "SENTIMENT_MAX_ITEMS": "80",
    "SENTIMENT_DEADLINE_SECONDS": "60",
}


@contextmanager
def served(
    model: Path, log: Path, under: Sequence[str] = (), **settings: str
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start a service and yield its process and address once it listens.

    ``under`` is a command that runs the one that follows it.
    """
    environment = {**os.environ, "SENTIMENT_PORT": "0", "SENTIMENT_MODEL": str(model), **settings}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*under, sys.executable, "-m", "service", "serve"], env=environment, stderr=file
        )
    try:
        yield process, listening_address(log, process)
    finally:
        process.kill()
        process.wait()


def listening_address(log: Path, process: subprocess.Popen[bytes]) -> str:
    """Wait for the log line that says where a service listens, and return the address."""
    found: list[str] = []

    def listens() -> bool:
        assert process.poll() is None, log.read_text(encoding="utf-8")
        lines = log.read_text(encoding="utf-8").splitlines()
        found.extend(json.loads(line)["message"] for line in lines if "running on" in line)
        return bool(found)

    wait_for(listens)
    return found[0].split()[3]


def worker_ids(process: subprocess.Popen[bytes]) -> list[int]:
    """Return the process ids of a supervisor's workers."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [
        int(child)
        for child in children
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nothing listens on, all different."""
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [item.getsockname()[1] for item in sockets]


def free_port() -> int:
    return free_ports(1)[0]


@contextmanager
def balancer(directory: Path, ports: list[int], **changes: str) -> Iterator[int]:
    """Run HAProxy with our configuration in front of these ports, and yield its own.

    ``changes`` maps a line's first word to the line that replaces it; an empty one removes it.
    """
    binary = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if binary is None:
        pytest.skip("no haproxy on this machine; Debian's package of that name has it")
    port = free_port()
    text = HAPROXY.read_text(encoding="utf-8").replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    for shipped, instance in zip(("127.0.0.1:8001", "127.0.0.1:8002"), ports, strict=True):
        assert shipped in text
        text = text.replace(shipped, f"127.0.0.1:{instance}")
    for word, line in changes.items():
        text, count = re.subn(rf"^    {word}.*$", line and f"    {line}", text, flags=re.MULTILINE)
        assert count == 1, word
    path = directory / "haproxy.cfg"
    path.write_text(text, encoding="utf-8")
    with (directory / "haproxy.log").open("wb") as log:
        process = subprocess.Popen([binary, "-db", "-f", path], stdout=log, stderr=log)
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/readyz"))
        yield port
    finally:
        process.terminate()
        process.wait(60)

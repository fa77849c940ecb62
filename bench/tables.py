"""A table and a stream beside `Classifier.predict`: their rates, and what they hold in memory.

    SENTIMENT_DATA=... .venv/bin/python -m bench.tables [TEXTS]

Each runs in a process of its own on the same texts, one after the other. The stream's client
takes its part of the processors; what it sends is made beforehand and what it gets is thrown away.
Texts a second of processor time leave it, and whatever else the machine does, out of account.
"""

import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from bench.document import machine
from bench.serving.servers import ONNX, Server, kibibytes
from bench.serving.texts import describe, load_texts

FEW = 10_000
_LINES_A_PART = 200
# The rate leaves out the start of the interpreter and of the engine, as a server's does.
_IN_PROCESS = """
import sys, time
from pathlib import Path
from itertools import cycle, islice
from bench.serving.texts import load_texts
from model.classifier import Classifier
from model.bulk.labelling import label_table
from service.settings import SHIPPED_MODEL
classifier = Classifier.load(SHIPPED_MODEL, engine="onnx")
list(classifier.predict(load_texts()[:64]))
started, used = time.perf_counter(), time.process_time()
if sys.argv[1] == "predict":
    for _ in classifier.predict(islice(cycle(load_texts()), int(sys.argv[2]))):
        pass
else:
    label_table(classifier, Path(sys.argv[2]))
print("seconds", time.perf_counter() - started)
print("processor", time.process_time() - used)
print(Path("/proc/self/status").read_text())
"""


class Figures(NamedTuple):
    """What a run took, and the megabytes that its process held at most."""

    seconds: float
    processor_seconds: float
    megabytes: float


def in_process(*arguments: str) -> Figures:
    """The figures of a run in a process of its own."""
    command = [sys.executable, "-c", _IN_PROCESS, *arguments]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, processor, kibibytes_held = (
        float(re.findall(pattern, told)[0])
        for pattern in (r"seconds (\S+)", r"processor (\S+)", r"VmHWM:\s+(\d+)")
    )
    return Figures(seconds, processor, kibibytes_held * 1024 / 1e6)


def stream(parts: Iterator[bytes]) -> Figures:
    """Those of a stream to a service of its own."""
    with tempfile.TemporaryDirectory() as directory, Server(ONNX, Path(directory)) as server:
        address = urlsplit(server.url(""))
        with socket.create_connection((address.hostname, address.port)) as connection:
            started, used = time.perf_counter(), server.processor_seconds()
            connection.sendall(
                b"POST /v1/predict/stream HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            writing = threading.Thread(target=_write, args=(connection, parts))
            writing.start()
            end = b""
            while received := connection.recv(2**18):
                end = (end + received)[-1000:]
            seconds = time.perf_counter() - started
            writing.join()
        assert b'"failed":0' in end, end
        status = Path(f"/proc/{server._process.pid}/status")
        megabytes = kibibytes(status, "VmHWM:") * 1024 / 1e6
        return Figures(seconds, server.processor_seconds() - used, megabytes)


def _write(connection: socket.socket, parts: Iterator[bytes]) -> None:
    for part in parts:
        connection.sendall(b"%x\r\n%b\r\n" % (len(part), part))
    connection.sendall(b"0\r\n\r\n")


def _parts(texts: list[str], count: int) -> Iterator[bytes]:
    lines = [json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n" for text in texts]
    remaining = islice(cycle(lines), count)
    while part := b"".join(islice(remaining, _LINES_A_PART)):
        yield part


def main(count: int) -> None:
    """Prints the figures."""
    texts = load_texts()
    print(f"{machine()}. {describe(texts)}")
    first: list[float] = []
    with tempfile.TemporaryDirectory() as directory:
        tables = {}
        for number in (FEW, count):
            tables[number] = Path(directory) / f"{number}.csv"
            with tables[number].open("w", encoding="utf-8") as file:
                file.write("id,text\n")
                for row, text in enumerate(islice(cycle(texts), number)):
                    quoted = text.replace('"', '""')
                    file.write(f'{row},"{quoted}"\n')
        ways: dict[str, Callable[[int], Figures]] = {
            "Classifier.predict": lambda number: in_process("predict", str(number)),
            "sentiment predict, CSV": lambda number: in_process("table", str(tables[number])),
            "/v1/predict/stream": lambda number: stream(_parts(texts, number)),
        }
        for name, way in ways.items():
            few, many = way(FEW), way(count)
            rates = [count / many.seconds, count / many.processor_seconds]
            first = first or rates
            shares = [rate / of_first for rate, of_first in zip(rates, first, strict=True)]
            print(
                f"{name}: {rates[0]:,.0f} texts a second ({shares[0]:.2f}), {rates[1]:,.0f} a "
                f"second of processor time ({shares[1]:.2f}); at most "
                f"{few.megabytes:.0f} MB at {FEW:,} texts, {many.megabytes:.0f} MB at {count:,}",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)

"""The command in a terminal of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest


class Terminal:
    """What a command shows and is typed; ``process`` is the command."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self.shown = ""
        self._descriptor = descriptor

    def wait_for(self, words: str) -> str:
        """Read until the words are shown, and return all that is."""
        while words not in self.shown:
            if not self._read():
                pytest.fail(f"it ended without {words}: {self.shown}")
        return self.shown

    def type(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def end(self) -> int:
        """Read to the end, and return the exit code."""
        while self._read():
            pass
        return self.process.wait(60)

    def _read(self) -> bool:
        try:
            part = os.read(self._descriptor, 4096)
        except OSError:  # Linux, once nobody has the other end open
            part = b""
        self.shown += part.decode(errors="replace").replace("\r\n", "\n")
        return bool(part)


@contextmanager
def in_terminal(*arguments: object, **variables: str) -> Iterator[Terminal]:
    """Run ``sentiment`` with a terminal for its input and outputs.

    As in a terminal, Ctrl-C is not ignored, even where whoever runs the tests ignores it.
    """
    ours, its = os.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", *map(str, arguments)],
            env={**os.environ, **variables},
            stdin=its,
            stdout=its,
            stderr=its,
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
    finally:
        os.close(its)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)

"""Python on other processors, emulated by QEMU."""

import json
import os
import platform
import shutil
import subprocess
import sys
from typing import Any

import pytest

from tests.support.repository import ROOT

_QEMU = shutil.which("qemu-x86_64")

emulated = pytest.mark.skipif(
    _QEMU is None or platform.machine() != "x86_64",
    reason="qemu-x86_64 (of Debian's qemu-user) runs other processors, on x86-64 alone",
)


def output_of(processor: str | None, program: str, *arguments: str) -> Any:
    """Return the JSON that a Python program prints on an emulated processor, or on this one."""
    # These would select instructions that this processor has and the emulated one lacks.
    environment = {n: v for n, v in os.environ.items() if not n.startswith("OPENBLAS_")}
    emulator = [_QEMU or "", "-cpu", processor] if processor else []
    result = subprocess.run(
        [*emulator, sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        check=False,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr.decode()
    return json.loads(result.stdout)

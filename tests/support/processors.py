"""Python on other processors, which QEMU emulates."""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parent.parent.parent
_QEMU = shutil.which("qemu-x86_64")

emulated = pytest.mark.skipif(
    _QEMU is None or platform.machine() != "x86_64",
    reason="qemu-x86_64 (of Debian's qemu-user) runs other processors, on x86-64 alone",
)


def output_of(processor: str | None, program: str, *arguments: str) -> Any:
    """The JSON that a Python program prints on an emulated processor, or on this one."""
    # Which would choose instructions that this processor has and that one does not.
    environment = {n: v for n, v in os.environ.items() if not n.startswith("OPENBLAS_")}
    emulator = [_QEMU or "", "-cpu", processor] if processor else []
    result = subprocess.run(
        [*emulator, sys.executable, "-c", program, *arguments],
        cwd=_ROOT,
        env=environment,
        capture_output=True,
        check=False,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr.decode()
    return json.loads(result.stdout)

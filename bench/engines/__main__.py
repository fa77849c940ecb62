"""Other engines on the shipped network, on one thread.

    .venv/bin/python -m bench.engines [--write]

Installs each version of an engine into an environment of its own under `.venv/engines`, runs it in
a process of its own, and compares its logits with those of the service's engine. All processes run
on one processor and take turns. Times are of the processor: so they hold on a machine that does
other work.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.document import machine, replace_block
from bench.engines.breakdown import batch
from bench.engines.networks import write
from model import artifact as artifacts
from model.engines import OnnxEngine
from service.settings import SHIPPED_MODEL

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".venv" / "engines"
ROWS = (1, 4, 16, 64)
TOKENS = (10, 30, 100)
ROUNDS = 5
# Logits of another precision than the service's differ by less.
MOST_APART = 0.1

ORT = f"onnxruntime=={version('onnxruntime')}"
OPENVINO = "openvino==2026.4.1"
NCNN = "ncnn==1.0.20261020"
TORCH = (ROOT / "requirements" / "torch.in").read_text(encoding="ascii").strip()

# What the table calls an engine, what is installed for it, and its name in `bench.engines.worker`.
ENGINES = (
    ("ONNX Runtime, as shipped", ORT, "onnxruntime"),
    ("ONNX Runtime", "onnxruntime==1.26.0", "onnxruntime"),
    ("ONNX Runtime", "onnxruntime==1.20.1", "onnxruntime"),
    ("ONNX Runtime, separate operators", ORT, "onnxruntime, separate operators"),
    ("OpenVINO", OPENVINO, "openvino"),
    ("ncnn, int8", NCNN, "ncnn, int8"),
    ("ncnn, float32", NCNN, "ncnn, float32"),
    ("PyTorch, int8", TORCH, "torch, int8"),
    ("PyTorch, bfloat16", TORCH, "torch, bfloat16"),
    ("PyTorch, float32", TORCH, "torch, float32"),
)


def installed(requirement: str) -> Path:
    """The interpreter of an environment that has a package, made where there is none."""
    directory = ENVIRONMENTS / requirement
    if not directory.exists():
        print(f"installing {requirement}", file=sys.stderr)
        venv.create(directory, with_pip=True)
    pip = directory / "bin" / "pip"
    if requirement == TORCH:
        subprocess.run([ROOT / "tools" / "install-torch.sh", pip], check=True)
    packages = [f"numpy=={version('numpy')}", requirement]
    subprocess.run([ROOT / "tools" / "pip-install.sh", pip, *packages], check=True)
    return directory / "bin" / "python"


def disk_megabytes(python: Path) -> float:
    """What was installed into an environment beside pip."""
    (packages,) = (python.parents[1] / "lib").glob("python*/site-packages")
    found = [
        file.stat().st_size
        for entry in packages.iterdir()
        if not entry.name.startswith(("pip", "setuptools", "pkg_resources", "_distutils_hack"))
        for file in (entry.rglob("*") if entry.is_dir() else [entry])
        if file.is_file()
    ]
    return sum(found) / 1e6


@dataclass
class Measured:
    """What an engine takes.

    ``microseconds`` are those of a row and step, by rows and tokens, of each round. ``difference``
    is the largest of its logits to those of the service's engine. Memory is what the process holds
    more than Python and NumPy, after a run of one token and after all runs.
    """

    name: str
    version: str
    disk_megabytes: float
    load_seconds: float
    loaded_megabytes: float
    microseconds: dict[tuple[int, int], list[float]] = field(default_factory=dict)
    difference: float = 0.0
    run_megabytes: float = 0.0


class Worker:
    """The process of an engine: `bench.engines.worker`."""

    def __init__(self, name: str, requirement: str, engine: str, python: Path, networks: Path):
        self._process = subprocess.Popen(
            [python, "-m", "bench.engines.worker", engine, networks],
            cwd=ROOT,
            env=os.environ | {"PYTHONWARNINGS": "ignore"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        loaded = self._answer()
        self.measured = Measured(
            name=name,
            version=requirement.split("==")[1],
            disk_megabytes=disk_megabytes(python),
            load_seconds=loaded["seconds"],
            loaded_megabytes=loaded["megabytes"],
        )

    def measure(self, rows: int, tokens: int, expected: np.ndarray[Any, Any]) -> None:
        """One turn."""
        assert self._process.stdin
        self._process.stdin.write(f"{rows} {tokens}\n")
        self._process.stdin.flush()
        answer = self._answer()
        taken = self.measured.microseconds.setdefault((rows, tokens), [])
        taken.append(answer["seconds"] / (rows * tokens) * 1e6)
        difference = float(np.abs(np.array(answer["logits"]) - expected).max())
        # A NaN stays one.
        self.measured.difference = float(np.maximum(self.measured.difference, difference))

    def close(self) -> None:
        """Ends the process, which tells its memory."""
        assert self._process.stdin
        self._process.stdin.close()
        self.measured.run_megabytes = self._answer()["megabytes"]
        self._process.wait()

    def kill(self) -> None:
        """Ends the process at once."""
        self._process.kill()
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("{"):  # and no message of a library
                answer: dict[str, Any] = json.loads(line)
                return answer
        raise RuntimeError(f"{self._process.args!r} ended early; its message is above")


def measure(
    artifact: artifacts.Artifact, engines: Sequence[tuple[str, str, str, Path]], rounds: int
) -> list[Measured]:
    """All engines, each by name, requirement, name in the worker, and interpreter."""
    ids = batch(max(ROWS), len(artifact.vocabulary), max(TOKENS))
    ours = OnnxEngine(artifact)
    runs = [(rows, tokens) for tokens in TOKENS for rows in ROWS]
    expected = {
        (rows, tokens): ours.logits([row[:tokens] for row in ids[:rows]]) for rows, tokens in runs
    }
    workers: list[Worker] = []
    with tempfile.TemporaryDirectory() as directory:
        write(artifact, ids, Path(directory))
        try:
            for engine in engines:
                workers.append(Worker(*engine, Path(directory)))
            for _ in range(rounds):
                for rows, tokens in runs:
                    for worker in workers:
                        worker.measure(rows, tokens, expected[rows, tokens])
            for worker in workers:
                worker.close()
        finally:
            for worker in workers:
                worker.kill()
    return [worker.measured for worker in workers]


def report(measured: Sequence[Measured]) -> str:
    """Two Markdown tables, an engine a row: the times, and what else it costs."""
    runs = list(measured[0].microseconds)
    lines = [
        f"| engine | {' | '.join(f'{rows} × {tokens}' for rows, tokens in runs)} |",
        f"|---|{'---:|' * len(runs)}",
    ]
    for each in measured:
        times = " | ".join(f"{median(each.microseconds[run]):.1f}" for run in runs)
        lines.append(f"| {each.name}, {each.version} | {times} |")
    columns = (
        "÷ ours",
        "logits differ by",
        "ms to load",
        "MB loaded",
        "MB after runs",
        "MB on disk",
    )
    lines += ["", f"| engine | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    for each in measured:
        cells = [
            f"{each.name}, {each.version}",
            f"{ratio(each, measured[0]):.2f}",
            f"{each.difference:.3f}",
            f"{1000 * each.load_seconds:.0f}",
            f"{each.loaded_megabytes:.0f}",
            f"{each.run_megabytes:.0f}",
            f"{each.disk_megabytes:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def ratio(measured: Measured, first: Measured) -> float:
    """The geometric mean of the times of all runs against those of another engine."""
    logarithms = [
        np.log(median(taken) / median(first.microseconds[run]))
        for run, taken in measured.microseconds.items()
    ]
    return float(np.exp(np.mean(logarithms)))


def check(measured: Sequence[Measured]) -> None:
    """Stops where an engine ran another network than ours."""
    wrong = [each.name for each in measured if not each.difference <= MOST_APART]
    if wrong:
        sys.exit(f"logits differ by more than {MOST_APART}: {', '.join(wrong)}")


def main() -> None:
    """Measures, and prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.engines", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}")
    parser.add_argument("--only", default="", help="measure engines whose names contain this")
    parser.add_argument(
        "--write", action="store_true", help="put the tables into docs/performance.md"
    )
    options = parser.parse_args()
    if options.write and options.only:
        parser.error("--write is for a run of all engines")
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    engines = [
        (name, requirement, engine, installed(requirement))
        for name, requirement, engine in ENGINES
        if options.only in name and ("bfloat16" not in name or "_bf16" in flags)
    ]
    artifact = artifacts.load(SHIPPED_MODEL)
    measured = measure(artifact, engines, options.rounds)
    content = (
        f"{machine()}, {artifact.manifest.name} {artifact.manifest.version}. Microseconds of the "
        f"processor a row and step, by rows × tokens; the median of {options.rounds} rounds.\n\n"
        f"{report(measured)}"
    )
    print(content)
    check(measured)
    if options.write:
        replace_block("engines", content)


if __name__ == "__main__":
    main()

"""Time and memory against the length of a text and the size of a batch.

    .venv/bin/python -m bench.growth [--write]

Each point is measured in a process of its own, so that none inherits another's memory. The time is
a mean over texts or batches, the memory what the process held at most beyond a warmed-up model.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.document import FIGURES, machine, replace_block
from bench.serving.servers import kibibytes
from bench.serving.texts import load_texts
from model.classifier import Classifier
from service.settings import SHIPPED_MODEL

LENGTHS = (10, 30, 100, 300, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10_000)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 96, 128, 160, 192, 224, 256)
TEXTS_OF_A_LENGTH = 15
BATCH_TEXTS = 1536  # in all, whatever the size of a batch


@dataclass(frozen=True)
class Point:
    """What one size took."""

    size: int
    milliseconds: float
    megabytes: float


@dataclass(frozen=True)
class Line:
    """The straight line nearest to points, and the share of their variance that it explains."""

    slope: float
    start: float
    explained: float

    @classmethod
    def through(cls, sizes: list[int], values: list[float]) -> "Line":
        """By least squares."""
        slope, start = np.polyfit(sizes, values, 1)
        residuals = np.array(values) - (slope * np.array(sizes) + start)
        variance = float(np.var(values))
        explained = 1 - float(np.mean(residuals**2)) / variance if variance else 1.0
        return cls(float(slope), float(start), explained)


def of_length(length: int, texts: list[str]) -> list[list[str]]:
    """Batches of a single text, each cut from real texts joined together.

    White space is left out: ten characters of it would be a blank text.
    """
    characters = "".join("".join(texts).split())
    step = (len(characters) - length) // TEXTS_OF_A_LENGTH
    starts = range(0, step * TEXTS_OF_A_LENGTH, step)
    return [[characters[start : start + length]] for start in starts]


def of_size(size: int, texts: list[str]) -> list[list[str]]:
    """Batches of one size; every size reads the same texts, as far as they divide by it."""
    return [texts[end - size : end] for end in range(size, BATCH_TEXTS + 1, size)]


def measure(size: int, batches: list[list[str]]) -> Point:
    """The mean time of batches, the middle one of three passes, and the memory that they took."""
    classifier = Classifier.load(SHIPPED_MODEL, engine="onnx")
    list(classifier.predict(["房间干净，服务也好，就是早餐太差。"] * 8))
    # 5 makes the kernel forget the most that this process ever held.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _held("VmRSS:")
    passes = []
    for _ in range(3):
        started = time.perf_counter()
        for batch in batches:
            list(classifier.predict(batch))
        passes.append((time.perf_counter() - started) / len(batches))
    return Point(size, median(passes) * 1000, max(0.0, _held("VmHWM:") - before))


def _held(name: str) -> float:
    """A line of this process's status, in megabytes."""
    return kibibytes(Path("/proc/self/status"), name) * 1024 / 1e6


def measure_all(
    sizes: tuple[int, ...], batches_of: Callable[[int, list[str]], list[list[str]]]
) -> list[Point]:
    """A point a size, each in a fresh process."""
    texts = load_texts()
    points = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as pool:
        for size in sizes:
            point = pool.submit(measure, size, batches_of(size, texts)).result()
            print(f"{size}: {point.milliseconds:.2f} ms, {point.megabytes:.1f} MB", flush=True)
            points.append(point)
    return points


def report(lengths: list[Point], batches: list[Point]) -> str:
    """The fitted lines and the points, as Markdown."""
    lines = ["| against | of | slope | start | R² |", "|---|---|---:|---:|---:|"]
    for against, unit, points in (
        ("length of a text", "1,000 characters", lengths),
        ("size of a batch", "text", batches),
    ):
        scale = 1000 if points is lengths else 1
        for measured, name, line in (
            ("time", "ms", time_line(points)),
            ("memory", "MB", memory_line(points)),
        ):
            lines.append(
                f"| {against} | {measured} | {line.slope * scale:.3g} {name} per {unit} "
                f"| {line.start:.3g} {name} | {line.explained:.3f} |"
            )
    for first, points in (("characters", lengths), ("texts", batches)):
        lines += [
            "",
            f"| {first} | {' | '.join(f'{p.size:,}' for p in points)} |",
            f"|---|{'---:|' * len(points)}",
            f"| ms | {' | '.join(f'{p.milliseconds:.3g}' for p in points)} |",
            f"| MB | {' | '.join(f'{p.megabytes:.1f}' for p in points)} |",
        ]
    return "\n".join(lines)


def time_line(points: list[Point]) -> Line:
    """Milliseconds against size."""
    return Line.through([p.size for p in points], [p.milliseconds for p in points])


def memory_line(points: list[Point]) -> Line:
    """Megabytes against size."""
    return Line.through([p.size for p in points], [p.megabytes for p in points])


def draw(lengths: list[Point], batches: list[Point], path: Path) -> None:
    """The points and their lines, a panel each."""
    # Names that do not change from run to run, so that a new picture differs by its points alone.
    mpl.rcParams["svg.hashsalt"] = "growth"
    picture = Figure(figsize=(10, 6.5), layout="constrained")
    picture.set_facecolor("white")
    panels = picture.subplots(2, 2, sharex="col")
    for column, (points, label) in enumerate(
        ((lengths, "characters of a text"), (batches, "texts of a batch"))
    ):
        sizes = [point.size for point in points]
        _panel(panels[0, column], sizes, [p.milliseconds for p in points], time_line(points))
        _panel(panels[1, column], sizes, [p.megabytes for p in points], memory_line(points))
        panels[1, column].set_xlabel(label)
    panels[0, 0].set_ylabel("time, ms")
    panels[1, 0].set_ylabel("further memory, MB")
    picture.savefig(path, metadata={"Date": None})


def _panel(axes: Axes, sizes: list[int], values: list[float], line: Line) -> None:
    axes.plot(sizes, values, "o", color="#c0392b")
    ends = np.array([0, sizes[-1]])
    axes.plot(ends, line.slope * ends + line.start, "-", color="#7f8c8d")
    axes.set_title(f"slope {line.slope:.3g}, R² {line.explained:.3f}")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Measures, and prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument(
        "--write", action="store_true", help="put tables and chart into docs/performance.md"
    )
    options = parser.parse_args()
    lengths = measure_all(LENGTHS, of_length)
    batches = measure_all(BATCHES, of_size)
    content = f"{machine()}.\n\n{report(lengths, batches)}"
    print(f"\n{content}")
    if options.write:
        draw(lengths, batches, FIGURES / "growth.svg")
        picture = "![Time and memory against length and batch](figures/growth.svg)"
        replace_block("growth", f"{content}\n\n{picture}")


if __name__ == "__main__":
    main()

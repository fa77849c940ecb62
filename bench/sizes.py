"""Accuracy against the engine's time, by the hidden size of the LSTM.

    .venv/bin/python -m bench.sizes [ARTIFACT ...] [--random 192,256,384] [--write]

Compares artifacts, by default the one that ships. A size that nobody has trained yet is timed by
`--random`, with the vocabulary of the shipped artifact and random weights: time does not depend on
their values. Times are of the processor, since a run stays in one thread, and runs of all networks
take turns: so both hold on a machine that does other work. Ratios are to the first network.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from bench.document import FIGURES, machine, replace_block
from bench.engines.breakdown import batch
from model import artifact as artifacts
from model.artifact import Artifact
from model.engines import OnnxEngine
from model.network_shapes import float16_tensors
from model.training.quantisation import quantise
from service.settings import SHIPPED_MODEL

ROWS = (1, 16)
STEPS = 30
RUNS = 100
SET = "annotated"


@dataclass(frozen=True)
class Size:
    """What a network takes and is worth.

    ``microseconds`` are those of a row and step by the rows of a run; ``accuracy`` is that on the
    dev rows of ``SET``, in percent, where the manifest states one.
    """

    name: str
    hidden_size: int
    microseconds: dict[int, float]
    accuracy: float | None


def untrained(hidden_size: int, shipped: Artifact) -> Artifact:
    """An artifact of random weights, in int8."""
    network = shipped.manifest.network.model_copy(update={"hidden_size": hidden_size})
    manifest = shipped.manifest.model_copy(
        update={"name": "random", "version": "weights", "network": network, "metrics": {}}
    )
    generator = np.random.default_rng(hidden_size)
    weights = {
        name: generator.standard_normal(spec.shape, np.float32).astype(np.float16)
        for name, spec in float16_tensors(len(shipped.vocabulary), network).items()
    }
    return replace(shipped, manifest=manifest, weights=weights, int8_weights=quantise(weights))


def measure(networks: Sequence[Artifact], runs: int) -> list[Size]:
    """The median processor time of interleaved runs of each network."""
    engines = [OnnxEngine(network) for network in networks]
    vocabulary = min(len(network.vocabulary) for network in networks)
    batches = {rows: batch(rows, vocabulary, STEPS) for rows in ROWS}
    seconds: list[dict[int, list[float]]] = [{rows: [] for rows in ROWS} for _ in networks]
    for _ in range(runs):
        for engine, durations in zip(engines, seconds, strict=True):
            for rows, ids in batches.items():
                started = time.thread_time()
                engine.logits(ids)
                durations[rows].append(time.thread_time() - started)
    return [
        _size(network.manifest, durations)
        for network, durations in zip(networks, seconds, strict=True)
    ]


def _size(manifest: artifacts.Manifest, seconds: dict[int, list[float]]) -> Size:
    accuracy = manifest.metrics.get(SET, {}).get("accuracy")
    return Size(
        f"{manifest.name} {manifest.version}",
        manifest.network.hidden_size,
        {rows: median(taken) / (rows * STEPS) * 1e6 for rows, taken in seconds.items()},
        None if accuracy is None else 100 * accuracy,
    )


def report(sizes: Sequence[Size]) -> str:
    """A Markdown table, a network a row."""
    times = " | ".join(f"µs at {rows} × {STEPS} ids | ÷ the first" for rows in ROWS)
    lines = [
        f"| network | hidden size | {times} | {SET} dev, accuracy |",
        f"|---|---:|{'---:|---:|' * len(ROWS)}---:|",
    ]
    for size in sizes:
        cells = [size.name, str(size.hidden_size)]
        for rows, taken in size.microseconds.items():
            cells += [f"{taken:.2f}", f"{taken / sizes[0].microseconds[rows]:.2f}"]
        cells.append("–" if size.accuracy is None else f"{size.accuracy:.1f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(sizes: Sequence[Size], path: Path) -> None:
    """Draws time against hidden size and, where any is known, accuracy against time."""
    # Names that do not change from run to run, so that a new picture differs by its points alone.
    mpl.rcParams["svg.hashsalt"] = "sizes"
    scored = [(size, size.accuracy) for size in sizes if size.accuracy is not None]
    panels = 2 if scored else 1
    picture = Figure(figsize=(5 * panels, 3.6), layout="constrained")
    picture.set_facecolor("white")
    axes = list(picture.subplots(1, panels, squeeze=False)[0])
    for rows in ROWS:
        points = sorted((size.hidden_size, size.microseconds[rows]) for size in sizes)
        axes[0].plot(*zip(*points, strict=True), "o-", label=f"{rows} × {STEPS} ids")
    axes[0].set(xlabel="hidden size", ylabel="µs a row and step")
    axes[0].set_ylim(bottom=0)
    axes[0].legend(frameon=False)
    for size, accuracy in scored:
        taken = size.microseconds[ROWS[-1]]
        axes[1].plot(taken, accuracy, "o", color="#c0392b")
        axes[1].annotate(
            str(size.hidden_size), (taken, accuracy), (5, 5), textcoords="offset points"
        )
    if scored:
        axes[1].set(xlabel=f"µs a row and step at {ROWS[-1]} × {STEPS} ids")
        axes[1].set(ylabel=f"{SET} dev, accuracy, %")
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    picture.savefig(path, metadata={"Date": None})


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.sizes", description=__doc__)
    parser.add_argument("artifacts", nargs="*", type=Path, default=[SHIPPED_MODEL])
    parser.add_argument(
        "--random", default="", metavar="SIZES", help="hidden sizes to time with random weights"
    )
    parser.add_argument(
        "--write", action="store_true", help="put table and chart into docs/performance.md"
    )
    options = parser.parse_args(arguments)
    networks = [artifacts.load(directory) for directory in options.artifacts]
    shipped = artifacts.load(SHIPPED_MODEL)
    networks += [untrained(int(size), shipped) for size in options.random.split(",") if size]
    sizes = measure(networks, RUNS)
    content = (
        f"{machine()}. Processor time a row and step, the median of {RUNS} runs.\n\n{report(sizes)}"
    )
    print(content)
    if options.write:
        draw(sizes, FIGURES / "sizes.svg")
        picture = "![Time by hidden size, and accuracy by time](figures/sizes.svg)"
        replace_block("sizes", f"{content}\n\n{picture}")


if __name__ == "__main__":
    main()

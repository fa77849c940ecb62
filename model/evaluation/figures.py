"""Pictures of an evaluation."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from model.config import LABELS
from model.evaluation.results import ALL, TestSplit
from model.scores import calibration_bins, calibration_error, predicted_labels

_MIN_POINT_TEXTS = 20
_MIN_TEXTS_FOR_ALL_BINS = 1000
_MAX_LARGE_PANELS = 9  # more than that are drawn small


def draw_reliability(splits: Sequence[TestSplit], path: Path) -> None:
    """Draw accuracy over confidence, one panel per test split or part of one.

    A larger dot means more texts. For few texts the bins are wider, so that none is nearly empty.
    """
    figure, panels, size = _panels(len(splits), "confidence", "accuracy")
    for axis, split in zip(panels, splits, strict=False):
        confidences, correct = split.decisions()
        bins = 15 if len(correct) >= _MIN_TEXTS_FOR_ALL_BINS else 5
        counts, means, accuracies = zip(*calibration_bins(confidences, correct, bins), strict=True)
        axis.plot([0, 1], [0, 1], ":", color="grey")
        axis.plot(means, accuracies, color="C0", linewidth=0.8)
        areas = [size**2 * (0.03 + 3 * count / len(correct)) for count in counts]
        axis.scatter(means, accuracies, s=areas, clip_on=False, zorder=3)
        error = calibration_error(confidences, correct)
        axis.text(
            0.96, 0.05, f"{len(correct):,} texts\nerror {error:.3f}", ha="right", va="bottom",
            size=size, transform=axis.transAxes,
        )  # fmt: skip
        axis.set_title(split.name, size=size)
        axis.set(xlim=(0.3, 1), ylim=(0, 1))
    figure.savefig(path, dpi=100)


def draw_confusion(splits: Sequence[TestSplit], path: Path) -> None:
    """Draw the confusion of labels and answers, in percent of each label.

    One panel per test split or part of one; the row of a label that it lacks is blank.
    """
    figure, panels, size = _panels(len(splits), "answer", "label")
    for axis, split in zip(panels, splits, strict=False):
        names = [name for name in LABELS if not (split.source.two_classes and name == "neutral")]
        # The full answer is drawn, so even a two-class split has a column for neutral.
        table = np.zeros((len(names), len(LABELS)))
        for label, answer in zip(split.labels, split.answers.shipped.argmax(axis=1), strict=True):
            table[names.index(LABELS[label]), answer] += 1
        counts = table.sum(axis=1, keepdims=True)
        table = 100 * table / np.maximum(counts, 1)
        axis.imshow(table, cmap="Blues", vmin=0, vmax=100, aspect="auto")
        for (row, column), share in np.ndenumerate(table):
            axis.text(
                column, row, f"{share:.0f}" if counts[row] else "", ha="center", va="center",
                color="white" if share > 50 else "black", size=size,
            )  # fmt: skip
        axis.set_title(split.name, size=size)
        axis.set_xticks(range(len(LABELS)), LABELS)
        axis.set_yticks(range(len(names)), names)
    figure.savefig(path, dpi=100)


def group_pictures(split: TestSplit) -> tuple[str, str]:
    """Return the names of a split's pictures by group: confusion, then reliability.

    They are of letters alone, as an artifact requires.
    """
    letters = "".join(letter for letter in split.name.lower() if "a" <= letter <= "z")
    return f"{letters}confusion.png", f"{letters}reliability.png"


def draw_groups(split: TestSplit, directory: Path) -> None:
    """Draw the pictures of a split by group into a directory, the whole split last."""
    parts = [*split.parts(), replace(split, name=ALL)]
    confusion, reliability = group_pictures(split)
    draw_confusion(parts, directory / confusion)
    draw_reliability(parts, directory / reliability)


def draw_lengths(splits: Sequence[TestSplit], path: Path) -> None:
    """Draw accuracy by the length of the text, one line per test split."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axis = figure.subplots()
    bounds = [0, 8, 16, 32, 64, 128, 256, 512, 10**9]
    names = [f"{low + 1}-{high}" for low, high in pairwise(bounds[:-1])] + [f"> {bounds[-2]}"]
    for split in splits:
        lengths = np.array([len(example.text) for example in split.examples])
        correct = predicted_labels(split.answers.shipped, split.source.two_classes) == split.labels
        points = [
            (place, 100 * correct[inside].mean())
            for place, (low, high) in enumerate(pairwise(bounds))
            if (inside := (lengths > low) & (lengths <= high)).sum() >= _MIN_POINT_TEXTS
        ]
        if points:
            axis.plot(*zip(*points, strict=True), "o-", label=split.name)
    axis.set(xlabel="characters", ylabel="accuracy, %")
    axis.set_xticks(range(len(names)), names)
    figure.legend(loc="outside right center")
    figure.savefig(path, dpi=100)


def _panels(count: int, x: str, y: str) -> tuple[Figure, list[Axes], int]:
    """Return a figure, its panels and their font size: three per row, or six if there are many."""
    small = count > _MAX_LARGE_PANELS
    columns, height, size = (6, 1.8, 7) if small else (min(3, count), 3.4, 10)
    rows = -(-count // columns)
    width = 11.0 if columns >= 3 else 5.0 * columns
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    panels: list[Axes] = list(figure.subplots(rows, columns, squeeze=False).flat)
    for place, panel in enumerate(panels):
        panel.tick_params(labelsize=size - 1)
        if place >= count:
            panel.set_axis_off()
        elif small:  # only the outer panels have tick labels
            below = place + columns < count
            panel.tick_params(labelleft=place % columns == 0, labelbottom=not below)
    figure.supxlabel(x, size=size + 1)
    figure.supylabel(y, size=size + 1)
    return figure, panels, size

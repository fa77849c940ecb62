"""Pictures: the curves of a training run, and what an evaluation found."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from model.config import LABELS
from model.evaluate import TestSplit
from model.metrics import calibration_bins, calibration_error, choose
from model.optimization import History

_FEWEST_TEXTS = 20  # that a point of a curve stands for


def draw_curves(pretraining: History, finetuning: History, path: Path) -> None:
    """Draws pre-training loss, and fine-tuning loss with the dev score, side by side."""
    panels = 2 if pretraining else 1
    figure = Figure(figsize=(6 * panels, 4), layout="constrained")
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    if pretraining:
        axis = axes[0]
        axis.plot([h["step"] for h in pretraining], [h["loss"] for h in pretraining])
        axis.set(title="Language-model pre-training", xlabel="step", ylabel="loss")
    axis = axes[-1]
    epochs = [h["epoch"] for h in finetuning]
    axis.plot(epochs, [h["loss"] for h in finetuning], "o-", label="training loss")
    axis.set(title="Fine-tuning", xlabel="epoch", ylabel="loss", xticks=epochs)
    scores = axis.twinx()
    scores.plot(epochs, [h["dev"] for h in finetuning], "s--", color="C1", label="dev score")
    scores.set_ylabel("dev score (mean over sets)")
    figure.legend(loc="outside lower center", ncols=2)
    figure.savefig(path, dpi=120)


def draw_reliability(splits: Sequence[TestSplit], path: Path) -> None:
    """Draws accuracy over confidence, a panel a test split; a larger dot stands for more texts."""
    figure, panels = _panels(len(splits))
    for axis, split in zip(panels, splits, strict=False):
        confidences, right = split.decided()
        counts, means, accuracies = zip(*calibration_bins(confidences, right), strict=True)
        axis.plot([0, 1], [0, 1], ":", color="grey")
        axis.plot(means, accuracies, color="C0", linewidth=0.8)
        axis.scatter(means, accuracies, s=[4 + 400 * count / len(right) for count in counts])
        error = calibration_error(confidences, right)
        axis.set(title=f"{split.name}: error {error:.3f}", xlabel="confidence", ylabel="accuracy")
        axis.set(xlim=(0.3, 1), ylim=(0.2, 1))
    figure.savefig(path, dpi=100)


def draw_confusion(splits: Sequence[TestSplit], path: Path) -> None:
    """Draws what each label of a test split was answered with, in percent of its row."""
    figure, panels = _panels(len(splits))
    for axis, split in zip(panels, splits, strict=False):
        names = sorted({example.label for example in split.examples})
        # The full answer stands there, so a two-class split may have a column neutral.
        table = np.zeros((len(names), len(LABELS)))
        for label, answer in zip(split.labels, split.shipped.argmax(axis=1), strict=True):
            table[names.index(int(label)), answer] += 1
        table = 100 * table / table.sum(axis=1, keepdims=True)
        axis.imshow(table, cmap="Blues", vmin=0, vmax=100, aspect="auto")
        for (row, column), share in np.ndenumerate(table):
            axis.text(
                column, row, f"{share:.0f}", ha="center", va="center",
                color="white" if share > 50 else "black",
            )  # fmt: skip
        axis.set(title=split.name, xlabel="answer", ylabel="label")
        axis.set_xticks(range(len(LABELS)), LABELS)
        axis.set_yticks(range(len(names)), [LABELS[name] for name in names])
    figure.savefig(path, dpi=100)


def draw_lengths(splits: Sequence[TestSplit], path: Path) -> None:
    """Draws accuracy by the length of the text, a line a test split."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axis = figure.subplots()
    bounds = [0, 8, 16, 32, 64, 128, 256, 512, 10**9]
    names = [f"{low + 1}-{high}" for low, high in pairwise(bounds[:-1])] + [f"> {bounds[-2]}"]
    for split in splits:
        lengths = np.array([len(example.text) for example in split.examples])
        right = choose(split.shipped, split.two_classes) == split.labels
        points = [
            (place, 100 * right[inside].mean())
            for place, (low, high) in enumerate(pairwise(bounds))
            if (inside := (lengths > low) & (lengths <= high)).sum() >= _FEWEST_TEXTS
        ]
        if points:
            axis.plot(*zip(*points, strict=True), "o-", label=split.name)
    axis.set(xlabel="characters", ylabel="accuracy, %")
    axis.set_xticks(range(len(names)), names)
    figure.legend(loc="outside right center")
    figure.savefig(path, dpi=100)


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    rows = -(-count // 3)
    figure = Figure(figsize=(11, 3.4 * rows), layout="constrained")
    panels: list[Axes] = list(figure.subplots(rows, 3, squeeze=False).flat)
    for unused in panels[count:]:
        unused.set_axis_off()
    return figure, panels

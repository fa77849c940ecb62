"""The figures of the page."""

import math
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.why_lstm.accuracy import METRICS, Predictions
from bench.why_lstm.gates import GATES, MARKS, GateValues, forget_around, word_id
from bench.why_lstm.gradient import TRAINED, UNTRAINED
from bench.why_lstm.networks import (
    FORMS,
    LSTM,
    READ_OUTS,
    RNN,
    WIDE,
)
from model.text.vocabulary import Vocabulary

COLOURS = {LSTM: "#c0392b", RNN: "#2c3e50", WIDE: "#95a5a6"}
AROUND = range(-4, 6)


def draw_accuracy(answers: Mapping[str, Predictions], path: Path) -> None:
    """Draw one row of panels per kind of corpus, one panel per read-out, one line per cell."""
    picture = _new_figure(10, 6.4)
    panels = picture.subplots(len(answers), len(READ_OUTS), sharey="row", squeeze=False)
    for row, (kind, found) in zip(panels, answers.items(), strict=True):
        buckets = found.buckets()
        for axes, read_out in zip(row, READ_OUTS, strict=True):
            for cell in (cell for cell, form in FORMS if form == read_out):
                colour = COLOURS[cell]
                points = np.array(
                    [found.scores((cell, read_out), METRICS[kind], which) for _, which in buckets]
                )
                axes.plot(range(len(buckets)), points.mean(axis=1), "o-", color=colour, label=cell)
                axes.fill_between(
                    range(len(buckets)), points.min(1), points.max(1), color=colour, alpha=0.2
                )
            axes.set_xticks(range(len(buckets)), [name for name, _ in buckets])
            axes.set(title=f"{kind}:\n{READ_OUTS[read_out]}", xlabel="words of the text")
            axes.grid(axis="y", alpha=0.3)
            _hide_frame(axes)
        row[0].set_ylabel({"accuracy": "accuracy, %", "macro_f1": "macro-F1, %"}[METRICS[kind]])
    handles, labels = panels[0, -1].get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside lower center", ncols=3)
    _save(picture, path)


def draw_gradient(found: Mapping[str, NDArray[np.float64]], path: Path) -> None:
    """Draw the median share against distance, with the band of the middle 80% of texts."""
    picture = _new_figure(10, 4.4)
    panels = picture.subplots(1, 2)
    for axes, title in zip(panels, (UNTRAINED, TRAINED), strict=True):
        for name, shares in found.items():
            if (UNTRAINED in name) != (title == UNTRAINED):
                continue
            colour = next((c for cell, c in COLOURS.items() if name.startswith(cell)), "#e67e22")
            middle = np.median(shares, axis=0)
            axes.plot(middle, color=colour, label=name)
            low, high = np.quantile(shares, (0.1, 0.9), axis=0)
            axes.fill_between(range(len(middle)), low, high, color=colour, alpha=0.12, linewidth=0)
        axes.set_yscale("log")
        axes.set(title=f"{title} (mind the scale)", xlabel="words between it and the end")
        axes.grid(alpha=0.3)
        axes.legend(loc="lower left", frameon=False)
        _hide_frame(axes)
    panels[0].set_ylabel("gradient of the last state at a word,\nbeside that at the last word")
    _save(picture, path)


def draw_gates(
    classes: Mapping[str, NDArray[np.bool_]], read: Mapping[str, GateValues], path: Path
) -> None:
    """Draw one panel per gate, one row per class: mean, and the band of the middle 80%."""
    picture = _new_figure(10, 4)
    panels = picture.subplots(1, len(GATES), sharey=True)
    names = list(classes)
    for gate, axes in enumerate(panels):
        for (direction, found), colour, shift in zip(
            read.items(), ("#c0392b", "#2980b9"), (0.15, -0.15), strict=True
        ):
            for place, name in enumerate(reversed(names)):
                values = found.values[classes[name], gate]
                low, high = np.quantile(values, (0.1, 0.9))
                axes.plot([low, high], [place + shift] * 2, color=colour, alpha=0.35, linewidth=5)
                axes.plot(
                    values.mean(), place + shift, "o", color=colour,
                    label=f"read {direction}s" if place == 0 else None,
                )  # fmt: skip
            axes.axvline(found.values[:, gate].mean(), color=colour, linestyle=":", linewidth=1)
        written = GATES[gate] == "written"
        axes.set(
            title="what is written" if written else f"{GATES[gate]} gate",
            xlabel="|input gate × candidate|" if written else "mean over the features",
        )
        axes.set_yticks(range(len(names)), names[::-1])
        _hide_frame(axes)
    handles, labels = panels[0].get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside lower center", ncols=2)
    _save(picture, path)


def draw_contrast(read: Mapping[str, GateValues], vocabulary: Vocabulary, path: Path) -> None:
    """Draw the forget gate around 但是, and around words that mark no contrast."""
    picture = _new_figure(10, 4.2)
    panels = picture.subplots(1, len(read), sharey=True)
    for axes, (direction, found) in zip(panels, read.items(), strict=True):
        for word, (name, colour) in MARKS.items():
            values = [
                forget_around(found, direction, word_id(vocabulary, word), place)
                for place in AROUND
            ]
            means = [v.mean() for v in values]
            errors = [2 * v.std() / math.sqrt(len(v)) for v in values]
            axes.errorbar(AROUND, means, errors, fmt="o-", color=colour, capsize=3, label=name)
        mean = found.values[:, GATES.index("forget")].mean()
        axes.axhline(mean, color="black", linestyle=":", linewidth=1, label="mean of all words")
        axes.set(title=f"Forget gate, read {direction}s", xlabel="words read since")
        axes.set_xticks(AROUND)
        axes.axvline(0, color="black", alpha=0.1, linewidth=8)
        _hide_frame(axes)
    panels[0].set_ylabel("mean over the features (± 2 standard errors)")
    handles, labels = panels[0].get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside lower center", ncols=4)
    _save(picture, path)


def _new_figure(width: float, height: float) -> Figure:
    # A fixed salt keeps element names equal between runs, so that only points differ.
    mpl.rcParams["svg.hashsalt"] = "why-lstm"
    picture = Figure(figsize=(width, height), layout="constrained")
    picture.set_facecolor("white")
    return picture


def _hide_frame(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _save(picture: Figure, path: Path) -> None:
    picture.savefig(path, metadata={"Date": None})

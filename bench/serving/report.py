"""The tables and the chart of a run."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from bench.serving.results import CONNECTIONS, MOST, Results, figures

_OURS, _OTHERS = "#c0392b", "#7f8c8d"


def tables(results: Results, price: float) -> str:
    """All tables, as Markdown; ``price`` is in euro for an hour of a processor."""
    parts = [_systems_table(results), _cost_table(results, price), _figures_table(results)]
    if results.workers:
        parts.append(_workers_table(results))
    return "\n\n".join(parts)


def _systems_table(results: Results) -> str:
    rates = " | ".join(f"{count} conn." for count in CONNECTIONS)
    latencies = " | ".join(f"p50 / p99 at {count}" for count in CONNECTIONS)
    lines = [
        f"| system | {rates} | spread at {MOST} | {latencies} | texts/s in batches | memory MB "
        "| ready s | disk MB | failed |",
        "|---|" + "---:|" * (2 * len(CONNECTIONS) + 6),
    ]
    for name, result in results.systems.items():
        most = result.rates(MOST)
        texts = result.batch_texts()
        failures = result.failures()
        cells = [
            f"{name} (!)" if failures else name,
            *(_number(result.rate(count)) for count in CONNECTIONS),
            f"{_number(min(most))} to {_number(max(most))}",
            *(f"{result.p50(count):.1f} / {result.p99(count):.1f}" for count in CONNECTIONS),
            "-" if texts is None else _number(texts),
            f"{result.memory():.0f}",
            f"{result.seconds_to_ready:.2f}",
            f"{result.disk:.0f}",
            f"{failures:,}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cost_table(results: Results, price: float) -> str:
    lines = [
        f"| system, at {price:g} € an hour of a processor | texts a core-second, singles at {MOST} "
        "| million texts a euro | texts a core-second, in batches | million texts a euro |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, result in results.systems.items():
        cells = [name]
        for texts in (result.texts_per_core_second(), result.batch_texts_per_core_second()):
            if texts is None:
                cells += ["-", "-"]
            else:
                cells += [_number(texts), _number(millions_per_euro(texts, price))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def millions_per_euro(texts_per_core_second: float, price: float) -> float:
    """Millions of texts that a euro pays for, at ``price`` euro for an hour of a processor."""
    return texts_per_core_second * 3600 / price / 1e6


def _figures_table(results: Results) -> str:
    lines = ["| figure | target | reached | |", "|---|---:|---:|---|"]
    for figure in figures(results):
        target = ""
        if figure.at_least is not None:
            target = f"≥ {figure.at_least:g}{figure.unit}"
        if figure.at_most is not None:
            target = f"≤ {figure.at_most:g}{figure.unit}"
        reached = "-"
        if figure.reached is not None:
            reached = f"{figure.reached:,.{figure.digits}f}{figure.unit}"
        verdict = {True: "reached", False: "missed", None: ""}[figure.met]
        lines.append(f"| {figure.name} | {target} | {reached} | {verdict} |")
    return "\n".join(lines)


def _workers_table(results: Results) -> str:
    lines = [
        f"| workers of ours | PSS MB | RSS MB | requests a second at {MOST} connections | failed |",
        "|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {count} | {memory.pss:.0f} | {memory.rss:.0f} | {_number(load.rate)} "
        f"| {load.refused + load.broken:,} |"
        for count, (memory, load) in results.workers.items()
    ]
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def draw(results: Results, path: Path) -> None:
    """Requests a second and p99 of every system, as bars."""
    # Names that do not change from run to run, so that a new picture differs by its bars alone.
    mpl.rcParams["svg.hashsalt"] = "serving"
    names = sorted(results.systems, key=lambda name: results.systems[name].rate(MOST))
    found = [results.systems[name] for name in names]
    picture = Picture(figsize=(10, 0.5 * len(names) + 1.4), layout="constrained")
    picture.set_facecolor("white")
    left, right = picture.subplots(1, 2, sharey=True)
    colours = [_OURS if name.startswith("ours") else _OTHERS for name in names]

    medians = [result.rate(MOST) for result in found]
    spread = [
        [rate - min(result.rates(MOST)) for rate, result in zip(medians, found, strict=True)],
        [max(result.rates(MOST)) - rate for rate, result in zip(medians, found, strict=True)],
    ]
    left.barh(names, medians, xerr=spread, color=colours, capsize=3)
    _finish(left, medians, f"requests a second at {MOST} connections")
    p99 = [result.p99(MOST) for result in found]
    right.barh(names, p99, color=colours)
    _finish(right, p99, f"p99 at {MOST} connections, ms")
    picture.savefig(path, metadata={"Date": None})


def _finish(axes: Axes, values: list[float], title: str) -> None:
    """A logarithmic scale with room for the figure behind each bar."""
    axes.set_xscale("log")
    axes.set_xlim(min(values) / 3, max(values) * 4)
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    for place, value in enumerate(values):
        axes.annotate(
            _number(value), (value, place), (14, 0), textcoords="offset points", va="center"
        )

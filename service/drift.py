"""How far the latest answers differ from those on the dev texts of the model."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from model.artifact import DriftBaseline
from model.drift import Observation, population_stability_index, summarize

# Answers that the gauges look back on, and how many they need.
RECENT_TEXTS: Final = 2000
MIN_RECENT_TEXTS: Final = 200


class Drift:
    """Gauges that compare the latest answers with the artifact's drift baseline.

    Each worker looks at its own answers. All workers see samples of the same traffic, so the one
    that reported last speaks for all.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, labels: Sequence[str]) -> Gauge:
            return Gauge(name, text, labels, registry=registry, multiprocess_mode="livemostrecent")

        self._baseline: DriftBaseline | None = None
        self._recent: deque[Observation] = deque(maxlen=RECENT_TEXTS)
        self._stability = gauge(
            "sentiment_drift_stability_index",
            f"Population stability index of the latest {RECENT_TEXTS} texts against dev.",
            ["signal"],
        )
        self._label_ratio = gauge("sentiment_label_ratio", "Share of a label.", ["label", "period"])
        self._mean_confidence = gauge(
            "sentiment_mean_confidence_ratio", "Mean confidence.", ["period"]
        )
        self._unknown_ratio = gauge(
            "sentiment_unknown_token_ratio", "Share of unknown tokens.", ["period"]
        )

    def begin(self, baseline: DriftBaseline | None) -> None:
        """Forget earlier answers, and compare later ones with another baseline, if there is one."""
        self._baseline = baseline
        self._recent.clear()
        if baseline:
            self._show(baseline, "reference")

    def add(self, observations: Iterable[Observation]) -> None:
        """Add answers; the oldest ones drop out."""
        self._recent.extend(observations)

    def refresh(self) -> None:
        """Set the gauges, once there are enough answers for them to mean something."""
        if self._baseline is None or len(self._recent) < MIN_RECENT_TEXTS:
            return
        recent = summarize(tuple(self._recent))
        self._show(recent, "recent")
        for signal, index in population_stability_index(self._baseline, recent).items():
            self._stability.labels(signal).set(index)

    def _show(self, measured: DriftBaseline, period: str) -> None:
        for label, share in measured.labels.items():
            self._label_ratio.labels(label, period).set(share)
        self._mean_confidence.labels(period).set(measured.mean_confidence)
        self._unknown_ratio.labels(period).set(measured.unknown)

"""Our artifact and engine for servers of others, which bring no web framework of ours."""

from pathlib import Path

import numpy as np

import model
from model.classifier import Classifier, Prediction
from model.config import LABELS
from model.engines import group_by_length

EXAMPLE = "房间干净，服务也好，就是早餐太差。"
MAX_BATCH = 32  # texts that a server may put together


class Model:
    """The shipped model on one thread: each server runs as many of its workers as it has CPUs."""

    def __init__(self) -> None:
        directory = Path(model.__file__).parent / "artifacts" / "zh-general"
        self._classifier = Classifier.load(directory, threads=1, engine="onnx")
        manifest = self._classifier.artifact.manifest
        self._version = {
            "name": manifest.name,
            "version": manifest.version,
            "digest": self._classifier.artifact.digest,
        }

    def answers(self, texts: list[str]) -> list[dict[str, object]]:
        """Return what our service answers to each text, for JSON."""
        encodings = [self._classifier.encode(text) for text in texts]
        windows = [window for encoding in encodings for window in encoding.windows]
        probabilities = np.empty((len(windows), len(LABELS)))
        for group in group_by_length([len(window) for window in windows]):
            probabilities[group] = self._classifier.probabilities([windows[i] for i in group])
        return list(map(self._answer, self._classifier.decide_all(encodings, probabilities)))

    def _answer(self, prediction: Prediction) -> dict[str, object]:
        encoding = prediction.encoding
        return {
            "label": prediction.label,
            "confidence": prediction.confidence,
            "probabilities": dict(zip(LABELS, prediction.probabilities, strict=True)),
            "uncertain": prediction.uncertain,
            "uncertain_because": prediction.uncertain_because,
            "text": {
                "characters": encoding.characters,
                "tokens": encoding.tokens,
                "unknown": encoding.unknown,
                "windows": len(encoding.windows),
            },
            "model": self._version,
        }

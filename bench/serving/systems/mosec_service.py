"""Our artifact and our engine in mosec, a server in Rust with workers in Python.

One worker per CPU, each with one thread; batches of up to 32 texts that wait a millisecond for each
other (mosec's minimum); JSON by msgspec.

    python -m bench.serving.systems.mosec_service PORT
"""

import os
import sys
from pathlib import Path

import msgspec
import numpy as np
from mosec import Server, ValidationError, Worker

import model
from model.classifier import Classifier, Prediction
from model.config import LABELS
from model.engines import group_by_length


class Request(msgspec.Struct):
    """A text."""

    text: str


class Sentiment(Worker):
    """A process that answers batches of requests."""

    example = (Request("房间干净，服务也好，就是早餐太差。"),)  # for mosec's warm-up

    def __init__(self) -> None:
        directory = Path(model.__file__).parent / "artifacts" / "zh-general"
        self.classifier = Classifier.load(directory, threads=1, engine="onnx")
        manifest = self.classifier.artifact.manifest
        self.model = {
            "name": manifest.name,
            "version": manifest.version,
            "digest": self.classifier.artifact.digest,
        }
        self.decoder = msgspec.json.Decoder(Request)

    def deserialize(self, data: bytes) -> Request:
        """Parse a body."""
        try:
            request: Request = self.decoder.decode(data)
        except msgspec.MsgspecError as error:
            raise ValidationError(str(error)) from error
        return request

    def serialize(self, data: object) -> bytes:
        """Serialise an answer."""
        body: bytes = msgspec.json.encode(data)
        return body

    def forward(self, data: list[Request]) -> list[dict[str, object]]:
        """Return the answers to a batch."""
        encodings = [self.classifier.encode(request.text) for request in data]
        windows = [window for encoding in encodings for window in encoding.windows]
        probabilities = np.empty((len(windows), len(LABELS)))
        for group in group_by_length([len(window) for window in windows]):
            probabilities[group] = self.classifier.probabilities([windows[i] for i in group])
        return list(map(self._answer, self.classifier.decide_all(encodings, probabilities)))

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
            "model": self.model,
        }


if __name__ == "__main__":
    os.environ |= {
        "MOSEC_ADDRESS": "127.0.0.1",
        "MOSEC_PORT": sys.argv[1],
        "MOSEC_LOG_LEVEL": "warning",
    }
    server = Server()
    server.append_worker(
        Sentiment,
        num=len(os.sched_getaffinity(0)),
        max_batch_size=32,
        max_wait_time=1,
        route="/v1/predict",
    )
    server.run()

"""Our artifact and our engine in BentoML, with its adaptive batching.

One worker per CPU; batches of up to 32 texts, for which BentoML itself decides how long they wait.
Its batches are lists that it joins and takes apart again, so each request holds a list of texts.
Access logs are off; its metrics and traces are as it ships them.

    BENTOML_PORT=PORT python -m bentoml serve bench.serving.systems.bentoml_service:Sentiment
"""

import os

import bentoml

from bench.serving.systems._model import MAX_BATCH, Model


@bentoml.service(workers=len(os.sched_getaffinity(0)), logging={"access": {"enabled": False}})
class Sentiment:
    """A process that answers batches of requests."""

    def __init__(self) -> None:
        self.model = Model()

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, route="/v1/predict")
    def predict(self, texts: list[str]) -> list[dict[str, object]]:
        """Return the answers to a batch."""
        return self.model.answers(texts)

"""Our artifact and our engine in LitServe, which puts FastAPI before workers in Python.

What its documentation recommends for CPUs and many requests: a worker and an HTTP server per CPU,
and ZeroMQ between them. Batches of up to 32 texts that wait a millisecond for each other.

    python -m bench.serving.systems.litserve_service PORT
"""

import os
import sys

import litserve

from bench.serving.systems._model import MAX_BATCH, Model


class Sentiment(litserve.LitAPI):
    """A process that answers batches of requests."""

    def setup(self, device: str) -> None:
        """Load the model, once a worker."""
        self.model = Model()

    def decode_request(self, request: dict[str, str]) -> str:
        """Return the text of a request."""
        return request["text"]

    def batch(self, inputs: list[str]) -> list[str]:
        """Leave texts the list that they are."""
        return inputs

    def predict(self, texts: list[str]) -> list[dict[str, object]]:
        """Return the answers to a batch."""
        return self.model.answers(texts)

    def unbatch(self, output: list[dict[str, object]]) -> list[dict[str, object]]:
        """Leave answers the list that they are."""
        return output

    def encode_response(self, output: dict[str, object]) -> dict[str, object]:
        """Return an answer for JSON."""
        return output


if __name__ == "__main__":
    server = litserve.LitServer(
        Sentiment(max_batch_size=MAX_BATCH, batch_timeout=0.001, api_path="/v1/predict"),
        accelerator="cpu",
        workers_per_device=len(os.sched_getaffinity(0)),
        fast_queue=True,
    )
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False
    )

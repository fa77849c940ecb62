"""Our artifact and our engine in mosec, a server in Rust with workers in Python.

One worker per CPU, each with one thread; batches of up to 32 texts that wait a millisecond for each
other (mosec's minimum); JSON by msgspec.

    python -m bench.serving.systems.mosec_service PORT
"""

import os
import sys

import msgspec
from mosec import Server, ValidationError, Worker

from bench.serving.systems._model import EXAMPLE, MAX_BATCH, Model


class Request(msgspec.Struct):
    """A text."""

    text: str


class Sentiment(Worker):
    """A process that answers batches of requests."""

    example = (Request(EXAMPLE),)  # for mosec's warm-up

    def __init__(self) -> None:
        self.model = Model()
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
        return self.model.answers([request.text for request in data])


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
        max_batch_size=MAX_BATCH,
        max_wait_time=1,
        route="/v1/predict",
    )
    server.run()

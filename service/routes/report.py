"""Where an answer's stage times go: to the client, to the log and to the metrics."""

from fastapi import Request, Response

from service.batcher import Answer
from service.metrics import Metrics


def report(answer: Answer, metrics: Metrics, request: Request, response: Response) -> None:
    """Tells what the answer of a request took and held."""
    milliseconds = {stage: round(seconds * 1000, 3) for stage, seconds in answer.stages().items()}
    response.headers["server-timing"] = ", ".join(
        f"{stage};dur={duration:.3f}" for stage, duration in milliseconds.items()
    )
    request.state.stages = milliseconds
    metrics.observe_answer(answer)

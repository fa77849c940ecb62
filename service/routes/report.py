"""Where an answer's stage times go: to the client, to the log and to the metrics."""

from fastapi import Request, Response

from service.exchange import exchange_of
from service.inference.outcome import BatchOutcome
from service.model_registry import LoadedModel
from service.state import service_of


def report(answer: BatchOutcome, model: LoadedModel, request: Request, response: Response) -> None:
    """Tells what the answer of a request by a model took and held."""
    milliseconds = {stage: round(seconds * 1000, 3) for stage, seconds in answer.stages().items()}
    response.headers["server-timing"] = ", ".join(
        f"{stage};dur={duration:.3f}" for stage, duration in milliseconds.items()
    )
    exchange_of(request).stage_milliseconds = milliseconds
    service = service_of(request)
    service.metrics.observe_outcomes(answer, by_default=service.is_default(model))

"""Reports the stage times of an answer to the client, the log and the metrics."""

from fastapi import Request, Response

from service.exchange import exchange_of
from service.inference.outcome import BatchOutcome
from service.model_registry import LoadedModel
from service.state import service_of


def report(answer: BatchOutcome, model: LoadedModel, request: Request, response: Response) -> None:
    """Report how long a model took for the texts of a request, and what it answered."""
    milliseconds = {stage: round(seconds * 1000, 3) for stage, seconds in answer.stages().items()}
    response.headers["server-timing"] = ", ".join(
        f"{stage};dur={duration:.3f}" for stage, duration in milliseconds.items()
    )
    exchange_of(request).stage_milliseconds = milliseconds
    service = service_of(request)
    service.metrics.observe_outcomes(answer, by_default=service.models.is_default(model))

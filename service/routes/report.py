"""Reports the stage times of an answer to the client, the log and the metrics."""

from fastapi import Request

from service.exchange import exchange_of
from service.model_registry import LoadedModel
from service.outcome import BatchOutcome
from service.state import service_of


def report(answer: BatchOutcome, model: LoadedModel, request: Request) -> None:
    """Report how long a model took for the texts of a request, and what it answered."""
    exchange = exchange_of(request)
    exchange.answer = answer
    exchange.stage_milliseconds = {
        stage: round(seconds * 1000, 3) for stage, seconds in answer.stages().items()
    }
    exchange.answered_by_default = service_of(request).models.is_default(model)

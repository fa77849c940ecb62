"""Where an answer's stage times go: to the client, to the log and to the metrics."""

from typing import Annotated

from fastapi import Depends, Request, Response

from service.batcher import Answer
from service.state import CurrentService, Service


class _Report:
    def __init__(self, request: Request, response: Response, service: Service) -> None:
        self._request = request
        self._response = response
        self._metrics = service.metrics

    def __call__(self, answer: Answer) -> None:
        """Tells what the answer of this request took and held."""
        milliseconds = {
            stage: round(seconds * 1000, 3) for stage, seconds in answer.stages().items()
        }
        self._response.headers["server-timing"] = ", ".join(
            f"{stage};dur={duration:.3f}" for stage, duration in milliseconds.items()
        )
        self._request.state.stages = milliseconds
        self._metrics.observe_answer(answer)


async def _report(request: Request, response: Response, service: CurrentService) -> _Report:
    return _Report(request, response, service)


# Coroutines: the framework would call anything else in a thread, which costs more than it does.
Report = Annotated[_Report, Depends(_report)]

"""What the adapters share: each speaks the protocol of another service, on its own paths alone.

An adapter is its routes and the form of its errors. Its requests go the way of any request to the
model: admission, queue, deadline, metrics, log.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, Field, ValidationError
from pydantic_core import PydanticCustomError

from model.classifier import Prediction
from model.errors import TextError
from service.errors import TooManyItemsError
from service.exchange import exchange_of
from service.inference.outcome import prediction_of
from service.model_registry import LoadedModel
from service.routes.report import report
from service.schemas import LIMITED_ITEMS, Text
from service.settings import MAX_BATCH_ITEMS
from service.state import service_of

_Body = TypeVar("_Body", bound=BaseModel)


def _only(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if len(value) != 1:
        raise PydanticCustomError("one_text", "A list in the list holds one text")
    return value[0]


# Where a protocol has lists in its list, each holds one text.
Texts = Annotated[
    list[Annotated[Text, BeforeValidator(_only)]],
    Field(min_length=1, max_length=MAX_BATCH_ITEMS, fail_fast=True),
    LIMITED_ITEMS,
]

# What a number is at most where its protocol has no limit.
MAX_INTEGER = 2**31 - 1


async def classify(
    model: LoadedModel, texts: Sequence[str], field: str, request: Request, response: Response
) -> list[Prediction]:
    """The predictions for the texts of a request.

    ``field`` is where they stand in its body. No protocol here has errors of single texts, so a bad
    one fails them all, and is named.

    Raises:
        TooManyItemsError: there are more texts than the limit in force.
        TextError: one of them could not be classified.
    """
    limit = service_of(request).settings.max_items
    if len(texts) > limit:
        raise TooManyItemsError(f"{len(texts)} texts were sent; the limit is {limit}")
    answer = await model.batcher.submit(texts, exchange_of(request).client)
    report(answer, model, request, response)
    for index, outcome in enumerate(answer.outcomes):
        if isinstance(outcome, TextError) and len(texts) > 1:
            raise type(outcome)(f"{field}.{index}: {outcome}")
    return [prediction_of(outcome) for outcome in answer.outcomes]


def parse(kind: type[_Body], content: str | bytes) -> _Body:
    """A body that the framework cannot read itself, since it is not plain JSON in UTF-8.

    Raises:
        RequestValidationError: it is no JSON, or does not fit.
    """
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        # Without what was sent, which would be copied.
        errors = error.errors(include_url=False, include_input=False, include_context=False)
        raise RequestValidationError(errors) from None


def request_schema(kind: type[BaseModel]) -> dict[str, Any]:
    """The schema of a body that ``parse`` reads, for the document."""
    return kind.model_json_schema(ref_template="#/components/schemas/{model}")


def binary_probabilities(prediction: Prediction) -> tuple[float, float]:
    """The probabilities of positive and negative if the text is known to be one of them."""
    positive, _, negative = prediction.probabilities
    either = positive + negative
    share = positive / either if either else 0.5
    return share, 1 - share


def error_responses(body: type[BaseModel], *statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of the errors that a route can answer with."""
    return {
        status: {"model": body, "description": HTTPStatus(status).phrase} for status in statuses
    }

"""What the adapters share; each speaks the protocol of another service on paths of its own.

An adapter is routes and a form of errors. Its requests pass through the same admission, queue,
deadline, metrics and log as any other request to the model.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, Field, ValidationError
from pydantic_core import PydanticCustomError

from model import Prediction, TextError
from service.errors import TooManyItemsError
from service.exchange import exchange_of
from service.model_registry import LoadedModel
from service.outcome import prediction_of
from service.request_schemas import LIMITED_ITEMS, Text
from service.routes.report import report
from service.settings import MAX_BATCH_ITEMS
from service.state import service_of

_Body = TypeVar("_Body", bound=BaseModel)


def _only(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if len(value) != 1:
        raise PydanticCustomError("one_text", "must hold exactly one text")
    return value[0]


# Some protocols wrap each text in a list of its own.
Texts = Annotated[
    list[Annotated[Text, BeforeValidator(_only)]],
    Field(min_length=1, max_length=MAX_BATCH_ITEMS, fail_fast=True),
    LIMITED_ITEMS,
]

# The maximum of integers that their protocol does not limit.
MAX_INTEGER = 2**31 - 1


async def classify(
    model: LoadedModel, texts: Sequence[str], field: str, request: Request
) -> list[Prediction]:
    """Return the predictions for the texts of a request, which are in ``field`` of its body.

    These protocols have no errors of single texts, so a bad text fails them all and is named.

    Raises:
        TooManyItemsError: there are more texts than the limit in force.
        TextError: a text could not be classified.
    """
    limit = service_of(request).settings.max_items
    if len(texts) > limit:
        raise TooManyItemsError(f"{len(texts)} texts were sent; the limit is {limit}")
    answer = await model.batcher.submit(texts, exchange_of(request).client)
    report(answer, model, request)
    for index, outcome in enumerate(answer.outcomes):
        if isinstance(outcome, TextError) and len(texts) > 1:
            raise type(outcome)(f"{field}.{index}: {outcome}")
    return [prediction_of(outcome) for outcome in answer.outcomes]


def parse(kind: type[_Body], content: str | bytes) -> _Body:
    """Parse a body that the framework cannot, since it is not plain JSON in UTF-8.

    Raises:
        RequestValidationError: the body is not JSON, or does not fit the schema.
    """
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        # Without the input, which would be copied.
        errors = error.errors(include_url=False, include_input=False)
        raise RequestValidationError(errors) from None


def request_schema(kind: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of a body that ``parse`` reads, for the OpenAPI document."""
    return kind.model_json_schema(ref_template="#/components/schemas/{model}")


def binary_probabilities(prediction: Prediction) -> tuple[float, float]:
    """Return the probabilities of positive and negative, given that the text is not neutral."""
    positive, _, negative = prediction.probabilities
    either = positive + negative
    share = positive / either if either else 0.5
    return share, 1 - share


def error_responses(body: type[BaseModel], *statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of the errors that a route may respond with."""
    return {
        status: {"model": body, "description": HTTPStatus(status).phrase} for status in statuses
    }

"""The result for an item of a batch or a line of a stream, which fails without the others."""

from model import TextError
from service.errors import InvalidBodyError
from service.outcome import Outcome
from service.problems import describe_field, problem_of
from service.request_schemas import BatchItem, InvalidItem
from service.schemas import BatchFailure, BatchSuccess, sentiment_fields


def item_result(item: BatchItem, outcome: Outcome) -> BatchSuccess | BatchFailure:
    """Return the result for an item and what became of its text."""
    if isinstance(outcome, TextError):
        return BatchFailure(id=item.id, error=problem_of(outcome))
    return BatchSuccess(id=item.id, **sentiment_fields(outcome))


def invalid_result(item: InvalidItem, whole: str = "the item") -> BatchFailure:
    """Return the result for an item that does not fit the schema; errors call it ``whole``."""
    error = InvalidBodyError(describe_field(item.errors[0], whole))
    return BatchFailure(id=item.id, error=problem_of(error, item.errors))

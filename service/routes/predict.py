"""``/v1/predict`` and ``/v1/predict/batch``."""

from fastapi import APIRouter, Request

from service.errors import TooManyItemsError
from service.exchange import exchange_of
from service.outcome import prediction_of
from service.request_schemas import BatchItem, BatchRequest, InvalidItem, PredictRequest
from service.routes.model_route import PROBLEMS, JsonModelRoute
from service.routes.report import report
from service.routes.results import invalid_result, item_result
from service.schemas import BatchResponse, PredictResponse, sentiment_fields
from service.state import service_of

router = APIRouter(prefix="/v1/predict", tags=["prediction"], route_class=JsonModelRoute)

# Handlers take the request itself: resolving a dependency would cost a tenth of a prediction.


@router.post("", responses=PROBLEMS)
async def predict(body: PredictRequest, request: Request) -> PredictResponse:
    """Say whether a text is positive, neutral or negative."""
    model = service_of(request).models.find(body.model)
    answer = await model.batcher.submit([body.text], exchange_of(request).client)
    report(answer, model, request)
    (outcome,) = answer.outcomes
    return PredictResponse(**sentiment_fields(prediction_of(outcome)), model=model.version)


@router.post("/batch", responses=PROBLEMS, response_model_exclude_none=True)
async def predict_batch(body: BatchRequest, request: Request) -> BatchResponse:
    """Say whether several texts are positive, neutral or negative.

    Results come in the order of the items. An item that cannot be classified gets an error, and
    does not affect the others.
    """
    service = service_of(request)
    limit = service.settings.max_items
    if len(body.items) > limit:
        raise TooManyItemsError(f"{len(body.items)} items were sent; the limit is {limit}")
    model = service.models.find(body.model)
    items: list[BatchItem | InvalidItem] = list(body.items)
    texts = [item.text for item in items if isinstance(item, BatchItem)]
    answer = await model.batcher.submit(texts, exchange_of(request).client)
    report(answer, model, request)
    outcomes = iter(answer.outcomes)
    results = [
        item_result(item, next(outcomes)) if isinstance(item, BatchItem) else invalid_result(item)
        for item in items
    ]
    return BatchResponse(results=results, model=model.version)

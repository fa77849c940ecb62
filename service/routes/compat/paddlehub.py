"""PaddleHub Serving: ``/predict/senta_lstm`` and ``/predict/senta_bilstm``."""

import re
from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from model.config import NEUTRAL
from service.adapters import Adapter
from service.problems import Problem
from service.request_schemas import LIMITED_ITEMS, Text
from service.routes.compat.adapter import binary_probabilities, classify, error_responses
from service.routes.model_route import STATUSES, JsonModelRoute
from service.schemas import Probability
from service.settings import MAX_BATCH_ITEMS
from service.state import service_of

router = APIRouter(prefix="/predict", tags=["paddlehub"], route_class=JsonModelRoute)


class SentaRequest(BaseModel):
    """Texts; ``batch_size`` and ``use_gpu`` are accepted and ignored."""

    texts: Annotated[
        list[Text],
        Field(min_length=1, max_length=MAX_BATCH_ITEMS, fail_fast=True),
        LIMITED_ITEMS,
    ]


class SentaResult(BaseModel):
    """The answer for one text in two classes, and the probability that neither is right."""

    text: str
    sentiment_label: Literal[0, 1]
    sentiment_key: Literal["positive", "negative"]
    positive_probs: Probability = Field(description="If the text is not neutral.")
    negative_probs: Probability = Field(description="If the text is not neutral.")
    neutral_probs: Probability = Field(description="An addition of this service.")


class SentaResponse(BaseModel):
    """One result per text, in the order of the request."""

    status: Literal["000"] = "000"
    msg: Literal[""] = ""
    results: list[SentaResult]


class SentaError(BaseModel):
    """An error: 101 for a bad request or failed prediction, 111 no such module, 112 not JSON."""

    status: Literal["101", "111", "112"]
    msg: str
    results: Literal[""] = ""


def _error(problem: Problem) -> Response:
    codes: dict[int, Literal["111", "112"]] = {404: "111", 415: "112"}
    body = SentaError(status=codes.get(problem.status, "101"), msg=problem.detail)
    return JSONResponse(body.model_dump(), problem.status)


_ERRORS = error_responses(SentaError, *STATUSES)


@router.post("/senta_lstm", operation_id="predictForSentaLstm", responses=_ERRORS)
@router.post("/senta_bilstm", operation_id="predictForSentaBilstm", responses=_ERRORS)
async def predict_for_paddlehub(body: SentaRequest, request: Request) -> SentaResponse:
    """Say whether texts are positive or negative, as PaddleHub's senta modules do."""
    model = service_of(request).models.find()
    predictions = await classify(model, body.texts, "texts", request)
    results = []
    for text, prediction in zip(body.texts, predictions, strict=True):
        positive = round(binary_probabilities(prediction)[0], 4)
        results.append(
            SentaResult(
                text=text,
                sentiment_label=1 if positive >= 0.5 else 0,
                sentiment_key="positive" if positive >= 0.5 else "negative",
                positive_probs=positive,
                negative_probs=round(1 - positive, 4),
                neutral_probs=round(prediction.probabilities[NEUTRAL], 4),
            )
        )
    return SentaResponse(results=results)


ADAPTER = Adapter((router,), re.compile(r"/predict/.*", re.DOTALL), _error)

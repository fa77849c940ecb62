"""The frame of a measured system: our endpoints and schemas in FastAPI, around one function."""

import sys
from collections.abc import Callable, Sequence

import uvicorn
from fastapi import FastAPI

from model.config import LABELS
from service.request_schemas import BatchItem, BatchRequest, PredictRequest
from service.schemas import (
    BatchResponse,
    BatchSuccess,
    ModelVersion,
    PredictResponse,
    Probabilities,
    Sentiment,
    TextFacts,
)


def sentiment(
    row: Sequence[float], text: str, *, tokens: int = 0, unknown: int = 0, uncertain: bool = False
) -> Sentiment:
    """Return the sentiment of a text whose probabilities are ``row``, in the order of LABELS."""
    best = max(range(len(LABELS)), key=lambda label: row[label])
    return Sentiment(
        label=LABELS[best],
        confidence=row[best],
        probabilities=Probabilities(**dict(zip(LABELS, row, strict=True))),
        uncertain=uncertain,
        uncertain_because=["low_confidence"] if uncertain else [],
        text=TextFacts(characters=len(text), tokens=tokens, unknown=unknown, windows=1),
    )


def empty_app() -> FastAPI:
    """Return an application with nothing but its probe."""
    app = FastAPI()

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        return {"status": "ready"}

    return app


def app_around(
    classify: Callable[[list[str]], list[Sentiment]],
    model: ModelVersion,
    *,
    in_threads: bool = False,
) -> FastAPI:
    """Return an application whose handlers call ``classify``, in the event loop or in threads."""
    app = empty_app()

    def predict(request: PredictRequest) -> PredictResponse:
        return PredictResponse(**dict(classify([request.text])[0]), model=model)

    def predict_batch(request: BatchRequest) -> BatchResponse:
        items = [item for item in request.items if isinstance(item, BatchItem)]
        answers = classify([item.text for item in items])
        results = [
            BatchSuccess(id=item.id, **dict(answer))
            for item, answer in zip(items, answers, strict=True)
        ]
        return BatchResponse(results=list(results), model=model)

    async def predict_in_loop(request: PredictRequest) -> PredictResponse:
        return predict(request)

    async def predict_batch_in_loop(request: BatchRequest) -> BatchResponse:
        return predict_batch(request)

    # FastAPI runs a handler that is no coroutine in a thread.
    app.post("/v1/predict")(predict if in_threads else predict_in_loop)
    app.post("/v1/predict/batch")(predict_batch if in_threads else predict_batch_in_loop)
    return app


def run(app: FastAPI) -> None:
    """Serve on the port that the first argument names."""
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")

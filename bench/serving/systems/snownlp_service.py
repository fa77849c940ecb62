"""SnowNLP behind our endpoint.

python bench/serving/systems/snownlp_service.py PORT

The handler does the work; it is no coroutine, so FastAPI runs it in a thread.
"""

import sys

import uvicorn
from fastapi import FastAPI
from snownlp import SnowNLP

from service.schemas import (
    BatchItem,
    BatchRequest,
    BatchResponse,
    BatchSuccess,
    ModelVersion,
    PredictRequest,
    PredictResponse,
    Probabilities,
    Sentiment,
    TextFacts,
)

app = FastAPI()
MODEL = ModelVersion(name="SnowNLP", version="0.12.3", digest="0" * 64)


def classify(text: str) -> Sentiment:
    """The answer for one text; SnowNLP knows no neutral."""
    try:
        positive = SnowNLP(text).sentiments
    except ZeroDivisionError:  # what it says to a text that leaves no word
        positive = 0.5
    return Sentiment(
        label="positive" if positive >= 0.5 else "negative",
        confidence=max(positive, 1 - positive),
        probabilities=Probabilities(positive=positive, neutral=0, negative=1 - positive),
        uncertain=False,
        text=TextFacts(characters=len(text), tokens=0, unknown=0, windows=1),
    )


@app.get("/readyz")
def readyz() -> dict[str, str]:
    """Requests may come."""
    return {"status": "ready"}


@app.post("/v1/predict")
def predict(request: PredictRequest) -> PredictResponse:
    """The answer for one text."""
    return PredictResponse(**dict(classify(request.text)), model=MODEL)


@app.post("/v1/predict/batch")
def predict_batch(request: BatchRequest) -> BatchResponse:
    """The answers for several texts, one after the other: SnowNLP knows no batches."""
    items = [item for item in request.items if isinstance(item, BatchItem)]
    results = [BatchSuccess(id=item.id, **dict(classify(item.text))) for item in items]
    return BatchResponse(results=list(results), model=MODEL)


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")

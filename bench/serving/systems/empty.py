"""A FastAPI endpoint with our schemas that does nothing: the ceiling of any such service.

python bench/serving/systems/empty.py PORT

Its answers are made up, but checked and written as ours are.
"""

import sys

import uvicorn
from fastapi import FastAPI

from service.schemas import (
    BatchRequest,
    BatchResponse,
    BatchSuccess,
    ModelVersion,
    PredictRequest,
    PredictResponse,
    Probabilities,
    TextFacts,
)

app = FastAPI()
MODEL = ModelVersion(name="empty", version="1.0.0", digest="0" * 64)


@app.get("/readyz")
async def readyz() -> dict[str, str]:
    """Requests may come."""
    return {"status": "ready"}


@app.post("/v1/predict")
async def predict(request: PredictRequest) -> PredictResponse:
    """The same answer to every text."""
    return PredictResponse(
        label="neutral",
        confidence=0.5,
        probabilities=Probabilities(positive=0.25, neutral=0.5, negative=0.25),
        uncertain=False,
        text=TextFacts(characters=len(request.text), tokens=0, unknown=0, windows=1),
        model=MODEL,
    )


@app.post("/v1/predict/batch")
async def predict_batch(request: BatchRequest) -> BatchResponse:
    """The same answer to every item."""
    results = [
        BatchSuccess(
            id=item.id,
            label="neutral",
            confidence=0.5,
            probabilities=Probabilities(positive=0.25, neutral=0.5, negative=0.25),
            uncertain=False,
            text=TextFacts(characters=0, tokens=0, unknown=0, windows=1),
        )
        for item in request.items
    ]
    return BatchResponse(results=list(results), model=MODEL)


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")

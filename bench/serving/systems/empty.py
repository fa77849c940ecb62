"""A FastAPI endpoint with our schemas that does nothing: the upper bound of any such service.

    python -m bench.serving.systems.empty PORT

Its answers are constants, but validated and serialised as ours are.
"""

from bench.serving.systems._app import empty_app, run
from service.request_schemas import BatchRequest, PredictRequest
from service.schemas import (
    BatchResponse,
    BatchSuccess,
    ModelVersion,
    PredictResponse,
    Probabilities,
    TextFacts,
)

app = empty_app()
MODEL = ModelVersion(name="empty", version="1.0.0", digest="0" * 64)


@app.post("/v1/predict")
async def predict(request: PredictRequest) -> PredictResponse:
    """Return the same answer to every text."""
    return PredictResponse(
        label="neutral",
        confidence=0.5,
        probabilities=Probabilities(positive=0.25, neutral=0.5, negative=0.25),
        uncertain=False,
        uncertain_because=[],
        text=TextFacts(characters=len(request.text), tokens=0, unknown=0, windows=1),
        model=MODEL,
    )


@app.post("/v1/predict/batch")
async def predict_batch(request: BatchRequest) -> BatchResponse:
    """Return the same answer to every item."""
    results = [
        BatchSuccess(
            id=item.id,
            label="neutral",
            confidence=0.5,
            probabilities=Probabilities(positive=0.25, neutral=0.5, negative=0.25),
            uncertain=False,
            uncertain_because=[],
            text=TextFacts(characters=0, tokens=0, unknown=0, windows=1),
        )
        for item in request.items
    ]
    return BatchResponse(results=list(results), model=MODEL)


if __name__ == "__main__":
    run(app)

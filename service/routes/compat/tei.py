"""Hugging Face's text-embeddings-inference (TEI), and what ``InferenceClient`` requests."""

import math
import re
from importlib.metadata import version
from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Discriminator, Field, Tag

from model import LABELS, Prediction
from service.adapters import Adapter
from service.problems import Problem
from service.request_schemas import Text
from service.routes.compat.adapter import MAX_INTEGER, Texts, classify, error_responses
from service.routes.model_route import JsonModelRoute
from service.schemas import Label
from service.state import CurrentService, service_of

router = APIRouter(tags=["tei"], route_class=JsonModelRoute)
metadata_router = APIRouter(tags=["tei"])


class TeiRequest(BaseModel):
    """One text or several; ``truncate`` is accepted and ignored, since nothing is cut off."""

    inputs: Annotated[
        Annotated[Text, Tag("text")] | Annotated[Texts, Tag("texts")],
        Discriminator(lambda inputs: "texts" if isinstance(inputs, list) else "text"),
    ] = Field(description="A text, or a list of texts or of lists of one text each.")
    raw_scores: bool = Field(
        default=False, strict=True, description="Logarithms of the probabilities."
    )


class HubParameters(BaseModel):
    """Options of the Hub's client."""

    top_k: int | None = Field(
        default=None,
        ge=1,
        le=MAX_INTEGER,
        strict=True,
        description="Maximum number of labels in an answer.",
    )
    function_to_apply: Literal["softmax", "none"] | None = Field(
        default=None, description="`none` gives logarithms of the probabilities."
    )


class HubRequest(TeiRequest):
    """A ``TeiRequest`` with the parameters of the Hub's inference API."""

    parameters: HubParameters = HubParameters()


class TeiPrediction(BaseModel):
    """A label and its score."""

    score: float
    label: Label


class TeiClassifier(BaseModel):
    """The labels by their numbers."""

    id2label: dict[str, Label]
    label2id: dict[Label, int]


class TeiModelType(BaseModel):
    """What kind of model it is."""

    classifier: TeiClassifier


class TeiInfo(BaseModel):
    """The model being served, and the limits in force."""

    model_id: str
    model_sha: str = Field(description="SHA-256 of the artifact's manifest.")
    model_dtype: Literal["int8", "float32"]
    model_type: TeiModelType
    max_concurrent_requests: int = Field(description="Texts waiting or running, per worker.")
    max_input_length: int = Field(description="In characters, where TEI counts tokens.")
    max_batch_tokens: int = Field(description="Ids that the network reads in one run.")
    max_batch_requests: int
    max_client_batch_size: int
    auto_truncate: Literal[False] = False
    tokenization_workers: Literal[1] = 1
    version: str
    sha: None = None
    docker_label: None = None


Kind = Literal["Unhealthy", "Backend", "Overloaded", "Validation"]

# TEI's names and statuses for failures that are not the request's fault.
_FAILURES: dict[int, tuple[int, Kind]] = {
    429: (429, "Overloaded"),
    500: (424, "Backend"),
    503: (503, "Unhealthy"),
    504: (424, "Backend"),
}
_STATUSES = (400, 401, 408, 413, 415, 422, 424, 429, 503)


class TeiError(BaseModel):
    """An error."""

    error: str
    error_type: Kind


def _error(problem: Problem) -> Response:
    kind: Kind
    status, kind = _FAILURES.get(problem.status, (problem.status, "Validation"))
    if status == 422 and not problem.errors:  # it fits the schema but exceeds a limit
        status = 413
    return JSONResponse(TeiError(error=problem.detail, error_type=kind).model_dump(), status)


def _ranked(prediction: Prediction, *, raw: bool, top: int | None = None) -> list[TeiPrediction]:
    scores = sorted(zip(prediction.probabilities, LABELS, strict=True), reverse=True)[:top]
    return [
        # The logarithm of 0 is not a number.
        TeiPrediction(score=round(math.log(max(score, 1e-12)) if raw else score, 6), label=label)
        for score, label in scores
    ]


async def _classify(body: TeiRequest, request: Request) -> list[Prediction]:
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    model = service_of(request).models.find()
    return await classify(model, texts, "inputs", request)


@router.post("/predict", responses=error_responses(TeiError, *_STATUSES))
async def predict_for_tei(
    body: TeiRequest, request: Request
) -> list[TeiPrediction] | list[list[TeiPrediction]]:
    """Score every label, highest first; for several texts, return a list of such lists."""
    predictions = await _classify(body, request)
    ranked = [_ranked(prediction, raw=body.raw_scores) for prediction in predictions]
    return ranked[0] if isinstance(body.inputs, str) else ranked


@router.post("/", responses=error_responses(TeiError, *_STATUSES))
async def predict_for_hub(body: HubRequest, request: Request) -> list[list[TeiPrediction]]:
    """Do the same in the form that `huggingface_hub` reads: a list of lists for one text too."""
    raw = body.raw_scores or body.parameters.function_to_apply == "none"
    predictions = await _classify(body, request)
    return [_ranked(prediction, raw=raw, top=body.parameters.top_k) for prediction in predictions]


@metadata_router.get("/info", responses=error_responses(TeiError, 401, 413, 424, 429, 503))
async def get_tei_info(service: CurrentService) -> TeiInfo:
    """Describe the model being served, and the limits in force."""
    loaded = service.models.find()
    settings = service.settings
    labels = loaded.classifier.artifact.manifest.labels
    return TeiInfo(
        model_id=loaded.version.name,
        model_sha=loaded.version.digest,
        model_dtype="int8" if loaded.classifier.engine_name == "onnx" else "float32",
        model_type=TeiModelType(
            classifier=TeiClassifier(
                id2label={str(index): label for index, label in enumerate(labels)},
                label2id={label: index for index, label in enumerate(labels)},
            )
        ),
        max_concurrent_requests=settings.max_queue_texts,
        max_input_length=settings.max_text_characters,
        max_batch_tokens=settings.max_batch_texts * loaded.classifier.artifact.manifest.text.window,
        max_batch_requests=settings.max_batch_texts,
        max_client_batch_size=settings.max_items,
        version=version("zh-sentiment"),
    )


ADAPTER = Adapter((router, metadata_router), re.compile(r"/(?:predict|info)?"), _error)

"""Probes, metrics, and the description of the model."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from service.errors import NotReadyError, UnknownPathError
from service.problems import responses
from service.schemas import (
    Alive,
    Health,
    Limits,
    ModelList,
    ModelResponse,
    ServedModel,
    Words,
)
from service.state import CurrentService

# Requested every few seconds: they need no API key and are logged at debug level.
PROBE_PATHS = frozenset({"/livez", "/readyz", "/health", "/metrics"})

router = APIRouter(tags=["operations"])


@router.get("/livez", responses=responses(413, 500))
async def check_liveness() -> Alive:
    """Say that the process runs.

    Looks at neither the model nor the queue.
    """
    return Alive()


@router.get("/readyz", responses=responses(413, 500, 503))
async def check_readiness(service: CurrentService) -> Health:
    """Say whether the service takes requests.

    It does once its model is loaded, until it shuts down, even while its queue is full.
    """
    if not service.takes_requests:
        raise NotReadyError(service.describe())
    return service.health()


@router.get(
    "/health",
    responses=responses(413, 500) | {503: {"model": Health, "description": "Not ready"}},
)
async def get_health(service: CurrentService, response: Response) -> Health:
    """Say whether the service takes requests, and why not."""
    if not service.takes_requests:
        response.status_code = 503
    return service.health()


@router.get("/metrics", response_class=PlainTextResponse, responses=responses(404, 413, 500))
async def get_metrics(request: Request, service: CurrentService) -> Response:
    """Return the metrics, for Prometheus.

    Where they are on the probe port alone, this is a 404.
    """
    if not service.settings.public_metrics:
        raise UnknownPathError
    service.tick()
    content, media_type = await service.metrics.scrape(request.headers.get("accept", ""))
    return Response(content, media_type=media_type)


@router.get("/v1/models", responses=responses(401, 413, 429, 500, 503))
async def list_models(service: CurrentService) -> ModelList:
    """List every model that a request may name, the default one first."""
    default = service.models.find()
    return ModelList(
        data=[
            ServedModel(
                id=f"{each.version.name}@{each.version.version}",
                default=each is default,
                **each.version.model_dump(),
            )
            for each in service.models
        ]
    )


@router.get("/v1/model", responses=responses(401, 413, 429, 500, 503))
async def get_model(service: CurrentService) -> ModelResponse:
    """Describe the default model, and list every limit in force."""
    loaded = service.models.find()
    artifact = loaded.classifier.artifact
    manifest, settings = artifact.manifest, service.settings
    return ModelResponse(
        **loaded.version.model_dump(),
        labels=list(manifest.labels),
        engine=loaded.classifier.engine_name,
        temperature=manifest.temperature,
        uncertain_below=manifest.uncertain_below,
        window=manifest.text.window,
        vocabulary=len(artifact.vocabulary),
        stopwords=len(artifact.stopwords),
        metrics=manifest.metrics,
        card=artifact.card,
        words=Words.model_validate(loaded.classifier.words, from_attributes=True),
        models=[each.version for each in service.models],
        limits=Limits.model_validate(settings, from_attributes=True),
    )

"""Open Inference Protocol, version 2, over REST, with its binary tensor extension."""

import re
import struct
from importlib.metadata import version as installed_version
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse

from model import LABELS, Prediction
from service.adapters import Adapter
from service.errors import NotReadyError, TooManyItemsError, UnreadableBodyError
from service.model_registry import LoadedModel
from service.problems import Problem
from service.routes.compat.adapter import (
    MAX_INTEGER,
    classify,
    error_responses,
    parse,
    request_schema,
)
from service.routes.compat.oip_schemas import (
    BinaryParameters,
    InferError,
    InferInput,
    InferOutput,
    InferRequest,
    InferResponse,
    Live,
    ModelMetadata,
    ModelReady,
    OutputName,
    Ready,
    RequestedOutput,
    ServerMetadata,
    TensorMetadata,
)
from service.routes.model_route import STATUSES, ModelRoute
from service.settings import MAX_BATCH_ITEMS
from service.state import CurrentService, Service, service_of

_HEADER = "inference-header-content-length"
_LENGTH = re.compile(r"[0-9]{1,18}")


class _InferRoute(ModelRoute):
    def json_part(self, request: Request, body: bytes) -> bytes:
        """See ``ModelRoute.json_part``; binary tensors follow it."""
        return body[: _json_length(request, len(body))]


router = APIRouter(prefix="/v2", tags=["oip"], route_class=_InferRoute)
metadata_router = APIRouter(prefix="/v2", tags=["oip"])

PathName = Annotated[str, Path(max_length=256)]

_ALL_OUTPUTS = [RequestedOutput(name=name) for name in get_args(OutputName)]


def _error(problem: Problem) -> Response:
    return JSONResponse(InferError(error=problem.detail).model_dump(), problem.status)


def _model(service: Service, name: str, version: str | None) -> LoadedModel:
    return service.models.find(name if version is None else f"{name}@{version}")


def _json_length(request: Request, size: int) -> int:
    """Return the length of the JSON in a body: all of it, unless a header says otherwise."""
    length = request.headers.get(_HEADER)
    if length is None:
        return size
    if not _LENGTH.fullmatch(length) or int(length) > size:
        raise UnreadableBodyError(f"{_HEADER} must be the length of the JSON in the body")
    return int(length)


def _texts(wanted: InferInput, binary: bytes) -> list[str]:
    size = wanted.parameters.binary_data_size
    if (wanted.data is None) == (size is None) or len(binary) != (size or 0):
        raise UnreadableBodyError(
            "an input must have either data, or binary_data_size for the bytes after the JSON"
        )
    texts = _unpack(binary) if wanted.data is None else wanted.data
    if not texts:
        raise UnreadableBodyError("the input holds no text")
    if wanted.shape not in ([len(texts)], [len(texts), 1]):
        raise UnreadableBodyError("the shape must be [n] or [n, 1] for the n texts of the input")
    return texts


def _unpack(binary: bytes) -> list[str]:
    """Return elements of type BYTES: each follows its length in four bytes, little-endian."""
    texts: list[str] = []
    start = 0
    while start < len(binary):
        if len(texts) == MAX_BATCH_ITEMS:
            raise TooManyItemsError(f"more than {MAX_BATCH_ITEMS} texts were sent")
        end = start + 4 + int.from_bytes(binary[start : start + 4], "little")
        if end > len(binary):
            raise UnreadableBodyError("the binary data ends within a text")
        try:
            texts.append(binary[start + 4 : end].decode())
        except UnicodeDecodeError:
            raise UnreadableBodyError(f"text {len(texts)} is not UTF-8") from None
        start = end
    return texts


def _output(
    name: OutputName, predictions: list[Prediction], *, binary: bool
) -> tuple[InferOutput, bytes]:
    """Return an output, and its data as bytes if they are to follow the JSON."""
    texts = len(predictions)
    if name == "label":
        labels: list[str] = [prediction.label for prediction in predictions]
        output = InferOutput(name=name, shape=[texts], datatype="BYTES", data=labels)
        packed = b"".join(struct.pack("<I", len(label)) + label.encode() for label in labels)
    else:
        values = [round(value, 6) for each in predictions for value in each.probabilities]
        output = InferOutput(name=name, shape=[texts, len(LABELS)], datatype="FP32", data=values)
        packed = struct.pack(f"<{len(values)}f", *values)
    if not binary:
        return output, b""
    output.data = None
    output.parameters = BinaryParameters(binary_data_size=len(packed))
    return output, packed


async def _infer(name: str, version: str | None, request: Request) -> Response:
    model = _model(service_of(request), name, version)
    content = await request.body()
    length = _json_length(request, len(content))
    body = parse(InferRequest, content[:length])
    texts = _texts(body.inputs[0], content[length:])
    predictions = await classify(model, texts, "text", request)

    outputs = []
    binary_data = b""
    for wanted in body.outputs or _ALL_OUTPUTS:
        binary = wanted.parameters.binary_data
        if binary is None:
            binary = body.parameters.binary_data_output
        output, packed = _output(wanted.name, predictions, binary=binary)
        outputs.append(output)
        binary_data += packed
    answer = InferResponse(
        model_name=model.version.name,
        model_version=model.version.version,
        id=body.id,
        outputs=outputs,
    )
    json_part = answer.model_dump_json(exclude_none=True).encode()
    if not binary_data:
        return Response(json_part, media_type="application/json")
    headers = {_HEADER: str(len(json_part))}
    return Response(json_part + binary_data, headers=headers, media_type="application/octet-stream")


_INFER = {
    "parameters": [
        {
            "name": _HEADER,
            "in": "header",
            "schema": {"type": "integer", "minimum": 0, "maximum": MAX_INTEGER},
            "description": "Length of the JSON in bytes, if binary data follow it.",
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": request_schema(InferRequest),
                "example": {
                    "inputs": [
                        {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["房间很好"]}
                    ]
                },
            }
        },
    },
}
_ERRORS = error_responses(InferError, 404, *STATUSES)


@router.post(
    "/models/{name}/infer", response_model=InferResponse, responses=_ERRORS, openapi_extra=_INFER
)
async def infer(name: PathName, request: Request) -> Response:
    """Return labels and probabilities (positive, neutral, negative) of texts."""
    return await _infer(name, None, request)


@router.post(
    "/models/{name}/versions/{version}/infer",
    response_model=InferResponse,
    responses=_ERRORS,
    openapi_extra=_INFER,
)
async def infer_version(name: PathName, version: PathName, request: Request) -> Response:
    """Do the same with a version of the model."""
    return await _infer(name, version, request)


@metadata_router.get("", responses=error_responses(InferError, 401, 413, 429, 500))
async def get_server() -> ServerMetadata:
    """Describe the server."""
    return ServerMetadata(
        version=installed_version("zh-sentiment"), extensions=["binary_tensor_data"]
    )


@metadata_router.get("/health/live", responses=error_responses(InferError, 413, 500))
async def check_server_liveness() -> Live:
    """Say that the process runs."""
    return Live()


def _check_ready(service: Service) -> None:
    if not service.takes_requests:
        raise NotReadyError(service.describe())


@metadata_router.get("/health/ready", responses=error_responses(InferError, 413, 500, 503))
async def check_server_readiness(service: CurrentService) -> Ready:
    """Say whether the service takes requests, as `/readyz` does."""
    _check_ready(service)
    return Ready()


def _metadata(service: Service, name: str, version: str | None) -> ModelMetadata:
    model = _model(service, name, version)
    return ModelMetadata(
        name=model.version.name,
        versions=[model.version.version],
        platform=f"zh-sentiment_{model.classifier.engine_name}",
        inputs=[TensorMetadata(name="text", datatype="BYTES", shape=[-1])],
        outputs=[
            TensorMetadata(name="label", datatype="BYTES", shape=[-1]),
            TensorMetadata(name="probabilities", datatype="FP32", shape=[-1, len(LABELS)]),
        ],
    )


def _model_ready(service: Service, name: str, version: str | None) -> ModelReady:
    model = _model(service, name, version)
    _check_ready(service)
    return ModelReady(name=model.version.name)


# Without such ranges the framework would document its own 422.
_ABOUT_ERRORS: dict[int | str, dict[str, Any]] = {
    kind: {"model": InferError, "description": "An error"} for kind in ("4XX", "5XX")
}


@metadata_router.get("/models/{name}", responses=_ABOUT_ERRORS)
async def get_model_metadata(name: PathName, service: CurrentService) -> ModelMetadata:
    """Describe the inputs and outputs of a model."""
    return _metadata(service, name, None)


@metadata_router.get("/models/{name}/versions/{version}", responses=_ABOUT_ERRORS)
async def get_model_version_metadata(
    name: PathName, version: PathName, service: CurrentService
) -> ModelMetadata:
    """Do the same for a version of it."""
    return _metadata(service, name, version)


@metadata_router.get("/models/{name}/ready", responses=_ABOUT_ERRORS)
async def check_model_readiness(name: PathName, service: CurrentService) -> ModelReady:
    """Say whether a model takes requests."""
    return _model_ready(service, name, None)


@metadata_router.get("/models/{name}/versions/{version}/ready", responses=_ABOUT_ERRORS)
async def check_model_version_readiness(
    name: PathName, version: PathName, service: CurrentService
) -> ModelReady:
    """Say whether a version of it takes requests."""
    return _model_ready(service, name, version)


ADAPTER = Adapter(
    (router, metadata_router),
    re.compile(r"/v2(?:/.*)?", re.DOTALL),
    _error,
    probe_paths=frozenset({"/v2/health/live", "/v2/health/ready"}),
)

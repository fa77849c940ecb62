"""Baidu's sentiment analysis, ``/rpc/2.0/nlp/v1/sentiment_classify``, and its access token."""

import json
import random
import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, WithJsonSchema

from model import Label
from service.adapters import Adapter
from service.errors import UnreadableBodyError
from service.problems import Problem
from service.request_schemas import Text
from service.routes.compat.adapter import (
    binary_probabilities,
    classify,
    parse,
    request_schema,
)
from service.routes.model_route import ModelRoute
from service.schemas import Probability
from service.state import CurrentService, service_of

router = APIRouter(tags=["baidu"], route_class=ModelRoute)
token_router = APIRouter(tags=["baidu"])

_OAUTH_PATH = "/oauth/2.0/token"
_NUMBERS: dict[Label, Literal[0, 1, 2]] = {"negative": 0, "neutral": 1, "positive": 2}

# GB18030 is a superset of GBK.
_ENCODINGS = {"UTF-8": "utf-8", "GBK": "gb18030"}

# Not validated as an enum: Baidu reports an unknown charset as an encoding error.
Charset = Annotated[
    str,
    Query(
        description="The encoding of the body; the answer is ASCII.",
        json_schema_extra={"enum": list(_ENCODINGS)},
    ),
]
# Not validated either: a secret that is too long is as unknown as any other.
Secret = Annotated[str, WithJsonSchema({"type": "string", "maxLength": 1024})]


class BaiduRequest(BaseModel):
    """One text."""

    text: Text


class BaiduItem(BaseModel):
    """The answer for the text."""

    sentiment: Literal[0, 1, 2] = Field(description="0 negative, 1 neutral, 2 positive.")
    confidence: Probability = Field(description="The probability of the sentiment.")
    positive_prob: Probability = Field(description="If the text is not neutral.")
    negative_prob: Probability = Field(description="If the text is not neutral.")


class BaiduResponse(BaseModel):
    """The answer; errors have status 200 too."""

    log_id: int
    text: str
    items: list[BaiduItem]


class BaiduError(BaseModel):
    """An error, with status 200."""

    error_code: int
    error_msg: str


class BaiduToken(BaseModel):
    """A token, which is the API key that it was requested with."""

    access_token: str = Field(description="`none` unless the service requires API keys.")
    expires_in: int = Field(default=30 * 24 * 3600, description="In seconds.")
    scope: str = Field(default="brain_all_scope", description="What the official clients look for.")


class _AsciiResponse(JSONResponse):
    """JSON in ASCII, which is the same in GBK and UTF-8."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content).encode()


# Baidu's codes for errors of these kinds.
_CODES = {
    400: 282002,  # input encoding error
    401: 110,  # access token invalid
    403: 6,  # no permission
    404: 3,  # unsupported method
    405: 3,
    413: 282131,  # text too long
    421: 6,
    422: 282004,  # invalid parameter
    429: 18,  # too many requests a second
    503: 2,  # temporarily unavailable
    504: 2,
}
_INTERNAL = 282000


# Errors have status 200; without this entry the framework would document its own 422.
_ANY_ERROR: dict[int | str, dict[str, Any]] = {
    "default": {"model": BaiduError, "description": "An error"}
}


def _error(problem: Problem) -> Response:
    code = _CODES.get(problem.status, _INTERNAL)
    return _AsciiResponse(BaiduError(error_code=code, error_msg=problem.detail).model_dump())


def _text(body: bytes, charset: str) -> str:
    charset = charset.upper() or "GBK"
    if charset not in _ENCODINGS:
        raise UnreadableBodyError(f"the charset must be {' or '.join(_ENCODINGS)}")
    try:
        content = body.decode(_ENCODINGS[charset])
    except UnicodeDecodeError:
        raise UnreadableBodyError(f"the body is not {charset}") from None
    return parse(BaiduRequest, content).text


@router.post(
    "/rpc/2.0/nlp/v1/sentiment_classify",
    response_class=_AsciiResponse,
    response_model=BaiduResponse | BaiduError,
    responses=_ANY_ERROR,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": request_schema(BaiduRequest)}},
        },
    },
)
async def predict_for_baidu(request: Request, charset: Charset = "GBK") -> BaiduResponse:
    """Say whether a text is positive, neutral or negative. Errors have status 200 too."""
    text = _text(await request.body(), charset)
    model = service_of(request).models.find()
    (prediction,) = await classify(model, [text], "text", request)
    positive, negative = binary_probabilities(prediction)
    item = BaiduItem(
        sentiment=_NUMBERS[prediction.label],
        confidence=round(prediction.confidence, 6),
        positive_prob=round(positive, 6),
        negative_prob=round(negative, 6),
    )
    return BaiduResponse(log_id=random.getrandbits(63), text=text, items=[item])


@token_router.get(_OAUTH_PATH, response_model=BaiduToken | BaiduError, responses=_ANY_ERROR)
@token_router.post(
    _OAUTH_PATH,
    operation_id="requestBaiduToken",
    response_model=BaiduToken | BaiduError,
    responses=_ANY_ERROR,
)
async def get_baidu_token(
    service: CurrentService,
    client_secret: Annotated[Secret | None, Query()] = None,
) -> BaiduToken:
    """Return the token that official clients fetch first: their `client_secret`, the API key."""
    return BaiduToken(access_token=client_secret if client_secret and service.keys else "none")


ADAPTER = Adapter(
    (router, token_router),
    re.compile(r"/(?:rpc|oauth)/2\.0/.*", re.DOTALL),
    _error,
    key_parameters=("access_token", "client_secret"),
)

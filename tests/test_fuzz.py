"""Requests made from the API document, adapters' endpoints included, right and wrong alike.

``make fuzz`` sends many more.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import settings
from schemathesis.checks import (
    content_type_conformance,
    negative_data_rejection,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)

from service.app import ADAPTERS, ROUTERS, create_api
from service.middleware import ModelPaths
from service.routes.stream import MEDIA_TYPES
from service.settings import Settings
from service.state import Service
from tests.conftest import SHIPPED
from tests.test_server import served, wait_ready

pytestmark = pytest.mark.process

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
# What does not fit the schema is answered all the same: a bad item of a batch with an error in its
# place, anything that Baidu's clients send with status 200, as they expect it.
ANSWERED = ("/v1/predict/batch", "/rpc/2.0/nlp/v1/sentiment_classify", "/v1/predict/stream")
SETTINGS = {
    "SENTIMENT_COMPAT": "paddlehub,baidu,tei,oip",
    # A slow machine is no failure.
    "SENTIMENT_QUEUE_SECONDS": "60",
    "SENTIMENT_DEADLINE_SECONDS": "60",
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("fuzzed") / "log"
    with served(SHIPPED, log, **SETTINGS) as (process, address):
        wait_ready(address)
        yield address
        assert process.poll() is None
    assert '"level": "error"' not in log.read_text(encoding="utf-8")


def whole_document() -> dict[str, Any]:
    routers = [*ROUTERS, *(router for adapter in ADAPTERS.values() for router in adapter.routers)]
    return create_api(Service(Settings()), routers, ModelPaths(())).openapi()


# Made without the service: pytest wants to know the endpoints before it starts one.
schema = schemathesis.openapi.from_dict(whole_document())


@schemathesis.serializer(*MEDIA_TYPES)
def one_line(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """The document has the schema of a line."""
    return json.dumps(value).encode() + b"\n"


@schemathesis.deserializer(MEDIA_TYPES[0])
def first_line(context: schemathesis.DeserializationContext, response: Any) -> Any:
    return json.loads(response.content.splitlines()[0])


@schema.parametrize()
@settings(max_examples=max(10, settings().max_examples // 10))
def test_answers_are_as_the_document_says(case: schemathesis.Case[Any], address: str) -> None:
    excluded = [negative_data_rejection] if case.operation.path in ANSWERED else []
    case.call_and_validate(base_url=address, checks=CHECKS, excluded_checks=excluded, timeout=60)

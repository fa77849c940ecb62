"""Requests made from the API document, adapters' endpoints included, right and wrong alike.

With them come headers that no document names. ``make fuzz`` sends many more.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import Phase, settings
from hypothesis import strategies as st
from schemathesis.checks import (
    content_type_conformance,
    negative_data_rejection,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)

from service.routes.stream import MEDIA_TYPES
from tests.support.adapters import whole_document
from tests.support.artifacts import SHIPPED
from tests.support.http import wait_ready
from tests.support.process import served

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
ANSWERED = (
    *("/v1/predict/batch", "/v1/predict/stream"),
    *("/rpc/2.0/nlp/v1/sentiment_classify", "/oauth/2.0/token"),
)
SETTINGS = {
    "SENTIMENT_COMPAT": "paddlehub,baidu,tei,oip",
    # A slow machine is no failure.
    "SENTIMENT_MAX_QUEUE_SECONDS": "60",
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


# Made without the service: pytest wants to know the endpoints before it starts one.
def with_schemas_of_lines(document: dict[str, Any]) -> dict[str, Any]:
    """The document, in which a stream has the schema of a line, as lines are what to try."""
    stream = document["paths"]["/v1/predict/stream"]["post"]
    for described in (stream["requestBody"], stream["responses"]["200"]):
        (content,) = described["content"].values()
        content["schema"] = content.pop("x-line-schema")
        del content["example"]
    return document


schema = schemathesis.openapi.from_dict(with_schemas_of_lines(whole_document()))
# A text over the limit has a status of its own.
schema.config.checks.negative_data_rejection.expected_statuses.append("413")


@schemathesis.serializer(*MEDIA_TYPES)
def one_line(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """The document has the schema of a line."""
    return json.dumps(value).encode() + b"\n"


@schemathesis.deserializer(MEDIA_TYPES[0])
def first_line(context: schemathesis.DeserializationContext, response: Any) -> Any:
    return json.loads(response.content.splitlines()[0])


# Those that something reads on the way, or that somebody could think so of.
NAMES = (
    *("Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Authorization", "Cookie"),
    *("Content-Encoding", "If-Match", "If-Modified-Since", "If-None-Match", "Origin", "Priority"),
    *("Range", "Referer", "Traceparent", "Tracestate", "User-Agent", "X-Forwarded-For"),
    *("X-Forwarded-Host", "X-Forwarded-Proto", "X-HTTP-Method-Override", "X-Request-ID"),
)
VALUES = (
    *("*/*", "text/plain", "text/plain;version=x", "application/openmetrics-text;version=1.x"),
    *("text/html;q=a", "gzip", "identity;q=0", "bytes=0-,0-,-1", "null", "http://localhost"),
    *(
        "Bearer",
        "Bearer a",
        "Basic a",
        "00-0-0-0",
        "for=[::1",
        "999",
        ",;=,",
        "W/",
        '"',
        "a" * 4000,
    ),
)
any_headers = st.dictionaries(
    st.sampled_from(NAMES),
    st.sampled_from(VALUES)
    | st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=40).map(
        lambda value: "".join(filter(str.isprintable, value)).strip()
    ),
    max_size=4,
)


def check(case: schemathesis.Case[Any], address: str, headers: dict[str, str]) -> None:
    excluded = [negative_data_rejection] if case.operation.path in ANSWERED else []
    case.call_and_validate(
        base_url=address,
        checks=CHECKS,
        excluded_checks=excluded,
        headers=headers,
        timeout=60,
    )


@schema.parametrize()
@settings(max_examples=max(10, settings().max_examples // 10))
def test_answers_are_as_the_document_says(case: schemathesis.Case[Any], address: str) -> None:
    check(case, address, {})


@schema.given(headers=any_headers)
@schema.parametrize()
@settings(
    max_examples=max(10, settings().max_examples // 10), phases=(Phase.generate, Phase.shrink)
)
def test_answers_are_as_the_document_says_whatever_the_headers(
    case: schemathesis.Case[Any], address: str, headers: dict[str, str]
) -> None:
    check(case, address, headers)

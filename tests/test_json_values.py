"""Bodies of more values than any request has."""

import json
import time

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from service.routes.json_values import MAX_JSON_VALUES, exceeds_max_values, may_exceed_max_values
from service.settings import MAX_BATCH_ITEMS
from tests.support.http import assert_problem

_SIZE = 2 * 1024 * 1024 - 16
_HOSTILE = ["0,", "[],", "{},", '"",', '{"a":0},', "[[0]],", '"a":0,', "1e5,", 'null,"",', '""']


def hostile(unit: str) -> bytes:
    return b'{"items":[' + unit.encode() * (_SIZE // len(unit)) + b"0]}"


@pytest.mark.parametrize("unit", _HOSTILE)
def test_bodies_of_many_values_are_told_by_little_work(unit: str) -> None:
    body = hostile(unit)
    assert may_exceed_max_values(body)
    began = time.thread_time()
    assert exceeds_max_values(body)
    assert time.thread_time() - began < 0.1


@pytest.mark.parametrize("sign", ["，", ",", "[", "{", '"', "\\", '\\"', '",'])
def test_signs_in_texts_do_not_count(sign: str) -> None:
    body = json.dumps({"items": [{"text": sign * 7000}] * 64}, ensure_ascii=False).encode()
    assert not exceeds_max_values(body)


def test_the_largest_batch_fits() -> None:
    items = [
        {"id": f'"{number}"', "text": "好[吃]，真的,{是}"} for number in range(MAX_BATCH_ITEMS)
    ]
    assert not exceeds_max_values(json.dumps({"items": items, "model": "zh-general"}).encode())


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(alphabet='a,[]{}"\\:好'),
        lambda values: st.lists(values) | st.dictionaries(st.text(alphabet='a,"\\['), values),
        max_leaves=30,
    )
)
def test_counting_agrees_with_parsing(value: object) -> None:
    def signs(value: object) -> int:
        """Strings, commas and brackets."""
        if isinstance(value, str):
            return 1
        if isinstance(value, list):
            return 1 + max(0, len(value) - 1) + sum(map(signs, value))
        if isinstance(value, dict):
            return 1 + max(0, len(value) - 1) + sum(1 + signs(each) for each in value.values())
        return 0

    body = json.dumps(value, separators=(",", ":")).encode()
    padded = b"[" + b"0," * (MAX_JSON_VALUES - 1 - signs(value) - 1) + body + b"]"
    assert not exceeds_max_values(padded)
    assert exceeds_max_values(b"0," + padded)


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/predict/batch", "/v1/analyze", "/v1/explain"])
def test_they_are_refused_before_they_are_parsed(client: TestClient, path: str) -> None:
    for unit in _HOSTILE:
        answer = client.post(
            path, content=hostile(unit), headers={"content-type": "application/json"}
        )
        assert "values" in assert_problem(answer, 413)["detail"]

"""How often a key may ask."""

import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.errors import RateLimitError
from service.rate_limit import RateLimit
from service.settings import load_settings
from tests.support.adapters import FORMS, assert_said
from tests.support.api_keys import DESK, SHOP, bearer, predict
from tests.support.http import assert_problem, wait_ready
from tests.support.logs import access_lines
from tests.support.metrics import scrape


@pytest.fixture
def limited(tiny_artifact: Path, keys_file: Path) -> Iterator[TestClient]:
    settings = load_settings(model=tiny_artifact, api_keys_file=keys_file, rate_limit="3/day")
    with TestClient(create_app(settings)) as client:
        wait_ready(client)
        yield client


def test_a_key_that_asks_too_often_is_a_429_and_every_answer_tells_what_is_left(
    limited: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    answers = [predict(limited, **bearer(SHOP)) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    for answer, left in zip(answers, [2, 1, 0, 0, 0], strict=True):
        assert answer.headers["ratelimit-policy"] == '"key";q=3;w=86400'
        found = re.fullmatch(r'"key";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
        assert found
        assert int(found[1]) == left
        assert 86_000 < int(found[2]) <= 86_400
    refused = answers[-1]
    assert_problem(refused, 429, "this key has made 3/day requests")
    assert refused.headers["ratelimit"].endswith(f"t={refused.headers['retry-after']}")
    assert "retry-after" not in answers[0].headers
    # Another has its own; who has none counts for nobody; what is open is not counted.
    assert predict(limited, **bearer(DESK)).headers["ratelimit"].startswith('"key";r=2;')
    assert "ratelimit" not in predict(limited).headers
    assert "ratelimit" not in limited.get("/livez", headers=bearer(SHOP)).headers
    assert limited.get("/v1/model", headers=bearer(DESK)).json()["limits"]["rate_limit"] == "3/day"
    found_metrics = scrape(limited)
    assert found_metrics["sentiment_refusals_total,reason=rate_limited"] == 2
    assert found_metrics["sentiment_refusals_total,reason=queue_full"] == 0
    assert [line["key"] for line in access_lines(caplog) if line["status"] == 429] == ["shop"] * 2


def test_a_new_window_begins_with_nothing_counted(
    limited: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses = [predict(limited, **bearer(DESK)).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + 86_401)
    assert predict(limited, **bearer(DESK)).status_code == 200


def test_a_clock_that_is_set_back_shuts_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    day, now = [time.time()], [1000.0]
    monkeypatch.setattr(time, "time", lambda: day[0])
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    limit = RateLimit("3/minute")
    for _ in range(3):
        limit.count_request("shop")
    day[0] -= 3600
    with pytest.raises(RateLimitError, match="3/minute") as refused:
        limit.count_request("shop")
    assert refused.value.headers["retry-after"] == "60"
    now[0] += 60
    assert limit.count_request("shop")["ratelimit"] == '"key";r=2;t=60'


def test_a_limit_is_refused_in_the_form_of_an_adapter(tiny_artifact: Path, keys_file: Path) -> None:
    settings = load_settings(
        model=tiny_artifact, api_keys_file=keys_file, rate_limit="1/day", compat="baidu,tei"
    )
    with TestClient(create_app(settings)) as client:
        wait_ready(client)
        for form, key in zip(FORMS[2:4], (SHOP, DESK), strict=True):
            headers = bearer(key)
            assert client.post(form.path, json=form.body, headers=headers).status_code == 200
            assert_said(form, client.post(form.path, json=form.body, headers=headers), 429)

"""OpenTelemetry by the framework's own support: off by default, and nothing of a user's text."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SECRET = "秘密"

_TRACED = f"""
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import ConsoleLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from service.app import create_app
from service.settings import load_settings
from tests.support.http import wait_ready

spans = TracerProvider()
spans.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(spans)
logs = LoggerProvider()
logs.add_log_record_processor(SimpleLogRecordProcessor(ConsoleLogRecordExporter()))
_logs.set_logger_provider(logs)
meters = MeterProvider([PeriodicExportingMetricReader(ConsoleMetricExporter())])
metrics.set_meter_provider(meters)

parent = {{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}
settings = load_settings(model=Path(sys.argv[1]), compat="baidu,oip")
with TestClient(create_app(settings), raise_server_exceptions=False) as client:
    wait_ready(client)
    client.post("/v1/predict?text={SECRET}", json={{"text": "{SECRET}"}}, headers=parent)
    client.post("/v1/predict", json={{"text": "{SECRET}", "{SECRET}": 1}})
    client.post("/v1/predict", content='{{"text": "{SECRET}"')
    client.post("/v1/{SECRET}", json={{"text": "{SECRET}"}})
    client.post("/rpc/2.0/nlp/v1/sentiment_classify?access_token={SECRET}", content="{{}}")
    client.get("/oauth/2.0/token?client_secret={SECRET}")
    client.post("/v2/models/custom/infer", json={{"id": "{SECRET}"}})
    client.post("/v2/models/{SECRET}/infer", json={{}})
    from model.classifier import Classifier
    def fail(*_, **__):
        raise RuntimeError("{SECRET}")
    Classifier.probabilities = fail
    client.post("/v1/predict", json={{"text": "{SECRET}"}})
meters.shutdown()
"""

_BY_DEFAULT = """
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from opentelemetry import trace
from service.app import create_app
from service.settings import load_settings
with TestClient(create_app(load_settings(model=Path(sys.argv[1])))) as client:
    client.get("/livez")
print(type(trace.get_tracer_provider()).__name__)
"""


def run(script: str, model: Path, **environment: str) -> str:
    # A process of its own, since providers are set once in a process.
    return subprocess.run(
        [sys.executable, "-c", script, str(model)],
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.mark.process
def test_a_request_is_a_span_of_its_callers_trace_and_no_signal_holds_text(
    tiny_artifact: Path,
) -> None:
    signals = run(_TRACED, tiny_artifact)
    assert '"name": "POST /v1/predict"' in signals
    assert '"name": "POST /rpc/2.0/nlp/v1/sentiment_classify"' in signals
    assert signals.count('"name": "POST /v2/models/{name}/infer"') == 1
    assert "0x4bf92f3577b34da6a3ce929d0e0e4736" in signals
    assert "http.server.request.duration" in signals
    assert '"error.type": "RuntimeError"' in signals
    for spelling in (SECRET, ascii(SECRET)[1:-1], "%E7%A7%98"):
        assert spelling not in signals


@pytest.mark.process
def test_nothing_is_exported_unless_the_environment_says_so(tiny_artifact: Path) -> None:
    assert run(_BY_DEFAULT, tiny_artifact).strip() == "ProxyTracerProvider"
    exported = run(
        _BY_DEFAULT,
        tiny_artifact,
        FASTAPI_OTEL_AUTO_CONFIGURE="true",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_METRICS_EXPORTER="none",
    )
    assert exported.strip() == "TracerProvider"

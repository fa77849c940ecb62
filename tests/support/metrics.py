"""The samples that the service exposes."""

import httpx2
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

Samples = dict[str, float]


def samples(text: str) -> Samples:
    """Return each sample's value by its name and labels, as Prometheus stores it."""
    return {
        sample.name
        + "".join(f",{name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(client: TestClient) -> Samples:
    """Return the samples that ``/metrics`` shows."""
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    return samples(response.text)


def reloads(address: str) -> tuple[float, float]:
    """Return how many reloads succeeded and how many failed."""
    counted = samples(httpx2.get(f"{address}/metrics").text)
    name = "sentiment_model_reloads_total,outcome="
    return counted[f"{name}succeeded"], counted[f"{name}failed"]


def ready_workers(address: str) -> float:
    """Return how many workers are ready; 0 while none listens."""
    try:
        return samples(httpx2.get(f"{address}/metrics").text).get("sentiment_ready", 0)
    except httpx2.TransportError:
        return 0

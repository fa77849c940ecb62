"""The cases of tests/test_ray.py, in namespaces: ``python -m tests.ray_cases CASE DIRECTORY``."""

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import yaml

from bench.nodes import nodes
from model.classifier import CHUNK_TEXTS, Classifier
from model.cluster import connected, predict
from service.settings import SHIPPED_MODEL
from tests.conftest import sentences

SERVE = Path(__file__).parent.parent / "deploy" / "ray" / "serve.yaml"
ADDRESS = "http://127.0.0.1:8123"


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come about")


def wait_for_work(node: str) -> None:
    """Until a node's processor is taken."""
    from ray._private.state import available_resources_per_node

    wait_for(lambda: not available_resources_per_node()[node].get("CPU"))


def lose_a_node(_: Path) -> object:
    """A node dies with a chunk in its hands: are the answers those of one machine?"""
    parts = itertools.permutations([sentence for sentence, _ in sentences()], 2)
    texts = ["，".join(part) for part in itertools.islice(parts, 6 * CHUNK_TEXTS + 7)]
    with nodes(2) as cluster, connected(cluster.address):
        lost = cluster.worker_nodes.copy().pop()

        def dying() -> Iterator[str]:
            yield from texts[: 4 * CHUNK_TEXTS]
            wait_for_work(lost.node_id)
            cluster.remove_node(lost, allow_graceful=False)
            yield from texts[4 * CHUNK_TEXTS :]

        answers = list(predict(dying(), SHIPPED_MODEL))
    expected = Classifier.load(SHIPPED_MODEL).predict(texts)
    same = [
        answer == (prediction.label, prediction.confidence, prediction.probabilities)
        for answer, prediction in zip(answers, expected, strict=True)
    ]
    return {"answers": len(answers), "same": sum(same)}


def ask(path: str, body: bytes | None = None) -> tuple[int, object]:
    request = Request(ADDRESS + path, body, {"content-type": "application/json"})
    try:
        with urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)


def _replica_answers() -> bool:
    try:
        return ask("/livez")[0] == 200
    except ValueError:  # Serve itself answers, and not in JSON
        return False


def serve(directory: Path) -> object:
    """The application of deploy/ray/serve.yaml, but for the proxy on every node and the port."""
    content = yaml.safe_load(SERVE.read_text(encoding="utf-8"))
    content["proxy_location"] = "HeadOnly"  # both nodes are this machine
    content["http_options"]["port"] = int(ADDRESS.rpartition(":")[2])
    file = directory / "serve.yaml"
    file.write_text(yaml.safe_dump(content))
    with nodes(2) as cluster:
        command = ["run", "--non-blocking", "--address", cluster.address, str(file)]
        subprocess.run([sys.executable, "-m", "ray.serve.scripts", *command], check=True)
        wait_for(_replica_answers)
        return [
            ask("/readyz"),
            ask("/v1/predict", json.dumps({"text": "房间很好"}).encode()),
            ask("/v1/predict", b"{"),
            ask("/v1/model"),
        ]


CASES: dict[str, Callable[[Path], object]] = {"lose_a_node": lose_a_node, "serve": serve}

if __name__ == "__main__":
    json.dump(CASES[sys.argv[1]](Path(sys.argv[2])), sys.stdout)

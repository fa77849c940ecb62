"""The cases of tests/test_ray.py, in namespaces: ``python -m tests.ray_cases CASE DIRECTORY``."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pyarrow
import pyarrow.parquet
import pytest
import yaml

from bench.nodes import nodes
from model.bulk.labelling import label_table
from model.bulk.ray_classifier import RayClassifier, Scores, connected
from model.classifier import CHUNK_TEXTS
from model.errors import BlankTextError, ClusterError
from model.progress import Progress
from service.settings import SHIPPED_MODEL
from tests.support.clock import wait_for
from tests.support.repository import ROOT
from tests.support.texts import sentences

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

SERVE = ROOT / "deploy" / "ray" / "serve.yaml"
ADDRESS = "http://127.0.0.1:8123"


def write_tables(directory: Path) -> list[Path]:
    """Tables of three chunks, with rows that cannot be answered and columns to be kept."""
    parts = itertools.permutations([sentence for sentence, _ in sentences()], 2)
    texts = ["，".join(part) for part in itertools.islice(parts, 3 * CHUNK_TEXTS + 7)]
    rows = [f'{number:07d},"{text}",NA\r\n' for number, text in enumerate(texts)]
    rows[5:5] = ['5,"  ",\r\n', "6\r\n"]
    delimited = directory / "reviews.csv"
    delimited.write_bytes(f"id,text,note\r\n{''.join(rows)}".encode())
    columns = pyarrow.table({"id": range(len(texts) + 1), "text": [None, *texts]})
    parquet = directory / "reviews.parquet"
    pyarrow.parquet.write_table(columns, parquet, row_group_size=1000)
    return [delimited, parquet]


def label(table: Path, *options: str) -> list[bytes]:
    """What ``sentiment predict`` writes: the table, and the rows that it cannot answer."""
    command = [sys.executable, "-m", "service", "predict", str(table), "--force", *options]
    assert subprocess.run(command, check=False).returncode == 3  # some rows cannot be answered
    written = (table.with_stem("reviews.labelled"), table.with_name("reviews.errors.jsonl"))
    return [file.read_bytes() for file in written]


def score(directory: Path) -> object:
    """Whether files on two nodes come out as on one machine, and what cannot be answered raises."""
    delimited, parquet = write_tables(directory)
    words = directory / "stopwords.txt"
    words.write_text("房间\n", encoding="utf-8")
    runs: list[tuple[Path, list[str]]] = [
        (delimited, []),
        (parquet, ["--extra-stopwords", str(words)]),
    ]
    alone = [label(table, *options) for table, options in runs]
    with nodes(2) as cluster:
        spread = [label(table, "--ray", cluster.address, *options) for table, options in runs]
        with connected(cluster.address):
            classifier = RayClassifier(SHIPPED_MODEL)
            uncertain = [each.uncertain for each in classifier.predict(["房间很好", "abc"])]
            with pytest.raises(BlankTextError) as blank:
                list(classifier.predict(["房间很好", " "]))
            with pytest.raises(ClusterError) as broken:
                list(classifier.predict([5]))  # type: ignore[list-item]
    return {
        "same": spread == alone,
        "bytes": [list(map(len, files)) for files in alone],
        "uncertain": uncertain,
        "blank": str(blank.value),
        "broken": str(broken.value),
    }


def wait_for_work(node: str) -> None:
    """Until a node's processor is taken."""
    from ray._private.state import available_resources_per_node

    wait_for(lambda: not available_resources_per_node()[node].get("CPU"))


class Dying(RayClassifier):
    """Loses a node of its cluster while that has a chunk in hand."""

    def __init__(self, cluster: "Cluster") -> None:
        super().__init__(SHIPPED_MODEL)
        self._cluster = cluster

    def predict(
        self, texts: Iterable[str], progress: Progress | None = None
    ) -> Generator[Scores, None, None]:
        return super().predict(self._losing(texts), progress)

    def _losing(self, texts: Iterable[str]) -> Iterator[str]:
        for number, text in enumerate(texts):
            if number == 3 * CHUNK_TEXTS:  # two run and one waits
                [lost] = self._cluster.worker_nodes
                wait_for_work(lost.node_id)
                self._cluster.remove_node(lost, allow_graceful=False)
            yield text


def lose_a_node(directory: Path) -> object:
    """Whether a file comes out as on one machine where a node dies, and who is left."""
    table, _ = write_tables(directory)
    alone = label(table)
    output = directory / "spread.csv"
    with nodes(2) as cluster, connected(cluster.address):
        label_table(Dying(cluster), table, output)
        left = len(cluster.list_all_nodes())
    spread = [output.read_bytes(), (directory / "spread.errors.jsonl").read_bytes()]
    return {"same": spread == alone, "nodes": left}


def ask(path: str, body: bytes | None = None) -> tuple[int, object]:
    request = Request(ADDRESS + path, body, {"content-type": "application/json"})
    try:
        with urlopen(request, timeout=60) as answer:
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


def without_the_token(directory: Path) -> object:
    """How Ray starts without a token, and the errors for another token or none."""
    sourced = ". deploy/ray/ray.env; exec ray start --head"
    alone = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(directory)}
    started = subprocess.run(
        ["sh", "-c", sourced], cwd=ROOT, env=alone, capture_output=True, text=True, check=False
    )
    table = directory / "reviews.csv"
    table.write_text("text\n房间很好\n", encoding="utf-8")
    others = [{"RAY_AUTH_TOKEN": "another"}, {"RAY_AUTH_TOKEN": ""}, {"RAY_AUTH_MODE": "disabled"}]
    with nodes(1) as cluster:
        command = [sys.executable, "-m", "service", "predict", str(table), "--ray", cluster.address]
        runs = [
            subprocess.run(
                command,
                env={**os.environ, "HOME": str(directory), **other},
                capture_output=True,
                text=True,
                check=False,
            )
            for other in others
        ]
        held = subprocess.run(command, capture_output=True, text=True, check=False)
    return [[run.returncode, run.stderr.splitlines()[-1]] for run in (started, *runs, held)]


CASES: dict[str, Callable[[Path], object]] = {
    "score": score,
    "lose_a_node": lose_a_node,
    "serve": serve,
    "without_the_token": without_the_token,
}

if __name__ == "__main__":
    json.dump(CASES[sys.argv[1]](Path(sys.argv[2])), sys.stdout)

"""The soak: what it calls a fault, and that its traffic gets the answers that it should."""

import asyncio
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from bench.soak import Sample, Soak, draw, report
from bench.traffic import LEFT, SHARES, Client, Request, Traffic
from tests.support.http import wait_ready
from tests.support.process import PATIENT, served
from tests.support.texts import sentences


def soaked(last_megabytes: float = 100.0, last_threads: int = 6, last_descriptors: int = 7) -> Soak:
    """A minute, in whose last part something may be more than before."""
    soak = Soak(1.0, 100.0, (7, last_descriptors))
    for second in range(5, 61, 5):
        late = second > 50
        soak.samples.append(
            Sample(
                second,
                last_megabytes if late else 100.0,
                20,
                last_threads if late else 6 + second % 2,
                5.0,
                9.0,
            )
        )
    soak.latencies = [(second, 5.0) for second in range(60)]
    soak.outcomes = {"predict": Counter({"200": 9, "429": 1}), "leaves": Counter({LEFT: 3})}
    return soak


def test_what_stays_as_it_was_is_no_fault(tmp_path: Path) -> None:
    soak = soaked(last_megabytes=101.9, last_threads=7)
    assert soak.faults == []
    assert "Nothing grew and nothing failed." in report(soak)
    draw(soak, tmp_path / "soak.svg")
    assert (tmp_path / "soak.svg").read_text(encoding="utf-8").startswith("<?xml")


@pytest.mark.parametrize(
    ("soak", "fault"),
    [
        (soaked(last_megabytes=102.1), "resident memory grew by 2.1%"),
        (soaked(last_threads=8), "threads grew from 7 to 8"),
        (soaked(last_descriptors=9), "2 file descriptors stayed open"),
    ],
)
def test_growth_is_a_fault(soak: Soak, fault: str) -> None:
    assert soak.faults == [fault]
    assert fault in report(soak)


def test_an_answer_that_should_not_be_is_a_fault() -> None:
    soak = soaked()
    soak.outcomes["predict"]["500, unexpected"] += 2
    assert soak.faults == ["predict: 2 times 500, unexpected"]


@pytest.mark.process
async def test_every_kind_of_traffic_gets_the_answer_that_it_should(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    async def send(port: int, requests: list[Request]) -> list[str]:
        client = Client(port)
        try:
            return [
                outcome
                for start in range(0, len(requests), 8)
                for outcome in await asyncio.gather(*map(client.send, requests[start : start + 8]))
            ]
        finally:
            await client.close()

    requests = list(islice(Traffic([text for text, _ in sentences()], seed=0), 400))
    assert {request.kind for request in requests} == set(SHARES)
    with served(tiny_artifact, tmp_path / "log", **PATIENT) as (_, address):
        wait_ready(address)
        outcomes = await send(int(address.rsplit(":", 1)[1]), requests)
    for request, outcome in zip(requests, outcomes, strict=True):
        expected = {LEFT} if request.leaves is not None else set(map(str, request.expected))
        assert outcome in expected, (request.raw, outcome)

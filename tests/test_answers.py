"""The same answers on every processor, as close as float32 lets them be."""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.answers import answers
from model.classifier import Classifier, softmax

STORED = json.loads(Path(__file__).with_name("answers.json").read_text(encoding="utf-8"))
_ROOT = Path(__file__).parent.parent
_QEMU = shutil.which("qemu-x86_64")
# Of a probability. Where float32 is rounded otherwise than with AVX2, a state of the LSTM goes to
# the next of its 256 steps now and then: of 2,400 readings of real texts on Nehalem 197 differed by
# more than 0.0001, by 0.0021 at most.
_ROUNDED_OTHERWISE = 3e-3

emulated = pytest.mark.skipif(
    _QEMU is None or platform.machine() != "x86_64",
    reason="qemu-x86_64 (of Debian's qemu-user) runs other processors, on x86-64 alone",
)


@pytest.fixture(scope="module")
def temperature(shipped_classifier: Classifier) -> float:
    """That of the shipped model, once the stored answers are known to be its own."""
    assert shipped_classifier.artifact.digest == STORED["model"], (
        "tests/answers.json holds the answers of another model; run "
        "`.venv/bin/python -m bench.answers > tests/answers.json` to store them anew"
    )
    return shipped_classifier.artifact.manifest.temperature


def difference(given: dict[str, Any], temperature: float) -> float:
    """The largest of a probability from what it is in the stored answers."""

    def probabilities(answers: dict[str, Any]) -> NDArray[np.float64]:
        rows = np.array(answers["alone"] + answers["together"], np.float32)
        return softmax(rows, temperature)

    return float(np.abs(probabilities(given) - probabilities(STORED)).max())


def answers_of(processor: str, before: str = "") -> dict[str, Any]:
    """What the shipped model answers on an emulated processor, after some Python."""
    assert _QEMU
    # Which would choose instructions that this processor has and that one does not.
    environment = {n: v for n, v in os.environ.items() if not n.startswith("OPENBLAS_")}
    program = f"{before}\nfrom bench.answers import main\nmain()"
    result = subprocess.run(
        [_QEMU, "-cpu", processor, sys.executable, "-c", program],
        cwd=_ROOT,
        env=environment,
        capture_output=True,
        check=False,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr.decode()
    given: dict[str, Any] = json.loads(result.stdout)
    return given


def test_this_processor_answers_as_the_one_that_the_answers_were_stored_on(
    temperature: float,
) -> None:
    most = 1e-4 if platform.machine() == "x86_64" else _ROUNDED_OTHERWISE
    assert difference(answers(), temperature) < most


# With AVX2 and without VNNI, where sums of int8 products would overflow; and with neither.
@pytest.mark.process
@emulated
@pytest.mark.parametrize(
    ("processor", "most"), [("Haswell", 1e-4), ("Nehalem", _ROUNDED_OTHERWISE)]
)
def test_an_older_processor_answers_the_same(
    processor: str, most: float, temperature: float
) -> None:
    assert difference(answers_of(processor), temperature) < most


@pytest.mark.process
@emulated
def test_without_exact_products_an_older_processor_would_answer_otherwise(
    temperature: float,
) -> None:
    before = "import model.engines\nmodel.engines._products_saturate = lambda: False"
    assert difference(answers_of("Haswell", before), temperature) > 0.005

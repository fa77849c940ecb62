"""Damaged tables: refused in a sentence or answered, and only texts of theirs are answered."""

import pytest

from bench.tables_fuzz import fuzz
from model.classifier import Classifier


@pytest.mark.exhaustive
def test_no_damage_makes_a_traceback_or_an_answer_to_what_is_no_text(
    tiny_classifier: Classifier,
) -> None:
    outcomes, problems = fuzz(300, seed=0, classifier=tiny_classifier)
    assert not problems
    assert outcomes["answered"] > 100
    assert outcomes["answered in part"] > 80
    assert outcomes["refused"] < 75

"""Training on one file of the user's own: what follows from its rows."""

from pathlib import Path

import pytest

from model.training.own_file import own_file_config
from tests.support.texts import sentences, write_csv


def test_a_file_alone_is_trained_on_from_nothing_and_a_tenth_held_out(corpus: Path) -> None:
    config = own_file_config(corpus)
    (source,) = config.data.sources
    assert (config.name, config.data.dev_modulus) == ("custom", 10)
    assert (source.name, source.train, source.two_classes) == ("reviews", (corpus.name,), False)


@pytest.mark.parametrize("adapt", [True, False])
@pytest.mark.parametrize("neutral", [True, False])
def test_a_file_without_neutral_teaches_an_adapted_model_nothing_about_it(
    tmp_path: Path, adapt: bool, neutral: bool
) -> None:
    rows = [row for row in sentences() if neutral or row[1] != "neutral"]
    path = write_csv(tmp_path / "mine.csv", rows, ("text", "label"))
    config = own_file_config(path, adapt=adapt)
    assert config.name == ("adapted" if adapt else "custom")
    assert config.data.sources[0].two_classes is (adapt and not neutral)

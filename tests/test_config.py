"""Configurations: the ones that ship load, and a bad one says what is wrong."""

from pathlib import Path

import pytest

from model.config import CONFIGS_DIRECTORY, load_config
from model.errors import ConfigError

BASE = 'name = "x"\nversion = "0.1.0"\n[[data.sources]]\nname = "a"\ntrain = ["a.csv"]\n'


def write(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(content, encoding="utf-8")
    return path


def test_the_configuration_of_the_shipped_model_loads_by_name() -> None:
    config = load_config("zh-general")
    assert config.name == "zh-general"
    assert config.data.blocklist
    assert config.seed == 17


@pytest.mark.parametrize(
    "path", sorted(CONFIGS_DIRECTORY.glob("*.toml")), ids=lambda path: path.stem
)
def test_every_configuration_that_ships_says_why(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")


def test_a_source_has_defaults(tmp_path: Path) -> None:
    source = load_config(write(tmp_path, BASE)).data.sources[0]
    assert (source.weight, source.two_classes, source.dev) == (1.0, False, ())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name = ", "is not TOML"),
        ('name = "x"\nversion = "0.1.0"\n', "names no data"),
        (BASE.replace("0.1.0", "one"), "version"),
        (BASE.replace('"x"', '"x@1.0.0"'), "name: String should match pattern"),
        ("sed = 1\n" + BASE, "sed: Extra inputs"),
        (BASE + "[network]\nhidden_size = 0\n", "network.hidden_size"),
        (BASE + '[[data.sources]]\nname = "a"\ntrain = []\n', "same name"),
    ],
)
def test_a_bad_configuration_says_what_is_wrong(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(write(tmp_path, content))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="csv, zh-general"):
        load_config("nothing")

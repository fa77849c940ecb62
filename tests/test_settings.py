"""Settings: read from the environment, and a bad one refuses to start in a sentence."""

import pytest
from click.testing import CliRunner

from model.errors import ConfigError
from service.commands import main
from service.settings import SHIPPED_MODEL, load_settings, unknown_variables


def test_the_defaults() -> None:
    settings = load_settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.model == SHIPPED_MODEL
    assert (settings.max_text_characters, settings.max_items) == (10_000, 256)
    assert (settings.max_queue_texts, settings.deadline_seconds) == (2048, 5.0)


def test_the_environment_sets_and_an_option_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTIMENT_PORT", "9000")
    assert load_settings().port == 9000
    assert load_settings(port=9001).port == 9001


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PORT", "http", "SENTIMENT_PORT is 'http': input should be a valid integer"),
        ("PORT", "70000", "SENTIMENT_PORT is '70000': input should be less than or equal to 65535"),
        ("DEADLINE_SECONDS", "0", "SENTIMENT_DEADLINE_SECONDS is '0'"),
        ("MAX_ITEMS", "5000", "SENTIMENT_MAX_ITEMS is '5000'"),
        ("ROOT_PATH", "api", "SENTIMENT_ROOT_PATH is 'api'"),
        ("LOG_LEVEL", "loud", "SENTIMENT_LOG_LEVEL is 'loud': input should be 'debug', 'info'"),
        (
            "MAX_INFLIGHT_BODY_BYTES",
            "1000",
            "SENTIMENT_MAX_BODY_BYTES is 2097152 and SENTIMENT_MAX_INFLIGHT_BODY_BYTES is 1000",
        ),
        ("MAX_QUEUE_TEXTS", "10", "SENTIMENT_MAX_ITEMS is 256 and SENTIMENT_MAX_QUEUE_TEXTS is 10"),
    ],
)
def test_a_bad_value_refuses_to_start_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(f"SENTIMENT_{name}", value)
    with pytest.raises(ConfigError) as error:
        load_settings()
    assert message in str(error.value)
    result = CliRunner().invoke(main, ["serve"])
    assert result.exit_code == 2
    assert message in result.output
    assert len(result.output.splitlines()) == 1


def test_a_variable_that_is_no_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTIMENT_THREAD", "2")
    monkeypatch.setenv("SENTIMENT_THREADS", "2")
    monkeypatch.setenv("SENTIMENT_DATA", "somewhere")
    assert unknown_variables() == ["SENTIMENT_THREAD"]

"""The file of keys: how it is written, refused, and read again when it changes."""

import hashlib
import itertools
import logging
import os
import re
import threading
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

import service.api_keys
from model.errors import ConfigError
from service.api_keys import ApiKey, ApiKeys, new_key, read_keys
from service.app import create_app
from service.commands import main
from service.settings import load_settings
from service.state import Service
from tests.support.api_keys import (
    DESK,
    DESK_LINE,
    SHOP,
    SHOP_LINE,
    TOMORROW,
    bearer,
)
from tests.support.clock import wait_for
from tests.support.http import wait_ready
from tests.support.logs import log_lines
from tests.support.process import served


def test_a_key_is_long_known_by_its_hash_alone_and_each_time_another() -> None:
    key, line = new_key("shop", date(2027, 1, 31))
    name, digest, expires = line.split()
    assert (name, expires) == ("shop", "2027-01-31")
    assert digest == hashlib.sha256(key.encode()).hexdigest()
    assert re.fullmatch(r"zhs_[\w-]{43}", key)  # 32 random bytes
    assert key not in line
    assert new_key("shop", None)[0] != key


def test_the_command_shows_the_key_and_writes_its_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["key", "shop", "--expires", "2027-01-31"])
    assert result.exit_code == 0
    key = result.stderr.split()[-1]
    (tmp_path / "keys").write_text(result.stdout)
    (read,) = read_keys(tmp_path / "keys").values()
    assert (read.name, read.digest) == ("shop", hashlib.sha256(key.encode()).digest())
    assert datetime.fromtimestamp(read.expires_at, UTC) == datetime(2027, 2, 1, tzinfo=UTC)
    assert key not in result.stdout
    for bad in (["a b"], ["a", "--expires", "31.1.2027"]):
        assert CliRunner().invoke(main, ["key", *bad]).exit_code == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no key"),
        (b"# nobody\n", "holds no key"),
        (b"\n\nshop zhs_secret\n", "line 3 of SENTIMENT_API_KEYS_FILE"),
        (b"zhs_secret\n", "line 1"),
        (f"{SHOP_LINE}\n{SHOP_LINE} secret".encode(), "line 2"),
        (SHOP_LINE.replace(str(TOMORROW), "2027-02-30").encode(), "line 1"),
        (f"{SHOP_LINE}\n{SHOP_LINE}".encode(), "the name or the key of another"),
        (f"{SHOP_LINE}\n{SHOP_LINE.replace('shop', 'b')}".encode(), "the name or the key of"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"a " * 2_000_000, "line 1"),
        (b"#" * 2**24 + b"\n" + SHOP_LINE.encode(), "at most 16777216 are read"),
        (None, "No such file"),
    ],
    ids=itertools.count(),
)
def test_a_bad_file_refuses_to_start_in_one_sentence_that_repeats_none_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, message: str
) -> None:
    path = tmp_path / "keys.txt"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("SENTIMENT_API_KEYS_FILE", str(path))
    result = CliRunner().invoke(main, ["serve"])
    assert result.exit_code == 2
    assert message in result.output
    assert len(result.output.splitlines()) == 1
    assert "secret" not in result.output


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"RATE_LIMIT": "600/minute"}, "SENTIMENT_RATE_LIMIT is per key"),
        ({"RATE_LIMIT": "fast"}, "SENTIMENT_RATE_LIMIT is 'fast'"),
        ({"CORS_ORIGINS": "https://a.example/"}, "SENTIMENT_CORS_ORIGINS"),
        ({"PUBLIC_METRICS": "false"}, "SENTIMENT_PROBE_PORT is not set"),
    ],
)
def test_a_setting_that_does_not_fit_refuses_to_start(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], message: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"SENTIMENT_{name}", value)
    with pytest.raises(ConfigError, match=message):
        load_settings()


def test_a_key_is_for_its_last_day_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, line = new_key("shop", date(2027, 1, 31))
    (tmp_path / "keys").write_text(line)
    found = ApiKeys(tmp_path / "keys").find(key.encode())
    assert found
    for now, expired in [("2027-01-31T23:59:59", False), ("2027-02-01T00:00:00", True)]:
        moment = datetime.fromisoformat(now).replace(tzinfo=UTC).timestamp()
        monkeypatch.setattr(time, "time", lambda moment=moment: moment)
        assert found.expired == expired


def many_keys(path: Path, count: int) -> Path:
    lines = (f"key-{n} {hashlib.sha256(b'%d' % n).hexdigest()}\n" for n in range(count))
    path.write_text("".join(lines))
    return path


def test_reading_and_finding_take_no_longer_for_each_key_where_there_are_many(
    tmp_path: Path,
) -> None:
    started = time.process_time()
    keys = ApiKeys(many_keys(tmp_path / "keys.txt", 20_000))
    for number in range(20_000):
        found = keys.find(b"%d" % number)
        assert found
        assert found.name == f"key-{number}"
        assert keys.find(b"-%d" % number) is None
    # Comparing each with each would take half a minute.
    assert time.process_time() - started < 3


def wait_until_read() -> None:
    for thread in threading.enumerate():
        if thread.name == "keys":
            thread.join(20)


def test_a_file_that_changes_is_read_again_and_a_broken_one_is_not(
    tiny_artifact: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "keys.txt"
    path.write_text(SHOP_LINE)
    service = Service(load_settings(model=tiny_artifact, api_keys_file=path))
    client = TestClient(create_app(service.settings, service))

    def opens(key: str) -> bool:
        service.tick()  # as every second
        wait_until_read()
        status = client.get("/v1/model", headers=bearer(key)).status_code
        assert status in (401, 503)  # no model is loaded here
        return status == 503

    assert (opens(SHOP), opens(DESK)) == (True, False)
    path.write_text(f"{SHOP_LINE}\n{DESK_LINE}")
    assert (opens(SHOP), opens(DESK)) == (True, True)
    assert "shop, desk" in caplog.text
    for broken in ("", f"{DESK_LINE}\nzhs_secret"):
        path.write_text(broken)
        caplog.clear()
        assert (opens(SHOP), opens(DESK)) == (True, True)
        (line,) = [record for record in caplog.records if record.name == "service.api_keys"]
        assert line.getMessage().startswith("keeping the previous API keys: ")
        assert "zhs_secret" not in caplog.text
    path.unlink()
    assert (opens(SHOP), opens(DESK)) == (True, True)
    # As Kubernetes changes a Secret: by a link that turns.
    (tmp_path / "new").write_text(DESK_LINE)
    (tmp_path / "link").symlink_to("new")
    (tmp_path / "link").rename(path)
    assert (opens(SHOP), opens(DESK)) == (False, True)
    for odd in (os.mkfifo, Path.mkdir):
        path.unlink()
        odd(path)
        caplog.clear()
        assert (opens(SHOP), opens(DESK)) == (False, True)
        assert "keeping the previous API keys" in caplog.text


def test_nobody_waits_while_the_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.txt"
    path.write_text(SHOP_LINE)
    keys = ApiKeys(path)
    may_read = threading.Event()
    readers = []

    def slow(path: Path) -> Mapping[bytes, ApiKey]:
        readers.append(threading.current_thread())
        assert may_read.wait(20)
        return read_keys(path)

    monkeypatch.setattr(service.api_keys, "read_keys", slow)
    path.write_text(f"{SHOP_LINE}\n{DESK_LINE}")
    keys.refresh()
    path.write_text(f"{DESK_LINE}\n")
    keys.refresh()
    assert keys.find(SHOP.encode())
    assert keys.find(DESK.encode()) is None
    may_read.set()
    wait_until_read()
    keys.refresh()  # or what changed during the reading would be missed
    wait_until_read()
    assert len(readers) == 2
    assert threading.main_thread() not in readers
    assert keys.find(DESK.encode())
    assert keys.find(SHOP.encode()) is None


@pytest.mark.process
def test_a_running_service_takes_a_new_key_and_drops_an_old_one(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    path = tmp_path / "keys.txt"
    path.write_text(SHOP_LINE)
    settings = {"SENTIMENT_API_KEYS_FILE": str(path), "SENTIMENT_HOST": "0.0.0.0"}
    with served(tiny_artifact, tmp_path / "log", **settings) as (_, address):
        address = address.replace("0.0.0.0", "127.0.0.1")
        wait_ready(address)
        model = f"{address}/v1/model"
        assert httpx2.get(model, headers=bearer(SHOP)).status_code == 200
        path.write_text(DESK_LINE)
        wait_for(lambda: httpx2.get(model, headers=bearer(DESK)).status_code == 200)
        assert httpx2.get(model, headers=bearer(SHOP)).status_code == 401
        answer = httpx2.get(model)
        assert answer.status_code == 401
        assert "server" not in answer.headers
    lines = log_lines(tmp_path / "log")
    assert not [line for line in lines if line["level"] == "warning"]  # it asks for keys
    assert SHOP not in str(lines)

"""What is installed, and what comes with us from elsewhere, is what was looked at."""

import hashlib
import json
import os
import platform
import re
import runpy
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.clock import wait_for
from tests.support.repository import ROOT

LOCKS = ["serve", "torch", "train", "baselines", "bench", "tables", "dev", "ray"]
# Each in an environment of its own.
APART = ["sbom", "clients", "frameworks"]


def pinned(lock: str) -> dict[str, tuple[str, set[str]]]:
    """Version and hashes of each package of a lock."""
    text = (ROOT / f"requirements/{lock}.txt").read_text(encoding="utf-8").replace("\\\n", "")
    found = {}
    for line in text.splitlines():
        matched = re.match(r"([a-z0-9-]+)==([\w.]+)", line)
        assert matched, line
        name, version = matched.groups()
        found[name] = version, set(re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line))
    return found


@pytest.mark.parametrize("lock", [*LOCKS, *APART])
def test_every_package_of_a_lock_has_hashes_but_torch(lock: str) -> None:
    packages = pinned(lock)
    assert len(packages) > 20
    assert not [name for name, (_, hashes) in packages.items() if not hashes]
    # Whatever is compiled has files for several systems.
    assert all(len(packages[name][1]) > 9 for name in {"numpy", "onnxruntime"} & packages.keys())
    assert "torch" not in packages


@pytest.mark.parametrize(
    ("lock", "before"),
    [
        ("torch", ["serve"]),
        ("train", ["torch"]),
        ("baselines", ["train"]),
        ("bench", ["baselines"]),
        ("tables", ["serve"]),
        ("dev", ["train", "tables"]),
    ],
)
def test_a_lock_holds_those_before_it(lock: str, before: list[str]) -> None:
    for earlier in before:
        assert pinned(earlier).items() <= pinned(lock).items()


def test_the_frameworks_of_the_benchmark_run_our_engine_as_we_do() -> None:
    ours, theirs = pinned("serve"), pinned("frameworks")
    for name in ["numpy", "onnxruntime", "opencc", "rjieba", "safetensors"]:
        assert theirs[name] == ours[name]


def test_serving_installs_neither_torch_and_its_needs_nor_jieba() -> None:
    of_torch = needed("zh-sentiment[torch]") - needed("zh-sentiment") - {"torch"}
    assert {"sympy", "networkx"} <= of_torch
    assert pinned("torch").keys() - pinned("serve").keys() == of_torch | {"jieba"}


def needed(root: str) -> set[str]:
    """The names of a distribution's requirements, and of theirs."""
    found: set[str] = set()
    seen: set[Requirement] = set()
    waiting = [Requirement(root)]
    while waiting:
        requirement = waiting.pop()
        if requirement in seen:
            continue
        seen.add(requirement)
        found.add(name := canonicalize_name(requirement.name))
        try:
            further = map(Requirement, requires(name) or [])
        except PackageNotFoundError:  # of another system
            continue
        waiting += [
            one
            for one in further
            if one.marker is None
            or any(one.marker.evaluate({"extra": e}) for e in {"", *requirement.extras})
        ]
    return found


# Runs the command where the packages that stand first cannot be imported.
WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

missing = sys.argv[1].split(",")
sys.meta_path.insert(0, Missing())
from service.commands import main
main(sys.argv[2:])
"""


def with_the_lock_of_serving(*command: str, **environment: str) -> tuple[int, str, str]:
    """Exit code, output and errors of ``sentiment`` where nothing else is installed."""
    locked = {*pinned("serve"), "zh-sentiment"}
    missing = {
        module
        for module, distributions in packages_distributions().items()
        if not locked & set(map(canonicalize_name, distributions))
    }
    assert {"torch", "jieba", "sklearn"} <= missing
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT, ",".join(missing), *command],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return run.returncode, run.stdout, run.stderr


@pytest.mark.process
@pytest.mark.parametrize("command", [["serve", "--check"], ["predict", "房间很好"], ["openapi"]])
def test_serving_imports_nothing_but_its_lock(command: list[str]) -> None:
    code, _, errors = with_the_lock_of_serving(*command)
    assert (code, errors) == (0, "")


@pytest.mark.process
@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (["serve", "--check"], "torch"),
        (["predict", "房间很好"], "torch"),
        (["release-check"], "torch"),
        (["train", "reviews.csv"], "train"),
        (["train", "reviews.csv", "--from", "zh-general"], "train"),
        (["evaluate"], "train"),
        (["export"], "train"),
    ],
)
def test_what_serving_lacks_is_told_in_one_sentence_with_what_to_install(
    command: list[str], extra: str, corpus: Path
) -> None:
    arguments = [str(corpus) if word == corpus.name else word for word in command]
    code, output, errors = with_the_lock_of_serving(
        *arguments, SENTIMENT_ENGINE="torch", SENTIMENT_DATA=str(corpus.parent)
    )
    assert (code, output) == (2, "")
    assert len(errors.splitlines()) == 1
    assert f"pip install 'zh-sentiment[{extra}]'" in errors


def test_a_lock_undoes_nothing_of_another() -> None:
    seen: dict[str, tuple[str, set[str]]] = {}
    for lock in LOCKS:
        for name, pin in pinned(lock).items():
            assert seen.setdefault(name, pin) == pin, name


def test_the_files_of_others_are_those_that_were_recorded() -> None:
    recorded = {}
    for line in (ROOT / "tools/vendored.sha256").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            digest, name = line.split("  ")
            recorded[name] = digest
    held = {
        str(path.relative_to(ROOT)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("service/web/vendor", "service/web/swagger-ui")
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
    }
    assert held == recorded


def test_the_licences_of_what_serves_are_listed() -> None:
    listed = {}
    for row in (ROOT / "docs/licences.md").read_text(encoding="utf-8").splitlines():
        if row.startswith("| ") and not row.startswith("| Name"):
            name, version, licence = (cell.strip() for cell in row.strip("|").split("|"))
            assert licence not in {"", "UNKNOWN"}
            listed[re.sub(r"[._-]+", "-", name).lower()] = version
    torch = (ROOT / "requirements/torch.in").read_text(encoding="utf-8").strip().split("==")
    expected = {name: version for name, (version, _) in pinned("torch").items()}
    assert listed == expected | {torch[0]: torch[1]}  # make licences


@pytest.mark.process
def test_a_licence_that_is_not_allowed_fails_the_check() -> None:
    command = [sys.executable, "-m", "piplicenses", "--packages", "fastapi"]
    for options, code in (([], 0), (["--allow-only", "GPL-3.0"], 1)):
        run = subprocess.run(
            [*command, *options], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert run.returncode == code, run.stderr


@pytest.mark.parametrize(
    ("vulnerability", "code", "said"),
    [
        ({"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["1.1"]}, 1, "fixed in 1.1"),
        ({"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": []}, 0, "no fix yet"),
        ({"id": "PYSEC-1", "aliases": ["CVE-2"], "fix_versions": ["1.1"]}, 0, "accepted"),
        (None, 0, "audit skipped"),
    ],
)
def test_the_audit_fails_for_what_can_be_mended_alone(
    vulnerability: dict[str, Any] | None,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    package: dict[str, Any] = {"name": "torch", "version": "1.0"}
    # pip-audit says so, and ends well, of what the service did not tell it.
    package |= {"vulns": [vulnerability]} if vulnerability else {"skip_reason": "not found"}
    answer = SimpleNamespace(stdout=json.dumps({"dependencies": [package]}))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: answer)
    audit = runpy.run_path(str(ROOT / "tools/audit.py"))
    audit["ACCEPTED"]["CVE-2"] = "a reason"
    assert audit["main"]() == code
    assert said in capsys.readouterr().out


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What ``make serve`` reads before anything is installed."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("requirements", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def script(path: Path, text: str) -> Path:
    """An executable for sh."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}", encoding="utf-8")
    path.chmod(0o755)
    return path


def python_of(version: tuple[int, ...], path: Path) -> Path:
    """A Python that says that it is of another version."""
    code = f"import sys; sys.version_info = {version}; exec(sys.argv[1])"
    return script(path, f'exec {sys.executable} -c "{code}" "$2"\n')


def set_up(checkout: Path, python: Path | str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--silent", ".venv/serve.installed", f"PYTHON={python}"]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)


@pytest.mark.process
def test_a_python_that_is_too_old_is_named_before_anything_is_done(checkout: Path) -> None:
    python = python_of((3, 10, 13), checkout / "old" / "python3")
    run = set_up(checkout, python)
    assert run.returncode == 2
    assert f"Python 3.11 or newer is needed, and {python} is 3.10.13: " in run.stderr
    assert "make PYTHON=python3.12" in run.stderr
    assert not (checkout / ".venv").exists()


@pytest.mark.process
def test_a_python_that_is_not_there_is_named(checkout: Path) -> None:
    run = set_up(checkout, "python9")
    assert (run.returncode, run.stdout) == (2, "")
    assert "and python9 does not run: " in run.stderr


@pytest.mark.process
def test_an_environment_of_a_python_that_is_too_old_or_gone_is_told(checkout: Path) -> None:
    script(checkout / ".venv/bin/pip", "exit 1\n")
    python = python_of((3, 9, 1), checkout / ".venv/bin/python")
    for said in ("and .venv/bin/python is 3.9.1: run make clean", "does not run: run make clean"):
        run = set_up(checkout, sys.executable)
        assert run.returncode == 2
        assert said in run.stderr
        python.unlink(missing_ok=True)


@pytest.mark.process
def test_two_at_once_install_once(checkout: Path) -> None:
    # A Python that makes the environment of links, and a pip that waits to be let go.
    pip = 'echo "$1" >> calls; while [ ! -e go ]; do sleep 0.05; done\n'
    python = script(
        checkout / "python3",
        f'[ "$1" = -m ] || exec {sys.executable} "$@"\n'
        f"mkdir -p .venv/bin; ln -s {sys.executable} .venv/bin/python; cp pip .venv/bin/pip\n",
    )
    script(checkout / "pip", pip)
    command = ["make", "--silent", ".venv/serve.installed", f"PYTHON={python}"]
    with (
        (checkout / "log").open("w") as log,
        subprocess.Popen(command, cwd=checkout, stdout=log, stderr=log) as first,
    ):
        wait_for((checkout / "calls").exists)
        with subprocess.Popen(command, cwd=checkout, stdout=log, stderr=log) as second:
            wait_for(lambda: "waiting for it" in (checkout / "log").read_text())
            (checkout / "go").touch()
            assert (first.wait(60), second.wait(60)) == (0, 0)
    assert (checkout / "calls").read_text().split() == ["install"] * 2  # the lock, and ourselves


class NoPackages(BaseHTTPRequestHandler):
    """An index that answers, and has nothing."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


def installation(
    directory: Path, index: str, script: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """What a script does with the pip of this environment and one index."""
    settings = {name: text for name, text in os.environ.items() if not name.startswith("PIP_")}
    settings |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1", "PIP_RETRIES": "0"}
    settings |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_INDEX_URL": index, "TORCH_INDEX": index}
    pip = Path(sys.executable).with_name("pip")
    return subprocess.run(
        [ROOT / "tools" / script, pip, *arguments],
        # Where nothing that is installed already counts.
        env=settings | {"PIP_TARGET": str(directory / "target")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(params=["refused", "empty", "of another Python"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, bool]]:
    """The address of an index, and whether it can be reached."""
    if request.param == "of another Python":
        page = tmp_path / "simple/torch/index.html"
        page.parent.mkdir(parents=True)
        wheel = page.with_name("torch-2.13.0-cp36-cp36m-manylinux_2_28_x86_64.whl")
        wheel.touch()
        page.write_text(f'<a href="{wheel.name}">{wheel.name}</a>', encoding="utf-8")
        yield (tmp_path / "simple").as_uri(), True
        return
    with HTTPServer(("127.0.0.1", 0), NoPackages) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        if request.param == "empty":
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield address, True
            server.shutdown()
            thread.join()
            return
    yield address, False


@pytest.mark.process
@pytest.mark.parametrize("script", ["install-torch.sh", "install.sh"])
def test_no_file_for_this_python_and_no_index_reached_are_two_messages(
    index: tuple[str, bool], script: str, tmp_path: Path
) -> None:
    address, reached = index
    arguments = []
    if script == "install.sh":
        lock = tmp_path / "lock.txt"
        lock.write_text(f"torch==2.13.0 --hash=sha256:{'0' * 64}\n", encoding="utf-8")
        arguments = [str(lock)]
    run = installation(tmp_path, address, script, *arguments)
    assert run.returncode == 1
    fits = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    assert ("the indexes have no file of it for " + fits in run.stderr) is reached, run.stderr
    assert (f"{address}/torch/ was not reached" in run.stderr) is not reached, run.stderr
    assert ("TORCH_INDEX names another index" in run.stderr) is (script == "install-torch.sh")

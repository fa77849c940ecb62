"""Clients that generators make of docs/openapi.json compile, and a live service answers them."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.artifacts import SHIPPED
from tests.support.http import wait_ready
from tests.support.process import served
from tests.support.repository import ROOT, read

pytestmark = pytest.mark.process

# Installed by `make .venv/clients.installed`.
CLIENTS = ROOT / ".venv/clients/bin"
# Installed by `make check`.
NODE_MODULES = ROOT / ".venv/typescript/node_modules"
PRINTED = [
    "positive []",
    "None positive",
    "2 the text is empty or blank",
    "positive",
    "the text is empty or blank",
    "zh-general@",
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(SHIPPED, tmp_path_factory.mktemp("service") / "log") as (_, address):
        wait_ready(address)
        yield address


def run(*command: str | Path, directory: Path) -> str:
    done = subprocess.run(
        command, cwd=directory, capture_output=True, encoding="utf-8", timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def example(language: str, address: str) -> str:
    """Return the code of the section on generated clients, for a service at an address."""
    section = read("docs/api.md").split("## Generated clients\n")[1].split("\n## ")[0]
    (code,) = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    return str(code).replace("http://localhost:8000", address)


def check_printed(printed: str) -> None:
    lines = printed.replace("undefined", "None").splitlines()
    assert len(lines) == len(PRINTED), printed
    for line, expected in zip(lines, PRINTED, strict=True):
        assert line.startswith(expected), printed


def test_a_python_client_answers(address: str, tmp_path: Path) -> None:
    if not (CLIENTS / "openapi-python-client").exists():
        pytest.skip("no openapi-python-client: `make .venv/clients.installed` installs it")
    told = run(
        *(CLIENTS / "openapi-python-client", "generate", "--meta", "none"),
        *(
            "--path",
            ROOT / "docs/openapi.json",
            "--config",
            ROOT / "tools/openapi-python-client.yml",
        ),
        *("--output-path", "sentiment_client"),
        directory=tmp_path,
    )
    assert "WARNING" not in told.upper()  # as about an operation that is left out
    (tmp_path / "ask.py").write_text(example("python", address), encoding="utf-8")
    check_printed(run(CLIENTS / "python", "ask.py", directory=tmp_path))


def test_a_typescript_client_compiles_and_answers(address: str, tmp_path: Path) -> None:
    if shutil.which("node") is None or not (NODE_MODULES / "openapi-typescript").exists():
        pytest.skip("no openapi-typescript: `make check` installs it where there is npm")
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    tools = NODE_MODULES / ".bin"
    document = ROOT / "docs/openapi.json"
    run(tools / "openapi-typescript", document, "--output", "schema.ts", directory=tmp_path)
    (tmp_path / "ask.ts").write_text(example("typescript", address), encoding="utf-8")
    strict = ("--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom")
    run(tools / "tsc", *strict, "ask.ts", directory=tmp_path)
    check_printed(run("node", "ask.js", directory=tmp_path))

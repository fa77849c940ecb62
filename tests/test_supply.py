"""What is installed, and what comes with us from elsewhere, is what was looked at."""

import hashlib
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
LOCKS = ["serve", "train", "peers", "bench", "tables", "dev", "ray", "sbom"]


def pinned(lock: str) -> dict[str, tuple[str, set[str]]]:
    """Version and hashes of each package of a lock."""
    text = (ROOT / f"requirements/{lock}.txt").read_text(encoding="utf-8").replace("\\\n", "")
    found = {}
    for line in text.splitlines():
        name, version = re.match(r"([a-z0-9-]+)==([\w.]+)", line).groups()  # type: ignore[union-attr]
        found[name] = version, set(re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line))
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_of_a_lock_has_hashes_but_torch(lock: str) -> None:
    packages = pinned(lock)
    assert len(packages) > 30
    assert not [name for name, (_, hashes) in packages.items() if not hashes]
    # Whatever is compiled has files for several systems.
    assert all(len(packages[name][1]) > 9 for name in {"numpy", "onnxruntime"} & packages.keys())
    assert "torch" not in packages


@pytest.mark.parametrize(
    ("lock", "before"),
    [
        ("train", ["serve"]),
        ("peers", ["train"]),
        ("bench", ["peers"]),
        ("tables", ["serve"]),
        ("dev", ["train", "tables"]),
    ],
)
def test_a_lock_holds_those_before_it(lock: str, before: list[str]) -> None:
    for earlier in before:
        assert pinned(earlier).items() <= pinned(lock).items()


def test_a_lock_undoes_nothing_of_another() -> None:
    seen: dict[str, tuple[str, set[str]]] = {}
    for lock in LOCKS:
        if lock == "sbom":  # in an environment of its own
            continue
        for name, pin in pinned(lock).items():
            assert seen.setdefault(name, pin) == pin, name


def test_the_files_of_others_are_those_that_were_recorded() -> None:
    recorded = {}
    for line in (ROOT / "requirements/vendored.sha256").read_text(encoding="utf-8").splitlines():
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
    torch = (ROOT / "requirements/torch.txt").read_text(encoding="utf-8").strip().split("==")
    expected = {name: version for name, (version, _) in pinned("serve").items()}
    assert listed == expected | {torch[0]: torch[1]}  # make licences


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
        ({"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["1.1"]}, 1, "mended in 1.1"),
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
    audit = runpy.run_path(str(ROOT / "requirements/audit.py"))
    audit["ACCEPTED"]["CVE-2"] = "a reason"
    assert audit["main"]() == code
    assert said in capsys.readouterr().out

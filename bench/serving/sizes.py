"""Size on disk: the packages that a system needs, and its model."""

import re
import sys
from importlib.metadata import Distribution
from pathlib import Path

from packaging.requirements import Requirement

from bench.serving.servers import System


def megabytes(system: System, temporary: Path) -> float:
    """What has to be installed for a system beside Python itself."""
    folders = sys.path
    if system.python != Path(sys.executable):
        folders = list(map(str, system.python.parents[1].glob("lib/python*/site-packages")))
    names = _closure(system.packages, folders)
    if system.lock:
        names |= _locked(system.lock)
    size = sum(_package_bytes(name, folders) for name in names)
    if system.model:
        path = temporary / system.model
        files = path.rglob("*") if path.is_dir() else [path]
        size += sum(file.stat().st_size for file in files if file.is_file())
    return size / 1e6


def _locked(lock: Path) -> set[str]:
    """The packages of a lock."""
    return {_canonical(name) for name in re.findall("^([a-z].*)==", lock.read_text(), re.MULTILINE)}


def _closure(names: tuple[str, ...], folders: list[str]) -> set[str]:
    """Packages with all that they require on this machine, as installed in ``folders``."""
    found: set[str] = set()
    seen: set[Requirement] = set()
    waiting = list(map(Requirement, names))
    while waiting:
        asked = waiting.pop()
        if asked in seen:
            continue
        seen.add(asked)
        found.add(_canonical(asked.name))
        installed = _installed(asked.name, folders)
        assert installed, asked
        for needed in map(Requirement, installed.requires or []):
            extras = ["", *asked.extras]
            if not needed.marker or any(needed.marker.evaluate({"extra": e}) for e in extras):
                waiting.append(needed)
    return found


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed(name: str, folders: list[str]) -> Distribution | None:
    return next(iter(Distribution.discover(name=name, path=folders)), None)


def _package_bytes(name: str, folders: list[str]) -> int:
    installed = _installed(name, folders)
    if installed is None:  # locked for another platform
        return 0
    paths = [Path(str(file.locate())) for file in installed.files or []]
    return sum(path.stat().st_size for path in paths if path.is_file())

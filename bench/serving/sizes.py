"""Size on disk: the packages that a system needs, and its model."""

import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

from bench.serving.servers import System


def megabytes(system: System, temporary: Path) -> float:
    """What has to be installed for a system beside Python itself."""
    names = _closure(system.packages)
    if system.lock:
        names |= _locked(system.lock)
    size = sum(map(_package_bytes, names))
    if system.model:
        path = temporary / system.model
        files = path.rglob("*") if path.is_dir() else [path]
        size += sum(file.stat().st_size for file in files if file.is_file())
    return size / 1e6


def _locked(lock: Path) -> set[str]:
    """The packages of a lock."""
    return {_canonical(name) for name in re.findall("^([a-z].*)==", lock.read_text(), re.MULTILINE)}


def _closure(names: tuple[str, ...]) -> set[str]:
    """Packages with all that they require on this machine."""
    found: set[str] = set()
    seen: set[Requirement] = set()
    waiting = list(map(Requirement, names))
    while waiting:
        asked = waiting.pop()
        if asked in seen:
            continue
        seen.add(asked)
        found.add(_canonical(asked.name))
        for needed in map(Requirement, distribution(asked.name).requires or []):
            extras = ["", *asked.extras]
            if not needed.marker or any(needed.marker.evaluate({"extra": e}) for e in extras):
                waiting.append(needed)
    return found


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _package_bytes(name: str) -> int:
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:  # locked for another platform
        return 0
    paths = [Path(str(file.locate())) for file in files]
    return sum(path.stat().st_size for path in paths if path.is_file())

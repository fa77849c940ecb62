"""Metrics of several worker processes, which share files in one directory.

``PROMETHEUS_MULTIPROC_DIR`` names the directory. The supervisor sets it before importing
``prometheus_client``, calls ``empty_directory`` once before the first worker and ``worker_ended``
after each; a worker starts with ``reserve_files``. Each worker's ``/metrics`` answers for all.
"""

import logging
import os
import struct
import sys
import time
from collections import Counter as Sums
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)

DIRECTORY_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"

# prometheus_client's files of one process, and enough room for each.
_FILES = ("counter", "histogram", "gauge_livemax", "gauge_livesum", "gauge_livemostrecent")
_FILE_BYTES = 256 * 1024
# Kinds that outlive a worker; one file of each kind holds the sums of all that have ended.
_LASTING = ("counter", "histogram")
# Exists while a worker's file is being merged, when a scrape may count it twice.
_MERGING = "merging"
_ATTEMPTS = 20
_ATTEMPT_SECONDS = 0.02


def empty_directory() -> None:
    """Remove what earlier processes left: their counts would be added to the new ones."""
    if directory := os.environ.get(DIRECTORY_VARIABLE):
        Path(directory).mkdir(parents=True, exist_ok=True)
        for file in (*Path(directory).glob("*.db"), Path(directory, _MERGING)):
            file.unlink(missing_ok=True)


def reserve_files(process_id: int) -> None:
    """Allocate a worker's files before it counts anything.

    They are mapped into memory: a page that the disk has no room for ends the process (SIGBUS).

    Raises:
        OSError: the disk has no room; nothing stays allocated.
    """
    directory = os.environ.get(DIRECTORY_VARIABLE)
    if not directory:
        return
    files = [Path(directory, f"{kind}_{process_id}.reserved") for kind in _FILES]
    try:
        for file in files:
            file.write_bytes(bytes(_FILE_BYTES))
    except OSError:
        for file in files:
            file.unlink(missing_ok=True)
        raise
    for file in files:  # renamed once they are whole, since a scrape cannot read half a file
        file.replace(file.with_suffix(".db"))


def worker_ended(process_id: int) -> None:
    """Drop the gauges of a worker that has ended, and keep its counts.

    They are added to those of earlier workers, so that a scrape does not read ever more files.
    """
    directory = os.environ.get(DIRECTORY_VARIABLE)
    if not directory:
        return
    mark_process_dead(process_id)  # type: ignore[no-untyped-call]
    for file in Path(directory).glob(f"*_{process_id}.*"):
        with file.open("rb") as opened:
            used = int.from_bytes(opened.read(4), sys.byteorder)
        if used:
            os.truncate(file, used)  # the rest was reserved
        else:  # it ended before it counted anything; an empty file could not be read
            file.unlink()
    for kind in _LASTING:
        try:
            _merge_into_ended(Path(directory), kind, process_id)
        except (OSError, RuntimeError, ValueError, struct.error) as error:
            # Its counts are read from there just as well.
            logger.warning(
                "could not merge the metrics of a worker that has ended; keeping its file: %s",
                error,
            )


def _merge_into_ended(directory: Path, kind: str, process_id: int) -> None:
    own, ended = directory / f"{kind}_{process_id}.db", directory / f"{kind}_ended.db"
    if not own.exists():
        return
    files = [file for file in (ended, own) if file.exists()]
    sums = Sums[str]()
    for file in files:
        values: Any = MmapedDict.read_all_values_from_file(str(file))  # type: ignore[no-untyped-call]
        for key, value, *_ in values:
            sums[key] += value
    both = ended.with_suffix(".new")
    try:
        # Allocated first, as in reserve_files.
        both.write_bytes(bytes(sum(file.stat().st_size for file in files)))
        written: Any = MmapedDict(str(both))  # type: ignore[no-untyped-call]
        for key, value in sums.items():
            written.write_value(key, value, 0.0)
        written.close()
        (directory / _MERGING).touch()
        both.replace(ended)
        own.unlink()
    finally:
        both.unlink(missing_ok=True)
        (directory / _MERGING).unlink(missing_ok=True)


def expose_workers(accept: str) -> tuple[bytes, str]:
    """Return the metrics of all workers that share a directory; see ``Metrics.expose``."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    encode, media_type = metrics_encoder(accept)
    for _ in range(_ATTEMPTS):
        before = _files()
        with suppress(FileNotFoundError):  # merged into another meanwhile
            content = encode(registry)
            if _files() == before and _MERGING not in before:
                return content, media_type
        time.sleep(_ATTEMPT_SECONDS)
    return encode(registry), media_type


def _files() -> dict[str, int]:
    """The workers' files with their inodes, which change when two are merged."""
    with os.scandir(os.environ[DIRECTORY_VARIABLE]) as entries:
        return {entry.name: entry.inode() for entry in entries}


def metrics_encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """Return the encoder and the media type that an ``Accept`` header asks for."""
    try:
        return choose_encoder(accept)
    except TypeError:  # the client asked for a version that is not a number
        return choose_encoder("")

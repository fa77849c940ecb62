"""The files that a run over a table writes, none of which replaces a file of somebody else.

They are in a folder where others may have put files and links of any name. Until a run is done,
``OUTPUT.partial`` holds its answers after a line that identifies the run, and the file that becomes
the output is ``OUTPUT.unfinished``, made at the same time: if a run made the first, a run made the
second. Every file is created anew, so the target of a link of that name stays as it is.
"""

import errno
import fcntl
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from gettext import gettext as _
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

from model.errors import DataError, UnansweredError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# The start of the line that identifies a run, and a bound on its length.
_RUN_START: Final = b'{"file": ['
_MAX_RUN_LINE: Final = 2**20
_ERRORS_START: Final = b'{"row": '
# Also in that line, but may differ in the run that resumes.
_REPLACES: Final = "replaces"


class Outputs:
    """A context manager; ``answers`` is open after the line that identifies the run."""

    answers: BinaryIO

    def __init__(
        self,
        output: Path,
        errors: Path,
        run: Mapping[str, object],
        *,
        resume: bool,
        force: bool,
    ) -> None:
        """``run`` is what a run that resumes must have in common; its first key is ``file``."""
        self._output, self._errors = output, errors
        self._unfinished = output.with_name(f"{output.name}.unfinished")
        self._partial = output.with_name(f"{output.name}.partial")
        self._run = run
        self._resume, self._force = resume, force

    def __enter__(self) -> "Outputs":
        """Open the answers, and start a run or resume one.

        Raises:
            DataError: a file is in the way, the answers are of another run, or another run is
                writing them.
        """
        found = os.path.lexists(self._partial)
        if not found:
            self._check_unfinished()
            if not self._force:
                _check_free(self._output, self._errors)
        self.answers = _locked(self._partial, found=found)
        try:
            self._start(found=found)
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Say how to continue if the disk was full.

        Raises:
            UnansweredError: it was.
        """
        self.answers.close()
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            with suppress(OSError):
                _create(self._unfinished).close()  # free the space it took
            raise UnansweredError(
                _(
                    "{output} cannot be written: {strerror}; make room and continue with --resume"
                ).format(output=self._output, strerror=error.strerror)
            ) from None

    def new_errors(self) -> BinaryIO:
        """Return the file of the rows that cannot be classified, empty."""
        return _create(self._errors)

    def drop_errors(self) -> None:
        """Remove that file."""
        self._errors.unlink()

    def new_output(self) -> BinaryIO:
        """Return the file that becomes the output, empty."""
        return _create(self._unfinished)

    def finish(self) -> None:
        """Give the output its name, and remove the answers.

        Raises:
            DataError: a file of that name has appeared since the start.
        """
        if not self._replaces:
            _check_free(self._output)
        self._unfinished.replace(self._output)
        self._partial.unlink()

    def _start(self, *, found: bool) -> None:
        earlier = self._earlier_run()
        if found and not (self._resume or self._force):
            raise DataError(
                _(
                    "{partial} is left from an interrupted run; --resume continues it, --force "
                    "starts over"
                ).format(partial=self._partial)
            )
        resumes = bool(earlier) and not self._force
        if resumes:
            self._check_same(earlier)
        self._replaces = self._force or bool(earlier.get(_REPLACES))
        if not self._replaces:
            _check_free(self._output)
            if not _holds_errors(self._errors):
                _check_free(self._errors)
        if not earlier:
            self._check_unfinished(interrupted=found)
        if resumes:
            return
        _create(self._unfinished).close()
        self.answers.seek(0)
        self.answers.truncate()
        self.answers.write(f"{json.dumps({**self._run, _REPLACES: self._replaces})}\n".encode())
        commit(self.answers)

    def _earlier_run(self) -> Mapping[str, object]:
        """Read the line that identifies the run of the answers, if there is one, and return it."""
        line = self.answers.readline(_MAX_RUN_LINE)
        started = line.startswith(_RUN_START) or _RUN_START.startswith(line)
        if started and not line.endswith(b"\n"):
            return {}  # new, or interrupted before the first answer
        run: object = None
        with suppress(ValueError, RecursionError):
            run = json.loads(line)
        if not isinstance(run, dict) or not run.keys() >= self._run.keys():
            raise _not_answers(self._partial)
        return run

    def _check_same(self, earlier: Mapping[str, object]) -> None:
        changed = [name for name, value in self._run.items() if earlier[name] != value]
        if changed:
            raise DataError(
                _("{partial} is from a run with another {changed}; --force starts over").format(
                    partial=self._partial, changed=" and another ".join(changed)
                )
            )

    def _check_unfinished(self, *, interrupted: bool = False) -> None:
        """Raise ``DataError`` if ``OUTPUT.unfinished`` may be somebody else's.

        A run that was interrupted before it wrote its line has left an empty one.
        """
        with suppress(FileNotFoundError):
            status = self._unfinished.lstat()
            if not (interrupted and stat.S_ISREG(status.st_mode) and not status.st_size):
                raise DataError(
                    _("{unfinished} belongs to no run that can be resumed; move it away").format(
                        unfinished=self._unfinished
                    )
                )


def commit(file: BinaryIO) -> None:
    """Write a file's buffer, and the system's, to the disk."""
    file.flush()
    os.fsync(file.fileno())


def _check_free(*paths: Path) -> None:
    for path in paths:
        if os.path.lexists(path):
            raise DataError(_("{path} exists already; --force replaces it").format(path=path))


def _create(path: Path) -> BinaryIO:
    path.unlink(missing_ok=True)
    return path.open("xb")


def _locked(partial: Path, *, found: bool) -> BinaryIO:
    """Open the answers of a run, and keep other runs from writing them."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
    if not found:
        flags |= os.O_CREAT | os.O_EXCL
    elif not stat.S_ISREG(partial.lstat().st_mode):
        raise _not_answers(partial)
    answers = os.fdopen(os.open(partial, flags, 0o666), "r+b")
    try:
        fcntl.flock(answers, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        answers.close()
        raise DataError(
            _("another run is writing {partial}; wait until it ends").format(partial=partial)
        ) from None
    return answers


def _not_answers(partial: Path) -> DataError:
    return DataError(f"{partial} holds no answers of an earlier run; move it away")


def _holds_errors(path: Path) -> bool:
    """Return whether a file holds rows that could not be classified."""
    with suppress(FileNotFoundError):
        if stat.S_ISREG(path.lstat().st_mode):
            with path.open("rb") as file:
                start = file.read(len(_ERRORS_START))
            return not start or start == _ERRORS_START
    return False

"""The files that a run over a table writes, none of them in the place of anybody else's.

They stand in a folder where others may have put files and links of any name. Until a run is done,
``OUTPUT.partial`` holds its answers behind a line that tells the run, and ``OUTPUT.unfinished``,
made at the same time, becomes the output; so whoever finds the first as a run of ours left it knows
that the second is no stranger's. What is written is a new file each time: what a link of that name
leads to stays as it is.
"""

import errno
import fcntl
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

from model.errors import DataError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# How the line begins that tells the run, and more than it can have.
_RUN_HEAD: Final = b'{"file": ['
_MAX_RUN_LINE: Final = 2**20
_ERRORS_HEAD: Final = b'{"row": '
# Stands in that line too, but may differ in the run that goes on.
_REPLACES: Final = "replaces"


class Outputs:
    """A context manager; ``answers`` is open behind the line that tells the run."""

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
        """``run`` is what must be the same for a run that goes on; its first key is ``file``."""
        self._output, self._errors = output, errors
        self._unfinished = output.with_name(f"{output.name}.unfinished")
        self._partial = output.with_name(f"{output.name}.partial")
        self._run = run
        self._resume, self._force = resume, force

    def __enter__(self) -> "Outputs":
        """Opens the answers, and begins or goes on.

        Raises:
            DataError: something is in the way, the answers are of another run, or another run is
                writing them.
        """
        found = os.path.lexists(self._partial)
        if not found:
            self._check_unfinished()
            if not self._force:
                _check_free(self._output, self._errors)
        self.answers = _locked(self._partial, found=found)
        try:
            self._begin(found=found)
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
        """Says how to go on where there was no room left.

        Raises:
            DataError: there was none.
        """
        self.answers.close()
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            with suppress(OSError):
                _new(self._unfinished).close()  # it would keep what room there is
            raise DataError(
                f"{self._output} cannot be written: {error.strerror}; make room and go on with "
                "--resume"
            ) from None

    def new_errors(self) -> BinaryIO:
        """The file of the rows that cannot be answered, empty."""
        return _new(self._errors)

    def drop_errors(self) -> None:
        """Removes that file."""
        self._errors.unlink()

    def new_output(self) -> BinaryIO:
        """What is to be the output, empty."""
        return _new(self._unfinished)

    def finish(self) -> None:
        """Gives the output its name, and drops the answers.

        Raises:
            DataError: somebody has put something there meanwhile.
        """
        if not self._replaces:
            _check_free(self._output)
        self._unfinished.replace(self._output)
        self._partial.unlink()

    def _begin(self, *, found: bool) -> None:
        earlier = self._earlier()
        if found and not (self._resume or self._force):
            raise DataError(
                f"{self._partial} is left from a run that was interrupted; --resume goes on with "
                "it, --force begins anew"
            )
        goes_on = bool(earlier) and not self._force
        if goes_on:
            self._check_same(earlier)
        self._replaces = self._force or bool(earlier.get(_REPLACES))
        if not self._replaces:
            _check_free(self._output)
            if not _is_of_errors(self._errors):
                _check_free(self._errors)
        if not earlier:
            self._check_unfinished(interrupted=found)
        if goes_on:
            return
        _new(self._unfinished).close()
        self.answers.seek(0)
        self.answers.truncate()
        self.answers.write(f"{json.dumps({**self._run, _REPLACES: self._replaces})}\n".encode())
        commit(self.answers)

    def _earlier(self) -> Mapping[str, object]:
        """The run that the answers are of, behind whose line it goes; none if there is no line."""
        head = self.answers.readline(_MAX_RUN_LINE)
        if not head.endswith(b"\n") and (head.startswith(_RUN_HEAD) or _RUN_HEAD.startswith(head)):
            return {}  # new, or interrupted before the first answer
        run: object = None
        with suppress(ValueError, RecursionError):
            run = json.loads(head)
        if not isinstance(run, dict) or not run.keys() >= self._run.keys():
            raise _not_answers(self._partial)
        return run

    def _check_same(self, earlier: Mapping[str, object]) -> None:
        changed = [name for name, value in self._run.items() if earlier[name] != value]
        if changed:
            raise DataError(
                f"{self._partial} is of another run, in which this was not the same: "
                f"{', '.join(changed)}; --force begins anew"
            )

    def _check_unfinished(self, *, interrupted: bool = False) -> None:
        """A run that was interrupted before it wrote its line has left an empty one."""
        with suppress(FileNotFoundError):
            status = self._unfinished.lstat()
            if not (interrupted and stat.S_ISREG(status.st_mode) and not status.st_size):
                raise DataError(f"{self._unfinished} is of no run that can go on; move it away")


def commit(file: BinaryIO) -> None:
    """Has the system write what was written to a file."""
    file.flush()
    os.fsync(file.fileno())


def _check_free(*paths: Path) -> None:
    for path in paths:
        if os.path.lexists(path):
            raise DataError(f"{path} exists already; --force replaces it")


def _new(path: Path) -> BinaryIO:
    path.unlink(missing_ok=True)
    return path.open("xb")


def _locked(partial: Path, *, found: bool) -> BinaryIO:
    """The answers of a run, which no other run may write meanwhile."""
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
        raise DataError(f"another run is writing {partial}; let it end") from None
    return answers


def _not_answers(partial: Path) -> DataError:
    return DataError(f"{partial} holds no answers of an earlier run; move it away")


def _is_of_errors(path: Path) -> bool:
    """Whether it is a file of rows that could not be answered."""
    with suppress(FileNotFoundError):
        if stat.S_ISREG(path.lstat().st_mode):
            with path.open("rb") as file:
                head = file.read(len(_ERRORS_HEAD))
            return not head or head == _ERRORS_HEAD
    return False

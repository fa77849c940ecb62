"""API keys: a file of names, each with the hash of its key and, if it expires, its last day.

The hash is plain SHA-256. A salt and a slow hash protect against guessing, but a key of 256 random
bits cannot be guessed at any speed; they would only slow down each request. A key is looked up by
its hash in a dictionary, so timing tells at most something about the hash of what was sent, whose
digits nobody can choose.
"""

import hashlib
import io
import logging
import math
import re
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from model import ConfigError
from model.files import read_file

logger = logging.getLogger(__name__)

# Lets tools that scan for secrets recognise a key.
_PREFIX = "zhs_"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
# Names in the log line about a changed file.
_MAX_LOGGED_NAMES = 100
# About a hundred thousand keys; a larger file is some other file.
_MAX_FILE_BYTES = 16 * 1024**2


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key: the name it is logged by, its SHA-256, and its expiry in Unix seconds."""

    name: str
    digest: bytes
    expires_at: float = math.inf

    @property
    def expired(self) -> bool:
        """Whether its last day is over, in UTC."""
        return time.time() >= self.expires_at


class ApiKeys:
    """The keys in force."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            ConfigError: the file cannot be used.
        """
        self._path = path
        self._seen = self._state()
        self._keys = read_keys(path)
        self._reading: threading.Thread | None = None

    def find(self, given: bytes) -> ApiKey | None:
        """Return the key that was sent, or None if it is unknown."""
        return self._keys.get(hashlib.sha256(given).digest())

    def refresh(self) -> None:
        """Have a thread read the file again if it has changed; return at once.

        The keys stay as they are until then, and if the file cannot be used.
        """
        if self._reading and self._reading.is_alive():
            return
        state = self._state()
        if state == self._seen:
            return
        self._seen = state
        self._reading = threading.Thread(target=self._read, name="keys", daemon=True)
        self._reading.start()

    def _read(self) -> None:
        try:
            keys = read_keys(self._path)
        except ConfigError as error:
            logger.error("keeping the previous API keys: %s", error)
            return
        self._keys = keys
        names = [key.name for key in keys.values()]
        more = len(names) - _MAX_LOGGED_NAMES
        logger.info(
            "API keys reloaded, now those of: %s%s",
            ", ".join(names[:_MAX_LOGGED_NAMES]),
            f" and {more} more" if more > 0 else "",
        )

    def _state(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size


def new_key(name: str, expires: date | None) -> tuple[str, str]:
    """Return a new key and its line for the file.

    Raises:
        ConfigError: the name has other characters than it may, or is too long.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot name a key; use up to 64 of A-Z a-z 0-9 . _ -")
    key = _PREFIX + secrets.token_urlsafe(32)
    fields = [name, hashlib.sha256(key.encode()).hexdigest()]
    if expires:
        fields.append(expires.isoformat())
    return key, " ".join(fields)


def read_keys(path: Path) -> Mapping[bytes, ApiKey]:
    """Return the keys of a file by their SHA-256, at least one.

    Raises:
        ConfigError: the file cannot be used; the message says where, without quoting it.
    """
    try:
        content = read_file(path, _MAX_FILE_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"SENTIMENT_API_KEYS_FILE {path} cannot be read: {reason}") from None
    keys: dict[bytes, ApiKey] = {}
    names: set[str] = set()
    for number, line in enumerate(io.StringIO(content, newline=None), 1):
        fields = line.partition("#")[0].split(maxsplit=3)
        if not fields:
            continue
        key = _key(fields)
        if key is None:
            raise ConfigError(
                f"line {number} of SENTIMENT_API_KEYS_FILE {path} is not a name, a SHA-256 and, "
                "perhaps, a date; make one with: sentiment key NAME"
            )
        if key.name in names or key.digest in keys:
            raise ConfigError(
                f"line {number} of SENTIMENT_API_KEYS_FILE {path} has the name or the key of "
                "another; give each its own"
            )
        names.add(key.name)
        keys[key.digest] = key
    if not keys:
        raise ConfigError(
            f"SENTIMENT_API_KEYS_FILE {path} holds no key; make one with: sentiment key NAME"
        )
    return keys


def _key(fields: list[str]) -> ApiKey | None:
    if len(fields) not in (2, 3):
        return None
    name, digest = fields[:2]
    if not _NAME.fullmatch(name) or not _DIGEST.fullmatch(digest):
        return None
    expires_at = math.inf
    if fields[2:]:
        try:
            last_day = datetime.strptime(fields[2], "%Y-%m-%d").replace(tzinfo=UTC)
            expires_at = (last_day + timedelta(days=1)).timestamp()
        except (ValueError, OverflowError):
            return None
    return ApiKey(name, bytes.fromhex(digest), expires_at)

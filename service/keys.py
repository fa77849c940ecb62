"""Who may ask: a file of names, the hash of each one's key and, perhaps, its last day.

The hash is plain SHA-256. A salt and a slow function are against guessing, and a key of 256 random
bits cannot be guessed at any speed; they would only make each request dear.
"""

import hashlib
import hmac
import logging
import math
import re
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from model.errors import ConfigError

logger = logging.getLogger(__name__)

# So that a tool which looks for secrets knows one when it sees it.
_PREFIX = "zhs_"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Key:
    """The name that a key is logged by, its SHA-256, and when it ends, in seconds of the epoch."""

    name: str
    digest: bytes
    ends: float = math.inf

    @property
    def expired(self) -> bool:
        """Whether its last day is over."""
        return time.time() >= self.ends


class Keys:
    """The keys in force."""

    def __init__(self, path: Path) -> None:
        """Reads the file.

        Raises:
            ConfigError: it cannot be used.
        """
        self._path = path
        self._seen = self._state()
        self._keys = read_keys(path)

    def find(self, given: bytes) -> Key | None:
        """The key that was given, if there is such a one."""
        digest = hashlib.sha256(given).digest()
        found = None
        for key in self._keys:  # all of them: how long it takes tells nothing
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def refresh(self) -> None:
        """Reads the file again if it has changed; one that cannot be used changes nothing."""
        state = self._state()
        if state == self._seen:
            return
        self._seen = state
        try:
            self._keys = read_keys(self._path)
        except ConfigError as error:
            logger.error("the keys stay as they were: %s", error)
        else:
            logger.info("the keys are now those of: %s", ", ".join(key.name for key in self._keys))

    def _state(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size


def new_key(name: str, expires: date | None) -> tuple[str, str]:
    """A new key, and its line for the file.

    Raises:
        ConfigError: the name does not fit.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"the name of a key is {_NAME.pattern}, and {name!r} is not")
    key = _PREFIX + secrets.token_urlsafe(32)
    fields = [name, hashlib.sha256(key.encode()).hexdigest()]
    if expires:
        fields.append(expires.isoformat())
    return key, " ".join(fields)


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys of a file, at least one.

    Raises:
        ConfigError: says where the file is wrong, and repeats none of it.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"SENTIMENT_API_KEYS_FILE {path} cannot be read: {reason}") from None
    keys: list[Key] = []
    for number, line in enumerate(lines, 1):
        fields = line.partition("#")[0].split()
        if not fields:
            continue
        key = _key(fields)
        if key is None:
            raise ConfigError(
                f"line {number} of SENTIMENT_API_KEYS_FILE {path} is not a name, a SHA-256 and, "
                "perhaps, a date; make one with: sentiment key NAME"
            )
        if any(key.name == other.name or key.digest == other.digest for other in keys):
            raise ConfigError(
                f"line {number} of SENTIMENT_API_KEYS_FILE {path} has the name or the key of "
                "another; give each its own"
            )
        keys.append(key)
    if not keys:
        raise ConfigError(
            f"SENTIMENT_API_KEYS_FILE {path} holds no key; make one with: sentiment key NAME"
        )
    return tuple(keys)


def _key(fields: list[str]) -> Key | None:
    if len(fields) not in (2, 3):
        return None
    name, digest = fields[:2]
    if not _NAME.fullmatch(name) or not _DIGEST.fullmatch(digest):
        return None
    ends = math.inf
    if fields[2:]:
        try:
            last_day = datetime.strptime(fields[2], "%Y-%m-%d").replace(tzinfo=UTC)
            ends = (last_day + timedelta(days=1)).timestamp()
        except (ValueError, OverflowError):
            return None
    return Key(name, bytes.fromhex(digest), ends)

"""What the layers around the routes must know of an adapter (see service/routes/compat)."""

import re
from collections.abc import Set
from dataclasses import dataclass

from fastapi import APIRouter

from service.problems import ErrorForm


@dataclass(frozen=True)
class Adapter:
    """The protocol of another service: its routes, its paths, and its form of errors."""

    routers: tuple[APIRouter, ...]
    # Every path whose errors are in the protocol's form, routes or not.
    paths: re.Pattern[str]
    error_form: ErrorForm
    # Health checks: without API key, and logged at debug level.
    probe_paths: Set[str] = frozenset()
    # Query parameters that may hold the API key, where its clients send no Authorization.
    key_parameters: tuple[str, ...] = ()

    def owns(self, path: str) -> bool:
        """Return whether a problem at this path is told in the protocol's form."""
        return bool(self.paths.fullmatch(path))

"""What the path of a request says of it, before anything is routed."""

import re
from collections.abc import Iterable, Mapping, Set
from typing import Final

from starlette.routing import compile_path

_PLAIN_PATH = re.compile(r"[A-Za-z0-9._/-]{1,256}")
_NO_STREAMS: Final[Mapping[str, int]] = {}


class Paths:
    """The paths that the layers around the routes treat in a way of their own."""

    def __init__(
        self,
        model: Iterable[str] = (),
        *,
        streams: Mapping[str, int] = _NO_STREAMS,
        probes: Set[str] = frozenset(),
        public: Set[str] = frozenset(),
        public_folders: tuple[str, ...] = (),
    ) -> None:
        """Take the paths as routes have them, those to the model with parameters in braces.

        ``streams`` are the paths to the model whose bodies are never held whole, each with the
        bytes that are. ``probes`` and ``public`` need no API key, nor what ``public_folders`` hold.
        """
        self.probes = probes
        self.streams = streams
        self._public = probes | public
        self._public_folders = tuple(f"{folder}/" for folder in public_folders)
        self._exact = set(streams)
        self._patterns = {}
        for template in model:
            if "{" in template:
                self._patterns[template] = compile_path(template)[0]
            else:
                self._exact.add(template)

    def model_route(self, path: str) -> str | None:
        """Return the template of a path to the model, or None: labels are as few as routes."""
        if path in self._exact:
            return path
        for template, pattern in self._patterns.items():
            if pattern.match(path):
                return template
        return None

    def is_traced(self, path: str) -> bool:
        """Return whether a path leads to the model and is too plain to hold anybody's text."""
        return bool(self.model_route(path) and _PLAIN_PATH.fullmatch(path))

    def needs_key(self, method: str, path: str) -> bool:
        """Return whether a request needs an API key, where there are keys."""
        if method == "OPTIONS":  # its response lists methods and nothing else
            return False
        return method != "GET" or not (
            path in self._public or path.startswith(self._public_folders)
        )

"""The page and ``/docs``, whose files are part of the package and need no network."""

from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.staticfiles import StaticFiles
from starlette.types import Scope

WEB_DIRECTORY = Path(__file__).parent.parent / "web"

_OWN_FILES_ALONE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    # Only the page's list of libraries may be turned into scripts, and nothing into HTML.
    "content-security-policy": f"{_OWN_FILES_ALONE}; "
    "require-trusted-types-for 'script'; trusted-types libraries",
    "cache-control": "no-cache",  # cached but revalidated: most responses are a 304
}
_DOCS_POLICY = _OWN_FILES_ALONE

# Files without user data need no API key.
PUBLIC_PATHS = frozenset({"/", "/docs", "/openapi.json"})
PUBLIC_FOLDER = "/web"

router = APIRouter(include_in_schema=False)


class _WebFiles(StaticFiles):
    """Static files whose headers let a browser run only the service's own scripts."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """See ``StaticFiles.get_response``."""
        # A server may ignore ranges; the framework's errors about them are no problem bodies.
        scope["headers"] = [header for header in scope["headers"] if header[0] != b"range"]
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        if path == "docs.html":
            response.headers["content-security-policy"] = _DOCS_POLICY
        return response


web_files = _WebFiles(directory=WEB_DIRECTORY)


@router.get("/")
async def page(request: Request) -> Response:
    """Return the page for people: a text, its label, and why."""
    return await web_files.get_response("index.html", request.scope)


@router.get("/docs")
async def docs(request: Request) -> Response:
    """Return the API document, to read and to try out."""
    return await web_files.get_response("docs.html", request.scope)

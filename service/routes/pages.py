"""``/docs`` from the package's own files: it works without a network."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

WEB_DIRECTORY = Path(__file__).parent.parent / "web"

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def docs() -> FileResponse:
    """The API document, to read and to try."""
    return FileResponse(WEB_DIRECTORY / "docs.html")


def web_files() -> StaticFiles:
    """The files that the pages load."""
    return StaticFiles(directory=WEB_DIRECTORY)

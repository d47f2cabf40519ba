"""The routes of the gallery: pictures found and fetched. All of their work is done in threads."""

import asyncio
import sqlite3
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from presets.gallery import PictureUnknown
from presets.gallery_files import Picture
from tabs.http_problems import Problem
from tabs.picture_views import PictureChoices, PicturePage, PictureTold, choices_of, entry_of, told_of
from tabs.pictures import Pictures

PAGE = 60
PAGE_LIMIT = 500
THUMBNAILS_AT_ONCE = 2
"""So that those of a whole page, asked for at once, leave the processor to others, too."""
_CACHED = {"cache-control": "private, max-age=86400"}


def add_pictures(app: FastAPI, pictures: Pictures) -> None:
    gallery = pictures.gallery

    @app.exception_handler(sqlite3.Error)
    async def refuse(_: Request, error: sqlite3.Error) -> Response:
        problem = Problem(code="E-DISK", message=f"The gallery's list cannot be used: {error}.")
        return JSONResponse(problem.model_dump(), 503)

    @app.get("/pictures", summary="Search the gallery")
    def found(
        request: Request,
        response: Response,
        search: Annotated[str, Query(description="Words, and fields such as checkpoint:name or starred:yes.")] = "",
        after: Annotated[str, Query(description="The cursor of a page: `next` of the one before.")] = "",
        limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT)] = PAGE,
    ) -> PicturePage:
        """The newest first."""
        owner = pictures.owner(request)
        listed = gallery.search(search, owner=owner, after=after, limit=limit)
        total = None if after else gallery.count(search, owner=owner)
        response.headers["cache-control"] = "no-store"
        base = request.scope.get("root_path", "")
        following = listed[-1].cursor if listed else ""
        return PicturePage(pictures=tuple(entry_of(one, base) for one in listed), next=following, total=total)

    @app.get("/pictures/choices", summary="What the gallery can be narrowed to")
    def choices(request: Request, response: Response) -> PictureChoices:
        """Checkpoints, LoRAs and boards."""
        response.headers["cache-control"] = "no-store"
        return choices_of(gallery.choices(pictures.owner(request)), is_private=pictures.is_private)

    @app.get("/pictures/{identifier}", summary="Ask for a picture of the gallery")
    def told(identifier: str, request: Request) -> PictureTold:
        """With the request that makes it again."""
        return told_of(_own(pictures, identifier, request), request.scope.get("root_path", ""))

    @app.get("/pictures/{identifier}/file", summary="Fetch its file", response_class=FileResponse)
    def file(identifier: str, request: Request) -> FileResponse:
        """The PNG file as it was saved, with its settings inside."""
        picture = _own(pictures, identifier, request)
        if not picture.path.is_file():
            raise PictureUnknown(identifier)
        return FileResponse(
            picture.path,
            media_type="image/png",
            filename=picture.plain_name,
            content_disposition_type="inline",
            headers=_CACHED,
        )

    _add_thumbnails(app, pictures)


def _add_thumbnails(app: FastAPI, pictures: Pictures) -> None:
    turns = asyncio.Semaphore(THUMBNAILS_AT_ONCE)

    @app.get("/pictures/{identifier}/thumbnail", summary="Fetch a small one", response_class=Response)
    async def thumbnail(identifier: str, request: Request) -> Response:
        """A WebP file, 256 pixels on its longer side."""
        async with turns:
            content = await asyncio.to_thread(lambda: pictures.thumbnails.of(_own(pictures, identifier, request)))
        return Response(content, media_type="image/webp", headers=_CACHED)


def _own(pictures: Pictures, identifier: str, request: Request) -> Picture:
    """Raises `PictureUnknown`, also for one of somebody else's."""
    picture = pictures.gallery.get(identifier, pictures.owner(request))
    if picture is None:
        raise PictureUnknown(identifier)
    return picture

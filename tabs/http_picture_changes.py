"""The routes that change pictures of the gallery, and the one that fetches many of them as a zip file."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any, TypeVar
from urllib.parse import parse_qs

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from presets.archive import zipped
from presets.checks import parse
from presets.gallery_files import Picture
from tabs.http_requests import json_object, read_body
from tabs.picture_views import Changed, Chosen, OnBoard, Star, Wanted
from tabs.pictures import Pictures

BODY_LIMIT = 8 * 2**20
"""Bytes: so many identifiers as may be changed at once."""
ZIP_PAGE = 200
"""Pictures of a search that are looked up at once."""
_FORM = "application/x-www-form-urlencoded"

Body = TypeVar("Body", bound=BaseModel)


def add_changes(app: FastAPI, pictures: Pictures) -> None:
    gallery = pictures.gallery

    @app.post("/pictures/star", summary="Star pictures", openapi_extra=_body(Star))
    async def star(request: Request) -> Changed:
        """Or take their stars."""
        body, owner = await _read(request, Star), pictures.owner(request)
        await asyncio.to_thread(gallery.star, body.identifiers, body.starred, owner=owner)
        return Changed(changed=len(body.identifiers))

    @app.post("/pictures/board", summary="Put pictures on a board", openapi_extra=_body(OnBoard))
    async def board(request: Request) -> Changed:
        """Or take them off it. A board is there as long as a picture is on it."""
        body, owner = await _read(request, OnBoard), pictures.owner(request)
        await asyncio.to_thread(gallery.put_on_board, body.identifiers, body.board, body.on, owner=owner)
        return Changed(changed=len(body.identifiers))

    @app.post("/pictures/delete", summary="Delete pictures", openapi_extra=_body(Chosen))
    async def delete(request: Request) -> Changed:
        """They lie in the trash for a day, unless its owner set another time."""
        body, owner = await _read(request, Chosen), pictures.owner(request)
        await asyncio.to_thread(gallery.delete, body.identifiers, owner=owner)
        return Changed(changed=len(body.identifiers))

    @app.post("/pictures/restore", summary="Take pictures out of the trash", openapi_extra=_body(Chosen))
    async def restore(request: Request) -> Changed:
        """As if they had not been deleted."""
        body, owner = await _read(request, Chosen), pictures.owner(request)
        await asyncio.to_thread(gallery.restore, body.identifiers, owner=owner)
        return Changed(changed=len(body.identifiers))

    @app.post("/pictures/empty-trash", summary="Empty the trash")
    def empty_trash(request: Request) -> Changed:
        """What lies there is removed for good."""
        return Changed(changed=pictures.empty_trash(pictures.owner(request)))


def add_archive(app: FastAPI, pictures: Pictures) -> None:
    @app.post(
        "/pictures/zip", summary="Fetch many pictures", openapi_extra=_body(Wanted), response_class=StreamingResponse
    )
    async def archive(request: Request) -> Response:
        """As a zip file: those that are named, or all that a search finds. A page can send a form instead of JSON, in
        which identifiers are separated by spaces."""
        body, owner = await _read(request, Wanted), pictures.owner(request)
        wanted = await asyncio.to_thread(_wanted, pictures, body, owner)
        name = time.strftime("easel-%Y-%m-%d-%H%M%S.zip")
        headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
        return StreamingResponse(zipped(wanted), media_type="application/zip", headers=headers)


def _wanted(pictures: Pictures, body: Wanted, owner: str | None) -> Iterator[Picture]:
    """Raises `UserError` at once for what is not known."""
    if body.search is None:
        return iter(pictures.gallery.several(body.identifiers, owner=owner))
    first = pictures.gallery.search(body.search, owner=owner, limit=ZIP_PAGE)
    return _pages(pictures, body.search, owner, first)


def _pages(pictures: Pictures, search: str, owner: str | None, page: list[Picture]) -> Iterator[Picture]:
    while page:
        yield from page
        page = pictures.gallery.search(search, owner=owner, after=page[-1].cursor, limit=ZIP_PAGE)


async def _read(request: Request, kind: type[Body]) -> Body:
    body = await read_body(request, BODY_LIMIT)
    if request.headers.get("content-type", "").startswith(_FORM):
        form = {name: values[-1] for name, values in _form_of(body).items()}
        return parse(kind, {**form, **({"identifiers": form["identifiers"].split()} if "identifiers" in form else {})})
    return parse(kind, json_object(body))


def _form_of(body: bytes) -> dict[str, list[str]]:
    return parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)


def _body(kind: type[BaseModel]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": kind.model_json_schema()}}}}

"""Saved pictures: files with their request inside (`gallery_files.py`), what people say of them (`gallery_marks.py`),
and the list that makes both quick to search (`gallery_index.py`). Several processes may use them at once."""

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import ValidationError

from presets import gallery_files, gallery_marks, gallery_search
from presets.errors import UserError, shortened
from presets.gallery_files import Picture, PictureNotSaved, identifier_of
from presets.gallery_index import Index, insert
from presets.gallery_marks import SCHEMA, Marks
from presets.gallery_search import Search
from presets.metadata import encode_png
from presets.names import writable
from presets.requests import KINDS, AnyRequest

BOARD_LIMIT = 60
"""Characters of a board's name."""
VALUES_AT_ONCE = 500
"""In one statement."""

_FROM = f"FROM pictures p LEFT JOIN {SCHEMA}.marks m ON m.identifier = p.identifier"
_BOARDS = f"(SELECT group_concat(b.board, char(10)) FROM {SCHEMA}.boards b WHERE b.identifier = p.identifier)"
_COLUMNS = f"p.path, p.created, p.kind, p.width, p.height, p.request, m.starred, {_BOARDS}, m.deleted"
_NEWEST = "ORDER BY p.created DESC, p.identifier DESC LIMIT ?"


class PictureUnknown(UserError):
    code = "E-PICTURE-UNKNOWN"

    def __init__(self, identifier: str):
        super().__init__(f"You have no picture {shortened(identifier)}.")


class BoardRefused(UserError):
    code = "E-BOARD"


@dataclass(frozen=True, slots=True)
class Choices:
    """What pictures can be narrowed to, each name with how many there are; `deleted` lie in the trash."""

    checkpoints: dict[str, int]
    loras: dict[str, int]
    boards: dict[str, int]
    deleted: int


class Gallery:
    """The pictures under `root`, as `<day>/<number>-<mark>-<secret>.png`; other files there are left alone.

    Making one touches no disk. Any thread may use it. An `owner` restricts what is read and changed to that one's own
    pictures; None does not.
    """

    def __init__(self, root: Path):
        self.root = root
        self._marks = Marks(root)
        self._index = Index(root, self._marks)

    def add(self, image: Image.Image, request: AnyRequest, record: Mapping[str, Any], *, owner: str = "") -> Path:
        """Save `image` with the resolved `request` inside; the absolute path of the new file, which is `owner`'s.

        The file appears whole or not at all. Raises `PictureNotSaved`.
        """
        created = time.time()
        content = encode_png(image, request, {**record, "created": created})

        def announce(path: Path) -> None:
            self._own(path, owner)

        try:
            path = gallery_files.write(self.root, content, created, request.file_mark, announce)
        except OSError as error:
            raise PictureNotSaved(error) from error
        self._list(Picture(identifier_of(path), path, created, image.width, image.height, request))
        return path

    def take_in(self, path: Path, *, owner: str = "") -> None:
        """List the picture that a `FilesOnly` saved at `path`, as `owner`'s."""
        self._own(path, owner)
        if picture := gallery_files.read(path):
            self._list(picture)

    def _own(self, path: Path, owner: str) -> None:
        if owner:
            with suppress(sqlite3.Error, OSError):  # a picture that is nobody's is better than none
                self._marks.own(identifier_of(path), owner)

    def _list(self, picture: Picture) -> None:
        try:
            self._index.use(lambda index: insert(index, picture))
        except (sqlite3.Error, OSError):
            self._index.mark_stale()  # the file is safe; the next use of the index, in whatever process, finds it

    def recent(self, limit: int = 50, *, owner: str | None = None) -> list[Picture]:
        """Pictures, the newest first."""
        return self._select(Search().of(owner), limit)

    def search(self, text: str, *, owner: str | None = None, after: str = "", limit: int = 50) -> list[Picture]:
        """The pictures that `text` (see `gallery_search`) means, the newest first, from the one after that cursor on.

        Raises `SearchRefused`.
        """
        return self._select(gallery_search.parsed(text).of(owner).after(after), limit)

    def count(self, text: str, *, owner: str | None = None) -> int:
        """How many pictures `text` means. Raises `SearchRefused`."""
        search = gallery_search.parsed(text).of(owner)
        query = f"SELECT count(*) {_FROM} WHERE {search.where}"
        return self._index.use(lambda index: index.execute(query, search.values).fetchone()[0])

    def choices(self, owner: str | None = None) -> Choices:
        search = Search().of(owner)
        boards = f"{_FROM} JOIN {SCHEMA}.boards b ON b.identifier = p.identifier"

        def look(index: sqlite3.Connection) -> Choices:
            def counted(name: str, source: str) -> dict[str, int]:
                query = f"SELECT {name}, count(*) {source} WHERE {search.where} GROUP BY 1 ORDER BY 1"
                return {text: number for text, number in index.execute(query, search.values) if text}

            loras: dict[str, int] = {}
            for names, number in counted("p.loras", _FROM).items():
                for name in names.strip("\n").split("\n"):
                    loras[name] = loras.get(name, 0) + number
            trash = Search(deleted=True).of(owner)
            deleted = index.execute(f"SELECT count(*) {_FROM} WHERE {trash.where}", trash.values).fetchone()[0]
            return Choices(counted("p.checkpoint", _FROM), loras, counted("b.board", boards), deleted)

        return self._index.use(look)

    def get(self, identifier: str, owner: str | None = None) -> Picture | None:
        """A picture, also one that lies in the trash."""
        search = Search().of(owner).also("p.identifier = ?", writable(identifier))
        found = self._select(search, 1) or self._select(replace(search, deleted=True), 1)
        return found[0] if found else None

    def several(self, identifiers: Sequence[str], *, owner: str | None = None) -> list[Picture]:
        """Those pictures, in that order, none from the trash. Raises `PictureUnknown`."""
        found: dict[str, Picture] = {}
        for start in range(0, len(identifiers), VALUES_AT_ONCE):
            part = [writable(identifier) for identifier in identifiers[start : start + VALUES_AT_ONCE]]
            search = Search().of(owner).also(f"p.identifier IN ({', '.join('?' * len(part))})", *part)
            found |= {picture.identifier: picture for picture in self._select(search, len(part))}
        for identifier in identifiers:
            if identifier not in found:
                raise PictureUnknown(identifier)
        return [found[identifier] for identifier in identifiers]

    def star(self, identifiers: Sequence[str], on: bool, *, owner: str | None = None) -> None:
        """Give all of them a star, or take it. Raises `PictureUnknown`, as all changes do, and then changes nothing."""
        self._change(identifiers, owner, lambda index: gallery_marks.star(index, identifiers, on))

    def put_on_board(self, identifiers: Sequence[str], board: str, on: bool, *, owner: str | None = None) -> None:
        """Put them on a board, which is there while a picture is on it, or take them off. Raises `BoardRefused`."""
        name = " ".join(board.split())
        if not 0 < len(name) <= BOARD_LIMIT or not name.isprintable():
            raise BoardRefused(f"A board's name must have 1 to {BOARD_LIMIT} characters, but is {shortened(board)}.")
        self._change(identifiers, owner, lambda index: gallery_marks.put_on_board(index, identifiers, name, on))

    def delete(self, identifiers: Sequence[str], *, owner: str | None = None) -> None:
        """Put them into the trash, where they stay as they are until they are purged."""
        now = time.time()
        self._change(identifiers, owner, lambda index: gallery_marks.put_into_trash(index, identifiers, now))

    def restore(self, identifiers: Sequence[str], *, owner: str | None = None) -> None:
        """Take them out of the trash."""
        self._change(identifiers, owner, lambda index: gallery_marks.put_into_trash(index, identifiers, None))

    def purge(self, before: float, *, owner: str | None = None) -> list[Picture]:
        """Remove for good what was put into the trash before that time (seconds since 1970), and return it."""
        search = Search(deleted=True).of(owner).also("m.deleted < ?", before)
        gone = [picture for picture in self._listed(search, -1) if _is_removed(picture.path)]
        identifiers = [picture.identifier for picture in gone]

        def forget(index: sqlite3.Connection) -> None:
            index.executemany("DELETE FROM pictures WHERE identifier = ?", [(name,) for name in identifiers])
            gallery_marks.forget(index, identifiers)

        if gone:
            self._index.change(forget)
        return gone

    def rebuild(self) -> None:
        """Make the index anew from the files. What people said of pictures stays."""
        self._index.rebuild()

    def _change(
        self, identifiers: Sequence[str], owner: str | None, change: Callable[[sqlite3.Connection], None]
    ) -> None:
        """Do `change` to pictures that are known and the owner's, or raise `PictureUnknown`."""
        search = Search().of(owner).also("p.identifier = ?")
        query = f"SELECT 1 {_FROM} WHERE {' AND '.join(search.conditions)}"

        def checked(index: sqlite3.Connection) -> None:
            for identifier in identifiers:
                if not index.execute(query, (*search.values, writable(identifier))).fetchone():
                    raise PictureUnknown(identifier)
            change(index)

        self._index.change(checked)

    def _select(self, search: Search, limit: int) -> list[Picture]:
        pictures = self._listed(search, limit)
        if all(picture.path.is_file() for picture in pictures):
            return pictures
        self._index.look_again()  # somebody removed files by hand
        return self._listed(search, limit)

    def _listed(self, search: Search, limit: int) -> list[Picture]:
        query = f"SELECT {_COLUMNS} {_FROM} WHERE {search.where} {_NEWEST}"
        rows = self._index.use(lambda index: index.execute(query, (*search.values, limit)).fetchall())
        pictures = (self._picture(*row) for row in rows)
        return [picture for picture in pictures if picture]

    def _picture(
        self,
        name: str,
        created: float,
        kind: str,
        width: int,
        height: int,
        request: str,
        starred: int | None,
        boards: str | None,
        deleted: float | None,
    ) -> Picture | None:
        """A row of the index; None for one of a newer Easel."""
        path = self.root.absolute() / name
        try:
            known = KINDS[kind].model_validate_json(request)
        except (KeyError, ValidationError):
            return None
        on = tuple(boards.split("\n")) if boards else ()
        return Picture(identifier_of(path), path, created, width, height, known, bool(starred), on, deleted)


class FilesOnly(Gallery):
    """A gallery for a process that was forked, in which SQLite must not be used: what it adds is a file, until another
    process takes it in."""

    def _own(self, path: Path, owner: str) -> None:
        pass

    def _list(self, picture: Picture) -> None:
        pass


def _is_removed(path: Path) -> bool:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True

"""The gallery as visitors may use it: whose pictures each sees, and when the trash is emptied."""

import logging
import sqlite3
import threading
import time
from collections.abc import Sequence

from starlette.requests import HTTPConnection

from presets.errors import UserError
from presets.gallery import Gallery
from presets.gallery_files import Picture
from presets.settings import Settings
from presets.thumbnails import Thumbnails
from tabs.access import is_gallery_private
from tabs.owners import is_told, owner_of

SWEEP_SECONDS = 300.0
"""Between looks for what has lain in the trash for long enough."""
FIRST_SECONDS = 20.0
"""Until the first look, which may make the gallery's list anew: so long the program has better things to do."""

_log = logging.getLogger("easel.gallery")


class PicturesPrivate(UserError):
    code = "E-PICTURES-PRIVATE"

    def __init__(self):
        super().__init__(
            "Everyone sees their own pictures only: let the browser keep this page's cookie, or send "
            "Authorization: Bearer <the secret that they were made with>."
        )


class Pictures:
    """Any thread may use it."""

    def __init__(self, gallery: Gallery, thumbnails: Thumbnails, *, is_private: bool, trash_seconds: float):
        self.gallery = gallery
        self.thumbnails = thumbnails
        self.is_private = is_private
        self._trash_seconds = trash_seconds

    def owner(self, request: HTTPConnection) -> str | None:
        """Whose pictures a visitor may see and change; None for everyone's. Raises `PicturesPrivate`."""
        if not self.is_private:
            return None
        if not is_told(request):
            raise PicturesPrivate
        return owner_of(request)

    def watch(self) -> None:
        """From now on `sweep` every so often, as long as the process lives."""
        threading.Thread(target=self._watch, name="easel-trash", daemon=True).start()

    def sweep(self) -> None:
        """Remove for good what was deleted long enough ago."""
        self._forget(self.gallery.purge(time.time() - self._trash_seconds))

    def empty_trash(self, owner: str | None) -> int:
        """Remove for good what `owner` has deleted; how many."""
        gone = self.gallery.purge(time.time() + 1, owner=owner)
        self._forget(gone)
        return len(gone)

    def _watch(self) -> None:
        time.sleep(FIRST_SECONDS)
        while True:
            try:
                self.sweep()
            except (sqlite3.Error, OSError) as error:
                _log.error("The gallery's trash could not be emptied: %s", error)
            time.sleep(SWEEP_SECONDS)

    def _forget(self, pictures: Sequence[Picture]) -> None:
        for picture in pictures:
            self.thumbnails.forget(picture)


def pictures_of(settings: Settings) -> Pictures:
    return Pictures(
        Gallery(settings.pictures),
        Thumbnails(settings.thumbnails),
        is_private=is_gallery_private(settings),
        trash_seconds=settings.trash_hours * 3600,
    )

"""The gallery as visitors may use it: whose pictures each sees, and when the trash is emptied."""

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

SWEEP_SECONDS = 60.0
"""Between looks for what has lain in the trash for long enough."""


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
        self._swept = 0.0

    def owner(self, request: HTTPConnection) -> str | None:
        """Whose pictures a visitor may see and change; None for everyone's. Raises `PicturesPrivate`."""
        if not self.is_private:
            return None
        if not is_told(request):
            raise PicturesPrivate
        return owner_of(request)

    def sweep(self) -> None:
        """Remove for good, now and then, what was deleted long enough ago."""
        if time.monotonic() > self._swept + SWEEP_SECONDS:
            self._swept = time.monotonic()
            self._forget(self.gallery.purge(time.time() - self._trash_seconds))

    def empty_trash(self, owner: str | None) -> int:
        """Remove for good what `owner` has deleted; how many."""
        gone = self.gallery.purge(time.time() + 1, owner=owner)
        self._forget(gone)
        return len(gone)

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

"""A page served on a free port, for tests of the faces."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gradio_client import Client

from pipelines.engine.jobs import Engine
from presets.gallery import Gallery
from presets.library import Library
from presets.settings import Settings
from presets.thumbnails import Thumbnails
from tabs import doors
from tabs.access import is_gallery_private
from tabs.page import build_page
from tabs.pictures import Pictures
from tabs.serving import serve


@contextmanager
def served(
    engine: Engine, pictures: Path, settings: Settings | None = None, *, is_private: bool = False
) -> Iterator[str]:
    """The address of a page over `engine`, whose pictures lie in `pictures`, served as `settings` say; it ends with
    the block."""
    library = Library(pictures.parent / "presets")
    settings = settings or Settings(home=pictures, private_gallery="on" if is_private else "auto")
    thumbnails, is_private = Thumbnails(pictures.parent / "thumbnails"), is_gallery_private(settings)
    shown = Pictures(Gallery(pictures), thumbnails, is_private=is_private, trash_seconds=3600)
    page = build_page(engine, library, pictures=shown)
    routes, lifespan = doors.build(engine, library, settings, shown)
    try:
        yield serve(page, settings, pictures=pictures, routes=routes, lifespan=lifespan)
    finally:
        page.close(verbose=False)


def connected(address: str, downloads: Path) -> Client:
    """Gradio's Python client of the page at `address`, which puts the files it is given into `downloads`."""
    return Client(address, verbose=False, ssl_verify=False, analytics_enabled=False, download_files=downloads)

"""A page served on a free port, for tests of the faces."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.engine.jobs import Engine
from presets.settings import Settings
from tabs.page import build_page, serve


@contextmanager
def served(engine: Engine, pictures: Path) -> Iterator[str]:
    """The address of a page over `engine`, whose pictures lie in `pictures`; both end with the block."""
    page = build_page(engine)
    try:
        yield serve(page, Settings(home=pictures), pictures=pictures, block=False)
    finally:
        page.close(verbose=False)
        engine.close()

"""All that is served beside the page, as the settings say."""

from typing import Any

from starlette.routing import BaseRoute
from starlette.types import Lifespan

from pipelines.engine.jobs import Engine
from presets.library import Library
from presets.settings import Settings
from tabs import http_api
from tabs.access import access_of
from tabs.pictures import Pictures


def build(
    engine: Engine, library: Library, settings: Settings, pictures: Pictures | None = None
) -> tuple[list[BaseRoute], Lifespan[Any] | None]:
    """The routes, with `pictures` also of the gallery, and what must be entered while they are served."""
    access = access_of(settings)
    routes = http_api.routes(engine, library, access, pictures)
    if not settings.mcp:
        return routes, None
    from tabs import http_mcp  # its package is an extra

    door = http_mcp.build(engine, access)
    return [*routes, door.route], door.lifespan

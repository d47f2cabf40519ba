"""All that is served beside the page, as the settings say."""

from typing import Any

from starlette.routing import BaseRoute
from starlette.types import Lifespan

from pipelines.engine.jobs import Engine
from presets.library import Library
from presets.settings import Settings
from tabs import http_api
from tabs.access import access_of


def build(engine: Engine, library: Library, settings: Settings) -> tuple[list[BaseRoute], Lifespan[Any] | None]:
    """The routes, and what must be entered while they are served."""
    access = access_of(settings)
    routes = http_api.routes(engine, library, access)
    if not settings.mcp:
        return routes, None
    from tabs import http_mcp  # its package is an extra

    door = http_mcp.build(engine, access)
    return [*routes, door.route], door.lifespan

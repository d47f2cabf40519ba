"""The routes that tell what there is: models, presets, and the server itself."""

from contextlib import suppress
from dataclasses import asdict
from importlib import metadata
from typing import Any

from fastapi import FastAPI

from pipelines.engine.jobs import Engine, ModelInfo
from presets.library import Library
from presets.requests import KINDS
from presets.samplers import SAMPLERS, SCHEDULES
from tabs.http_views import About


def add_lists(app: FastAPI, engine: Engine, library: Library) -> None:
    @app.get("/models", summary="List checkpoints")
    def models() -> list[ModelInfo]:
        """The default first."""
        return list(engine.models())

    @app.get("/presets", summary="List presets")
    def presets() -> list[dict[str, Any]]:
        """Of all kinds, with values to send."""
        listed = [asdict(preset) for kind in KINDS for preset in library.presets(kind)]
        return [{name: value for name, value in preset.items() if name != "thumbnail"} for preset in listed]

    @app.get("/about", summary="What this server is")
    def about() -> About:
        """Its version, what it can do, and what it does now."""
        status = engine.status()
        return About(
            version=version(),
            state=status.state,
            detail=status.detail,
            kinds={name: (kind.__doc__ or kind.title).strip() for name, kind in KINDS.items()},
            samplers=tuple(SAMPLERS),
            schedules=tuple(SCHEDULES),
            waiting=status.waiting,
        )


def version() -> str:
    """Of the installed program; "0" where it runs from a folder."""
    with suppress(metadata.PackageNotFoundError):
        return metadata.version("easel")
    return "0"

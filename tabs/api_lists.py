"""The endpoints that take nothing and tell what there is."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import gradio as gr
from gradio.components.api_component import Api

from pipelines.engine.jobs import Engine, ModelInfo, PreprocessorInfo
from presets.library import Library
from presets.requests import KINDS

LISTS = ("models", "presets", "preprocessors")
"""Endpoints that take nothing and tell what there is."""


def add_lists(engine: Engine, library: Library) -> None:
    """Give the page that is being built the endpoints of `LISTS`."""
    _add_models(engine)
    _add_presets(library)
    _add_preprocessors(engine)


def _add_models(engine: Engine) -> None:
    def models() -> list[dict[str, Any]]:
        return [model.model_dump(mode="json") for model in engine.models()]

    about = "The checkpoints there are: name, family, size, where the weights are, hash. Takes nothing."
    _add_list("models", models, ModelInfo.model_json_schema(), about)


def _add_presets(library: Library) -> None:
    def presets() -> list[dict[str, Any]]:
        listed = [asdict(preset) for kind in KINDS for preset in library.presets(kind)]
        return [{name: value for name, value in preset.items() if name != "thumbnail"} for preset in listed]

    about = "The presets there are: kind, name, title, help, and values to send. Takes nothing."
    _add_list("presets", presets, {"type": "object"}, about)


def _add_preprocessors(engine: Engine) -> None:
    def preprocessors() -> list[dict[str, Any]]:
        return [info.model_dump(mode="json") for info in engine.preprocessors()]

    about = (
        "What makes control pictures: name, parameters, the files it needs and whether they are here. Takes nothing."
    )
    _add_list("preprocessors", preprocessors, PreprocessorInfo.model_json_schema(), about)


def _add_list(name: str, entries: Callable[[], list[dict[str, Any]]], schema: dict[str, Any], about: str) -> None:
    """An endpoint that takes nothing and answers with `entries`, each of that JSON schema."""
    answer: Any = {"type": "array", "items": schema}
    gr.on(
        [],
        entries,
        None,
        Api(None, answer, name),
        postprocess=False,
        show_progress="hidden",
        api_name=name,
        api_description=about,
        queue=False,
    )

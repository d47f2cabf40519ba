"""Pictures that come in through the page and its endpoints: Gradio's uploaded files become references."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder
from pydantic import BaseModel

from presets.errors import InvalidField
from presets.images import ImageRef
from presets.inputs import Inputs
from presets.parts import with_pictures

STAND_IN = ImageRef(sha256="0" * 64, width=64, height=64)


def referenced(inputs: Inputs, kind: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with every uploaded file kept and its reference in its place. Raises `InvalidField`."""

    def kept(value: Any, field: str) -> Any:
        return reference(inputs, value, field) if _is_file(value) else value

    return with_pictures(kind, values, kept)


def reference(inputs: Inputs, file: Mapping[str, Any], field: str) -> ImageRef:
    """An uploaded file, as Gradio describes it, kept. Raises `InvalidField`, also for one that nobody uploaded."""
    return inputs.add(uploaded(file, field), field)


def uploaded(file: Mapping[str, Any], field: str) -> Path:
    """Where an uploaded file lies. Raises `InvalidField` for one that nobody uploaded."""
    uploads = Path(get_upload_folder()).resolve()
    path = Path(file["path"])
    try:
        inside = path.resolve().is_relative_to(uploads)
    except (OSError, ValueError, RuntimeError):  # no name of a file, or links in a circle
        inside = False
    if not inside:
        raise InvalidField(field, "Only a file that was uploaded here can be used.", code="E-IMAGE")
    return path


def stood_in(kind: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with some picture in the place of every one where any is a file, for checks of all the rest: pictures
    are compared with each other once the files are known."""
    seen: list[Any] = []
    with_pictures(kind, values, lambda value, _: seen.append(value))
    if not any(map(_is_file, seen)):
        return dict(values)
    return with_pictures(kind, values, lambda value, _: STAND_IN if isinstance(value, dict) else value)


def _is_file(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("path"), str)

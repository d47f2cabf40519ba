"""Pictures that come in through the page and its endpoints: Gradio's uploaded files become references."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder
from pydantic import BaseModel

from presets.checks import field_extra
from presets.errors import InvalidField
from presets.images import ImageRef
from presets.inputs import Inputs

_STAND_IN = ImageRef(sha256="0" * 64, width=64, height=64)


def picture_fields(kind: type[BaseModel]) -> tuple[str, ...]:
    """The fields of a request that take pictures."""
    return tuple(name for name in kind.model_fields if field_extra(kind, name).get("picture"))


def referenced(inputs: Inputs, kind: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with every uploaded file kept and its reference in its place. Raises `InvalidField`."""
    files = {name: values[name] for name in picture_fields(kind) if _is_file(values.get(name))}
    return {**values, **{name: reference(inputs, file, name) for name, file in files.items()}}


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
    names = [name for name in picture_fields(kind) if isinstance(values.get(name), dict)]
    has_file = any(_is_file(values[name]) for name in names)
    return {**values, **(dict.fromkeys(names, _STAND_IN) if has_file else {})}


def _is_file(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("path"), str)

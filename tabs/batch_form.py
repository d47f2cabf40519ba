"""A form that takes several pictures at once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from presets.checks import parse
from presets.request import Request, RequestType
from tabs.form import Form
from tabs.uploads import STAND_IN, reference


class BatchForm(Form[RequestType]):
    """A form that takes several pictures, too: each in the place of the one in its field `image`."""

    files: gr.File | None = None

    def put_files(self) -> gr.File:
        """Put the place for several pictures here."""
        with gr.Accordion("Several pictures instead", open=False, elem_id=self.element_id("batch")):
            self.files = gr.File(
                label="A job for each of these",
                file_count="multiple",
                height=160,
                elem_id=self.element_id("files"),
            )
        return self.files

    @property
    def inputs(self) -> list[Component]:
        return [*super().inputs, *([self.files] if self.files else [])]

    def files_in(self, values: Sequence[Any]) -> list[Mapping[str, Any]]:
        """The files among `values` (those of `inputs`) as Gradio describes them."""
        given = values[len(super().inputs)] if self.files and len(values) > len(super().inputs) else None
        return [file for file in given if isinstance(file, Mapping)] if isinstance(given, list) else []

    def given(self, values: Iterable[Any]) -> dict[str, Any]:
        """Where there are several pictures, with one that stands in for each of them."""
        values = list(values)
        given = super().given(values)
        return {**given, "image": STAND_IN} if self.files_in(values) else given

    def request_for(self, values: Sequence[Any], file: Mapping[str, Any]) -> RequestType:
        """The request for one of the files. Raises `InvalidField`."""
        assert self.store is not None
        given = {**self.given(values), "image": reference(self.store, file, "image")}
        return parse(self.kind, {name: value for name, value in given.items() if value is not None})

    def values(self, request: Request) -> list[Any]:
        return [*super().values(request), *([None] if self.files else [])]

    def merged(self, values: Mapping[str, Any]) -> list[Any]:
        files = (None if values.get("image") else gr.skip(),) if self.files else ()
        return [*super().merged(values), *files]

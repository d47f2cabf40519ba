"""The part of a form that chooses LoRAs: their names, how strong each is, and what their files tell of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from pipelines.engine.jobs import Engine, LoraInfo
from presets.checks import field_extra, field_schemas
from presets.drawing import Drawing, LoraUse
from tabs.form import Form
from tabs.lora_details import details_of, problem_lines
from tabs.updates import update
from tabs.widgets import Group

USUAL_STRENGTH = 2.0
"""The slider's bounds on both sides, unless a picture's settings go beyond."""
SLOTS: int = field_schemas(Drawing)["loras"]["maxItems"]


def build(engine: Engine, form: Form) -> None:
    """Put the field `loras` here: a list of names, and for each that is chosen its strengths."""
    schema = field_schemas(form.kind)["loras"]
    box = gr.Dropdown(
        _names(engine.loras()),
        value=[],
        multiselect=True,
        allow_custom_value=True,
        max_choices=SLOTS,
        label=field_extra(form.kind, "loras")["label"],
        info=schema["description"],
        elem_id=form.element_id("loras"),
        interactive=True,
    )
    shown = gr.State(())
    with gr.Column(elem_classes="lora-strengths"):
        pairs = [_slot(form, number) for number in range(SLOTS)]
    details = gr.HTML(elem_id=form.element_id("lora-details"), elem_classes="lora-details")
    sliders, texts = [slider for slider, _ in pairs], [text for _, text in pairs]
    group = form.group(
        "loras",
        Group(
            (box, shown, *sliders, *texts), read, lambda request: show([lora.model_dump() for lora in request.loras])
        ),
    )

    def look_again() -> tuple[Any, str]:
        infos = engine.loras()
        return gr.update(choices=_names(infos)), problem_lines(infos)

    def about(names: Sequence[str] | None) -> str:
        return details_of(engine.loras(), names or ())

    update(box.input, lambda *values: show(read(values))[1:], list(group.components), list(group.components[1:]))
    update(box.change, about, box, details)
    problems = gr.HTML(
        problem_lines(engine.loras()), elem_id=form.element_id("lora-problems"), elem_classes="note lora-problems"
    )
    update(box.focus, look_again, None, [box, problems])


def _slot(form: Form, number: int) -> tuple[gr.Slider, gr.Textbox]:
    """The strengths of one LoRA, seen once it is chosen."""
    slider = gr.Slider(
        -USUAL_STRENGTH,
        USUAL_STRENGTH,
        1.0,
        step=field_schemas(LoraUse)["strength"]["step"],
        visible=False,
        interactive=True,
        elem_id=form.element_id(f"lora-strength-{number}"),
    )
    text = gr.Textbox(
        label="Text encoder",
        placeholder="same",
        max_lines=1,
        min_width=90,
        visible=False,
        interactive=True,
        elem_id=form.element_id(f"lora-text-strength-{number}"),
    )
    return slider, text


def read(values: Sequence[Any]) -> list[dict[str, Any]]:
    """The field's value, from those of the components: the names that are chosen, those that the strengths belong to,
    and the strengths for as many as there may be."""
    names, shown, *strengths = values
    half = len(strengths) // 2
    belongs = dict(zip(shown or (), zip(strengths[:half], strengths[half:], strict=True), strict=False))
    uses = []
    for name in names or ():
        strength, text = belongs.get(name, (1.0, ""))
        use = {"name": name, "strength": 1.0 if strength is None else strength}
        uses.append(use | ({"text_encoder_strength": _number(text)} if str(text or "").strip() else {}))
    return uses


def show(loras: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The components' new values for the field's, as far as there are components for it."""
    names = [lora["name"] for lora in loras]
    rows = [*loras, *[None] * (SLOTS - len(loras))]
    sliders = [_slider_of(lora) for lora in rows]
    texts = [gr.update(visible=lora is not None, value=_written(lora)) for lora in rows]
    return [names, tuple(names), *sliders, *texts]


def _slider_of(lora: Mapping[str, Any] | None) -> Any:
    if lora is None:
        return gr.update(visible=False, value=1.0)
    bound = max(USUAL_STRENGTH, abs(lora["strength"]))
    return gr.update(visible=True, label=lora["name"], value=lora["strength"], minimum=-bound, maximum=bound)


def _written(lora: Mapping[str, Any] | None) -> str:
    text = lora.get("text_encoder_strength") if lora else None
    return "" if text is None else f"{text:.15g}" if isinstance(text, int | float) else str(text)


def _number(text: Any) -> Any:
    """What is typed as a number where it is one; the request refuses the rest by the field's own rule."""
    try:
        return float(text)
    except (TypeError, ValueError):
        return text


def _names(infos: Sequence[LoraInfo]) -> list[str]:
    return [info.name for info in infos if not info.problem]

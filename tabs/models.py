"""The tab of models: what is in memory against its budgets, and every checkpoint with what can be done about it."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr
from gradio.blocks import Block

from pipelines.engine.jobs import Engine, EngineStatus, ModelInfo
from presets.errors import UserError
from tabs import markup, model_tables, other_models
from tabs.output import Updates
from tabs.updates import update

TITLE = "Models"
REFRESH_SECONDS = 1.0

_SELECT = """element.addEventListener('click', (event) => {
    const row = event.target.closest('[data-model]');
    if (row) trigger('select', { index: 0, value: row.dataset.model });
});"""
"""A click anywhere in a row selects its model."""


def _toggle_keep(engine: Engine, name: str) -> None:
    kept = any(model.kept for model in engine.models() if model.name == name)
    engine.keep(name, not kept)


_ACTIONS: Mapping[str, tuple[str, Callable[[Engine, str], None]]] = {
    "load": ("Load", lambda engine, name: engine.load(name)),
    "stop": ("Stop loading", lambda engine, _: engine.stop_loading()),
    "keep": ("Keep in memory", _toggle_keep),
    "unload": ("Unload", lambda engine, name: engine.unload(name)),
    "rescan": ("Rescan folders", lambda engine, _: engine.rescan()),
}
"""Button -> its text and what it does with the selected model."""


class Parts:
    """The widgets. `selected` is the name of the model that the buttons are about, `seen` what is shown, in short."""

    def __init__(self, *, manage: bool):
        self.timer = gr.Timer(REFRESH_SECONDS, active=False)
        self.seen = gr.State("")
        self.selected = gr.State("")
        self.memory = gr.HTML(elem_id="memory")
        self.buttons: dict[str, gr.Button] = {}
        if manage:
            with gr.Row(elem_classes="model-buttons"):
                for name, (text, _) in _ACTIONS.items():
                    self.buttons[name] = gr.Button(
                        text, size="sm", min_width=90, elem_id=f"model-{name}", visible=name != "stop"
                    )
        self.state = gr.HTML(elem_id="models-state")
        self.table = gr.HTML(elem_id="models-table", js_on_load=_SELECT)
        self.details = gr.HTML(elem_id="model-details")
        self.others = gr.HTML(elem_id="other-models")
        self.problems = gr.HTML(elem_id="model-problems")

    @property
    def components(self) -> list[Block]:
        parts = [self.seen, self.selected, self.memory, self.table, self.state, self.details]
        return [*parts, self.others, self.problems, *self.buttons.values()]

    def shown(self, engine: Engine, selected: str) -> Updates:
        """All of it as it is now, with the model `selected`, or the first where there is none of that name."""
        models, status = engine.models(), engine.status()
        chosen = next((model for model in models if model.name == selected), models[0] if models else None)
        return {
            self.seen: state_of(engine),
            self.selected: chosen.name if chosen else "",
            self.memory: model_tables.memory(engine.memory()),
            self.table: model_tables.checkpoints(models, chosen),
            self.state: state_line(status),
            self.details: model_tables.details(chosen) if chosen else "",
            self.others: other_models.loras(engine.loras(), engine.memory().loras)
            + other_models.controls(engine.controls())
            + other_models.controls(engine.ip_adapters(), "IP-Adapter")
            + other_models.controls(engine.motion_modules(), "Motion module"),
            self.problems: model_tables.problems(engine.problems()),
            **self._buttons_for(chosen, status, lent=engine.memory().lent),
        }

    def _buttons_for(self, chosen: ModelInfo | None, status: EngineStatus, *, lent: bool) -> Updates:
        if not self.buttons:
            return {}
        loaded = chosen is not None and chosen.residence != "disk"
        kept = chosen is not None and chosen.kept
        if lent:
            return {button: gr.update(visible=name == "rescan") for name, button in self.buttons.items()}
        return {
            self.buttons["load"]: gr.update(interactive=chosen is not None and not loaded and not status.loading),
            self.buttons["stop"]: gr.update(visible=status.loading is not None),
            self.buttons["keep"]: gr.update(value="Stop keeping" if kept else "Keep in memory"),
            self.buttons["unload"]: gr.update(interactive=loaded),
        }


def build(engine: Engine, tabs: gr.Tabs, *, manage: bool) -> None:
    """The tab, kept up to date while it is the one that is open. Without `manage` it can only be looked at."""
    parts = Parts(manage=manage)

    def choose(event: gr.SelectData) -> Updates:
        return parts.shown(engine, str(event.value))

    def refresh(seen: str, selected: str) -> Any:
        return gr.skip() if seen == state_of(engine) else parts.shown(engine, selected)

    def opened(selected: str, event: gr.SelectData) -> Updates:
        is_open = event.value == TITLE
        return {parts.timer: gr.Timer(active=is_open), **(parts.shown(engine, selected) if is_open else {})}

    update(parts.table.select, choose, None, parts.components)
    update(parts.timer.tick, refresh, [parts.seen, parts.selected], parts.components)
    update(tabs.select, opened, parts.selected, [parts.timer, *parts.components])
    for name, button in parts.buttons.items():
        update(button.click, _acting(engine, parts, _ACTIONS[name][1]), parts.selected, parts.components)


def _acting(engine: Engine, parts: Parts, action: Callable[[Engine, str], None]) -> Callable[[str], Updates]:
    def act(selected: str) -> Updates:
        try:
            action(engine, selected)
        except UserError as problem:
            return {parts.state: markup.error(str(problem))}
        return parts.shown(engine, selected)

    return act


def state_of(engine: Engine) -> str:
    """A text that changes when what the tab shows does, as far as can be told without reading the disk."""
    status = engine.status().model_dump(mode="json", include={"state", "loading", "notice", "hashing"})
    return json.dumps([status, engine.memory().model_dump(mode="json")])


def state_line(status: EngineStatus) -> str:
    """What goes on: a load, what became of the last command, a file that is hashed; empty for none of these."""
    if status.loading:
        return markup.progress(status.loading.line, status.loading.fraction)
    if status.notice:
        return markup.notice(status.notice)
    if status.state in ("starting", "restarting", "stopped"):
        return markup.notice(status.detail)
    return markup.notice(f"Reading {status.hashing} for its hash…" if status.hashing else "")

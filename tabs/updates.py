"""Quick changes of a page's own widgets, as opposed to jobs."""

from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.blocks import Block


def update(event: Any, change: Any, inputs: Any, outputs: Block | Sequence[Block] | None) -> None:
    """Let `event` change widgets: quick, unseen by the clients, and only the last of several in a row."""
    event(
        change,
        inputs,
        outputs,
        queue=False,
        preprocess=False,
        show_progress="hidden",
        trigger_mode="always_last",
        api_visibility="private",
    )


def on_page_load(change: Any, inputs: Any, outputs: Any, **options: Any) -> Any:
    """An event as those of widgets, for `update`: a page that is being built has been opened."""
    return gr.on(None, change, inputs, outputs, **options)

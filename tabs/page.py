"""The page: its tabs in order, and how it is served."""

from pathlib import Path

import gradio as gr
from starlette.middleware import Middleware

from pipelines.engine.jobs import Engine
from presets.requests import KINDS
from presets.settings import Settings
from tabs import api, models, text_to_image, theme
from tabs.calls import CheckedCalls
from tabs.picture_files import OnlyPictures
from tabs.run import watch_start

MAX_UPLOAD_BYTES = 32 * 2**20
WAITING_EVENTS = 200
"""Page events that may wait at once; jobs wait in the engine."""


TABS = {"text-to-image": text_to_image.build}
"""Kind of request -> what lays out its tab, in the page's order."""


def build_page(engine: Engine, *, manage_models: bool = True) -> gr.Blocks:
    """The whole page over `engine`, not yet served. `manage_models` lets visitors load and unload."""
    with gr.Blocks(title="Easel", analytics_enabled=False, fill_width=True, delete_cache=(3600, 86400)) as page:
        gr.HTML(_HEADER, elem_id="easel-header")
        state = gr.HTML(elem_id="engine-state")
        with gr.Tabs(elem_id="tabs") as tabs:
            for name, build in TABS.items():
                with gr.Tab(KINDS[name].title, id=name):
                    build(engine)
            with gr.Tab(models.TITLE, id="models"):
                models.build(engine, tabs, manage=manage_models)
        gr.HTML(_FOOTER, elem_id="easel-footer")
        watch_start(engine, page, state)
        api.add_endpoints(engine)
    return page


def serve(page: gr.Blocks, settings: Settings, *, pictures: Path, block: bool = True) -> str:
    """Serve the page and return its address; with `block` only once the process is told to stop.

    PNG files under `pictures` can be fetched by every visitor, and no others. Where the settings name no host and
    port, the platform's GRADIO_SERVER_NAME and GRADIO_SERVER_PORT decide, else it is 127.0.0.1 and the first free port
    from 7860 on.
    """
    gr.set_static_paths([pictures])
    page.queue(default_concurrency_limit=None, max_size=WAITING_EVENTS)
    _, address, _ = page.launch(
        server_name=settings.host,
        server_port=settings.port,
        share=settings.share,
        prevent_thread_lock=not block,
        show_error=True,
        footer_links=["api", "settings"],
        run_history=False,
        allowed_paths=[str(pictures)],
        app_kwargs={
            "middleware": [
                Middleware(CheckedCalls, kinds=api.ENDPOINTS, lists=api.LISTS, indexes=api.indexes(page)),
                Middleware(OnlyPictures, folder=pictures),
            ]
        },
        max_file_size=MAX_UPLOAD_BYTES,
        enable_monitoring=False,
        ssr_mode=False,
        theme=theme.easel_theme(),
        css_paths=theme.STYLE_SHEET,
        head=theme.head(),
    )
    return address


_HEADER = """
<h1>Easel</h1>
<p>A Stable Diffusion studio in a browser tab. Everything is made on this machine.</p>
"""
_FOOTER = "<p>Easel · Apache-2.0 · <kbd>Ctrl</kbd>+<kbd>Enter</kbd> generates</p>"

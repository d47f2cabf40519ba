"""How the page is served, and what else beside it."""

import gc
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from pydantic import BaseModel
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import Lifespan

from presets.entrance import accounts_of, key_of
from presets.images import FILE_LIMIT
from presets.settings import Settings
from tabs import api, picture_info, server, sessions, theme
from tabs.access import OwnPagesOnly, access_of, is_gallery_private
from tabs.api_lists import LISTS
from tabs.calls import CheckedCalls
from tabs.hub_account import HubAccount
from tabs.owners import OwnerCookie
from tabs.picture_files import OnlyPictures, answer_long_name
from tabs.root_path import UnderRootPath
from tabs.signing_in import SignedInOnly
from tabs.upload_limits import WholeUploads
from tabs.visitors import VisitorsRequest

WAITING_EVENTS = 200
"""Page events that may wait at once, for one of those that run to end; jobs wait in the engine."""
RUNNING_EVENTS = 1000
"""Page events that may run at once: each page or program that watches its job is one."""

COLLECTING = (5_000, 10, 20)
"""Objects made, rounds of the youngest and rounds of the middle ones, after which garbage is looked for further."""
STATUS_SECONDS = 5.0
"""Between what all page events that wait are told of their places; else each that begins would have all be told."""
SWITCH_SECONDS = 0.0005
"""For which a thread may compute before another has its turn: the one that answers has one after each look at the
network, and others, which describe the page or read pictures, would keep it for ten times as long each time."""


def serve(
    page: gr.Blocks,
    settings: Settings,
    *,
    pictures: Path,
    routes: Sequence[BaseRoute] = (),
    lifespan: Lifespan[Any] | None = None,
) -> str:
    """Serve the page, and `routes` beside it, in a thread until `page.close()`, and return its address. `lifespan` is
    entered while it is served.

    PNG files under `pictures` can be fetched by every visitor who knows their address, and no others. Where the
    settings name no host and port, the platform's GRADIO_SERVER_NAME and GRADIO_SERVER_PORT decide, else it is
    127.0.0.1 and the first free port from 7860 on.
    """
    gr.set_static_paths([pictures])
    key, password = key_of(settings), settings.ssl_keyfile_password
    kinds: dict[str, type[BaseModel]] = {**api.ENDPOINTS, picture_info.ENDPOINT: picture_info.Question}
    sys.setswitchinterval(SWITCH_SECONDS)
    page.queue(
        status_update_rate=STATUS_SECONDS,
        default_concurrency_limit=None,
        max_size=WAITING_EVENTS,
        api_open=False,  # no way around the queue
    )
    sessions.guard(page)
    server.prepare()
    _, address, _ = page.launch(
        max_threads=RUNNING_EVENTS,
        state_session_capacity=sessions.SESSIONS,
        server_name=settings.host,
        server_port=settings.port,
        root_path=settings.root_path,
        auth=list(accounts_of(settings).items()) or None,
        auth_message="Sign in to Easel, a Stable Diffusion studio.",
        ssl_certfile=key and str(settings.ssl_certfile),
        ssl_keyfile=key and str(key),
        ssl_keyfile_password=password.get_secret_value() if password else None,
        ssl_verify=False,  # of the program's own first question to itself, whatever name the certificate is for
        share=settings.share,
        prevent_thread_lock=True,
        show_error=True,
        footer_links=["api", "settings"],
        run_history=False,
        allowed_paths=[str(pictures)],
        app_kwargs={
            "routes": list(routes),
            "lifespan": lifespan,
            "middleware": _middleware(page, settings, pictures, kinds),
            "exception_handlers": {OSError: answer_long_name},
        },
        max_file_size=FILE_LIMIT,
        enable_monitoring=False,
        ssr_mode=False,
        _frontend=False,  # else a machine so busy that the page takes over 3 s to answer ends the program
        theme=theme.easel_theme(),
        css_paths=theme.STYLE_SHEETS,
        head=theme.head(),
    )
    return address


def _middleware(
    page: gr.Blocks, settings: Settings, pictures: Path, kinds: Mapping[str, type[BaseModel]]
) -> list[Middleware]:
    """What a request goes through before Gradio sees it, in order. `kinds` are the parameters by endpoint name."""
    accounts = accounts_of(settings)
    return [
        Middleware(UnderRootPath),
        Middleware(OwnPagesOnly, access=access_of(settings)),
        *([Middleware(SignedInOnly, accounts=accounts)] if accounts else []),
        *([Middleware(HubAccount)] if settings.sign_in == "hub" else []),
        Middleware(CheckedCalls, kinds=kinds, lists=LISTS, indexes=api.indexes(page, {*kinds, *LISTS})),
        Middleware(OnlyPictures, folder=pictures, is_private=is_gallery_private(settings)),
        Middleware(WholeUploads),
        Middleware(OwnerCookie),
        *([Middleware(VisitorsRequest)] if settings.zero_gpu else []),
    ]


def wait_for_stop() -> None:
    """Return once the process is told to stop, by Ctrl+C or, where that is turned into the same, by SIGTERM."""
    try:
        _settle_memory()
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return


def _settle_memory() -> None:
    """Let the collector of garbage pass over what is there now, the libraries and the page, which stays as long as the
    process, and look at all else less often: everybody waits for as long as that takes."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTING)

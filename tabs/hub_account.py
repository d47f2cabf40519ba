"""Who signed in with an account of the Hugging Face Hub: a Space's visitors may, none must."""

import time
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from tabs.owners import PERSON


class HubAccount:
    """ASGI middleware that says whose a request is, if he signed in by Gradio's button, which leaves that in a signed
    cookie."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if subject := _subject(scope.get("session", {})):
            scope = {**scope, PERSON: f"hub {subject}"}
        return await self.app(scope, receive, send)


def _subject(session: Mapping[str, Any]) -> str:
    """The account's number, which stays when its name changes; empty for who has not signed in, or long ago."""
    info = session.get("oauth_info") or {}
    is_over = info.get("expires_at") is not None and info["expires_at"] < time.time()
    return "" if is_over else str(info.get("userinfo", {}).get("sub", ""))

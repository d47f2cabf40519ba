"""From where this server may be used: not by other sites' pages in a visitor's browser."""

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from presets.errors import UserError, shortened
from presets.settings import Settings

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
SHARED = ".gradio.live"
"""Names of pages that are shared by Gradio's tunnel end so."""
GRADIO = "/gradio_api/"
_READING = ("GET", "HEAD", "OPTIONS")


class ForeignOrigin(UserError):
    code = "E-ORIGIN"


@dataclass(frozen=True, slots=True)
class Access:
    """`trusted` are names under which this server may be reached, beside the machine's own. One that `is_local` is
    reached by those of the machine itself only, so that no name of a stranger's can be made to mean it."""

    trusted: tuple[str, ...] = ()
    is_local: bool = False
    is_shared: bool = False

    def check(self, headers: Headers) -> None:
        """Raise `ForeignOrigin` for what another site's page sends by a visitor's browser."""
        host = _name(headers.get("host", ""))
        if self.is_local and host not in LOOPBACK and host not in self.trusted:
            raise ForeignOrigin(
                f"This server is not known as {shortened(host)}; its owner can add that to the setting trusted_hosts."
            )
        origin = headers.get("origin")
        if origin is not None and not self._is_own(_name(origin.partition("://")[2]), host):
            raise ForeignOrigin(
                f"A page of {shortened(origin)} may not do this here; if it is this server's own, its owner can add "
                "that name to the setting trusted_hosts."
            )

    def _is_own(self, name: str, host: str) -> bool:
        return name == host or name in self.trusted or (self.is_shared and name.endswith(SHARED))


def access_of(settings: Settings) -> Access:
    """As the server will listen: without a host it is the machine's own address, unless the platform names one."""
    host = settings.host or os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")
    of_space = map(str.strip, os.environ.get("SPACE_HOST", "").split(","))  # several with a domain of its own
    trusted = (*settings.trusted_hosts, *filter(None, of_space))
    return Access(trusted, is_local=host in LOOPBACK and not settings.share, is_shared=settings.share)


def is_gallery_private(settings: Settings) -> bool:
    """Whether each visitor sees their own pictures only."""
    if settings.private_gallery != "auto":
        return settings.private_gallery == "on"
    signed_in = settings.auth or settings.auth_file or settings.sign_in != "off"
    for_others = (settings.trusted_hosts, settings.root_path, signed_in)
    return "SPACE_ID" in os.environ or any(for_others) or not access_of(settings).is_local


class OwnPagesOnly:
    """ASGI middleware: HTTP 403 for what changes something by Gradio's routes and is sent by another site's page. The
    other doors check by themselves, and answer in their own way."""

    def __init__(self, app: ASGIApp, access: Access):
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in _READING and GRADIO in scope["path"]:
            try:
                self.access.check(HTTPConnection(scope).headers)
            except ForeignOrigin as refusal:
                return await JSONResponse({"detail": str(refusal)}, status_code=403)(scope, receive, send)
        return await self.app(scope, receive, send)


def _name(netloc: str) -> str:
    """A host without its port, in lower case; empty for none."""
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""

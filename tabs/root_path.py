"""The page under a path of a server that others share, such as https://example.com/easel, behind a reverse proxy."""

from urllib.parse import quote, urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send


class UnderRootPath:
    """ASGI middleware that brings a request's path under the application's root path, from which routes are found and
    addresses made. Proxies hand it on with the root path or without, and both mean the same here."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope.get("root_path"):
            scope = _under(scope, urlsplit(scope["root_path"]).path.rstrip("/"))
        return await self.app(scope, receive, send)


def _under(scope: Scope, root: str) -> Scope:
    """`scope` with its path under `root`, which Gradio may also have been told as a whole address."""
    path: str = scope["path"]
    if path == root or path.startswith(f"{root}/"):
        return {**scope, "root_path": root}
    raw: bytes = scope.get("raw_path") or quote(path).encode("ascii")
    return {**scope, "root_path": root, "path": f"{root}{path}", "raw_path": root.encode("ascii") + raw}

"""HTTP by hand, for programs that play many clients at once: a client library costs more than the server's answer."""

import asyncio
import json
from urllib.parse import urlsplit

SECONDS = 300.0
"""After which an answer is no longer waited for."""


async def exchange(
    address: str, path: str, body: object = None, *, method: str = "", token: str = "", cookie: str = ""
) -> tuple[int, bytes]:
    """Status and content of the answer to one request on a connection of its own, `body` sent as JSON, bytes as a form
    whose parts `--edge` divides.

    `address` ends with a slash. A stream of events is read to its end. Status 0 where no answer came.
    """
    place, is_form = urlsplit(address), isinstance(body, bytes)
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    lines = [
        f"{method or ('GET' if body is None else 'POST')} {place.path}{path} HTTP/1.1",
        f"host: {place.netloc}",
        "connection: close",
        f"content-length: {len(content)}",
        f"content-type: {'multipart/form-data; boundary=edge' if is_form else 'application/json'}",
        *([f"authorization: Bearer {token}"] if token else []),
        *([f"cookie: easel={cookie}"] if cookie else []),
    ]
    try:
        return await asyncio.wait_for(
            _exchanged(place.hostname or "", place.port or 80, "\r\n".join(lines).encode() + b"\r\n\r\n" + content),
            SECONDS,
        )
    except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError, ValueError):
        return 0, b""


async def _exchanged(host: str, port: int, message: bytes) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(message)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        status, is_chunked = int(head.split(b" ", 2)[1]), b"transfer-encoding: chunked" in head.lower()
        return status, await (_chunks(reader) if is_chunked else reader.read())
    finally:
        writer.close()


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    """The content of an answer that comes in pieces."""
    pieces = []
    while length := int(await reader.readline() or b"0", 16):  # or it broke off
        pieces.append((await reader.readexactly(length + 2))[:-2])
    return b"".join(pieces)

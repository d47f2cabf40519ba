"""What the doors for other programs' clients share: such a client sends one call and waits for its pictures."""

import asyncio
import base64

from pipelines.engine.jobs import Engine, Failed, Job, Saved, Stopped
from presets.errors import UserError
from presets.requests import AnyRequest


async def drawn(engine: Engine, request: AnyRequest, owner: str) -> Job:
    """The job of `request` once it has ended. Raises `UserError` where it ended without its pictures."""
    job = await asyncio.to_thread(engine.submit, request, owner=owner, kept=False)
    async for event in job.stream():
        if isinstance(event, Failed):
            raise UserError(event.message, code=event.code, field=event.field)
        if isinstance(event, Stopped) and not job.saved:
            raise UserError("The job was cancelled.", code="E-CANCELLED")
    return job


def in_base64(saved: Saved) -> str:
    """The PNG file as it was saved."""
    return base64.b64encode(saved.path.read_bytes()).decode()

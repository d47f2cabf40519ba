"""Text to image: words to pictures."""

from pipelines.drawing import Work, draw
from pipelines.engine.context import Context
from presets.requests import TextToImage


def run(request: TextToImage, context: Context) -> None:
    """Make and save the pictures of a resolved request."""
    draw(request, context, Work())

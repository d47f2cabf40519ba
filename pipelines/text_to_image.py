"""Text to image: words to pictures."""

from pipelines.drawing import Work, draw
from pipelines.engine.context import Context
from pipelines.hires import drawing_on
from presets.requests import TextToImage


def run(request: TextToImage, context: Context) -> None:
    """Make and save the pictures of a resolved request."""
    draw(request, context, Work(then=drawing_on(request, context)))

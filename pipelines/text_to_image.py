"""Text to image: words to pictures."""

from pipelines.denoise import from_noise
from pipelines.drawing import draw
from pipelines.engine.context import Context
from presets.requests import TextToImage


def run(request: TextToImage, context: Context) -> None:
    """Make and save the pictures of a resolved request."""
    draw(request, context, from_noise)

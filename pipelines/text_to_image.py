"""Text to image: words to pictures, also to such that move."""

from pipelines.denoise import from_moving_noise
from pipelines.drawing import Work, draw
from pipelines.engine.context import Context
from pipelines.hires import drawing_on
from presets.requests import TextToImage


def run(request: TextToImage, context: Context) -> None:
    """Make and save the pictures of a resolved request."""
    if request.is_animated:
        draw(request, context, Work(begin=from_moving_noise, motion=request.motion_module))
    else:
        draw(request, context, Work(then=drawing_on(request, context)))

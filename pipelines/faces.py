"""Faces restored: each brought upright to the square that such models know, and what changes there brought back."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image

from pipelines.engine.context import Context
from pipelines.engine.face_restorers import FaceRestorer
from pipelines.engine.jobs import Progress
from pipelines.engine.pace import Pace
from pipelines.engine.preview import PREVIEW_SIDE, jpeg
from pipelines.face_finding import Face, find_faces

SIDE = 512
"""Pixels of a side of the square in which GFPGAN and its like know a face, as the pictures of FFHQ have it."""
LEFT_EYE, RIGHT_EYE = (192.98, 239.95), (318.90, 240.19)
"""Where the eyes are in it."""
FEATHER = 48
"""Pixels from its edge inwards over which what was restored fades in."""

Pixels = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Restored:
    """A picture whose faces were restored: how many, by what, and the seconds that it took."""

    image: Image.Image
    count: int
    about: dict[str, Any]
    timings: Mapping[str, float]

    @property
    def note(self) -> str:
        """How many, in words."""
        if not self.count:
            return "No face was found to restore."
        return f"{self.count} face{'s' if self.count > 1 else ''} restored."


def restore_faces(picture: Image.Image, name: str, strength: float, context: Context) -> Restored:
    """`picture` (RGB or RGBA) with its faces as the model `name` makes them, mixed in by `strength` from 0 to 1.

    Outside of the faces' squares not one pixel changes, and alpha nowhere. Each face is reported, with a preview now
    and then.
    """
    started = time.perf_counter()
    pixels = np.array(picture.convert("RGB"))
    faces = find_faces(pixels, context.check)
    about: dict[str, Any] = {"faces": len(faces)}
    if not faces:
        return Restored(picture, 0, about, {"faces": time.perf_counter() - started})
    with context.models.face_restorer(name, context.report) as restorer:
        _restore(pixels, faces, restorer, strength, context)
    image = Image.fromarray(pixels)
    if picture.mode == "RGBA":
        image.putalpha(picture.getchannel("A"))
    timings = {"load": restorer.seconds, "faces": time.perf_counter() - started - restorer.seconds}
    return Restored(image, len(faces), {**about, "face_restorer": restorer.about}, timings)


def _restore(pixels: Pixels, faces: Sequence[Face], restorer: FaceRestorer, strength: float, context: Context) -> None:
    """Restore each of the faces in `pixels`."""
    pace, started = Pace(context.policy.preview_interval), time.perf_counter()
    for number, face in enumerate(faces, 1):
        given = aligned(pixels, face)
        made = np.asarray(restorer.made_of(Image.fromarray(given), context.check))
        paste(pixels, face, made.astype(np.float32) - given, strength)
        seconds = time.perf_counter() - started
        preview = _preview(pixels) if context.policy.preview_interval and pace.due() else None
        context.report(_progress(number, len(faces), seconds, preview))


def aligned(pixels: Pixels, face: Face) -> Pixels:
    """The square with `face` upright in it, (512, 512, 3) of 0 to 255, from `pixels`, (height, width, 3)."""
    there = _matrix(face)
    blur = _blur(1 / _scale(there))
    left, top, right, bottom = _box(there, pixels, margin=math.ceil(3 * blur) + 2)
    part = pixels[top:bottom, left:right]
    part = cv2.GaussianBlur(part, (0, 0), blur) if blur else part
    there = _seen_from(there, left, top)
    return cv2.warpAffine(part, there, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def paste(pixels: Pixels, face: Face, change: Pixels, strength: float) -> None:
    """Add `change`, (512, 512, 3), of the square with `face` to `pixels`, fading out towards the square's edges.

    What changes is brought back and not the square itself: what nothing changes stays to the pixel, and what is finer
    than the square's pixels is not lost.
    """
    there = _matrix(face)
    blur = _blur(_scale(there))
    change = (cv2.GaussianBlur(change, (0, 0), blur) if blur else change) * (_mask()[..., None] * strength)
    left, top, right, bottom = _box(there, pixels)
    there, size = _seen_from(there, left, top), (right - left, bottom - top)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    brought = cv2.warpAffine(change.astype(np.float32), there, size, flags=flags, borderMode=cv2.BORDER_CONSTANT)
    part = pixels[top:bottom, left:right]
    part[:] = np.clip(np.rint(part + brought), 0, 255).astype(np.uint8)


def _matrix(face: Face) -> Pixels:
    """From the picture to the square: turned, scaled and moved so that the eyes lie where they belong."""
    (x, y), (to_x, to_y) = face.left_eye, LEFT_EYE
    given = complex(*face.right_eye) - complex(x, y)
    turn = (complex(*RIGHT_EYE) - complex(to_x, to_y)) / given
    moved = complex(to_x, to_y) - turn * complex(x, y)
    return np.array([[turn.real, -turn.imag, moved.real], [turn.imag, turn.real, moved.imag]])


def _scale(there: Pixels) -> float:
    """How many times as large what the matrix moves becomes."""
    return math.hypot(*there[:, 0])


def _blur(smaller: float) -> float:
    """By how many pixels (a Gaussian's deviation) to blur what becomes `smaller` times as small: else what is finer
    than the new pixels shows as a pattern. 0 where nothing is lost."""
    return 0.4 * smaller if smaller > 1.5 else 0.0


def _seen_from(there: Pixels, left: int, top: int) -> Pixels:
    """The matrix for a part of the picture that begins there."""
    return np.column_stack([there[:, :2], there[:, 2] + there[:, :2] @ (left, top)])


def _box(there: Pixels, pixels: Pixels, margin: int = 0) -> tuple[int, int, int, int]:
    """The part of the picture that holds what is in it of the square, and `margin` pixels more: left, top, right and
    bottom."""
    height, width = pixels.shape[:2]
    back = cv2.invertAffineTransform(there)
    corners = back @ np.array([[0, SIDE, SIDE, 0], [0, 0, SIDE, SIDE], [1, 1, 1, 1]])
    left, top = (int(side) - margin for side in np.floor(corners.min(1)))
    right, bottom = (int(side) + 1 + margin for side in np.ceil(corners.max(1)))
    return max(0, left), max(0, top), min(width, right), min(height, bottom)


def _mask() -> Pixels:
    """(512, 512) from 0 at the edges to 1, `FEATHER` pixels inside."""
    distance = np.minimum(np.arange(SIDE), np.arange(SIDE)[::-1]) / FEATHER
    ramp = np.clip(distance, 0, 1)
    smooth = (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)
    return np.outer(smooth, smooth)


def _progress(number: int, count: int, seconds: float, preview: bytes | None) -> Progress:
    remaining = seconds / number * (count - number)
    return Progress(
        picture=1, pictures=1, step=number, steps=count, seconds=seconds, remaining=remaining, preview=preview
    )


def _preview(pixels: Pixels) -> bytes:
    image = Image.fromarray(pixels)
    return jpeg(image.reduce(max(1, -(-max(image.size) // PREVIEW_SIDE))))

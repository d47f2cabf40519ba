"""Faces found without any weights of our own: where they are, how they are turned, and where their eyes look from.

The cascade of local binary patterns that ships with scikit-image says yes to the same face several times, at places and
sizes next to each other; to most of what is none it does so once or twice. So its answers are counted: first over the
picture as it is and turned to either side, then, around each place where they gather, over many turns of that place
alone. What is counted there tells faces from what only looks like one, and its mean how the face is turned.

Measured on one photograph turned by up to 30 degrees, at half to twice its size: 46 to 95 answers to the face, at most
39 to anything else in it and in 23 pictures without any; 90 of scikit-image's 100 faces of 25 pixels, cut out closely,
have more than `ANSWERS_LEAST`. Eyes lie within 3 % of their distance on that photograph.
"""

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

WORKING_SIDE = 640
"""Pixels of the longer side that a larger picture is made smaller to."""
SMALLEST = 32
"""Pixels of a side of the smallest face looked for there, of brows to chin."""
ANSWERS_LEAST = 45

_WINDOW = 24
"""Pixels of a side, which the cascade was trained on."""
_STEP = 1.2
_TURNS = (0, -20, 20)
_FINE_TURNS = range(-35, 36, 5)
_FINE_SIDE, _FINE_FACE, _FINE_REACH, _FINE_STEP = 80, 30, 10, 1.12
_GATHERED_LEAST = 3
_EYES_SIDE = 96
"""Pixels of a side that a face is brought to where its eyes are looked for."""
_EYES = (-0.21, -0.15), (0.21, -0.15)
"""Where they are in the mean, from the middle, in shares of the face's side."""
_EYE_REACH = 14, 11
_IRIS = 8.0

Pixels = np.ndarray[Any, Any]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Face:
    """Where the eyes of a face are in the picture, (x, y) in pixels; the left one is the one that is seen there."""

    left_eye: Point
    right_eye: Point

    @property
    def size(self) -> float:
        """Pixels between the eyes."""
        return math.dist(self.left_eye, self.right_eye)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the cascade sees a face: its middle and side in pixels."""

    x: float
    y: float
    side: float

    def is_near(self, other: "_Place") -> bool:
        ratio = self.side / other.side
        return math.hypot(self.x - other.x, self.y - other.y) < other.side / 4 and 2 / 3 < ratio < 3 / 2


def find_faces(picture: Pixels, check: Callable[[], None]) -> tuple[Face, ...]:
    """The faces in `picture`, (height, width, 3) of 0 to 255, the largest first. `check` is called now and then, and
    may raise to end it."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    scale = min(1.0, WORKING_SIDE / max(grey.shape))
    if scale < 1:
        size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    faces: list[Face] = []
    taken: list[_Place] = []
    for place in _places(grey, check):
        looked = _looked_at(grey, place, check)
        if looked is None or any(looked[0].is_near(other) for other in taken):
            continue
        taken.append(looked[0])
        left, right = _eyes(grey, *looked)
        faces.append(Face(_scaled(left, scale), _scaled(right, scale)))
    return tuple(sorted(faces, key=lambda face: -face.size))


def _scaled(point: Point, scale: float) -> Point:
    """In the whole picture, whose pixels' middles lie half a pixel in."""
    return (point[0] + 0.5) / scale - 0.5, (point[1] + 0.5) / scale - 0.5


@functools.cache
def _cascade() -> Any:
    from skimage.data import lbp_frontal_face_cascade_filename  # half a second
    from skimage.feature import Cascade

    return Cascade(lbp_frontal_face_cascade_filename())


def _answers(grey: Pixels, smallest: float, step: float, check: Callable[[], None]) -> Iterator[_Place]:
    """Each yes of the cascade, at one size after the other."""
    side = smallest
    while min(grey.shape) * _WINDOW / side >= _WINDOW + 2:
        check()
        scale = _WINDOW / side
        size = round(grey.shape[1] * scale), round(grey.shape[0] * scale)
        smaller = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        found = _cascade().detect_multi_scale(
            img=smaller,
            scale_factor=2.0,
            step_ratio=1.0,
            min_size=(_WINDOW, _WINDOW),
            max_size=(_WINDOW + 1, _WINDOW + 1),
            min_neighbor_number=1,
            intersection_score_threshold=0.99,
        )
        for box in found:
            yield _Place((box["c"] + _WINDOW / 2) / scale, (box["r"] + _WINDOW / 2) / scale, side)
        side *= step


def _places(grey: Pixels, check: Callable[[], None]) -> list[_Place]:
    """Where answers gather, the most first."""
    height, width = grey.shape
    groups: list[list[_Place]] = []
    for turn in _TURNS:
        there = cv2.getRotationMatrix2D((width / 2, height / 2), turn, 1)
        turned = cv2.warpAffine(grey, there, (width, height), borderMode=cv2.BORDER_REPLICATE) if turn else grey
        back = cv2.invertAffineTransform(there)
        for seen in _answers(turned, SMALLEST, _STEP, check):
            place = _Place(*_through(back, (seen.x, seen.y)), seen.side)
            near = next((group for group in groups if place.is_near(_mean(group))), None)
            if near is None:
                groups.append([place])
            else:
                near.append(place)
    gathered = [group for group in groups if len(group) >= _GATHERED_LEAST]
    return [_mean(group) for group in sorted(gathered, key=len, reverse=True)]


def _mean(places: list[_Place]) -> _Place:
    count = len(places)
    sums = (sum(getattr(place, name) for place in places) for name in ("x", "y", "side"))
    return _Place(*(total / count for total in sums))


def _looked_at(grey: Pixels, place: _Place, check: Callable[[], None]) -> tuple[_Place, float] | None:
    """The face at `place` and by how many degrees it is turned (anticlockwise); None if it is none."""
    scale = _FINE_FACE / place.side
    places, turns = [], []
    for turn in _FINE_TURNS:
        there = _brought_upright(place, turn, scale, _FINE_SIDE)
        part = _warped(grey, there, _FINE_SIDE, scale)
        back = cv2.invertAffineTransform(there)
        for seen in _answers(part, _WINDOW, _FINE_STEP, check):
            middle = _FINE_SIDE / 2
            if math.hypot(seen.x - middle, seen.y - middle) < _FINE_REACH and seen.side < _FINE_FACE * 4 / 3:
                places.append((*_through(back, (seen.x, seen.y)), seen.side / scale))
                turns.append(turn)
    if len(places) < ANSWERS_LEAST:
        return None
    return _Place(*map(float, np.median(places, axis=0))), float(np.mean(turns))


def _brought_upright(place: _Place, turn: float, scale: float, side: int) -> Pixels:
    """The matrix that turns and scales what is around `place` into the middle of a square of `side` pixels."""
    matrix = cv2.getRotationMatrix2D((place.x, place.y), turn, scale)
    matrix[:, 2] += side / 2 - place.x, side / 2 - place.y
    return matrix


def _warped(grey: Pixels, matrix: Pixels, side: int, scale: float) -> Pixels:
    source = cv2.GaussianBlur(grey, (0, 0), 0.4 / scale) if scale < 0.8 else grey
    return cv2.warpAffine(source, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)


def _through(matrix: Pixels, point: Point) -> Point:
    x, y = matrix @ (*point, 1.0)
    return float(x), float(y)


def _eyes(grey: Pixels, place: _Place, turn: float) -> tuple[Point, Point]:
    """The middles of the irises of the face at `place`, looked for around where eyes are in the mean."""
    there = _brought_upright(place, turn, _EYES_SIDE / place.side, _EYES_SIDE)
    upright = _warped(grey, there, _EYES_SIDE, _EYES_SIDE / place.side).astype(np.float64)
    back = cv2.invertAffineTransform(there)
    across, down = _EYE_REACH
    found = []
    for x, y in _EYES:
        left = round((0.5 + x) * _EYES_SIDE) - across
        top = round((0.5 + y) * _EYES_SIDE) - down
        eye = _iris(upright[top : top + 2 * down + 1, left : left + 2 * across + 1])
        found.append(_through(back, (left + eye[0], top + eye[1])))
    return found[0], found[1]


def _iris(part: Pixels) -> Point:
    """The middle of the darkest round thing in `part`, (x, y): the place that most gradients point away from.

    The means of gradients of Timm and Barth, "Accurate eye centre localisation by means of gradients" (2011), with
    gradients further away than an iris is wide, and places far from the middle, counted less.
    """
    smooth = cv2.GaussianBlur(part, (0, 0), 1.2)
    across, down = cv2.Sobel(smooth, cv2.CV_64F, 1, 0), cv2.Sobel(smooth, cv2.CV_64F, 0, 1)
    length = np.hypot(across, down)
    strong = length > max(1e-6, float(length.mean() + 0.3 * length.std()))
    if not strong.any():
        return (part.shape[1] - 1) / 2, (part.shape[0] - 1) / 2
    edge_y, edge_x = np.nonzero(strong)
    y, x = np.mgrid[: part.shape[0], : part.shape[1]]
    apart_x, apart_y = edge_x - x.reshape(-1, 1), edge_y - y.reshape(-1, 1)
    distance = np.maximum(np.hypot(apart_x, apart_y), 1e-9)
    agreement = (apart_x * across[strong] + apart_y * down[strong]) / (distance * length[strong])
    score = (np.clip(agreement, 0, None) ** 2 * np.exp(-((distance / _IRIS) ** 2))).sum(1).reshape(part.shape)
    score *= 255 - cv2.GaussianBlur(part, (0, 0), 2)
    middle_y, middle_x = ((side - 1) / 2 for side in part.shape)
    score *= np.exp(-(((x - middle_x) / middle_x) ** 2) - ((y - middle_y) / middle_y) ** 2)
    best_y, best_x = np.unravel_index(int(score.argmax()), score.shape)
    around = (np.abs(x - best_x) <= 2) & (np.abs(y - best_y) <= 2)
    weights = score * around / (score * around).sum()
    return float((x * weights).sum()), float((y * weights).sum())

"""Pictures of what the starter has no words for, made of what the painter knows: a person and their pose, a room and
its lines, a scene and its depth. Thumbnails of presets show with them what detectors whose weights do not ship find.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import cv2
import numpy
from PIL import Image, ImageDraw

from pipelines.detectors import open_package
from pipelines.poses import drawn
from training.outlines import Staged
from training.painter import paint, paint_alone
from training.shapes import Colour, Point, mix
from training.styles import neon
from training.words import Scene, Thing

SIZE = 512
"""Pixels of either side."""

_JOINTS: Sequence[Point] = (
    (0.5, 0.25), (0.5, 0.36), (0.42, 0.36), (0.32, 0.31), (0.335, 0.2), (0.58, 0.36), (0.66, 0.45), (0.6, 0.54),
    (0.45, 0.57), (0.43, 0.71), (0.41, 0.84), (0.55, 0.57), (0.59, 0.7), (0.62, 0.83), (0.475, 0.225), (0.525, 0.225),
    (0.45, 0.235), (0.55, 0.235),
)  # fmt: skip
"""Nose and neck; shoulder, elbow and wrist of either side; hip, knee and ankle; eyes; ears: in OpenPose's order."""
_FACE: Sequence[Point] = tuple(
    (0.5 + 0.058 * math.sin(turn), 0.235 + 0.075 * math.cos(turn)) for turn in numpy.linspace(-1.9, 1.9, 17)
) + ((0.485, 0.275), (0.5, 0.28), (0.515, 0.275))
"""The jaw and the mouth."""
_SKIN, _SHIRT, _TROUSERS, _HAIR, _LINE = (236, 188, 150), (214, 38, 38), (38, 88, 210), (92, 58, 36), (70, 44, 40)
_LIMBS: Sequence[tuple[tuple[int, ...], float, Colour]] = (
    ((8, 9, 10), 0.085, _TROUSERS), ((11, 12, 13), 0.085, _TROUSERS),
    ((2, 3), 0.075, _SHIRT), ((3, 4), 0.055, _SKIN), ((5, 6), 0.075, _SHIRT), ((6, 7), 0.055, _SKIN),
)  # fmt: skip
"""Joints, thickness and colour."""

_ROOM: Sequence[tuple[Colour, Sequence[Point]]] = (
    ((250, 244, 230), ((0, 0), (1, 0), (0.74, 0.26), (0.26, 0.26))),
    ((206, 160, 110), ((0, 1), (1, 1), (0.74, 0.64), (0.26, 0.64))),
    ((176, 208, 196), ((0, 0), (0.26, 0.26), (0.26, 0.64), (0, 1))),
    ((176, 208, 196), ((1, 0), (0.74, 0.26), (0.74, 0.64), (1, 1))),
    ((206, 228, 216), ((0.26, 0.26), (0.74, 0.26), (0.74, 0.64), (0.26, 0.64))),
    ((130, 196, 244), ((0.42, 0.32), (0.62, 0.32), (0.62, 0.5), (0.42, 0.5))),
    ((150, 84, 50), ((0.08, 0.3), (0.18, 0.36), (0.18, 0.71), (0.08, 0.83))),
    ((214, 60, 60), ((0.32, 0.7), (0.7, 0.7), (0.8, 0.84), (0.24, 0.84))),
    ((240, 170, 60), ((0.6, 0.56), (0.76, 0.56), (0.76, 0.72), (0.6, 0.72))),
    ((250, 190, 80), ((0.6, 0.56), (0.76, 0.56), (0.86, 0.62), (0.66, 0.62))),
    ((222, 140, 40), ((0.66, 0.62), (0.86, 0.62), (0.86, 0.82), (0.66, 0.82))),
)
"""Colour and corners of ceiling, floor, walls, window, door, carpet and the sides of a chest."""

_SPACE = Staged(
    Scene((Thing("mountain", "blue", "left"), Thing("house", "red", "middle"), Thing("tree", "green", "right")),
          "day", "meadow", frozenset({"clouds"})),
    ((0.02, 0.2, 0.62, 0.66), (0.3, 0.32, 0.7, 0.76), (0.58, 0.3, 0.94, 0.88)),
    seed=7,
)  # fmt: skip
_HORIZON = 0.62


def depth() -> Image.Image:
    """How near each place of `space` is, near is white: the ground comes nearer, things are as near as their feet."""
    rows = numpy.linspace(0, 1, SIZE)[:, None]
    near = numpy.where(rows < _HORIZON, 0, _nearness(rows)) * numpy.ones((1, SIZE))
    for thing, frame in zip(_SPACE.scene.things, _SPACE.frames, strict=True):
        alone = Scene((thing,), _SPACE.scene.sky, _SPACE.scene.ground, frozenset())
        painted = numpy.asarray(paint_alone(alone, seed=_SPACE.seed, size=SIZE, frames=[frame]))
        near[(painted != 160).any(axis=2)] = _nearness(frame[3])
    return Image.fromarray(cv2.GaussianBlur((near * 255).astype(numpy.uint8), (0, 0), 2)).convert("RGB")


def _nearness(down: "float | numpy.ndarray") -> "float | numpy.ndarray":
    return 0.15 + 0.85 * (down - _HORIZON) / (1 - _HORIZON)


def space() -> Image.Image:
    """A tree before a house before a mountain."""
    return _SPACE.picture(SIZE)


def space_anew() -> Image.Image:
    """Another time, colours and weather in the same space."""
    things = [
        replace(thing, colour=colour)
        for thing, colour in zip(_SPACE.scene.things, ("purple", "white", "orange"), strict=True)
    ]
    scene = Scene(tuple(things), "night", "snow", frozenset({"stars", "moon"}))
    return replace(_SPACE, scene=scene).picture(SIZE)


def space_in_neon() -> Image.Image:
    """Another style in the same space."""
    return neon(_SPACE.picture(128))


def pose() -> Image.Image:
    """The joints of `person` with hands and face, as OpenPose's own functions draw what they have found."""
    open_package()
    from controlnet_aux.open_pose import PoseResult
    from controlnet_aux.open_pose.body import BodyResult, Keypoint

    def keypoints(points: Sequence[Point]) -> list[Keypoint]:
        return [Keypoint(*point) for point in points]

    hands = (keypoints(_hand(_JOINTS[elbow], _JOINTS[wrist])) for elbow, wrist in ((6, 7), (3, 4)))
    body = BodyResult(keypoints(_JOINTS), 0, 0)
    return Image.fromarray(drawn([PoseResult(body, *hands, keypoints(_FACE))], 320, 320))


def _hand(elbow: Point, wrist: Point) -> list[Point]:
    """The wrist and four joints of each finger, spread as the arm points."""
    along = math.atan2(wrist[1] - elbow[1], wrist[0] - elbow[0])
    turns = [along + spread for spread in (-0.9, -0.4, 0.0, 0.4, 0.8)]
    reach = (0.03, 0.045, 0.06, 0.075)
    return [
        wrist,
        *((wrist[0] + far * math.cos(turn), wrist[1] + far * math.sin(turn)) for turn in turns for far in reach),
    ]


def person() -> Image.Image:
    """Somebody on a meadow who waves."""
    picture = paint(Scene((), "day", "meadow", frozenset({"clouds"})), seed=7, size=SIZE)
    draw = ImageDraw.Draw(picture)
    for joints, thickness, colour in _LIMBS:
        for width, fill in ((thickness, _LINE), (thickness - 0.02, colour)):
            _limb(draw, [_JOINTS[joint] for joint in joints], width, fill)
    trunk = [_JOINTS[joint] for joint in (2, 5, 11, 8)]
    _limb(draw, [*trunk, trunk[0]], 0.085, _LINE)
    _limb(draw, [*trunk, trunk[0]], 0.065, _SHIRT)
    draw.polygon([(x * SIZE, y * SIZE) for x, y in trunk], fill=_SHIRT)
    _disc(draw, (0.5, 0.22), 0.098, _LINE)
    _disc(draw, (0.5, 0.22), 0.088, _HAIR)
    _disc(draw, (0.5, 0.24), 0.07, _SKIN)
    for eye in _JOINTS[14:16]:
        _disc(draw, eye, 0.011, _LINE)
    draw.arc([value * SIZE for value in (0.47, 0.23, 0.53, 0.28)], 20, 160, fill=_LINE, width=5)
    return picture


def _limb(draw: ImageDraw.ImageDraw, joints: Sequence[Point], thickness: float, colour: Colour) -> None:
    draw.line([(x * SIZE, y * SIZE) for x, y in joints], fill=colour, width=round(thickness * SIZE))
    for joint in joints:
        _disc(draw, joint, thickness / 2, colour)


def _disc(draw: ImageDraw.ImageDraw, centre: Point, radius: float, colour: Colour) -> None:
    x, y = centre
    draw.ellipse([value * SIZE for value in (x - radius, y - radius, x + radius, y + radius)], fill=colour)


def room() -> Image.Image:
    """A room with a window, a door, a carpet and a chest."""
    return _room([(colour, mix(colour, (0, 0, 0), 0.55)) for colour, _ in _ROOM])


def room_lines() -> Image.Image:
    """The straight lines of `room`."""
    return _room([((0, 0, 0), (255, 255, 255))] * len(_ROOM))


def _room(colours: Sequence[tuple[Colour, Colour]]) -> Image.Image:
    """The sides of the room, each in a colour and with an outline."""
    picture = Image.new("RGB", (SIZE, SIZE))
    draw = ImageDraw.Draw(picture)
    for (_, corners), (fill, line) in zip(_ROOM, colours, strict=True):
        draw.polygon([(x * SIZE, y * SIZE) for x, y in corners], fill=fill, outline=line, width=6)
    return picture


_MADE = (depth, space, space_anew, space_in_neon, pose, person, room, room_lines)
PROPS: Mapping[str, Callable[[], Image.Image]] = MappingProxyType(
    {made.__name__.replace("_", "-"): made for made in _MADE}
)

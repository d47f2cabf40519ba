"""The picture book's painter: a scene and a seed become a picture, always the same one."""

import math
from collections.abc import Sequence
from random import Random

import numpy
from PIL import Image, ImageDraw

from training.shapes import KINDS, Colour, Kind, Pen, mix
from training.words import Scene, Thing

PAINTS: dict[str, Colour] = {
    "red": (214, 38, 38),
    "orange": (248, 132, 24),
    "yellow": (250, 214, 40),
    "green": (44, 150, 58),
    "blue": (38, 88, 210),
    "purple": (132, 56, 178),
    "pink": (248, 130, 186),
    "brown": (124, 74, 40),
    "white": (246, 246, 248),
    "black": (36, 36, 42),
}
SKY_TINTS: dict[str, tuple[Colour, Colour]] = {
    "day": ((96, 178, 240), (196, 232, 252)),
    "night": ((14, 20, 66), (52, 62, 124)),
    "sunset": ((120, 72, 140), (255, 168, 92)),
    "overcast": ((142, 148, 156), (198, 202, 206)),
}
GROUND_TINTS: dict[str, tuple[Colour, Colour]] = {
    "meadow": ((150, 204, 92), (110, 176, 76)),
    "desert": ((240, 212, 150), (222, 184, 116)),
    "snow": ((240, 246, 252), (206, 222, 240)),
    "sea": ((40, 134, 178), (24, 100, 150)),
}
DIMMING = {"day": 0.0, "night": 0.38, "sunset": 0.12, "overcast": 0.1}
"""How far each sky darkens the ground towards its own upper tint."""


SWAYS: dict[str, tuple[float, float]] = {
    "boat": (0.03, 0.02),
    "balloon": (0.02, 0.05),
    "fish": (0.07, 0.02),
    "bird": (0.07, 0.04),
    "butterfly": (0.05, 0.05),
    "cat": (0.05, 0.0),
    "dog": (0.05, 0.0),
    "car": (0.07, 0.0),
    "train": (0.07, 0.0),
}
"""How far things that move go to and fro and up and down, in shares of the side."""
CLOUD_SWAY, WAVE_SWAY, TWINKLING = 0.07, 0.05, 0.5


Frame = tuple[float, float, float, float]
"""Left, top, right and bottom of an object, as shares of the picture's side."""


def paint(
    scene: Scene, *, seed: int, size: int = 128, frames: Sequence[Frame] = (), moment: float = 0.0
) -> Image.Image:
    """The scene as an RGB picture of `size` x `size` pixels; drawn twice as large, so that edges are soft.

    `frames`, one for each thing, says where they are; without it they stand where their kind and place have them, and
    sway with clouds and waves: `moment` (0 to 1) goes once through their way to and fro.
    """
    random = Random(seed)
    side = size * 2
    horizon = random.choice((0.625, 0.6875)) * side
    picture = _background(random, scene, side, horizon)
    draw = ImageDraw.Draw(picture)
    _paint_sky(draw, random, scene, side, horizon, moment)
    _paint_ground(draw, random, scene, side, horizon, moment)
    for thing, box in zip(scene.things, _boxes(scene, frames, side), strict=True):
        _paint_thing(draw, random, scene, thing, box if frames else _swayed(thing, box, side, moment))
    return picture.reduce(2)


def _swayed(thing: Thing, box: Frame, side: int, moment: float) -> Frame:
    across, down = SWAYS.get(thing.object, (0.0, 0.0))
    x, y = across * side * _wave(moment), down * side * _wave(moment, 0.25)
    return box[0] + x, box[1] + y, box[2] + x, box[3] + y


def _wave(moment: float, phase: float = 0.0) -> float:
    """From -2 to 2, nothing at moment 0, and the same after each whole one."""
    return math.sin(2 * math.pi * (moment + phase)) - math.sin(2 * math.pi * phase)


def paint_alone(scene: Scene, *, seed: int, size: int = 128, frames: Sequence[Frame] = ()) -> Image.Image:
    """As `paint`, but nothing of the scene except its things, on grey."""
    random, side = Random(seed), size * 2
    picture = Image.new("RGB", (side, side), (160, 160, 160))
    draw = ImageDraw.Draw(picture)
    for thing, box in zip(scene.things, _boxes(scene, frames, side), strict=True):
        KINDS[thing.object].paint(_pen(draw, random, thing, box, side))
    return picture.reduce(2)


def usual_frame(scene: Scene, thing: Thing) -> Frame:
    """Where `thing` of `scene` stands unless told otherwise."""
    return _box(scene, thing, KINDS[thing.object], 1)


def _boxes(scene: Scene, frames: Sequence[Frame], side: int) -> list[tuple[float, float, float, float]]:
    """Where the things of `scene` go, in pixels."""
    if not frames:
        return [_box(scene, thing, KINDS[thing.object], side) for thing in scene.things]
    return [(left * side, top * side, right * side, bottom * side) for left, top, right, bottom in frames]


def _tinted(random: Random, colour: Colour, spread: int = 9) -> Colour:
    red, green, blue = (min(255, max(0, channel + random.randint(-spread, spread))) for channel in colour)
    return red, green, blue


def _background(random: Random, scene: Scene, side: int, horizon: float) -> Image.Image:
    upper, lower = (_tinted(random, tint) for tint in SKY_TINTS[scene.sky])
    near, far = (_tinted(random, tint, 6) for tint in GROUND_TINTS[scene.ground][::-1])
    near, far = (mix(tint, upper, DIMMING[scene.sky]) for tint in (near, far))
    rows = numpy.arange(side, dtype=numpy.float32)[:, None]
    down = numpy.clip(rows / horizon, 0, 1)
    sky = numpy.array(upper) * (1 - down) + numpy.array(lower) * down
    nearness = numpy.clip((rows - horizon) / (side - horizon), 0, 1)
    ground = numpy.array(far) * (1 - nearness) + numpy.array(near) * nearness
    column = numpy.where(rows < horizon, sky, ground).astype(numpy.uint8)[:, None, :]
    return Image.fromarray(numpy.ascontiguousarray(numpy.broadcast_to(column, (side, side, 3))))


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: Colour) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _paint_sky(
    draw: ImageDraw.ImageDraw, random: Random, scene: Scene, side: int, horizon: float, moment: float
) -> None:
    if "stars" in scene.extras:
        for star in range(random.randint(14, 22)):
            x, y = random.uniform(0, side), random.uniform(0, horizon * 0.9)
            radius = random.uniform(0.008, 0.014) * side * (1 + TWINKLING / 2 * _wave(moment, star / 5))
            _disc(draw, x, y, radius, (255, 250, 200))
    x, y, radius = random.choice((0.125, 0.875)) * side, 0.14 * side, 0.085 * side
    if "sun" in scene.extras:
        y, fill = (horizon * 0.75, (255, 110, 50)) if scene.sky == "sunset" else (y, (255, 224, 70))
        _disc(draw, x, y, radius * 1.2, mix(fill, (255, 240, 180), 0.5))
        _disc(draw, x, y, radius, fill)
    if "moon" in scene.extras:
        _disc(draw, x, y, radius, (250, 244, 206))
        for across, down, share in ((-0.3, -0.2, 0.22), (0.3, 0.25, 0.28)):
            _disc(draw, x + across * radius, y + down * radius, share * radius, (226, 218, 176))
    if "clouds" in scene.extras:
        for _ in range(random.randint(4, 6) if scene.sky == "overcast" else random.randint(2, 3)):
            _paint_cloud(draw, random, scene.sky, side, CLOUD_SWAY * _wave(moment))


def _paint_cloud(draw: ImageDraw.ImageDraw, random: Random, sky: str, side: int, sway: float) -> None:
    fill = {"overcast": (122, 127, 136), "sunset": (250, 190, 170)}.get(sky, (255, 255, 255))
    x, y, size = random.uniform(0, side), random.uniform(0.06, 0.3) * side, random.uniform(0.05, 0.07) * side
    x += sway * side
    for across, down, share in ((-1.3, 0.3, 0.75), (0, 0, 1.1), (1.3, 0.25, 0.8)):
        _disc(draw, x + across * size, y + down * size, share * size, fill)
    draw.rectangle((x - 1.4 * size, y + 0.35 * size, x + 1.4 * size, y + 1.05 * size), fill=fill)


def _paint_ground(
    draw: ImageDraw.ImageDraw, random: Random, scene: Scene, side: int, horizon: float, moment: float
) -> None:
    upper = SKY_TINTS[scene.sky][0]
    near, far = (mix(tint, upper, DIMMING[scene.sky]) for tint in GROUND_TINTS[scene.ground][::-1])
    if scene.ground == "sea":
        foam = mix(far, (235, 245, 250), 0.55)
        for _ in range(9):
            x, y, length = (
                random.uniform(0, side),
                random.uniform(horizon + 8, side - 4),
                random.uniform(0.05, 0.1) * side,
            )
            x += WAVE_SWAY * side * _wave(moment)
            draw.arc((x, y, x + length, y + length * 0.5), 200, 340, fill=foam, width=3)
            draw.arc((x + length * 0.9, y, x + length * 1.9, y + length * 0.5), 200, 340, fill=foam, width=3)
        return
    for _ in range(2):
        x, wide = random.uniform(0, side), random.uniform(0.4, 0.7) * side
        hill = mix(far, near, random.uniform(0.3, 0.6))
        draw.chord(
            (x - wide, horizon - random.uniform(0.02, 0.06) * side, x + wide, horizon + 0.3 * side), 180, 360, fill=hill
        )
    lower = (int(horizon + 0.12 * side), side)
    if scene.ground == "meadow":
        for _ in range(24):
            x, y = random.uniform(0, side), random.uniform(*lower)
            blade = mix(near, (20, 90, 30), 0.5)
            draw.line((x - 4, y - 9, x, y, x + 4, y - 9), fill=blade, width=2)
    elif scene.ground == "desert":
        for _ in range(4):
            x, y, wide = random.uniform(-0.1, 0.8) * side, random.uniform(*lower), random.uniform(0.2, 0.4) * side
            draw.arc((x, y, x + wide, y + 0.1 * side), 200, 320, fill=mix(near, (150, 100, 50), 0.4), width=3)
    else:
        for _ in range(16):
            _disc(draw, random.uniform(0, side), random.uniform(0, side), random.uniform(2.5, 4.5), (250, 252, 255))


def _paint_thing(
    draw: ImageDraw.ImageDraw, random: Random, scene: Scene, thing: Thing, box: tuple[float, float, float, float]
) -> None:
    kind, side = KINDS[thing.object], draw.im.size[0]
    if scene.ground == "sea" and kind.home == "land":
        left, _, right, bottom = box
        margin = 0.12 * (right - left) + 0.03 * side
        sand = mix((232, 206, 146), SKY_TINTS[scene.sky][0], DIMMING[scene.sky])
        draw.ellipse((left - margin, bottom - 0.06 * side, right + margin, bottom + 0.07 * side), fill=sand)
    kind.paint(_pen(draw, random, thing, box, side))
    if scene.ground == "sea" and thing.object == "boat":
        left, _, right, bottom = box
        water = mix(GROUND_TINTS["sea"][1], SKY_TINTS[scene.sky][0], DIMMING[scene.sky])
        draw.ellipse((left - 0.02 * side, bottom - 0.03 * side, right + 0.02 * side, bottom + 0.05 * side), fill=water)


def _box(scene: Scene, thing: Thing, kind: Kind, side: int) -> tuple[float, float, float, float]:
    """Where the object goes, in pixels: big, wholly inside the picture, and always the same for its kind and place.

    Sizes and places that vary cost a small model most of its steps, and its shapes come out as a mixture of several.
    """
    alone = len(scene.things) == 1
    height = kind.scale * (0.6 if alone else 0.46) * side
    height = min(height, (0.86 if alone else 0.46) * side / kind.aspect)
    width = height * kind.aspect
    centre = {"left": 0.3125, "middle": 0.5, "right": 0.6875} if alone else {"left": 0.2656, "right": 0.7344}
    left = centre[thing.place] * side - width / 2
    left = min(max(left, 0.02 * side), 0.98 * side - width)
    if kind.home == "air":
        bottom = 0.0625 * side + height + (0.0 if alone else 0.0625 * side)
    else:
        bottom = (0.84 if thing.object == "fish" else 0.89) * side
    return left, bottom - height, left + width, bottom


def _pen(
    draw: ImageDraw.ImageDraw, random: Random, thing: Thing, box: tuple[float, float, float, float], side: int
) -> Pen:
    """Shades of the object's colour. What stands on the right looks to the left, so that two look at each other."""
    main = _tinted(random, PAINTS[thing.colour], 8)
    dark, light, line = mix(main, (0, 0, 0), 0.25), mix(main, (255, 255, 255), 0.3), mix(main, (0, 0, 0), 0.55)
    if thing.colour == "white":
        dark, light, line = mix(main, (120, 126, 140), 0.3), (255, 255, 255), (122, 128, 142)
    elif thing.colour == "black":
        dark, light, line = (16, 16, 20), mix(main, (255, 255, 255), 0.18), (104, 104, 116)
    return Pen(draw, box, main, dark, light, line, max(1, round(side / 85)), thing.place == "right")

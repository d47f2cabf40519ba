"""The objects of the picture book, each a short drawing in a unit box.

Coordinates run from (0, 0), top left, to (1, 1), bottom right, of the object's own box. A shape takes a `Pen` and
is drawn in one colour family, so that its colour is unmistakable.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

WINDOW: Colour = (255, 240, 180)
"""Windows, eyes and lamps are pale in every colour."""


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`first` with `share` (0 to 1) of `second` in it."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


@dataclass(frozen=True, slots=True)
class Pen:
    """Draws in a box of pixels with a family of shades: main, dark (shadow), light (highlight) and line (outline)."""

    draw: ImageDraw.ImageDraw
    box: tuple[float, float, float, float]
    main: Colour
    dark: Colour
    light: Colour
    line: Colour
    width: int
    mirrored: bool

    def at(self, point: Point) -> Point:
        left, top, right, bottom = self.box
        x = 1 - point[0] if self.mirrored else point[0]
        return left + x * (right - left), top + point[1] * (bottom - top)

    def polygon(self, points: Sequence[Point], fill: Colour) -> None:
        corners = [self.at(point) for point in points]
        self.draw.polygon(corners, fill=fill)
        self.draw.line([*corners, corners[0], corners[1]], fill=self.line, width=self.width, joint="curve")

    def ellipse(self, left: float, top: float, right: float, bottom: float, fill: Colour) -> None:
        (x0, y0), (x1, y1) = self.at((left, top)), self.at((right, bottom))
        self.draw.ellipse((min(x0, x1), y0, max(x0, x1), y1), fill=fill, outline=self.line, width=self.width)

    def box_of(self, left: float, top: float, right: float, bottom: float, fill: Colour) -> None:
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], fill)

    def stroke(self, points: Sequence[Point], thickness: float, fill: Colour | None = None) -> None:
        """A line `thickness` (a share of the box height) wide, in the outline's colour unless `fill` is given."""
        width = max(2, round(thickness * (self.box[3] - self.box[1])))
        self.draw.line([self.at(point) for point in points], fill=fill or self.line, width=width, joint="curve")


def house(pen: Pen) -> None:
    eaves = 0.45
    pen.box_of(0.68, 0.08, 0.8, 0.4, pen.dark)
    pen.box_of(0.1, eaves, 0.9, 1, pen.main)
    pen.polygon([(0, eaves), (0.5, 0), (1, eaves)], pen.dark)
    pen.box_of(0.42, 0.68, 0.6, 1, pen.dark)
    for left in (0.18, 0.68):
        pen.box_of(left, eaves + 0.12, left + 0.16, eaves + 0.3, WINDOW)


def castle(pen: Pen) -> None:
    wall = 0.48
    pen.box_of(0.2, wall, 0.8, 1, pen.main)
    for left in (0.2, 0.36, 0.52, 0.68):
        pen.box_of(left, wall - 0.08, left + 0.1, wall, pen.main)
    for left in (0.0, 0.76):
        pen.box_of(left, 0.25, left + 0.24, 1, pen.light)
        pen.polygon([(left - 0.02, 0.27), (left + 0.12, 0), (left + 0.26, 0.27)], pen.dark)
        pen.box_of(left + 0.08, 0.38, left + 0.16, 0.52, WINDOW)
    pen.ellipse(0.4, 0.64, 0.6, 0.9, pen.dark)
    pen.box_of(0.4, 0.77, 0.6, 1, pen.dark)


def lighthouse(pen: Pen) -> None:
    lean = 0.23
    pen.polygon([(lean, 0.26), (1 - lean, 0.26), (0.92, 1), (0.08, 1)], pen.main)
    for top in (0.42, 0.72):
        side = lean * (1 - (top - 0.26) / 0.74) + 0.08 * (top - 0.26) / 0.74
        pen.polygon([(side, top), (1 - side, top), (1.01 - side, top + 0.13), (side - 0.01, top + 0.13)], pen.light)
    pen.box_of(0.12, 0.23, 0.88, 0.28, pen.dark)
    pen.box_of(0.3, 0.1, 0.7, 0.23, WINDOW)
    pen.polygon([(0.2, 0.11), (0.5, 0), (0.8, 0.11)], pen.dark)


def windmill(pen: Pen) -> None:
    pen.polygon([(0.36, 0.34), (0.64, 0.34), (0.78, 1), (0.22, 1)], pen.main)
    pen.polygon([(0.33, 0.36), (0.5, 0.2), (0.67, 0.36)], pen.dark)
    pen.box_of(0.43, 0.78, 0.57, 1, pen.dark)
    turn = 0.05
    for along, across in ((1, 1), (-1, 1), (1, -1), (-1, -1)):
        x, y = along * (0.36 + turn * across * along), across * (0.32 - turn * across * along)
        tip, side = (0.5 + x, 0.36 + y), (0.07 * across, -0.07 * along)
        start = (0.5 + x * 0.25, 0.36 + y * 0.25)
        pen.polygon(
            [start, tip, (tip[0] - side[0], tip[1] - side[1]), (start[0] - side[0], start[1] - side[1])], pen.light
        )
    pen.ellipse(0.45, 0.32, 0.55, 0.4, pen.dark)


def tree(pen: Pen) -> None:
    pen.box_of(0.41, 0.6, 0.59, 1, pen.dark)
    for box in ((0.02, 0.28, 0.56, 0.74), (0.44, 0.28, 0.98, 0.74), (0.14, 0.0, 0.86, 0.54)):
        pen.ellipse(*box, pen.main)
    left, top, right, bottom = pen.box
    inner = (
        left + (right - left) * 0.2,
        top + (bottom - top) * 0.3,
        left + (right - left) * 0.8,
        top + (bottom - top) * 0.66,
    )
    pen.draw.ellipse(inner, fill=pen.main)
    for x, y in ((0.3, 0.14), (0.12, 0.42), (0.6, 0.4)):
        pen.stroke([(x, y + 0.06), (x + 0.05, y), (x + 0.13, y - 0.01)], 0.025, pen.light)


def flower(pen: Pen) -> None:
    pen.stroke([(0.5, 0.4), (0.5, 1)], 0.05, (70, 130, 60))
    for side in (-1, 1):
        leaf = [(0.5, 0.92), (0.5 + side * 0.2, 0.7), (0.5 + side * 0.36, 0.68), (0.5 + side * 0.24, 0.86)]
        pen.draw.polygon([pen.at(point) for point in leaf], fill=(90, 160, 75))
    for x, y in ((0, -0.2), (0.31, -0.07), (0.2, 0.15), (-0.2, 0.15), (-0.31, -0.07)):
        pen.ellipse(0.5 + x - 0.19, 0.3 + y - 0.12, 0.5 + x + 0.19, 0.3 + y + 0.12, pen.main)
    pen.ellipse(0.35, 0.21, 0.65, 0.4, mix(WINDOW, pen.light, 0.3))


def mushroom(pen: Pen) -> None:
    pen.polygon([(0.38, 0.45), (0.62, 0.45), (0.7, 1), (0.3, 1)], mix(pen.light, WINDOW, 0.75))
    left, top, right, bottom = pen.box
    cap = (left, top, right, top + (bottom - top) * 1.1)
    pen.draw.pieslice(cap, 180, 360, fill=pen.main, outline=pen.line, width=pen.width)
    for x, y, size in ((0.27, 0.32, 0.09), (0.53, 0.2, 0.1), (0.76, 0.36, 0.08)):
        pen.ellipse(x - size, y - size * 0.8, x + size, y + size * 0.8, mix(WINDOW, (255, 255, 255), 0.7))


def mountain(pen: Pen) -> None:
    top = 0.48
    pen.polygon([(0.45, 1), (0.78, 0.36), (1, 1)], pen.dark)
    pen.polygon([(0, 1), (top, 0), (0.92, 1)], pen.main)
    pen.polygon([(top, 0), (0.92, 1), (top + 0.12, 1), (top - 0.04, 0.45)], pen.dark)
    pen.polygon(
        [(top, 0), (top - 0.15, 0.3), (top - 0.06, 0.24), (top, 0.34), (top + 0.06, 0.22), (top + 0.13, 0.3)],
        (250, 250, 255),
    )


def car(pen: Pen) -> None:
    back = 0.18
    pen.polygon([(back, 0.5), (back + 0.12, 0.08), (0.66, 0.08), (0.8, 0.5)], pen.main)
    pen.polygon([(back + 0.07, 0.48), (back + 0.16, 0.17), (0.46, 0.17), (0.46, 0.48)], WINDOW)
    pen.polygon([(0.5, 0.48), (0.5, 0.17), (0.62, 0.17), (0.72, 0.48)], WINDOW)
    pen.polygon([(0.02, 0.46), (0.88, 0.46), (0.99, 0.58), (0.99, 0.82), (0.02, 0.82)], pen.main)
    pen.ellipse(0.9, 0.55, 0.98, 0.66, WINDOW)
    for left in (0.12, 0.64):
        pen.ellipse(left, 0.62, left + 0.24, 1, (60, 60, 66))
        pen.ellipse(left + 0.07, 0.73, left + 0.17, 0.89, (200, 200, 205))


def train(pen: Pen) -> None:
    pen.box_of(0.04, 0.14, 0.4, 0.76, pen.main)
    pen.box_of(0, 0.06, 0.44, 0.16, pen.dark)
    pen.box_of(0.12, 0.24, 0.32, 0.46, WINDOW)
    pen.box_of(0.4, 0.38, 0.9, 0.76, pen.main)
    pen.ellipse(0.84, 0.38, 0.98, 0.76, pen.light)
    chimney = 0.71
    pen.polygon(
        [(chimney - 0.06, 0.08), (chimney + 0.12, 0.08), (chimney + 0.08, 0.38), (chimney - 0.02, 0.38)], pen.dark
    )
    pen.polygon([(0.02, 0.74), (0.9, 0.74), (1, 0.95), (0.02, 0.86)], pen.dark)
    for left, size in ((0.06, 0.26), (0.42, 0.2), (0.66, 0.2)):
        pen.ellipse(left, 1 - size * 1.35, left + size, 1, (60, 60, 66))
        pen.ellipse(left + size * 0.3, 1 - size * 0.95, left + size * 0.7, 1 - size * 0.4, (200, 200, 205))


def boat(pen: Pen) -> None:
    mast = 0.47
    pen.stroke([(mast, 0), (mast, 0.7)], 0.04, (120, 85, 55))
    pen.polygon([(mast + 0.04, 0.03), (0.94, 0.62), (mast + 0.04, 0.62)], pen.light)
    pen.polygon([(mast - 0.04, 0.12), (mast - 0.04, 0.62), (0.1, 0.62)], pen.main)
    pen.polygon([(0, 0.68), (1, 0.68), (0.82, 1), (0.18, 1)], pen.main)
    pen.stroke([(0.06, 0.77), (0.94, 0.77)], 0.04, pen.dark)


def balloon(pen: Pen) -> None:
    for x in (0.3, 0.7):
        pen.stroke([(x, 0.62), (0.5 + (x - 0.5) * 0.55, 0.84)], 0.015)
    pen.polygon([(0.1, 0.46), (0.9, 0.46), (0.62, 0.74), (0.38, 0.74)], pen.main)
    pen.ellipse(0.03, 0.0, 0.97, 0.66, pen.main)
    inner = 0.32
    pen.ellipse(inner, 0.0, 1 - inner, 0.66, pen.light)
    pen.polygon([(0.38, 0.64), (0.62, 0.64), (0.58, 0.75), (0.42, 0.75)], pen.dark)
    pen.box_of(0.37, 0.84, 0.63, 1, (160, 110, 60))


def cat(pen: Pen) -> None:
    pen.stroke([(0.7, 0.94), (0.95, 0.88), (0.97, 0.66), (0.86, 0.55)], 0.1, pen.line)
    pen.stroke([(0.7, 0.94), (0.95, 0.88), (0.97, 0.66), (0.86, 0.55)], 0.07, pen.dark)
    pen.ellipse(0.2, 0.42, 0.8, 1.0, pen.main)
    ear = 0.0
    pen.polygon([(0.16, 0.3), (0.14, ear), (0.42, 0.14)], pen.dark)
    pen.polygon([(0.84, 0.3), (0.86, ear), (0.58, 0.14)], pen.dark)
    pen.ellipse(0.13, 0.1, 0.87, 0.58, pen.main)
    for x in (0.34, 0.66):
        pen.ellipse(x - 0.08, 0.25, x + 0.08, 0.39, WINDOW)
        pen.ellipse(x - 0.03, 0.27, x + 0.03, 0.38, (25, 25, 28))
    pen.polygon([(0.45, 0.42), (0.55, 0.42), (0.5, 0.47)], (235, 120, 130))
    for x in (0.36, 0.52):
        pen.ellipse(x - 0.02, 0.88, x + 0.14, 1, pen.light)


def dog(pen: Pen) -> None:
    pen.stroke([(0.12, 0.5), (0.02, 0.22)], 0.1, pen.line)
    pen.stroke([(0.12, 0.5), (0.03, 0.26)], 0.06, pen.main)
    for left in (0.14, 0.3, 0.52, 0.66):
        pen.box_of(left, 0.62, left + 0.11, 1, pen.dark if left in (0.3, 0.52) else pen.main)
    pen.ellipse(0.08, 0.4, 0.8, 0.78, pen.main)
    pen.ellipse(0.7, 0.2, 1.0, 0.48, pen.light)
    pen.ellipse(0.54, 0.04, 0.88, 0.5, pen.main)
    pen.ellipse(0.5, 0.08, 0.65, 0.5, pen.dark)
    pen.ellipse(0.92, 0.22, 1.0, 0.31, (25, 25, 28))
    pen.ellipse(0.71, 0.14, 0.79, 0.24, WINDOW)
    pen.ellipse(0.74, 0.16, 0.78, 0.22, (25, 25, 28))


def fish(pen: Pen) -> None:
    tail = 0.05
    pen.polygon([(0.3, 0.5), (0, tail), (0.06, 0.5), (0, 1 - tail)], pen.dark)
    pen.polygon([(0.4, 0.2), (0.56, 0), (0.76, 0.22)], pen.dark)
    pen.ellipse(0.2, 0.12, 1, 0.88, pen.main)
    for x in (0.4, 0.54):
        pen.stroke([(x, 0.24), (x - 0.06, 0.5), (x, 0.76)], 0.05, pen.light)
    pen.ellipse(0.76, 0.3, 0.88, 0.47, WINDOW)
    pen.ellipse(0.81, 0.35, 0.86, 0.44, (25, 25, 28))


def bird(pen: Pen) -> None:
    pen.polygon([(0.28, 0.5), (0, 0.42), (0.04, 0.62), (0.3, 0.68)], pen.dark)
    pen.ellipse(0.18, 0.38, 0.76, 0.86, pen.main)
    pen.polygon([(0.88, 0.3), (1, 0.38), (0.88, 0.46)], (250, 170, 40))
    pen.ellipse(0.6, 0.18, 0.92, 0.58, pen.main)
    pen.polygon([(0.34, 0.56), (0.62, 0.56), (0.28, 0)], pen.dark)
    pen.ellipse(0.76, 0.27, 0.86, 0.4, WINDOW)
    pen.ellipse(0.79, 0.3, 0.84, 0.38, (25, 25, 28))
    for x in (0.42, 0.54):
        pen.stroke([(x, 0.85), (x, 1)], 0.04, (230, 150, 40))


def butterfly(pen: Pen) -> None:
    low = 0.96
    for side in (-1, 1):
        pen.stroke([(0.5, 0.25), (0.5 + side * 0.14, 0.02)], 0.03)
        for wing in (
            [(0.06, 0.5), (0.2, low - 0.02), (0.4, low - 0.1), (0.4, 0.62)],
            [(0.04, 0.5), (0.24, 0.1), (0.48, 0.06), (0.46, 0.48)],
        ):
            pen.polygon([(0.5 + side * x, y) for x, y in wing], pen.main if wing[0][0] < 0.05 else pen.dark)
        x = 0.5 + side * 0.33
        pen.ellipse(x - 0.08, 0.2, x + 0.08, 0.4, pen.light)
    pen.ellipse(0.44, 0.2, 0.56, 0.86, mix(pen.dark, (20, 20, 20), 0.5))


def umbrella(pen: Pen) -> None:
    pen.stroke([(0.5, 0.3), (0.5, 0.9), (0.56, 0.97), (0.64, 0.92)], 0.05, (95, 70, 55))
    left, top, right, bottom = pen.box
    height = bottom - top
    canopy = (left, top + 0.05 * height, right, top + 1.03 * height)
    pen.draw.pieslice(canopy, 180, 360, fill=pen.main, outline=pen.line, width=pen.width)
    middle = (left + (right - left) * 0.3, canopy[1], left + (right - left) * 0.7, canopy[3])
    pen.draw.pieslice(middle, 180, 360, fill=pen.light, outline=pen.line, width=pen.width)
    pen.stroke([(0.5, 0), (0.5, 0.06)], 0.04)


@dataclass(frozen=True, slots=True)
class Kind:
    """How an object is drawn: its width over its height, its height against other objects', and where it lives."""

    paint: Callable[[Pen], None]
    aspect: float
    scale: float
    home: str
    """"land" stands on the ground, "water" floats where there is sea, "air" flies."""


KINDS: dict[str, Kind] = {
    "house": Kind(house, 1.0, 1.0, "land"),
    "castle": Kind(castle, 1.0, 1.05, "land"),
    "lighthouse": Kind(lighthouse, 0.5, 1.15, "land"),
    "windmill": Kind(windmill, 0.95, 1.1, "land"),
    "tree": Kind(tree, 0.85, 1.05, "land"),
    "flower": Kind(flower, 0.8, 1.05, "land"),
    "mushroom": Kind(mushroom, 1.0, 0.95, "land"),
    "mountain": Kind(mountain, 1.35, 1.0, "land"),
    "car": Kind(car, 1.7, 0.72, "land"),
    "train": Kind(train, 1.45, 0.82, "land"),
    "boat": Kind(boat, 1.0, 1.0, "water"),
    "balloon": Kind(balloon, 0.75, 1.1, "air"),
    "cat": Kind(cat, 0.85, 1.0, "land"),
    "dog": Kind(dog, 1.2, 0.88, "land"),
    "fish": Kind(fish, 1.5, 0.75, "water"),
    "bird": Kind(bird, 1.15, 0.9, "air"),
    "butterfly": Kind(butterfly, 1.15, 0.88, "air"),
    "umbrella": Kind(umbrella, 1.1, 0.95, "land"),
}

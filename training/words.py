"""What the picture book can show, and the small grammar of its captions."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

OBJECTS = (
    "house", "castle", "lighthouse", "windmill", "tree", "flower", "mushroom", "mountain", "car",
    "train", "boat", "balloon", "cat", "dog", "fish", "bird", "butterfly", "umbrella",
)  # fmt: skip
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "white", "black")

SKIES: dict[str, tuple[str, ...]] = {
    "day": ("by day", "during the day", "under a blue sky", "in the daytime", "at noon"),
    "night": ("at night", "by night", "under a night sky", "at midnight", "in the dark"),
    "sunset": ("at sunset", "at dusk", "in the evening", "under a sunset sky", "under an orange sky"),
    "overcast": (
        "on a cloudy day",
        "under a grey sky",
        "on an overcast day",
        "in grey weather",
        "under an overcast sky",
    ),
}
GROUNDS: dict[str, tuple[str, ...]] = {
    "meadow": ("on a meadow", "on green grass", "in a field", "on the grass", "in a green meadow"),
    "desert": ("in the desert", "on the sand", "in a sandy desert", "among the dunes", "on desert sand"),
    "snow": ("in the snow", "on snow", "in winter", "on a snowy field", "in deep snow"),
    "sea": ("by the sea", "on the sea", "at the seaside", "by the ocean", "on the water"),
}
EXTRAS: dict[str, tuple[str, ...]] = {
    "sun": ("with the sun", "in the sunshine", "and the sun is shining"),
    "moon": ("with a moon", "under the moon", "in the moonlight"),
    "stars": ("with stars", "under the stars", "and many stars"),
    "clouds": ("with clouds", "and white clouds", "with some clouds"),
}
PLACES: dict[str, tuple[str, ...]] = {
    "left": ("on the left", "on the left side"),
    "middle": ("in the middle", "in the centre"),
    "right": ("on the right", "on the right side"),
}
OPENINGS = ("a picture of", "a drawing of", "a painting of", "an illustration of", "a picture book page with")
PRAISES = ("lovely", "pretty", "beautiful", "nice", "cute", "colourful")
JOINS = ("and", "and", "next to", "beside", "with")


@dataclass(frozen=True, slots=True)
class Thing:
    """One object of a scene; `place` is left, middle or right."""

    object: str
    colour: str
    place: str


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a picture shows. Everything not fixed here (sizes, tints, details) comes from the painter's seed."""

    things: tuple[Thing, ...]
    sky: str
    ground: str
    extras: frozenset[str]


@dataclass(frozen=True, slots=True)
class Sample:
    """A scene, a caption that is true of it, and the sky, ground and extras which that caption names."""

    scene: Scene
    caption: str
    named: frozenset[str]


def held_out() -> frozenset[tuple[str, str]]:
    """The (object, colour) pairs that training never shows: 27 of 180, each object and each colour still common."""
    pairs = set()
    for index, name in enumerate(OBJECTS):
        pairs.add((name, COLOURS[(3 * index + 4) % 10]))
        if index % 2:
            pairs.add((name, COLOURS[(3 * index + 8) % 10]))
    return frozenset(pairs)


def pairs_for_training() -> tuple[tuple[str, str], ...]:
    """Every (object, colour) pair that training may show, in a fixed order."""
    hidden = held_out()
    return tuple((name, colour) for name in OBJECTS for colour in COLOURS if (name, colour) not in hidden)


def random_scene(random: Random, pairs: tuple[tuple[str, str], ...]) -> Scene:
    """A scene of one or (two times in five) two objects of `pairs`, with a sky, a ground and fitting extras."""
    sky, ground = random.choice(list(SKIES)), random.choice(list(GROUNDS))
    first = random.choice(pairs)
    if random.random() < 0.4:
        second = random.choice([pair for pair in random.choices(pairs, k=4) if pair[0] != first[0]] or [first])
        things = (Thing(*first, "left"), Thing(*second, "right"))
    else:
        things = (Thing(*first, random.choice(("middle", "middle", "left", "right"))),)
    return Scene(things, sky, ground, frozenset(_extras(random, sky)))


def _extras(random: Random, sky: str) -> Iterator[str]:
    possible = {"day": ("sun", "clouds"), "sunset": ("sun", "clouds"), "night": ("moon", "stars"), "overcast": ()}
    for extra in possible[sky]:
        if random.random() < 0.6:
            yield extra
    if sky == "overcast":
        yield "clouds"


def _named(random: Random, thing: Thing) -> str:
    praise = random.choice(PRAISES) + " " if random.random() < 0.06 else ""
    article = random.choices(("a", "one", "the", ""), (80, 4, 6, 10))[0]
    words = f"{praise}{thing.colour} {thing.object}"
    if article == "a" and words[0] in "aeio":
        article = "an"
    return f"{article} {words}".strip()


def _subject(random: Random, things: tuple[Thing, ...]) -> str:
    """The objects in words. Of two, the first named may be the right one; then and only then are places told or not."""
    phrases = []
    tell_places = random.random() < (0.35 if len(things) > 1 else 0.4 if things[0].place != "middle" else 0.2)
    for thing in things if random.random() < 0.6 else reversed(things):
        place = " " + random.choice(PLACES[thing.place]) if tell_places else ""
        phrases.append(_named(random, thing) + place)
    return f" {random.choice(JOINS)} ".join(phrases)


def describe(random: Random, scene: Scene) -> Sample:
    """A caption of the scene: all objects and their colours, and some of sky, ground and extras, in varied words."""
    if random.random() < 0.02:
        thing = scene.things[0]
        return Sample(Scene((thing,), scene.sky, scene.ground, scene.extras), thing.object, frozenset())
    told, named = [], set()
    if random.random() < 0.75:
        told.append(random.choice(GROUNDS[scene.ground]))
        named.add(scene.ground)
    if random.random() < 0.75:
        told.append(random.choice(SKIES[scene.sky]))
        named.add(scene.sky)
    random.shuffle(told)
    for extra in sorted(scene.extras):
        if (extra != "clouds" or scene.sky != "overcast") and random.random() < 0.35:
            told.append(random.choice(EXTRAS[extra]))
            named.add(extra)
    return Sample(scene, _sentence(random, _subject(random, scene.things), told), frozenset(named))


def _sentence(random: Random, subject: str, told: list[str]) -> str:
    opening = random.choice(OPENINGS) + " " if random.random() < 0.12 else ""
    join = ", " if random.random() < 0.3 else " "
    if told and random.random() < 0.1 and told[0].split()[0] not in ("and", "with"):
        return join.join([f"{told[0]}, {opening}{subject}", *told[1:]])
    return join.join([opening + subject, *told])


def random_sample(random: Random, pairs: tuple[tuple[str, str], ...] | None = None) -> Sample:
    """A random scene with its caption, of the pairs for training unless others are given."""
    return describe(random, random_scene(random, pairs or pairs_for_training()))

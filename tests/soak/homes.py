"""A home: all that is written into it, again and again, and a look at whether it is whole.

    python -m tests.soak.homes HOME COUNT

has a process write presets, given pictures, control pictures, hashes and a gallery into HOME, and kills it at a random
moment, COUNT times.
"""

import itertools
import json
import multiprocessing
import random
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from PIL import Image

from pipelines.engine.hashes import Hashes
from presets import toml_files
from presets.control_pictures import ControlPictures, key_of
from presets.errors import UserError
from presets.gallery import Gallery
from presets.images import ImageRef
from presets.inputs import Inputs
from presets.library import Library
from presets.metadata import read_request
from presets.requests import KINDS, TextToImage
from presets.settings import Settings

OTHER_SEEDS = 10**9
"""From which on the pictures of writers have theirs."""


def write_on(home: Path, number: int) -> None:
    settings = Settings(home=home)
    library, inputs, control = Library(settings.presets), Inputs(settings.inputs), ControlPictures(home / "control")
    gallery = Gallery(settings.pictures)
    hashes = Hashes(home / "hashes.json", list, bool)
    for turn in itertools.count():
        seed = OTHER_SEEDS + number * 10**5 + turn
        image = _noise(seed)
        title = f"Preset {seed % 20}"
        preset = library.save("text-to-image", title, {"prompt": f"house {seed}", "steps": 7}, overwrite=True)
        inputs.keep(image)
        control.put(key_of(image, {"preprocessor": "canny"}), image)
        hashes._known[f"/{seed}"] = ((1, 2), f"{seed:064d}")
        hashes._save()
        gallery.add(image, TextToImage(prompt="a house", seed=seed).resolved("tiny", image.size), {})
        if turn % 3 == 2:
            library.delete(preset.kind, preset.name)


def kill_writers(home: Path, count: int) -> None:
    chance, fork = random.Random(0), multiprocessing.get_context("fork")
    for number in range(count):
        process = fork.Process(target=write_on, args=(home, number))
        process.start()
        time.sleep(chance.expovariate(1 / 0.2))
        process.kill()
        process.join()
        if process.exitcode != -signal.SIGKILL:
            raise RuntimeError(f"a writer ended by itself ({process.exitcode})")


def _noise(seed: int) -> Image.Image:
    return Image.frombytes("RGB", (64, 64), random.Random(seed).randbytes(64 * 64 * 3))


def seeds_of_pictures(folder: Path) -> Counter[int]:
    """Of the pictures that jobs made, how often each is there."""
    requests = (found.request for path in folder.rglob("*.png") if (found := read_request(path)))
    return Counter(
        request.seed for request in requests if isinstance(request, TextToImage) if request.seed < OTHER_SEEDS
    )


def broken_files(home: Path) -> list[str]:
    """What is wrong with the visible files of a home."""
    settings = Settings(home=home)
    found = [
        *_wrong(settings.pictures.rglob("*.png"), _check_picture),
        *_wrong(settings.inputs.rglob("*.png"), lambda path: _check_input(path, Inputs(settings.inputs))),
        *_wrong(settings.control_pictures.glob("*.png"), lambda path: _check_control(path, settings)),
        *_wrong(settings.presets.rglob("*.toml"), lambda path: toml_files.read(path)),
        *_wrong(home.glob("hashes.json"), lambda path: json.loads(path.read_text(encoding="utf-8"))),
    ]
    return found + [problem for kind in KINDS for problem in Library(settings.presets).problems(kind)]


def _wrong(paths: Iterator[Path], check: Callable[[Path], object]) -> list[str]:
    wrong = []
    for path in paths:
        if path.name.startswith("."):
            continue
        try:
            check(path)
        except (UserError, OSError, ValueError, SyntaxError) as error:
            wrong.append(f"{path.name}: {error}")
    return wrong


def _check_picture(path: Path) -> None:
    with Image.open(path) as image:
        image.load()
    if read_request(path) is None:
        raise ValueError("it has no request")


def _check_input(path: Path, inputs: Inputs) -> None:
    with Image.open(path) as image:
        reference = ImageRef(sha256=path.stem, width=image.width, height=image.height)
    inputs.open(reference)


def _check_control(path: Path, settings: Settings) -> None:
    if ControlPictures(settings.control_pictures).get(path.stem) is None:
        raise ValueError("it is not whole")


def integrity(home: Path) -> dict[str, str]:
    """What SQLite says of the gallery's index and the job tables, and whether the index lists all pictures."""
    said = {
        path.name: _integrity_of(path) for path in (home / "pictures/index.sqlite", *(home / "jobs").glob("*.sqlite"))
    }
    files, listed = len(list((home / "pictures").rglob("*.png"))), len(Gallery(home / "pictures").recent(10**9))
    return {**said, "listed": "ok" if files == listed else f"{listed} of {files}"}


def _integrity_of(path: Path) -> str:
    with closing(sqlite3.connect(path)) as database:
        return "; ".join(row[0] for row in database.execute("PRAGMA integrity_check"))


if __name__ == "__main__":
    kill_writers(Path(sys.argv[1]), int(sys.argv[2]))

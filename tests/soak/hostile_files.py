"""Files that mean harm in every folder of models: no code runs, nothing crashes, and none takes long or much memory.

    python -m tests.soak.hostile_files [--mutations 5000] [--seed 0]

Prints JSON. Mutated safetensors of every kind, pickled files that would run code in every format, ending and folder,
and zip bombs are put into the folders one by one, listed as the page does, and then loaded as a job does, in a process
that is watched by its audit events. Goals: `crashed`, `raw` (errors that are no sentence), `ran` (events of code that
runs, or of files outside that are opened or changed, and files that a payload left), `slow` and `large` 0. A file is
slow above one second of processor time, large above 64 MB.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHUNK = 500
"""Files that one process reads."""
ROOT = Path(__file__).parent.parent.parent
SECONDS, BYTES = 1.0, 64 * 2**20
FIRST = 5
"""Of each kind of finding that are shown."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--read", nargs=2, type=int, metavar=("FIRST", "END"), help="only read these files ...")
    parser.add_argument("--root", type=Path, help="... below this folder")
    options = parser.parse_args()
    if options.read:
        room = _Room(options)
        for number in range(*options.read):
            print(json.dumps(room.read(number)), flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        options.root = Path(folder)
        print(json.dumps(_measure(options), indent=2))


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    from tests.model_folders import make

    make(options.root)
    found: list[dict[str, Any]] = []
    while len(found) < _count(options):
        found += _chunk(options, len(found))
        print(f"{len(found)} of {_count(options)}", file=sys.stderr)
    wrong = {
        "crashed": [one for one in found if one["outcome"] == "crashed"],
        "raw": [one for one in found if one["outcome"].startswith("raw")],
        "ran": [one for one in found if one["events"]],
        "slow": [one for one in found if one["seconds"] > SECONDS],
        "large": [one for one in found if one["bytes"] > BYTES],
    }
    return {
        "files": dict(Counter(one["kind"] for one in found)),
        **{name: len(those) for name, those in wrong.items()},
        "slowest_seconds": max(one["seconds"] for one in found),
        "largest_bytes": max(one["bytes"] for one in found),
        "outcomes": dict(Counter(one["outcome"] for one in found).most_common()),
        "shown": {name: those[:FIRST] for name, those in wrong.items() if those},
    }


def _chunk(options: argparse.Namespace, first: int) -> list[dict[str, Any]]:
    """What a process of its own finds of the next files; where it ends early, the one that it had begun crashed it."""
    end = min(first + CHUNK, _count(options))
    command = [sys.executable, "-m", "tests.soak.hostile_files", "--read", str(first), str(end)]
    more = ["--root", str(options.root), "--mutations", str(options.mutations), "--seed", str(options.seed)]
    own = {**os.environ, "TMPDIR": str(options.root / "models")}
    done = subprocess.run([*command, *more], stdout=subprocess.PIPE, text=True, check=False, env=own)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    if len(found) < end - first:
        name, kind = _names(options)[first + len(found)]
        found.append({"file": name, "kind": kind, "outcome": "crashed", "events": [], "seconds": 0.0, "bytes": 0})
    return found


def _names(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Of each file: its path under the folder of models, and what kind of harm it means."""
    return [(name, kind) for name, kind, _ in _files(options)]


def _count(options: argparse.Namespace) -> int:
    return len(_names(options))


def _files(options: argparse.Namespace) -> Iterator[tuple[str, str, Any]]:
    """Path, kind and what makes the content: a seed, or the name of what is packed."""
    from tests.payloads import ENDINGS, FORMATS, programs, zip_bombs

    folders = ("checkpoints", "loras", "vae", "controlnets", "upscalers", "embeddings")
    for number in range(options.mutations):
        yield f"{folders[number % len(folders)]}/x{number}.safetensors", "mutation", options.seed + number
    pickled = (*folders, "annotators")
    for place, program in enumerate(programs(options.root / "canary")):
        for shift, form in enumerate(FORMATS):
            for turn, folder in enumerate(pickled):
                ending = ENDINGS[(place + shift + turn) % len(ENDINGS)]
                yield _named(folder, f"{program}-{form}", ending), "payload", (program, form)
    for place, bomb in enumerate(zip_bombs()):
        for turn, folder in enumerate(pickled):
            yield _named(folder, bomb, ENDINGS[(place + turn) % 4]), "bomb", bomb


def _named(folder: str, stem: str, ending: str) -> str:
    from tests.model_folders import ANNOTATOR

    return f"{folder}/{ANNOTATOR}" if folder == "annotators" else f"{folder}/{stem}{ending}"


class _Room:
    """The folders, what reads them, and who watches."""

    def __init__(self, options: argparse.Namespace):
        import torch

        from tests.model_folders import FOLDERS, Reader, sound_file
        from tests.payloads import programs, zip_bombs
        from tests.watching import Watch

        torch.set_num_threads(1)
        self.root, self.files = options.root, list(_files(options))
        self.canary = options.root / "canary"
        self.canary.mkdir(exist_ok=True)
        self.sound = {folder: sound_file(options.root, folder) for folder in FOLDERS}
        self.programs, self.bombs = programs(self.canary), zip_bombs()
        self.reader = Reader(options.root)
        for folder in FOLDERS:  # what is imported on the way is not counted
            path = self._written(_named(folder, "sound", ".safetensors"), self.sound[folder])
            self.reader.list()
            ended = self.reader.load(folder, "sound")
            assert ended == "loaded", f"{folder}: {ended}"
            path.unlink()
        gc.collect()
        gc.freeze()  # as the program does: going through the libraries' objects is none of a file's cost
        self.watch = Watch(readable=[options.root, ROOT], writable=[options.root / "models"]).install()

    def read(self, number: int) -> dict[str, Any]:
        from tests.watching import costing

        name, kind, what = self.files[number]
        folder = name.partition("/")[0]
        path = self._written(name, self._content(folder, kind, what))
        with costing() as cost, self.watch.noting() as events:
            outcome = self._ended(folder, path.stem)
        path.unlink(missing_ok=True)
        left = [f"left {file.name}" for file in self.canary.iterdir()]
        return {
            "file": f"{name} {what}",
            "kind": kind,
            "outcome": outcome,
            "events": [*events, *left],
            "seconds": round(cost.processor_seconds, 3),
            "bytes": cost.bytes,
        }

    def _ended(self, folder: str, stem: str) -> str:
        try:
            self.reader.list()
            return self.reader.load(folder, stem)
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            return f"raw {type(error).__name__}: {str(error)[:200]}"

    def _content(self, folder: str, kind: str, what: Any) -> bytes:
        from tests.mutations import mutated
        from tests.payloads import FORMATS

        if kind == "mutation":
            return mutated(self.sound[folder], what)
        return self.bombs[what]() if kind == "bomb" else FORMATS[what[1]](self.programs[what[0]])

    def _written(self, name: str, content: bytes) -> Path:
        path = self.root / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path


if __name__ == "__main__":
    main()

"""A small disk that can be filled to its last byte."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SIZE = 2**20
PAGE = 4096


class SmallDisk:
    """A disk of a megabyte at `root`."""

    def __init__(self, root: Path):
        self.root = root
        self._filler = root / "filler"

    @property
    def files(self) -> set[Path]:
        """All files but those of SQLite, which makes and removes its own."""
        return {path for path in self.root.rglob("*") if path.is_file() and "sqlite" not in path.name} - {self._filler}

    @contextlib.contextmanager
    def full(self, left: int = 0) -> Iterator[None]:
        """Not a byte is free but `left`, until the block is left."""
        with contextlib.suppress(OSError), self._filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * PAGE)
        with self._filler.open("r+b") as file:
            file.truncate(max(0, self._filler.stat().st_size - left))
        try:
            yield
        finally:
            self._filler.unlink()


@contextlib.contextmanager
def small_disk(root: Path) -> Iterator[SmallDisk]:
    """A disk mounted at the new folder `root`; the test is skipped where that is not allowed."""
    root.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", root], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        yield SmallDisk(root)
    finally:
        subprocess.run(["umount", "--lazy", root], check=True)
